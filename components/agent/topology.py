"""Agents as nodes, and what they connect to beside the parts of the stack as edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from components.topology import (
    CALLS,
    EGRESS,
    EXTERNAL,
    WORKLOAD,
    Edge,
    Node,
    NodeKind,
    agent_node,
    count,
    external_node,
    scraped,
)

if TYPE_CHECKING:
    from settings import AgentSettings, Settings
    from settings.network import Egress

AGENT: Final = NodeKind("agent", "agent", WORKLOAD, "box", repeated=True)
FLEET: Final = NodeKind("fleet", "fleet", WORKLOAD, "pile", repeated=True)
JOB: Final = NodeKind("job", "job", WORKLOAD, "slanted", repeated=True)
_KINDS: Final = {"service": AGENT, "fleet": FLEET, "job": JOB, "cron": JOB}


def topology(settings: Settings) -> Iterator[Node | Edge]:
    """Yield agents, the agents that they call, and the places outside that they connect to."""
    group = settings.namespaces.agents.name
    for name, agent in settings.agents.items():
        yield Node(agent_node(name), _KINDS[agent.kind], name, _pods(name, agent), group, agent.team or "")
    for name, agent in settings.agents.items():
        own = agent_node(name)
        for called in agent.calls:
            yield Edge(own, agent_node(called), CALLS)
        for destination in agent.egress:
            place = _place(destination)
            yield Node(external_node(place), EXTERNAL, place)
            yield Edge(own, external_node(place), EGRESS)
        if agent.metrics_port is not None:
            yield scraped(own)


def _pods(name: str, agent: AgentSettings) -> str:
    if agent.fleet is not None:
        return count(len(agent.fleet.ids), "device")
    if agent.cron is not None:
        return f"at {agent.cron.schedule}{', suspended' if agent.cron.suspend else ''}"
    demand = agent.demand(name)
    if agent.kind == "job":
        return f"runs once, {count(demand.maximum, 'pod')}"
    pods = count(demand.maximum, "pod")
    if demand.minimum != demand.maximum:
        pods = f"{demand.minimum:,} to {pods}"
    if agent.release is not None and not agent.release.aborted:
        pods += f", {agent.release.version} at {agent.release.share} %"
    elif agent.scaling is not None and agent.scaling.queue is not None:
        pods += ", by queue"
    return pods


def _place(destination: Egress) -> str:
    host = destination.host or str(destination.cidr)
    return f"[{host}]:{destination.port}" if ":" in host else f"{host}:{destination.port}"
