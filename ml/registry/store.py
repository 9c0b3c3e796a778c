"""MLflow as the registry: each run with scores is a version of the model named after its task.

MLflow's tables are in the schema `mlflow` of the warehouse's own database: what is backed up or
copied with it stays whole, and no right to create databases is needed. MLflow itself knows no
schema, so the connection's search path names it.

MLflow takes seconds to import. Nothing of it is loaded where there is nothing to register.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from ml.registry import cards
from ml.registry.versions import versions

if TYPE_CHECKING:
    from mlflow import MlflowClient

SCHEMA = "mlflow"
ALIAS = "champion"
_RUN_TAG = "ledgerline.run_id"
_LOCK = "ledgerline mlflow schema"
# MLflow's limits: of a batch, and of a parameter's text
_MOST_METRICS, _MOST_PARAMS, _MOST_TEXT = 1000, 100, 6000

log = logging.getLogger(__name__)


def uri(postgres: Mapping[str, Any]) -> str:
    """The address of MLflow's tables, for SQLAlchemy; it holds the password.

    Args:
        postgres: host, port, user, password and dbname of the warehouse.
    """
    from sqlalchemy.engine import URL

    return URL.create(
        "postgresql+psycopg",
        postgres["user"],
        postgres["password"] or None,
        postgres["host"],
        int(postgres["port"]),
        postgres["dbname"],
        query={"options": f"-csearch_path={SCHEMA}"},
    ).render_as_string(hide_password=False)


def environment() -> dict[str, str]:
    """What keeps MLflow from reporting its use, and from telling of each of its migrations."""
    return {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
    }


def make_schema(connection: psycopg.Connection[Any]) -> None:
    """Make room for MLflow's tables; commits."""
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext(%s))", [_LOCK])
        connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(SCHEMA)))
    connection.commit()


def register(
    connection: psycopg.Connection[Any], postgres: Mapping[str, Any], artifacts: Path
) -> int:
    """Register each run that has scores and no version yet, oldest first; set the aliases.

    Doing so again, also after it was killed half way, registers nothing twice. Commits.

    Args:
        connection: to the warehouse.
        postgres: how to connect to it, for MLflow.
        artifacts: folder for MLflow's files: the model cards.

    Returns:
        Runs that were registered.
    """
    pending = connection.execute(
        "select runs.run_id from ml.runs left join ml.model_versions as known using (run_id)"
        " where runs.status = 'ok' and known.run_id is null order by runs.scored_at, runs.run_id"
    ).fetchall()
    connection.commit()
    if not pending and not _aliases_to_move(connection):
        return 0
    client = _client(connection, postgres)
    for (run_id,) in pending:
        _register_run(connection, client, run_id, artifacts)
    for task, version, run_id in _aliases_to_move(connection):
        if version is None:
            client.delete_registered_model_alias(task, ALIAS)
        else:
            client.set_registered_model_alias(task, ALIAS, str(version))
        connection.execute(
            "update ml.model_versions set is_champion = coalesce(run_id = %s, false)"
            " where task = %s",
            [run_id, task],
        )
        connection.commit()
    return len(pending)


def _client(connection: psycopg.Connection[Any], postgres: Mapping[str, Any]) -> MlflowClient:
    make_schema(connection)
    os.environ.update(environment())
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow import MlflowClient

    address = uri(postgres)
    return MlflowClient(tracking_uri=address, registry_uri=address)


def _aliases_to_move(
    connection: psycopg.Connection[Any],
) -> list[tuple[str, int | None, str | None]]:
    """(task, version, run) that the alias is to be on; None of both where none is current."""
    marked = dict(
        connection.execute(
            "select task, run_id from ml.model_versions where is_champion"
        ).fetchall()
    )
    connection.commit()
    known = versions(connection)
    current = {one.task: one for one in known if one.is_current}
    moved: list[tuple[str, int | None, str | None]] = [
        (one.task, one.version, one.run_id)
        for one in current.values()
        if marked.get(one.task) != one.run_id
    ]
    return moved + [(task, None, None) for task in sorted(marked.keys() - current.keys())]


def _register_run(
    connection: psycopg.Connection[Any], client: MlflowClient, run_id: str, artifacts: Path
) -> None:
    from mlflow.entities import Metric, Param

    card = cards.read(connection, run_id)
    at = int(card.scored_at.timestamp() * 1000)
    known = client.search_model_versions(f"name = '{card.task}' and tag.`{_RUN_TAG}` = '{run_id}'")
    if known:  # killed after MLflow had it and before we did
        version, mlflow_run = int(known[0].version), str(known[0].run_id)
    else:
        run = client.create_run(
            _experiment(client, card.task, artifacts),
            start_time=at,
            run_name=f"{card.task} {card.as_of_date}",
            tags={_RUN_TAG: run_id, "mlflow.source.name": "ledgerline"},
        )
        mlflow_run = run.info.run_id
        metrics = [Metric(name, value, at, 0) for name, value in _metrics(card.metrics).items()]
        params = [Param(key, value) for key, value in _params(card).items()][:_MOST_PARAMS]
        client.log_batch(mlflow_run, params=params)
        for first in range(0, len(metrics), _MOST_METRICS):
            client.log_batch(mlflow_run, metrics=metrics[first : first + _MOST_METRICS])
        client.log_text(mlflow_run, cards.render(card), "card.md")
        client.set_terminated(mlflow_run, end_time=at)
        if not client.search_registered_models(f"name = '{card.task}'"):
            client.create_registered_model(card.task, description=card.purpose)
        made = client.create_model_version(
            card.task,
            source=str(run.info.artifact_uri),
            run_id=mlflow_run,
            tags={_RUN_TAG: run_id, "champion": card.champion or ""},
            description=card.note or None,
        )
        version = int(made.version)
    connection.execute(
        "insert into ml.model_versions"
        " (run_id, task, version, mlflow_run_id, is_champion, registered_at)"
        " values (%s, %s, %s, %s, false, %s) on conflict (run_id) do nothing",
        [run_id, card.task, version, mlflow_run, datetime.now(UTC)],
    )
    connection.commit()


def _experiment(client: MlflowClient, task: str, artifacts: Path) -> str:
    found = client.get_experiment_by_name(task)
    if found is not None:
        return str(found.experiment_id)
    return client.create_experiment(task, artifact_location=(artifacts / task).as_uri())


def _metrics(measured: Iterable[cards.Metric]) -> dict[str, float]:
    """The champion's and the baseline's, by names that MLflow allows."""
    return {
        re.sub(
            r"[^\w\-. :/]", "_", f"{one.series}.{one.horizon}.{one.metric}.{one.role}"
        ): one.value
        for one in measured
        if one.role and one.value is not None
    }


def _params(card: cards.Card) -> dict[str, str]:
    own = {
        "champion": card.champion,
        "baseline": card.baseline,
        "model_version": card.model_version,
        "code_version": card.code_version,
        "data_fingerprint": card.data_fingerprint,
        "as_of_date": card.as_of_date,
        "trained_from": card.trained_from,
        "trained_to": card.trained_to,
        "rows": card.row_count,
    }
    both = {**own, **{f"parameter.{key}": value for key, value in card.parameters.items()}}
    return {key: str(value)[:_MOST_TEXT] for key, value in both.items() if value is not None}
