"""Where an agent's pods may run: what the scheduler must look for, and what it may overlook."""

from __future__ import annotations

import pulumi_kubernetes as k8s

from components.pods import device_tolerations
from manifests.labels import POOL

from .declaration import Declaration


def pool_label(agent: Declaration) -> dict[str, str]:
    """The label by which reports, and tools that split costs, know the pool of a pod."""
    pool = agent.settings.placement.pool
    return {POOL: pool} if pool else {}


def affinity(agent: Declaration) -> k8s.core.v1.AffinityArgs | None:
    """The nodes that the agent's placement allows; None where it allows all."""
    placement, pool = agent.settings.placement, agent.pool
    wanted: list[tuple[str, tuple[str, ...]]] = [(key, (value,)) for key, value in pool.labels.items()]
    if placement.architecture:
        wanted.append(("kubernetes.io/arch", (placement.architecture,)))
    if placement.zones:
        wanted.append(("topology.kubernetes.io/zone", placement.zones))
    if placement.gpu and placement.gpu.product:
        wanted.append(("nvidia.com/gpu.product", (placement.gpu.product,)))
    requirements = [
        k8s.core.v1.NodeSelectorRequirementArgs(key=key, operator="In", values=list(values)) for key, values in wanted
    ]
    # `NotIn` accepts nodes that do not have the label at all.
    requirements += [
        k8s.core.v1.NodeSelectorRequirementArgs(key=key, operator="NotIn", values=[value])
        for key, value in pool.without.items()
    ]
    if not requirements:
        return None
    return k8s.core.v1.AffinityArgs(
        node_affinity=k8s.core.v1.NodeAffinityArgs(
            required_during_scheduling_ignored_during_execution=k8s.core.v1.NodeSelectorArgs(
                node_selector_terms=[k8s.core.v1.NodeSelectorTermArgs(match_expressions=requirements)]
            )
        )
    )


def tolerations(agent: Declaration) -> list[k8s.core.v1.TolerationArgs]:
    """The taints that do not keep the agent's pods away."""
    found = [
        k8s.core.v1.TolerationArgs(
            key=taint.key,
            operator="Exists" if taint.value is None else "Equal",
            value=taint.value,
            effect=taint.effect,
        )
        for taint in agent.pool.tolerations
    ]
    return [*found, *device_tolerations(agent.devices)]
