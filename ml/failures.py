"""A model that fails is left out, and said so: the other models, and the task, go on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

log = logging.getLogger(__name__)


@dataclass
class Failures:
    """Models that raised what they are not expected to.

    Attributes:
        errors: the first error of each, by the model's name.
    """

    errors: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def leave_out(self, model: str) -> Iterator[None]:
        """Go on after this block, whatever it raises."""
        try:
            yield
        except Exception as error:
            log.exception("%s failed and is left out", model)
            said = " ".join(str(error).split())
            self.errors.setdefault(model, f"{type(error).__name__}: {said}")

    def notes(self) -> list[str]:
        """What a reader of the run must know."""
        return [
            f"{model} failed and is left out ({error})"
            for model, error in sorted(self.errors.items())
        ]
