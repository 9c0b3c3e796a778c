"""What other tools lost, and users of theirs reported: each as a test that ours doesn't.

Where a numbered case or another test is just that, `ELSEWHERE` names it.
"""

from __future__ import annotations

import ast
import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bson
import pytest
from arrivals import Arrivals
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from raw_bson import element, raw_document, string

from loaders.connections import open_postgres
from loaders.modes import Mode
from loaders.stream import changes, follow

pytestmark = pytest.mark.servers

SOURCE = Arrivals()
OID = ObjectId("5f1e8a9b0c2d3e4f5a6b7c8d")
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
NAN, INFINITY = float("nan"), float("inf")


def three(odd):
    """A collection of three documents; the one in the middle has the odd value."""
    return SOURCE.has({"_id": 1, "v": "before"}, {"_id": 2, "v": odd}, {"_id": 3, "v": "after"})


def assert_others_are_there(arrived):
    assert (arrived.value(1), arrived.value(3)) == ('"before"', '"after"')
    assert arrived.quarantined == {}


# --- values, keys and ids: measured on collections of three documents -----------------------------


@three("a\0b")
def test_nul_in_a_string_is_loaded_and_its_bytes_are_kept(arrived):
    """Failed in five of six tools (airbyte#3476); dlt's object path stripped it silently."""
    assert_others_are_there(arrived)
    assert json.loads(arrived.value(2)) == "a\ufffdb"
    assert bson.decode(arrived.kept["2"])["v"] == "a\0b"


@three(NAN)
def test_nan_is_kept(arrived):
    """Null in pandas, dlt and tap-mongodb; the whole document became NULL in sling."""
    assert_others_are_there(arrived)
    assert arrived.value(2) == '"NaN"'


@three(-INFINITY)
def test_infinity_is_kept_airbyte_3037(arrived):
    """Null in dlt, a failed load in its Arrow path; broke Airbyte's loads."""
    assert_others_are_there(arrived)
    assert arrived.value(2) == '"-Infinity"'


@three([[NAN, 1.5], {"v": [INFINITY]}])
def test_nan_inside_nested_array_is_kept(arrived):
    """Lost by dlt, null in tap-mongodb, the text `map[v:[NaN 1.5]]` in ingestr; the whole document
    became NULL in sling.
    """
    assert_others_are_there(arrived)
    assert json.loads(arrived.value(2)) == [["NaN", 1.5], {"v": ["Infinity"]}]


@three([DatetimeMS(-62135596800001), DatetimeMS(253402300800000)])
def test_dates_before_year_1_and_after_9999_are_kept(arrived):
    """Failed in four of six tools; sling made the whole document NULL."""
    assert_others_are_there(arrived)
    shown = [value["$date"]["$numberLong"] for value in json.loads(arrived.value(2))]
    assert shown == ["-62135596800001", "253402300800000"]


@three(Int64(2**53 + 1))
def test_int64_is_not_rounded(arrived):
    """pandas rounded it to …992."""
    assert arrived.value(2) == "9007199254740993"


MIXED_IDS = [OID, "text", 1, {"a": OID}, Binary(b"1234567890123456", 4), 2.5, NOON]


@SOURCE.has(*({"_id": identity, "v": i} for i, identity in enumerate(MIXED_IDS)))
def test_ids_of_other_types_among_object_ids_are_not_skipped(arrived):
    """tap-mongodb skipped them in silence, ingestr turned an ObjectId inside into a number."""
    assert [arrived.value(identity) for identity in MIXED_IDS] == [*map(str, range(7))]
    assert '{"a":{"$oid":"5f1e8a9b0c2d3e4f5a6b7c8d"}}' in arrived.rows


@SOURCE.has({"_id": OID, "v": 1}, {"_id": str(OID), "v": 2}, {"_id": "other", "v": 3})
def test_string_id_equal_to_the_hex_of_an_object_id_does_not_collide(arrived):
    """One row for both in dlt, a failed primary key in ingestr, skipped in tap-mongodb."""
    assert (arrived.value(OID), arrived.value(str(OID))) == ("1", "2")


