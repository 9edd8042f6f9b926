"""External services: agents get what the stack's own would give, and wait for a preflight that tries just that."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks
from pydantic import ValidationError

from components.connection import Connection
from components.context import Namespace
from components.kafka import external as kafka
from components.network import ANYWHERE, NetworkEdge, Peer
from components.platform.component import Platform
from components.preflight import Preflight
from components.redis import external as redis
from settings import AgentSettings, KafkaSettings, RedisSettings, Settings

from .conftest import Recorder

URL = {"name": "managed-redis", "key": "url"}
LOGIN = {"username": {"name": "managed-kafka", "key": "user"}, "password": {"name": "managed-kafka", "key": "password"}}
CA = {"ca": {"name": "managed-ca", "key": "ca.crt"}}
AGENTS = {
    "reader": AgentSettings(
        image="example.com/reader:1", uses=("redis",), redis_keys=("memory:*",), consumes=("tasks",)
    ),
    "writer": AgentSettings(image="example.com/writer:1", uses=("redis",), produces=("tasks", "results")),
    "neither": AgentSettings(image="example.com/neither:1", redis_keys=("other:*",)),
}


def redis_at(**fields: Any) -> RedisSettings:
    there: dict[str, Any] = {"host": "redis.example.com", "port": 6380, "url_secret": URL, **fields}
    return RedisSettings(mode="external", external=there)


def kafka_at(**fields: Any) -> KafkaSettings:
    there: dict[str, Any] = {"brokers": ["a.example.com:9094", "b.example.com:9094"], **fields}
    return KafkaSettings(mode="external", external=there)


def references(connection: Connection) -> dict[str, tuple[str, str]]:
    return {key: (ref.name, ref.key) for key, ref in {**connection.secrets, **connection.files}.items()}


def test_agents_reach_an_external_redis() -> None:
    connection = redis.external(redis_at(network="10.9.0.0/24", tls=CA))
    assert connection.environment == {
        "REDIS_HOST": "redis.example.com",
        "REDIS_PORT": "6380",
        "CONVERSATION_TTL_SECONDS": "86400",
        "CHECKPOINT_TTL_SECONDS": "259200",
    }
    assert references(connection) == {"REDIS_URL": ("managed-redis", "url"), "REDIS_CA_FILE": ("managed-ca", "ca.crt")}
    assert connection.egress == (NetworkEdge((Peer(cidr="10.9.0.0/24"),), (6380,)),)
    public = redis.external(redis_at(tls={}))
    assert references(public) == {"REDIS_URL": ("managed-redis", "url")}
    assert public.egress == (NetworkEdge((ANYWHERE,), (6380,)),)


@pytest.mark.parametrize(
    ("fields", "variables", "referred"),
    [
        ({}, {"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}, set()),
        ({"tls": {}}, {"KAFKA_SECURITY_PROTOCOL": "SSL"}, set()),
        (
            {"authentication": LOGIN},
            {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512"},
            {"KAFKA_USERNAME", "KAFKA_PASSWORD"},
        ),
        (
            {"authentication": {**LOGIN, "mechanism": "PLAIN"}, "tls": CA},
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "PLAIN"},
            {"KAFKA_USERNAME", "KAFKA_PASSWORD", "KAFKA_CA_FILE"},
        ),
    ],
)
def test_agents_reach_an_external_kafka(fields: dict[str, Any], variables: dict[str, str], referred: set[str]) -> None:
    connection = kafka.external(kafka_at(network="10.1.2.0/24", **fields))
    brokers = {"KAFKA_BOOTSTRAP_SERVERS": "a.example.com:9094,b.example.com:9094"}
    assert connection.environment == brokers | variables
    all_of_them = {
        "KAFKA_USERNAME": ("managed-kafka", "user"),
        "KAFKA_PASSWORD": ("managed-kafka", "password"),
        "KAFKA_CA_FILE": ("managed-ca", "ca.crt"),
    }
    assert references(connection) == {key: all_of_them[key] for key in referred}
    assert connection.egress == (NetworkEdge((Peer(cidr="10.1.2.0/24"),), (9094,)),)
    assert kafka.external(kafka_at()).egress == (NetworkEdge((ANYWHERE,), (9094,)),)


def test_each_preflight_needs_its_service() -> None:
    here = Namespace.existing("agents")
    with pytest.raises(ValueError, match="no external Redis"):
        redis.preflight("redis", RedisSettings(), clients=AGENTS, namespace=here)
    with pytest.raises(ValueError, match="only `external` has brokers elsewhere"):
        kafka.preflight("kafka", KafkaSettings(), clients=AGENTS, namespace=here)


class Tried:
    """What one preflight registers."""

    def __init__(self, spec: RedisSettings | KafkaSettings, clients: dict[str, AgentSettings] = AGENTS) -> None:
        recorder = Recorder()
        mocks.set_mocks(recorder, project="agentstack", stack="test")

        @pulumi.runtime.test
        def program() -> pulumi.Output[str]:
            here = Namespace.existing("the-agents")
            made: Preflight
            if isinstance(spec, RedisSettings):
                made = redis.preflight("redis", spec, clients=clients, namespace=here)
                assert redis.external(spec, preflight=made).ready == (made,)
            else:
                made = kafka.preflight("kafka", spec, clients=clients, namespace=here)
                assert kafka.external(spec, preflight=made).ready == (made,)
            return made.urn

        program()
        self.kinds = recorder.kinds()
        objects = {kind: body for (kind, _), body in recorder.seen.items()}
        self.job, self.policy, self.script = (objects[kind] for kind in ("Job", "NetworkPolicy", "ConfigMap"))
        self.container = self.job["spec"]["template"]["spec"]["containers"][0]

    @property
    def plain(self) -> dict[str, str]:
        return {v["name"]: v["value"] for v in self.container["env"] if "value" in v}

    @property
    def name(self) -> str:
        return str(self.job["metadata"]["name"])


@pytest.mark.parametrize("spec", [redis_at(tls=CA), kafka_at(tls=CA, authentication=LOGIN)], ids=["redis", "kafka"])
def test_the_job_gets_what_agents_get(spec: RedisSettings | KafkaSettings) -> None:
    tried = Tried(spec)
    assert tried.kinds == ["ConfigMap", "Job", "NetworkPolicy", "Preflight"]
    connection = redis.external(spec) if isinstance(spec, RedisSettings) else kafka.external(spec)
    assert connection.environment.items() <= tried.plain.items()
    secrets = {v["name"]: v["valueFrom"]["secretKeyRef"] for v in tried.container["env"] if "valueFrom" in v}
    assert secrets == {key: {"name": ref.name, "key": ref.key} for key, ref in connection.secrets.items()}
    (variable,) = connection.files
    assert tried.plain[variable] == "/etc/agentstack/managed-ca/ca.crt"
    assert "/etc/agentstack/managed-ca" in {mount["mountPath"] for mount in tried.container["volumeMounts"]}
    pod = tried.job["spec"]["template"]
    assert tried.policy["spec"]["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert tried.policy["spec"]["policyTypes"] == ["Egress"]
    (rule,) = tried.policy["spec"]["egress"]
    assert [port["port"] for port in rule["ports"]] == list(connection.egress[0].ports)
    assert {o["metadata"]["namespace"] for o in (tried.job, tried.policy, tried.script)} == {"the-agents"}


@pytest.mark.parametrize("spec", [redis_at(), kafka_at()], ids=["redis", "kafka"])
def test_the_engine_sees_the_end_of_the_job_and_its_reason(spec: RedisSettings | KafkaSettings) -> None:
    tried = Tried(spec)
    job = tried.job["spec"]
    # The engine knows a failed Job by BackoffLimitExceeded and DeadlineExceeded alone: no rule may fail it otherwise.
    assert job["backoffLimit"] == 0
    assert {rule["action"] for rule in job["podFailurePolicy"]["rules"]} == {"Ignore"}
    assert job["activeDeadlineSeconds"] < 600, "the engine waits for 10 minutes"
    assert "ttlSecondsAfterFinished" not in job, "the engine would make a Job that is gone again"
    assert tried.container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert tried.job["metadata"]["annotations"] == {"pulumi.com/replaceUnready": "true"}
    _, path = tried.container["command"]
    assert [path.rpartition("/")[2]] == list(tried.script["data"])


def test_redis_is_tried_with_the_keys_of_the_agents_that_use_it() -> None:
    tried = Tried(redis_at(tls={}, cluster=False))
    assert tried.plain["REDIS_KEYS"] == "checkpoint:*\nconversation:*\nmemory:*"
    assert (tried.plain["REDIS_TLS"], tried.plain["REDIS_CLUSTER"]) == ("yes", "no")
    assert Tried(redis_at()).plain["REDIS_CLUSTER"] == "yes"


def test_kafka_is_tried_with_the_topics_and_groups_of_the_agents() -> None:
    tried = Tried(kafka_at())
    assert tried.plain["CONSUMES"] == "reader tasks"
    assert tried.plain["PRODUCES"] == "results\ntasks"


def test_whatever_is_tried_names_the_job() -> None:
    base = Tried(redis_at()).name
    assert base.startswith("redis-preflight-")
    assert Tried(redis_at()).name == base
    fewer = {name: agent for name, agent in AGENTS.items() if name != "reader"}
    changed = [
        redis_at(port=6379),
        redis_at(tls={}),
        redis_at(cluster=False),
        redis_at(network="10.0.0.0/8"),
        redis_at(url_secret={"name": "managed-redis", "key": "other"}),
        redis_at().model_copy(update={"image": "mirror.example.com/redis:8"}),
    ]
    names = {Tried(spec).name for spec in changed} | {Tried(redis_at(), fewer).name}
    assert len(names - {base}) == len(changed) + 1


class Monitor(mocks.MockMonitor):
    """Keeps what each resource waits for, by kind and name."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self.waits: dict[tuple[str, str], set[str]] = {}
        self.deleted_first: set[str] = set()

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        names = {dependency.rpartition(":")[2] for dependency in request.dependencies}
        self.waits[request.type.rpartition(":")[2], request.name] = names
        if request.deleteBeforeReplace:
            self.deleted_first.add(request.name)
        return super().RegisterResource(request)


