"""What differs between two revisions, object by object and field by field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from .snapshot import Object

ABSENT: Final = object()
"""Stands for the value of a field that a revision does not have."""

Action = Literal["added", "removed", "renamed", "changed"]


@dataclass(frozen=True)
class FieldChange:
    """One field that differs."""

    path: str
    """From the object's root, with names and never positions: `spec.template.spec.containers[api].env[LOG_LEVEL]`."""
    before: Any
    """`ABSENT` if it is new."""
    after: Any
    """`ABSENT` if it is gone."""


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