@SOURCE.has({"_id": 1, "v": 7}, {"_id": 2, "v": "seven"}, {"_id": 3, "v": {"seven": 7}})
def test_field_that_changes_its_type_keeps_every_value(arrived):
    """Silently NULL in dlt's Arrow path, three columns in its object path, failed in ingestr;
    types that flip from run to run in Airbyte (airbyte#42862).
    """
    assert [arrived.value(i) for i in (1, 2, 3)] == ["7", '"seven"', '{"seven": 7}']


@three({"Name": 1, "name": 2, "userName": 3, "user_name": 4})
def test_field_names_that_differ_in_case_only_stay_two(arrived):
    """In dlt one overwrites the other."""
    assert json.loads(arrived.value(2)) == {"Name": 1, "name": 2, "userName": 3, "user_name": 4}


@three({"a.b": 1, "$x": 2, "": 3, "a": {"b": 4}})
def test_names_with_dots_dollars_and_none_at_all_are_not_changed(arrived):
    """Renamed in dlt and ingestr, failed in pandas and dlt's Arrow path."""
    assert json.loads(arrived.value(2)) == {"a.b": 1, "$x": 2, "": 3, "a": {"b": 4}}


@SOURCE.has(*({"_id": i, **{f"f{i}_{n}": n for n in range(1700)}} for i in (1, 2, 3)))
def test_1700_fields_are_not_too_many(arrived):
    """More than the 1,600 columns that a table may have: pandas, dlt and ingestr failed."""
    assert [len(json.loads(arrived.rows[str(i)].doc)) for i in (1, 2, 3)] == [1701] * 3


@three([Binary(b"\0\xff", 5), Binary(b"1234567890123456", 4)])
def test_binary_and_uuid_are_kept(arrived):
    """Failed in dlt's Arrow path and in tap-mongodb."""
    assert json.loads(arrived.value(2)) == [
        {"$binary": {"base64": "AP8=", "subType": "05"}},
        {"$binary": {"base64": "MTIzNDU2Nzg5MDEyMzQ1Ng==", "subType": "04"}},
    ]


RARE = [Regex("a", "ix"), Timestamp(5, 6), Code("f()", {"x": 1}), MinKey(), MaxKey()]


@three([*RARE, DBRef("users", 1)])
def test_rare_types_are_neither_dropped_nor_a_language_s_notation(arrived):
    """Dropped by dlt's Arrow path, Python's repr() in tap-mongodb, options, scope and increment
    lost in dlt and ingestr, MinKey a {} in sling.
    """
    assert json.loads(arrived.value(2)) == [
        {"$regularExpression": {"pattern": "a", "options": "ix"}},
        {"$timestamp": {"t": 5, "i": 6}},
        {"$code": "f()", "$scope": {"x": 1}},
        {"$minKey": 1},
        {"$maxKey": 1},
        {"$ref": "users", "$id": 1},
    ]


@SOURCE.has(
    {"_id": 1, "v": "before"}, raw_document(element(2, b"v", string(b"\xff"))), {"_id": 3, "v": ""}
)
def test_invalid_utf8_does_not_stop_a_load(arrived):
    """It did in five of six tools."""
    assert json.loads(arrived.value(OID)) == "\ufffd"
    assert bytes(arrived.kept[str(OID)]) == arrived.rows[str(OID)].source


def deep(levels):
    value = 1
    for _ in range(levels):
        value = {"n": value}
    return value


@three(deep(120))
def test_120_levels_are_not_too_deep(arrived):
    """They were for dlt's Arrow path."""
    assert json.loads(arrived.value(2)) == deep(120)


@three(Decimal128("1.000000000000000000000000000000001"))
def test_decimal_with_34_digits_is_a_number_with_34_digits(arrived):
    """dlt kept the digits as text only."""
    assert arrived.value(2) == "1.000000000000000000000000000000001"


@SOURCE.has(*({"_id": i} | ({"rare": i} if i == 777 else {}) for i in range(1000)))
def test_field_that_few_documents_have_is_not_missed_airbyte_29512(arrived):
    """A schema from a sample lacked fields of 6 % of the documents."""
    assert arrived.value(777, "rare") == "777"


# --- full loads -----------------------------------------------------------------------------------


def order(number, **more):
    return {"_id": number, "v": 1, "text": "x" * 70, "updated_at": NOON} | more


def fill(server, count=100):
    server.put("shop.orders", [order(i) for i in range(count)])