def platform(**external: Any) -> Monitor:
    recorder = Recorder()
    monitor = Monitor(recorder)
    mocks.set_mocks(recorder, project="agentstack", stack="test", monitor=monitor)

    @pulumi.runtime.test
    def program() -> pulumi.Output[str]:
        settings = Settings(redis=redis_at(**external), kafka=kafka_at(**external), agents=AGENTS)
        return Platform("platform", settings).urn

    program()
    return monitor


@pytest.mark.parametrize("kind", ["Deployment", "ConfigMap", "NetworkPolicy"])
def test_nothing_of_an_agent_changes_before_the_preflights_of_what_it_uses(kind: str) -> None:
    waits = platform().waits
    assert {"redis-preflight", "kafka-preflight"} <= waits[kind, "writer"]
    assert not {"redis-preflight", "kafka-preflight"} & waits[kind, "neither"]


def test_settings_can_go_back_after_a_failure() -> None:
    assert platform().deleted_first == {"redis-preflight", "kafka-preflight"}


def test_a_preflight_can_be_left_out() -> None:
    waits = platform(preflight=False).waits
    assert ("Deployment", "writer") in waits
    assert not [kind for kind, _ in waits if kind in ("Job", "Preflight")]


def test_a_preflight_needs_room_in_the_quota_of_the_agents() -> None:
    settings = Settings(redis=redis_at(), kafka=kafka_at(), agents=AGENTS)
    _, demands = settings.demands()["agents"]
    assert {"redis preflight", "kafka preflight"} < {demand.source for demand in demands}
    _, without = Settings(redis=redis_at(preflight=False), agents={}).demands()["agents"]
    assert without == []


def test_a_password_is_not_sent_in_the_open() -> None:
    with pytest.raises(ValidationError, match=r"authentication\.mechanism: PLAIN sends the password in the open"):
        kafka_at(authentication={**LOGIN, "mechanism": "PLAIN"})


@pytest.mark.parametrize("settings", [RedisSettings, KafkaSettings])
def test_certificates_of_the_stacks_own_servers_are_refused(settings: type[RedisSettings | KafkaSettings]) -> None:
    there = (redis_at() if settings is RedisSettings else kafka_at()).external
    with pytest.raises(ValidationError, match=r"write `external\.tls` instead"):
        settings(mode="external", external=there, tls={"existing_secret": "own"})
