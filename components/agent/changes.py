"""Which formats of state agents read and write, and which changes of that leave some unreadable. Imports no Pulumi."""

from __future__ import annotations

from typing import Final

from components.change import REMOVED, ChangeRule
from settings import Settings, StateFormats
from settings.rollout import incompatible


def facts(settings: Settings) -> dict[str, object]:
    """Return what a change is compared by."""
    return {f"agents.{name}.state": agent.state for name, agent in settings.agents.items() if agent.state is not None}


def _incompatible_state(before: str, after: str) -> bool:
    return after != REMOVED and any(incompatible(StateFormats.parse(before), StateFormats.parse(after)))


CHANGES: Final = (
    ChangeRule(
        "agents.*.state",
        _incompatible_state,
        "while both run, and after a rollback, one would find state that it cannot read",
        "first release a version that reads both formats and writes the old one",
    ),
)