class Reader:
    """Asks the same again and again over a connection of its own, until it is left."""

    def __init__(self, settings, query):
        self.settings, self.query = settings, query
        self.answers = []
        self.error = None
        self.left = threading.Event()
        self.thread = threading.Thread(target=self._read)

    def _read(self):
        try:
            with open_postgres(self.settings, autocommit=True) as conn:
                while not self.left.is_set():
                    self.answers.append(conn.execute(self.query).fetchone())
        except Exception as error:
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.left.set()
        self.thread.join()
        assert self.error is None


@pytest.mark.parametrize("loaded_before", [True, False])
def test_readers_never_see_an_empty_or_partial_table(replayed, replay_server, loaded_before):
    """dlt's default replace truncates and inserts: readers see nothing, then a part."""
    count = 20_000
    fill(replay_server, 1)
    replayed.load("orders")
    if loaded_before:
        fill(replay_server, count)
        replayed.load("orders", mode=Mode.FULL)
        before = (count, 1, 1)
    else:
        replayed.conn.execute("delete from raw.orders")
        before = (0, None, None)
    replay_server.put("shop.orders", [order(i, v=2) for i in range(count)])
    query = (
        "select count(*), min((doc->'v')::int), max((doc->'v')::int) from raw.orders "
        "where _deleted_at is null"
    )
    with Reader(replayed.settings, query) as reader:
        replayed.load("orders", mode=Mode.FULL)
    assert len(reader.answers) > 5
    assert set(reader.answers) <= {before, (count, 2, 2)}
    assert reader.answers[0] == before


def test_ghosts_of_a_gap_are_found_by_a_full_load(replayed, replay_server):
    """A new snapshot of Debezium's can't emit the deletes that fell in the gap: ghosts stay."""
    fill(replay_server)
    follow.run(replayed.settings, until_idle=timedelta(seconds=0.1))
    for key in (3, 4):
        replay_server.change("shop.orders", "delete", key=key)
    replay_server.feed.forget()
    [result] = replayed.load("orders", mode=Mode.FULL)
    assert result.counts.deleted == 2
    assert replayed.mirrors(replay_server)


def test_source_is_not_searched_for_types_airbyte_80160(replayed, replay_server):
    """Airbyte looked for the types of all ids for half an hour before the first document."""
    fill(replay_server)
    replayed.load("orders")
    asked = [command for command in replay_server.commands if "getMore" not in command]
    [find] = [command for command in asked if "find" in command]
    assert (find["filter"], find["hint"]) == ({}, {"_id": 1})
    pipelines = [command["pipeline"] for command in asked if "aggregate" in command]
    assert all("$changeStream" in pipeline[0] for pipeline in pipelines)


# --- cursors --------------------------------------------------------------------------------------


def test_updates_are_seen_whatever_the_ids_airbyte_26060(replayed, replay_server):
    """With `_id` as its cursor a loader sees no update; nor does tap-mongodb's INCREMENTAL."""
    fill(replay_server)
    replayed.load("orders")
    replay_server.change(
        "shop.orders", "update", order(5, v=2, updated_at=NOON + timedelta(days=1))
    )
    [result] = replayed.load("orders", mode=Mode.INCREMENTAL)
    assert result.counts.updated == 1
    assert replayed.mirrors(replay_server)


def test_milliseconds_of_the_cursor_are_not_cut_airbyte_7556_8290(replayed, replay_server):
    """Cut to seconds, each run reads the last second again; cut upwards, it skips one."""
    moments = [NOON + timedelta(milliseconds=n) for n in range(0, 2000, 10)]
    replay_server.put("shop.orders", [order(n, updated_at=at) for n, at in enumerate(moments)])
    replayed.load("orders")
    assert replayed.one("select watermark_ts from ops.watermarks") == moments[-1]
    later = moments[-1] + timedelta(milliseconds=1)
    replay_server.change("shop.orders", "insert", order(999, updated_at=later))
    [result] = replayed.load("orders", mode=Mode.INCREMENTAL, overlap=timedelta(0))
    assert (result.counts.read, result.counts.inserted) == (2, 1)
    assert replayed.one("select _source_ts from raw.orders where _id = '999'") == later


# --- change streams -------------------------------------------------------------------------------


