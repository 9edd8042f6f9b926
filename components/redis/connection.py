"""What agents learn of Redis, in the stack or outside."""

from __future__ import annotations

from settings import RedisSettings


def environment(spec: RedisSettings, host: str, port: int) -> dict[str, str]:
    """Return the environment variables of every agent that uses Redis; times to live are in seconds."""
    return {
        "REDIS_HOST": host,
        "REDIS_PORT": str(port),
        "CONVERSATION_TTL_SECONDS": str(int(spec.conversation_ttl.total_seconds())),
        "CHECKPOINT_TTL_SECONDS": str(int(spec.checkpoint_ttl.total_seconds())),
    }
