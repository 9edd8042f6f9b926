"""Changes of settings that lose data, a protection, or the service for a while: which, why, and the way around.

Most are refused by the engine, at preview and before anything changes; the rest is named by `agentstack diff`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from settings import Memory, Settings, StateFormats
from settings.rollout import incompatible
from settings.types import duration, duration_text

_DEFAULT_CLASS = "the default"
_REMOVED = "removed"
_BY_KEY = " by key"
"""Marks the partitions of an event log that keeps the last message of each key."""

Facts = Mapping[str, str]
"""What decides where data is, how much of it has room and how long it stays, by the path of the setting."""


def facts(settings: Settings) -> Facts:
    """Return what a change of `settings` is compared by; the engine keeps it in its state, as the platform's inputs."""
    found: dict[str, object] = {
        "platform.safeguards.protectData": "on" if settings.platform.safeguards.protect_data else "off",
        "platform.storageClass": settings.platform.storage_class or _DEFAULT_CLASS,
        "namespaces.data.name": settings.namespaces.data.name,
        "namespaces.observability.name": settings.namespaces.observability.name,
        "observability.prometheus.storage": settings.observability.prometheus.storage,
        "observability.prometheus.retention": duration_text(settings.observability.prometheus.retention),
        "observability.prometheus.retentionSize": settings.observability.prometheus.retention_size,
        "redis.mode": settings.redis.mode,
        "kafka.mode": settings.kafka.mode,
    }
    redis, kafka = settings.redis, settings.kafka
    if redis.mode != "external":
        found |= {
            "redis.engine": redis.engine,
            "redis.shards": redis.shards,
            "redis.replicasPerShard": redis.replicas_per_shard,
            "redis.storage": redis.storage,
            "redis.resources.limits.memory": redis.resources.limits.memory,
            "redis.tls": "on" if redis.tls else "off",
        }
        if redis.backup is not None:
            found["redis.backup.keep"] = redis.backup.keep
    if kafka.mode != "external":
        found |= {
            "kafka.authentication": kafka.authentication,
            "kafka.tls": "on" if kafka.tls else "off",
            "kafka.controllers": kafka.controllers,
            "kafka.brokers": kafka.brokers,
            "kafka.replicationFactor": kafka.replication_factor,
            "kafka.minInsyncReplicas": kafka.min_insync_replicas,
            "kafka.controllerStorage": kafka.controller_storage,
            "kafka.brokerStorage": kafka.broker_storage,
        }
        for name, topic in kafka.topics.items():
            by_key = topic.event_log and topic.cleanup == "compact"
            found |= {
                f"kafka.topics.{name}.partitions": f"{topic.partitions}{_BY_KEY if by_key else ''}",
                f"kafka.topics.{name}.cleanup": topic.cleanup,
            }
            if "delete" in topic.cleanup and not topic.event_log:
                found[f"kafka.topics.{name}.retention"] = duration_text(topic.retention)
            if topic.event_log:
                found[f"kafka.topics.{name}.eventLog"] = "true"
    for name, agent in settings.agents.items():
        if agent.state is not None:
            found[f"agents.{name}.state"] = agent.state
    return {path: str(value) for path, value in found.items()}


Cost = Literal["data", "protection", "availability"]
"""What a change costs: data; what keeps somebody from losing it; or the service for a while."""


def _changed(old: str, new: str) -> bool:
    return new not in (old, _REMOVED)


def _number(value: str) -> int:
    return int(value.removesuffix(_BY_KEY))


def _lowered(old: str, new: str) -> bool:
    return new != _REMOVED and _number(new) < _number(old)


def _spread_anew(old: str, new: str) -> bool:
    return old.endswith(_BY_KEY) and new != _REMOVED and _number(new) > _number(old)


def _shrunk(old: str, new: str) -> bool:
    return new != _REMOVED and Memory(new).amount < Memory(old).amount