def caught_up(warehouse):
    return follow.run(warehouse.settings, until_idle=timedelta(seconds=0.2))


def token_time(warehouse):
    return changes.token_time(warehouse.one("select token from ops.streams"))


def test_token_is_not_older_than_the_rows_airbyte_69102(replayed, replay_server):
    """The token saved was older than at the start: 1,623 events in the oplog, 0 rows."""
    fill(replay_server)
    caught_up(replayed)
    before = token_time(replayed)
    for step in range(50):
        replay_server.change("shop.orders", "update", order(step, v=2))
    assert caught_up(replayed).events == 50
    assert token_time(replayed) >= replay_server.feed.now() > before
    assert caught_up(replayed).events == 0
    assert replayed.mirrors(replay_server)


def test_run_reads_all_changes_not_the_first_101_airbyte_80250_71046(replayed, replay_server):
    """The token froze: exactly one first answer of 101 records a run, the same ones for ever."""
    fill(replay_server)
    caught_up(replayed)
    for number in range(1_000, 1_250):
        replay_server.change("shop.orders", "insert", order(number))
    assert caught_up(replayed).events == 250
    assert replayed.mirrors(replay_server)


# --- what other tests are about -------------------------------------------------------------------

ELSEWHERE = {
    "16 MB documents": "test_cases_types.py::test_case_10_large_deep_and_wide_documents",
    "0 rows are written by a rerun": "test_modes.py::"
    "test_case_26_incremental_with_nothing_new_writes_nothing",
    "parallel pages skip and repeat (dlt)": "test_snapshot.py::"
    "test_two_workers_skip_and_repeat_nothing_of_a_source_that_is_written_to",
    "views on raw survive a full load": "test_snapshot.py::"
    "test_case_17_view_on_raw_survives_a_full_load",
    "no cursor value, never loaded (dlt#2111)": "test_modes.py::"
    "test_case_23_document_without_a_usable_clock_is_found_each_time",
    "deletes are never seen (dlt, tap-mongodb)": "test_modes.py::"
    "test_case_25_hard_delete_is_found_by_the_counts",
    "every run reads everything (dlt's Arrow path)": "test_modes.py::"
    "test_incremental_reads_only_from_the_overlap_on",
    "ties at the boundary (estuary#3723, airbyte#14732, #80152)": "test_modes.py::"
    "test_case_21_ties_at_the_watermark_are_all_read",
    "rows committed late (airbyte#85918)": "test_modes.py::"
    "test_case_22_late_writer_is_found_inside_the_overlap_and_outside_of_it_by_sweep",
    "no updatedAt watermark is lossless (OneUptime/blog#157)": "test_modes.py::"
    "test_auto_sweeps_when_the_last_one_is_a_day_old",
    "no initial copy before the log (tap-mongodb)": "test_follow.py::"
    "test_first_run_loads_everything_and_later_ones_what_changed",
    "resume token was not found (airbyte#33790, #46569)": "test_follow.py::"
    "test_case_31_stream_that_breaks_while_it_is_read",
    "stops after 286 until a person resets it (Debezium)": "test_follow.py::"
    "test_case_31_history_lost_is_told_and_everything_compared",
    "goes on past a lost token in silence (tap-mongodb)": "test_follow.py::"
    "test_case_31_history_lost_is_told_and_everything_compared",
    "token of a quiet collection expires (airbyte#48435, #34393)": "test_follow.py::"
    "test_case_32_token_moves_on_while_nothing_is_changed",
    "delete's id in another text form (airbyte#60903)": "test_follow.py::"
    "test_case_37_deletion_finds_the_row_whatever_the_type_of_its_id",
    "updateLookup gives null": "test_follow.py::"
    "test_case_30_update_of_a_document_that_is_gone_by_then",
    "drop and rename end the stream": "test_follow.py::"
    "test_case_33_rename_moves_the_rows",
    "event over 16 MB poisons the stream (meteor#14763, PeerDB#3105)": "test_follow.py::"
    "test_case_34_fragments_of_a_large_event_are_put_together",
}  # fmt: skip


@pytest.mark.parametrize("loss", ELSEWHERE)
def test_loss_that_another_test_is_about(loss):
    file, _, name = ELSEWHERE[loss].partition("::")
    tree = ast.parse(Path(__file__).with_name(file).read_text("utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
