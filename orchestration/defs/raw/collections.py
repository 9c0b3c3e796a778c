"""One asset per collection of the shop, loaded by `loaders`."""

from collections import Counter
from collections.abc import Iterator

import dagster as dg

from loaders import modes
from loaders.drift import observe as drift
from loaders.errors import ServerUnreachableError, UserError
from loaders.landing import Result
from loaders.settings import Settings
from orchestration import progress, project
from orchestration.automation import LOADER_RETRIES


def _specs(schema: str, *kinds: str) -> dict[str, dg.AssetSpec]:
    # dictionaries: Dagster takes every list of specs in a module for assets of its own
    specs = project.sources(schema)
    return {table: spec.replace_attributes(kinds=set(kinds)) for table, spec in specs.items()}


_SPECS = _specs(project.RAW, "mongodb", "postgres")
# the loader's own books, which reconciliation reads, written in the documents' transactions
_BOOKS = _specs(project.OPERATIONS, "postgres")


class _Watch(modes.Observer):
    """Tells the terminal which collection is being read."""

    def __init__(self, task: progress.Task) -> None:
        self.task = task
        self.modes: dict[str, str] = {}

    def begin(self, collection: str, mode: str, expected: int | None) -> None:
        self.modes[collection] = mode

    def read(self, collection: str, documents: int, size: int) -> None:
        self.task.advance(f"{collection} ({self.modes[collection]})", documents)


@dg.multi_asset(
    name="collections",
    specs=[*_SPECS.values(), *_BOOKS.values()],
    can_subset=True,
    retry_policy=LOADER_RETRIES,
)
def collections(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
    """Bring `raw` up to date with MongoDB; only what changed is read."""
    tables = {spec.key: table for table, spec in _SPECS.items()}
    wanted = {key: tables[key] for key in context.selected_asset_keys if key in tables}
    subset = sorted(wanted.values()) if 0 < len(wanted) < len(tables) else ()
    settings = Settings()
    with progress.current().task("load collections") as task:
        try:
            results = modes.run(settings, subset, observer=_Watch(task))
        except ServerUnreachableError:
            raise  # the retry policy is for this
        except UserError as problem:
            raise dg.Failure(str(problem), allow_retries=False) from None
        changed = sum(result.counts.written for result in results)
        rows = sum({result.collection: result.raw_count for result in results}.values())
        task.note = f"{rows:,} documents in raw, {changed:,} changed"
    for key, table in wanted.items():
        metadata = _metadata([result for result in results if result.collection == table])
        yield dg.MaterializeResult(asset_key=key, metadata=metadata)
    for seen in drift.observe_run(settings, results):
        if seen.changes and seen.collection in _SPECS:
            key = _SPECS[seen.collection].key
            context.log_event(dg.AssetObservation(key, metadata=_drift_metadata(seen)))
    for book in _BOOKS.values():
        if book.key in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=book.key)
    for table in sorted({result.collection for result in results} - set(_SPECS)):
        context.log.info("loaded %s too, which no model reads yet", table)


def _metadata(batches: list[Result]) -> dict[str, dg.MetadataValue]:
    """What the batches of one collection did; nothing where the source has no such collection."""
    if not batches:
        return {"dagster/row_count": dg.MetadataValue.int(0)}
    last = batches[-1]
    numbers = {
        "dagster/row_count": last.raw_count,
        "source_count": last.source_count or 0,
        "quarantined": last.quarantined,
        "inserted": sum(batch.counts.inserted for batch in batches),
        "updated": sum(batch.counts.updated for batch in batches),
        "deleted": sum(batch.counts.deleted for batch in batches),
    }
    return {
        **{name: dg.MetadataValue.int(value) for name, value in numbers.items()},
        "seconds": dg.MetadataValue.float(round(sum(batch.seconds for batch in batches), 3)),
        "reconciled": dg.MetadataValue.bool(last.is_reconciled),
    }


def _drift_metadata(seen: drift.Observation) -> dict[str, dg.MetadataValue]:
    """What has changed in the fields of a collection: names, types and shares, never values."""
    shown = seen.changes[: drift.MOST_LOGGED]
    lines = [f"- `{one.path}` {one.kind}: {one.before} → {one.after}" for one in shown]
    kinds = Counter(one.kind for one in seen.changes)
    return {
        "schema_changes": dg.MetadataValue.md("\n".join(lines)),
        **{f"fields: {kind}": dg.MetadataValue.int(count) for kind, count in kinds.items()},
        "documents_sampled": dg.MetadataValue.int(seen.documents),
        "batch_id": dg.MetadataValue.int(seen.batch_id),
    }
