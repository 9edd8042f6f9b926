"""KafkaCluster registers exactly the objects, node ids, network edges and topics that follow from its settings."""

from __future__ import annotations

import base64
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks

from components.context import Context
from components.kafka.component import KafkaCluster
from components.kafka.external import external
from components.kafka.topics import declared
from components.labels import selector
from components.network import Peer
from settings import AgentSettings, KafkaSettings, TopicSettings

from .conftest import Recorder

CLUSTER_ID = base64.urlsafe_b64encode(bytes(range(200, 216))).decode().rstrip("=")
TOPICS: dict[str, Any] = {
    "events": {"partitions": 3, "retention": "2d"},
    "state-changes": {"partitions": 12, "cleanup": "compact,delete"},
}
COMBINED: dict[str, Any] = {
    "mode": "combined",
    "brokers": 1,
    "controllers": 1,
    "replication_factor": 1,
    "min_insync_replicas": 1,
}
IMAGE = "example.com/agent:1"
CLIENTS = {
    "researcher": AgentSettings(image=IMAGE, consumes=("events",), produces=("state-changes", "events")),
    "bystander": AgentSettings(image=IMAGE),
}
PASSWORD = "made-by-the-provider"
Object = dict[str, Any]


class Kafka(Recorder):
    """Answers the cluster id as the random provider does, and keeps what the cluster offers."""

    cluster: KafkaCluster

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        identity, outputs = super().new_resource(args)
        if args.typ == "random:index/randomId:RandomId":
            return identity, {**outputs, "b64Url": CLUSTER_ID}
        if args.typ == "random:index/randomPassword:RandomPassword":
            return identity, {**outputs, "result": f"{PASSWORD}-{args.name}"}
        return identity, outputs


def build(protect: bool = True, **fields: Any) -> Kafka:
    """Register a cluster on a test monitor; what its Outputs raise fails the test."""
    recorder = Kafka()
    mocks.set_mocks(recorder, project="agentstack", stack="test")

    @pulumi.runtime.test
    def program() -> pulumi.Output[str]:
        recorder.cluster = KafkaCluster(
            "kafka",
            KafkaSettings(**{"topics": TOPICS, **fields}),
            Context(
                agents=CLIENTS,
                prometheus=Peer("observability", selector("prometheus", "metrics")),
                protect=protect,
            ),
        )
        return recorder.cluster.urn

    program()
    return recorder


@pytest.fixture(scope="module")
def combined() -> Kafka:
    return build(**COMBINED)


@pytest.fixture(scope="module")
def separate() -> Kafka:
    return build()


def stateful_set(kafka: Kafka, name: str) -> Object:
    return kafka.seen["StatefulSet", name]["spec"]


def container(kafka: Kafka, name: str) -> Object:
    return stateful_set(kafka, name)["template"]["spec"]["containers"][0]


def environment(holder: Object) -> dict[str, str]:
    return {v["name"]: v["value"] for v in holder["env"] if "value" in v}


def edges(rules: list[Object]) -> set[tuple[str, str, int]]:
    """(namespace, the labels that tell the peer, port) of each pair in a policy's rules."""
    found = set()
    for rule in rules:
        for peer in rule.get("from", []) + rule.get("to", []):
            namespace = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
            told = peer["podSelector"]["matchLabels"]
            name = told.get("app.kubernetes.io/component") or ",".join(f"{k}={v}" for k, v in told.items())
            found |= {(namespace, name, port["port"]) for port in rule["ports"]}
    return found


def test_combined_mode_registers_one_node_and_nothing_else(combined: Kafka) -> None:
    assert combined.kinds() == [
        "ConfigMap",
        "ConfigMap",
        "Deployment",
        "Job",
        "KafkaCluster",
        "NetworkPolicy",
        "NetworkPolicy",
        "NetworkPolicy",
        "PersistentVolumeClaimPatch",
        "PodDisruptionBudget",
        "RandomId",
        "RandomPassword",
        "RandomPassword",
        "RandomPassword",
        "RandomPassword",
        "Secret",
        "Secret",
        "Service",
        "Service",
        "StatefulSet",
    ]
    assert stateful_set(combined, "kafka")["replicas"] == 1
    values = environment(container(combined, "kafka"))
    assert values["PROCESS_ROLES"] == "broker,controller"
    assert values["LISTENERS"] == "BROKER://:9092,CONTROLLER://:9093"
    assert values["CONTROLLER_QUORUM_VOTERS"] == "0@kafka-0.kafka-headless.data.svc.cluster.local:9093"
    assert (values["REPLICATION_FACTOR"], values["MIN_INSYNC_REPLICAS"]) == ("1", "1")