def _sooner(old: str, new: str) -> bool:
    return new != _REMOVED and duration(new) < duration(old)


def _removed(old: str, new: str) -> bool:
    return new == _REMOVED


def _estranged(old: str, new: str) -> bool:
    return new != _REMOVED and any(incompatible(StateFormats.parse(old), StateFormats.parse(new)))


def _left(old: str, new: str) -> bool:
    return "external" == new != old


@dataclass(frozen=True)
class _Rule:
    """A change of the settings that match `paths`; `paths` may hold wildcards."""

    paths: str
    matches: Callable[[str, str], bool]
    reason: str
    way: str
    section: str = "changes-that-are-refused"
    """Where docs/data.md has the steps."""
    acceptable: bool = True
    """Whether there are steps that prepare the stack for the change, after which a person may accept it."""
    costs: Cost = "data"
    refused: bool = True
    """Whether the engine refuses it; not where the setting itself says what it deletes."""


_NEW_CLAIMS = "smaller-volumes-another-class"
_NAMED = "changes-that-are-named"

_RULES = (
    _Rule(
        "redis.shards",
        _lowered,
        "it stops the nodes with the highest numbers, whatever slots they hold",
        "empty them first",
        "fewer-redis-nodes",
    ),
    _Rule(
        "redis.replicasPerShard",
        _lowered,
        "it stops the nodes with the highest numbers, masters among them",
        "make them leave the cluster first",
        "fewer-redis-nodes",
    ),
    _Rule(
        "redis.resources.limits.memory",
        _shrunk,
        "keys that have no room any more are evicted",
        "see by INFO memory that used_memory of every master is below 60 % of it",
    ),
    _Rule(
        "redis.engine",
        _changed,
        "neither server reads the other's files",
        "make a new stack with the other engine",
        "a-new-stack",
        acceptable=False,
    ),
    _Rule(
        "redis.tls",
        _changed,
        "nodes with TLS do not understand nodes without, so an update stops half way",
        "make a new stack and restore a backup into it",
        "a-new-stack",
        acceptable=False,
    ),
    _Rule(
        "kafka.mode",
        lambda old, new: _changed(old, new) and "external" not in (old, new),
        "it makes another cluster beside the volumes of this one",
        "make a new stack in the other mode",
        "a-new-stack",
        acceptable=False,
    ),
    _Rule(
        "kafka.controllers",
        _changed,
        "the voters of the metadata quorum are fixed when its volumes are formatted",
        "make a new stack with that number",
        "a-new-stack",
        acceptable=False,
    ),
    _Rule(
        "kafka.brokers",
        _lowered,
        "it stops the brokers with the highest numbers, whatever partitions they hold",
        "move their partitions away first",
        "fewer-brokers",
    ),
    _Rule(
        "kafka.replicationFactor",
        _changed,
        "the factor of the topics that exist does not follow",
        "change theirs first",
    ),
    _Rule(
        "kafka.minInsyncReplicas",
        _lowered,
        "a write would be acknowledged that the loss of fewer volumes loses",
        "be sure that this may be",
    ),
    _Rule(
        "kafka.topics.*.partitions",
        _lowered,
        "Kafka cannot take partitions away",
        "declare a topic of another name",
        acceptable=False,
    ),
    _Rule(
        "kafka.topics.*.partitions",
        _spread_anew,
        "keys go to other partitions, and what the old ones keep of them is never replaced",
        "declare a topic of another name, and copy the messages into it",
        acceptable=False,
    ),
    _Rule(
        "kafka.topics.*.eventLog",
        _removed,
        "its messages are the only record of what happened, and would no longer be kept",
        "copy them, or be sure that nobody needs them",
    ),
    _Rule(
        "kafka.topics.*.cleanup",
        _changed,
        "the other policy deletes messages that this one keeps",
        "copy them, or be sure that nobody needs them",
    ),
    _Rule(
        "agents.*.state",
        _estranged,
        "while both run, and after a rollback, one would find state that it cannot read",
        "first release a version that reads both formats and writes the old one",
    ),
    _Rule(
        "*.mode",
        _left,
        "the cluster's data does not move with it",
        "move it, or be sure that nobody needs it",
        "deleting-deliberately",
    ),
    _Rule("*torage", _shrunk, "a claim never shrinks", "give the nodes new claims first", _NEW_CLAIMS),
    _Rule("platform.storageClass", _changed, "a claim keeps its class", "give the nodes new claims first", _NEW_CLAIMS),
    _Rule(
        "namespaces.*.name",
        _changed,
        "claims cannot move to another namespace",
        "make a new stack with that namespace",
        "a-new-stack",
        acceptable=False,
    ),
    _Rule(
        "kafka.topics.*.retention",
        _sooner,
        "Kafka deletes the messages that are older than that, within minutes",
        "copy them, or be sure that nobody needs them",
        _NAMED,
        refused=False,
    ),
    _Rule(
        "observability.prometheus.retention",
        _sooner,
        "Prometheus deletes the samples that are older than that",
        "be sure that nobody needs them",
        _NAMED,
        refused=False,
    ),
    _Rule(
        "observability.prometheus.retentionSize",
        _shrunk,
        "Prometheus deletes its oldest samples until the rest fits",
        "see by prometheus_tsdb_storage_blocks_bytes that they fit already",
        _NAMED,
        refused=False,
    ),
    _Rule(
        "redis.backup.keep",
        _lowered,
        "the oldest snapshots are deleted with the next backup",
        "copy those that are still needed",
        _NAMED,
        refused=False,
    ),
    *(
        _Rule(
            path,
            _changed,
            "nodes with it and nodes without it do not let each other in, so Kafka stops for about a minute",
            "restart all nodes together while `up` waits (docs/kafka.md, Changing passwords)",
            _NAMED,
            costs="availability",
            refused=False,
        )
        for path in ("kafka.authentication", "kafka.tls")
    ),
    _Rule(
        "platform.safeguards.protectData",
        lambda old, new: (old, new) == ("on", "off"),
        "nothing is deleted now, but from then on the engine deletes what is removed or replaced, claims included",
        "leave it on but to delete the environment",
        "deleting-deliberately",
        costs="protection",
        refused=False,
    ),
)


