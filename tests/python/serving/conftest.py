"""One store of metrics for the session, over the tiny shop."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from loaders.settings import Settings
from serving.metrics import MetricStore
from serving.semantic import Catalogue


@pytest.fixture(scope="session")
def store(warehouse: Settings) -> Iterator[MetricStore]:
    """Answers from the tiny shop's warehouse; nobody changes it."""
    before = dict(os.environ)
    # where the demo has parsed the project for this database
    os.environ["DBT_TARGET_PATH"] = str(warehouse.home / "target" / warehouse.postgres_db)
    try:
        catalogue = Catalogue.load(warehouse)
    finally:
        os.environ.clear()
        os.environ.update(before)
    with MetricStore(warehouse, catalogue) as opened:
        yield opened


@pytest.fixture(scope="session")
def rows(warehouse: Settings) -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """SQL by hand, past the semantic layer."""
    with psycopg.connect(
        **warehouse.postgres(), autocommit=True, row_factory=dict_row
    ) as connection:
        yield lambda sql, parameters=(): connection.execute(sql, parameters).fetchall()
