"""Schedules of cron as Kubernetes reads them, and how often one comes due.

https://pkg.go.dev/github.com/robfig/cron/v3#hdr-CRON_Expression_Format
"""

from __future__ import annotations

import datetime
import functools
import re
from decimal import Decimal
from typing import Final, NamedTuple

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_YEAR = 2023
"""An ordinary year: a leap day is 0.3 % of the days."""


class Field(NamedTuple):
    """One of the five fields of a schedule."""

    name: str
    least: int
    greatest: int
    words: tuple[str, ...] = ()
    """In lower case, what stands for the values from `least` on."""


FIELDS: Final = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of the month", 1, 31),
    Field("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    Field("day of the week", 0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
"""The fields in their order; Sunday is 0 and never 7."""


def numbers(text: str, field: Field) -> set[int]:
    """Return the numbers that a field names: `*` or `?`, `5`, `1-5`, `mon-fri`, each with a step `/2`, and lists.

    Raises `ValueError` for what is none; also for an empty item of a list, which Kubernetes skips.
    """
    found: set[int] = set()
    for part in text.lower().split(","):
        span, slash, step = part.partition("/")
        if span in ("*", "?"):
            first, last = field.least, field.greatest
        else:
            start, dash, end = span.partition("-")
            first = _value(start, field)
            last = _value(end, field) if dash else field.greatest if slash else first
        if not field.least <= first <= last <= field.greatest:
            raise ValueError(part)
        found.update(range(first, last + 1, _number(step) if slash else 1))
    return found


def _value(word: str, field: Field) -> int:
    return field.least + field.words.index(word) if word in field.words else _number(word)


def _number(word: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", word):  # `int` reads more
        raise ValueError(word)
    return int(word)


@functools.lru_cache(maxsize=256)
def runs_per_month(schedule: str) -> Decimal | None:
    """Return how often `schedule` comes due in a month, as the mean of a year; None if it cannot be read.

    Beside five fields, all of the `@` words but `@every` are read.
    https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax
    """
    fields = _MACROS.get(schedule, schedule).split()
    try:
        minutes, hours, days, months, weekdays = (numbers(*pair) for pair in zip(fields, FIELDS, strict=True))
    except ValueError:
        return None
    # Where both are given, a day that either names counts.
    either = not {fields[2], fields[4]} & {"*", "?", "*/1"}
    count = 0
    for offset in range(365):
        date = datetime.date(_YEAR, 1, 1) + datetime.timedelta(offset)
        by_day, by_weekday = date.day in days, date.isoweekday() % 7 in weekdays
        count += date.month in months and ((by_day or by_weekday) if either else (by_day and by_weekday))
    return Decimal(count * len(minutes) * len(hours)) / 12
