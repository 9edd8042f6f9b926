"""What the pods of each namespace ask for, and whether its quota holds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from manifests.problems import Problem

from .agents import AgentSettings
from .model import Demand
from .platform import NamespaceSettings
from .sections import Sections

Demands = dict[str, tuple[NamespaceSettings, list[Demand]]]
"""The namespaces and what their pods ask for, by the namespace's key in `namespaces`."""


def demands(agents: Mapping[str, AgentSettings], stack: Sections) -> Demands:
    """Return what the pods of each namespace ask for: the agents', and those of every section."""
    asked: dict[str, list[Demand]] = {key: [] for key in type(stack.namespaces).model_fields}
    asked["agents"] += [agent.demand(name) for name, agent in agents.items()]
    asked["agents"] += [demand for name, agent in agents.items() for demand in agent.controller_demands(name)]
    for section in stack.sections.values():
        for namespace, pods in section.demands().items():
            asked[namespace] += pods
    return {key: (getattr(stack.namespaces, key), pods) for key, pods in asked.items()}


def quotas(asked: Demands) -> Iterator[Problem]:
    """Each quota is enough for all pods, and for the largest update to begin: without room it would never end."""
    for key, (namespace, pods) in asked.items():
        if not pods:
            continue
        path = ("namespaces", key, "quota")
        kind: Literal["requests", "limits"]
        for kind in ("requests", "limits"):
            for resource in ("cpu", "memory"):
                quota = getattr(getattr(namespace.quota, kind), resource)
                rolling = max(demand.asked(kind, resource, demand.surge) for demand in pods)
                least = [demand.asked(kind, resource, demand.minimum) for demand in pods]
                needed = rolling + sum(least)
                if needed > quota.amount:
                    heaviest = pods[least.index(max(least))]
                    yield Problem(
                        (*path, kind, resource),
                        f"{quota} is below the {_amount(needed, resource)} that its pods and one rolling update ask "
                        f"for (most of it: {heaviest.source})",
                        f"raise it or lower the {kind}",
                    )
        number = sum(demand.minimum for demand in pods) + max(demand.surge for demand in pods)
        if number > namespace.quota.pods:
            yield Problem((*path, "pods"), f"{namespace.quota.pods} is below the {number} pods", "raise it")


def _amount(value: object, resource: str) -> str:
    number = float(str(value))
    return f"{number:g} cores" if resource == "cpu" else f"{number / 1024**2:,.0f}Mi"
