"""Settings of the conversation and checkpoint state: a Redis Cluster, in the stack or external."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from .model import Demand, Model, Resources, SecretKey
from .types import Cidr, Duration, HostName, ImageRef, Memory, Port


class ExternalRedis(Model):
    """A Redis that is not part of the stack, such as a managed service."""

    host: HostName
    port: Port = 6379
    url_secret: SecretKey
    """The Secret that holds the connection URL, such as `rediss://default:PASSWORD@HOST:6379`."""
    network: Cidr | None = None
    """The network of its addresses; absent: agents may reach any address on that port."""


class RedisSettings(Model):
    """Conversation and checkpoint state."""

    mode: Literal["cluster", "external"] = "cluster"
    external: ExternalRedis | None = None
    """Set if, and only if, the mode is `external`."""
    image: ImageRef | None = None
    """Another image than the pinned one."""
    shards: int = Field(default=3, le=100)
    """Masters, each with its part of the 16,384 hash slots; at least 3.

    May grow: the new nodes join, as masters without slots until a person moves some to them; the log of redis-keeper
    has the command. Lowering it, or `replicas_per_shard`, is not supported yet: it stops the nodes with the highest
    numbers, whatever they hold, so move their slots away first.
    """
    replicas_per_shard: int = Field(default=1, ge=0, le=5)
    """Replicas of each master; 0 keeps no second copy. May grow: the new nodes become replicas."""
    resources: Resources = Resources.of("250m", "1Gi", "1", "2Gi")
    """Of each Redis container; `maxmemory` is 65 % of the memory limit."""
    exporter_resources: Resources = Resources.of("10m", "32Mi", "100m", "64Mi")
    keeper_resources: Resources = Resources.of("20m", "32Mi", "200m", "64Mi")
    """Of redis-keeper, which forms the cluster and heals it."""
    storage: Memory = Memory("8Gi")
    """The claim of each node, for `nodes.conf` and the append-only file.

    Fixed once the cluster exists: a change replaces the StatefulSet, which the engine refuses where data is protected.
    """
    conversation_ttl: Duration = Field(default=timedelta(hours=24), ge=timedelta(seconds=1))
    """How long a conversation is kept after its last write; reaches agents as CONVERSATION_TTL_SECONDS."""
    checkpoint_ttl: Duration = Field(default=timedelta(hours=72), ge=timedelta(seconds=1))
    """How long a checkpoint is kept; reaches agents as CHECKPOINT_TTL_SECONDS."""

    @property
    def nodes(self) -> int:
        """All Redis nodes: masters and replicas."""
        return self.shards * (1 + self.replicas_per_shard)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.mode == "external") != (self.external is not None):
            raise ValueError("external: set it with `mode: external`, and only then")
        # Redis itself refuses fewer: a majority of masters must survive the loss of one.
        # https://redis.io/docs/latest/operate/oss_and_stack/management/scaling/
        if self.shards < 3:
            raise ValueError(f"shards: a Redis Cluster needs at least 3 shards, not {self.shards}: write `shards: 3`")
        return self

    def demands(self) -> list[Demand]:
        """Pods in the data namespace."""
        if self.mode == "external":
            return []
        node = (self.resources, self.exporter_resources)
        return [
            Demand(source="redis", minimum=self.nodes, maximum=self.nodes, containers=node),
            Demand(source="redis keeper", minimum=1, maximum=1, containers=(self.keeper_resources,)),
        ]
