"""Redis and Kafka: what keeps their data whole, read from their StatefulSets and configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final, Literal

from manifests.data_nodes import DataNode, kafka_nodes, redis_nodes
from manifests.fields import text, whole
from manifests.manifest import Manifest
from manifests.network import Network
from manifests.quantities import amount, amount_text
from manifests.stack import Stack
from manifests.workloads import namespace_of
from policies.findings import Finding
from policies.model import Rule, stack_rule

_REDIS_UNITS: Final = {"k": 1000, "m": 1000**2, "g": 1000**3, "kb": 1024, "mb": 1024**2, "gb": 1024**3, "b": 1, "": 1}
_BUS: Final = 10_000
"""What Redis adds to its port for the cluster bus."""

Role = Literal["broker", "controller"]


def _redis_sets(stack: Stack) -> list[Manifest]:
    return [node.workload for node in stack.once(redis_nodes).values()]


def _kafka_sets(stack: Stack) -> list[Manifest]:
    return [node.workload for node in stack.once(kafka_nodes).values()]


def _in_cluster(node: DataNode) -> bool:
    return node.redis("cluster-enabled") == "yes"


# Redis


@stack_rule(
    "redis-cluster-size",
    "error",
    "A Redis Cluster has three masters or more.",
    remedy="run 3 or more, and twice as many with replicas",
    subjects=_redis_sets,
    source="[Redis Cluster](https://redis.io/docs/latest/operate/oss_and_stack/management/scaling/)",
)
def redis_cluster_size(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a cluster of one or two nodes: a majority of masters must agree on a failover."""
    node = stack.once(redis_nodes)[id(workload)]
    if _in_cluster(node) and node.pods < 3:
        yield Finding(f"{node.pods} nodes cannot agree on a failover", "spec.replicas")


