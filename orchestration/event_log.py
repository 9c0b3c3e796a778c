"""Dagster's event log in one SQLite file over connections that stay open.

Dagster's own storage opens a file for every event and waits for the disk each time: with a check
for every dbt test that took ten seconds of a refresh that takes sixty. The run history is written
in full here too, and killing a process loses nothing of it; a power cut may lose its last events.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import sqlalchemy
from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage


class EventLog(ConsolidatedSqliteEventLogStorage):
    """The same tables in the same file as its parent, which opens it anew for each event."""

    @cached_property
    def _engine(self) -> sqlalchemy.Engine:
        engine = sqlalchemy.create_engine(self._conn_string, connect_args={"timeout": 60})

        @sqlalchemy.event.listens_for(engine, "connect")
        def _configure(connection: Any, _record: Any) -> None:
            # in WAL mode, which Dagster sets, the file stays whole whatever happens
            connection.execute("pragma synchronous = normal")

        return engine

    @contextmanager
    def _connect(self) -> Iterator[sqlalchemy.Connection]:
        with self._engine.begin() as connection:
            yield connection

    def dispose(self) -> None:
        """Close what is open."""
        self._engine.dispose()
        super().dispose()
