"""Hypothesis strategies for BSON, with a bias to what a loader could mistake for something else."""

from __future__ import annotations

import struct

from hypothesis import strategies as st

from tests.python.loaders.raw_bson import (
    binary,
    element,
    of_members,
    raw_array,
    raw_object,
    scoped_code,
    string,
)

TEXTS_LIKE_OURS = [
    b"5f1e8a9b0c2d3e4f5a6b7c8d",
    b"5F1E8A9B0C2D3E4F5A6B7C8D",
    b"000000000000000000000000",
    b"5f1e8a9b0c2d3e4f5a6b7c8",
    b"5f1e8a9b0c2d3e4f5a6b7c8d\n",
    b"2024-01-31T12:00:00Z",
    b"2024-01-31T12:00:00.123000Z",
    b"2024-01-31T12:00:00.000000Z",
    b"2024-01-31T12:00:00.123456Z",
    b"2024-13-99T99:99:99Z",
    b"0000-00-00T00:00:00Z",
    b"2024-01-31T12:00:00",
    b"2024-01-31T12:00:00Z\n",
    "\uff12\uff10\uff12\uff14-01-31T12:00:00Z".encode(),
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"string",
    b"\\u0000",
    b"C:\\new\\table",
    b"\\N",
    b"\\.",
    b"1",
    b"",
]
KEYS_LIKE_OURS = [
    *(b"$date", b"$numberLong", b"$binary", b"$regularExpression", b"$timestamp", b"$minKey"),
    *(b"$maxKey", b"$code", b"$scope", b"$ref", b"$id", b"$db", b"$oid", b"#0", b"#1", b"object"),
    *(b"", b".", b"a.b", b"0", b"1", b"k" * 200, b"\t\n\\", "ключ".encode(), b"updated_at"),
]
EDGES = [0, 1, -1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**53 + 1, 2**63 - 1, -(2**63)]
DOUBLES = [
    *(b"\0" * 8, b"\0" * 7 + b"\x80", struct.pack("<d", float("nan")), b"\1\0\0\0\0\0\xf8\x7f"),
    *(
        b"\0\0\0\0\0\0\xf8\xff",
        b"\1\0\0\0\0\0\xf0\x7f",
        b"\1" + b"\0" * 7,
        b"\1" + b"\0" * 6 + b"\x80",
    ),
    *(struct.pack("<d", x) for x in (1e14, 1e15, 1e16, -1e16, 1e17, 1e22, 1e23, 1e300, 5e-324)),
    *(struct.pack("<d", x) for x in (9007199254740993.0, 9999999999999998.0, 1.5, 100.0, 0.1)),
    *(struct.pack("<d", x) for x in (float("inf"), float("-inf"), 1e-7, 2.2e-308, 1.7e308)),
]
DECIMALS = [
    struct.pack("<QQ", low, high)
    for low, high in (
        *((0, 0x3040 << 48), (0, 0xB040 << 48), (1, 0x3040 << 48), (1250, 0x303A << 48)),
        *((0, 0x303C << 48), (0, 0xB03C << 48), (1, 0x3042 << 48), (1, 0x5FFE << 48)),
        *((1, 0), (7, 0x8000 << 48), (0, 0x7C << 56), (5, 0x7C << 56), (0, 0xFC << 56)),
        *((0, 0x7E << 56), (0, 0x78 << 56), (0, 0xF8 << 56), (9, 0x78 << 56)),
        ((10**34 - 1) & (2**64 - 1), 0x3040 << 48 | (10**34 - 1) >> 64),
        (10**34 & (2**64 - 1), 0x3040 << 48 | 10**34 >> 64),  # more than 34 digits: zero
        ((10**34 - 1) & (2**64 - 1), 0x2FFC << 48 | (10**34 - 1) >> 64),
        (5, 0x6C10 << 48),
        *((2**64 - 1, 0x3040FFFFFFFFFFFF), (0, 0x3041 << 48), (2**63, 0xB000 << 48)),
    )
]

