"""How agents reach Redis, in the stack or outside."""

from __future__ import annotations

from components.connection import Connection, SecretRef
from components.network import ANYWHERE, Edge, Peer
from settings import RedisSettings


def environment(spec: RedisSettings, host: str, port: int) -> dict[str, str]:
    """Return the environment variables of every agent that uses Redis; times to live are in seconds."""
    return {
        "REDIS_HOST": host,
        "REDIS_PORT": str(port),
        "CONVERSATION_TTL_SECONDS": str(int(spec.conversation_ttl.total_seconds())),
        "CHECKPOINT_TTL_SECONDS": str(int(spec.checkpoint_ttl.total_seconds())),
    }


def external(spec: RedisSettings) -> Connection:
    """Connect agents to the Redis of `spec.external`, whose URL is in a Secret of the agents' namespace.

    Raises ValueError where `spec.mode` is not `external`.
    """
    redis = spec.external
    if redis is None:
        raise ValueError("redis: the mode is `cluster`, so there is no external Redis to connect to")
    peer = Peer(cidr=redis.network) if redis.network else ANYWHERE
    return Connection(
        environment=environment(spec, redis.host, redis.port),
        secrets={"REDIS_URL": SecretRef(redis.url_secret.name, redis.url_secret.key)},
        egress=(Edge((peer,), (redis.port,)),),
    )