def test_separate_mode_registers_two_roles(separate: Kafka) -> None:
    kinds = separate.kinds()
    assert len(kinds) == 29
    counts = {kind: kinds.count(kind) for kind in ("StatefulSet", "Service", "PodDisruptionBudget", "NetworkPolicy")}
    assert counts == {"StatefulSet": 2, "Service": 3, "PodDisruptionBudget": 2, "NetworkPolicy": 4}
    controller = environment(container(separate, "kafka-controller"))
    broker = environment(container(separate, "kafka-broker"))
    assert (controller["FIRST_NODE_ID"], broker["FIRST_NODE_ID"]) == ("0", "100")
    assert (controller["PROCESS_ROLES"], broker["PROCESS_ROLES"]) == ("controller", "broker")
    assert controller["CONTROLLER_QUORUM_VOTERS"] == broker["CONTROLLER_QUORUM_VOTERS"]
    assert controller["CONTROLLER_QUORUM_VOTERS"].split(",") == [
        f"{i}@kafka-controller-{i}.kafka-controller.data.svc.cluster.local:9093" for i in range(3)
    ]
    advertised = "BROKER://$(POD_NAME).kafka-broker.data.svc.cluster.local:9092"
    assert broker["ADVERTISED_LISTENERS"] == advertised
    # Kubernetes expands only what stands further up.
    names = [v["name"] for v in container(separate, "kafka-broker")["env"]]
    assert names.index("POD_NAME") < names.index("ADVERTISED_LISTENERS")
    # A dynamic default of the cluster comes from the controllers' configuration, so they must agree with the brokers.
    assert controller["MIN_INSYNC_REPLICAS"] == broker["MIN_INSYNC_REPLICAS"] == "2"


def test_all_nodes_share_the_generated_cluster_id(separate: Kafka) -> None:
    assert separate.seen["RandomId", "kafka-cluster-id"] == {"byteLength": 16}
    assert len(CLUSTER_ID) == 22
    assert separate.seen["ConfigMap", "kafka-config"]["data"]["cluster-id"] == CLUSTER_ID
    for name in ("kafka-controller", "kafka-broker"):
        taken = {v["name"]: v["valueFrom"] for v in container(separate, name)["env"] if "valueFrom" in v}
        assert taken["CLUSTER_ID"] == {"configMapKeyRef": {"name": "kafka-config", "key": "cluster-id"}}


def test_the_heap_is_half_of_the_memory_limit(combined: Kafka, separate: Kafka) -> None:
    assert environment(container(separate, "kafka-controller"))["KAFKA_HEAP_OPTS"] == "-Xms512m -Xmx512m"
    assert environment(container(combined, "kafka"))["KAFKA_HEAP_OPTS"] == "-Xms1024m -Xmx1024m"


def test_a_larger_heap_than_6_gi_would_only_take_page_cache_away() -> None:
    large = {"requests": {"cpu": "1", "memory": "64Gi"}, "limits": {"cpu": "8", "memory": "64Gi"}}
    kafka = build(**COMBINED, broker_resources=large)
    assert environment(container(kafka, "kafka"))["KAFKA_HEAP_OPTS"] == "-Xms6144m -Xmx6144m"


