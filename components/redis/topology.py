"""Redis as a node, and who uses it as edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from components.topology import (
    EGRESS,
    EXTERNAL,
    STORE,
    USES,
    Edge,
    Node,
    NodeKind,
    agent_node,
    count,
    external_node,
    scraped,
)

if TYPE_CHECKING:
    from settings import RedisSettings, Settings

REDIS: Final = NodeKind("redis", "store", STORE, "cylinder")
NODE: Final = "redis"


def topology(settings: Settings) -> Iterator[Node | Edge]:
    """Yield the cluster, its backup and the agents that use it; an external Redis only where an agent does."""
    redis = settings.redis
    users = {name: agent for name, agent in settings.agents.items() if "redis" in agent.used_parts}
    if redis.external is None:
        yield from _cluster(redis, settings.namespaces.data.name)
    elif users:
        yield Node(NODE, REDIS, "Redis", f"external, {redis.external.host}:{redis.external.port}")
    for name, agent in users.items():
        yield Edge(agent_node(name), NODE, USES, ", ".join(agent.redis_keys))


def _cluster(redis: RedisSettings, group: str) -> Iterator[Node | Edge]:
    copies = f"{count(redis.replicas_per_shard, 'replica')} each" if redis.replicas_per_shard else "no replica"
    label = "Valkey" if redis.engine == "valkey" else "Redis"
    yield Node(NODE, REDIS, label, f"{count(redis.shards, 'shard')}, {copies}", group)
    yield scraped(NODE)
    if redis.backup is not None and redis.backup.s3 is not None:
        place = f"{urlsplit(redis.backup.s3.endpoint).hostname}:{redis.backup.s3.port}"
        yield Node(external_node(place), EXTERNAL, place)
        yield Edge(NODE, external_node(place), EGRESS, "backup")
