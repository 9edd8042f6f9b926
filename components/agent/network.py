"""Who may talk to an agent, and to whom it may talk: exactly what was declared."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s

from components.labels import selector
from components.network import PUBLIC_INTERNET, Edge, Peer, network_policy

from .declaration import COMPONENT, Declaration, caller_label


def agent_policy(agent: Declaration, opts: pulumi.ResourceOptions) -> k8s.networking.v1.NetworkPolicy:
    """Allow the agent's edges: who calls and scrapes it, what it uses and calls, and its egress."""
    settings, environment = agent.settings, agent.environment
    namespace = environment.namespace
    ingress = []
    if settings.kind == "service":  # the others cannot be called
        ingress.append(Edge((Peer(namespace.name, caller_label(agent.name)),), (settings.port,)))
    if environment.prometheus is not None and settings.metrics_port is not None:
        ingress.append(Edge((environment.prometheus,), (settings.metrics_port,)))
    if environment.gateway is not None and settings.public is not None:
        ingress.append(Edge((environment.gateway,), (settings.port,)))
    egress = [edge for connection in agent.connections for edge in connection.egress]
    for destination in settings.egress:
        peer = Peer(cidr=destination.cidr) if destination.cidr else PUBLIC_INTERNET
        egress.append(Edge((peer,), (destination.port,)))
    if settings.calls:
        # The called agent's policy names its port.
        called = tuple(Peer(namespace.name, selector(name, COMPONENT)) for name in settings.calls)
        egress.append(Edge(called, ()))
    return network_policy(
        agent.name,
        namespace=namespace.ref,
        object_name=agent.name,
        pod_labels=agent.selector,
        ingress=ingress,
        egress=egress,
        opts=opts,
    )
