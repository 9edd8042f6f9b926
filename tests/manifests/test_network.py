"""NetworkPolicies let through what the stack needs, on both sides, and nothing that it does not declare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from .conftest import Manifest, containers, pod_template


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
                    manifest["metadata"]["name"],
                    tuple(template["metadata"]["labels"].items()),
                    tuple((p["name"], p["containerPort"]) for c in containers(template) for p in c.get("ports", [])),
                    int(annotations["prometheus.io/port"]) if "prometheus.io/scrape" in annotations else None,
                )
            )
    return found


def selects(selector: dict[str, Any], labels: tuple[tuple[str, str], ...]) -> bool:
    assert not selector.get("matchExpressions"), "this evaluation knows matchLabels only"
    return selector.get("matchLabels", {}).items() <= dict(labels).items()


def allows(policies: list[Manifest], side: str, own: Pod, other: Pod, port: int, listener: Pod) -> bool:
    """Whether the policies of `own` allow a connection on that side (`ingress` or `egress`)."""
    for policy in policies:
        spec = policy["spec"]
        if policy["metadata"]["namespace"] != own.namespace or not selects(spec["podSelector"], own.labels):
            continue
        for rule in spec.get(side, []):
            numbers = {dict(listener.ports).get(p["port"], p["port"]) for p in rule.get("ports", [])}
            if numbers and port not in numbers:
                continue
            for peer in rule.get("from" if side == "ingress" else "to", []):
                if "ipBlock" in peer:
                    continue  # pods of the stack are meant by their labels
                namespaces = peer.get(
                    "namespaceSelector", {"matchLabels": {"kubernetes.io/metadata.name": own.namespace}}
                )
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
    return [m for m in manifests if m["kind"] == "NetworkPolicy"]


def test_prometheus_reaches_everything_that_it_scrapes(manifests: list[Manifest], policies: list[Manifest]) -> None:
    everything = pods(manifests)
    prometheus = next(pod for pod in everything if pod.name == "prometheus")
    scraped = [pod for pod in everything if pod.scraped]
    assert {"redis", "kafka-exporter", "orchestrator", "node-exporter"} <= {p.name for p in scraped}
    for pod in scraped:
        assert pod.scraped is not None
        if pod != prometheus:  # it reaches itself on localhost, or through its own address
            assert open_(policies, prometheus, pod, pod.scraped), f"{pod.name}:{pod.scraped}"


def test_agents_reach_what_they_declare_and_no_more(manifests: list[Manifest], policies: list[Manifest]) -> None:
    by_name = {pod.name: pod for pod in pods(manifests)}
    broker = by_name.get("kafka") or by_name["kafka-broker"]
    redis = by_name["redis"]
    expected = {
        ("ingestion", "redis"),
        ("ingestion", broker.name),
        ("orchestrator", "redis"),
        ("orchestrator", broker.name),
        ("orchestrator", "state-manager"),
        ("executor", broker.name),
        ("executor", "state-manager"),
        ("state-manager", "redis"),
        ("state-manager", broker.name),
        ("learner", "redis"),
        ("learner", broker.name),
    }
    agents = [by_name[name] for name in ("ingestion", "orchestrator", "executor", "state-manager", "learner")]
    found = {
        (client.name, server.name)
        for client in agents
        for server in by_name.values()
        if client != server
        for _, port in server.ports
        if open_(policies, client, server, port)
    }
    assert found == expected
    for agent in agents:
        assert not open_(policies, agent, redis, 16379), "the bus has no password"
        assert not open_(policies, agent, broker, 9093), "the controllers' port is not for clients"
