"""Egress by host name, where the cluster's network knows names: NetworkPolicies do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.network import DNS, NetworkEdge
from components.workloads import metadata

from .declaration import Declaration


def fqdn_policy(
    agent: Declaration, edges: Sequence[NetworkEdge], opts: pulumi.ResourceOptions
) -> CustomResource | None:
    """Allow the agent the named hosts of `edges`, on top of its NetworkPolicy; None where there are none."""
    hosts = [(str(peer.host), list(edge.ports)) for edge in edges for peer in edge.peers]
    if not hosts:
        return None
    cilium = agent.environment.network.fqdn_policies == "cilium"
    return CustomResource(
        f"{agent.name}.fqdn",
        api_version="cilium.io/v2" if cilium else "projectcalico.org/v3",
        kind="CiliumNetworkPolicy" if cilium else "NetworkPolicy",
        metadata=metadata(f"{agent.name}.fqdn", agent.environment.namespace, agent.labels),
        spec=_cilium(agent, hosts) if cilium else _calico(agent, hosts),
        opts=opts,
    )


def _cilium(agent: Declaration, hosts: Sequence[tuple[str, list[int]]]) -> dict[str, Any]:
    """https://docs.cilium.io/en/stable/security/policy/language/#dns-based"""
    dns = {"k8s:io.kubernetes.pod.namespace": DNS.namespace}
    dns |= {f"k8s:{key}": value for key, value in (DNS.pod_labels or {}).items()}
    return {
        "endpointSelector": {"matchLabels": agent.all_pods},
        "egress": [
            {
                # Cilium learns a name's addresses from answers that pass its proxy: only a DNS rule sends them there,
                # and still does beside the namespace's plain one. https://github.com/cilium/cilium/pull/8106
                "toEndpoints": [{"matchLabels": dns}],
                "toPorts": [{"ports": [{"port": "53", "protocol": "ANY"}], "rules": {"dns": [{"matchPattern": "*"}]}}],
            },
            *(
                {
                    "toFQDNs": [{"matchName": host}],
                    "toPorts": [{"ports": [{"port": str(port), "protocol": "TCP"} for port in ports]}],
                }
                for host, ports in hosts
            ),
        ],
    }


def _calico(agent: Declaration, hosts: Sequence[tuple[str, list[int]]]) -> dict[str, Any]:
    """https://docs.tigera.io/calico-enterprise/latest/network-policy/domain-based-policy"""
    return {
        "selector": " && ".join(f"{key} == '{value}'" for key, value in agent.all_pods.items()),
        "types": ["Egress"],
        "egress": [
            {"action": "Allow", "protocol": "TCP", "destination": {"domains": [host], "ports": ports}}
            for host, ports in hosts
        ],
    }
