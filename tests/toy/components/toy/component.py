"""A Deployment and its Service, by the shared building blocks."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random
from settings.toy import ToySettings

from components.connection import Connection, SecretRef
from components.context import Context, Offer
from components.labels import labels, selector
from components.network import NetworkEdge, Peer, edges_from, network_policy
from components.pods import http_probe, resource_requirements, scrape_annotations, secure_pod, variables
from components.workloads import deployment, metadata, service, template
from settings import Settings

from .part import METRICS_PORT

_PORT = 8080
_OWN = selector("toy", "state")
_LABELS = labels("toy", "state", "1.0.0")
_CLIENT = {"agentstack.dev/toy": "true"}


class Toy(pulumi.ComponentResource):
    """One pod behind a Service."""

    connections: dict[str, Connection]
    """How each agent that uses it reaches it, by the agent's name."""

    def __init__(
        self, name: str, spec: ToySettings, context: Context, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("agentstack:toy:Toy", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        namespace = context.namespaces.data
        own = metadata("toy", namespace, _LABELS)
        container = k8s.core.v1.ContainerArgs(
            name="toy",
            image="ghcr.io/acme/toy:1.0.0",
            env=variables({"GREETING": spec.greeting}),
            ports=[
                k8s.core.v1.ContainerPortArgs(name="http", container_port=_PORT),
                k8s.core.v1.ContainerPortArgs(name="metrics", container_port=METRICS_PORT),
            ],
            resources=resource_requirements(spec.resources),
            readiness_probe=http_probe("/ready"),
            liveness_probe=http_probe("/health"),
        )
        pods = template(secure_pod([container], user=10001), _LABELS, scrape_annotations(METRICS_PORT))
        deployed = deployment("toy", own, _OWN, pods, opts=child)
        service("toy", own, _OWN, {"http": _PORT}, opts=child)
        network_policy(
            "toy",
            namespace=namespace.ref,
            pod_labels=_OWN,
            ingress=[
                NetworkEdge((Peer(context.namespaces.agents.name, _CLIENT),), (_PORT,)),
                *edges_from(context.prometheus, METRICS_PORT),
            ],
            opts=child,
        )
        self.connections = {
            agent: self._connection(agent, context, deployed)
            for agent, client in context.agents.items()
            if "toy" in client.used_parts
        }
        self.register_outputs({})

    def _connection(self, agent: str, context: Context, ready: pulumi.Resource) -> Connection:
        child = pulumi.ResourceOptions(parent=self)
        name, data = f"{agent}.toy", context.namespaces.data
        key = random.RandomPassword(f"toy-{agent}", length=32, opts=child).result
        secret = k8s.core.v1.Secret(
            name,
            metadata=metadata(name, context.namespaces.agents, labels("toy", "state")),
            string_data={"TOY_KEY": key},
            opts=child,
        )
        return Connection(
            environment={"TOY_HOST": f"toy.{data.name}.svc.{context.cluster_domain}"},
            secrets={"TOY_KEY": SecretRef(name, "TOY_KEY")},
            secret_values={"TOY_KEY": key},
            pod_labels=_CLIENT,
            egress=(NetworkEdge((Peer(data.name, _OWN),), (_PORT,)),),
            ready=(ready, secret),
        )


def build(settings: Settings, context: Context, opts: pulumi.ResourceOptions) -> Offer:
    """Offer the toy to the agents that use it."""
    return Offer(connections=Toy("toy", settings.toy, context, opts).connections, outputs={"toy": "toy"})
