"""What a change costs: one loss, in the words of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentstack.compare.changes import FieldChange

Severity = Literal["data lost", "protection lost", "downtime", "refused", "harmless"]
"""What a change costs, the worst first: data; what keeps somebody from losing it; pods that serve, for a while;
nothing, since the API server refuses it half way through the update; nothing that anybody would miss."""


@dataclass(frozen=True)
class Loss:
    """One object, random value or setting, and what the change does to it."""

    resource: str
    """What an approval names: `StatefulSet/data/redis`, `RandomPassword/redis-operator`, or `redis.shards`."""
    severity: Severity
    what: tuple[FieldChange, ...]
    """The fields that cause it; empty if the object is gone."""
    consequence: str
    way: str = ""
    """What keeps the data; empty if there is none to keep."""
    section: str = ""
    """Where docs/data.md has the steps, if it has."""
    needs_approval: bool = False
    approval: str = ""
    """Who lets it through, and why; empty if nobody does."""
    expired: str = ""
    """An approval that counts no more."""
    accept: str = ""
    """The line of `platform.safeguards.accept` without which the engine refuses it; empty if no line helps."""

    @property
    def approved(self) -> bool:
        """Whether nothing keeps the change from being merged; always so for what needs no approval."""
        return not self.needs_approval or bool(self.approval)
