"""The model card: what a model is for, what it was made of, how good it is, what it can't do.

Made from the run, so that it never says more than was measured. What a model is for, its limits
and who should leave it alone are words of this file, by task.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import psycopg
from psycopg.rows import dict_row

from ml.evaluation import Z95


@dataclass(frozen=True)
class Words:
    """What a person has to say about a task.

    Attributes:
        purpose: which question it answers, for whom.
        method: how, in a sentence or two.
        limits: where it is wrong or silent.
        not_for: uses that it must not be put to.
    """

    purpose: str
    method: str
    limits: str
    not_for: str


UNDESCRIBED = Words(
    purpose="Not described yet.",
    method="See the module of the task in `ml/`.",
    limits="Learned from this shop's own history; it knows nothing that was not in it.",
    not_for="Decisions about a single person, and anything that nobody looks at again.",
)

WORDS: dict[str, Words] = {
    "forecast": Words(
        purpose="How much will be sold and ordered on each of the next 90 days, and in the next "
        "year? For planning of stock, staff and cash.",
        method="Several models compete on past origins of the shop's own history; per series the "
        "one with the least error scores. Intervals are conformal: from the errors of that "
        "backtest.",
        limits="It knows the past and the calendar: no campaign, price change, opening or stock "
        "shortage that is still to come. In the first year it has seen no season twice. "
        "Backtest origins overlap, so differences of a few thousandths between models are ties.",
        not_for="Targets of persons, and promises to lenders: use the lower bound, and know that "
        "one day in twenty lies outside the 95 % interval.",
    ),
    "segments": Words(
        purpose="Which groups do customers fall into by how recently, how often and for how much "
        "they bought? For choosing whom to write to.",
        method="K-means on the logarithms of recency, frequency and money; k is the local maximum "
        "of the silhouette among those that survive a bootstrap.",
        limits="Groups are a summary of a continuum: a customer near a border could as well be in "
        "the next one (see the distance).",
        not_for="Prices or service that differ by group without a person's review.",
    ),
    "churn": Words(
        purpose="Which customers will probably order nothing within the horizon? For win-back "
        "lists.",
        method="Buy-till-you-die, logistic and tree models compete on past days of the shop's own "
        "history; the one with the least Brier score scores. Reasons are of a logistic "
        "regression that explains the champion and isn't it.",
        limits="A shop without contracts never sees anyone leave: this is silence, not farewell. "
        "The share of the silent swings with the season, and probabilities drift with it.",
        not_for="Refusing service, credit or a refund to a person.",
    ),
    "lifetime": Words(
        purpose="How much will each customer probably spend in the next twelve months? For the "
        "price of acquisition and the order of a list.",
        method="Buy-till-you-die and spend models, last year's spend and regression trees, "
        "compared on past days of the shop's own history.",
        limits="A few customers are most of the money: the interval of one person is wide, that of "
        "a group is what can be used.",
        not_for="Refusing service to a person, and book-keeping: it is no asset's value.",
    ),
    "anomalies": Words(
        purpose="On which days was something out of the ordinary, in total or in a country, "
        "category or payment method? For whoever has to look.",
        method="Residuals of the logarithms of revenue, orders, lines and units against level and "
        "weekday; the score is their mean signed z or an isolation forest, chosen by planting "
        "known disturbances into the shop's own history. The threshold is a budget of about one "
        "false alarm in a hundred days.",
        limits="It says that a day was unusual, not why. Halved sales of one day can hardly be "
        "told from chance in a shop whose days vary by a third. The newest days are judged "
        "without their future, and may be judged again.",
        not_for="Proof of fraud or of anybody's mistake.",
    ),
    "elasticity": Words(
        purpose="By how many percent does demand change for one percent of price, per product "
        "and category? For prices and what-if questions.",
        method="Log units on log price with product and week held constant (least squares, or "
        "Poisson where products often sell nothing), drawn to the category's by empirical Bayes; "
        "the estimator that best foretells four weeks ahead speaks.",
        limits="Correlation, no experiment: the lead-price placebo says how much of it may not be "
        "the price. Large orders are left out, competitors are unknown, and a product that was "
        "sold at one price or in few weeks gets no number.",
        not_for="Prices beyond those that were tried, and prices that differ by person.",
    ),
    "recommendations": Words(
        purpose="What will a customer probably order next, and what goes with what is in the "
        "basket? For shop windows, mails and bundles.",
        method="Personal frequency, neighbours, linear item models and learned rankers compete on "
        "later baskets of the shop's own customers, beside mere popularity.",
        limits="It knows what was bought, not what was seen or wished for. New products are "
        "recommended late, and newcomers get what is popular.",
        not_for="Goods whose sale tells something intimate about a person.",
    ),
    "products": Words(
        purpose="What will each product sell, a new one too? For the assortment.",
        method="Trees on category, price, brand, reviews and sales so far, compared on past days "
        "of the shop's own history with what the product or its category sold before.",
        limits="What a photo or a fashion does to sales is in no column. A category of three "
        "products says little about the fourth.",
        not_for="Delisting a product that nobody looked at.",
    ),
    "demand": Words(
        purpose="How much of each product will be wanted, and when to order again? For purchasing.",
        method="The pattern of demand (smooth, intermittent, lumpy) decides the method; quantiles "
        "of demand over the lead time give the reorder point.",
        limits="Days without stock hide demand; what was hidden is estimated. Promotions that are "
        "still to come are not known.",
        not_for="Orders that nobody looks at: a lead time that changed is not in it yet.",
    ),
    "marketing": Words(
        purpose="What does a channel bring for what it costs, and where should the budget move? "
        "For budgets of the next months.",
        method="Credited sales of a week against spend with memory and saturation, scaled by how "
        "much more the whole shop sells in weeks with campaigns; uncertainty by bootstrap.",
        limits="It learns from the campaigns that were run: one incrementality for all channels, "
        "and none at all before two years. Spend that follows the season closely can't be told "
        "from it. A holdout is better.",
        not_for="Spending more than was ever tried, or ending a channel on one month's advice.",
    ),
    "sentiment": Words(
        purpose="What do reviews say, and which words go with bad ratings of a product? For "
        "product and quality.",
        method="A lexicon (VADER), and where enough reviews carry ratings a logistic regression "
        "on words and lexicon scores, trained on older reviews and kept only if it beats the "
        "lexicon on newer ones.",
        limits="The lexicon reads English. Irony, and praise of something else, are read as they "
        "are written. Short texts are often neutral: see the coverage.",
        not_for="Judging the persons who wrote.",
    ),
}


@dataclass(frozen=True)
class Metric:
    """A measure of the run's time-ordered backtest.

    Attributes:
        role: champion, baseline, or empty.
        n: what it was measured on.
    """

    series: str
    horizon: str
    metric: str
    model: str
    role: str
    value: float | None
    n: int


@dataclass(frozen=True)
class Card:
    """All that a card shows of a run."""

    task: str
    run_id: str
    model_version: str
    code_version: str
    as_of_date: date | None
    status: str
    note: str
    champion: str | None
    baseline: str | None
    parameters: dict[str, Any]
    data_fingerprint: str
    trained_from: date | None
    trained_to: date | None
    row_count: int
    scored_at: datetime
    metrics: tuple[Metric, ...]
    leans_on: tuple[tuple[str, str, str, float, float, int], ...]
    drifted: tuple[tuple[str, str, float], ...]
    performance: tuple[tuple[str, str, str, float | None, float | None, int], ...]

    @property
    def words(self) -> Words:
        """What a person has to say about the task."""
        return WORDS.get(self.task, UNDESCRIBED)

    @property
    def purpose(self) -> str:
        """Which question it answers."""
        return self.words.purpose


def read(connection: psycopg.Connection[Any], run_id: str) -> Card:
    """The card of a run. Commits.

    Raises:
        LookupError: there is no such run.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        run = cursor.execute(
            "select task, run_id, model_version, code_version, as_of_date, status, note, champion,"
            " baseline, parameters, data_fingerprint, trained_from, trained_to, row_count,"
            " scored_at from ml.runs where run_id = %s",
            [run_id],
        ).fetchone()
    if run is None:
        raise LookupError(f"there is no run {run_id}")
    measured = connection.execute(
        "select series, horizon, metric, model,"
        " case when is_champion then 'champion' when is_baseline then 'baseline' else '' end,"
        " case when value between '-1e300' and '1e300' then value end, n"
        # a forecast's parts ("revenue by country: DE") would bury its totals
        " from ml.model_metrics where run_id = %s and series not like '%% by %%'"
        " order by 1, 2, 3, 4",
        [run_id],
    ).fetchall()
    leans_on = connection.execute(
        "select series, fact, model, importance, deviation, n from ml.feature_importance"
        " where run_id = %s order by series, rank",
        [run_id],
    ).fetchall()
    drifted = connection.execute(
        "select kind, name, psi from ml.drift where run_id = %s and is_drifted order by psi desc",
        [run_id],
    ).fetchall()
    performance = connection.execute(
        "select series, horizon, metric, value, baseline_value, n from ml.model_performance"
        " where run_id = %s order by 1, 2, 3",
        [run_id],
    ).fetchall()
    connection.commit()
    return Card(
        **run,
        metrics=tuple(Metric(*row) for row in measured),
        leans_on=tuple(leans_on),
        drifted=tuple(drifted),
        performance=tuple(performance),
    )


