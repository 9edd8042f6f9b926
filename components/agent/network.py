"""Who may talk to an agent, and to whom it may talk: exactly what was declared."""

from __future__ import annotations

import pulumi

from components.network import NetworkEdge, Peer, edges_from, network_policy, public_host

from .declaration import Declaration, any_version, caller_label
from .fqdn import fqdn_policy

# Of standard nodes, and of nodes with Dataplane V2.
# https://docs.cloud.google.com/kubernetes-engine/docs/how-to/workload-identity#enable_on_existing_cluster
_GKE_METADATA = (
    NetworkEdge((Peer(cidr="169.254.169.252/32"),), (988,)),
    NetworkEdge((Peer(cidr="169.254.169.254/32"),), (80,)),
)


def agent_policies(agent: Declaration, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """Allow the agent's edges: who calls and scrapes it, what it uses and calls, and its egress."""
    settings, environment = agent.settings, agent.environment
    namespace = environment.namespace
    ingress = []
    if settings.kind == "service":  # the others cannot be called
        ingress.append(NetworkEdge((Peer(namespace.name, caller_label(agent.name)),), (settings.port,)))
    if settings.metrics_port is not None:
        ingress += edges_from(environment.prometheus, settings.metrics_port)
    if settings.public is not None:
        ingress += edges_from(environment.gateway, settings.port)
    egress = [edge for connection in agent.connections for edge in connection.egress]
    for destination in settings.egress:
        peer = Peer(cidr=destination.cidr) if destination.cidr else public_host(str(destination.host))
        egress.append(NetworkEdge((peer,), (destination.port,)))
    if settings.calls:
        # The called agent's policy names its port.
        called = tuple(Peer(namespace.name, any_version(name)) for name in settings.calls)
        egress.append(NetworkEdge(called, ()))
    if settings.identity.gcp is not None:
        egress += _GKE_METADATA
    named: list[NetworkEdge] = []
    if environment.network.fqdn_policies != "none":
        named = [edge for edge in egress if all(peer.host for peer in edge.peers)]
        egress = [edge for edge in egress if edge not in named]
    policy = network_policy(
        agent.name,
        namespace=namespace.ref,
        pod_labels=agent.all_pods,
        ingress=ingress,
        egress=egress,
        opts=opts,
    )
    by_name = fqdn_policy(agent, named, opts)
    return [policy, by_name] if by_name else [policy]
