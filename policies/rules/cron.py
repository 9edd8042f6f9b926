"""How often a schedule of cron comes due."""

from __future__ import annotations

import calendar
import datetime
import functools
from decimal import Decimal

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name.lower(): (number + 1) % 7 for number, name in enumerate(calendar.day_abbr)}
_YEAR = 2023
"""An ordinary year: a leap day is 0.3 % of the days."""


@functools.lru_cache(maxsize=256)
def runs_per_month(schedule: str) -> Decimal | None:
    """Return how often `schedule` comes due in a month, as the mean of a year; None if it cannot be read.

    https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax
    """
    fields = _MACROS.get(schedule.strip(), schedule).lower().split()
    if len(fields) != 5:
        return None
    try:
        minutes, hours = _values(fields[0], 0, 59), _values(fields[1], 0, 23)
        days, months = _values(fields[2], 1, 31), _values(fields[3], 1, 12, _MONTHS)
        weekdays = {day % 7 for day in _values(fields[4], 0, 7, _DAYS)}
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


def _values(field: str, low: int, high: int, names: dict[str, int] | None = None) -> set[int]:
    """Return the numbers that a field names. Raises `ValueError` for what is none."""

    def number(word: str) -> int:
        found = (names or {}).get(word)
        value = int(word) if found is None else found
        if not low <= value <= high:
            raise ValueError(word)
        return value

    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        if span in ("*", "?"):
            first, last = low, high
        else:
            start, dash, end = span.partition("-")
            first = number(start)
            last = number(end) if dash else (high if step else first)
        found.update(range(first, last + 1, int(step) if step else 1))
    if not found:
        raise ValueError(field)
    return found
