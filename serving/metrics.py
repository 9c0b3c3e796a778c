"""The only door to numbers: a question in names, an answer in rows, with what it rests on.

Pages, reports, programs and assistants ask here and nowhere else, so the same question has the
same answer everywhere. A question names metrics, dimensions, filters, a period and a comparison.
The answer has rows, totals, the SQL that ran, the version of each definition, and whether the
warehouse reconciles.

    with MetricStore(Settings()) as store:
        answer = store.ask(Question(("net_sales", "orders"), dimensions=("country",),
                                    period="last_month", compare="prior_year"))
"""

from __future__ import annotations

import difflib
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

import psycopg
from psycopg.rows import dict_row

from loaders.connections import open_postgres, readable_errors
from loaders.errors import UserError
from loaders.settings import Settings
from serving import periods
from serving.periods import COMPARISONS, GRAINS, Comparison, Grain, Period
from serving.semantic import Catalogue, Compiler, Metric, Rollup

Basis = Literal["event", "order"]
Operator = Literal[
    "=", "!=", ">", ">=", "<", "<=", "contains", "does not contain", "begins with"
]  # fmt: skip
Value = Decimal | float | int | None

OPERATORS: tuple[Operator, ...] = (
    "=", "!=", ">", ">=", "<", "<=", "contains", "does not contain", "begins with"
)  # fmt: skip
MOST_ROWS = 50_000
_TRUST_SECONDS = 15.0  # between two looks at whether the warehouse reconciles


class MetricError(UserError):
    """A question that can't be answered; one line that says why and what could be asked."""


