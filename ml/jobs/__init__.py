"""The I/O around the models: one module per task, which reads features, computes, writes a run.

Orchestration calls these; all else in this package is pure. Each takes an open connection and
commits.
"""

from collections.abc import Mapping

from ml.jobs import (
    anomalies,
    churn,
    demand,
    elasticity,
    forecast,
    lifetime,
    marketing,
    products,
    recommendations,
    segments,
    sentiment,
)
from ml.jobs.running import Outcome, Task

__all__ = ["TASKS", "Outcome", "Task"]

# the longest first, since they run side by side
TASKS: Mapping[str, Task] = {
    job.TASK.name: job.TASK
    for job in (
        recommendations,
        forecast,
        products,
        churn,
        demand,
        lifetime,
        elasticity,
        segments,
        anomalies,
        marketing,
        sentiment,
    )
}
