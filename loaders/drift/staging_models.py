"""Which fields of the shop's documents the staging models read.

A model is rendered as dbt would, with macros that leave marks instead of SQL: what they were called
with says which path of which document is read, by which cast. The marks' places in the model's CTEs
say whose documents they are. Nothing is guessed from the text but how the CTEs follow on another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from loaders.drift.changes import key_of
from loaders.errors import UserError
from loaders.settings import ROOT

STAGING = ROOT / "models" / "staging"
SOURCE_SCHEMA = "shop"  # the dbt source that schema raw is
ELEMENT = "[]"

Steps = tuple[str, ...]

_MARK = re.compile(r"⟦(\d+)⟧")
_CTE = re.compile(r"\b(\w+)\s+as\s*\(", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Read:
    """One path that a model reads.

    Attributes:
        steps: keys, and ELEMENT for the elements of an array (or the values of a map).
        column, cast: what becomes of it; the cast is empty where a macro reads it on its own.
    """

    steps: Steps
    column: str = ""
    cast: str = ""

    def covers(self, steps: Sequence[str]) -> bool:
        """Whether an observed path is what this reads."""
        if len(steps) == len(self.steps) - 1 and self.steps[-1] == ELEMENT:
            return _match(self.steps[:-1], steps)  # one value where a list is expected
        return len(steps) == len(self.steps) and _match(self.steps, steps)


@dataclass(slots=True)
class Model:
    """One staging model.

    Attributes:
        file: where it is.
        collection: what it reads, or empty.
        reads: all paths that it reads.
        lists: the paths whose fields its lists of columns name: () is the document.
        words: every word of it, names of columns among them.
    """

    file: Path
    collection: str = ""
    reads: list[Read] = field(default_factory=list)
    lists: list[Steps] = field(default_factory=list)
    words: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Its name in dbt."""
        return self.file.stem


def begins_with(steps: Sequence[str], start: Steps) -> bool:
    """Whether an observed path lies at or below what a model reads elements of."""
    return len(steps) >= len(start) and _match(start, steps[: len(start)])


def _match(pattern: Sequence[str], steps: Sequence[str]) -> bool:
    return all(_is_step(*pair) for pair in zip(pattern, steps, strict=True))


def _is_step(wanted: str, seen: str) -> bool:
    if wanted == ELEMENT or seen == "*":
        return True  # elements are read of arrays and of objects; a map's keys aren't known
    return wanted == key_of(seen) or (seen == ELEMENT and wanted.isdigit())


def staging_models(folder: Path = STAGING) -> list[Model]:
    """All models of the staging folder that read the shop's documents.

    Raises:
        UserError: one of them can't be rendered.
    """
    models = (read_model(file) for file in sorted(folder.rglob("*.sql")))
    return [model for model in models if model.collection]


def read_model(file: Path) -> Model:
    """What one model reads."""
    calls = _Calls()
    try:
        text = calls.render(file.read_text("utf-8"))
    except jinja2.TemplateError as error:
        raise UserError(f"{file.name} can't be read as a dbt model: {error}") from error
    model = Model(file, words=frozenset(re.findall(r"\w+", _MARK.sub(" ", text).lower())))
    _follow(text, calls.made, model)
    return model


# --- rendering with marks -------------------------------------------------------------------------


class _Lenient(jinja2.ChainableUndefined):
    """Whatever else a model calls: it gives no SQL and reads nothing."""

    def __call__(self, *_: Any, **__: Any) -> str:
        return ""


class _Calls:
    """The calls of the macros that read documents, in the order of their marks."""

    def __init__(self) -> None:
        self.made: list[tuple[str, tuple[Any, ...]]] = []

    def render(self, text: str) -> str:
        environment = jinja2.Environment(  # noqa: S701 -- SQL, not HTML
            undefined=_Lenient, extensions=["jinja2.ext.do"]
        )
        macros = {name: self._marked(name) for name in _READERS}
        return environment.from_string(text).render(
            macros, source=lambda schema, table: (schema, table), is_incremental=lambda: False
        )

    def _marked(self, name: str) -> Callable[..., str]:
        parameters = _READERS[name]

        def mark(*given: Any, **named: Any) -> str:
            rest = (named.get(parameter) for parameter in parameters[len(given) :])
            self.made.append((name, (*given, *rest)))
            return f"⟦{len(self.made) - 1}⟧"

        return mark


