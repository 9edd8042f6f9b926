"""Settings of agents that end: once, or at every tick of a schedule."""

from __future__ import annotations

import zoneinfo
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from manifests.problems import ProblemError
from manifests.text import quoted

from .model import Model
from .types import Duration, Schedule


def _time_zone(name: str) -> str:
    known = zoneinfo.available_timezones()
    # A machine without the time zone database knows none; Kubernetes brings its own, and checks again.
    if known and name not in known:
        remedy = "write a name of the IANA database such as `Europe/Berlin`"
        raise ProblemError.of(f"{quoted(name)} is not a time zone", remedy)
    return name


TimeZone = Annotated[
    str, AfterValidator(_time_zone), Field(json_schema_extra={"examples": ["Etc/UTC", "Europe/Berlin"]})
]
"""A time zone by its name in the IANA database."""


class Job(Model):
    """One run of an agent of `kind: job` or `cron`.

    https://kubernetes.io/docs/concepts/workloads/controllers/job/
    """

    deadline: Duration = Field(default=timedelta(hours=1), ge=timedelta(seconds=1), le=timedelta(days=30))
    """How long the run may take, retries included; then its pods are ended and it has failed."""
    retries: int = Field(default=3, ge=0, le=100)
    """How often a failed pod is replaced, 10 s, 20 s, 40 s ... later; drained nodes do not count."""
    ttl_after_finished: Duration | None = Field(default=None, le=timedelta(days=365))
    """When the finished run is removed, with its pods and logs; absent: never (`cron`: by the history limits)."""
    completions: int = Field(default=1, ge=1, le=100_000)
    """Pods that must succeed; with more than one, each finds its number in JOB_COMPLETION_INDEX."""
    parallelism: int = Field(default=1, ge=1, le=1000)
    """Pods at the same time."""


class Cron(Model):
    """When an agent of `kind: cron` runs.

    https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/
    """

    schedule: Schedule
    time_zone: TimeZone = "Etc/UTC"
    """The zone that `schedule` is read in."""
    concurrency: Literal["Forbid", "Allow", "Replace"] = "Forbid"
    """What happens at a tick while the last run still goes on: nothing, a second run, or a new run in its place."""
    starting_deadline: Duration = Field(default=timedelta(minutes=10), ge=timedelta(seconds=10), le=timedelta(days=7))
    """How late a run may start that was missed, for example while the control plane was down; below 10 s it might
    never start, since the controller looks every 10 s."""
    suspend: bool = False
    """No new runs while true."""
    successful_history: int = Field(default=3, ge=0, le=100)
    """Succeeded runs that are kept, with their logs."""
    failed_history: int = Field(default=3, ge=0, le=100)
    """Failed runs that are kept, with their logs."""