@dataclass(frozen=True)
class Losing:
    """A change of one setting, and what it costs."""

    path: str
    before: str
    after: str
    """`removed` if the setting is gone."""
    rule: _Rule

    @property
    def change(self) -> str:
        """The change as `platform.safeguards.accept` names it."""
        return f"{self.path}: {self.before} -> {self.after}"

    @property
    def way(self) -> str:
        """What keeps the data, and the last step where a person may let the change through."""
        accept = self.rule.refused and self.rule.acceptable
        return self.rule.way + (f", then add {self.change!r} to platform.safeguards.accept" if accept else "")

    def accepted(self, changes: Collection[str]) -> bool:
        """Whether a person has prepared it, so that the engine lets it through."""
        return self.rule.acceptable and self.change in changes


def losing(old: Facts, new: Facts) -> Iterator[Losing]:
    """Yield each change from `old` to `new` that costs something, whether the engine refuses it or not."""
    for path, before in sorted(old.items()):
        after = new.get(path, _REMOVED)
        for rule in _RULES:
            if fnmatchcase(path, rule.paths) and rule.matches(before, after):
                yield Losing(path, before, after, rule)


def refusals(old: Facts, new: Facts, accepted: Collection[str] = ()) -> Iterator[str]:
    """Yield a line per change from `old` to `new` that the engine refuses: what, why, and the way that works.

    `accepted` holds changes that a person has prepared, as the line names them: `redis.shards: 4 -> 3`.
    """
    for found in losing(old, new):
        if found.rule.refused and not found.accepted(accepted):
            yield f"{found.change}: {found.rule.reason}: {found.way}"
