"""NetworkPolicies let through what was declared, on both sides, and nothing else: every pair of pods, every port."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from settings import AgentSettings, Settings

from .conftest import Manifest, containers, pod_template, settings_of

UNUSED_PORT = 1
POD_ADDRESS = ipaddress.ip_address("10.244.0.5")
"""Where networks put pods; one that takes pods for their addresses would let them through a rule for those."""


@dataclass(frozen=True)
class Pod:
    """A kind of pod."""

    namespace: str
    name: str
    labels: tuple[tuple[str, str], ...]
    ports: tuple[tuple[str, int], ...]
    scraped: int | None


def pods(manifests: list[Manifest]) -> list[Pod]:
    found = []
    for manifest in manifests:
        template = pod_template(manifest)
        if template is not None:
            annotations = template["metadata"].get("annotations", {})
            found.append(
                Pod(
                    manifest["metadata"]["namespace"],
                    # Of a Job, what stands before the hash of what it does.
                    re.sub(r"-[0-9a-f]{10}$", "", manifest["metadata"]["name"]),
                    tuple(template["metadata"]["labels"].items()),
                    tuple((p["name"], p["containerPort"]) for c in containers(template) for p in c.get("ports", [])),
                    int(annotations["prometheus.io/port"]) if "prometheus.io/scrape" in annotations else None,
                )
            )
    return found


def selects(selector: dict[str, Any], labels: tuple[tuple[str, str], ...]) -> bool:
    assert not selector.get("matchExpressions"), "this evaluation knows matchLabels only"
    return selector.get("matchLabels", {}).items() <= dict(labels).items()


def covers(block: dict[str, Any], address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    excluded = (ipaddress.ip_network(network) for network in block.get("except", []))
    return address in ipaddress.ip_network(block["cidr"]) and not any(address in network for network in excluded)


def rules(policies: list[Manifest], side: str, own: Pod) -> Iterator[dict[str, Any]]:
    """The rules of that side (`ingress` or `egress`) in the policies that select the pod."""
    for policy in policies:
        spec = policy["spec"]
        if policy["metadata"]["namespace"] == own.namespace and selects(spec["podSelector"], own.labels):
            yield from spec.get(side, [])


def allows(policies: list[Manifest], side: str, own: Pod, other: Pod, port: int, listener: Pod) -> bool:
    """Whether the policies of `own` allow a connection on that side."""
    for rule in rules(policies, side, own):
        numbers = {dict(listener.ports).get(p["port"], p["port"]) for p in rule.get("ports", [])}
        if numbers and port not in numbers:
            continue
        for peer in rule.get("from" if side == "ingress" else "to", []):
            if "ipBlock" in peer:
                if covers(peer["ipBlock"], POD_ADDRESS):
                    return True
                continue
            namespaces = peer.get("namespaceSelector", {"matchLabels": {"kubernetes.io/metadata.name": own.namespace}})
            wanted = namespaces.get("matchLabels", {}).get("kubernetes.io/metadata.name", other.namespace)
            if wanted == other.namespace and selects(peer.get("podSelector", {}), other.labels):
                return True
    return False


def open_(policies: list[Manifest], client: Pod, server: Pod, port: int) -> bool:
    return allows(policies, "egress", client, server, port, server) and allows(
        policies, "ingress", server, client, port, server
    )


@pytest.fixture(scope="session")
def policies(manifests: list[Manifest]) -> list[Manifest]:
    return [m for m in manifests if m["apiVersion"] == "networking.k8s.io/v1" and m["kind"] == "NetworkPolicy"]


# What the parts of the stack need of each other, whatever the agents declare.
WITHIN = {
    ("redis", "redis", 6379),
    ("redis", "redis", 16379),
    ("redis-keeper", "redis", 6379),
    ("redis-backup", "redis", 6379),
    ("redis-restore", "redis", 6379),
    ("grafana", "prometheus", 9090),
    ("prometheus", "alertmanager", 9093),
    ("prometheus", "grafana", 3000),
    ("prometheus", "kube-state-metrics", 8080),
    *((client, broker, 9092) for client in ("kafka-exporter", "kafka-topics") for broker in ("kafka", "kafka-broker")),
    *((broker, broker, 9092) for broker in ("kafka", "kafka-broker")),
    *((node, "kafka-controller", 9093) for node in ("kafka-broker", "kafka-controller")),
}


def declared(settings: Settings, everything: list[Pod]) -> set[tuple[str, str, int]]:
    """Every edge between pods that somebody declared: client, server, port."""
    names = {pod.name for pod in everything}
    broker = "kafka-broker" if "kafka-broker" in names else "kafka"
    found = {(client, server, port) for client, server, port in WITHIN if {client, server} <= names}
    found |= {("prometheus", pod.name, pod.scraped) for pod in everything if pod.scraped and pod.name != "prometheus"}
    for name, agent in settings.agents.items():
        found |= {(name, called, settings.agents[called].port) for called in agent.calls}
        found |= {(name, "redis", 6379)} if "redis" in agent.used_parts else set()
        found |= {(name, broker, 9092)} if "kafka" in agent.used_parts else set()
        if agent.inference and agent.inference.backend == "vllm" and agent.inference.endpoint is None:
            found.add((name, "vllm", 8000))
    return found


def test_every_pair_of_pods_is_open_as_declared(
    manifests: list[Manifest], policies: list[Manifest], environment: str
) -> None:
    everything = pods(manifests)
    ports = {port for pod in everything for _, port in pod.ports} | {UNUSED_PORT}
    # Pods of one kind are a pair as well.
    found = {
        (client.name, server.name, port)
        for client in everything
        for server in everything
        for port in ports
        if open_(policies, client, server, port)
    }
    wanted = declared(settings_of(environment), everything)
    assert ("prometheus", "redis", 9121) in wanted
    assert (("orchestrator", "state-manager", 8080) in wanted) == (environment == "everything")
    assert found - wanted == set(), "open, and nobody declared it"
    assert wanted - found == set(), "declared, and not open"


def outside(agent: AgentSettings) -> set[tuple[str, int]]:
    """The host names, addresses and networks outside the cluster that an agent declares, each with its port."""
    found = {(str(to.host or to.cidr), to.port) for to in agent.egress}
    url = urlsplit(agent.inference.url or "") if agent.inference else None
    if url and url.hostname:
        found.add((url.hostname, url.port or (443 if url.scheme == "https" else 80)))
    if agent.identity.gcp is not None:
        found |= {("169.254.169.252/32", 988), ("169.254.169.254/32", 80)}
    return found


def test_agents_reach_outside_what_they_declare_and_no_more(
    manifests: list[Manifest], policies: list[Manifest], environment: str
) -> None:
    settings = settings_of(environment)
    by_name = {pod.name: pod for pod in pods(manifests)}
    by_host = settings.platform.network.fqdn_policies == "cilium"
    for name, agent in settings.agents.items():
        pod = by_name[name]
        found = {
            (peer["ipBlock"]["cidr"], port["port"])
            for rule in rules(policies, "egress", pod)
            for peer in rule["to"]
            if "ipBlock" in peer
            for port in rule["ports"]
        }
        found |= {
            (host["matchName"], int(port["port"]))
            for policy in manifests
            if policy["kind"] == "CiliumNetworkPolicy" and selects(policy["spec"]["endpointSelector"], pod.labels)
            for rule in policy["spec"]["egress"]
            for host in rule.get("toFQDNs", [])
            for to_ports in rule["toPorts"]
            for port in to_ports["ports"]
        }
        wanted = {
            (to if by_host or "/" in to else "0.0.0.0/0", port) for to, port in outside(agent)
        }  # to a NetworkPolicy a name is every public address
        assert found == wanted, name


def test_every_public_address_excludes_private_ones(policies: list[Manifest], environment: str) -> None:
    """An agent's egress by host name opens neither other pods nor the metadata service of a cloud."""
    blocks = [
        peer["ipBlock"]
        for policy in policies
        if policy["metadata"]["namespace"] == "agents"
        for rule in policy["spec"].get("egress", [])
        for peer in rule["to"]
        if peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0"
    ]
    assert bool(blocks) == (environment != "dev"), "in dev no agent has a way out"
    for block in blocks:
        assert not covers(block, POD_ADDRESS)
        assert not covers(block, ipaddress.ip_address("169.254.169.254"))
        assert covers(block, ipaddress.ip_address("203.0.113.1"))
