"""What runs an agent that serves and consumes: a Deployment, the number of its pods, and what guards them."""

from __future__ import annotations

from collections.abc import Iterable

import pulumi
import pulumi_kubernetes as k8s

from components.workloads import disruption_budget, selecting
from settings import Probes
from settings.agents import MAX_SURGE_PERCENT

from .autoscaler import autoscaler
from .declaration import Declaration
from .pod import pod_template


def workload(
    agent: Declaration, *, needs: Iterable[pulumi.Resource], parent: pulumi.Resource
) -> k8s.apps.v1.Deployment:
    """Run the agent's pods, once `needs` are there: the engine waits for readiness, and readiness needs all of them."""
    child = pulumi.ResourceOptions(parent=parent)
    deployment = _deployment(agent, needs, parent)
    if agent.settings.scaling is not None:
        autoscaler(agent, agent.settings.scaling, target=deployment, parent=parent)
    disruption_budget(agent.object_name, agent.metadata, agent.selector, child)
    return deployment


def _deployment(
    agent: Declaration, needs: Iterable[pulumi.Resource], parent: pulumi.Resource
) -> k8s.apps.v1.Deployment:
    metadata = agent.metadata
    if agent.settings.scaling is None:
        # After `scaling`, the number belongs to the autoscaler that was: take it back, where Kubernetes would refuse.
        metadata.annotations = {"pulumi.com/patchForce": "true"}
    return k8s.apps.v1.Deployment(
        agent.object_name,
        metadata=metadata,
        spec=k8s.apps.v1.DeploymentSpecArgs(
            # An autoscaler, where there is one, is the only owner of the number.
            replicas=None if agent.settings.scaling else agent.settings.fixed_replicas,
            selector=selecting(agent.selector),
            strategy=k8s.apps.v1.DeploymentStrategyArgs(
                type="RollingUpdate",
                rolling_update=k8s.apps.v1.RollingUpdateDeploymentArgs(
                    max_surge=f"{MAX_SURGE_PERCENT}%", max_unavailable=0
                ),
            ),
            template=pod_template(agent),
        ),
        opts=pulumi.ResourceOptions(
            parent=parent,
            depends_on=list(needs),
            # Going from `replicas` to `scaling`, the number stays until the autoscaler changes it: without this, giving
            # the field up would set it to Kubernetes' default of 1.
            ignore_changes=["spec.replicas"] if agent.settings.scaling else None,
            # A pod may take its whole grace to end: once when deleted, round by round when updated.
            custom_timeouts=pulumi.CustomTimeouts(
                create=f"{_patience(agent)}s",
                update=f"{20 * 60 + 4 * agent.settings.shutdown.grace_seconds}s",
                delete=f"{5 * 60 + agent.settings.shutdown.grace_seconds}s",
            ),
        ),
    )


def _patience(agent: Declaration) -> int:
    """Seconds until new pods are given up. A candidate's are not waited for longer than their startup probe is."""
    if agent.track is None or not agent.track.suffix:
        return 10 * 60
    probes = agent.settings.probes or Probes()
    startup, readiness = probes.startup, probes.readiness
    started = startup.initial_delay + startup.failures * startup.period + readiness.initial_delay + readiness.period
    return 60 + int(started.total_seconds())
