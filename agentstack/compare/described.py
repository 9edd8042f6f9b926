"""What differs, as people read it and as published."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from pydantic import Field

from agentstack.output.document import Code, Fenced, Fold, Line, Lines, Section
from agentstack.output.published import Published
from agentstack.preview.published import ComponentName
from agentstack.rendering.manifests import to_yaml

from .model import ABSENT, Action, Change, FieldChange, FieldKind
from .redaction import shown
from .snapshot import Object

_SIGNS: Final = {"removed": "-", "renamed": "~", "changed": "~", "added": "+"}
"""By action, in the order of importance."""
_MOST_NEW: Final = 20
"""With more new objects, their manifests are not shown."""


def _is_absent(value: Any) -> bool:
    return value is ABSENT


class FieldReport(Published):
    """One field that differs."""

    path: str
    """From the object's root, with names and never positions: `spec.template.spec.containers[api].env[LOG_LEVEL]`."""
    kind: FieldKind
    before: Any = Field(default_factory=lambda: ABSENT, exclude_if=_is_absent)
    """Left out if it is new."""
    after: Any = Field(default_factory=lambda: ABSENT, exclude_if=_is_absent)
    """Left out if it is gone."""


class ChangeReport(Published):
    """One object that differs."""

    action: Action
    kind: str
    namespace: str
    name: str
    urn: str
    component: tuple[ComponentName, ...]
    """What it belongs to, the outermost first."""
    formerly: str = Field("", exclude_if=lambda title: not title)
    """What it was called, if it is renamed; left out if not."""
    fields: tuple[FieldReport, ...]


def counts(changes: Iterable[Change]) -> str:
    """Say how many objects differ, in words."""
    number = Counter(change.action for change in changes)
    words = [f"{number[action]:,} {action}" for action in ("added", "removed", "renamed", "changed") if number[action]]
    return ", ".join(words) or "0 objects change"


def sections(changes: Sequence[Change]) -> list[Section]:
    """The changes by component, and what is new as YAML."""
    if not changes:
        return [Section("Changes", (Lines(("0 objects change.",)),))]
    groups: dict[tuple[str, ...], list[Change]] = {}
    for change in changes:
        groups.setdefault(_component(change.object), []).append(change)
    folds = []
    for component, inside in sorted(groups.items()):
        *kind, name = component
        title: Line = (*(f"{word} " for word in kind), Code(name), f": {counts(inside)}")
        folds.append(Fold(title, tuple(Fenced(text, "diff") for text in _texts(inside))))
    sections = [Section(f"Changes: {counts(changes)}", tuple(folds))]
    new = [change.after for change in changes if change.action == "added" and change.after is not None]
    if len(new) > _MOST_NEW:
        hidden = f"What is in the {len(new):,} new objects is not shown: `agentstack preview` writes it."
        sections.append(Section(f"New objects: {len(new)}", (Lines((hidden,)),), appendix=True))
    elif new:
        manifests = tuple(
            Fold(Code(one.title), (Fenced(to_yaml(shown(one.manifest)).rstrip(), "yaml"),)) for one in new
        )
        sections.append(Section(f"New objects: {len(new)}", manifests, appendix=True))
    return sections


def _component(known: Object) -> tuple[str, ...]:
    """Return type and name of what people call the part that an object belongs to: below the outermost, if possible."""
    if not known.within:
        return ("objects of no component",)
    kind, name = known.within[min(1, len(known.within) - 1)]
    return (kind.rpartition(":")[2], name)


def _texts(changes: Iterable[Change]) -> list[str]:
    """Write the changes of a component as unified diffs; one for all objects in which the same fields differ."""
    alike: dict[tuple[str, ...], list[Change]] = {}
    for change in sorted(changes, key=lambda change: (list(_SIGNS).index(change.action), change.object.key)):
        names = sum(field.kind == "name" for field in change.fields)
        lines = [line for field in change.fields if field.kind != "name" for line in field_lines(field)]
        follow = [f"!   {names} field{'' if names == 1 else 's'} with its name"] if names else []
        alike.setdefault((_SIGNS[change.action], *lines, *follow), []).append(change)
    return ["\n".join([*(f"{sign} {_title(one)}" for one in same), *lines]) for (sign, *lines), same in alike.items()]


def _title(change: Change) -> str:
    if change.action == "renamed" and change.before is not None:
        return f"{change.object.title} (was {change.before.title})"
    return change.object.title


def field_lines(field: FieldChange) -> Iterator[str]:
    """Write one field as lines of a unified diff."""
    match field.kind:
        case "secret":
            what = {(True, False): "is new", (False, True): "is gone"}.get(
                (field.before is ABSENT, field.after is ABSENT), "changed"
            )
            yield f"!   {field.path}: {what} (secret)"
        case "hash" if field.path == "metadata.name":
            yield "!   recreated: its name has a hash of what it depends on"
        case "hash":
            what = "a secret" if "secret" in field.path else "its configuration"
            yield f"!   {field.path}: restarts because {what} changed"
        case "order":
            yield f"!   {field.path}: {', '.join(field.before)} -> {', '.join(field.after)}"
        case _:
            before, after = _value_lines(field.before), _value_lines(field.after)
            if len(before) <= 1 and len(after) <= 1:
                yield from (f"-   {field.path}: {line}" for line in before)
                yield from (f"+   {field.path}: {line}" for line in after)
                return
            yield f"    {field.path}:"
            if not before or not after:
                yield from (f"-     {line}" for line in before)
                yield from (f"+     {line}" for line in after)
                return
            # The first two lines of a unified diff name files.
            for line in list(difflib.unified_diff(before, after, n=2, lineterm=""))[2:]:
                yield line if line[:1] == "@" else f"{line[:1]}     {line[1:]}"


def _value_lines(value: Any) -> list[str]:
    if value is ABSENT:
        return []
    if isinstance(value, str) and "\n" in value:
        return value.rstrip("\n").split("\n")
    if isinstance(value, str | int | float) or value in ({}, []):
        return to_yaml({"": value}).partition(": ")[2].rstrip("\n").split("\n")
    return to_yaml(value).rstrip("\n").split("\n")


def published(changes: Iterable[Change]) -> tuple[ChangeReport, ...]:
    """Return the changes as published."""
    return tuple(
        ChangeReport(
            action=change.action,
            kind=change.object.key[0],
            namespace=change.object.key[1],
            name=change.object.key[2],
            urn=change.object.urn,
            component=tuple(ComponentName(type=kind, name=name) for kind, name in change.object.within),
            formerly=change.before.title if change.action == "renamed" and change.before else "",
            fields=tuple(
                FieldReport(path=field.path, kind=field.kind, before=field.before, after=field.after)
                for field in change.fields
            ),
        )
        for change in changes
    )
