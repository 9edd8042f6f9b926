"""What a change does: one thing that it destroys, or the pods of one workload."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from agentstack.compare.model import FieldChange

Severity = Literal["data lost", "protection lost", "downtime", "refused", "harmless"]
"""What a change costs, the worst first: data; what keeps somebody from losing it; pods that serve, for a while;
nothing, since the API server refuses it half way through the update; nothing that anybody would miss."""


@dataclass(frozen=True)
class DestructiveChange:
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


RolloutAction = Literal["restarts", "interrupts", "waits", "starts", "scales", "reloads", "keeps"]
"""`restarts`: other pods take the place of those that run, some at a time. `interrupts`: all pods end before the new
ones start. `waits`: the new template counts for pods that somebody deletes. `starts`: the candidate of a release.
`scales`: another number of the same pods. `reloads`: files change in pods that run on. `keeps`: pods run on with what
they read when they started."""


@dataclass(frozen=True)
class WorkloadRollout:
    """What becomes of the pods of one workload."""

    workload: str
    """Its title, such as `Deployment/agents/executor`; the PodTemplate for the pods of a fleet."""
    action: RolloutAction
    causes: tuple[str, ...]
    """What changed, in words, without values of variables."""
    pods: tuple[int, int]
    """How many pods it concerns, at least and at most; 1 a node for a DaemonSet."""
    at_once: str = ""
    """How many of them at a time, in words."""
    longest: timedelta | None = None
    """How long it takes at most; None if nothing bounds it or nothing restarts. Of one node for a DaemonSet."""
    deadline: timedelta | None = None
    """A Deployment that makes no progress for so long has failed (`progressDeadlineSeconds`)."""
    note: str = ""
