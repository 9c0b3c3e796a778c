"""`ledgerline refresh`: the Dagster job of that name in this process, with a line per step."""

from __future__ import annotations

import os
import platform
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import structlog
import typer
from rich.console import Console

from loaders.connections import open_mongodb, open_postgres
from loaders.errors import UserError
from loaders.settings import Settings
from orchestration import logs, progress, workspace

if TYPE_CHECKING:
    import dagster as dg

log = structlog.get_logger(__name__)

JOB = "refresh"
_PID, _HOST = "ledgerline/pid", "ledgerline/host"


class RefreshError(UserError):
    """A step of the refresh failed; the message names it in one line."""


def refresh(
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train models also where nothing has changed.")
    ] = False,
) -> None:
    """Load what changed, build and test the marts, fit the models, reconcile."""
    console = Console()
    started = time.monotonic()
    with progress.shown_on(console):
        run(Settings(), retrain=retrain)
    console.print(f"refreshed in {time.monotonic() - started:.0f} s", highlight=False)


def run(settings: Settings, *, retrain: bool = False) -> None:
    """Run the job in this process; its steps report to `progress.current()`.

    Raises:
        RefreshError: a step failed. What was committed before stays, and a rerun goes on.
        UserError: a server can't be reached; nothing was begun.
    """
    prepare_servers(settings)
    workspace.prepare(settings)
    with progress.current().task("prepare the graph"):
        # here, as Dagster and dbt take seconds to import
        import dagster as dg

        from orchestration import automation, project

        project.manifest()  # its errors are one line, those of loading definitions many
        from orchestration.definitions import defs

        job = defs().resolve_job_def(JOB)
        instance = dg.DagsterInstance.get()
    with instance:
        close_dead_runs(instance)
        result = job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            # the terminal shows the steps; the events are in Dagster's log
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags={
                _PID: str(os.getpid()),
                _HOST: platform.node(),
                **({automation.RETRAIN: "by hand"} if retrain else {}),
            },
        )
    if not result.success:
        raise RefreshError(_why(result, settings))
    if failed := _failed_tasks(result):
        raise RefreshError(
            f"refreshed, but for the scores of {logs.masked('; '.join(failed))[:500]}: they are "
            f"those of before (details in {logs.log_file(settings.home)})"
        )


def prepare_servers(settings: Settings) -> None:
    """Raise UserError unless both servers answer, before anything is begun; make the ml schema."""
    from ml import schema

    open_mongodb(settings).client.close()
    with open_postgres(settings) as conn:
        schema.ensure(conn)


def close_dead_runs(instance: dg.DagsterInstance) -> None:
    """Mark runs of this command as failed whose process is gone, or the UI would wait for them."""
    import dagster as dg

    unfinished = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING]
    for dead in instance.get_runs(dg.RunsFilter(statuses=unfinished)):
        pid = dead.tags.get(_PID)
        if pid is None or dead.tags.get(_HOST) != platform.node() or _lives(int(pid)):
            continue
        instance.report_run_failed(dead, "The process was killed.")


def _lives(pid: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return pid != os.getpid()


def _failed_tasks(result: dg.ExecuteInProcessResult) -> list[str]:
    """Tasks of models that failed in a run that went on, with the reason."""
    from orchestration.defs.ml.scores import HAS_RUN

    return [
        f"{check.metadata['task'].value} ({check.metadata['error'].value})"
        for check in result.get_asset_check_evaluations()
        if check.check_name == HAS_RUN and not check.passed
    ]


def _why(result: dg.ExecuteInProcessResult, settings: Settings) -> str:
    """One line: the first step that failed, its reason, and where more is written."""
    where = f"(details in {logs.log_file(settings.home)})"
    for event in result.all_events:
        if not event.is_step_failure:
            continue
        failure = event.step_failure_data
        log.error("step failed", step=event.step_key, error=failure.error_display_string)
        if failure.user_failure_data and failure.user_failure_data.description:
            reason = failure.user_failure_data.description
        else:
            error = failure.error.cause or failure.error if failure.error else None
            reason = error.message.strip() if error else "unknown"
        reason = logs.masked(" ".join(reason.split()))[:500]
        return f"refresh stopped at {event.step_key}: {reason} {where}"
    return f"refresh stopped before its first step {where}"