@stack_rule(
    "redis-cluster-bus",
    "error",
    "The nodes of a Redis Cluster reach each other's bus.",
    remedy="allow ingress and egress between them on the port and on the bus, 10000 above it",
    subjects=_redis_sets,
    source="[Redis Cluster](https://redis.io/docs/latest/operate/oss_and_stack/management/scaling/#redis-cluster-tcp-ports)",
)
def redis_cluster_bus(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires where a NetworkPolicy keeps the nodes from each other's port, or from the bus, 10000 above it."""
    node = stack.once(redis_nodes)[id(workload)]
    if not _in_cluster(node) or node.pods < 2:
        return
    value = node.redis("port") or node.redis("tls-port") or "6379"
    port = int(value) if value.isdecimal() and int(value) else 6379
    for needed, what in ((port, "port"), (port + _BUS, "cluster bus")):
        side = stack.once(Network).allows(workload, workload, needed)
        if side is not None:
            remedy = f"allow {side.lower()} between them on {needed}"
            yield Finding(f"NetworkPolicies close the nodes' {what}", remedy=remedy)


@stack_rule(
    "redis-announce-hostname",
    "error",
    "The nodes of a Redis Cluster announce names, not addresses.",
    remedy="set cluster-announce-hostname to the pod's name in its headless Service, and "
    "cluster-preferred-endpoint-type hostname",
    subjects=_redis_sets,
    source="[Redis configuration](https://redis.io/docs/latest/operate/oss_and_stack/management/config/)",
)
def redis_announce_hostname(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires without `cluster-announce-hostname`: clients keep addresses that are gone after a restart."""
    node = stack.once(redis_nodes)[id(workload)]
    if _in_cluster(node) and not node.redis("cluster-announce-hostname"):
        what = "clients are sent to addresses, which change at every restart"
        yield Finding(what, node.path_of("cluster-announce-hostname"))


@stack_rule(
    "redis-persistence",
    "error",
    "Redis keeps its data on a claim.",
    remedy="mount a volumeClaimTemplate at its working directory, and set appendonly yes",
    subjects=_redis_sets,
    source="[Redis persistence](https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/)",
)
def redis_persistence(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires where the working directory, /data by default, is on no claim, and where nothing is written there."""
    node = stack.once(redis_nodes)[id(workload)]
    folder = node.redis("dir") or "/data"
    if node.claim_of(folder) is None:
        what = f"{folder} is on no claim, so a restart loses what it holds"
        yield Finding(what, node.container.at("volumeMounts"), "mount a volumeClaimTemplate there")
    # Without a word about snapshots, Redis makes them.
    if node.redis("appendonly") != "yes" and node.redis("save") == "":
        yield Finding("writes nothing to its volume", node.path_of("appendonly"), "set appendonly yes")


@stack_rule(
    "redis-memory",
    "error",
    "Redis evicts by its own limit before the kernel kills it.",
    remedy="set maxmemory to nine tenths of the container's memory limit at most, and maxmemory-policy",
    subjects=_redis_sets,
    source="[Redis eviction](https://redis.io/docs/latest/develop/reference/eviction/)",
)
def redis_memory(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires without `maxmemory` and its policy, and where `maxmemory` leaves less than a tenth of the memory limit.

    The rest is for clients' buffers, replication and fragmentation.
    """
    node = stack.once(redis_nodes)[id(workload)]
    most = _redis_bytes(node.redis("maxmemory") or "")
    limit = amount(node.container, "resources", "limits", "memory")
    if not most:
        remedy = "set maxmemory below the container's memory limit"
        yield Finding("grows until the kernel kills it", node.path_of("maxmemory"), remedy)
    elif limit is not None and most > limit * Decimal("0.9"):
        yield Finding(
            f"maxmemory is {amount_text(most, 'memory')} of a memory limit of {amount_text(limit, 'memory')}, so "
            "buffers have it killed",
            node.path_of("maxmemory"),
            "set maxmemory to nine tenths of the limit at most",
        )
    if not node.redis("maxmemory-policy"):
        remedy = "set maxmemory-policy (noeviction to keep everything)"
        yield Finding("does not say what it evicts", node.path_of("maxmemory-policy"), remedy)


def _redis_bytes(value: str) -> Decimal:
    found = re.fullmatch(r"(\d{1,18})([kmg]?b?)", value.strip().lower(), re.ASCII)
    return Decimal(found[1]) * _REDIS_UNITS[found[2]] if found else Decimal(0)


# Kafka


def _has(node: DataNode, role: Role) -> bool:
    return role in (node.kafka("process.roles") or "").split(",")


def _nodes_with(role: Role, namespace: str, stack: Stack) -> list[DataNode]:
    """The kinds of nodes of the Kafka cluster in this namespace that have a role."""
    nodes = stack.once(kafka_nodes).values()
    return [node for node in nodes if _has(node, role) and namespace_of(node.workload) == namespace]


def _number(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdecimal() and len(value) < 6 else None


@stack_rule(
    "kafka-quorum",
    "error",
    "Kafka's controllers are an odd number, and all nodes know all.",
    remedy="run 1, 3 or 5, and list each one in controller.quorum.voters, the same on all nodes",
    subjects=_kafka_sets,
    source="[KRaft](https://kafka.apache.org/documentation/#kraft_deployment)",
)
def kafka_quorum(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on an even number of controllers, and on a list of voters that is not as long.

    An even number survives no more failures than one less.
    """
    node = stack.once(kafka_nodes)[id(workload)]
    controllers = sum(n.pods for n in _nodes_with("controller", namespace_of(workload), stack))
    if _has(node, "controller") and controllers % 2 == 0:
        what = f"{controllers} controllers survive no more failures than {max(1, controllers - 1)}"
        yield Finding(what, "spec.replicas", "run 1, 3 or 5")
    voters = node.kafka("controller.quorum.voters")
    if voters is not None and (count := len([v for v in voters.split(",") if v.strip()])) != controllers:
        yield Finding(
            f"its controller.quorum.voters lists {count} nodes, and {controllers} are controllers",
            node.path_of("controller.quorum.voters"),
            "list each one, the same on all nodes",
        )


@stack_rule(
    "kafka-replication",
    "error",
    "Kafka's copies are as many as its brokers can hold and lose.",
    remedy="set default.replication.factor to 3, or to the number of brokers, and min.insync.replicas to one less",
    subjects=_kafka_sets,
    source="[Kafka replication](https://kafka.apache.org/documentation/#replication)",
)
def kafka_replication(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on more copies than brokers, on a single copy among three brokers, and on copies that may not be missing.

    With `min.insync.replicas` equal to the copies, the restart of one broker stops producers.
    """
    node = stack.once(kafka_nodes)[id(workload)]
    if not _has(node, "broker"):
        return
    brokers = sum(n.pods for n in _nodes_with("broker", namespace_of(workload), stack))
    copies, in_sync = _copies(node)
    if copies > brokers:
        what = f"every partition has {copies} copies, and there are {brokers} brokers"
        yield Finding(what, node.path_of("default.replication.factor"), "lower the replication factor")
    if copies == 1 and brokers >= 3:
        remedy = "set default.replication.factor to 3"
        yield Finding("the loss of one broker loses partitions", node.path_of("default.replication.factor"), remedy)
    if copies > 1 and in_sync >= copies:
        yield Finding(
            f"producers stop whenever one broker restarts: {in_sync} of {copies} copies must be in sync",
            node.path_of("min.insync.replicas"),
            f"set min.insync.replicas to {copies - 1}",
        )


def _copies(node: DataNode) -> tuple[int, int]:
    """The copies of a partition, and how many must be in sync; Kafka's defaults are 1."""
    copies = _number(node.kafka("default.replication.factor")) or _number(node.kafka("replication.factor"))
    return copies or 1, _number(node.kafka("min.insync.replicas")) or 1


@stack_rule(
    "kafka-auto-create",
    "error",
    "Kafka makes no topics by itself.",
    remedy="set auto.create.topics.enable=false",
    subjects=_kafka_sets,
    source="[Kafka broker settings](https://kafka.apache.org/documentation/#brokerconfigs_auto.create.topics.enable)",
)
def kafka_auto_create(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires unless `auto.create.topics.enable` is false: a mistyped name becomes a topic with one partition."""
    node = stack.once(kafka_nodes)[id(workload)]
    if _has(node, "broker") and (node.kafka("auto.create.topics.enable") or "").lower() != "false":
        yield Finding("makes a topic of every mistyped name", node.path_of("auto.create.topics.enable"))


@stack_rule(
    "kafka-log-dirs",
    "error",
    "Kafka keeps its logs in a folder of a claim.",
    remedy="set log.dirs to a folder below the mount of a volumeClaimTemplate",
    subjects=_kafka_sets,
    source="[Kafka broker settings](https://kafka.apache.org/documentation/#brokerconfigs_log.dirs)",
)
def kafka_log_dirs(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires where `log.dirs` is on no claim, and where it is the root of the volume.

    A new file system has `lost+found` there, which Kafka takes for a broken partition.
    """
    node = stack.once(kafka_nodes)[id(workload)]
    name = "log.dirs" if node.kafka("log.dirs") or not node.kafka("log.dir") else "log.dir"
    value, path = node.kafka(name), node.path_of(name)
    for folder in (value or "").split(","):
        folder = folder.strip().rstrip("/")
        if not folder:
            what = "says nowhere where its logs are (log.dirs), and keeps them in /tmp"
            yield Finding(what, path, "set it to a folder of a claim")
        elif "$" not in folder:
            claim = node.claim_of(folder)
            if claim is None:
                what = f"{folder} is on no claim, so a restart loses its logs"
                yield Finding(what, path, "mount a volumeClaimTemplate above it")
            elif claim == folder:
                what = f"{folder} is the root of its volume, where lost+found stops Kafka"
                yield Finding(what, path, "use a folder below")


@stack_rule(
    "quorum-budget",
    "error",
    "A drain leaves Kafka's partitions and controllers a majority.",
    subjects=_kafka_sets,
    remedy="set maxUnavailable: 1 in the PodDisruptionBudget",
)
def quorum_budget(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a budget that lets more brokers go than copies may be missing, or more controllers than a minority."""
    node = stack.once(kafka_nodes)[id(workload)]
    if node.pods < 2:
        return
    copies, in_sync = _copies(node)
    spare: dict[Role, int] = {"broker": copies - in_sync, "controller": (node.pods - 1) // 2}
    for budget in stack.budgets(workload):
        gone = whole(budget, "spec", "maxUnavailable")
        kept = whole(budget, "spec", "minAvailable")
        if gone is None:
            gone = None if kept is None else max(0, node.pods - kept)
        for role, most in spare.items():
            if gone is not None and gone > max(most, 0) and _has(node, role):
                yield Finding(
                    f'the PodDisruptionBudget "{text(budget, "metadata", "name")}" lets {gone} pods go at once, and '
                    f"{max(most, 0)} may be missing for its {role}s",
                    remedy=f"set maxUnavailable: {max(most, 0) or 1}",
                )


RULES: tuple[Rule, ...] = (
    redis_cluster_size,
    redis_cluster_bus,
    redis_announce_hostname,
    redis_persistence,
    redis_memory,
    kafka_quorum,
    kafka_replication,
    kafka_auto_create,
    kafka_log_dirs,
    quorum_budget,
)
