"""A Redis Cluster is exactly these objects, edges and variables, and its password is nowhere but in Secrets."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks

from components.labels import selector
from components.namespaces import Namespace
from components.network import ANYWHERE, Edge, Peer
from components.redis import RedisCluster, external
from settings import ExternalRedis, RedisSettings, Resources, SecretKey

from .conftest import Recorder

PASSWORD = "made-by-the-random-provider"
NODE = selector("redis", "state")
BOOTSTRAP = selector("redis", "bootstrap")


class Monitor(mocks.MockMonitor):
    """Keeps what is protected and what is retained: mocks do not see resource options."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self.kept: dict[str, tuple[bool, bool]] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        self.kept[f"{request.type.rpartition(':')[2]} {request.name}"] = (request.protect, request.retainOnDelete)
        return super().RegisterResource(request)


class Passwords(Recorder):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        name, outputs = super().new_resource(args)
        return name, {**outputs, "result": PASSWORD} if args.typ.startswith("random:") else outputs


class Rendered:
    def __init__(self, spec: RedisSettings, **options: Any) -> None:
        self.recorder = Passwords()
        self.monitor = Monitor(self.recorder)
        made: list[RedisCluster] = []
        mocks.set_mocks(self.recorder, project="agentstack", stack="test", monitor=self.monitor)

        @pulumi.runtime.test
        def program() -> None:
            namespaces = {key: Namespace.existing(f"the-{key}") for key in ("agents", "observability")}
            made.append(RedisCluster("redis", spec, namespace=Namespace.existing("the-data"), **namespaces, **options))

        program()
        self.connection = made[0].connection

    def __getitem__(self, key: tuple[str, str]) -> dict[str, Any]:
        return self.recorder.seen[key]

    @property
    def nodes(self) -> dict[str, Any]:
        return self["StatefulSet", "redis"]["spec"]

    @property
    def options(self) -> dict[str, str]:
        """What redis-server is started with, by option."""
        args = self.nodes["template"]["spec"]["containers"][0]["args"]
        assert args[0] == "/etc/redis/redis.conf"
        return dict(zip(args[1::2], args[2::2], strict=True))

    @property
    def job(self) -> dict[str, Any]:
        return self["Job", "redis-bootstrap"]


@pytest.fixture
def rendered() -> Rendered:
    return Rendered(RedisSettings())


def test_the_objects(rendered: Rendered) -> None:
    assert Counter(rendered.recorder.kinds()) == {
        "RedisCluster": 1,
        "RandomPassword": 1,
        "Secret": 2,
        "ConfigMap": 1,
        "Service": 2,
        "StatefulSet": 1,
        "PodDisruptionBudget": 1,
        "NetworkPolicy": 2,
        "Job": 1,
    }
    assert rendered.nodes["replicas"] == 6
    assert rendered["Service", "redis-headless"]["spec"]["publishNotReadyAddresses"] is True
    assert rendered["PodDisruptionBudget", "redis"]["spec"]["maxUnavailable"] == 1


def without_secrets(value: Any) -> Any:
    """Everything of `value` but what is marked as secret."""
    if isinstance(value, dict):
        if value.get(pulumi.runtime.rpc._special_sig_key) == pulumi.runtime.rpc._special_secret_sig:
            return "secret"
        return {key: without_secrets(inner) for key, inner in value.items()}
    return [without_secrets(inner) for inner in value] if isinstance(value, list) else value


def test_the_password_is_in_secrets_only_and_marked(rendered: Rendered) -> None:
    plain = str(without_secrets(list(rendered.recorder.seen.values())))
    assert PASSWORD not in plain
    holders = {key for key, inputs in rendered.recorder.seen.items() if PASSWORD in str(inputs)}
    assert holders == {("Secret", "redis-auth"), ("Secret", "redis-connection")}
    auth = rendered["Secret", "redis-auth"]
    assert auth["metadata"]["namespace"] == "the-data"
    assert auth["stringData"]["value"] == {
        "password": PASSWORD,
        "auth.conf": f"requirepass {PASSWORD}\nmasterauth {PASSWORD}\n",
    }
    connection = rendered["Secret", "redis-connection"]
    assert connection["metadata"]["namespace"] == "the-agents"
    assert connection["stringData"]["value"] == {
        "REDIS_URL": f"redis://default:{PASSWORD}@redis.the-data.svc.cluster.local:6379"
    }


def test_redis_keeps_the_entrypoint_of_its_image(rendered: Rendered) -> None:
    pods = [rendered.nodes["template"]["spec"], rendered.job["spec"]["template"]["spec"]]
    containers = [container for pod in pods for container in pod["containers"]]
    assert [container["name"] for container in containers] == ["redis", "exporter", "bootstrap"]
    assert not any("command" in container for container in containers)


@pytest.mark.parametrize(("limit", "bytes_"), [("256Mi", 174483046), ("4Gi", 2791728742), ("1G", 650000000)])
def test_maxmemory_is_65_percent_of_the_limit(limit: str, bytes_: int) -> None:
    rendered = Rendered(RedisSettings(resources=Resources.of("50m", "96Mi", "1", limit)))
    assert rendered.options["--maxmemory"] == str(bytes_)


@pytest.mark.parametrize(("replicas", "needed"), [(0, "0"), (1, "0"), (2, "1"), (5, "1")])
def test_writes_need_a_replica_where_one_may_restart(replicas: int, needed: str) -> None:
    assert Rendered(RedisSettings(replicas_per_shard=replicas)).options["--min-replicas-to-write"] == needed


def test_nodes_announce_their_address_and_their_name() -> None:
    options = Rendered(RedisSettings(), cluster_domain="corp.example").options
    assert options["--cluster-announce-ip"] == "$(POD_IP)"
    assert options["--cluster-announce-hostname"] == "$(POD_NAME).redis-headless.the-data.svc.corp.example"


