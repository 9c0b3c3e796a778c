"""BSON documents of the usual kind as COPY binary rows, the fast way.

`rows_in_c` is the function of `transcoder.c` where it was compiled at set-up, else None.
`row_in_python` does it for documents of a known shape (`shapes`), in some five times the time.
Both write what `exact` would, to the byte but for the order of keys, or nothing. C writes them in
jsonb's own order, which Postgres then need not make: a tenth of its work.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import bson
import orjson
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.errors import BSONError
from bson.int64 import Int64
from bson.objectid import ObjectId

from loaders.documents import binary, decimals
from loaders.documents.exact import EPOCH

Row = tuple[bytes, str, int | None]
"""The row; the day of `updated_at` and the same in milliseconds, "" and None without one."""

Rows = tuple[bytes, int, dict[str, tuple[int, int]], tuple[int, int] | None]
"""Rows of some documents; the first one that they are not of; by day of `updated_at` ("" without)
how many documents, and the sum of the first 60 bits of their hashes; the latest `updated_at` in
milliseconds, and which document has it."""

Write = Callable[[list[bytes], list[str], list[str], int], Rows]
"""Writes rows of documents (with their `_id` and `_doc_hash`) from a given one on, for as long as
they are documents that it is made for."""

CLOCK = "updated_at"  # the field that a shop sets at each change

# naive datetimes are the cheaper to decode and to print; dates beyond them come as DatetimeMS
STRICT = CodecOptions(tz_aware=False, datetime_conversion=DatetimeConversion.DATETIME_AUTO)
CANONICAL = json_util.CANONICAL_JSON_OPTIONS.with_options(tz_aware=False, tzinfo=None)
# subclasses (Int64, say) go to the hook
FLAGS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_PASSTHROUGH_SUBCLASS


def row_in_python(document: bytes, identity: str, digest: str, types: str) -> Row | None:
    """See the module.

    Args:
        document: BSON.
        identity, digest, types: its `_id`, `_doc_hash` and `_types`.

    Returns:
        None where the document must be read to the letter.
    """
    try:
        decoded = bson.decode(document, STRICT)
        doc = orjson.dumps(decoded, _hook, FLAGS)
    except (BSONError, RecursionError, orjson.JSONEncodeError):
        return None
    # a NUL in text, or a backslash before "u0000": which, the exact reading finds out
    if b"\\u0000" in doc:
        return None
    return row_of(doc, decoded.get(CLOCK), identity, digest, types)


def row_of(doc: bytes, clock: Any, identity: str, digest: str, types: str) -> Row:
    """The row of a document that was written already, as JSON."""
    day, milliseconds, source_ts = "", None, None
    if type(clock) is datetime:
        day = clock.date().isoformat()
        milliseconds = (clock - EPOCH) // timedelta(milliseconds=1)
        source_ts = binary.timestamp(clock)
    row = binary.row(
        identity.encode(),
        source_ts,
        digest.encode(),
        types.encode() or None,
        binary.JSONB_VERSION + doc,
    )
    return row, day, milliseconds


def _hook(value: Any) -> Any:
    """What orjson can't write by itself, most frequent types first."""
    kind = type(value)
    if kind is ObjectId:
        return value.binary.hex()
    if kind is Decimal128:
        return orjson.Fragment(decimals.to_text(value.bid))
    if kind is Int64:
        return int(value)
    if kind is DBRef:
        return dict(value.as_doc())  # as json_util has it, but for values that come here in turn
    return json_util.default(value, CANONICAL)


try:
    from _ledgerline_transcoder import rows as rows_in_c
except ImportError:
    rows_in_c = None
