"""Sentiment: the lexicon reads plain words, ratings teach the shop's own, no name leaves a text."""

import numpy as np
import pandas as pd
import pytest

from ml import sentiment
from ml.jobs import sentiment as job
from ml.sentiment import lexicon
from ml.sentiment import sentiment as rules

GOOD = ("Excellent, I love it", "Great quality and very happy", "Perfect, highly recommended")
BAD = ("Terrible, a waste of money", "Awful, very disappointed", "Poor and horrible")
MIDDLING = ("It is there", "A mug with a handle", "Came on Tuesday")
# no English word of mood in them: only ratings can tell
FOREIGN_GOOD, FOREIGN_BAD = ("Begeistert und zufrieden",), ("Enttäuscht und kaputt",)


def reviews(n: int = 600, seed: int = 1, *, foreign: float = 0.5) -> pd.DataFrame:
    """Rated reviews of ten products; product p0 breaks, and its bad reviews say so."""
    random = np.random.default_rng(seed)
    mood = random.choice([0, 1, 2], n, p=[0.3, 0.1, 0.6])
    product = random.integers(0, 10, n)
    is_foreign = random.random(n) < foreign
    texts = []
    for i in range(n):
        pools = (FOREIGN_BAD, MIDDLING, FOREIGN_GOOD) if is_foreign[i] else (BAD, MIDDLING, GOOD)
        text = random.choice(pools[mood[i]])
        if mood[i] == 0 and (product[i] == 0 or random.random() < 0.05):
            text += ". The handle broke"
        texts.append(f"{text}. Item {i}")
    return pd.DataFrame(
        {
            "review_id": [f"r{i:05}" for i in random.permutation(n)],
            "product_key": [f"p{p}" for p in product],
            "language": np.where(is_foreign, "de", "en"),
            "text": texts,
            "rating": np.array([1.0, 3.0, 5.0])[mood],
            "review_date": pd.Timestamp("2024-01-01")
            + pd.to_timedelta(np.arange(n) // 2, unit="D"),
        }
    )


def value(model: sentiment.SentimentModel, name: str, metric: str) -> float:
    found = sentiment.evaluate(model)
    return float(found.loc[(found["model"] == name) & (found["metric"] == metric), "value"].iloc[0])


@pytest.fixture(scope="module")
def fitted() -> sentiment.SentimentModel:
    return sentiment.fit(reviews())


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (GOOD[0], "positive"),
        (BAD[0], "negative"),
        ("It was not good at all", "negative"),
        ("A mug with a handle", "neutral"),
        ("<p>Great&nbsp;mug &amp; <b>lovely</b></p>", "positive"),
    ],
)
def test_the_lexicon_reads_plain_words(text: str, label: str) -> None:
    frame = reviews(1).assign(text=text, rating=np.nan)
    [found] = sentiment.predict(sentiment.fit(frame)).itertuples()
    assert (found.label, found.method) == (label, rules.BASELINE)
    assert found.is_covered == (label != "neutral")


def test_without_ratings_the_lexicon_scores_and_says_why() -> None:
    model = sentiment.fit(reviews(300).assign(rating=np.nan))
    assert model.champion == rules.BASELINE and "0 rated reviews" in model.note
    assert value(model, rules.BASELINE, "coverage") == pytest.approx(0.45, abs=0.1)


def test_ratings_teach_words_that_the_lexicon_does_not_know(fitted) -> None:
    assert fitted.champion == rules.TRAINED and fitted.note == ""
    assert value(fitted, rules.TRAINED, "roc_auc") > 0.97
    assert value(fitted, rules.TRAINED, "accuracy") > 0.95
    assert value(fitted, rules.BASELINE, "roc_auc") < 0.95
    table = sentiment.predict(fitted)
    label = table["rating"].map({1.0: "negative", 3.0: "neutral", 5.0: "positive"})
    assert (table["label"] == label).mean() > 0.9


def test_shuffled_ratings_teach_nothing() -> None:
    frame = reviews(800, foreign=1.0)
    frame["rating"] = np.random.default_rng(5).permutation(frame["rating"])
    model = sentiment.fit(frame)
    measured = sentiment.evaluate(model)
    auc = measured[(measured["model"] == rules.TRAINED) & (measured["metric"] == "roc_auc")]
    assert auc["value"].iloc[0] == pytest.approx(0.5, abs=0.12)


