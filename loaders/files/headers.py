"""How the header of a file differs from that of another one of its kind. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loaders.files.mapping import plain

_SHOWN = 10  # names in one remark


@dataclass(frozen=True)
class Header:
    """What the columns of a file are.

    Attributes:
        fields: field of ours -> the column that it is read from.
        rest: the other columns, kept under `attrs`.
    """

    fields: dict[str, str]
    rest: tuple[str, ...] = ()

    def dump(self) -> dict[str, Any]:
        """As `ops.load_files.header` has it."""
        return asdict(self)

    @classmethod
    def load(cls, value: dict[str, Any]) -> Header:
        """What `dump` wrote."""
        return cls(value["fields"], tuple(value["rest"]))


def differences(now: Header, then: Header, whose: str) -> list[str]:
    """One remark per way in which a header differs; case, blanks and order make no difference.

    Args:
        now: the file's.
        then: what it is compared with.
        whose: how the remarks call that.
    """
    remarks = []
    gone = [f"{then.fields[name]} ({name})" for name in then.fields if name not in now.fields]
    mine, theirs = ({plain(name): name for name in header.rest} for header in (now, then))
    gone += [name for key, name in theirs.items() if key not in mine and key not in _columns(now)]
    if gone:
        remarks.append(f"lacks what {whose} has: {_some(gone)}")
    new = [f"{now.fields[name]} ({name})" for name in now.fields if name not in then.fields]
    new += [name for key, name in mine.items() if key not in theirs and key not in _columns(then)]
    if new:
        remarks.append(f"has what {whose} lacks: {_some(new)}")
    renamed = [
        f"{column} ({name}, there {then.fields[name]})"
        for name, column in now.fields.items()
        if name in then.fields and plain(column) != plain(then.fields[name])
    ]
    if renamed:
        remarks.append(f"has other names than {whose}: {_some(renamed)}")
    return remarks


def _columns(header: Header) -> set[str]:
    return {plain(column) for column in header.fields.values()}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN))
