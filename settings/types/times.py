"""Spans of time, and schedules."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from manifests.cron import FIELDS, numbers
from manifests.problems import ProblemError
from manifests.text import quoted

_DURATION = r"^([0-9]{1,8})([smhd])$"
_DURATION_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(value: Any) -> timedelta:
    """Read a duration as `Duration` does; raises ValueError for anything else."""
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(_DURATION, value) if isinstance(value, str) else None
    if match is None:
        shown = quoted(str(value)) if isinstance(value, str | int | float) else "the given value"
        remedy = "write a whole number with a unit (s, m, h or d) such as `30s`"
        raise ProblemError.of(f"{shown} is not a duration", remedy)
    return timedelta(seconds=int(match[1]) * _DURATION_UNITS[match[2]])


def duration_text(value: timedelta) -> str:
    """Write a duration in its largest whole unit: `90s`, `36h`, `7d`."""
    seconds = int(value.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


Duration = Annotated[
    timedelta,
    BeforeValidator(duration),
    PlainSerializer(duration_text),
    WithJsonSchema({"type": "string", "pattern": _DURATION, "examples": ["30s", "5m", "24h", "7d"]}),
]
"""A span of whole seconds, minutes, hours or days: `30s`, `5m`, `24h`, `7d`."""


def _schedule(text: str) -> str:
    fields = text.split()
    if len(fields) != len(FIELDS):
        raise ProblemError.of(
            f"{quoted(text)} is not a schedule",
            "write the five fields minute, hour, day of the month, month and day of the week, such as `0 2 * * *`",
        )
    for field, kind in zip(fields, FIELDS, strict=True):
        try:
            numbers(field, kind)
        except ValueError:
            least = kind.least
            raise ProblemError.of(
                f"{quoted(text)} is not a schedule: {quoted(field)} is no {kind.name}",
                f"write `*`, `*/2`, or numbers from {least} to {kind.greatest} such as `{least}`, "
                f"`{least}-{least + 2}` or `{least},{least + 2}`",
            ) from None
    return " ".join(fields)


Schedule = Annotated[
    str, AfterValidator(_schedule), Field(json_schema_extra={"examples": ["0 2 * * *", "*/30 * * * *"]})
]
"""When a CronJob runs: minute, hour, day of the month, month, day of the week.

As strict as Kubernetes, and without its `@` words: the five fields say when.
"""
