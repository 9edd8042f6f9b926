"""What a step's output is made of, and which text it is in another step."""

from __future__ import annotations

import json
import re
from typing import Final

from pydantic import JsonValue

from agentstack_services.workflows.model import Step

from .steps import StepFailed

OUTPUT_BYTES: Final = 1024 * 1024
"""How long an output may be: it goes into Redis, and into the texts of other steps."""
_MARKER: Final = re.compile(r"^(?:\d{1,3}[.)]|[-*\u2022])\s+")
_FENCED: Final = re.compile(r"^```[a-zA-Z]*\n(.*)\n```$", re.DOTALL)
"""JSON as models like to give it."""


def shaped(said: JsonValue, definition: Step, *, retryable: bool) -> JsonValue:
    """Return `said` as the `output` and `limit` of the step want it.

    `lines` are without list markers, blank ones and space around them; of a function's list they are its items.

    Raises:
        StepFailed: it is too long, or is to be JSON and is not. `retryable` says whether another answer may be better.
    """
    if len(as_text(said).encode()) > OUTPUT_BYTES:
        raise StepFailed(f"an output of more than {OUTPUT_BYTES} bytes", retryable=False)
    if definition.output == "lines":
        lines = map(as_text, said) if isinstance(said, list) else as_text(said).splitlines()
        stripped = (_MARKER.sub("", line.strip()).strip() for line in lines)
        kept: list[JsonValue] = [line for line in stripped if line]
        return kept[: definition.limit]
    if definition.output == "json":
        value = _parsed(said, retryable) if isinstance(said, str) else said
        if not isinstance(value, list | dict):
            raise StepFailed("the output is JSON, but no list and no object", retryable=retryable)
        return value[: definition.limit] if isinstance(value, list) else value
    return as_text(said)


def as_text(value: JsonValue) -> str:
    """Return what a reference to `value` stands for: a list is its items, one a line; other values are JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(map(as_text, value))
    return json.dumps(value, ensure_ascii=False)


def _parsed(said: str, retryable: bool) -> JsonValue:
    text = said.strip()
    fenced = _FENCED.match(text)
    try:
        parsed: JsonValue = json.loads(fenced[1] if fenced else text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise StepFailed("the output is to be JSON, and is not", retryable=retryable) from None
    return parsed


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
