"""The number of pods: what may be asked for, and what KEDA is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks
from pydantic import ValidationError

from components.agent.component import Agent
from components.agent.declaration import AgentEnvironment
from components.connection import Connection
from components.context import Context
from components.kafka.component import KafkaCluster
from components.network import Peer
from components.platform.component import Platform
from components.redis.component import RedisCluster
from settings import AgentSettings, KafkaSettings, RedisSettings, Scaling, Settings
from settings.errors import problems

from .conftest import Recorder

Render = Callable[[Callable[[], object]], Recorder]
TOPIC = {"topic": "tasks", "lagPerReplica": 50}
LIST = {"redisList": "tasks:open", "lagPerReplica": 20}
STREAM = {"redisStream": "tasks:log", "lagPerReplica": 20}


class Passwords(Recorder):
    """Knows the passwords and ids that the engine would make."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        identity, outputs = super().new_resource(args)
        made = {"result": "made", "b64Url": "made"} if args.typ.startswith("random:") else {}
        return identity, outputs | made


@pytest.fixture
def render() -> Render:
    """Run a program on a fresh test monitor and return what it registered."""

    def run(program: Callable[[], object]) -> Recorder:
        recorder = Passwords()
        mocks.set_mocks(recorder, project="agentstack", stack="test")
        pulumi.runtime.test(program)()
        return recorder

    return run


def agent(queue: Mapping[str, Any] = TOPIC, **more: Any) -> dict[str, Any]:
    scaling = {"min": 1, "max": 4, "queue": queue} | more.pop("scaling", {})
    return {"image": "x/y:1", "consumes": ["tasks"], "scaling": scaling} | more


def stack(queued: Mapping[str, Any], **more: Any) -> Settings:
    given = {
        "platform": {"keda": {}},
        "kafka": {"topics": {"tasks": {"partitions": 4}, "results": {}}},
        "gateway": {"host": "h.example"},
        "agents": {"worker": queued},
    }
    return Settings.model_validate(given | more)


def mistakes(model: type, values: Mapping[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    return [f"{'.'.join(map(str, p.path))}: {p.message}" for p in problems(caught.value, model)]


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ({"queue": {"lagPerReplica": 1}}, "queue.topic: give one of `topic`, `redisList` and `redisStream`"),
        ({"queue": TOPIC | LIST}, "queue.topic: give one of `topic`, `redisList` and `redisStream`"),
        ({"queue": {"topic": "a"}}, "queue.lagPerReplica: is missing: add it"),
        (
            {"queue": {"topic": "a", "lengthPerReplica": 5}},
            "queue.lengthPerReplica: unknown key `lengthPerReplica`, did you mean `lagPerReplica`?",
        ),
        (
            {"queue": TOPIC | {"consumerGroup": "g"}},
            "queue.consumerGroup: is for a `redisStream`: remove it (in Kafka it is the agent's name)",
        ),
        (
            {"queue": TOPIC | {"fallback": {"replicas": 5}}},
            "queue.fallback.replicas: 5 is not from min 1 to max 4: write a number between them",
        ),
        (
            {"queue": TOPIC | {"activationLag": 2}},
            "queue.activationLag: is for the first pod from zero: remove it, or write `min: 0`",
        ),
        ({"min": 0}, "min: without pods there is no use of CPU to scale by: write `min: 1`, or give a `queue`"),
        ({"cpu": None}, "cpu: neither CPU nor memory has a target: give one, or use `replicas` instead"),
    ],
)
def test_what_is_refused_of_scaling_itself(scaling: dict[str, Any], message: str) -> None:
    assert mistakes(Scaling, {"min": 1, "max": 4} | scaling) == [message]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (agent({"topic": "task", "lagPerReplica": 1}), "queue.topic: the agent does not consume `task`, did you mean"),
        (agent(LIST), "queue.redisList: the agent does not use Redis: write `uses: [redis]`"),
        (
            agent(STREAM, uses=["redis"]),
            "queue.redisStream: `tasks:log` is not among its keys (`conversation:*`, `checkpoint:*`): add it",
        ),
        (
            agent(scaling={"min": 0}, consumes=["tasks", "results"]),
            "min: without pods nobody reads `results`, and the queue says nothing of it",
        ),
        (
            agent(LIST, scaling={"min": 0}, uses=["redis"], redisKeys=["tasks:*"]),
            "min: without pods nobody reads `tasks`",
        ),
        (agent(scaling={"min": 0}, public={"path": "/x"}), "min: a public agent without pods answers nobody"),
    ],
)
def test_what_is_refused_of_an_agent(settings: dict[str, Any], message: str) -> None:
    (found,) = mistakes(AgentSettings, settings)
    assert found.startswith(f"scaling.{message}")