texts = st.one_of(
    st.sampled_from(TEXTS_LIKE_OURS),
    st.text(max_size=10).filter(lambda text: text.isprintable()).map(str.encode),
    st.text("0123456789abcdef", min_size=23, max_size=25).map(str.encode),
)
odd_texts = st.sampled_from([b"a\0b", b"\0", b"\xff!", b"\xed\xa0\x80", b"\xc3", b"5f\0"])
names = st.sampled_from(KEYS_LIKE_OURS) | st.text('abcé漢😀 "\\', max_size=3).map(str.encode)
doubles = st.sampled_from(DOUBLES) | st.floats().map(lambda x: struct.pack("<d", x))
decimals = st.sampled_from(DECIMALS) | st.builds(
    lambda coefficient, exponent, sign: struct.pack(
        "<QQ",
        coefficient & (2**64 - 1),
        sign << 63 | (exponent + 6176) << 49 | coefficient >> 64,
    ),
    st.integers(0, 10**34 - 1) | st.integers(0, 10**6),
    st.integers(-40, 5) | st.integers(-6176, 6111),
    st.integers(0, 1),
)
longs = st.sampled_from(EDGES) | st.integers(-(2**63), 2**63 - 1)
moments = st.one_of(
    longs,
    st.integers(-62135596800002, -62135596799998),
    st.integers(253402300799998, 253402300800001),
    st.integers(0, 2 * 10**12),
)
BY_TYPE = {
    1: doubles,
    2: texts.map(string),
    5: st.builds(binary, st.integers(0, 255), st.binary(max_size=80)),
    7: st.binary(min_size=12, max_size=12),
    8: st.sampled_from([b"\0", b"\1"]),
    9: moments.map(lambda ms: struct.pack("<q", ms)),
    10: st.just(b""),
    11: st.builds(
        lambda pattern, options: pattern + b"\0" + options + b"\0",
        texts.filter(lambda text: b"\0" not in text),
        st.sampled_from([b"", b"i", b"ilmsux", b"xi", b"?"]),
    ),
    13: texts.map(string),
    16: st.integers(-(2**31), 2**31 - 1).map(lambda x: struct.pack("<i", x)),
    17: st.binary(min_size=8, max_size=8),
    18: longs.map(lambda x: struct.pack("<q", x)),
    19: decimals,
    127: st.just(b""),
    255: st.just(b""),
}
plain_scalars = st.one_of(*(st.tuples(st.just(kind), BY_TYPE[kind]) for kind in BY_TYPE))
odd_scalars = st.one_of(
    st.tuples(st.just(2), odd_texts.map(string)),
    st.tuples(st.just(13), odd_texts.map(string)),
    st.tuples(st.just(14), texts.map(string)),
    st.just((6, b"")),
    st.tuples(st.just(12), texts.map(lambda text: string(text) + b"\x5f" * 12)),
)


def doubled(first: tuple[int, bytes], second: tuple[int, bytes], key: bytes) -> bytes:
    return raw_object(element(first[0], key, first[1]), element(second[0], key, second[1]))


def nested(scalars, *more):
    def around(inner):
        objects = st.dictionaries(names, inner, max_size=3).map(of_members)
        alike = st.builds(lambda value, n: raw_array(*[value] * n), inner, st.integers(0, 3))
        return st.one_of(
            st.tuples(st.just(3), objects),
            st.tuples(st.just(4), st.lists(inner, max_size=3).map(lambda v: raw_array(*v))),
            st.tuples(st.just(4), alike),
            st.tuples(st.just(15), st.builds(scoped_code, texts, objects)),
            *(st.tuples(st.just(3), strategy(inner)) for strategy in more),
        )

    return st.recursive(scalars, around, max_leaves=5)


plain_values = nested(plain_scalars)
odd_values = nested(
    plain_scalars | odd_scalars,
    lambda inner: st.builds(doubled, inner, inner, st.sampled_from([b"a", b"$date"])),
)


def documents(values):
    many = st.lists(st.dictionaries(names, values, max_size=4), min_size=1, max_size=8)
    return many.map(
        lambda many: [
            of_members({b"_id": (16, struct.pack("<i", number))} | members)
            for number, members in enumerate(many)
        ]
    )