@dataclass(frozen=True)
class Filter:
    """A condition on a dimension; several values: one of them (with !=: none of them)."""

    dimension: str
    values: tuple[str, ...]
    operator: Operator = "="

    @classmethod
    def parse(cls, text: str) -> Filter:
        """From `country=Germany,France`, `device!=mobile`, `product_name~shirt`, `x>=2025-01-01`.

        Raises:
            MetricError: the text is no condition.
        """
        found = re.fullmatch(r"\s*([a-z_]+)\s*(!=|>=|<=|!~|=|>|<|~|\^)(.*)", text, re.S)
        if not found:
            raise MetricError(
                f"{text!r} is no condition: write country=Germany,France or device!=mobile or "
                "product_name~shirt"
            )
        words: dict[str, Operator] = {
            "~": "contains", "!~": "does not contain", "^": "begins with"
        }  # fmt: skip
        sign, value = found[2], found[3].strip()
        operator = words.get(sign, sign)  # type: ignore[arg-type] -- the pattern admits no other sign
        several = operator in ("=", "!=")
        values = tuple(part.strip() for part in value.split(",")) if several else (value,)
        return cls(found[1], values, operator)


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        metrics: names from the catalogue.
        dimensions: what to break them down by.
        filters: conditions that all hold.
        grain: the unit of time to break them down by; None: the period as a whole.
        period: a name that `serving.periods` understands, or a Period.
        compare: what to set beside each number.
        basis: `event`: a refund on its own day; `order`: refunds in the day of their order.
        order: names to sort by, with a minus for descending; by default time, then the first
            metric from the highest down.
        limit: at most so many rows.
        with_totals: whether to ask for the totals over all rows too.
        with_rollups: False reads the facts even where a roll-up suffices.
    """

    metrics: tuple[str, ...]
    dimensions: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    grain: Grain | None = None
    period: str | Period = "last_28_days"
    compare: Comparison | None = None
    basis: Basis = "event"
    order: tuple[str, ...] = ()
    limit: int | None = None
    with_totals: bool = True
    with_rollups: bool = True


@dataclass(frozen=True)
class Row:
    """One group: its dimensions, the metrics, and what they are compared with."""

    keys: Mapping[str, Any]
    values: Mapping[str, Value]
    before: Mapping[str, Value] | None = None

    def growth(self, metric: str) -> float | None:
        """Change as a share of what it is compared with; None where that is not above 0."""
        now, then = self.values[metric], (self.before or {}).get(metric)
        if now is None or then is None or then <= 0:
            return None
        return float(now) / float(then) - 1


@dataclass(frozen=True)
class Statement:
    """SQL that ran, what was bound to it, and the tables it read by semantic model."""

    sql: str
    parameters: Mapping[str, Any]
    sources: Mapping[str, str]
    seconds: float


@dataclass(frozen=True)
class Trust:
    """How far the numbers can be believed.

    Attributes:
        is_reconciled: source = raw = staging = facts = roll-up, to the cent; None if unproven.
        gaps: comparisons that fail.
        as_of: the last complete day.
        loaded_at: the newest document.
    """

    is_reconciled: bool | None
    gaps: int
    as_of: date
    loaded_at: datetime | None


@dataclass(frozen=True)
class Answer:
    """Rows and totals, and everything they rest on."""

    question: Question
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]
    totals: Row | None
    is_cut: bool
    period: Period
    before: Period | None
    basis: Basis
    timezone: str
    currency: str
    versions: Mapping[str, str]
    trust: Trust
    statements: tuple[Statement, ...] = field(repr=False)

    @property
    def seconds(self) -> float:
        """Time that the database took."""
        return sum(statement.seconds for statement in self.statements)

    def records(self) -> list[dict[str, Any]]:
        """Flat rows: dimensions, then each metric, with `__before` and `__growth` if compared."""
        return [self._record(row) for row in self.rows]

    def _record(self, row: Row) -> dict[str, Any]:
        record = dict(row.keys)
        for metric in self.metrics:
            record[metric.name] = row.values[metric.name]
            if row.before is not None:
                record[f"{metric.name}__before"] = row.before[metric.name]
                record[f"{metric.name}__growth"] = row.growth(metric.name)
        return record


@dataclass(frozen=True)
class _Part:
    """What one semantic model contributes."""

    model: str
    leaves: tuple[str, ...]
    rollup: Rollup | None
    paths: Mapping[str, str]

    @property
    def source(self) -> str:
        return self.rollup.table if self.rollup else ""


@dataclass(frozen=True)
class _Plan:
    sql: str
    sources: Mapping[str, str]


class MetricStore:
    """Answers questions about one warehouse. Threads may share it; they take turns."""

    def __init__(
        self, settings: Settings, catalogue: Catalogue | None = None, timeout_seconds: float = 60
    ) -> None:
        self._settings = settings
        self.catalogue = catalogue or Catalogue.load(settings)
        self._compiler = Compiler(self.catalogue)
        self._timeout = timeout_seconds
        self._connection: psycopg.Connection[dict[str, Any]] | None = None
        self._plans: dict[Any, _Plan] = {}
        self._trust: tuple[float, Trust] | None = None
        self._sees_costs: bool | None = None
        self._lock = threading.RLock()

    def __enter__(self) -> MetricStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    # --- the catalogue --------------------------------------------------------------------------

    def metric(self, name: str) -> Metric:
        """The definition of a metric.

        Raises:
            MetricError: there is none of that name.
        """
        if name not in self.catalogue.metrics:
            raise MetricError(_no_such("metric", name, self.catalogue.metrics, "metrics list"))
        return self.catalogue.metrics[name]

    def dimensions_of(self, metrics: Sequence[str], basis: Basis = "event") -> list[str]:
        """Dimensions that all these metrics can be broken down and filtered by."""
        sets = [
            set(self._compiler.paths(model, leaves, None, basis))
            for model, leaves in self._leaves([self.metric(name) for name in metrics]).items()
        ]
        shared = set.intersection(*sets) if sets else set()
        return sorted(name for name in shared if name in self.catalogue.dimensions)

    # --- questions ------------------------------------------------------------------------------

    def ask(self, question: Question) -> Answer:
        """Answer a question.

        Raises:
            MetricError: it names what isn't there, or combines what can't be combined.
        """
        metrics = self._checked(question)
        trust = self.trust()
        self._allowed(metrics)
        period = question.period
        if isinstance(period, str):
            period = periods.parse(period, trust.as_of)
        else:
            period = period.cut(trust.as_of)
        before = period.before(question.compare) if question.compare else None
        statements: list[Statement] = []
        found = self._rows(question, metrics, period, question.limit, statements)
        is_cut = len(found) > (MOST_ROWS if question.limit is None else question.limit)
        found = found[: question.limit or MOST_ROWS]
        then: list[dict[str, Any]] = []
        if before is not None:
            then = self._rows(question, metrics, before, None, statements)
        rows = self._paired(question, metrics, found, then, period, before, is_cut)
        totals = None
        # a metric with an offset is told by time and has no total
        summed = [metric for metric in metrics if not metric.needs_grain]
        if question.with_totals and summed:
            unknown = dict.fromkeys(question.metrics)
            values = [
                unknown | _values(summed, part[0])
                for part in (
                    self._rows(question, summed, days, None, statements, is_total=True)
                    for days in (period, before)
                    if days is not None
                )
            ]
            totals = Row({}, values[0], values[1] if before else None)
        return Answer(
            question=question,
            metrics=tuple(metrics),
            rows=tuple(rows),
            totals=totals,
            is_cut=is_cut,
            period=period,
            before=before,
            basis=question.basis,
            timezone=self._settings.store_timezone,
            currency=self._settings.store_currency,
            versions={metric.name: metric.version for metric in metrics},
            trust=trust,
            statements=tuple(statements),
        )

    def sql(self, question: Question) -> Statement:
        """The statement of a question's rows, not run; for pages of documentation and tests."""
        metrics = self._checked(question)
        period = question.period
        if isinstance(period, str):
            period = periods.parse(period, self.trust().as_of)
        plan, parameters = self._planned(question, metrics, period, question.limit, is_total=False)
        return Statement(plan.sql, parameters, plan.sources, 0.0)

    def template(self, name: str) -> str:
        """The statement for one metric by itself, without a database; for documentation."""
        metric = self.metric(name)
        grain: Grain | None = "month" if metric.needs_grain else None
        question = Question((name,), grain=grain, with_rollups=False)
        return self._compiled(question, [metric], is_open=False, is_total=False).sql

    def trust(self) -> Trust:
        """Whether source, raw, staging, facts and roll-ups agree; looked up anew now and then.

        Raises:
            MetricError: the warehouse was never built.
        """
        with self._lock:
            if self._trust and time.monotonic() - self._trust[0] < _TRUST_SECONDS:
                return self._trust[1]
        found = self._run("select * from semantic.sem_trust", {})
        if not found or found[0]["as_of_date"] is None:
            raise MetricError("the warehouse holds no complete day yet: run `make refresh`")
        stamp = found[0]
        trust = Trust(
            is_reconciled=stamp["gaps"] == 0 if stamp["comparisons"] else None,
            gaps=stamp["gaps"],
            as_of=stamp["as_of_date"],
            loaded_at=stamp["last_loaded_at"],
        )
        with self._lock:
            self._trust = (time.monotonic(), trust)
        return trust

    # --- what can be asked ----------------------------------------------------------------------

    def _checked(self, question: Question) -> list[Metric]:
        """The metrics of a question in which everything has been found."""
        if not question.metrics:
            raise MetricError("a question needs a metric: `ledgerline metrics list` lists all")
        metrics = [self.metric(name) for name in dict.fromkeys(question.metrics)]
        if question.grain is not None and question.grain not in GRAINS:
            raise MetricError(_no_such("grain", str(question.grain), GRAINS))
        if question.compare is not None and question.compare not in COMPARISONS:
            raise MetricError(_no_such("comparison", str(question.compare), COMPARISONS))
        if question.basis not in ("event", "order"):
            raise MetricError(_no_such("basis", str(question.basis), ("event", "order")))
        if question.limit is not None and question.limit < 1:
            raise MetricError("the limit must be at least 1")
        if question.grain is None:
            for metric in metrics:
                if metric.needs_grain:
                    raise MetricError(f"{metric.name} needs a grain: one of {', '.join(GRAINS)}")
        for each in question.filters:
            if each.operator not in OPERATORS:
                raise MetricError(_no_such("operator", str(each.operator), OPERATORS))
            if not each.values:
                raise MetricError(f"the condition on {each.dimension} names no value")
        asked = [*question.dimensions, *(each.dimension for each in question.filters)]
        for name in asked:
            if name not in self.catalogue.dimensions:
                what = "dimension"
                if name in GRAINS:
                    raise MetricError(f"{name} is a grain: ask with grain={name}")
                raise MetricError(_no_such(what, name, self.catalogue.dimensions))
        for model, leaves in self._leaves(metrics).items():
            paths = self._compiler.paths(model, leaves, None, question.basis)
            for name in asked:
                if name not in paths:
                    self._refuse(metrics, leaves, name, question.basis)
        columns = {*question.dimensions, *question.metrics}
        if question.grain:
            columns.add(question.grain)
        for name in question.order:
            if name.removeprefix("-") not in columns:
                raise MetricError(
                    f"can't order by {name.removeprefix('-')!r}: it is not in the question"
                )
        return metrics

    def _allowed(self, metrics: Sequence[Metric]) -> None:
        """Refuse what is computed from costs to who may not see them.

        The ledger shows such a reader no entries of costs: a profit would be too high, silently.
        """
        if self._sees_costs is None:
            right = "has_column_privilege('reporting.agg_daily_metrics', 'cogs_amount', 'select')"
            self._sees_costs = self._run(f"select {right} as yes", {})[0]["yes"]
        for metric in metrics:
            if metric.meta.get("finance") and not self._sees_costs:
                raise MetricError(
                    f"{metric.name} is computed from costs: it needs the role ledgerline_finance"
                )

    def _refuse(
        self, metrics: Sequence[Metric], leaves: Sequence[str], name: str, basis: Basis
    ) -> None:
        asked = next(m.name for m in metrics if set(m.leaves) & set(leaves))
        blocked = "" if asked in leaves else f", since {leaves[0]} isn't known by it"
        possible = self.dimensions_of([asked], basis)
        close = ", ".join(possible) or "nothing but time"
        raise MetricError(f"{asked} can't be broken down by {name}{blocked}; it can by {close}")

    def _leaves(self, metrics: Iterable[Metric]) -> dict[str, tuple[str, ...]]:
        """Leaves by semantic model."""
        found: dict[str, list[str]] = {}
        for metric in metrics:
            for leaf in metric.leaves:
                names = found.setdefault(self.catalogue.model_of(leaf), [])
                if leaf not in names:
                    names.append(leaf)
        return {model: tuple(sorted(names)) for model, names in sorted(found.items())}

    # --- from a question to SQL -----------------------------------------------------------------

    def _part(
        self,
        question: Question,
        model: str,
        leaves: tuple[str, ...],
        dimensions: tuple[str, ...],
    ) -> _Part:
        """Where to read a model's leaves: the first roll-up that suffices, else the facts."""
        asked = {*dimensions, *(each.dimension for each in question.filters)}
        metrics = [self.catalogue.metrics[leaf] for leaf in leaves]
        needed = asked.union(*(metric.filter_dimensions for metric in metrics))
        measures = {measure for metric in metrics for measure in metric.measures}
        owner = self.catalogue.models[model]
        if question.with_rollups and all(owner.measures[m]["agg"] == "sum" for m in measures):
            for rollup in owner.rollups:
                if (
                    rollup.basis in (None, question.basis)
                    and measures <= set(rollup.measures)
                    and needed <= set(rollup.dimensions)
                ):
                    paths = self._compiler.paths(model, leaves, rollup, question.basis)
                    if asked <= set(paths):
                        return _Part(model, leaves, rollup, paths)
        return _Part(model, leaves, None, self._compiler.paths(model, leaves, None, question.basis))

    def _planned(
        self,
        question: Question,
        metrics: Sequence[Metric],
        period: Period,
        limit: int | None,
        is_total: bool,
    ) -> tuple[_Plan, dict[str, Any]]:
        shape = (
            tuple(metric.name for metric in metrics),
            question.dimensions,
            tuple((each.dimension, each.operator, len(each.values)) for each in question.filters),
            question.grain,
            question.basis,
            question.order,
            question.with_rollups,
            period.start is None,
            is_total,
        )
        with self._lock:
            if shape not in self._plans:
                if len(self._plans) > 2000:
                    self._plans.clear()
                self._plans[shape] = self._compiled(
                    question, metrics, period.start is None, is_total
                )
            plan = self._plans[shape]
        parameters: dict[str, Any] = {"p0": period.end, "limit": (limit or MOST_ROWS) + 1}
        if period.start is not None:
            parameters["p1"] = period.start
        number = 2
        for each in question.filters:
            is_time = self.catalogue.dimensions[each.dimension].is_time
            for value in each.values:
                parameters[f"p{number}"] = _as_date(each, value) if is_time else value
                number += 1
        return plan, parameters

    def _compiled(
        self, question: Question, metrics: Sequence[Metric], is_open: bool, is_total: bool
    ) -> _Plan:
        grain = None if is_total else question.grain
        dimensions = () if is_total else tuple(dict.fromkeys(question.dimensions))
        parts = [
            self._part(question, model, leaves, dimensions)
            for model, leaves in self._leaves(metrics).items()
        ]
        keys = [*dimensions] + ([grain] if grain else [])
        leaves = [leaf for part in parts for leaf in part.leaves]
        bodies = []
        for part in parts:
            group_by = [
                part.paths[name] + ("__day" if self.catalogue.dimensions[name].is_time else "")
                for name in dimensions
            ]
            group_by += [f"metric_time__{grain}"] if grain else []
            sql = self._compiler.compile(
                part.model,
                part.leaves,
                tuple(group_by),
                self._where(question, part, is_open),
                part.rollup,
                question.basis,
            )
            columns = [
                f"{path} as {_quoted(key)}" for path, key in zip(group_by, keys, strict=True)
            ]
            columns += [
                _quoted(leaf)
                if leaf in part.leaves
                else f"cast(null as numeric) as {_quoted(leaf)}"
                for leaf in leaves
            ]
            body = f"select {', '.join(columns)} from (\n{_indented(sql)}\n) as part"  # noqa: S608 -- names of the catalogue; values are bound
            bodies.append(body)
        gathered = "\nunion all\n".join(bodies)
        groups = f"\ngroup by {', '.join(_quoted(key) for key in keys)}" if keys else ""
        totals = [f"{self._gathered(leaf)} as {_quoted(leaf)}" for leaf in leaves]
        inner = [_quoted(key) for key in keys] + totals
        outer = [_quoted(key) for key in keys]
        outer += [f"{self._expression(metric)} as {_quoted(metric.name)}" for metric in metrics]
        # a group in which nothing happened is none, whichever table was read
        seen = ""
        if keys:
            seen = "\nwhere " + " or ".join(f"coalesce({_quoted(leaf)}, 0) <> 0" for leaf in leaves)
        order = "" if is_total else self._order(question, metrics, keys)
        sql = (
            f"select {', '.join(outer)}\nfrom (\n"  # noqa: S608 -- as above
            f"  select {', '.join(inner)}\n  from (\n{_indented(gathered, 4)}\n  ) as parts"
            f"{groups}\n) as leaves{seen}{order}\nlimit %(limit)s"
        )
        sources = {
            part.model: part.source or self.catalogue.models[part.model].table for part in parts
        }
        return _Plan(sql, sources)

    def _gathered(self, leaf: str) -> str:
        total = f"max({_quoted(leaf)})"
        return f"coalesce({total}, 0)" if self.catalogue.metrics[leaf].is_zero_filled else total

    def _expression(self, metric: Metric) -> str:
        """A metric over the columns of its leaves, as its definition says."""
        if metric.is_leaf:
            return _quoted(metric.name)
        parts = {
            alias: self._expression(self.catalogue.metrics[name])
            for alias, name in metric.inputs.items()
        }
        if metric.kind == "ratio":
            return (
                f"(cast({parts['numerator']} as double precision)"
                f" / nullif(cast({parts['denominator']} as double precision), 0))"
            )
        assert metric.expression is not None
        names = re.compile(r"\b(" + "|".join(map(re.escape, parts)) + r")\b")
        return f"({names.sub(lambda found: parts[found[1]], metric.expression)})"

    def _where(self, question: Question, part: _Part, is_open: bool) -> tuple[str, ...]:
        day = "{{ TimeDimension('metric_time', 'day') }}"
        where = [f"{day} < __p0__" if is_open else f"{day} >= __p1__ and {day} < __p0__"]
        number = 2
        for each in question.filters:
            dimension = self.catalogue.dimensions[each.dimension]
            name = f"{{{{ Dimension('{part.paths[each.dimension]}') }}}}"
            if dimension.is_time:
                name = f"{{{{ TimeDimension('{part.paths[each.dimension]}', 'day') }}}}"
            values = [f"__p{number + index}__" for index in range(len(each.values))]
            number += len(values)
            where.append(_condition(name, each.operator, values))
        return tuple(where)

    def _order(self, question: Question, metrics: Sequence[Metric], keys: Sequence[str]) -> str:
        if not keys:
            return ""
        names = list(question.order)
        if not names:
            names = [question.grain] if question.grain else []
            names.append(f"-{metrics[0].name}")
        terms = [
            f"{_quoted(name.removeprefix('-'))} {'desc' if name.startswith('-') else 'asc'}"
            " nulls last"
            for name in names
        ]
        # a total order: the same question has the same rows in the same places
        terms += [f"{_quoted(key)} asc nulls last" for key in keys if key not in names]
        return f"\norder by {', '.join(terms)}"

    # --- from SQL to rows -----------------------------------------------------------------------

    def _rows(
        self,
        question: Question,
        metrics: Sequence[Metric],
        period: Period,
        limit: int | None,
        statements: list[Statement],
        is_total: bool = False,
    ) -> list[dict[str, Any]]:
        plan, parameters = self._planned(question, metrics, period, limit, is_total)
        started = time.perf_counter()
        rows = self._run(plan.sql, parameters)
        statements.append(
            Statement(plan.sql, parameters, plan.sources, time.perf_counter() - started)
        )
        return rows

    def _run(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        with self._lock, readable_errors():
            for attempt in (1, 2):
                if self._connection is None or self._connection.closed:
                    self._connection = self._opened()
                try:
                    return self._connection.execute(sql, parameters).fetchall()
                except psycopg.errors.InsufficientPrivilege as problem:
                    reason = str(problem.diag.message_primary)
                    raise MetricError(
                        f"the database refuses: {reason} (costs and personal data need a role)"
                    ) from None
                except psycopg.errors.QueryCanceled:
                    raise MetricError(
                        f"the question took longer than {self._timeout:g} s: narrow the period"
                    ) from None
                except psycopg.errors.UndefinedTable as problem:
                    reason = str(problem.diag.message_primary)
                    raise MetricError(f"{reason}: build it first, with `make refresh`") from None
                except psycopg.OperationalError:
                    # the server went away since the last question
                    self._connection.close()
                    if attempt == 2:
                        raise
        raise AssertionError("unreachable")

    def _opened(self) -> psycopg.Connection[dict[str, Any]]:
        connection = open_postgres(self._settings, autocommit=True)
        connection.row_factory = dict_row  # type: ignore[assignment] -- opened with rows as tuples
        # a plan for these very dates and values, not one for any
        connection.prepare_threshold = None
        connection.execute("set application_name to 'ledgerline metrics'")
        connection.execute("set default_transaction_read_only to on")
        connection.execute(
            "select set_config('statement_timeout', %s, false)", [str(int(self._timeout * 1000))]
        )
        return connection  # type: ignore[return-value] -- rows are dictionaries from here on

    def _paired(
        self,
        question: Question,
        metrics: Sequence[Metric],
        found: Sequence[Mapping[str, Any]],
        then: Sequence[Mapping[str, Any]],
        period: Period,
        before: Period | None,
        is_cut: bool,
    ) -> list[Row]:
        """Rows with those of the other period: same dimensions, same place in the period."""
        grain = question.grain
        if before is None:
            return [Row(_keys(question, row), _values(metrics, row)) for row in found]
        places: dict[date, date] = {}
        if grain:
            assert period.start is not None and before.start is not None
            now = list(periods.buckets(period.start, period.end, grain))
            old = list(periods.buckets(before.start, before.end, grain))
            places = dict(zip(old, now, strict=False))
        older = {}
        for row in then:
            keys = _keys(question, row)
            if grain:
                keys[grain] = places.get(keys[grain])
            older[tuple(keys.values())] = row
        rows = []
        for row in found:
            keys = _keys(question, row)
            other = older.pop(tuple(keys.values()), {})
            rows.append(Row(keys, _values(metrics, row), _values(metrics, other)))
        if question.limit is None and not is_cut:
            # groups that are gone, at the end; a day that has no counterpart is nobody's
            names = [*question.dimensions, *([grain] if grain else [])]
            for key, row in older.items():
                keys = dict(zip(names, key, strict=True))
                if grain is None or keys[grain] is not None:
                    rows.append(Row(keys, _values(metrics, {}), _values(metrics, row)))
        return rows


def _keys(question: Question, row: Mapping[str, Any]) -> dict[str, Any]:
    names = [*dict.fromkeys(question.dimensions), *([question.grain] if question.grain else [])]
    return {name: row[name] for name in names}


def _values(metrics: Sequence[Metric], row: Mapping[str, Any]) -> dict[str, Value]:
    """The metrics of a row; where nothing happened, what is added up is 0 and the rest unknown."""
    values: dict[str, Value] = {}
    for metric in metrics:
        nothing = 0 if metric.meta.get("is_additive") else None
        value = row[metric.name] if row else nothing
        # sums of counts come as decimals
        if metric.meta.get("unit") == "count" and value is not None and value == int(value):
            value = int(value)
        values[metric.name] = value
    return values


def _condition(name: str, operator: Operator, values: Sequence[str]) -> str:
    if operator == "contains":
        return f"strpos(lower({name}), lower({values[0]})) > 0"
    if operator == "does not contain":
        return f"strpos(lower({name}), lower({values[0]})) = 0"
    if operator == "begins with":
        return f"starts_with(lower({name}), lower({values[0]}))"
    if operator == "=":
        return f"{name} in ({', '.join(values)})"
    if operator == "!=":
        return f"{name} not in ({', '.join(values)})"
    return f"{name} {operator} {values[0]}"


def _as_date(condition: Filter, value: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise MetricError(
            f"{condition.dimension} is a day: {value!r} should look like 2025-07-14"
        ) from None


def _quoted(name: str) -> str:
    """An identifier; names come from the catalogue only, and none holds a quote."""
    return f'"{name}"'


def _indented(text: str, by: int = 2) -> str:
    return "\n".join(" " * by + line for line in text.splitlines())


def _no_such(what: str, name: str, known: Iterable[str], command: str | None = None) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    close += [each for each in names if name and name in each and each not in close][
        : 3 - len(close)
    ]
    if close:
        hint = f"did you mean {', '.join(close)}?"
    elif command:
        hint = f"`ledgerline {command}` lists all"
    else:
        hint = f"there are {', '.join(names[:12])}"
    return f"there is no {what} {name!r}: {hint}"
