"""Graphs and revisions of made-up stacks, for the tests of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentstack.compare.snapshot import Object, Snapshot
from agentstack.graph.model import Graph
from agentstack.preview.published import Summary
from components.agent.topology import AGENT
from components.gateway.topology import CLIENT, GATEWAY
from components.inference.topology import BACKEND
from components.kafka.topology import KAFKA, TOPIC
from components.redis.topology import REDIS
from components.topology import CALLS, CONSUMES, INFERENCE, PRODUCES, ROUTES, USES, Edge, Node

_ATTACK = "document.title='HACKED'"
HOSTILE = f'</script><script>{_ATTACK}</script><img src=x onerror="{_ATTACK}">"];`end`--> & #35; %% 1.'


def stack(agents: int, teams: int = 0) -> Graph:
    """A stack with so many agents: half as many topics, in rings, and a model backend for all."""
    topics = max(2, agents // 2)
    nodes = [
        Node("client", CLIENT, "clients", "agents.example.com"),
        Node("gateway", GATEWAY, "gateway", "Ingress traefik, TLS", "agents"),
        Node("kafka", KAFKA, "Kafka", "3 brokers", "data"),
        Node("redis", REDIS, "Redis", "3 shards, 1 replica each", "data"),
        Node("model/openai/api.openai.com", BACKEND, "openai", "api.openai.com"),
        *(Node(f"topic/t{index}", TOPIC, f"t{index}", "6 partitions, keeps 7d", "data") for index in range(topics)),
    ]
    edges = [Edge("client", "gateway", ROUTES), Edge("gateway", "agent/a0", ROUTES, "/")]
    for index in range(agents):
        own = f"agent/a{index}"
        team = f"team-{index % teams}" if teams else ""
        nodes.append(Node(own, AGENT, f"a{index}", "2 to 10 pods", "agents", team))
        edges.append(Edge(f"topic/t{index % topics}", own, CONSUMES))
        edges.append(Edge(own, f"topic/t{(index * 7 + 1) % topics}", PRODUCES))
        edges.append(Edge(own, "model/openai/api.openai.com", INFERENCE, "gpt-5-mini"))
        if index % 3 == 0:
            edges.append(Edge(own, "redis", USES, "conversation:*"))
        if index % 5 == 4:
            edges.append(Edge(own, f"agent/a{index - 1}", CALLS))
    return Graph(tuple(nodes), tuple(edges))


def thing(kind: str, name: str, *, agent: str = "", **content: Any) -> Object:
    """An object in the namespace of the agents, of one of them or of the stack."""
    within = (("agentstack:agents:Agent", agent),) if agent else ()
    manifest = {
        "apiVersion": "apps/v1" if kind == "Deployment" else "v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "agents"},
        **content,
    }
    return Object(manifest, within=within)


def deployment(name: str, image: str = "ghcr.io/acme/agent:1.0.0") -> Object:
    """The Deployment of an agent, with two pods."""
    resources = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}}
    pod = {"containers": [{"name": name, "image": image, "resources": resources}]}
    return thing("Deployment", name, agent=name, spec={"replicas": 2, "template": {"spec": pod}})


def revision(
    graph: Graph | None, objects: Sequence[Object] = (), *, name: str = "working tree", **report: Any
) -> Snapshot:
    """A revision with this graph; None is one that is too old to have one."""
    content: Mapping[str, Any] = {"graph": graph.as_json(), **report} if graph else report
    return Snapshot("prod", name, {known.key: known for known in objects}, Summary.model_validate(content))
