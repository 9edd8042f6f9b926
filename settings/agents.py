"""Settings of one agent: the file `agents/NAME.yaml`, or `AgentSettings(...)` in a program of one's own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from manifests.problems import Problem

from .agent_fields import AgentFields
from .agent_rules import mistakes
from .fleet import CONTROLLER_RESOURCES
from .model import Demand
from .rollout import Bounds, split, with_version
from .types import AgentName

MAX_SURGE_PERCENT = 25
"""How many pods more than wanted a rolling update may run, in percent of them, rounded up: Kubernetes' default."""

CANDIDATES = {"canary": "canary", "blueGreen": "green"}
"""What the name of a release's candidate ends with, by strategy."""
_STABLE = {"canary": "stable", "blueGreen": "blue"}


class AgentSettings(AgentFields):
    """What a person says of an agent; all of its objects follow from it."""

    def problems(self) -> Iterator[Problem]:
        """Say what does not go together."""
        return mistakes(self)

    def demand(self, name: str) -> Demand:
        """Pods in the agents' namespace."""
        if self.fleet or self.kind in ("job", "cron"):
            return self._demand_of_its_kind(f"agents.{name}")
        running = [track.settings.bounds for track in tracks(self)]
        low, high = sum(least for least, _ in running), sum(most for _, most in running)
        # From zero, the first pod must find room as those of an update must.
        surge = math.ceil((low or 1) * MAX_SURGE_PERCENT / 100) if high else 0
        return Demand(source=f"agents.{name}", minimum=low, maximum=high, surge=surge, containers=(self.resources,))

    def _demand_of_its_kind(self, source: str) -> Demand:
        if self.fleet is not None:
            low = high = len(self.fleet.ids)
        else:
            high = min(self.run.parallelism, self.run.completions)
            low = 0 if self.kind == "cron" else high
        return Demand(source=source, minimum=low, maximum=high, containers=(self.resources,))

    def controller_demands(self, name: str) -> list[Demand]:
        """The pod of a fleet's controller, in the agents' namespace."""
        resources = (CONTROLLER_RESOURCES,)
        return [Demand(source=f"agents.{name}", minimum=1, maximum=1, containers=resources)] if self.fleet else []


class AgentFile(AgentSettings):
    """One file of `agents/`: the agent's name and its settings."""

    name: AgentName


@dataclass(frozen=True)
class Track:
    """One of the versions that run side by side: a Deployment of its own."""

    label: str | None
    """The value of the pods' label `agentstack.dev/track`; None where there is only ever one."""
    suffix: str
    """What the names of its objects have behind the agent's name."""
    settings: AgentSettings
    """The agent's settings, with the track's image and number of pods."""
    serves: bool = True
    """Whether requests reach it."""


def tracks(agent: AgentSettings) -> tuple[Track, ...]:
    """Return the versions of `agent` that run: the stable one first, then the candidate of a release."""
    strategy, release = agent.rollout.strategy, agent.release
    label = _STABLE.get(strategy)
    if release is None or release.aborted:
        return (Track(label, "", agent),)
    candidate = agent.model_copy(update={"image": with_version(agent.image, release.version)})
    if strategy == "rolling" or (strategy == "canary" and release.share == 100):
        return (Track(label, "", candidate),)
    suffix = f"-{CANDIDATES[strategy]}"
    if strategy == "blueGreen":
        switched = release.share == 100
        return Track(label, "", agent, not switched), Track(CANDIDATES[strategy], suffix, candidate, switched)
    low, high = agent.bounds
    # Of an agent that is scaled to zero, too, both versions have a pod: a share of none is none.
    stable, canary = split(max(1, low), high, release.share)
    return (
        Track(label, "", _sized(agent, stable, 100 - release.share)),
        Track(CANDIDATES[strategy], suffix, _sized(candidate, canary, release.share)),
    )


def _sized(agent: AgentSettings, bounds: Bounds, share: int) -> AgentSettings:
    """Return one version's part of `agent`: its number of pods, and of what waits `share` percent."""
    low, high = bounds
    scaling = agent.scaling
    if scaling is None:
        return agent.model_copy(update={"replicas": low})
    sized: dict[str, object] = {"min": low, "max": high}
    if scaling.queue is not None:
        fallback = min(max(low, scaling.fallback_replicas), high)
        sized["queue"] = scaling.queue.model_copy(
            update={
                # Both versions are told of all that waits.
                "lag_per_replica": -(-scaling.queue.lag_per_replica * 100 // share),
                "fallback": scaling.queue.fallback.model_copy(update={"replicas": fallback}),
            }
        )
    return agent.model_copy(update={"scaling": scaling.model_copy(update=sized)})
