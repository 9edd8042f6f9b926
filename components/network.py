"""NetworkPolicies: every namespace denies by default, and each part adds exactly its own edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pulumi
import pulumi_kubernetes as k8s

# https://www.iana.org/assignments/iana-ipv4-special-registry: private, shared and link-local networks. The last
# holds the metadata services of the clouds.
_NOT_PUBLIC = ["10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"]


@dataclass(frozen=True)
class Peer:
    """One side of a connection: pods by namespace and labels, or the addresses of a network."""

    namespace: str | None = None
    pod_labels: Mapping[str, str] | None = None
    cidr: str | None = None
    excluded: Sequence[str] = ()
    host: str | None = field(default=None, repr=False)
    """The name behind the addresses, for what knows names."""

    def args(self) -> k8s.networking.v1.NetworkPolicyPeerArgs:
        """The peer as Kubernetes writes it."""
        if self.cidr is not None:
            block = k8s.networking.v1.IPBlockArgs(cidr=self.cidr, except_=list(self.excluded) or None)
            return k8s.networking.v1.NetworkPolicyPeerArgs(ip_block=block)
        return k8s.networking.v1.NetworkPolicyPeerArgs(
            namespace_selector=k8s.meta.v1.LabelSelectorArgs(
                match_labels={"kubernetes.io/metadata.name": self.namespace} if self.namespace else {}
            ),
            pod_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=dict(self.pod_labels)) if self.pod_labels else None,
        )


@dataclass(frozen=True)
class NetworkEdge:
    """Connections between the policy's pods and any of `peers`, on TCP `ports` of the side that listens.

    No ports means all of them: the policy of the other side then names the port.
    """

    peers: tuple[Peer, ...]
    ports: tuple[int, ...]


def edges_from(peer: Peer | None, *ports: int) -> list[NetworkEdge]:
    """The edge from `peer` to `ports`; none where there is no such peer."""
    return [NetworkEdge((peer,), ports)] if peer is not None else []


PUBLIC_INTERNET = Peer(cidr="0.0.0.0/0", excluded=_NOT_PUBLIC)
"""Every public IPv4 address: NetworkPolicies know no host names."""


def public_host(host: str) -> Peer:
    """A public host by its name: to a NetworkPolicy every public address."""
    return replace(PUBLIC_INTERNET, host=host)


ANYWHERE = Peer(cidr="0.0.0.0/0")
API_SERVER = NetworkEdge((ANYWHERE,), (443, 6443))
"""The Kubernetes API server is no pod, and its address is not known beforehand."""
DNS = Peer(namespace="kube-system", pod_labels={"k8s-app": "kube-dns"})


def outside(network: str | None) -> Peer:
    """A service outside of the cluster, by the network of its addresses; None: any address."""
    return Peer(cidr=network) if network else ANYWHERE


def network_policy(
    name: str,
    *,
    namespace: pulumi.Input[str],
    pod_labels: Mapping[str, str],
    ingress: Sequence[NetworkEdge] = (),
    egress: Sequence[NetworkEdge] = (),
    opts: pulumi.ResourceOptions,
) -> k8s.networking.v1.NetworkPolicy:
    """Allow the given edges to the pods with `pod_labels`, on top of the namespace's default deny."""
    return k8s.networking.v1.NetworkPolicy(
        name,
        metadata=k8s.meta.v1.ObjectMetaArgs(name=name, namespace=namespace),
        spec=k8s.networking.v1.NetworkPolicySpecArgs(
            pod_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=dict(pod_labels)),
            policy_types=[*(["Ingress"] if ingress else []), *(["Egress"] if egress else [])],
            ingress=[
                k8s.networking.v1.NetworkPolicyIngressRuleArgs(
                    from_=[peer.args() for peer in edge.peers], ports=_ports(edge.ports)
                )
                for edge in ingress
            ]
            or None,
            egress=[
                k8s.networking.v1.NetworkPolicyEgressRuleArgs(
                    to=[peer.args() for peer in edge.peers], ports=_ports(edge.ports)
                )
                for edge in egress
            ]
            or None,
        ),
        opts=opts,
    )


def _ports(ports: Sequence[int]) -> list[k8s.networking.v1.NetworkPolicyPortArgs] | None:
    return [k8s.networking.v1.NetworkPolicyPortArgs(port=port, protocol="TCP") for port in ports] or None
