"""The one automation policy: when things run, when they count as late, how often they are retried.

- **Daily.** `refresh` materialises the whole graph at 03:15 in the store's time zone, when the
  business day is over everywhere that matters and the marketing platforms' figures of the day
  before are in. The schedule is on as soon as `make ui` runs; `make refresh` is the same job.
- **Training.** A task whose features have changed is trained and scores anew in each refresh: the
  whole layer takes a minute, and a model of yesterday would save little and know less. Features
  that have not changed keep their run. Where that minute is too long, LEDGERLINE_RETRAIN_DAYS=7
  keeps each task's run for seven days of data. Sunday's refresh (`ledgerline refresh --retrain`)
  trains all tasks from nothing whatever is known: drift of libraries or machines shows as scores
  that change though nothing else did.
- **Nothing is eager.** A single asset materialised by hand does not set off what is below it: a
  warehouse of which half is newer than the rest reconciles with nothing. Materialise with
  "downstream" in the UI to move all of it.
- **Late** is an asset that no run has touched for 26 hours (warning: two hours of grace for a slow
  run) or 50 hours (failure: two runs are missing).
- **Retries** are for the loader only, whose servers are somebody else's: three, after about 2, 6
  and 14 seconds, each moved at random by up to 2 seconds either way, so that loaders that failed
  together don't come back together. dbt and the models fail for reasons that stay.
"""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from loaders.settings import Settings

CRON = "15 3 * * *"
RETRAIN = "ledgerline/retrain"
_SUNDAY = 6

LOADER_RETRIES = dg.RetryPolicy(
    max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)

FRESHNESS = dg.FreshnessPolicy.time_window(
    warn_window=timedelta(hours=26), fail_window=timedelta(hours=50)
)

refresh_job = dg.define_asset_job(
    "refresh",
    selection=dg.AssetSelection.all(),
    description="Load what changed, build and test the marts, fit the models, publish.",
    executor_def=dg.in_process_executor,
)


def _tags(context: dg.ScheduleEvaluationContext) -> dict[str, str]:
    zone = ZoneInfo(Settings().store_timezone)
    is_sunday = context.scheduled_execution_time.astimezone(zone).weekday() == _SUNDAY
    return {RETRAIN: "weekly"} if is_sunday else {}


daily = dg.ScheduleDefinition(
    name="daily",
    job=refresh_job,
    cron_schedule=CRON,
    execution_timezone=Settings().store_timezone,
    tags_fn=_tags,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