def test_a_model_that_is_no_better_does_not_score() -> None:
    frame = reviews(400, foreign=0.0)
    # ratings that the words of the newer reviews contradict: what was learned is wrong there
    newer = frame["review_date"] > frame["review_date"].quantile(0.7)
    frame.loc[~newer, "rating"] = 6 - frame.loc[~newer, "rating"]
    model = sentiment.fit(frame)
    assert model.champion == rules.BASELINE and "no better than the lexicon" in model.note
    assert (sentiment.predict(model)["method"] == rules.BASELINE).all()


def test_rows_in_any_order_give_the_same_scores(fitted) -> None:
    again = sentiment.fit(reviews().sample(frac=1, random_state=3))
    pd.testing.assert_frame_equal(sentiment.predict(fitted), sentiment.predict(again))
    pd.testing.assert_frame_equal(
        sentiment.product_aspects(fitted), sentiment.product_aspects(again)
    )


def test_stars_against_words_are_marked(fitted) -> None:
    frame = reviews()
    frame.loc[5, ["text", "rating"]] = ["Terrible, a waste of money. Awful", 5.0]
    table = sentiment.predict(sentiment.fit(frame)).set_index("review_id")
    assert table.loc[frame.loc[5, "review_id"], "contradicts_rating"]
    assert table["contradicts_rating"].mean() < 0.05


def test_what_is_wrong_with_a_product_is_found(fitted) -> None:
    table = sentiment.product_aspects(fitted)
    broken = table[(table["product_key"] == "p0") & (table["name"] == "durability")].iloc[0]
    assert broken["kind"] == "aspect" and broken["mean_rating"] < 2 < broken["product_mean_rating"]
    assert broken["mean_sentiment"] < 0
    term = table[(table["product_key"] == "p0") & (table["name"] == "broke")].iloc[0]
    assert term["kind"] == "term" and term["z"] < -rules.MIN_Z
    assert table["share"].between(0, 1).all()
    assert (table["reviews"] >= rules.MIN_MENTIONS).all()


def test_no_name_of_a_person_becomes_a_term() -> None:
    frame = reviews()
    mine = (frame["product_key"] == "p1") & (frame["rating"] == 1)
    frame.loc[mine, "text"] += " says Wilhelmina Featherstone"
    table = sentiment.product_aspects(sentiment.fit(frame))
    assert not table["name"].isin(["wilhelmina", "featherstone"]).any()
    assert not any("featherstone" in str(row).lower() for row in table.to_numpy().ravel())


def test_log_odds_by_hand() -> None:
    """6 of 10 words against 1 of 10, prior 1 of 2: ln(7/5) - ln(2/10), over sqrt(1/7 + 1/2)."""
    z = rules._log_odds_z(np.array([6.0, 4.0]), np.array([1.0, 9.0]), np.array([1.0, 1.0]))
    assert z[0] == pytest.approx((np.log(7 / 5) - np.log(2 / 10)) / np.sqrt(1 / 7 + 1 / 2))


@pytest.mark.parametrize(
    ("text", "aspect"),
    [
        ("It broke after a day", "durability"),
        ("Arrived late", "delivery"),
        ("Nach Tagen kaputt", "durability"),
        ("Overpriced", "price"),
    ],
)
def test_aspects_are_words(text: str, aspect: str) -> None:
    found = lexicon.aspects(pd.Series([text, "Lovely"]))
    assert found[aspect].tolist() == [True, False]


def test_too_little_data_is_said() -> None:
    none = job.result(reviews().head(0))
    assert (none.status, none.note, none.tables) == ("too_little_data", "no review has words", {})
    empty = job.result(reviews(5).assign(text=["", None, " ", "<br>", "&nbsp;"]))
    assert empty.status == "too_little_data"
    one = job.result(reviews(1))
    assert one.status == "ok" and len(one.tables["review_sentiment"]) == 1
    assert len(one.tables["product_aspects"]) == 0
    assert not one.metrics.duplicated(["series", "model", "horizon", "metric"]).any()


def test_unknown_products_and_languages_are_no_trouble() -> None:
    frame = reviews(300).assign(product_key=None, language=None)
    result = job.result(frame)
    assert result.status == "ok" and len(result.tables["review_sentiment"]) == 300
    assert len(result.tables["product_aspects"]) == 0
