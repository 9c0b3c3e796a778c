"""Clusters: planted groups are found, labels are stable, k follows the rule."""

import numpy as np
import pandas as pd
import pytest

from ml import segmentation
from ml.segmentation import clusters


def customers(n: int = 600, seed: int = 2) -> pd.DataFrame:
    """Four planted groups: customer_key, group (0 spends most), and the three columns."""
    random = np.random.default_rng(seed)
    centres = [(10, 40, 9000), (200, 12, 700), (25, 2, 60), (500, 1, 15)]
    group = np.arange(n) % 4
    noise = random.lognormal(0, 0.12, (n, 3))
    values = np.array(centres)[group] * noise
    return pd.DataFrame(
        {
            "customer_key": [f"c{i:05}" for i in random.permutation(n)],
            "group": group,
            "recency_days": values[:, 0],
            "order_days": values[:, 1],
            "monetary_amount": values[:, 2],
        }
    )


def test_planted_groups_are_found_and_ordered_by_money():
    frame = customers()
    model = segmentation.fit(frame)
    table = segmentation.predict(model, frame).merge(frame, on="customer_key")
    assert len(model.names) == 4 and model.note == ""
    assert (table["cluster"] == table["group"] + 1).mean() > 0.99
    assert model.names[0] == "Recent, frequent, high spend"
    assert model.names[3] == "Lapsed, rare, low spend"
    assert len(set(model.names)) == 4
    chosen = segmentation.evaluate(model).query("k == 4 and metric == 'stability'")
    assert chosen["value"].iloc[0] >= clusters.MIN_STABILITY


def test_rows_in_any_order_give_the_same_clusters():
    frame = customers(300)
    shuffled = frame.sample(frac=1, random_state=8)
    tables = [segmentation.predict(segmentation.fit(f), frame) for f in (frame, shuffled)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


@pytest.mark.parametrize(
    ("silhouette", "stability", "k", "note"),
    [
        ([0.50, 0.30, 0.40, 0.35], [1.0, 0.95, 0.95, 0.95], 4, ""),  # the peak beyond 2
        ([0.50, 0.30, 0.40, 0.35], [1.0, 0.95, 0.50, 0.95], 5, "best stable k"),  # not stable
        ([0.50, 0.40, 0.30, 0.20], [1.0, 0.95, 0.95, 0.95], 3, "best stable k"),  # no peak
        ([0.50, 0.40, 0.30, 0.20], [1.0, 0.20, 0.30, 0.40], 5, "no k is stable"),
    ],
)
def test_k_by_rule(silhouette, stability, k, note):
    choice = pd.DataFrame({"k": [2, 3, 4, 5], "silhouette": silhouette, "stability": stability})
    chosen, why = clusters.choose_k(choice)
    assert chosen == k
    assert note in why and bool(note) == bool(why)


def test_returns_beyond_purchases_count_as_no_money():
    frame = customers()
    frame.loc[frame.index[:5], "monetary_amount"] = -50.0
    table = segmentation.predict(segmentation.fit(frame), frame)
    assert np.isfinite(table["distance"]).all()


def test_clusters_of_one_name_are_numbered():
    centres = np.array([[0.0, 1.0, 2.0], [0.1, 1.1, 1.0], [1.0, -1.0, -1.0]])
    names = clusters._names(centres)
    assert names[:2] == ("Cooling, frequent, high spend (1)", "Cooling, frequent, high spend (2)")


# --- from run to run -------------------------------------------------------------------------


def test_labels_stay_while_the_groups_do():
    """A month later: everybody is silent a little longer, and one group spends more."""
    frame = customers()
    first = segmentation.fit(frame)
    before = segmentation.profiles(first, frame)
    later = frame.assign(
        recency_days=frame["recency_days"] * 1.05,
        monetary_amount=np.where(
            frame["group"] == 1, frame["monetary_amount"] * 1.2, frame["monetary_amount"]
        ),
    ).sample(frac=1, random_state=4)
    second = segmentation.fit(later, before)
    labels = [
        segmentation.predict(model, data).set_index("customer_key")["cluster"]
        for model, data in ((first, frame), (second, later))
    ]
    assert (labels[0].sort_index() == labels[1].sort_index()).mean() > 0.99
    assert set(second.names) == set(first.names)
    assert (second.shifts < 0.3).all()
    assert not segmentation.profiles(second, later)["is_new"].any()


def test_another_group_gets_another_number_and_name():
    frame = customers()
    before = segmentation.profiles(segmentation.fit(frame), frame)
    gone = frame["group"] == 3
    other = frame.assign(
        recency_days=np.where(gone, 3.0, frame["recency_days"]),
        order_days=np.where(gone, 90.0, frame["order_days"]),
        monetary_amount=np.where(gone, 300.0, frame["monetary_amount"])
        * np.random.default_rng(1).lognormal(0, 0.1, len(frame)),
    )
    model = segmentation.fit(other, before)
    table = segmentation.profiles(model, other)
    assert table["is_new"].any()
    assert (table.loc[table["is_new"], "cluster"] > before["cluster"].max()).all()
    assert table["cluster"].is_unique and table["cluster_name"].is_unique


def test_profiles_by_hand():
    frame = customers()
    table = segmentation.profiles(segmentation.fit(frame), frame).set_index("cluster")
    best = frame[frame["group"] == 0]
    assert table.loc[1, "customers"] == pytest.approx(len(best), abs=2)
    assert table["customer_share"].sum() == pytest.approx(1)
    assert table["monetary_share"].sum() == pytest.approx(1)
    assert table.loc[1, "median_order_days"] == pytest.approx(best["order_days"].median(), rel=0.02)
    assert table.loc[1, "profile"].startswith("25% of the customers, 9")
    assert table.loc[1, "centre_order_days"] == pytest.approx(
        np.log1p(best["order_days"]).mean(), rel=0.01
    )


def test_customers_without_groups_are_said_to_have_none():
    """Negative control: one cloud of customers has no number of clusters that it falls into."""
    random = np.random.default_rng(6)
    cloud = pd.DataFrame(
        np.expm1(random.normal(5, 1, (600, 3)).clip(0.1)), columns=list(clusters.COLUMNS)
    ).assign(customer_key=[f"c{i}" for i in range(600)])
    assert "no " in segmentation.fit(cloud).note


def test_too_few_or_equal_customers_are_said():
    frame = customers(99)
    with pytest.raises(segmentation.TooLittleDataError, match="99 customers"):
        segmentation.fit(frame)
    same = pd.concat([frame.head(2)] * 100, ignore_index=True)
    same["customer_key"] = range(200)
    with pytest.raises(segmentation.TooLittleDataError, match="2 different"):
        segmentation.fit(same)