# macros of macros/json and macros/dbt: the names of their parameters
_READERS: Mapping[str, Sequence[str]] = {
    "changed_documents": ("documents",),
    "json_to_columns": ("relation", "document", "columns", "keep"),
    "json_array_rows": ("relation", "document", "path", "keep"),
    "json_array_first": ("document", "path", "flag"),
    "json_array_length": ("document", "path"),
    "json_array_sum": ("document", "path", "field"),
    "json_text": ("document", "path"),
    "json_value": ("document", "path"),
}


# --- following the documents through the CTEs -----------------------------------------------------

# columns of a relation that hold documents or parts of them: name -> paths of what they hold
_Columns = dict[str, list[Steps]]


def _follow(text: str, calls: Sequence[tuple[str, tuple[Any, ...]]], model: Model) -> None:
    relations: dict[str, _Columns] = {}
    for name, body in _ctes(text):
        columns = _inherited(body, relations)
        for mark in _MARK.finditer(body):
            macro, arguments = calls[int(mark[1])]
            if macro == "changed_documents":
                [documents] = arguments
                if isinstance(documents, tuple) and documents[0] == SOURCE_SCHEMA:
                    model.collection = documents[1]
                    columns["doc"] = [()]
            elif macro in ("json_to_columns", "json_array_rows"):
                relation, document, what, keep = arguments
                known = relations.get(relation, {})
                columns |= {column: known[column] for column in keep or () if column in known}
                holders = known.get(document, [])
                if macro == "json_to_columns":
                    _note_columns(model, holders, what)
                else:
                    columns["element"] = _note_elements(model, holders, what)
            else:
                holders = columns.get(str(arguments[0]).split(".")[-1], [])
                found = _note_value(model, holders, macro, arguments[1:])
                if alias := re.match(r"\s+as\s+(\w+)", body[mark.end() :]):
                    columns[alias[1]] = found
        relations[name] = columns


def _note_columns(model: Model, holders: Sequence[Steps], columns: Iterable[Any]) -> None:
    model.lists += [holder for holder in holders if holder not in model.lists]
    for column, cast, paths in columns:
        for path in _as_list(paths):
            model.reads += [Read(holder + _steps(path), column, cast) for holder in holders]


def _note_elements(model: Model, holders: Sequence[Steps], paths: Any) -> list[Steps]:
    found = [(*holder, *_steps(path), ELEMENT) for path in _as_list(paths) for holder in holders]
    model.reads += map(Read, found)
    return found


def _note_value(
    model: Model, holders: Sequence[Steps], macro: str, arguments: Sequence[Any]
) -> list[Steps]:
    path, *more = arguments
    found = [holder + _steps(path) for holder in holders]
    if macro in ("json_array_first", "json_array_sum"):
        found = [(*steps, ELEMENT) for steps in found]
        model.reads += [Read(steps + _steps(more[0])) for steps in found]
    model.reads += map(Read, found)
    return found


def _inherited(body: str, relations: Mapping[str, _Columns]) -> _Columns:
    """The columns with documents that a CTE takes over from the relations it selects from."""
    columns: _Columns = {}
    for name in re.findall(r"\b(?:from|join)\s+(\w+)", body):
        for column, holders in relations.get(name, {}).items():
            columns[column] = holders
            for alias in re.findall(rf"\b{column}\s+as\s+(\w+)", body):
                columns[alias] = holders
    return columns


def _ctes(text: str) -> list[tuple[str, str]]:
    """(name, body) of each CTE, in order."""
    found = []
    for start in _CTE.finditer(text):
        depth, end = 1, start.end()
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        found.append((start[1], text[start.end() : end - 1]))
    return found


def _as_list(paths: str | Sequence[str]) -> Sequence[str]:
    return [paths] if isinstance(paths, str) else paths


def _steps(path: str) -> Steps:
    return () if path == "$" else tuple(path.split("."))
