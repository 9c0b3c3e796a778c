"""A BSON document of a known shape as one COPY text row.

`row` is the function in C of `transcoder.c` where it was compiled at set-up, and `row_in_python`
elsewhere: they write the same, to the byte.
"""

from __future__ import annotations

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

from loaders.documents import decimals

Row = tuple[bytes, str, int | None]
"""The row, its backslashes not yet escaped; `updated_at` as text and in ms, "" and None without."""

CLOCK = "updated_at"  # the field that a shop sets at each change
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- decoded dates are naive UTC

# naive datetimes are the cheaper to decode and to print; dates beyond them come as DatetimeMS
STRICT = CodecOptions(tz_aware=False, datetime_conversion=DatetimeConversion.DATETIME_AUTO)
CANONICAL = json_util.CANONICAL_JSON_OPTIONS.with_options(tz_aware=False, tzinfo=None)
# subclasses (Int64, say) go to the hook
FLAGS = (
    orjson.OPT_NAIVE_UTC
    | orjson.OPT_UTC_Z
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_APPEND_NEWLINE
)


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
    """The row of a document that was written already: JSON and a line feed."""
    stamp, milliseconds = "", None
    if type(clock) is datetime:
        stamp = clock.isoformat() + "Z"
        milliseconds = (clock - EPOCH) // timedelta(milliseconds=1)
    return f"{identity}\t{stamp}\t{digest}\t{types}\t".encode() + doc, stamp, milliseconds


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
    from _ledgerline_transcoder import row
except ImportError:
    row = row_in_python
