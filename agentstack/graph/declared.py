"""From validated settings to the graph of what they declare."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from settings.agents import AgentSettings
from settings.inference import Inference
from settings.network import Egress
from settings.root import Settings
from settings.types import duration_text

from .model import Edge, Graph, Node, NodeKind

_KINDS: dict[str, NodeKind] = {"service": "agent", "fleet": "fleet", "job": "job", "cron": "job"}


def declared(settings: Settings) -> Graph:
    """Return the graph of an environment's settings. It holds names, numbers and hosts, and never a secret."""
    nodes: dict[str, Node] = {}
    edges: dict[tuple[str, str, str], Edge] = {}
    for item in (*_way_in(settings), *_agents(settings), *_kafka(settings), *_redis(settings), *_models(settings)):
        _add(item, nodes, edges)
    for item in _observability(settings, tuple(nodes)):
        _add(item, nodes, edges)
    return Graph(tuple(nodes.values()), tuple(edges.values()))


def _add(item: Node | Edge, nodes: dict[str, Node], edges: dict[tuple[str, str, str], Edge]) -> None:
    if isinstance(item, Node):
        nodes.setdefault(item.id, item)
    else:
        edges.setdefault(item.key, item)


def _way_in(settings: Settings) -> Iterator[Node | Edge]:
    gateway = settings.gateway
    public = {name: agent.public for name, agent in settings.agents.items() if agent.public is not None}
    if not public:
        return
    hosts = sorted({agent.host or str(gateway.host) for agent in public.values()})
    if gateway.parent is not None:
        detail = f"HTTPRoutes of {gateway.parent.namespace}/{gateway.parent.name}"
    else:
        detail = f"Ingress {gateway.ingress_class}, {'TLS' if gateway.tls else 'plain HTTP'}"
    yield Node("client", "client", "clients", hosts[0] if len(hosts) == 1 else f"{len(hosts)} hosts")
    yield Node("gateway", "gateway", "gateway", detail, settings.namespaces.agents.name)
    yield Edge("client", "gateway", "routes", ", ".join(hosts[:3]))
    for name, route in public.items():
        yield Edge("gateway", f"agent/{name}", "routes", route.path)


def _agents(settings: Settings) -> Iterator[Node | Edge]:
    group = settings.namespaces.agents.name
    for name, agent in settings.agents.items():
        yield Node(f"agent/{name}", _KINDS[agent.kind], name, _pods(name, agent), group, agent.team or "")
    for name, agent in settings.agents.items():
        own = f"agent/{name}"
        for called in agent.calls:
            yield Edge(own, f"agent/{called}", "calls")
        for topic in agent.produces:
            yield Edge(own, f"topic/{topic}", "produces")
        for topic in agent.consumes:
            yield Edge(f"topic/{topic}", own, "consumes")
        if agent.uses_kafka and not (agent.consumes or agent.produces):
            yield Edge(own, "kafka", "uses")
        if agent.uses_redis:
            yield Edge(own, "redis", "uses", ", ".join(agent.redis_keys))
        for destination in agent.egress:
            place = _place(destination)
            yield Node(f"external/{place}", "external", place)
            yield Edge(own, f"external/{place}", "egress")


def _pods(name: str, agent: AgentSettings) -> str:
    if agent.fleet is not None:
        return _number(len(agent.fleet.ids), "device")
    if agent.cron is not None:
        return f"at {agent.cron.schedule}{', suspended' if agent.cron.suspend else ''}"
    demand = agent.demand(name)
    if agent.kind == "job":
        return f"runs once, {_number(demand.maximum, 'pod')}"
    pods = _number(demand.maximum, "pod")
    if demand.minimum != demand.maximum:
        pods = f"{demand.minimum:,} to {pods}"
    if agent.release is not None and not agent.release.aborted:
        pods += f", {agent.release.version} at {agent.release.share} %"
    elif agent.scaling is not None and agent.scaling.queue is not None:
        pods += ", by queue"
    return pods


def _place(destination: Egress) -> str:
    host = destination.host or str(destination.cidr)
    return f"[{host}]:{destination.port}" if ":" in host else f"{host}:{destination.port}"


