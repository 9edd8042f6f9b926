"""A route of the Gateway API to one public agent."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s

from components.context import Namespace
from components.labels import labels
from components.workloads import metadata
from settings import AgentSettings, GatewayParent, GatewaySettings
from settings.agents import tracks


def http_route(
    agent: str,
    settings: AgentSettings,
    spec: GatewaySettings,
    parent: GatewayParent,
    *,
    namespace: Namespace,
    opts: pulumi.ResourceOptions,
) -> k8s.apiextensions.CustomResource:
    """Lead requests to `agent`; during a canary release, to its two Services by weight.

    https://gateway-api.sigs.k8s.io/guides/traffic-splitting/
    """
    public, reference = settings.public, {"name": parent.name, "namespace": parent.namespace}
    if public is None:
        raise ValueError(f"agent {agent} is not public")
    if parent.section_name is not None:
        reference["sectionName"] = parent.section_name
    weights = {agent: 1}
    if settings.rollout.strategy == "canary" and settings.release is not None:
        for candidate in tracks(settings)[1:]:
            weights = {agent: 100 - settings.release.share, f"{agent}{candidate.suffix}": settings.release.share}
    return k8s.apiextensions.CustomResource(
        agent,
        api_version="gateway.networking.k8s.io/v1",
        kind="HTTPRoute",
        metadata=metadata(agent, namespace, labels(agent, "gateway"), spec.annotations or None),
        spec={
            "parentRefs": [reference],
            "hostnames": [public.host or spec.host],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": public.path}}],
                    "backendRefs": [
                        {"name": service, "port": 80, "weight": weight} for service, weight in weights.items()
                    ],
                }
            ],
        },
        opts=opts,
    )
