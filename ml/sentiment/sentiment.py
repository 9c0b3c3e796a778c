"""How pleased each review is, from its words.

Without ratings a lexicon says so. With enough of them a logistic regression on words, pairs of
words and the lexicon's scores is trained on what was rated; it learns the shop's own words and
languages. It is trained on the older reviews, measured on the newer ones, and kept only if it
tells good from bad better than the lexicon there.

Ratings below 3 stars are bad, above 3 good, 3 middling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from ml import asof, evaluation
from ml.sentiment import lexicon

SEED = 20240229
BASELINE = "lexicon"
TRAINED = "words_and_lexicon"
LABELS = ("negative", "neutral", "positive")

NEWER_SHARE = 0.25  # of the rated reviews, on which the methods are compared
MOST_TRAINING = 20_000  # the newest so many: more words than these reviews have hardly matter
MOST_WORDS = 20_000
LEAST_DOCUMENTS = 2  # a word of one review is a name or a slip
# below these a trained model would learn single reviews
MIN_RATED = 200
MIN_PER_CLASS = 20

# of an aspect or a term of a product
MIN_MENTIONS = 3
# a term is shown only if so many reviews of so many products use it: no name of a person
MIN_TERM_REVIEWS = 10
MIN_TERM_PRODUCTS = 3
MIN_Z = 1.96
MOST_TERMS = 5  # of a product
# what the shop's usage weighs: with less, a word that good reviews never use has endless variance
PRIOR_WORDS = 100.0


class TooLittleDataError(Exception):
    """Nothing can be said of reviews; the message says why."""


@dataclass(frozen=True)
class SentimentModel:
    """Scores of all reviews and how they were chosen.

    Attributes:
        reviews: review_id, product_key, language, rating, review_date, and texts cleaned.
        moods: the lexicon's scores, shape (n, 3).
        probabilities: of `LABELS` by the trained model, shape (n, 3); None without one. Those of
            reviews that it learned from are out of fold.
        measured: model, metric, value, n on the newer reviews.
    """

    reviews: pd.DataFrame
    moods: np.ndarray
    probabilities: np.ndarray | None
    champion: str
    measured: pd.DataFrame
    note: str = ""


def fit(reviews: pd.DataFrame) -> SentimentModel:
    """Score all reviews, by the lexicon and by what ratings teach.

    Args:
        reviews: rows of `features.review_texts` in any order.

    Raises:
        TooLittleDataError: no review has words.
    """
    reviews = reviews.sort_values(["review_date", "review_id"]).reset_index(drop=True)
    reviews = reviews.assign(text=lexicon.clean(reviews["text"]))
    reviews = reviews[reviews["text"] != ""].reset_index(drop=True)
    if reviews.empty:
        raise TooLittleDataError("no review has words")
    moods = lexicon.moods(reviews["text"])
    rated = reviews["rating"].notna().to_numpy()
    label = _label(reviews["rating"])
    counts = [int((label[rated] == one).sum()) for one in (0, 2)]
    coverage = _coverage(moods)
    if rated.sum() < MIN_RATED or min(counts) < MIN_PER_CLASS:
        note = (
            f"{int(rated.sum())} rated reviews, {counts[0]} of them bad: {MIN_RATED} with"
            f" {MIN_PER_CLASS} of each kind are needed to learn from; the lexicon scores"
        )
        measured = _measures(BASELINE, moods[rated], None, label[rated])
        return SentimentModel(
            reviews, moods, None, BASELINE, pd.concat([measured, coverage], ignore_index=True), note
        )
    with threadpool_limits(1):  # the order of a sum is the same on every machine
        measured = _compared(reviews, moods, label, rated)
        auc = measured[measured["metric"] == "roc_auc"].set_index("model")["value"]
        if not auc.get(TRAINED, 0.0) > auc.get(BASELINE, 0.5):
            champion, probabilities = BASELINE, None
            note = "words learned from ratings told good from bad no better than the lexicon"
        else:
            champion, note = TRAINED, ""
            probabilities = _out_of_fold(reviews, moods, label, rated)
    measured = pd.concat([measured, coverage], ignore_index=True)
    return SentimentModel(reviews, moods, probabilities, champion, measured, note)


def predict(model: SentimentModel) -> pd.DataFrame:
    """The sentiment of each review, without its words.

    Returns:
        review_id, product_key, review_date, language, rating, sentiment (-1 bad to 1 good), label
        (negative, neutral, positive), lexicon_score, is_covered (the lexicon knows a word of it),
        contradicts_rating (bad words with 4 or 5 stars, or the reverse), method; sorted by review.
    """
    compound = model.moods[:, 0]
    if model.probabilities is None:
        sentiment, place = compound, _lexicon_place(compound)
    else:
        sentiment = model.probabilities[:, 2] - model.probabilities[:, 0]
        place = model.probabilities.argmax(axis=1)
    rating = model.reviews["rating"].to_numpy(float)
    columns = ["review_id", "product_key", "review_date", "language", "rating"]
    table = model.reviews[columns].assign(
        sentiment=sentiment,
        label=np.array(LABELS, dtype=object)[place],
        lexicon_score=compound,
        is_covered=compound != 0,
        contradicts_rating=((rating >= 4) & (place == 0)) | ((rating <= 2) & (place == 2)),
        method=model.champion,
    )
    return table.sort_values("review_id", ignore_index=True)


def evaluate(model: SentimentModel) -> pd.DataFrame:
    """What each method was worth on the newer reviews.

    Returns:
        model, metric, value, n: roc_auc and accuracy of good against bad, accuracy_3 of good,
        middling and bad, positive_rate; coverage, the share of texts of which the lexicon knows
        a word.
    """
    return model.measured


def product_aspects(model: SentimentModel) -> pd.DataFrame:
    """What is said of each product, more often in bad reviews or in good ones.

    Aspects are found by a list of words. Terms are those whose odds in the product's bad reviews
    differ from those in its good ones beyond chance, by log odds with the shop's words as prior
    (Monroe, Colaresi & Quinn 2008, Political Analysis 16). Only words of many reviews of several
    products are shown: none that could name a person.

    Returns:
        product_key, kind (aspect, term), name, reviews (that mention it), share (of the product's
        reviews), mean_rating, product_mean_rating, mean_sentiment, z (below 0 goes with bad
        ratings; of terms only). Products without `MIN_MENTIONS` of anything have no row.
    """
    scored = predict(model).set_index("review_id")["sentiment"]
    reviews = model.reviews.assign(sentiment=model.reviews["review_id"].map(scored))
    known = reviews[reviews["product_key"].notna()].reset_index(drop=True)
    columns = ["product_key", "kind", "name", "reviews", "share", "mean_rating"]
    columns += ["product_mean_rating", "mean_sentiment", "z"]
    if known.empty:
        return pd.DataFrame(columns=columns)
    found = [_aspect_rows(known), _term_rows(known)]
    table = pd.concat([part for part in found if len(part)] or found, ignore_index=True)
    whole = known.groupby("product_key").agg(
        product_mean_rating=("rating", "mean"), total=("review_id", "size")
    )
    table = table.join(whole, on="product_key")
    table["share"] = table["reviews"] / table["total"]
    return table[columns].sort_values(["product_key", "kind", "name"], ignore_index=True)


def _label(rating: pd.Series) -> np.ndarray:
    """0 bad, 1 middling, 2 good; 1 without a rating, which nobody learns from."""
    stars = rating.fillna(3).to_numpy(float)
    return np.select([stars < 3, stars > 3], [0, 2], 1)


def _lexicon_place(compound: np.ndarray) -> np.ndarray:
    return np.select([compound <= -lexicon.NEUTRAL, compound >= lexicon.NEUTRAL], [0, 2], 1)


def _coverage(moods: np.ndarray) -> pd.DataFrame:
    share = float((moods[:, 0] != 0).mean())
    return pd.DataFrame(
        [(BASELINE, "coverage", share, len(moods))], columns=["model", "metric", "value", "n"]
    )


def _compared(
    reviews: pd.DataFrame, moods: np.ndarray, label: np.ndarray, rated: np.ndarray
) -> pd.DataFrame:
    """Both methods on the newer rated reviews; the trained one knows the older ones only."""
    places = np.flatnonzero(rated)
    first_newer = reviews["review_date"].iloc[places[int(len(places) * (1 - NEWER_SHARE))]]
    newer = places[(reviews["review_date"].iloc[places] >= first_newer).to_numpy()]
    older = places[(reviews["review_date"].iloc[places] < first_newer).to_numpy()]
    found = [_measures(BASELINE, moods[newer], None, label[newer])]
    if min((label[older] == one).sum() for one in (0, 2)) >= MIN_PER_CLASS // 2:
        day_before = first_newer - pd.Timedelta(days=1)
        asof.require_past(reviews.iloc[older], ["review_date"], day_before)
        probabilities = _predicted(reviews["text"], moods, label, older, newer)
        found.append(_measures(TRAINED, moods[newer], probabilities, label[newer]))
    return pd.concat(found, ignore_index=True)


def _measures(
    name: str, moods: np.ndarray, probabilities: np.ndarray | None, label: np.ndarray
) -> pd.DataFrame:
    if probabilities is None:
        score, place = moods[:, 0], _lexicon_place(moods[:, 0])
    else:
        score, place = probabilities[:, 2] - probabilities[:, 0], probabilities.argmax(axis=1)
    sided = label != 1
    good = label[sided] == 2
    rows = [
        ("roc_auc", evaluation.roc_auc(good.astype(float), score[sided]), int(sided.sum())),
        ("accuracy", _share((score[sided] > 0) == good), int(sided.sum())),
        ("accuracy_3", _share(place == label), len(label)),
        ("positive_rate", _share(good), int(sided.sum())),
    ]
    return pd.DataFrame(rows, columns=["metric", "value", "n"]).assign(model=name)[
        ["model", "metric", "value", "n"]
    ]


def _share(hits: np.ndarray) -> float:
    return float(hits.mean()) if len(hits) else float("nan")


def _out_of_fold(
    reviews: pd.DataFrame, moods: np.ndarray, label: np.ndarray, rated: np.ndarray
) -> np.ndarray:
    """Probabilities of all reviews; a rated one never by a model that knew its own rating.

    Two folds by product, so that the words of one product teach nothing about it alone.
    """
    codes, products = pd.factorize(reviews["product_key"], sort=True)
    fold = np.where(codes < 0, np.arange(len(codes)), codes) % 2
    if len(products) < 2 or any(len(np.unique(label[rated & (fold == one)])) < 2 for one in (0, 1)):
        fold = np.arange(len(codes)) % 2
    found = np.zeros((len(reviews), len(LABELS)))
    for one in (0, 1):
        train, score = np.flatnonzero(rated & (fold != one)), np.flatnonzero(fold == one)
        if len(score):
            found[score] = _predicted(reviews["text"], moods, label, train, score)
    return found


def _predicted(
    texts: pd.Series, moods: np.ndarray, label: np.ndarray, train: np.ndarray, score: np.ndarray
) -> np.ndarray:
    """Probabilities of `LABELS` for the rows `score`, learned from the rows `train`."""
    train = train[-MOST_TRAINING:]
    words = TfidfVectorizer(
        ngram_range=(1, 2),
        min_df=LEAST_DOCUMENTS,
        max_features=MOST_WORDS,
        sublinear_tf=True,
        strip_accents="unicode",
    )
    plain = texts.to_numpy(object)
    try:
        x = sparse.hstack([words.fit_transform(plain[train]), moods[train]]).tocsr()
        of = sparse.hstack([words.transform(plain[score]), moods[score]]).tocsr()
    except ValueError:  # no word is in two reviews: the lexicon is all there is
        x, of = moods[train], moods[score]
    model = LogisticRegression(C=3.0, max_iter=300, random_state=SEED)
    model.fit(x, label[train])
    found = np.zeros((len(score), len(LABELS)))
    found[:, model.classes_] = model.predict_proba(of)
    return found


def _aspect_rows(known: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for name, hits in lexicon.aspects(known["text"]).items():
        of = (
            known[hits]
            .groupby("product_key")
            .agg(
                reviews=("review_id", "size"),
                mean_rating=("rating", "mean"),
                mean_sentiment=("sentiment", "mean"),
            )
        )
        of = of[of["reviews"] >= MIN_MENTIONS].reset_index()
        parts.append(of.assign(kind="aspect", name=name, z=np.nan))
    return pd.concat(parts, ignore_index=True)


def _term_rows(known: pd.DataFrame) -> pd.DataFrame:
    """Terms of products that part bad reviews from good ones."""
    rows: list[dict[str, object]] = []
    label = np.where(known["rating"].notna(), _label(known["rating"]), 1)
    words = TfidfVectorizer(
        use_idf=False, norm=None, binary=True, min_df=MIN_TERM_REVIEWS, stop_words="english"
    )
    try:
        counts = words.fit_transform(known["text"].to_numpy(object)).tocsr()
    except ValueError:  # no word is in enough reviews
        return pd.DataFrame(rows)
    codes, products = pd.factorize(known["product_key"], sort=True)
    member = sparse.csr_matrix((np.ones(len(codes)), (codes, np.arange(len(codes)))))
    spread = np.asarray(((member @ counts) > 0).sum(axis=0)).ravel()
    kept = np.flatnonzero(spread >= MIN_TERM_PRODUCTS)
    if not len(kept):
        return pd.DataFrame(rows)
    counts, names = counts[:, kept], words.get_feature_names_out()[kept]
    shop = np.asarray(counts.sum(axis=0)).ravel()
    prior = PRIOR_WORDS * shop / shop.sum()
    for code, product in enumerate(products):
        mine = np.flatnonzero(codes == code)
        bad, good = mine[label[mine] == 0], mine[label[mine] == 2]
        if len(bad) < MIN_MENTIONS or len(good) < MIN_MENTIONS:
            continue
        z = _log_odds_z(_sum(counts[bad]), _sum(counts[good]), prior)
        mentions = _sum(counts[mine])
        chosen = np.flatnonzero((np.abs(z) >= MIN_Z) & (mentions >= MIN_MENTIONS))
        for i in chosen[np.argsort(-np.abs(z[chosen]), kind="stable")][:MOST_TERMS]:
            using = known.iloc[mine[np.asarray(counts[mine, i].todense()).ravel() > 0]]
            rows.append(
                {
                    "product_key": product,
                    "kind": "term",
                    "name": str(names[i]),
                    "reviews": len(using),
                    "mean_rating": using["rating"].mean(),
                    "mean_sentiment": using["sentiment"].mean(),
                    "z": -float(z[i]),
                }
            )
    return pd.DataFrame(rows)


def _log_odds_z(bad: np.ndarray, good: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """z of the difference of log odds with a Dirichlet prior; above 0 goes with bad reviews."""
    weight = prior.sum()

    def log_odds(counts: np.ndarray) -> np.ndarray:
        return np.log((counts + prior) / (counts.sum() + weight - counts - prior))

    variance = 1 / (bad + prior) + 1 / (good + prior)
    return (log_odds(bad) - log_odds(good)) / np.sqrt(variance)


def _sum(rows: sparse.csr_matrix) -> np.ndarray:
    return np.asarray(rows.sum(axis=0)).ravel()