@pytest.mark.parametrize("name", ["kafka-controller", "kafka-broker"])
def test_nodes_find_each_other_before_they_are_ready(separate: Kafka, name: str) -> None:
    service = separate.seen["Service", name]["spec"]
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
    spec = stateful_set(separate, name)
    assert (spec["podManagementPolicy"], spec["serviceName"]) == ("Parallel", name)
    assert service["selector"] == spec["selector"]["matchLabels"]
    assert service["selector"].items() <= spec["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("name", ["kafka-controller", "kafka-broker"])
def test_pods_are_restricted_and_disturbed_one_at_a_time(separate: Kafka, name: str) -> None:
    pod = stateful_set(separate, name)["template"]["spec"]
    assert pod["enableServiceLinks"] is pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 1000
    assert {c["whenUnsatisfiable"] for c in pod["topologySpreadConstraints"]} == {"ScheduleAnyway"}
    kafka = pod["containers"][0]
    assert kafka["securityContext"]["readOnlyRootFilesystem"] is True
    port = name.removeprefix("kafka-")
    assert {kafka[probe]["tcpSocket"]["port"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")} == {
        port
    }
    budget = separate.seen["PodDisruptionBudget", name]["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"] == stateful_set(separate, name)["selector"]["matchLabels"]


def test_a_broker_has_time_to_wait_for_its_copies_and_to_hand_over(separate: Kafka, combined: Kafka) -> None:
    broker = stateful_set(separate, "kafka-broker")["template"]["spec"]
    assert broker["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["/bin/sh", "/etc/agentstack/stop.sh"]
    waits = int(environment(broker["containers"][0])["WAIT_SECONDS"])
    assert broker["terminationGracePeriodSeconds"] == waits + 120
    assert "stop.sh" in separate.seen["ConfigMap", "kafka-config"]["data"]
    # Nobody else has a copy that could be waited for.
    for alone in (stateful_set(separate, "kafka-controller"), stateful_set(combined, "kafka")):
        pod = alone["template"]["spec"]
        assert "lifecycle" not in pod["containers"][0]
        assert pod["terminationGracePeriodSeconds"] == 120


def references(holder: Object) -> dict[str, tuple[str, str]]:
    """(Secret, key) of each environment variable that has its value from one."""
    taken = {
        v["name"]: v["valueFrom"]["secretKeyRef"] for v in holder["env"] if "secretKeyRef" in v.get("valueFrom", {})
    }
    return {name: (ref["name"], ref["key"]) for name, ref in taken.items()}


def job_containers(kafka: Kafka) -> list[Object]:
    pod = kafka.seen["Job", "kafka-topics"]["spec"]["template"]["spec"]
    return [*pod.get("initContainers", []), *pod["containers"]]


def test_the_stacks_own_passwords_stay_in_the_data_namespace(separate: Kafka) -> None:
    assert separate.seen["Secret", "kafka-auth"]["metadata"]["namespace"] == "data"
    for name in ("kafka-broker", "kafka-controller"):
        node = container(separate, name)
        assert environment(node)["SECURITY_PROTOCOL"] == "SASL_PLAINTEXT"
        assert references(node) == {
            "BROKER_PASSWORD": ("kafka-auth", "broker-password"),
            "OPERATOR_PASSWORD": ("kafka-auth", "operator-password"),
        }
    for tool in job_containers(separate):
        assert references(tool) == {"OPERATOR_PASSWORD": ("kafka-auth", "operator-password")}
    exporter = separate.seen["Deployment", "kafka-exporter"]["spec"]["template"]["spec"]["containers"][0]
    file = "@/etc/kafka-auth/exporter-arguments"
    assert {"--sasl.enabled", "--sasl.mechanism=scram-sha512", "--sasl.username=_exporter", file} <= set(
        exporter["args"]
    )
    assert "env" not in exporter


def test_each_agent_that_uses_kafka_has_a_user(separate: Kafka) -> None:
    own = separate.seen["Secret", "researcher.kafka"]
    password = f"{PASSWORD}-researcher.kafka"
    assert own["metadata"]["namespace"] == "agents"
    assert own["stringData"]["value"] == {"KAFKA_USERNAME": "researcher", "KAFKA_PASSWORD": password}
    users = separate.seen["Secret", "kafka-auth"]["stringData"]["value"]["users"]
    assert users == f"_exporter {PASSWORD}-kafka-exporter-password\nresearcher {password}\n"
    assert ("Secret", "bystander.kafka") not in separate.seen


def test_acls_follow_from_what_agents_consume_and_produce(separate: Kafka) -> None:
    assert separate.seen["ConfigMap", "kafka-topics"]["data"]["acls"].splitlines() == [
        "_exporter DESCRIBE LITERAL TOPIC *",
        "_exporter DESCRIBE LITERAL GROUP *",
        "_exporter DESCRIBE LITERAL CLUSTER kafka-cluster",
        "researcher READ LITERAL TOPIC events",
        "researcher WRITE LITERAL TOPIC events",
        "researcher WRITE LITERAL TOPIC state-changes",
        "researcher READ LITERAL GROUP researcher",
        "researcher WRITE PREFIXED TRANSACTIONAL_ID researcher.",
    ]


def test_without_authentication_there_are_no_users() -> None:
    kafka = build(authentication="none")
    assert not {"Secret", "RandomPassword"} & set(kafka.kinds())
    assert [tool["name"] for tool in job_containers(kafka)] == ["topics"]
    connection = kafka.cluster.connections["researcher"]
    assert connection.environment["KAFKA_SECURITY_PROTOCOL"] == "PLAINTEXT"
    assert "KAFKA_SASL_MECHANISM" not in connection.environment
    assert connection.secrets == {}
    arguments = kafka.seen["Deployment", "kafka-exporter"]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert not [argument for argument in arguments if "sasl" in argument]


@pytest.mark.parametrize(("authentication", "protocol"), [("scram", "SASL_SSL"), ("none", "SSL")])
def test_tls_reaches_every_part(authentication: str, protocol: str) -> None:
    kafka = build(tls={"existing_secret": "given"}, authentication=authentication)
    exporter = kafka.seen["Deployment", "kafka-exporter"]["spec"]["template"]["spec"]
    job = kafka.seen["Job", "kafka-topics"]["spec"]["template"]["spec"]
    node = stateful_set(kafka, "kafka-broker")["template"]["spec"]
    for pod, keys in ((node, ["tls.crt", "tls.key", "ca.crt"]), (job, ["ca.crt"]), (exporter, ["ca.crt"])):
        (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "tls"]
        assert (volume["secret"]["secretName"], [i["key"] for i in volume["secret"]["items"]]) == ("given", keys)
    for holder in (node["containers"][0], *job_containers(kafka)):
        assert environment(holder)["SECURITY_PROTOCOL"] == protocol
        assert environment(holder)["TLS_DIR"] == "/etc/kafka-tls"
        assert "/etc/kafka-tls" in [mount["mountPath"] for mount in holder["volumeMounts"]]
    assert {"--tls.enabled", "--tls.ca-file=/etc/kafka-tls/ca.crt"} <= set(exporter["containers"][0]["args"])
    connection = kafka.cluster.connections["researcher"]
    assert connection.environment["KAFKA_SECURITY_PROTOCOL"] == protocol
    assert [(r.name, r.key) for r in connection.files.values()] == [("given", "ca.crt")]


def test_certificates_hold_every_name_that_nodes_and_clients_use() -> None:
    kafka = build(tls={"cluster_issuer": "internal"})
    names = kafka.seen["Certificate", "kafka-tls"]["spec"]["dnsNames"]
    hosts = [f"kafka-broker-0.{kafka_host('kafka-broker')}", f"kafka-controller-2.{kafka_host('kafka-controller')}"]
    assert environment(container(kafka, "kafka-broker"))["BOOTSTRAP_SERVERS"] == f"{kafka_host('kafka')}:9092"
    for host in (*hosts, kafka_host("kafka")):
        assert host in names or f"*.{host.partition('.')[2]}" in names


def kafka_host(service: str) -> str:
    return f"{service}.data.svc.cluster.local"


def test_brokers_and_clients_know_their_zone(separate: Kafka) -> None:
    (zone,) = [v for v in container(separate, "kafka-broker")["env"] if v["name"] == "ZONE"]
    path = "metadata.labels['topology.kubernetes.io/zone']"
    assert zone["valueFrom"]["fieldRef"]["fieldPath"] == path
    assert separate.cluster.connections["researcher"].fields == {"KAFKA_CLIENT_RACK": path}


def test_data_is_on_the_claim(separate: Kafka) -> None:
    kafka = container(separate, "kafka-broker")
    mounts = {mount["name"]: mount["mountPath"] for mount in kafka["volumeMounts"]}
    # The image declares this very path a VOLUME: a claim mounted above it would be hidden by one that the runtime adds.
    assert mounts["data"] == environment(kafka)["DATA_DIR"] == "/var/lib/kafka/data"
    # It declares /etc/kafka/secrets a VOLUME too: that folder cannot be made in a ConfigMap.
    assert not mounts["config"].startswith("/etc/kafka")
    claim = stateful_set(separate, "kafka-broker")["volumeClaimTemplates"][0]["spec"]
    assert claim["resources"]["requests"]["storage"] == "20Gi"


def test_claims_outlive_a_protected_cluster_only(separate: Kafka) -> None:
    policy = "persistentVolumeClaimRetentionPolicy"
    assert stateful_set(separate, "kafka-broker")[policy] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    unprotected = build(protect=False, **COMBINED)
    assert stateful_set(unprotected, "kafka")[policy] == {"whenDeleted": "Delete", "whenScaled": "Retain"}


def test_edges_of_separate_mode(separate: Kafka) -> None:
    policies = {name: body["spec"] for (kind, name), body in separate.seen.items() if kind == "NetworkPolicy"}
    assert {name: edges(spec.get("ingress", [])) for name, spec in policies.items()} == {
        "kafka-broker": {
            ("data", "broker", 9092),
            ("data", "topics", 9092),
            ("data", "metrics", 9092),
            ("agents", "agentstack.dev/kafka=true", 9092),
        },
        "kafka-controller": {("data", "broker", 9093), ("data", "controller", 9093)},
        "kafka-exporter": {("observability", "metrics", 9308)},
        "kafka-topics": set(),
    }
    assert {name: edges(spec.get("egress", [])) for name, spec in policies.items()} == {
        "kafka-broker": {("data", "broker", 9092), ("data", "controller", 9093)},
        "kafka-controller": {("data", "controller", 9093)},
        "kafka-exporter": {("data", "broker", 9092)},
        "kafka-topics": {("data", "broker", 9092)},
    }


def test_no_edge_to_controllers_in_combined_mode(combined: Kafka) -> None:
    for (kind, _), body in combined.seen.items():
        if kind == "NetworkPolicy":
            rules = body["spec"].get("ingress", []) + body["spec"].get("egress", [])
            assert {port for *_, port in edges(rules)} <= {9092, 9308}


def test_each_policy_selects_the_pods_it_is_for(separate: Kafka) -> None:
    pods = {
        "kafka-broker": stateful_set(separate, "kafka-broker")["template"],
        "kafka-controller": stateful_set(separate, "kafka-controller")["template"],
        "kafka-exporter": separate.seen["Deployment", "kafka-exporter"]["spec"]["template"],
        "kafka-topics": separate.seen["Job", "kafka-topics"]["spec"]["template"],
    }
    for policy in pods:
        wanted = separate.seen["NetworkPolicy", policy]["spec"]["podSelector"]["matchLabels"].items()
        selected = {name for name, pod in pods.items() if wanted <= pod["metadata"]["labels"].items()}
        assert selected == {policy}


def test_topics_reach_the_job(separate: Kafka) -> None:
    assert declared(KafkaSettings(topics=TOPICS)).splitlines() == [
        "events 3 delete 172800000",
        "state-changes 12 compact,delete 604800000",
    ]
    job = separate.seen["Job", "kafka-topics"]["spec"]
    assert [tool["command"][-1] for tool in job_containers(separate)] == [
        "/etc/agentstack/users.sh",
        "/etc/agentstack/topics.sh",
    ]
    values = environment(job["template"]["spec"]["containers"][0])
    assert separate.seen["ConfigMap", "kafka-topics"]["data"]["topics"] == declared(KafkaSettings(topics=TOPICS))
    assert values["BOOTSTRAP_SERVERS"] == "kafka.data.svc.cluster.local:9092"
    # The engine knows a failed Job by BackoffLimitExceeded and DeadlineExceeded alone: no rule may fail it otherwise.
    assert job["backoffLimit"] == 0
    assert {rule["action"] for rule in job["podFailurePolicy"]["rules"]} == {"Ignore"}


def job_name(kafka: Kafka) -> str:
    return kafka.seen["Job", "kafka-topics"]["metadata"]["name"]


def test_the_job_has_another_name_when_it_does_something_else(combined: Kafka) -> None:
    assert job_name(build(**COMBINED)) == job_name(combined)
    grown = {**TOPICS, "events": {"partitions": 6, "retention": "2d"}}
    others = {
        job_name(build(**COMBINED, topics=grown)),
        job_name(build(**COMBINED, image="apache/kafka:4.3.2")),
        job_name(build(**COMBINED, job_resources={"limits": {"memory": "1Gi"}})),
        job_name(build(**COMBINED, authentication="none")),
        job_name(combined),
    }
    assert len(others) == 5


def test_a_changed_password_makes_another_job(combined: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.PASSWORD", "another")
    assert job_name(build(**COMBINED)) != job_name(combined)


def test_without_topics_and_users_there_is_no_job() -> None:
    assert [tool["name"] for tool in job_containers(build(**COMBINED, topics={}))] == ["users"]
    kafka = build(**COMBINED, topics={}, authentication="none")
    assert "Job" not in kafka.kinds()
    assert kafka.kinds("kafka-topics") == []
    assert "topics" not in {
        name for _, name, _ in edges(kafka.seen["NetworkPolicy", "kafka-broker"]["spec"]["ingress"])
    }


def test_the_exporter_is_scraped_and_speaks_a_version_that_kafka_4_knows(separate: Kafka) -> None:
    template = separate.seen["Deployment", "kafka-exporter"]["spec"]["template"]
    assert template["metadata"]["annotations"]["prometheus.io/port"] == "9308"
    arguments = template["spec"]["containers"][0]["args"]
    assert "--kafka.server=kafka.data.svc.cluster.local:9092" in arguments
    assert "--concurrent.enable" in arguments
    spoken = next(a.partition("=")[2] for a in arguments if a.startswith("--kafka.version="))
    assert (2, 1, 0) <= tuple(int(part) for part in spoken.split(".")) < (4, 0, 0)


def test_the_connection_opens_the_way_to_the_brokers(separate: Kafka) -> None:
    connection = separate.cluster.connections["researcher"]
    assert connection.environment == {
        "KAFKA_BOOTSTRAP_SERVERS": "kafka.data.svc.cluster.local:9092",
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    }
    assert {name: (ref.name, ref.key) for name, ref in connection.secrets.items()} == {
        "KAFKA_USERNAME": ("researcher.kafka", "KAFKA_USERNAME"),
        "KAFKA_PASSWORD": ("researcher.kafka", "KAFKA_PASSWORD"),
    }
    assert set(connection.secret_values) == set(connection.secrets)
    assert connection.pod_labels == {"agentstack.dev/kafka": "true"}
    (edge,) = connection.egress
    assert edge.ports == (9092,)
    assert [(peer.namespace, peer.pod_labels) for peer in edge.peers] == [
        ("data", stateful_set(separate, "kafka-broker")["selector"]["matchLabels"])
    ]
    assert [type(resource).__name__ for resource in connection.ready] == ["Job", "Secret"]


def test_each_mode_refuses_the_other() -> None:
    with pytest.raises(ValueError, match="only `external` has brokers elsewhere"):
        external(KafkaSettings())
    with pytest.raises(ValueError, match="call `external` instead"):
        build(mode="external", external={"brokers": ["a:9092"]}, topics={})


def test_declared_topics_have_milliseconds() -> None:
    spec = KafkaSettings(topics={"a": TopicSettings(retention="90s", partitions=1)})
    assert declared(spec) == "a 1 delete 90000"


@pytest.mark.parametrize(
    ("topic", "line"),
    [({"event_log": True}, "log 6 delete -1"), ({"event_log": True, "cleanup": "compact"}, "log 6 compact -1")],
)
def test_event_logs_are_kept_for_ever(topic: dict[str, Any], line: str) -> None:
    assert declared(KafkaSettings(topics={"log": topic})) == line


@pytest.mark.parametrize(
    ("fields", "topic", "message"),
    [
        ({}, {"cleanup": "compact,delete"}, "cleanup: an event log deletes nothing: write `compact`"),
        ({}, {"retention": "7d"}, "retention: an event log is kept for ever: remove `retention` or `eventLog`"),
        (COMBINED, {}, "topics.log.eventLog: an acknowledged event must be on two brokers, and minInsyncReplicas is 1"),
        ({"authentication": "none"}, {}, "topics.log.eventLog: without users anybody may delete it"),
    ],
)
def test_what_could_lose_an_event_is_refused(fields: dict[str, Any], topic: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KafkaSettings(**fields, topics={"log": {"event_log": True, **topic}})
