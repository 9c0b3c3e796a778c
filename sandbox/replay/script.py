"""The script by which a test changes a server's answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_NAMES = {
    2: "BadValue",
    13: "Unauthorized",
    18: "AuthenticationFailed",
    43: "CursorNotFound",
    59: "CommandNotFound",
    189: "PrimarySteppedDown",
    237: "CursorKilled",
    260: "InvalidResumeToken",
    280: "ChangeStreamFatalError",
    286: "ChangeStreamHistoryLost",
    10107: "NotWritablePrimary",
    10334: "BSONObjectTooLarge",
    11600: "InterruptedAtShutdown",
    11602: "InterruptedDueToReplStateChange",
    13435: "NotPrimaryNoSecondaryOk",
}


class Close(Exception):  # noqa: N818 -- an answer, not an error of this server
    """The answer that is none: the connection is closed."""


CLOSE = Close()

Command = dict[str, Any]
Answer = Mapping[str, Any] | Close | Callable[[Command], "Mapping[str, Any] | Close | None"]


def error(code: int, message: str = "scripted by the test", *labels: str) -> dict[str, Any]:
    """The reply of a command that failed with this number."""
    reply = {"ok": 0.0, "errmsg": message, "code": code}
    reply["codeName"] = _NAMES.get(code, f"Location{code}")
    return reply | ({"errorLabels": list(labels)} if labels else {})


@dataclass
class Rule:
    """One line of the script; see `ReplayServer.on`."""

    command: str
    answer: Answer
    first: int
    times: int | None
    where: Callable[[Command], bool]
    seen: int = 0

    def applies(self, name: str, command: Command) -> bool:
        """True if this command is one to be answered so; counts it."""
        if name != self.command or not self.where(command):
            return False
        self.seen += 1
        return self.seen >= self.first and (
            self.times is None or self.seen < self.first + self.times
        )
