"""The registry on a real Postgres with MLflow's own store: versions, pins, cards, monitoring."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg
import pytest

from loaders.settings import Settings
from ml import registry, runs, schema
from ml.jobs import running, watching
from ml.registry import cards, store

pytestmark = pytest.mark.servers

TABLES = """
create schema features;
create table features.daily_sales (
    total_sales_amount numeric, product_sales_amount numeric, net_profit_amount numeric,
    orders integer, metric_date date);
create table features.customer_days (
    customer_key text, is_purchase boolean, demand_amount numeric, activity_date date,
    returns_amount numeric default 0);
"""
FIRST = date(2024, 1, 31)


@pytest.fixture
def connection(pg_database: Settings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(**pg_database.postgres()) as opened:
        opened.execute(TABLES)
        schema.ensure(opened)
        yield opened


def score(
    connection: psycopg.Connection, day: int = 0, *, status: str = "ok", mean: float = 0.5
) -> running.Outcome:
    """A run of a task without a model: 300 customers, so many days after the first."""
    as_of = FIRST + timedelta(days=day)
    random = np.random.default_rng(day)
    keys = [f"c{i:03}" for i in range(300)]
    features = pd.DataFrame(
        {
            "customer_key": keys,
            "spent": random.normal(mean, 1, 300),
            "as_of_date": pd.Timestamp(as_of),
        }
    )
    probability = np.clip(random.normal(mean, 0.1, 300), 0, 1)
    scores = pd.DataFrame(
        {"customer_key": keys, "horizon_days": 90, "churn_probability": probability, "tier": "low"}
    )
    metrics = pd.DataFrame(
        [
            ("customers", "logistic", "90", "roc_auc", 0.8, 300, True, False),
            ("customers", "logistic", "90", "churn_rate", 0.5, 300, True, False),
            ("customers", "rfm", "90", "roc_auc", 0.7, 300, False, True),
            ("customers", "rfm", "90", "pr_auc", np.nan, 300, False, True),
        ],
        columns=[
            "series",
            "model",
            "horizon",
            "metric",
            "value",
            "n",
            "is_champion",
            "is_baseline",
        ],
    )

    def result() -> runs.Result:
        if status != "ok":
            return runs.Result(status, note="too few")
        return runs.Result(
            status,
            champion="logistic",
            baseline="rfm",
            trained_to=as_of,
            tables={"churn_scores": scores},
            metrics=metrics,
            importance=pd.DataFrame(
                {
                    "series": "customers",
                    "model": "logistic",
                    "fact": ["spend", "recency"],
                    "features": ["spent, last_spent", "recency_days"],
                    "importance": [-0.0012, 0.25],
                    "deviation": [0.001, 0.02],
                    "rank": [2, 1],
                    "n": 300,
                }
            ),
        )

    return running.compute(
        connection,
        task="churn",
        version="1.0",
        features=features,
        as_of=pd.Timestamp(as_of),
        parameters={"horizon_days": 90},
        result_of=result,
    )


def registered(connection: psycopg.Connection, count: int) -> list[str]:
    """So many runs as versions 1, 2, ...; without MLflow, which has a test of its own."""
    ids = [score(connection, day).run_id for day in range(count)]
    for number, run_id in enumerate(ids, start=1):
        connection.execute(
            "insert into ml.model_versions values (%s, 'churn', %s, 'x', false, now())",
            [run_id, number],
        )
    connection.commit()
    return ids


CURRENT = (Path(__file__).parents[3] / "models/predictions/current_runs.sql").read_text()


def shown(connection: psycopg.Connection) -> str:
    """The run that `predictions.current_runs` shows."""
    query = CURRENT.replace("{{ source('ml', 'runs') }}", "ml.runs")
    query = query.replace("{{ source('ml', 'pins') }}", "ml.pins")
    [(run_id,)] = connection.execute(f"select run_id from ({query}) as q").fetchall()
    connection.commit()
    return run_id


def numbers(connection: psycopg.Connection) -> tuple[int, bool, bool]:
    """The current version, whether it is pinned, and whether the predictions show it."""
    one = registry.current(connection, "churn")
    return one.version, one.is_pinned, one.run_id == shown(connection)


def test_the_newest_version_is_current(connection: psycopg.Connection) -> None:
    registered(connection, 3)
    assert numbers(connection) == (3, False, True)
    assert [one.version for one in registry.versions(connection)] == [3, 2, 1]


def test_a_promoted_version_stays_until_it_is_unpinned(connection: psycopg.Connection) -> None:
    registered(connection, 3)
    for _ in range(2):  # a second time changes nothing
        assert registry.promote(connection, "churn", 1).version == 1
        assert numbers(connection) == (1, True, True)
    score(connection, 9)  # trained since
    assert numbers(connection) == (1, True, True)
    for _ in range(2):
        registry.unpin(connection, "churn")
    pinned = connection.execute("select count(*) from ml.pins").fetchone()
    assert pinned == (0,)


def test_a_rollback_goes_one_version_back_and_no_further(connection: psycopg.Connection) -> None:
    registered(connection, 3)
    for _ in range(2):
        assert registry.rollback(connection, "churn").version == 2
        assert numbers(connection) == (2, True, True)
    # what was chosen by name can be rolled back too
    registry.promote(connection, "churn", 2)
    assert registry.rollback(connection, "churn").version == 1
    registry.promote(connection, "churn", 1)
    with pytest.raises(registry.NoSuchVersionError, match="no version before 1"):
        registry.rollback(connection, "churn")


def test_what_is_not_there_is_said(connection: psycopg.Connection) -> None:
    with pytest.raises(registry.NoSuchVersionError, match="nothing was scored"):
        registry.promote(connection, "churn", 1)
    registered(connection, 2)
    with pytest.raises(registry.NoSuchVersionError, match="it has 1 to 2"):
        registry.promote(connection, "churn", 7)
    with pytest.raises(registry.NoSuchVersionError, match="versions are of churn"):
        registry.rollback(connection, "weather")
    assert numbers(connection) == (2, False, True)


def test_after_too_little_data_nothing_is_current_until_a_version_is_chosen(
    connection: psycopg.Connection,
) -> None:
    registered(connection, 2)
    empty = score(connection, 9, status="too_little_data")
    assert shown(connection) == empty.run_id
    with pytest.raises(registry.NoSuchVersionError, match="too little data"):
        registry.current(connection, "churn")
    assert registry.rollback(connection, "churn").version == 2
    assert numbers(connection) == (2, True, True)
    assert registry.unpin(connection, "churn") is None


def test_a_pinned_run_can_be_written_again(connection: psycopg.Connection) -> None:
    first, _ = registered(connection, 2)
    registry.promote(connection, "churn", 1)
    with running.paced(running.Pace(retrain=True)):
        assert score(connection, 0).run_id == first
    assert numbers(connection) == (1, True, True)


def test_training_anew_replaces_the_same_run(connection: psycopg.Connection) -> None:
    first = score(connection)
    with running.paced(running.Pace(retrain=True)):
        again = score(connection)
    assert (again.run_id, again.reused) == (first.run_id, False)
    assert connection.execute("select count(*) from ml.churn_scores").fetchone() == (300,)
    assert score(connection).reused


def test_a_run_is_kept_for_as_long_as_the_pace_says(connection: psycopg.Connection) -> None:
    first = score(connection)
    with running.paced(running.Pace(every_days=7)):
        kept, late = score(connection, 6), score(connection, 7)
    assert (kept.run_id, kept.reused, kept.rows) == (first.run_id, True, 300)
    assert late.run_id != first.run_id and not late.reused
    assert not score(connection, 8).reused  # without a pace what is new is trained


def test_mlflow_has_each_run_once_with_all_that_made_it(
    connection: psycopg.Connection, pg_database: Settings, tmp_path: Path
) -> None:
    postgres = pg_database.postgres()
    first, second = score(connection, 0), score(connection, 1)
    assert store.register(connection, postgres, tmp_path) == 2
    assert store.register(connection, postgres, tmp_path) == 0
    # killed after MLflow had written and before the books were: nothing is there twice
    connection.execute("delete from ml.model_versions where run_id = %s", [second.run_id])
    connection.commit()
    assert store.register(connection, postgres, tmp_path) == 1
    found = {one.run_id: one for one in registry.versions(connection)}
    assert {run_id: one.version for run_id, one in found.items()} == {
        first.run_id: 1,
        second.run_id: 2,
    }
    client = store._client(connection, postgres)
    assert len(client.search_model_versions("name = 'churn'")) == 2

    def champion() -> str | None:
        by_alias = client.get_registered_model("churn").aliases
        return str(by_alias[store.ALIAS]) if store.ALIAS in by_alias else None

    assert champion() == "2"
    run = client.get_run(found[first.run_id].mlflow_run_id)
    assert run.data.metrics == {
        "customers.90.churn_rate.champion": 0.5,
        "customers.90.roc_auc.baseline": 0.7,
        "customers.90.roc_auc.champion": 0.8,
    }
    assert run.data.params["parameter.horizon_days"] == "90"
    assert run.data.params["code_version"] == runs.code_version()
    assert run.data.params["trained_to"] == str(FIRST)
    assert run.data.params["data_fingerprint"] == found[first.run_id].data_fingerprint
    [card] = tmp_path.rglob(f"{run.info.run_id}/artifacts/card.md")
    assert "# churn" in card.read_text()
    score(connection, 2, status="too_little_data")
    assert store.register(connection, postgres, tmp_path) == 0 and champion() is None
    registry.promote(connection, "churn", 1)
    assert store.register(connection, postgres, tmp_path) == 0 and champion() == "1"
    # in a schema of its own
    public = "select count(*) from information_schema.tables where table_schema = 'public'"
    assert connection.execute(public).fetchone() == (0,)


def test_a_card_says_what_was_measured(connection: psycopg.Connection) -> None:
    card = cards.read(connection, score(connection).run_id)
    text = cards.render(card, 1)
    assert text.startswith("# churn, version 1\n")
    for part in ("Limits", "Not for", "How good it is", "Parameters", "What it was made of"):
        assert f"\n## {part}\n" in text
    # Hanley & McNeil 1982 for .8 of 150 and 150: se .0261
    assert "| customers | 90 | roc_auc | logistic | 0.800 | 0.750 to 0.850 | 0.700 | 300 |" in text
    leans_on = text.split("\n## What it leans on\n")[1].split("\n## ")[0]
    assert [line.split(" | ")[1:4] for line in leans_on.splitlines()[-2:]] == [
        ["recency", "logistic", "+25.0 %"],
        ["spend", "logistic", "-0.1 %"],
    ]
    assert card.words is cards.WORDS["churn"]
    with pytest.raises(LookupError):
        cards.read(connection, "nonsense")


def test_intervals_by_hand() -> None:
    """Wilson for 8 of 10: .490 to .943."""
    assert cards.interval("accuracy", 0.8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert np.isnan(cards.interval("mae", 0.8, 10)).all()
    assert np.isnan(cards.interval("roc_auc", 0.8, 10)).all()


def drifted(connection: psycopg.Connection, run_id: str) -> dict[str, bool]:
    rows = connection.execute(
        "select kind || ' ' || name, is_drifted from ml.drift where run_id = %s", [run_id]
    ).fetchall()
    connection.commit()
    return dict(rows)


def test_drift_is_measured_against_a_run_of_weeks_ago(connection: psycopg.Connection) -> None:
    first = score(connection, 0)
    same = score(connection, 29)
    moved = score(connection, 60, mean=3.0)
    assert drifted(connection, first.run_id) == {}
    columns = ("input spent", "score churn_scores.churn_probability")
    assert {drifted(connection, same.run_id)[name] for name in columns} == {False}
    assert {drifted(connection, moved.run_id)[name] for name in columns} == {True}
    reference = connection.execute(
        "select distinct reference_run_id from ml.drift where run_id = %s", [moved.run_id]
    ).fetchall()
    assert reference == [(same.run_id,)]


def test_what_goes_wrong_in_watching_leaves_the_scores(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(watching, "_record", broken)
    assert score(connection).rows == 300
    assert connection.execute("select count(*) from ml.churn_scores").fetchone() == (300,)


def fill_outcomes(connection: psycopg.Connection, last: date) -> None:
    """Every second customer orders on day 40 after the first run; all had ordered before."""
    days = "features.customer_days (customer_key, is_purchase, demand_amount, activity_date)"
    with connection.cursor().copy(f"copy {days} from stdin") as copy:
        for i in range(300):
            copy.write_row([f"c{i:03}", True, 10, FIRST - timedelta(days=i)])
            if i % 2:
                copy.write_row([f"c{i:03}", True, 10, FIRST + timedelta(days=40)])
    connection.execute("insert into features.daily_sales values (1, 1, 1, 1, %s)", [last])
    connection.commit()


def test_churn_is_measured_when_its_days_are_over(connection: psycopg.Connection) -> None:
    run_id = score(connection).run_id
    fill_outcomes(connection, FIRST + timedelta(days=89))
    assert watching.measure(connection) == 0
    connection.execute("update features.daily_sales set metric_date = metric_date + 1")
    connection.commit()
    assert watching.measure(connection) == 4
    assert watching.measure(connection) == 0
    rows = connection.execute(
        "select metric, value, baseline_value, backtest_value, n, measured_to"
        " from ml.model_performance where run_id = %s",
        [run_id],
    ).fetchall()
    found = {metric: rest for metric, *rest in rows}
    assert found["churn_rate"] == [0.5, 0.5, 0.5, 300, FIRST + timedelta(days=90)]
    assert found["brier"][1] == pytest.approx(0.25)
    assert found["roc_auc"][2] == 0.8


def test_lifetime_values_are_measured_a_year_later(connection: psycopg.Connection) -> None:
    """Each had bought for 10 in the year before, and every second bought for 10 after it."""
    table = pd.DataFrame({"customer_key": [f"c{i:03}" for i in range(300)]}).assign(
        horizon_days=365, predicted_amount=[10.0 if i % 2 else 0.0 for i in range(300)]
    )
    run = runs.Run("lifetime", "1", FIRST, {"horizon_days": 365}, "x")
    runs.write(connection, run, runs.Result("ok", tables={"lifetime_values": table}))
    fill_outcomes(connection, FIRST + timedelta(days=365))
    assert watching.measure(connection) == 3
    found = connection.execute(
        "select value, baseline_value, n, is_degraded, measured_to from ml.model_performance"
        " where metric = 'mae'"
    ).fetchall()
    assert found == [(0.0, 5.0, 300, False, FIRST + timedelta(days=365))]


def test_forecasts_are_measured_horizon_by_horizon(connection: psycopg.Connection) -> None:
    table = pd.DataFrame(
        [
            ("revenue", "total", "all", model, model == "good", "day",
             FIRST + timedelta(days=d), d, False, 100.0 + error, 50.0, 150.0, 0.0, 200.0)
            for model, error in (("good", 1), ("naive", 10))
            for d in range(1, 91)
        ],
        columns=["series", "dimension", "member", "model", "is_champion", "grain", "target_date",
                 "horizon_days", "is_closed", "yhat", "lo80", "hi80", "lo95", "hi95"],
    )  # fmt: skip
    run = runs.Run("forecast", "1", FIRST, {}, "x")
    runs.write(connection, run, runs.Result("ok", tables={"forecasts": table}))

    def live(first: int, last: int) -> int:
        with connection.cursor().copy("copy features.daily_sales from stdin") as copy:
            for d in range(first, last + 1):
                copy.write_row([100, 100, 30, 5, FIRST + timedelta(days=d)])
        connection.commit()
        return watching.measure(connection)

    assert live(1, 29) == 0
    assert live(30, 30) == 5
    assert live(31, 89) == 0
    assert live(90, 90) == 5
    assert live(91, 95) == 0
    wape = connection.execute(
        "select horizon, value, baseline_value, is_degraded from ml.model_performance"
        " where metric = 'wape' order by 1"
    ).fetchall()
    assert wape == [("1-30", 0.01, 0.1, False), ("31-90", 0.01, 0.1, False)]
