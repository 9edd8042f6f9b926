"""Settings of the conversation and checkpoint state: a Redis Cluster, in the stack or external."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from manifests.problems import Problem, ProblemError

from .model import Demand, Model, Resources, SecretKey, Section
from .redis_backup import RedisBackup
from .tls import Certificates, ExternalTls
from .types import Cidr, Duration, HostName, ImageRef, Memory, Port


class ExternalRedis(Model):
    """A Redis that is not part of the stack, such as a managed service."""

    host: HostName
    port: Port = 6379
    url_secret: SecretKey
    """The Secret that holds the connection URL, in the agents' namespace: `rediss://USER:PASSWORD@HOST:PORT`, or
    `redis://` without TLS; what is special in a password is percent-encoded."""
    tls: ExternalTls | None = None
    """Absent: plain connections."""
    cluster: bool = True
    """Whether it is a Redis Cluster, whose clients follow redirections; false for a single endpoint."""
    network: Cidr | None = None
    """The network of its addresses, every node's included; absent: agents may reach any address on that port."""
    preflight: bool = True
    """Whether a Job tries it before agents roll. It writes, reads and deletes a key of a random name below each of the
    agents' `redisKeys`."""
    preflight_resources: Resources = Resources.of("10m", "16Mi", "200m", "64Mi")


def _majority(shards: int) -> int:
    # Redis itself refuses fewer: a majority of masters must survive the loss of one.
    # https://redis.io/docs/latest/operate/oss_and_stack/management/scaling/
    if shards < 3:
        raise ProblemError.of(f"a Redis Cluster needs at least 3 shards, not {shards}", "write `shards: 3`")
    return shards


class RedisSettings(Section):
    """Conversation and checkpoint state."""

    usable: ClassVar[bool] = True
    variables: ClassVar[frozenset[str]] = frozenset(
        {
            "REDIS_HOST",
            "REDIS_PORT",
            "REDIS_URL",
            "REDIS_CA_FILE",
            "CONVERSATION_TTL_SECONDS",
            "CHECKPOINT_TTL_SECONDS",
        }
    )

    mode: Literal["cluster", "external"] = "cluster"
    external: ExternalRedis | None = None
    """Set if, and only if, the mode is `external`."""
    engine: Literal["redis", "valkey"] = "redis"
    """The server: Redis, or Valkey, which speaks the same protocol. Fixed once the cluster holds data."""
    image: ImageRef | None = None
    """Another image of that engine than the pinned one."""
    tls: Certificates | None = None
    """TLS on every connection, the cluster bus included; absent: plain connections.

    Fixed once the cluster holds data: nodes with TLS and nodes without it do not understand each other.
    """
    shards: Annotated[int, Field(le=100), AfterValidator(_majority)] = 3
    """Masters, each with its part of the 16,384 hash slots; at least 3.

    May grow: the new nodes join, and redis-keeper moves slots to the new masters until all hold as many. A node that
    ends takes its slots along, so fewer are refused until a person has emptied some (docs/data.md).
    """
    replicas_per_shard: int = Field(default=1, ge=0, le=5)
    """Replicas of each master; 0 keeps no second copy. May grow: the new nodes become replicas. To shrink:
    docs/data.md."""
    resources: Resources = Resources.of("250m", "1Gi", "1", "2Gi")
    """Of each Redis container; `maxmemory` is 65 % of the memory limit."""
    exporter_resources: Resources = Resources.of("10m", "32Mi", "100m", "64Mi")
    keeper_resources: Resources = Resources.of("20m", "32Mi", "200m", "64Mi")
    """Of redis-keeper, which forms the cluster, heals it, and balances it when it grows."""
    storage: Memory = Memory("8Gi")
    """The claim of each node, for `nodes.conf` and the append-only file.

    May grow where the StorageClass lets claims grow; to shrink: docs/data.md.
    """
    backup: RedisBackup | None = RedisBackup()
    """Snapshots of every shard, daily and on a claim unless set otherwise; null: none (docs/backup.md)."""
    conversation_ttl: Duration = Field(default=timedelta(hours=24), ge=timedelta(seconds=1))
    """How long a conversation is kept after its last write; reaches agents as CONVERSATION_TTL_SECONDS."""
    checkpoint_ttl: Duration = Field(default=timedelta(hours=72), ge=timedelta(seconds=1))
    """How long a checkpoint is kept; reaches agents as CHECKPOINT_TTL_SECONDS."""

    @property
    def nodes(self) -> int:
        """All Redis nodes: masters and replicas."""
        return self.shards * (1 + self.replicas_per_shard)

    def problems(self) -> Iterator[Problem]:
        """An external Redis is described where, and only where, it is used."""
        if (self.mode == "external") != (self.external is not None):
            yield Problem(("external",), "set it with `mode: external`, and only then")
        if self.mode == "external" and self.tls is not None:
            what = "holds the certificates of the stack's own Redis"
            yield Problem(("tls",), what, "write `external.tls` instead")

    def demands(self) -> dict[str, list[Demand]]:
        """Return the cluster's pods, or that of the preflight of an external Redis."""
        if self.external is None:
            return {"data": self._cluster_demands()}
        if not self.external.preflight:
            return {}
        resources = (self.external.preflight_resources,)
        return {"agents": [Demand(source="redis preflight", minimum=1, maximum=1, containers=resources)]}

    def _cluster_demands(self) -> list[Demand]:
        node = (self.resources, self.exporter_resources)
        demands = [
            Demand(source="redis", minimum=self.nodes, maximum=self.nodes, containers=node),
            Demand(source="redis keeper", minimum=1, maximum=1, containers=(self.keeper_resources,)),
        ]
        if self.backup is not None:
            # On the day that it is needed, a restore must not wait for room.
            demands += [
                Demand(source="redis backup", minimum=1, maximum=1, containers=(self.backup.resources,)),
                Demand(source="redis restore", minimum=1, maximum=1, containers=(self.resources,)),
            ]
        return demands
