"""The strategy of staging, by_document: an increment reads the documents loaded since the last."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from chain import SOURCES, Chain

pytestmark = [pytest.mark.servers, pytest.mark.dbt]

EVENTS = """
    {{ config(
        materialized='incremental', incremental_strategy='by_document', unique_key='event_id',
        on_schema_change='fail',
    ) }}
    with documents as ({{ changed_documents(source('shop', 'events')) }})
    select document_id as event_id, cast(doc ->> 'n' as integer) as n, _loaded_at
    from documents
"""


@pytest.fixture
def events(chain: Chain) -> Iterator[Chain]:
    """The chain with a staging model of two documents."""
    chain.rows(
        "create table shop.events"
        " (_id text, doc jsonb, _deleted_at timestamptz, _loaded_at timestamptz);"
        """insert into shop.events values ('a', '{"n": 1}', null, '2024-01-01'),"""
        """ ('b', '{"n": 2}', null, '2024-01-01')"""
    )
    (chain.folder / "models/sources.yml").write_text(SOURCES + "      - name: events\n")
    model = chain.folder / "models/events.sql"
    model.write_text(EVENTS)
    try:
        chain.dbt("parse")
        chain.dbt("run", "--select", "events")
        yield chain
    finally:
        model.unlink()


def read_events(chain: Chain) -> tuple[dict[str, int], bool]:
    """({event: n}, whether the model was left as it was) after another run."""
    chain.dbt("run", "--select", "events")
    results = json.loads((chain.folder / "target/run_results.json").read_text())["results"]
    [code] = [r["adapter_response"].get("code") for r in results if ".events" in r["unique_id"]]
    return dict(chain.rows("select event_id, n from marts.events")), code == "SKIP"


def test_staging_reads_what_was_loaded_since(events: Chain) -> None:
    assert read_events(events) == ({"a": 1, "b": 2}, True)
    # what a load changes has a later time; "b" is there to show that it is not read
    events.rows("""update shop.events set doc = '{"n": 7}'""")
    events.rows("update shop.events set _loaded_at = '2024-01-02' where _id = 'a'")
    assert read_events(events) == ({"a": 7, "b": 2}, False)
    assert read_events(events) == ({"a": 7, "b": 2}, True)
    events.rows("truncate marts.events")
    assert read_events(events) == ({"a": 7, "b": 7}, False)


def test_a_staging_model_that_was_changed_reads_all_documents(events: Chain) -> None:
    model = events.folder / "models/events.sql"
    model.write_text(EVENTS.replace("as integer)", "as integer) * 10"))
    events.dbt("parse")
    assert read_events(events) == ({"a": 10, "b": 20}, False)
    assert read_events(events) == ({"a": 10, "b": 20}, True)
    # one of another table, and one that was built before this was noted
    model.write_text(EVENTS.replace("as n,", "as n, 1 as one,"))
    events.dbt("parse")
    assert read_events(events) == ({"a": 1, "b": 2}, False)
    assert events.rows("select sum(one) from marts.events") == [(2,)]
    events.rows("delete from ops.built where model = 'events' and parent = 'events'")
    assert read_events(events) == ({"a": 1, "b": 2}, False)
