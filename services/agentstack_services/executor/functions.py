"""The functions that the image comes with, for steps with `code:`."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from .steps import StepFailed


def join(arguments: Mapping[str, str]) -> JsonValue:
    """Return all arguments as one text, each under its name: the outputs of several steps as one answer."""
    return "\n\n".join(f"{name}:\n{text}" for name, text in arguments.items())


def pick_lines(arguments: Mapping[str, str]) -> JsonValue:
    """Return the lines of `text`, each once: those with `containing` in them, whatever its case, and `first` of them.

    Raises:
        StepFailed: `text` is missing, or `first` is no whole number from 1.
    """
    if "text" not in arguments:
        raise StepFailed("pick_lines: the argument `text` is missing", retryable=False)
    first = arguments.get("first", "")
    if first and (not first.isdecimal() or int(first) < 1):
        raise StepFailed("pick_lines: the argument `first` must be a whole number from 1", retryable=False)
    wanted = arguments.get("containing", "").lower()
    lines = dict.fromkeys(line.strip() for line in arguments["text"].splitlines() if wanted in line.lower())
    lines.pop("", None)
    kept: list[JsonValue] = [*lines]
    return kept[: int(first) if first else None]
