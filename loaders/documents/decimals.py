"""Decimal128 as text and back: 16 bytes, a binary integer and a power of ten (BID, IEEE 754-2008).

`bson.decimal128` says the same by way of `decimal.Decimal` in four times the time.
"""

from __future__ import annotations

import struct

_BID = struct.Struct("<QQ")
_BIAS = 6176
_DIGITS = 34
_MANY = 10**_DIGITS

_WORDS = {"NaN": 0x7C << 56, "Infinity": 0x78 << 56, "-Infinity": 0xF8 << 56}
_OF_WORD = {word: _BID.pack(0, high) for word, high in _WORDS.items()}


def to_text(bid: bytes) -> str:
    """As JSON: a number with all its digits, or a word in quotes."""
    low, high = _BID.unpack(bid)
    if high >> 61 & 3 == 3:
        if high >> 59 & 3 == 3:
            return '"NaN"' if high >> 58 & 1 else '"-Infinity"' if high >> 63 else '"Infinity"'
        # a coefficient with its implied leading bits is beyond 34 digits: by the standard, zero
        exponent, coefficient = (high >> 47 & 0x3FFF) - _BIAS, 0
    else:
        exponent = (high >> 49 & 0x3FFF) - _BIAS
        coefficient = (high & 0x1FFFFFFFFFFFF) << 64 | low
        if coefficient >= _MANY:
            coefficient = 0
    sign = "-" if high >> 63 else ""
    if exponent == 0:
        return f"{sign}{coefficient}"
    if -34 <= exponent < 0:
        digits = f"{coefficient:0{1 - exponent}d}"
        return f"{sign}{digits[:exponent]}.{digits[exponent:]}"
    return f"{sign}{coefficient}E{exponent}"


def of_text(text: str) -> bytes:
    """The decimal that jsonb's text of a number, or a word, stands for.

    Raises:
        ValueError: no Decimal128 has so many digits.
    """
    if text in _OF_WORD:
        return _OF_WORD[text]
    whole, _, fraction = text.lstrip("-").partition(".")
    digits, exponent = (whole + fraction).lstrip("0"), -len(fraction)
    if len(digits) > _DIGITS or exponent < -_BIAS:
        raise ValueError(f"{text[:60]} is no Decimal128")
    coefficient = int(digits or "0")
    high = (exponent + _BIAS) << 49 | coefficient >> 64 | (text[0] == "-") << 63
    return _BID.pack(coefficient & (1 << 64) - 1, high)


def is_plain(bid: bytes) -> bool:
    """True if `of_text` gives these bytes again once jsonb has had the text.

    A number in jsonb has no power of ten (1E+3 becomes 1000), no negative zero, and a NaN is only
    one.
    """
    low, high = _BID.unpack(bid)
    if high >> 61 & 3 == 3:
        return bid in _OF_WORD.values()
    coefficient = (high & 0x1FFFFFFFFFFFF) << 64 | low
    is_negative_zero = high >> 63 and not coefficient
    return (high >> 49 & 0x3FFF) <= _BIAS and coefficient < _MANY and not is_negative_zero