def render(card: Card, version: int | None = None) -> str:
    """The card as Markdown."""
    words = card.words
    title = f"# {card.task}" + (f", version {version}" if version else "")
    parts = [
        title,
        f"{words.purpose}",
        "## What it was made of",
        _table(
            ("", ""),
            [
                ("data until", card.as_of_date),
                ("trained on", f"{card.trained_from or '?'} to {card.trained_to or '?'}"),
                ("data fingerprint", f"`{card.data_fingerprint}`"),
                ("method", f"version {card.model_version}, code `{card.code_version}`"),
                ("scored", f"{card.scored_at:%Y-%m-%d %H:%M} UTC, {card.row_count:,} rows"),
                ("run", f"`{card.run_id}`"),
            ],
        ),
        "## Method",
        words.method,
        f"Scores: **{card.champion or 'nothing'}**. To beat: {card.baseline or 'no baseline'}.",
    ]
    if card.note:
        parts.append(f"Note: {card.note}.")
    parts += ["## How good it is", _quality(card)]
    if card.performance:
        parts += ["## How good it was, once the outcome was known", _performance(card)]
    if card.leans_on:
        parts += ["## What it leans on", _leans_on(card)]
    parts += ["## What has moved since the run before", _moved(card)]
    parts += ["## Limits", words.limits, "## Not for", words.not_for, "## Parameters"]
    parts.append(_table(("parameter", "value"), sorted(card.parameters.items())))
    return "\n\n".join(parts) + "\n"