CALLER = {"image": "x/y:1", "calls": ["worker"]}
URL = {"name": "redis", "key": "url"}


@pytest.mark.parametrize(
    ("queued", "more", "message"),
    [
        (agent(), {"platform": {}}, "queue: KEDA scales by queues, and the settings do not say that this cluster has"),
        (
            agent(scaling={"max": 5}),
            {},
            "max: 5 pods share the 4 partitions of `tasks`, and those beyond would have nothing to read: lower it, or "
            "raise `kafka.topics.tasks.partitions`",
        ),
        (
            agent(scaling={"min": 0}),
            {"agents": {"worker": agent(scaling={"min": 0}), "caller": CALLER}},
            "min: agent `caller` calls it, and without pods nobody answers: write `min: 1`",
        ),
        (
            agent(LIST, uses=["redis"], redisKeys=["tasks:*"]),
            {"redis": {"mode": "external", "external": {"host": "r.example", "urlSecret": URL}}},
            "queue: the login of an external Redis is a URL, which KEDA does not take: scale by a topic or by `cpu`",
        ),
    ],
)
def test_what_is_refused_of_a_stack(queued: dict[str, Any], more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        stack(queued, **more)
    (found,) = problems(caught.value, Settings)
    assert f"{'.'.join(map(str, found.path))}: {found.message}".startswith(f"agents.worker.scaling.{message}")


def test_the_partitions_of_an_external_topic_are_not_known() -> None:
    external = {"mode": "external", "external": {"brokers": ["k.example:9092"], "preflight": False}}
    assert stack(agent(scaling={"max": 500}), kafka=external)


@pytest.mark.parametrize(
    ("settings", "minutes"),
    [
        ({"scaling": {"min": 1, "max": 2}}, 5),
        ({"scaling": {"min": 1, "max": 2}, "consumes": ["tasks"]}, 15),
        (agent(LIST, consumes=[], uses=["redis"], redisKeys=["tasks:*"]), 15),
        (agent(scaling={"scaleDownAfter": "2m"}), 2),
    ],
)
def test_who_consumes_scales_down_later(settings: dict[str, Any], minutes: int) -> None:
    assert AgentSettings.model_validate({"image": "x/y:1"} | settings).scale_down_after == timedelta(minutes=minutes)


def test_by_a_queue_cpu_does_not_scale_unless_it_is_said() -> None:
    def cpu(**more: Any) -> int | None:
        return Scaling.model_validate({"min": 1, "max": 4} | more).cpu

    assert (cpu(), cpu(queue=TOPIC), cpu(queue=TOPIC, cpu=80)) == (70, None, 80)


def test_from_zero_the_first_pod_has_room() -> None:
    demand = AgentSettings.model_validate(agent(scaling={"min": 0})).demand("worker")
    assert (demand.minimum, demand.maximum, demand.surge) == (0, 4, 1)
    assert AgentSettings(image="x/y:1", replicas=0).demand("off").surge == 0


KAFKA = Connection(environment={"KAFKA_BOOTSTRAP_SERVERS": "k:9092", "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"})


def rendered(render: Render, settings: dict[str, Any]) -> Recorder:
    environment = AgentEnvironment(connections={"kafka": KAFKA})
    return render(lambda: Agent("worker", AgentSettings.model_validate(settings), environment))


def test_keda_is_the_only_owner_of_replicas(render: Render) -> None:
    seen = rendered(render, agent(TOPIC | {"activationLag": 2}, scaling={"min": 0, "memory": 80}))
    assert "replicas" not in seen.seen["Deployment", "worker"]["spec"]
    assert ("HorizontalPodAutoscaler", "worker") not in seen.seen
    # Without a login there is nothing to authenticate with.
    assert ("TriggerAuthentication", "worker") not in seen.seen
    spec = seen.seen["ScaledObject", "worker"]["spec"]
    assert spec["scaleTargetRef"]["name"] == "worker"
    assert (spec["minReplicaCount"], spec["maxReplicaCount"], spec["cooldownPeriod"]) == (0, 4, 900)
    assert spec["fallback"] == {"failureThreshold": 3, "replicas": 1, "behavior": "currentReplicasIfHigher"}
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 900
    topic, memory = spec["triggers"]
    assert topic["metadata"] == {
        "bootstrapServers": "k:9092",
        "consumerGroup": "worker",
        "topic": "tasks",
        "lagThreshold": "50",
        "activationLagThreshold": "2",
        "offsetResetPolicy": "earliest",
        "version": "2.8.0",
        "fullMetadata": "false",
        "sasl": "none",
        "tls": "disable",
    }
    assert memory == {"type": "memory", "metricType": "Utilization", "metadata": {"value": "80"}}


def asked(seen: Recorder) -> dict[str, tuple[str, str]]:
    """What KEDA logs in with: Secret and key by parameter."""
    refs = seen.seen["TriggerAuthentication", "worker"]["spec"]["secretTargetRef"]
    return {ref["parameter"]: (ref["name"], ref["key"]) for ref in refs}


def platform(render: Render, queued: dict[str, Any], **more: Any) -> Recorder:
    kafka = {"topics": {"tasks": {"partitions": 4}}, "tls": {"existingSecret": "kafka-tls"}}
    redis = {"tls": {"existingSecret": "redis-tls"}}
    settings = stack(queued, **{"kafka": kafka, "redis": redis} | more)
    return render(lambda: Platform("platform", settings))


def admits_keda(seen: Recorder, policy: str) -> list[int]:
    """The ports that a NetworkPolicy opens to KEDA's operator."""
    return [
        port["port"]
        for rule in seen.seen["NetworkPolicy", policy]["spec"]["ingress"]
        for peer in rule["from"]
        if peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "keda"}
        and peer["podSelector"]["matchLabels"] == {"app": "keda-operator"}
        for port in rule["ports"]
    ]