def test_the_job_knows_every_node_and_runs_again_only_when_its_work_changes(rendered: Rendered) -> None:
    def name(**changes: Any) -> str:
        return Rendered(RedisSettings(**changes)).job["metadata"]["name"]

    env = {e["name"]: e.get("value") for e in rendered.job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert env["REDIS_SHARDS"] == "3"
    hosts = [f"redis-{i}.redis-headless.the-data.svc.cluster.local:6379" for i in range(6)]
    assert env["REDIS_NODES"].split() == hosts
    same = rendered.job["metadata"]["name"]
    assert name(resources=Resources.of("1", "2Gi", "1", "2Gi"), conversation_ttl=timedelta(hours=1)) == same
    assert len({same, name(shards=4), name(replicas_per_shard=2), name(image="redis:8.12.0")}) == 4


def edges(policy: dict[str, Any], direction: str, side: str) -> set[tuple[str, frozenset[Any], int]]:
    return {
        (
            peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"],
            frozenset(peer["podSelector"]["matchLabels"].items()),
            port["port"],
        )
        for rule in policy["spec"].get(direction, [])
        for peer in rule[side]
        for port in rule["ports"]
    }


def test_exactly_the_declared_edges(rendered: Rendered) -> None:
    def peer(namespace: str, labels: dict[str, str], port: int) -> tuple[str, frozenset[Any], int]:
        return namespace, frozenset(labels.items()), port

    nodes, bootstrap = rendered["NetworkPolicy", "redis"], rendered["NetworkPolicy", "redis-bootstrap"]
    assert nodes["spec"]["podSelector"]["matchLabels"] == NODE
    assert bootstrap["spec"]["podSelector"]["matchLabels"] == BOOTSTRAP
    among = {peer("the-data", NODE, 6379), peer("the-data", NODE, 16379)}
    assert edges(nodes, "egress", "to") == among
    assert edges(nodes, "ingress", "from") == among | {
        peer("the-data", BOOTSTRAP, 6379),
        peer("the-agents", {"agentstack.dev/redis": "true"}, 6379),
        peer("the-observability", selector("prometheus", "metrics"), 9121),
    }
    assert edges(bootstrap, "egress", "to") == {peer("the-data", NODE, 6379)}
    assert edges(bootstrap, "ingress", "from") == set()
    template = rendered.nodes["template"]["metadata"]["labels"]
    assert template.items() >= NODE.items()
    assert not template.items() >= BOOTSTRAP.items()


@pytest.mark.parametrize("protect", [True, False])
def test_data_is_kept_where_it_is_protected(protect: bool) -> None:
    rendered = Rendered(RedisSettings(), protect=protect)
    kept = {key for key, options in rendered.monitor.kept.items() if options == (True, True)}
    assert kept == ({"StatefulSet redis", "RandomPassword redis-password"} if protect else set())
    policy = rendered.nodes["persistentVolumeClaimRetentionPolicy"]
    assert policy == {"whenDeleted": "Retain" if protect else "Delete", "whenScaled": "Retain"}


def test_an_upgrade_changes_no_claim_and_no_selector(rendered: Rendered) -> None:
    upgraded = Rendered(RedisSettings(image="redis:9.0.0")).nodes
    for fixed in ("volumeClaimTemplates", "selector", "serviceName", "podManagementPolicy"):
        assert upgraded[fixed] == rendered.nodes[fixed]
    assert upgraded["template"]["metadata"]["labels"]["app.kubernetes.io/version"] == "9.0.0"


def test_storage() -> None:
    claim = Rendered(RedisSettings(), storage_class="fast").nodes["volumeClaimTemplates"][0]["spec"]
    assert claim["storageClassName"] == "fast"
    assert claim["resources"] == {"requests": {"storage": "8Gi"}}


def test_the_connection(rendered: Rendered) -> None:
    connection = rendered.connection
    assert connection.environment == {
        "REDIS_HOST": "redis.the-data.svc.cluster.local",
        "REDIS_PORT": "6379",
        "CONVERSATION_TTL_SECONDS": "86400",
        "CHECKPOINT_TTL_SECONDS": "259200",
    }
    assert {key: (ref.name, ref.key) for key, ref in connection.secrets.items()} == {
        "REDIS_URL": ("redis-connection", "REDIS_URL")
    }
    assert connection.pod_labels == {"agentstack.dev/redis": "true"}
    assert connection.egress == (Edge((Peer("the-data", NODE),), (6379,)),)
    assert [type(resource).__name__ for resource in connection.ready] == ["Job", "Secret"]


@pytest.mark.parametrize(("network", "peer"), [("10.9.0.0/24", Peer(cidr="10.9.0.0/24")), (None, ANYWHERE)])
def test_an_external_redis_connects_the_same_way(network: str | None, peer: Peer, rendered: Rendered) -> None:
    secret = SecretKey(name="managed-redis", key="url")
    there = ExternalRedis(host="redis.example.com", port=6380, url_secret=secret, network=network)
    connection = external(RedisSettings(mode="external", external=there))
    assert connection.environment.keys() == rendered.connection.environment.keys()
    assert connection.environment["REDIS_HOST"] == "redis.example.com"
    assert connection.environment["REDIS_PORT"] == "6380"
    assert connection.secrets.keys() == rendered.connection.secrets.keys()
    assert (connection.secrets["REDIS_URL"].name, connection.secrets["REDIS_URL"].key) == ("managed-redis", "url")
    assert connection.egress == (Edge((peer,), (6380,)),)
    assert connection.pod_labels == {}


def test_external_needs_its_settings() -> None:
    with pytest.raises(ValueError, match="no external Redis"):
        external(RedisSettings())
