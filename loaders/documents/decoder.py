"""The driver's BSON decoder, for documents that are only to be written as JSON.

Half of the time that it takes to read and write an order goes into Python objects of ObjectIds,
decimals and 64-bit integers, out of which JSON is then made. pymongo's decoder in C looks these
classes up when its module is loaded; a second copy of the module, loaded while others stand in
their places, gives what JSON has at once: a str of 24 hex digits, an orjson.Fragment, an int.
Everything else comes as from `bson.decode_all`. The driver itself is left as it is. Where there is
no such module, or it does something else some day, the driver's own decoder is used: what is
written is the same, a test says so.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import bson
import orjson
from bson import decimal128, int64, objectid
from bson.codec_options import CodecOptions

from loaders.documents import decimals

Decode = Callable[[bytes, CodecOptions[Any]], list[dict[str, Any]]]


def _text_of_decimal(bid: bytes) -> orjson.Fragment:
    return orjson.Fragment(decimals.to_text(bid))


def _load() -> Decode:
    try:
        from bson import _cbson

        spec = importlib.util.spec_from_file_location(_cbson.__name__, _cbson.__file__)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        real = objectid.ObjectId, decimal128.Decimal128, int64.Int64
        try:
            objectid.ObjectId = bytes.hex
            decimal128.Decimal128 = SimpleNamespace(from_bid=_text_of_decimal)
            int64.Int64 = int
            spec.loader.exec_module(module)
        finally:
            objectid.ObjectId, decimal128.Decimal128, int64.Int64 = real
        decode: Decode = module._decode_all
        return decode if _is_right(decode) else bson.decode_all
    except Exception:  # whatever a later release changes
        return bson.decode_all


def _is_right(decode: Decode) -> bool:
    identity, amount = objectid.ObjectId(), decimal128.Decimal128("12.50")
    document = {"a": [identity], "b": {"c": amount}, "d": int64.Int64(2)}
    [found] = decode(bson.encode(document), CodecOptions())
    [own] = bson.decode_all(bson.encode(document))
    return (
        orjson.dumps(found) == b'{"a":["%b"],"b":{"c":12.50},"d":2}' % str(identity).encode()
        and own == document
        and type(own["d"]) is int64.Int64
    )


decode_all = _load()