def test_kafka_is_asked_in_the_agents_name(render: Render) -> None:
    seen = platform(render, agent())
    assert asked(seen) == {
        "username": ("worker.kafka", "KAFKA_USERNAME"),
        "password": ("worker.kafka", "KAFKA_PASSWORD"),
        "ca": ("kafka-tls", "ca.crt"),
    }
    (trigger,) = seen.seen["ScaledObject", "worker"]["spec"]["triggers"]
    assert (trigger["metadata"]["sasl"], trigger["metadata"]["tls"]) == ("scram_sha512", "enable")
    assert trigger["authenticationRef"] == {"name": "worker"}
    assert admits_keda(seen, "kafka-broker") == [9092]
    assert admits_keda(seen, "redis") == []


@pytest.mark.parametrize(
    ("queue", "trigger", "metadata"),
    [
        (
            LIST,
            "redis-cluster",
            {"listName": "tasks:open", "listLength": "20", "activationListLength": "0"},
        ),
        (
            STREAM,
            "redis-cluster-streams",
            {"stream": "tasks:log", "consumerGroup": "worker", "lagCount": "20", "activationLagCount": "0"},
        ),
    ],
)
def test_redis_is_asked_in_the_agents_name(
    render: Render, queue: dict[str, Any], trigger: str, metadata: dict[str, str]
) -> None:
    seen = platform(render, agent(queue, consumes=[], uses=["redis"], redisKeys=["tasks:*"]))
    assert asked(seen) == {
        "username": ("worker.redis", "username"),
        "password": ("worker.redis", "password"),
        "ca": ("redis-tls", "ca.crt"),
    }
    assert {"username", "password"} < set(seen.seen["Secret", "worker.redis"]["stringData"]["value"])
    (given,) = seen.seen["ScaledObject", "worker"]["spec"]["triggers"]
    assert given["type"] == trigger
    common = {"addresses": "redis.data.svc.cluster.local:6379", "enableTLS": "true"}
    assert given["metadata"] == common | metadata
    assert admits_keda(seen, "redis") == [6379]
    assert admits_keda(seen, "kafka-broker") == []


def test_an_external_kafkas_login_is_used_as_it_is(render: Render) -> None:
    key = {"name": "managed", "key": "user"}
    login = {"mechanism": "PLAIN", "username": key, "password": key | {"key": "password"}}
    external = {"brokers": ["k.example:9093"], "authentication": login, "tls": {}, "preflight": False}
    seen = platform(render, agent(), kafka={"mode": "external", "external": external})
    assert asked(seen) == {"username": ("managed", "user"), "password": ("managed", "password")}
    (trigger,) = seen.seen["ScaledObject", "worker"]["spec"]["triggers"]
    assert (trigger["metadata"]["sasl"], trigger["metadata"]["tls"]) == ("plaintext", "enable")


def test_keda_is_let_in_only_where_an_agent_scales_by_a_queue(render: Render) -> None:
    clients = {"worker": AgentSettings(image="x/y:1", consumes=("tasks",), uses=("redis",))}
    context = Context(
        agents=clients, prometheus=Peer("n", {"app": "prometheus"}), keda=Peer("keda", {"app": "keda-operator"})
    )

    def both() -> None:
        KafkaCluster("kafka", KafkaSettings(), context)
        RedisCluster("redis", RedisSettings(backup=None), context)

    seen = render(both)
    assert admits_keda(seen, "kafka-broker") == admits_keda(seen, "redis") == []
    assert set(seen.seen["Secret", "worker.redis"]["stringData"]["value"]) == {"REDIS_URL"}
