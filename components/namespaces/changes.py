"""Which namespaces hold data, and that it cannot move to others. Imports no Pulumi."""

from __future__ import annotations

from typing import Final

from components.change import ChangeRule, changed
from settings import Settings


def facts(settings: Settings) -> dict[str, object]:
    """Return what a change is compared by."""
    return {
        "namespaces.data.name": settings.namespaces.data.name,
        "namespaces.observability.name": settings.namespaces.observability.name,
    }


CHANGES: Final = (
    ChangeRule(
        "namespaces.*.name",
        changed,
        "claims cannot move to another namespace",
        "make a new stack with that namespace",
        "a-new-stack",
        acceptable=False,
    ),
)
