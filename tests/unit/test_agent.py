"""One declaration becomes exactly the objects, edges and variables that follow from it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pulumi
import pytest

from components.agent.component import Agent
from components.agent.declaration import AgentEnvironment
from components.connection import Connection, SecretRef
from components.network import NetworkEdge, Peer
from settings import AgentSecret, AgentSettings, Egress, Metrics, Public, Scaling, SecretKey, Shutdown

from .conftest import Recorder

Render = Callable[[Callable[[], object]], Recorder]
REDIS = Connection(
    environment={"REDIS_HOST": "redis"},
    secrets={"REDIS_URL": SecretRef("redis-connection", "REDIS_URL")},
    pod_labels={"agentstack.dev/redis": "true"},
    egress=(NetworkEdge((Peer("data", {"app": "redis"}),), (6379,)),),
)


def pod(recorder: Recorder, name: str) -> dict[str, Any]:
    return recorder.seen["Deployment", name]["spec"]["template"]


def variables(recorder: Recorder, name: str) -> dict[str, dict[str, Any]]:
    return {v["name"]: v["valueFrom"] for v in pod(recorder, name)["spec"]["containers"][0]["env"]}


def test_the_smallest_agent(render: Render) -> None:
    seen = render(lambda: Agent("researcher", AgentSettings(image="x/y:1")))
    assert seen.kinds("researcher") == [
        "Agent",
        "ConfigMap",
        "Deployment",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
    ]
    assert seen.seen["Deployment", "researcher"]["spec"]["replicas"] == 1
    assert seen.seen["NetworkPolicy", "researcher"]["spec"]["policyTypes"] == ["Ingress"]


def test_an_autoscaler_is_the_only_owner_of_replicas(render: Render) -> None:
    scaling = Scaling(min=3, max=20, cpu=70, memory=80)
    seen = render(lambda: Agent("orchestrator", AgentSettings(image="x/y:1", scaling=scaling)))
    assert "replicas" not in seen.seen["Deployment", "orchestrator"]["spec"]
    spec = seen.seen["HorizontalPodAutoscaler", "orchestrator"]["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 20)
    targets = {m["resource"]["name"]: m["resource"]["target"]["averageUtilization"] for m in spec["metrics"]}
    assert targets == {"cpu": 70, "memory": 80}
    assert spec["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300


def test_connections_give_environment_secrets_labels_and_edges(render: Render) -> None:
    settings = AgentSettings(image="x/y:1", uses=("redis",))
    seen = render(lambda: Agent("a", settings, AgentEnvironment(connections={"redis": REDIS})))
    assert seen.seen["ConfigMap", "a"]["data"]["REDIS_HOST"] == "redis"
    assert variables(seen, "a")["REDIS_URL"]["secretKeyRef"] == {"name": "redis-connection", "key": "REDIS_URL"}
    assert pod(seen, "a")["metadata"]["labels"]["agentstack.dev/redis"] == "true"
    egress = seen.seen["NetworkPolicy", "a"]["spec"]["egress"]
    assert [rule["ports"][0]["port"] for rule in egress] == [6379]


def test_the_files_of_a_connection_are_mounted_and_their_paths_given(render: Render) -> None:
    connection = Connection(
        files={"CA": SecretRef("redis-tls", "ca.crt"), "CERTIFICATE": SecretRef("redis-tls", "tls.crt")}
    )
    settings = AgentSettings(image="x/y:1", uses=("redis",))
    seen = render(lambda: Agent("a", settings, AgentEnvironment(connections={"redis": connection})))
    config = seen.seen["ConfigMap", "a"]["data"]
    assert config["CA"] == "/etc/agentstack/redis-tls/ca.crt"
    assert config["CERTIFICATE"] == "/etc/agentstack/redis-tls/tls.crt"
    spec = pod(seen, "a")["spec"]
    (mount,) = (m for m in spec["containers"][0]["volumeMounts"] if m["mountPath"] == "/etc/agentstack/redis-tls")
    (volume,) = (v for v in spec["volumes"] if v["name"] == mount["name"])
    assert volume["secret"]["secretName"] == "redis-tls"
    # Never the private key beside them.
    assert [item["key"] for item in volume["secret"]["items"]] == ["ca.crt", "tls.crt"]


def test_a_connection_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="agent a uses kafka: give AgentEnvironment"):
        Agent("a", AgentSettings(image="x/y:1", consumes=("tasks",)))


def test_topics_and_calls_reach_the_agent(render: Render) -> None:
    settings = AgentSettings(image="x/y:1", consumes=("a", "b"), produces=("c",), calls=("state-manager",))
    seen = render(lambda: Agent("w", settings, AgentEnvironment(connections={"kafka": Connection()})))
    data = seen.seen["ConfigMap", "w"]["data"]
    assert data["KAFKA_CONSUME_TOPICS"] == "a,b"
    assert data["KAFKA_CONSUMER_GROUP"] == "w"
    assert data["KAFKA_PRODUCE_TOPICS"] == "c"
    assert data["AGENT_URL_STATE_MANAGER"] == "http://state-manager"
    assert pod(seen, "w")["metadata"]["labels"]["agentstack.dev/calls-state-manager"] == "true"


def test_secrets_given_existing_and_missing(render: Render) -> None:
    settings = AgentSettings(
        image="x/y:1",
        secrets={
            "GIVEN": AgentSecret(),
            "EXISTING": AgentSecret(existing_secret=SecretKey(name="vault", key="k")),
            "OPTIONAL": AgentSecret(required=False),
        },
    )
    values = {"GIVEN": pulumi.Output.secret("v"), "OTHER": pulumi.Output.secret("not its own")}
    seen = render(lambda: Agent("a", settings, AgentEnvironment(secrets=values)))
    found = variables(seen, "a")
    assert found["GIVEN"]["secretKeyRef"] == {"name": "a", "key": "GIVEN"}
    assert found["EXISTING"]["secretKeyRef"] == {"name": "vault", "key": "k"}
    assert found["OPTIONAL"]["secretKeyRef"] == {"name": "a", "key": "OPTIONAL", "optional": True}
    assert list(seen.seen["Secret", "a"]["stringData"]["value"]) == ["GIVEN"]


def test_without_required_secrets_pods_start(render: Render) -> None:
    settings = AgentSettings(image="x/y:1", secrets={"KEY": AgentSecret()})
    seen = render(lambda: Agent("a", settings, AgentEnvironment(require_secrets=False)))
    assert variables(seen, "a")["KEY"]["secretKeyRef"]["optional"] is True
    assert ("Secret", "a") not in seen.seen


def test_network_edges_are_exactly_the_declared_ones(render: Render) -> None:
    settings = AgentSettings(
        image="x/y:1",
        public=Public(host="h.example"),
        metrics=Metrics(port=9090),
        egress=(Egress(host="api.example.com"), Egress(cidr="203.0.113.0/24", port=5432)),
    )
    environment = AgentEnvironment(prometheus=Peer("obs", {"app": "p"}), gateway=Peer("traefik"))
    seen = render(lambda: Agent("a", settings, environment))
    spec = seen.seen["NetworkPolicy", "a"]["spec"]
    callers, prometheus, gateway = spec["ingress"]
    assert callers["from"][0]["podSelector"]["matchLabels"] == {"agentstack.dev/calls-a": "true"}
    assert (callers["ports"][0]["port"], prometheus["ports"][0]["port"], gateway["ports"][0]["port"]) == (
        8080,
        9090,
        8080,
    )
    assert gateway["from"][0] == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "traefik"}}}
    host, network = spec["egress"]
    assert "10.0.0.0/8" in host["to"][0]["ipBlock"]["except"]
    assert network["to"][0]["ipBlock"] == {"cidr": "203.0.113.0/24"}
    assert network["ports"][0]["port"] == 5432


def test_changed_configuration_rolls_the_pods_and_keeps_the_selector(render: Render) -> None:
    def annotations_and_selector(level: str) -> tuple[Any, Any]:
        seen = render(lambda: Agent("a", AgentSettings(image=f"x/y:{level}", env={"LEVEL": level})))
        return (
            pod(seen, "a")["metadata"]["annotations"]["agentstack.dev/config-hash"],
            seen.seen["Deployment", "a"]["spec"]["selector"],
        )

    first, second = annotations_and_selector("info"), annotations_and_selector("debug")
    assert first[0] != second[0]
    assert first[1] == second[1]


def test_grace_covers_the_longest_task(render: Render) -> None:
    shutdown = Shutdown(pre_stop=timedelta(seconds=5), longest_task=timedelta(minutes=10))
    seen = render(lambda: Agent("a", AgentSettings(image="x/y:1", shutdown=shutdown)))
    spec = pod(seen, "a")["spec"]
    assert spec["terminationGracePeriodSeconds"] == 5 + 600 + 10
    assert spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] == 5
