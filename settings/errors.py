"""From what pydantic found to problems with the paths that a person wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from manifests.problems import Problem, ProblemError
from manifests.text import closest, escaped, quoted, suggestion

from .types import duration_text


class SettingsError(Exception):
    """The input cannot be used; the text has one line per mistake and never holds a secret."""


def problems(error: ValidationError, root: type[BaseModel]) -> Iterator[Problem]:
    """Turn what pydantic found in a `root` into problems, each with the path as the user wrote it."""
    details = error.errors(include_url=False)
    for detail in details:
        if _follows(detail, details, root):
            continue
        path = tuple(part for part in detail["loc"] if part != "[key]")
        refused = detail.get("ctx", {}).get("error")
        if isinstance(refused, ProblemError):
            yield from (problem.below(*path) for problem in refused.problems)
        else:
            yield Problem(path, *_mistake(detail, root))


def _follows(detail: ErrorDetails, details: Sequence[ErrorDetails], root: type[BaseModel]) -> bool:
    """Whether there is nothing wrong but what another problem names already."""
    loc = detail["loc"]
    match detail["type"]:
        case "default_factory_not_called":  # what it depends on has a problem of its own
            return True
        case "too_short":  # pydantic counts the items that are left, so one that it refused is missing
            return any(other["loc"][: len(loc)] == loc != other["loc"] for other in details)
        case "missing":  # unless it is there with a typing error
            *parents, key = loc
            beside = [
                other["loc"][-1]
                for other in details
                if other["type"] == "extra_forbidden" and other["loc"][:-1] == loc[:-1]
            ]
            return bool(beside) and key in {closest(name, _keys(root, parents)) for name in beside}
        case _:
            return False


def _mistake(detail: ErrorDetails, root: type[BaseModel]) -> tuple[str, str]:
    """Return one of pydantic's own mistakes and its remedy."""
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            *parents, key = detail["loc"]
            return f"unknown key {quoted(str(key))}", suggestion(key, _keys(root, parents))
        case "missing":
            return "is missing", "add it"
        case "literal_error":
            choices = re.findall(r"'([^']*)'", context["expected"])
            if not isinstance(detail["input"], str):  # whatever was put here may hold a secret
                return f"must be one of {', '.join(choices)}", ""
            return f"unknown value {quoted(detail['input'])}", suggestion(detail["input"], choices)
        case "greater_than_equal":
            return f"{_shown(detail['input'])} is below the minimum of {_bound(context['ge'])}", "raise it"
        case "less_than_equal":
            return f"{_shown(detail['input'])} is above the maximum of {_bound(context['le'])}", "lower it"
        case "int_type" | "int_parsing" | "int_from_float":
            return "must be a whole number, such as `3`", ""
        case "bool_type" | "bool_parsing":
            return "must be `true` or `false`", ""
        case "string_type":
            return "must be text", "put it in quotes"
        case "tuple_type" | "list_type":
            return "must be a list", "write `[a, b]`, or one `- item` a line"
        case "dict_type" | "model_type" | "model_attributes_type" | "dataclass_type":
            return "must be a group of `key: value` lines", ""
        case _:
            return f"{detail['msg'][0].lower()}{detail['msg'][1:]}", "see the JSON Schema for what is accepted"


def _shown(value: object) -> str:
    return duration_text(value) if isinstance(value, timedelta) else escaped(str(value))


def _bound(limit: object) -> str:
    # A duration's comes as text, in one of two forms: `1 hour` or `datetime.timedelta(seconds=3600)`.
    text = re.sub(r"(days|seconds)=(\d+)", r"\2 \1", str(limit))
    parts = re.findall(r"(\d+) (day|hour|minute|second)", text)
    return duration_text(timedelta(**{f"{unit}s": int(number) for number, unit in parts})) if parts else text


def _keys(root: Any, path: list[int | str]) -> list[str]:
    """Return the keys that the model at `path` below the type `root` knows."""
    origin = get_origin(root)
    if origin is Annotated:
        return _keys(get_args(root)[0], path)
    if origin in (Union, UnionType):
        return [key for choice in get_args(root) for key in _keys(choice, path)]
    if origin is dict:
        return _keys(get_args(root)[1], path[1:])
    if origin is tuple:
        return _keys(get_args(root)[0], path[1:])
    if not (isinstance(root, type) and issubclass(root, BaseModel)):
        return []
    if not path:
        return [field.alias or name for name, field in root.model_fields.items()]
    for name, field in root.model_fields.items():
        if path[0] in (field.alias, name):
            return _keys(field.annotation, path[1:])
    return []
