"""What decides where Redis keeps data and for how long, and which changes of that destroy it. Imports no Pulumi."""

from __future__ import annotations

from typing import Final

from components.change import NAMED, ChangeRule, changed, lowered, moved_outside, shrunk, smaller_claims
from settings import Settings


def facts(settings: Settings) -> dict[str, object]:
    """Return what a change is compared by."""
    redis = settings.redis
    if redis.mode == "external":
        return {"redis.mode": redis.mode}
    return {
        "redis.mode": redis.mode,
        "redis.engine": redis.engine,
        "redis.shards": redis.shards,
        "redis.replicasPerShard": redis.replicas_per_shard,
        "redis.storage": redis.storage,
        "redis.resources.limits.memory": redis.resources.limits.memory,
        "redis.tls": "on" if redis.tls else "off",
        **({"redis.backup.keep": redis.backup.keep} if redis.backup else {}),
    }


CHANGES: Final = (
    moved_outside("redis.mode"),
    ChangeRule(
        "redis.shards",
        lowered,
        "it stops the nodes with the highest numbers, whatever slots they hold",
        "empty them first",
        "fewer-redis-nodes",
    ),
    ChangeRule(
        "redis.replicasPerShard",
        lowered,
        "it stops the nodes with the highest numbers, masters among them",
        "make them leave the cluster first",
        "fewer-redis-nodes",
    ),
    ChangeRule(
        "redis.resources.limits.memory",
        shrunk,
        "keys that have no room any more are evicted",
        "see by INFO memory that used_memory of every master is below 60 % of it",
    ),
    ChangeRule(
        "redis.engine",
        changed,
        "neither server reads the other's files",
        "make a new stack with the other engine",
        "a-new-stack",
        acceptable=False,
    ),
    ChangeRule(
        "redis.tls",
        changed,
        "nodes with TLS do not understand nodes without, so an update stops half way",
        "make a new stack and restore a backup into it",
        "a-new-stack",
        acceptable=False,
    ),
    smaller_claims("redis.storage"),
    ChangeRule(
        "redis.backup.keep",
        lowered,
        "the oldest snapshots are deleted with the next backup",
        "copy those that are still needed",
        NAMED,
        refused=False,
    ),
)