# measures that are a share of n cases: their interval follows from n alone
_SHARES = ("coverage", "accuracy", "recall", "precision", "hit", "share", "churn_rate")


def interval(metric: str, value: float, n: int, rate: float | None = None) -> tuple[float, float]:
    """The 95 % interval of a measure on n independent cases; NaN where none follows from n.

    Shares: Wilson 1927. Area under the ROC curve: Hanley & McNeil 1982, which needs the rate of
    the positives. Backtests overlap, so the true interval is rather wider.
    """
    unknown = (float("nan"), float("nan"))
    if n < 1 or not 0 <= value <= 1:
        return unknown
    z = Z95
    if metric.startswith(_SHARES):
        middle = (value + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(value * (1 - value) / n + z**2 / (4 * n**2))
        return float(middle - half), float(middle + half)
    if metric.startswith("roc_auc") and rate is not None and 0 < rate < 1:
        positive, negative = n * rate, n * (1 - rate)
        q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
        variance = (
            value * (1 - value)
            + (positive - 1) * (q1 - value**2)
            + (negative - 1) * (q2 - value**2)
        ) / (positive * negative)
        half = z * np.sqrt(max(variance, 0.0))
        return float(max(value - half, 0.0)), float(min(value + half, 1.0))
    return unknown


def _quality(card: Card) -> str:
    if not card.metrics:
        return "Nothing was measured: the history is too short for a backtest."
    baseline = {
        (one.series, one.horizon, one.metric): one.value
        for one in card.metrics
        if one.role == "baseline"
    }
    shown = [one for one in card.metrics if one.role == "champion"]
    if not shown:  # the baseline scores
        shown = [one for one in card.metrics if one.role == "baseline"]
    rates = {
        (one.series, one.horizon): one.value
        for one in shown
        if one.metric in ("churn_rate", "positive_rate")
    }
    rows = []
    for one in shown:
        value = one.value
        low, high = (float("nan"),) * 2
        if value is not None:
            low, high = interval(one.metric, value, one.n, rates.get((one.series, one.horizon)))
        rows.append(
            (
                one.series,
                one.horizon,
                one.metric,
                one.model,
                _number(value),
                f"{_number(low)} to {_number(high)}" if np.isfinite(low) else "",
                _number(baseline.get((one.series, one.horizon, one.metric))),
                f"{one.n:,}",
            )
        )
    head = ("series", "horizon", "measure", "model", "value", "95 % interval", "baseline", "n")
    return (
        "On the shop's own past, in time order.\n\n"
        + _table(head, rows)
        + "\n\nAn interval is given where it follows from n; backtests overlap, so it is rather "
        "too narrow."
    )


def _performance(card: Card) -> str:
    rows = [
        (series, horizon, metric, _number(value), _number(baseline), f"{n:,}")
        for series, horizon, metric, value, baseline, n in card.performance
    ]
    return _table(("series", "horizon", "measure", "value", "baseline", "n"), rows)


def _leans_on(card: Card) -> str:
    rows = [
        (series, fact, model, f"{100 * rise:+.1f} %", f"{100 * deviation:.1f}", f"{n:,}")
        for series, fact, model, rise, deviation, n in card.leans_on
    ]
    head = ("series", "fact", "model", "error without it", "deviation", "n")
    return (
        "By how much the error rises if a fact is that of another row, on a past day that the "
        "model had not learned from. No causes.\n\n" + _table(head, rows)
    )


def _moved(card: Card) -> str:
    if not card.drifted:
        return "Nothing beyond chance, or there was no run to compare with."
    rows = [(kind, name, _number(psi)) for kind, name, psi in card.drifted]
    return _table(("", "column", "stability index"), rows)


def _number(value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}"


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
