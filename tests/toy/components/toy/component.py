"""A Deployment and its Service, by the shared building blocks."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s
from settings.toy import ToySettings

from components.connection import Connection
from components.context import Context, Offer
from components.labels import labels, selector
from components.network import NetworkEdge, Peer, edges_from, network_policy
from components.pods import http_probe, resource_requirements, scrape_annotations, secure_pod, variables
from components.workloads import deployment, metadata, service, template
from settings import Settings

from .part import PORT

_OWN = selector("toy", "state")
_CLIENT = {"agentstack.dev/toy": "true"}


class Toy(pulumi.ComponentResource):
    """One pod behind a Service."""

    connection: Connection
    """How an agent reaches it."""

    def __init__(
        self, name: str, spec: ToySettings, context: Context, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("agentstack:toy:Toy", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        namespace = context.namespaces.data
        own = metadata("toy", namespace, labels("toy", "state", "1.0.0"))
        container = k8s.core.v1.ContainerArgs(
            name="toy",
            image="ghcr.io/acme/toy:1.0.0",
            env=variables({"GREETING": spec.greeting}),
            ports=[k8s.core.v1.ContainerPortArgs(name="http", container_port=PORT)],
            resources=resource_requirements(spec.resources),
            readiness_probe=http_probe("/ready"),
            liveness_probe=http_probe("/health"),
        )
        pod = secure_pod([container], user=10001)
        deployed = deployment(
            "toy", own, _OWN, template(pod, labels("toy", "state", "1.0.0"), scrape_annotations(PORT)), opts=child
        )
        service("toy", own, _OWN, {"http": PORT}, opts=child)
        clients = NetworkEdge((Peer(context.namespaces.agents.name, _CLIENT),), (PORT,))
        network_policy(
            "toy",
            namespace=namespace.ref,
            pod_labels=_OWN,
            ingress=[clients, *edges_from(context.prometheus, PORT)],
            opts=child,
        )
        self.connection = Connection(
            environment={"TOY_URL": f"http://toy.{namespace.name}.svc.{context.cluster_domain}:{PORT}"},
            pod_labels=_CLIENT,
            egress=(NetworkEdge((Peer(namespace.name, _OWN),), (PORT,)),),
            ready=(deployed,),
        )
        self.register_outputs({})


def build(settings: Settings, context: Context, opts: pulumi.ResourceOptions) -> Offer:
    """Offer every agent the toy."""
    made = Toy("toy", settings.toy, context, opts)
    return Offer(connections=dict.fromkeys(context.agents, made.connection), outputs={"toy": "toy"})
