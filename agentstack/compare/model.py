"""What a difference is: one field, or one object."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from manifests.text import cut

from .snapshot import Object

ABSENT: Final = object()
"""Stands for the value of a field that a revision does not have."""
SECRET: Final = "(secret)"
"""Stands for every value that is a secret, or looks like one."""

Action = Literal["added", "removed", "renamed", "changed"]
FieldKind = Literal["value", "text", "order", "hash", "name", "secret"]
"""What sort of difference it is: of a value; of text of several lines; of the order alone of a list's items, by their
names; of a hash of other content, or of a name that an object is renamed to, which follow from a change elsewhere; of a
secret, which is not shown."""


@dataclass(frozen=True)
class FieldChange:
    """One field that differs."""

    path: str
    """From the object's root, with names and never positions: `spec.template.spec.containers[api].env[LOG_LEVEL]`."""
    before: Any
    """`ABSENT` if it is new."""
    after: Any
    """`ABSENT` if it is gone."""
    kind: FieldKind = "value"


@dataclass(frozen=True)
class Change:
    """One object that differs."""

    action: Action
    before: Object | None
    """None if it is added."""
    after: Object | None
    """None if it is removed."""
    fields: tuple[FieldChange, ...] = ()
    """What differs; empty if it is added or removed."""

    @property
    def object(self) -> Object:
        """The object as it will be, or as it was where it is removed."""
        found = self.after or self.before
        assert found is not None
        return found


def side_text(value: Any, longest: int) -> str:
    """Return one side of a change as text of at most `longest` characters."""
    text = "none" if value is ABSENT else value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return cut(text, longest)


def or_null(value: Any) -> Any:
    """Return one side of a change as published: None in the place of `ABSENT`."""
    return None if value is ABSENT else value


def is_at(path: str, *roots: str) -> bool:
    """Whether a field is one of `roots`, or below one."""
    return any(path == root or path.startswith((f"{root}.", f"{root}[")) for root in roots)
