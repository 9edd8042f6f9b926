"""The rules over several objects, on the shipped environments and on what somebody may break in them."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable

import pytest

from agentstack.judging.policy import Policies
from manifests.network import Network
from manifests.stack import Stack
from manifests.workloads import container_ports, pod_template
from policies.rules import RULES, Rule, evaluate

from .conftest import ROOT, Manifest
from .test_network import UNUSED_PORT, open_, pods, policies

__all__ = ["policies"]


def rule(name: str) -> list[Rule]:
    return [rule for rule in RULES if rule.id == name]


def test_nothing_is_found_in_what_is_shipped(environment: str, manifests: list[Manifest]) -> None:
    found = {(violation.rule, violation.name) for violation in Policies.of(ROOT, environment).judge(manifests)}
    if environment == "everything":  # of these tests: it has no configuration, and secrets that somebody else makes
        found = {(rule, name) for rule, name in found if rule != "secret-exists"}
    assert found == set()


def test_two_readers_of_network_policies_agree(manifests: list[Manifest], policies: list[Manifest]) -> None:
    """The rules' own and the one of the tests, on every pair of pods and every port."""
    stack = Stack(manifests)
    network = Network(stack)
    workloads = [manifest for manifest in manifests if pod_template(manifest) is not None]
    kinds = pods(workloads)
    assert len(kinds) == len(workloads) > 10
    ports = {port for workload in workloads for _, port in container_ports(workload)} | {UNUSED_PORT}
    for (own, client), (other, server) in itertools.product(zip(workloads, kinds, strict=True), repeat=2):
        if own is other and stack.replicas(own)[1] == 1:
            continue  # the rules know that a pod reaches itself
        for port in ports:
            allowed = network.allows(own, other, port) is None
            assert allowed == open_(policies, client, server, port), (client.name, server.name, port)


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    return next(m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == name)


def without_keeper(manifests: list[Manifest]) -> None:
    """Redis no longer lets its keeper in."""
    for opening in one(manifests, "NetworkPolicy", "redis")["spec"]["ingress"]:
        opening["from"] = [
            peer
            for peer in opening["from"]
            if peer["podSelector"]["matchLabels"].get("app.kubernetes.io/component") != "keeper"
        ]


def grafana_to_alertmanager(manifests: list[Manifest]) -> None:
    """Grafana may reach Alertmanager, of which nothing tells it."""
    grafana, prometheus, alertmanager = (
        one(manifests, "NetworkPolicy", name) for name in ("grafana", "prometheus", "alertmanager")
    )
    grafana["spec"]["egress"] += [
        opening for opening in prometheus["spec"]["egress"] if opening.get("ports", [{}])[0].get("port") == 9093
    ]
    alertmanager["spec"]["ingress"][0]["from"] += prometheus["spec"]["ingress"][0]["from"]


def rename_metric(manifests: list[Manifest]) -> None:
    data = one(manifests, "ConfigMap", "prometheus")["data"]
    assert "kafka_topic_partition_leader" in data["rules.kafka.yml"]
    data["rules.kafka.yml"] = data["rules.kafka.yml"].replace("kafka_topic_partition_leader", "kafka_leader")


def rename_in_dashboard(manifests: list[Manifest]) -> None:
    data = one(manifests, "ConfigMap", "grafana-dashboards")["data"]
    assert "redis_memory_used_bytes" in data["redis.json"]
    data["redis.json"] = data["redis.json"].replace("redis_memory_used_bytes", "redis_memory_bytes_used")


def no_redis_exporter(manifests: list[Manifest]) -> None:
    annotations = one(manifests, "StatefulSet", "redis")["spec"]["template"]["metadata"]["annotations"]
    del annotations["prometheus.io/scrape"]


def small_quota(manifests: list[Manifest]) -> None:
    for quota in manifests:
        if quota["kind"] == "ResourceQuota" and quota["metadata"]["namespace"] == "agents":
            quota["spec"]["hard"]["limits.memory"] = "1Gi"


def root_of_the_volume(manifests: list[Manifest]) -> None:
    data = one(manifests, "ConfigMap", "kafka-config")["data"]
    data["start.sh"] = re.sub(r"log\.dirs=\S+", "log.dirs=$DATA_DIR", data["start.sh"])


def no_policy_for_memory(manifests: list[Manifest]) -> None:
    data = one(manifests, "ConfigMap", "redis")["data"]
    data["redis.conf"] = re.sub(r"(?m)^maxmemory-policy .*$", "", data["redis.conf"])


def topics_made_by_themselves(manifests: list[Manifest]) -> None:
    data = one(manifests, "ConfigMap", "kafka-config")["data"]
    data["server.properties"] = data["server.properties"].replace("auto.create.topics.enable=false", "")


def closed_bus(manifests: list[Manifest]) -> None:
    for side in ("ingress", "egress"):
        opening = one(manifests, "NetworkPolicy", "redis")["spec"][side][0]
        opening["ports"] = [port for port in opening["ports"] if port["port"] != 16379]


def full_memory(manifests: list[Manifest]) -> None:
    args = one(manifests, "StatefulSet", "redis")["spec"]["template"]["spec"]["containers"][0]["args"]
    args[args.index("--maxmemory") + 1] = "100gb"


BROKEN = {
    "flows-allowed": (without_keeper, "Deployment", "redis-keeper"),
    "no-undeclared-flows": (grafana_to_alertmanager, "NetworkPolicy", "alertmanager"),
    "alert-metrics": (rename_metric, "ConfigMap", "prometheus"),
    "dashboard-metrics": (rename_in_dashboard, "ConfigMap", "grafana-dashboards"),
    "quota-fits": (small_quota, "ResourceQuota", "quota"),
    "redis-memory": (no_policy_for_memory, "StatefulSet", "redis"),
    "redis-cluster-bus": (closed_bus, "StatefulSet", "redis"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found(name: str, manifests: list[Manifest]) -> None:
    change, kind, subject = BROKEN[name]
    check(manifests, name, change, kind, subject)


def test_each_way_to_lose_data_is_found(manifests: list[Manifest]) -> None:
    broker = next(
        m["metadata"]["name"]
        for m in manifests
        if m["kind"] == "StatefulSet" and m["metadata"]["name"] in ("kafka", "kafka-broker")
    )
    check(manifests, "kafka-log-dirs", root_of_the_volume, "StatefulSet", broker)
    check(manifests, "kafka-auto-create", topics_made_by_themselves, "StatefulSet", broker)
    check(manifests, "redis-memory", full_memory, "StatefulSet", "redis")
    check(manifests, "alert-metrics", no_redis_exporter, "ConfigMap", "prometheus")


def check(
    manifests: list[Manifest], name: str, change: Callable[[list[Manifest]], None], kind: str, subject: str
) -> None:
    assert evaluate(manifests, rule(name)) == []
    broken = copy.deepcopy(manifests)
    change(broken)
    found = {(violation.kind, violation.name, violation.outcome) for violation in evaluate(broken, rule(name))}
    assert (kind, subject, "violation") in found
