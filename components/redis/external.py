"""A Redis that is not part of the stack: how agents reach it, and what tries it before them."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.connection import Connection, SecretRef
from components.context import Namespace
from components.network import NetworkEdge, outside
from components.preflight import Attempt, Preflight
from components.versions import REDIS
from settings import AgentSettings, ExternalRedis, RedisSettings

from .common import FILES, image
from .connection import environment

_SCRIPT = FILES / "redis-preflight.sh"


def external(spec: RedisSettings, *, preflight: Preflight | None = None) -> Connection:
    """Connect agents to the Redis of `spec.external`, whose URL is in a Secret of the agents' namespace.

    With `preflight`, they roll only once that has succeeded. Raises ValueError where `spec.mode` is not `external`.
    """
    there = _external(spec)
    ca = there.tls.ca if there.tls else None
    return Connection(
        environment=environment(spec, there.host, there.port),
        secrets={"REDIS_URL": SecretRef(there.url_secret.name, there.url_secret.key)},
        files={"REDIS_CA_FILE": SecretRef(ca.name, ca.key)} if ca else {},
        egress=(NetworkEdge((outside(there.network),), (there.port,)),),
        ready=(preflight,) if preflight else (),
    )


def preflight(
    name: str,
    spec: RedisSettings,
    *,
    clients: Mapping[str, AgentSettings],
    namespace: Namespace,
    opts: pulumi.ResourceOptions | None = None,
) -> Preflight:
    """Try the Redis of `spec.external` with the keys of `clients`, from `namespace`, which is that of the agents.

    Raises ValueError where `spec.mode` is not `external`.
    """
    there = _external(spec)
    patterns = sorted(
        {keys for client in clients.values() if "redis" in client.used_parts for keys in client.redis_keys}
    )
    attempt = Attempt(
        "redis",
        script=_SCRIPT,
        image=image(spec),
        user=REDIS.user,
        resources=there.preflight_resources,
        environment={
            "REDIS_CLI": f"{spec.engine}-cli",
            "REDIS_TLS": "yes" if there.tls else "no",
            "REDIS_CLUSTER": "yes" if there.cluster else "no",
            "REDIS_KEYS": "\n".join(patterns),
        },
    )
    return Preflight(name, external(spec), attempt, namespace=namespace, opts=opts)


def _external(spec: RedisSettings) -> ExternalRedis:
    if spec.external is None:
        raise ValueError("redis: the mode is `cluster`, so there is no external Redis to connect to")
    return spec.external