def _kafka(settings: Settings) -> Iterator[Node | Edge]:
    kafka = settings.kafka
    used = {topic for agent in settings.agents.values() for topic in (*agent.consumes, *agent.produces)}
    if kafka.external is not None:
        yield Node("kafka", "kafka", "Kafka", f"external, {kafka.external.brokers[0]}")
        for used_topic in sorted(used):
            yield Node(f"topic/{used_topic}", "topic", used_topic)
        return
    group = settings.namespaces.data.name
    size = _number(kafka.brokers, "broker")
    if kafka.mode == "separate":
        size += f", {_number(kafka.controllers, 'controller')}"
    yield Node("kafka", "kafka", "Kafka", size, group)
    for name, topic in kafka.topics.items():
        kept = f"keeps {duration_text(topic.retention)}" if topic.cleanup == "delete" else "compacted"
        detail = f"{_number(topic.partitions, 'partition')}, {'event log' if topic.event_log else kept}"
        yield Node(f"topic/{name}", "topic", name, detail, group)


def _redis(settings: Settings) -> Iterator[Node | Edge]:
    redis = settings.redis
    if redis.external is not None:
        if any(agent.uses_redis for agent in settings.agents.values()):
            yield Node("redis", "redis", "Redis", f"external, {redis.external.host}:{redis.external.port}")
        return
    copies = f"{_number(redis.replicas_per_shard, 'replica')} each" if redis.replicas_per_shard else "no replica"
    label = "Valkey" if redis.engine == "valkey" else "Redis"
    detail = f"{_number(redis.shards, 'shard')}, {copies}"
    yield Node("redis", "redis", label, detail, settings.namespaces.data.name)
    if redis.backup is not None and redis.backup.s3 is not None:
        host = urlsplit(redis.backup.s3.endpoint).hostname
        place = f"external/{host}:{redis.backup.s3.port}"
        yield Node(place, "external", place.partition("/")[2])
        yield Edge("redis", place, "egress", "backup")


def _models(settings: Settings) -> Iterator[Node | Edge]:
    own = settings.inference
    if own.runs is not None:
        size = _number(own.runs.replicas, "pod")
        if own.runs.gpus:
            size += f", {_number(own.runs.gpus, 'GPU')} each"
        yield Node("model-server", "model", f"{own.backend}", size, settings.namespaces.agents.name)
    for name, agent in settings.agents.items():
        used = agent.inference
        if used is None or used.backend == "onnx":  # in its own process
            continue
        model = str(used.model)
        if own.runs is not None and (used.backend, used.endpoint) == (own.backend, None):
            yield Edge(f"agent/{name}", "model-server", "inference", model)
        else:
            node = _hosted(used)
            yield node
            yield Edge(f"agent/{name}", node.id, "inference", model)


def _hosted(used: Inference) -> Node:
    parts = urlsplit(str(used.url))
    host = str(parts.netloc)
    return Node(f"model/{used.backend}/{host}", "model", str(used.backend), host)


def _observability(settings: Settings, others: tuple[str, ...]) -> Iterator[Node | Edge]:
    group, observability = settings.namespaces.observability.name, settings.observability
    own = {"redis": settings.redis.external is None, "kafka": settings.kafka.external is None}
    own["model-server"] = "model-server" in others
    scraped = [f"agent/{name}" for name, agent in settings.agents.items() if agent.metrics_port is not None]
    scraped += [name for name, there in own.items() if there]
    kept = duration_text(observability.prometheus.retention)
    yield Node("grafana", "observability", "Grafana", "dashboards", group)
    yield Node("prometheus", "observability", "Prometheus", f"scrapes all, keeps {kept}", group)
    yield Node("alertmanager", "observability", "Alertmanager", "alerts", group)
    yield Node("exporters", "observability", "exporters", "of objects and nodes", group)
    yield Edge("grafana", "prometheus", "observes", "queries")
    yield Edge("prometheus", "alertmanager", "observes", "alerts")
    yield Edge("prometheus", "exporters", "observes", "scrapes")
    for name in scraped:
        yield Edge("prometheus", name, "scrapes")
    if observability.alertmanager.webhook_url_secret is not None:
        yield Node("external/webhook", "external", "webhook", "URL in a Secret")
        yield Edge("alertmanager", "external/webhook", "egress", "alerts")


def _number(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
