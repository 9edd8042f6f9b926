"""Changes that destroy something and that a reviewer lets through."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from manifests.problems import ProblemError
from manifests.text import quoted

from .model import Model


def _date(value: Any) -> date:
    if isinstance(value, date):
        return value
    # The engine reads a date without quotes as a time, and hands it over as Go writes one.
    text = value.removesuffix(" 00:00:00 +0000 UTC") if isinstance(value, str) else ""
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError:  # such as 2026-02-30
        pass
    shown = quoted(str(value)) if isinstance(value, str | int | float) else "the given value"
    raise ProblemError.of(f"{shown} is not a date", "write year, month and day such as `2026-12-01`")


Date = Annotated[
    date,
    BeforeValidator(_date),
    PlainSerializer(date.isoformat),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-12-01"]}),
]
"""A day of the calendar, as in ISO 8601: `2026-12-01`."""


def _said(text: str) -> str:
    if not text.strip():
        raise ProblemError.of("is empty", "write something")
    return text


_Text = Annotated[str, AfterValidator(_said), Field(max_length=500)]


class ApprovedReplacement(Model):
    """One thing that may be lost, as `agentstack diff` names it (docs/data.md)."""

    resource: _Text
    """The object as `Kind/namespace/name`, such as `StatefulSet/data/redis`, or the path of a setting, such as
    `redis.shards`."""
    until: Date
    """The last day on which this counts, in UTC."""
    reason: _Text
    """Why this may be, for whoever reads it later."""
