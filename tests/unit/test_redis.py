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
from components.redis import RedisCluster, external, pods
from settings import ExternalRedis, RedisSettings, Resources, SecretKey

from .conftest import Recorder

PASSWORD = "made-by-the-random-provider"
NODE = selector("redis", "state")
KEEPER = selector("redis", "keeper")


class Monitor(mocks.MockMonitor):
    """Keeps the options of every resource, by type and name: mocks do not see them."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self.protected: set[str] = set()
        self.retained: set[str] = set()
        self.depends: dict[str, list[str]] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        key = f"{request.type.rpartition(':')[2]} {request.name}"
        self.depends[key] = list(request.dependencies)
        if request.protect:
            self.protected.add(key)
        if request.retainOnDelete:
            self.retained.add(key)
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
    def keeper(self) -> dict[str, Any]:
        return self["Deployment", "redis-keeper"]["spec"]


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
        "Deployment": 1,
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
    pods = [rendered.nodes["template"]["spec"], rendered.keeper["template"]["spec"]]
    containers = [container for pod in pods for container in pod["containers"]]
    assert [container["name"] for container in containers] == ["redis", "exporter", "keeper"]
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


def test_one_keeper_knows_every_node(rendered: Rendered) -> None:
    assert rendered.keeper["replicas"] == 1
    assert rendered.keeper["strategy"] == {"type": "Recreate"}
    assert rendered.keeper["selector"]["matchLabels"] == KEEPER
    template = rendered.keeper["template"]
    assert template["metadata"]["labels"].items() >= KEEPER.items()
    env = {e["name"]: e.get("value") for e in template["spec"]["containers"][0]["env"]}
    assert env["REDIS_SHARDS"] == "3"
    hosts = [f"redis-{i}.redis-headless.the-data.svc.cluster.local:6379" for i in range(6)]
    assert env["REDIS_NODES"].split() == hosts
    assert "ONCE" not in env


def test_the_keeper_restarts_only_when_its_work_changes(rendered: Rendered) -> None:
    def template(**changes: Any) -> str:
        return str(Rendered(RedisSettings(**changes)).keeper["template"])

    same = str(rendered.keeper["template"])
    assert template(resources=Resources.of("1", "2Gi", "1", "2Gi"), conversation_ttl=timedelta(hours=1)) == same
    assert len({same, template(shards=4), template(replicas_per_shard=2), template(image="redis:8.12.0")}) == 4


def test_a_changed_script_rolls_its_pods_only(rendered: Rendered, monkeypatch: pytest.MonkeyPatch) -> None:
    def templates(of: Rendered) -> tuple[str, str]:
        return str(of.nodes["template"]), str(of.keeper["template"])

    nodes, keeper = templates(rendered)
    monkeypatch.setitem(pods._KEEPER_FILES, "keep.sh", "#!/bin/sh")
    changed = templates(Rendered(RedisSettings()))
    assert changed[0] == nodes
    assert changed[1] != keeper


def test_the_keeper_writes_where_its_probes_look(rendered: Rendered) -> None:
    pod = rendered.keeper["template"]["spec"]
    keeper = pod["containers"][0]
    env = {e["name"]: e.get("value") for e in keeper["env"]}
    mounts = {mount["mountPath"]: mount for mount in keeper["volumeMounts"]}
    state = mounts[env["STATE_DIR"]]
    assert not state.get("readOnly")
    assert [volume["name"] for volume in pod["volumes"] if "emptyDir" in volume] == [state["name"]]
    assert keeper["readinessProbe"]["exec"]["command"] == ["test", "-f", f"{env['STATE_DIR']}/ready"]
    assert f"{env['STATE_DIR']}/alive" in keeper["livenessProbe"]["exec"]["command"][-1]


def test_the_keeper_does_not_wait_for_the_nodes(rendered: Rendered) -> None:
    # Nodes with kept claims are ready only when the keeper has healed them, and the engine waits for ready nodes.
    depends = rendered.monitor.depends["Deployment redis-keeper"]
    assert not any("StatefulSet" in urn for urn in depends)
    assert sum("NetworkPolicy" in urn for urn in depends) == 2


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

    nodes, keeper = rendered["NetworkPolicy", "redis"], rendered["NetworkPolicy", "redis-keeper"]
    assert nodes["spec"]["podSelector"]["matchLabels"] == NODE
    assert keeper["spec"]["podSelector"]["matchLabels"] == KEEPER
    among = {peer("the-data", NODE, 6379), peer("the-data", NODE, 16379)}
    assert edges(nodes, "egress", "to") == among
    assert edges(nodes, "ingress", "from") == among | {
        peer("the-data", KEEPER, 6379),
        peer("the-agents", {"agentstack.dev/redis": "true"}, 6379),
        peer("the-observability", selector("prometheus", "metrics"), 9121),
    }
    assert edges(keeper, "egress", "to") == {peer("the-data", NODE, 6379)}
    assert edges(keeper, "ingress", "from") == set()
    template = rendered.nodes["template"]["metadata"]["labels"]
    assert template.items() >= NODE.items()
    assert not template.items() >= KEEPER.items()


@pytest.mark.parametrize("protect", [True, False])
def test_data_is_kept_where_it_is_protected(protect: bool) -> None:
    rendered = Rendered(RedisSettings(), protect=protect)
    data = {"StatefulSet redis", "RandomPassword redis-password"} if protect else set()
    assert rendered.monitor.protected == data
    assert rendered.monitor.retained == data
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
    assert [type(resource).__name__ for resource in connection.ready] == ["Deployment", "Secret"]


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
