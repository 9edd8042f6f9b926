"""Every mistake is named at once, and none that only exists because of another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from manifests.problems import Problem, ProblemError
from settings import (
    AgentSecret,
    AgentSettings,
    Certificates,
    DeviceRange,
    ExternalKafka,
    Fleet,
    GatewaySettings,
    Gpu,
    Identity,
    InferenceServer,
    InferenceSettings,
    KafkaSettings,
    NamespacesSettings,
    Queue,
    Quota,
    RedisSettings,
    Resilience,
    Resources,
    Rollout,
    Scaling,
    Settings,
    SettingsError,
    TopicSettings,
)
from settings.errors import problems
from settings.stack import load

ROLE = {"roleArn": "arn:aws:iam::111122223333:role/r"}
KEY = {"name": "s", "key": "k"}
SERVER = {"resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}}}
IMAGE = {"image": "x/y:1"}


def found(model: type[BaseModel], values: dict[str, Any]) -> list[Problem]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    return list(problems(caught.value, model))


@pytest.mark.parametrize(
    ("model", "values", "places"),
    [
        pytest.param(
            Resources,
            {"requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
            ["limits.cpu", "limits.memory"],
            id="resources",
        ),
        pytest.param(
            Quota,
            {"requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
            ["limits.cpu", "limits.memory"],
            id="quota",
        ),
        pytest.param(
            NamespacesSettings,
            {key: {"name": "one"} for key in ("agents", "data", "collectors")},
            ["data.name", "collectors.name"],
            id="namespaces",
        ),
        pytest.param(
            KafkaSettings,
            {"controllers": 2, "replicationFactor": 5, "brokers": 3, "minInsyncReplicas": 5},
            ["controllers", "replicationFactor", "minInsyncReplicas"],
            id="kafka",
        ),
        pytest.param(
            KafkaSettings,
            {
                "mode": "combined",  # whose controllers are not also an even number
                "controllers": 2,
                "external": {"brokers": ["k.example:9092"]},
                "authentication": "none",
                "topics": {"a.b": {"eventLog": True}, "a_b": {}},
            },
            ["external", "brokers", "topics.a.b.eventLog", "topics.a_b"],
            id="kafka's topics",
        ),
        pytest.param(
            KafkaSettings, {"mode": "external", "tls": {"existingSecret": "s"}}, ["external", "tls"], id="other kafka"
        ),
        pytest.param(
            TopicSettings,
            {"eventLog": True, "cleanup": "compact,delete", "retention": "7d"},
            ["cleanup", "retention"],
            id="topic",
        ),
        pytest.param(
            ExternalKafka,
            {"brokers": ["a", "b:0"], "network": "here"},
            ["brokers.0", "brokers.1", "network"],
            id="external kafka",
        ),
        pytest.param(
            RedisSettings,
            {"mode": "external", "shards": 2, "tls": {}, "backup": {"keep": 0}},
            ["shards", "tls.clusterIssuer", "backup.keep"],
            id="redis' fields",
        ),
        pytest.param(
            RedisSettings, {"mode": "external", "tls": {"existingSecret": "s"}}, ["external", "tls"], id="redis"
        ),
        pytest.param(GatewaySettings, {"api": "gateway-api", "tls": {}}, ["parent", "tls"], id="gateway"),
        pytest.param(
            Scaling,
            {"min": 5, "max": 3, "queue": {"topic": "t", "lagPerReplica": 1, "activationLag": 2}},
            ["max", "queue.activationLag"],
            id="scaling by a queue",
        ),
        pytest.param(Scaling, {"min": 0, "max": 3, "cpu": None}, ["min", "cpu"], id="scaling"),
        pytest.param(
            Queue,
            {"topic": "t", "redisList": "k", "lagPerReplica": 0},
            ["lagPerReplica"],
            id="queue: its rules need its fields",
        ),
        pytest.param(
            Queue, {"topic": "t", "redisList": "k", "consumerGroup": "g", "lagPerReplica": 1}, ["topic"], id="queue"
        ),
        pytest.param(
            Resilience,
            {
                "concurrency": 2,
                "queueBound": 1,
                "requestTimeout": "1h",
                "retries": {"backoff": "1s", "maxBackoff": "2s"},
            },
            ["queueBound", "circuitBreaker.failures"],
            id="resilience",
        ),
        pytest.param(
            Identity,
            {
                "aws": ROLE,
                "gcp": {},
                "azure": {"clientId": "00000000-0000-0000-0000-000000000000"},
                "annotations": {"eks.amazonaws.com/role-arn": "x", "a/b": "--password=hunter2"},
            },
            ["gcp", "azure", "annotations.eks.amazonaws.com/role-arn", "annotations.a/b"],
            id="identity",
        ),
        pytest.param(
            AgentSecret,
            {"required": False, "existingSecret": KEY, "external": {"key": "k"}},
            ["external", "required"],
            id="secret",
        ),
        pytest.param(
            Certificates,
            {"clusterIssuer": "A B", "existingSecret": "_"},
            ["clusterIssuer", "existingSecret"],
            id="certificates",
        ),
        pytest.param(DeviceRange, {"prefix": "-", "first": 5, "last": 4}, ["last", "prefix"], id="range"),
        pytest.param(Fleet, {"devices": ["a b", "c d", "e"]}, ["devices.0", "devices.1"], id="fleet"),
        pytest.param(Gpu, {"resource": "gpu", "product": "x"}, ["resource"], id="gpu"),
        pytest.param(
            InferenceServer, SERVER | {"args": ["--port=1", "--hf-token=hunter2"]}, ["args.0", "args.1"], id="arguments"
        ),
        pytest.param(
            InferenceSettings,
            {
                "backend": "ollama",
                "server": {"args": ["--x"], "huggingFaceToken": KEY},
            },
            ["model", "server.args", "server.huggingFaceToken"],
            id="inference",
        ),
        pytest.param(Rollout, {"strategy": "canary", "keepFor": "2d"}, ["keepFor"], id="rollout"),
        pytest.param(
            AgentSettings,
            IMAGE
            | {
                "env": {"A_TOKEN": "hunter2", "DSN": "postgres://a:hunter2@b/c"},
                "args": ["--token=hunter2"],
                "port": 80,
            },
            ["env.A_TOKEN", "env.DSN", "args.0", "port"],
            id="secrets of an agent",
        ),
        pytest.param(
            AgentSettings,
            IMAGE
            | {
                "uses": ["redis"],
                "consumes": ["tasks", "results"],
                "replicas": 2,
                "probes": None,
                "scaling": {"min": 0, "max": 2, "queue": {"redisList": "tasks:open", "lagPerReplica": 1}},
                "public": {"path": "/"},
                "rollout": "blueGreen",
                "release": {
                    "version": "2",
                    "share": 50,
                    "state": {"reads": [2], "writes": 2},
                },
                "env": {"POD_NAME": "x", "REDIS_HOST": "x", "KAFKA_USERNAME": "x", "AGENT_URL_X": "x", "K": "x"},
                "secrets": {"K": {}, "QUEUE_BOUND": {}},
                "resilience": {"concurrency": 1, "queueBound": 1, "requestTimeout": "1m", "circuitBreaker": None},
            },
            [
                "probes",
                "replicas",
                "scaling.queue.redisList",
                "scaling.min",  # since nobody reads the topics
                "scaling.min",  # since nobody answers
                "rollout.strategy",
                "release.share",
                *(f"env.{name}" for name in ("POD_NAME", "REDIS_HOST", "KAFKA_USERNAME", "AGENT_URL_X", "K")),
                "secrets.QUEUE_BOUND",
                "resilience.requestTimeout",
            ],
            id="agent",
        ),
        pytest.param(
            AgentSettings,
            IMAGE
            | {
                "kind": "job",
                "replicas": 2,
                "scaling": {"min": 0, "max": 2, "queue": {"topic": "t", "lagPerReplica": 1}},
                "public": {},
                "reload": "file",
                "rollout": "canary",
                "release": {"version": "2", "share": 0},
                "cron": {"schedule": "* * * * *"},
            },
            ["replicas", "scaling", "public", "release", "cron", "reload", "rollout"],
            id="job",
        ),
    ],
)
def test_a_model_names_all_of_its_mistakes(model: type[BaseModel], values: dict[str, Any], places: list[str]) -> None:
    said = found(model, values)
    assert sorted(problem.place for problem in said) == sorted(places)
    assert "hunter2" not in str(said)


def test_the_remedies_of_one_model_fit_together() -> None:
    said = found(KafkaSettings, {"controllers": 2, "replicationFactor": 5, "brokers": 3, "minInsyncReplicas": 5})
    assert {problem.place: problem.remedy for problem in said} == {
        "controllers": "write 1 or 3",
        "replicationFactor": "lower the factor or raise `brokers`",
        "minInsyncReplicas": "write 2",  # for the copies that three brokers can hold, not for five
    }


def test_what_a_program_of_ones_own_is_told() -> None:
    with pytest.raises(ValidationError) as caught:
        KafkaSettings(controllers=2, replication_factor=5, brokers=3, min_insync_replicas=5)
    lines = str(caught.value).splitlines()
    for start in ("controllers: 2 is even", "replicationFactor: 5 copies", "minInsyncReplicas: 5 is not below"):
        assert [line for line in lines if line.strip().removeprefix("Value error, ").startswith(start)]


def test_a_problem_in_one_line() -> None:
    problem = Problem(("max",), "3 is below min 5", "raise it")
    assert str(problem.below("agents", "a", "scaling")) == "agents.a.scaling.max: 3 is below min 5: raise it"
    assert str(Problem((), "must be a list")) == "must be a list"
    assert Problem((), "unknown key `a`", "did you mean `b`?").message == "unknown key `a`, did you mean `b`?"
    assert Problem(("env", "sk-0123456789abcdefghij"), "x").place == "env.the given text"
    assert str(ProblemError(problem, problem.below("a"))).splitlines() == [str(problem), f"a.{problem}"]


def load_all(folder: Path, config: dict[str, Any], *agents: dict[str, Any] | str) -> list[list[str]]:
    """Return place, path and mistake of each line."""
    (folder / "agents").mkdir()
    for number, agent in enumerate(agents):
        text = agent if isinstance(agent, str) else yaml.safe_dump(agent, sort_keys=False)
        (folder / "agents" / f"a{number}.yaml").write_text(text)
    stack_file = folder / "Pulumi.test.yaml"
    stack_file.write_text(
        yaml.safe_dump({"config": {f"agentstack:{k}": v for k, v in config.items()}}, sort_keys=False)
    )
    with pytest.raises(SettingsError) as caught:
        load(config, stack_file=stack_file, agents_folder=folder / "agents")
    return [line.replace(f"{folder}/", "").split(": ", 3)[:3] for line in str(caught.value).splitlines()]


def test_mistakes_of_several_files_and_sections_at_once(tmp_path: Path) -> None:
    said = load_all(
        tmp_path,
        {
            "redis": {"shards": 2, "storage": "8GB"},
            "kafka": {"controllers": 2, "replicationFactor": 5},
            "gateway": 3,
            "rediss": {},
            "secrets": {"API_KEY": "hunter2"},
            "agents": {"one": {"replica": 2}, "two": 3, "nobody": {}},
        },
        {"name": "one", "image": "x/y:1", "port": 80},
        {"name": "two", "image": "x/y", "env": {"A_TOKEN": "hunter2"}, "calls": ["one"]},
        {"name": "three", "image": "x/y:1", "replicas": 1, "scaling": {"min": 1, "max": 2}, "probes": None},
    )
    assert [" ".join(line[:2]) for line in said] == [
        "Pulumi.test.yaml:9 agentstack:rediss",
        "Pulumi.test.yaml:15 agentstack:agents.two",
        "Pulumi.test.yaml:16 agentstack:agents.nobody",
        "Pulumi.test.yaml:11 agentstack:secrets.API_KEY",
        "agents/a0.yaml:3 agents.one.port",
        "Pulumi.test.yaml:14 agentstack:agents.one.replica",
        "agents/a1.yaml:2 agents.two.image",
        "agents/a1.yaml:4 agents.two.env.A_TOKEN",
        "agents/a2.yaml:7 agents.three.probes",
        "agents/a2.yaml:3 agents.three.replicas",
        "Pulumi.test.yaml:3 agentstack:redis.shards",
        "Pulumi.test.yaml:4 agentstack:redis.storage",
        "Pulumi.test.yaml:6 agentstack:kafka.controllers",
        "Pulumi.test.yaml:7 agentstack:kafka.replicationFactor",
        "Pulumi.test.yaml:8 agentstack:gateway",
    ]
    assert "hunter2" not in str(said)


def test_an_agent_that_cannot_be_read_hides_no_other_mistake(tmp_path: Path) -> None:
    said = load_all(
        tmp_path,
        {"redis": {"shards": 2}, "agents": {"broken": {"replicas": 2}}},
        "name: broken\nimage: [x\n",
        {"name": "one", "image": "x/y", "calls": ["broken"]},
    )
    # Not: an unknown agent in `calls` and in the overrides.
    assert [line[1] for line in said] == ["malformed YAML", "agents.one.image", "agentstack:redis.shards"]


def test_mistakes_between_parts_come_all_at_once() -> None:
    said = found(
        Settings,
        {
            "kafka": {"topics": {"tasks": {"partitions": 2}}},
            "gateway": {"enabled": False},
            "secrets": {"UNUSED"},
            "namespaces": {"data": {"quota": {"pods": 1}}},
            "agents": {
                "one": IMAGE
                | {
                    "consumes": ["tasks", "results"],
                    "scaling": {"min": 1, "max": 3, "queue": {"topic": "tasks", "lagPerReplica": 1}},
                    "public": {},
                    "secrets": {"K": {}, "L": {"external": {"key": "k"}}},
                    "inference": {"backend": "azure"},
                    "placement": {"pool": "spot"},
                },
                "two": IMAGE | {"calls": ["oen", "two-fleet"], "kind": "fleet", "fleet": {"devices": ["a"]}},
                "two-fleet": IMAGE,
            },
        },
    )
    assert sorted(problem.place for problem in said) == sorted(
        [
            "agents.one.consumes.1",
            "agents.one.scaling.queue",
            "agents.one.scaling.max",
            "agents.one.public",
            "agents.one.secrets.K",
            "agents.one.secrets.L.external",
            "agents.one.inference.model",
            "agents.one.inference.endpoint",
            "agents.one.inference.apiKey",
            "agents.one.placement.pool",
            "agents.two.calls.0",
            "agents.two-fleet",
            "secrets.UNUSED",
            "namespaces.data.quota.pods",
        ]
    )
