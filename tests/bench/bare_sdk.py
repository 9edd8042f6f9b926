"""What no preview can do without: the SDK registers as many plain objects as agents have, on its own mocks.

Run by bench.py as `bare_sdk.py AGENTS`. Nine objects an agent, of the kinds that an agent of the benchmark has.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pulumi
import pulumi_kubernetes as k8s


class Mocks(pulumi.runtime.Mocks):
    """Answers with the inputs."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        return args.name, args.inputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise NotImplementedError(args.token)


def register(name: str) -> None:
    """Register the objects of one agent."""
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "agentstack"}
    selector = {"matchLabels": labels}
    metadata = {"name": name, "namespace": "agents", "labels": labels}
    peers = [{"namespaceSelector": selector, "podSelector": selector}]
    ports = [{"port": 8080, "protocol": "TCP"}]
    scaling = {"policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}
    container = {
        "name": name,
        "image": "ghcr.io/agentstack/agent:1.0.0",
        "envFrom": [{"configMapRef": {"name": name}}],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 10},
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True},
    }
    k8s.core.v1.ServiceAccount(name, metadata=metadata)
    k8s.core.v1.ConfigMap(name, metadata=metadata, data={f"VARIABLE_{n}": f"value {n}" for n in range(13)})
    for user in ("kafka", "redis"):
        k8s.core.v1.Secret(f"{name}.{user}", metadata=metadata, string_data={"user": name, "password": "none"})
    k8s.networking.v1.NetworkPolicy(
        name,
        metadata=metadata,
        spec={
            "podSelector": selector,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": peers, "ports": ports}],
            "egress": [{"to": peers, "ports": ports}],
        },
    )
    k8s.apps.v1.Deployment(
        name,
        metadata=metadata,
        spec={"selector": selector, "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}},
    )
    k8s.core.v1.Service(
        name,
        metadata=metadata,
        spec={"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    )
    k8s.autoscaling.v2.HorizontalPodAutoscaler(
        name,
        metadata=metadata,
        spec={
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": 1,
            "maxReplicas": 4,
            "behavior": {"scaleUp": scaling, "scaleDown": scaling},
        },
    )
    k8s.policy.v1.PodDisruptionBudget(name, metadata=metadata, spec={"maxUnavailable": 1, "selector": selector})


async def main(agents: int) -> None:
    """Register the objects of so many agents, and wait until the SDK is done with them."""
    pulumi.runtime.set_mocks(Mocks())
    for number in range(agents):
        register(f"agent-{number:04}")
    await pulumi.runtime.stack.wait_for_rpcs()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
