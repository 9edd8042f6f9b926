"""A Redis Cluster is exactly these objects, edges, users and variables, and passwords are nowhere but in Secrets."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks

from components.context import Context, Namespace, StackNamespaces
from components.labels import selector
from components.network import ANYWHERE, NetworkEdge, Peer
from components.redis import keeper, users
from components.redis.component import RedisCluster
from components.redis.external import external
from components.versions import VALKEY
from settings import AgentSettings, Certificates, ExternalRedis, RedisSettings, Resources, SecretKey

from .conftest import Recorder

CLIENTS = {
    "researcher": AgentSettings(image="example.com/researcher:1", uses=("redis",)),
    "archivist": AgentSettings(image="example.com/archivist:1", uses=("redis",), redis_keys=("archive:*", "index")),
    "executor": AgentSettings(image="example.com/executor:1"),
}
USERS = {"_operator", "_replica", "_exporter", "researcher", "archivist"}
TLS = Certificates(existing_secret="from-elsewhere")
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


def password(user: str) -> str:
    return f"made-for-{user}"


class Passwords(Recorder):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        name, outputs = super().new_resource(args)
        user = args.name.removeprefix("redis-")
        return name, {**outputs, "result": password(user)} if args.typ.startswith("random:") else outputs


class Rendered:
    def __init__(self, spec: RedisSettings, **options: Any) -> None:
        spec = spec.model_copy(update={"backup": None})  # what test_redis_backup.py is about
        self.recorder = Passwords()
        self.monitor = Monitor(self.recorder)
        made: list[RedisCluster] = []
        mocks.set_mocks(self.recorder, project="agentstack", stack="test", monitor=self.monitor)

        @pulumi.runtime.test
        def program() -> None:
            data, agents = Namespace.existing("the-data"), Namespace.existing("the-agents")
            context = Context(
                agents=CLIENTS,
                namespaces=StackNamespaces(agents=agents, data=data),
                prometheus=Peer("the-observability", selector("prometheus", "metrics")),
                **options,
            )
            made.append(RedisCluster("redis", spec, context))

        program()
        self.connections = made[0].connections
        self.connection = self.connections["researcher"]

    def __getitem__(self, key: tuple[str, str]) -> dict[str, Any]:
        return self.recorder.seen[key]

    @property
    def nodes(self) -> dict[str, Any]:
        return self["StatefulSet", "redis"]["spec"]

    def secret(self, name: str) -> dict[str, str]:
        """What a Secret holds, which is marked as secret as a whole."""
        data: dict[str, str] = self["Secret", name]["stringData"]["value"]
        return data

    @property
    def users(self) -> dict[str, list[str]]:
        """The rules of every user in the ACL file."""
        lines = (line.split() for line in self.secret("redis-auth")["users.acl"].splitlines())
        return {user: rules for keyword, user, *rules in lines if keyword == "user"}

    @property
    def options(self) -> dict[str, str]:
        """What redis-server is started with, by option."""
        args = self.nodes["template"]["spec"]["containers"][0]["args"]
        assert args[1] == "/etc/redis/redis.conf"
        return dict(zip(args[2::2], args[3::2], strict=True))

    @property
    def keeper(self) -> dict[str, Any]:
        return self["Deployment", "redis-keeper"]["spec"]


@pytest.fixture
def rendered() -> Rendered:
    return Rendered(RedisSettings())


def test_the_objects(rendered: Rendered) -> None:
    assert Counter(rendered.recorder.kinds()) == {
        "RedisCluster": 1,
        "RandomPassword": 5,
        "Secret": 3,
        "ConfigMap": 1,
        "Service": 2,
        "StatefulSet": 1,
        "PersistentVolumeClaimPatch": 6,
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


def test_passwords_are_in_secrets_only_and_marked(rendered: Rendered) -> None:
    plain = str(without_secrets(list(rendered.recorder.seen.values())))
    holders = {
        user: {key for key, inputs in rendered.recorder.seen.items() if password(user) in str(inputs)} for user in USERS
    }
    assert "made-for-" not in plain
    auth = {("Secret", "redis-auth")}
    assert holders == {
        "_operator": auth,
        "_replica": auth,
        "_exporter": auth,
        "researcher": {("Secret", "researcher.redis")},
        "archivist": {("Secret", "archivist.redis")},
    }
    assert rendered["Secret", "redis-auth"]["metadata"]["namespace"] == "the-data"
    assert rendered["Secret", "researcher.redis"]["metadata"]["namespace"] == "the-agents"
    held = rendered.secret("redis-auth")
    assert held.keys() == {"users.acl", "replication.conf", "operator-password", "exporter-password"}
    assert held["replication.conf"] == f"masteruser _replica\nmasterauth {password('_replica')}\n"
    assert held["operator-password"] == password("_operator")
    assert held["exporter-password"] == password("_exporter")


def test_each_agent_is_a_user_with_its_own_keys_and_password(rendered: Rendered) -> None:
    assert rendered.users.keys() == USERS | {"default"}
    assert rendered.users["default"] == ["off"]
    for user in USERS:
        rules = rendered.users[user]
        assert rules[:2] == ["on", f"#{hashlib.sha256(password(user).encode()).hexdigest()}"]
        assert not {"nopass", "allkeys", "allchannels", "allcommands"} & set(rules)

    def patterns(user: str) -> set[str]:
        return {rule for rule in rendered.users[user] if rule[0] in "~&%("}

    assert patterns("researcher") == {"~conversation:*", "&conversation:*", "~checkpoint:*", "&checkpoint:*"}
    assert patterns("archivist") == {"~archive:*", "&archive:*", "~index", "&index"}
    # The others than the operator have no key at all.
    assert patterns("_operator") == {"~*", "&*"}
    assert patterns("_replica") == patterns("_exporter") == set()


@pytest.mark.parametrize(("keys", "all_names"), [(("conversation:*",), False), (("*",), True)])
def test_only_who_may_read_every_key_may_list_them(keys: tuple[str, ...], all_names: bool) -> None:
    rules = users.agent_rights(keys).split()
    assert ("-@keyspace" not in rules) is all_names
    assert rules.index("+@all") < rules.index("-@admin") < rules.index("-@dangerous") < rules.index("-function")


def test_the_runtime_is_tried_with_an_agents_rights() -> None:
    given = Path(__file__).parents[2] / "runtime" / "tests" / "real" / "agent.acl"
    assert given.read_text().strip() == users.agent_rights(("conversation:*", "checkpoint:*"))


def test_the_nodes_know_their_users_by_file_and_restart_for_none_of_them(rendered: Rendered) -> None:
    assert rendered.options["--aclfile"] == "/etc/redis-auth/users.acl"
    assert rendered.options["--include"] == "/etc/redis-auth/replication.conf"
    pod = rendered.nodes["template"]["spec"]
    auth = next(volume["secret"] for volume in pod["volumes"] if volume["name"] == "auth")
    assert auth["secretName"] == "redis-auth"
    assert [item["key"] for item in auth["items"]] == ["users.acl", "replication.conf"]
    # Readable for the group, which is the volumes' own.
    assert (auth["defaultMode"], pod["securityContext"]["fsGroup"]) == (0o440, 999)


@pytest.mark.parametrize("engine", ["redis", "valkey"])
def test_scripts_sign_in_as_the_operator_and_the_exporter_as_itself(engine: Any) -> None:
    rendered = Rendered(RedisSettings(engine=engine))
    redis, exporter = rendered.nodes["template"]["spec"]["containers"]
    keeper = rendered.keeper["template"]["spec"]["containers"][0]
    for container in (redis, keeper):
        env = {e["name"]: e for e in container["env"]}
        assert env["REDIS_CLI"]["value"] == f"{engine}-cli"
        assert env["REDIS_USER"]["value"] == "_operator"
        ref = env["REDISCLI_AUTH"]["valueFrom"]["secretKeyRef"]
        assert ref == {"name": "redis-auth", "key": "operator-password"}
        assert "REDIS_TLS_DIR" not in env
    env = {e["name"]: e for e in exporter["env"]}
    assert env["REDIS_USER"]["value"] == "_exporter"
    assert env["REDIS_PASSWORD"]["valueFrom"]["secretKeyRef"] == {"name": "redis-auth", "key": "exporter-password"}


def test_valkey_is_another_image_and_nothing_else(rendered: Rendered) -> None:
    valkey = Rendered(RedisSettings(engine="valkey"))
    images = {container["name"]: container["image"] for container in valkey.nodes["template"]["spec"]["containers"]}
    assert images["redis"] == VALKEY.reference
    assert valkey.keeper["template"]["spec"]["containers"][0]["image"] == VALKEY.reference
    assert valkey.nodes["template"]["metadata"]["labels"]["app.kubernetes.io/version"] == VALKEY.version
    assert valkey.options == rendered.options
    servers = [nodes.nodes["template"]["spec"]["containers"][0]["args"][0] for nodes in (rendered, valkey)]
    assert servers == ["redis-server", "valkey-server"]
    assert valkey.nodes["selector"] == rendered.nodes["selector"]
    own = Rendered(RedisSettings(engine="valkey", image="example.com/valkey:1"))
    assert own.nodes["template"]["spec"]["containers"][0]["image"] == "example.com/valkey:1"


def test_without_tls_nothing_speaks_of_it(rendered: Rendered) -> None:
    assert "tls" not in str(rendered.nodes).lower()
    assert not [option for option in rendered.options if option.startswith("--tls")]
    assert rendered.secret("researcher.redis")["REDIS_URL"].startswith("redis://")
    assert rendered.connection.files == {}


def test_tls_on_every_connection() -> None:
    rendered = Rendered(RedisSettings(tls=TLS))
    options = rendered.options
    # No port without it, neither for clients, nor for replicas, nor on the bus.
    assert (options["--port"], options["--tls-port"]) == ("0", "6379")
    assert (options["--tls-cluster"], options["--tls-replication"]) == ("yes", "yes")
    pod = rendered.nodes["template"]["spec"]
    redis, exporter = pod["containers"]
    mounts = {mount["mountPath"]: mount["name"] for mount in redis["volumeMounts"]}
    volumes = {volume["name"]: volume["secret"] for volume in pod["volumes"] if "secret" in volume}
    certificates = volumes[mounts["/etc/redis-tls"]]
    assert certificates["secretName"] == "from-elsewhere"
    assert certificates["defaultMode"] == 0o440
    keys = {f"/etc/redis-tls/{item['path']}" for item in certificates["items"]}
    assert {options[f"--tls-{file}-file"] for file in ("cert", "key", "ca-cert")} == keys

    env = {e["name"]: e.get("value") for e in exporter["env"]}
    assert env["REDIS_ADDR"] == "rediss://localhost:6379"
    ca = {mount["mountPath"]: mount["name"] for mount in exporter["volumeMounts"]}
    folder, _, file = env["REDIS_EXPORTER_TLS_CA_CERT_FILE"].rpartition("/")
    assert [item["path"] for item in volumes[ca[folder]]["items"]] == [file]

    keeper = rendered.keeper["template"]["spec"]
    for container in (redis, keeper["containers"][0]):
        env = {e["name"]: e.get("value") for e in container["env"]}
        assert env["REDIS_TLS_DIR"] in {mount["mountPath"] for mount in container["volumeMounts"]}
    # The key is the nodes' alone; the authority is no secret.
    assert "tls.key" not in str(keeper)
    authority = next(volume["secret"] for volume in keeper["volumes"] if "secret" in volume)
    assert authority["defaultMode"] == 0o444

    assert rendered.secret("researcher.redis")["REDIS_URL"] == (
        f"rediss://researcher:{password('researcher')}@redis.the-data.svc.cluster.local:6379"
    )
    ca_file = rendered.connection.files["REDIS_CA_FILE"]
    assert (ca_file.name, ca_file.key) == ("from-elsewhere", "ca.crt")
    assert "Certificate" not in rendered.recorder.kinds()


def test_certificates_name_what_clients_call_the_nodes() -> None:
    spec = RedisSettings(tls=Certificates(cluster_issuer="internal"))
    rendered = Rendered(spec, cluster_domain="corp.example")
    assert rendered["Certificate", "redis-tls"]["spec"]["dnsNames"] == [
        rendered.connection.environment["REDIS_HOST"],
        "*.redis-headless.the-data.svc.corp.example",
        "localhost",
    ]
    assert rendered.options["--cluster-announce-hostname"].endswith(".redis-headless.the-data.svc.corp.example")
    assert any("redis-tls" in urn for urn in rendered.monitor.depends["StatefulSet redis"])
    assert rendered.connection.files["REDIS_CA_FILE"].name == "redis-tls"


def test_a_node_hands_over_before_it_ends(rendered: Rendered) -> None:
    pod = rendered.nodes["template"]["spec"]
    redis = pod["containers"][0]
    folder, _, script = redis["lifecycle"]["preStop"]["exec"]["command"][-1].rpartition("/")
    config = next(volume["configMap"] for volume in pod["volumes"] if volume["name"] == "config")
    assert folder in {mount["mountPath"] for mount in redis["volumeMounts"] if mount["name"] == "config"}
    assert {script, "client.sh"} <= {item["path"] for item in config["items"]}


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
    assert options["--cluster-announce-human-nodename"] == "$(NODE_NAME)"


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

    nodes, healer = templates(rendered)
    monkeypatch.setitem(keeper.CONFIG_FILES, "keep.sh", "#!/bin/sh")
    changed = templates(Rendered(RedisSettings()))
    assert changed[0] == nodes
    assert changed[1] != healer


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
    # Not the agents' passwords: an agent that goes takes its user along.
    data = {"StatefulSet redis", *(f"RandomPassword redis-{user}" for user in USERS if user.startswith("_"))}
    if not protect:
        data = set()
    assert rendered.monitor.protected == data
    sizes = {f"PersistentVolumeClaimPatch data-redis-{ordinal}" for ordinal in range(6)}
    assert rendered.monitor.retained == data | sizes
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
        "REDIS_URL": ("researcher.redis", "REDIS_URL")
    }
    assert rendered.secret("researcher.redis") == {
        "REDIS_URL": f"redis://researcher:{password('researcher')}@redis.the-data.svc.cluster.local:6379"
    }
    assert connection.secret_values.keys() == connection.secrets.keys()
    # Who does not use Redis is no user of it.
    assert rendered.connections.keys() == {"researcher", "archivist"}
    assert connection.pod_labels == {"agentstack.dev/redis": "true"}
    assert connection.egress == (NetworkEdge((Peer("the-data", NODE),), (6379,)),)
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
    assert connection.egress == (NetworkEdge((peer,), (6380,)),)
    assert connection.pod_labels == {}


def test_external_needs_its_settings() -> None:
    with pytest.raises(ValueError, match="no external Redis"):
        external(RedisSettings())
