"""Commands to a Redis Cluster or to one Redis, tried again for a while, and never waited for longer than that."""

from __future__ import annotations

import asyncio
import hashlib
import random
import ssl
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import redis.exceptions as errors
from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from agentstack_runtime.errors import Unavailable

if TYPE_CHECKING:
    from agentstack_runtime.contract import Redis as Login

T = TypeVar("T")

_COMMAND_SECONDS: Final = 1.5
"""Seconds for one command or connection: a master that hangs is found out this fast."""
_PAUSES: Final = (0.05, 0.5)
"""Seconds between attempts."""
_AT_ONCE: Final = 32
"""Commands that one node is sent at a time; the others stand in line. redis-py has none: beyond its bound it fails."""
_TRANSIENT: Final = (
    errors.ConnectionError,
    errors.TimeoutError,
    errors.ClusterError,
    errors.RedisClusterException,
    errors.TryAgainError,
    errors.ReadOnlyError,
    errors.OutOfMemoryError,
    OSError,
    TimeoutError,
    IndexError,  # From inside redis-py, where no node of the cluster has slots yet.
)
_TRANSIENT_CODES: Final = ("CLUSTERDOWN", "MASTERDOWN", "LOADING", "MISCONF", "NOREPLICAS", "UNBLOCKED", "FAILOVER")


class Commands(Protocol):
    """What a cluster's client and a single one's have in common, as far as it is used."""

    async def evalsha(self, sha: str, numkeys: int, *keys_and_args: Any) -> Any:
        """Run a script that the server knows."""

    async def eval(self, script: str, numkeys: int, *keys_and_args: Any) -> Any:
        """Run a script, and let the server know it."""

    async def lrange(self, name: str, start: int, end: int) -> list[bytes]:
        """Return a part of a list."""
        ...

    async def hmget(self, name: str, keys: list[str]) -> list[bytes | None]:
        """Return fields of a hash."""
        ...


class Script:
    """A script of this folder, by the name that the server knows it by."""

    def __init__(self, name: str) -> None:
        self.text = Path(__file__).with_name("scripts").joinpath(f"{name}.lua").read_text(encoding="utf-8")
        # Not for security: it is how Redis names scripts.
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class Client:
    """Whether `login` leads to a cluster, it finds out with the first command."""

    def __init__(self, login: Login, patience: float) -> None:
        self._login, self._patience = login, patience
        self._client: Redis | RedisCluster | None = None
        self._connecting = asyncio.Lock()
        self._lines: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_AT_ONCE))

    async def run(self, script: Script, keys: list[str], *arguments: str | int) -> Any:
        """Run a script whose keys lie in one slot. Raises `Unavailable` as `ask` does."""

        async def call(commands: Commands) -> Any:
            try:
                return await commands.evalsha(script.sha, len(keys), *keys, *arguments)
            except errors.NoScriptError:
                return await commands.eval(script.text, len(keys), *keys, *arguments)

        return await self.ask(keys[0], call)

    async def ask(self, key: str, call: Callable[[Commands], Awaitable[T]]) -> T:
        """Return what `call` does on the node of `key`.

        Raises:
            Unavailable: Redis did not answer for as long as the patience lasts, or it refuses the user.
        """
        end, reason = time.monotonic() + self._patience, ""
        while True:
            try:
                async with asyncio.timeout(max(0.0, end - time.monotonic())):
                    client: Any = await self._connected()
                    node = client.get_node_from_key(key) if isinstance(client, RedisCluster) else None
                    async with self._lines[node.name if node else ""]:
                        return await call(client)
            except errors.NoPermissionError:
                # Not the work's fault, and nothing that a moment changes.
                raise Unavailable("Redis: the user has no right to it; look at the agent's `redisKeys`") from None
            except TimeoutError as error:  # Ours: what was wrong before says more.
                reason = reason or _reason(error)
            except _TRANSIENT as error:
                reason = _reason(error)
            except errors.ResponseError as error:
                if not str(error).startswith(_TRANSIENT_CODES):
                    raise
                reason = _reason(error)
            if time.monotonic() + _PAUSES[0] >= end:
                raise Unavailable(f"Redis: {reason}") from None
            await asyncio.sleep(random.uniform(*_PAUSES))

    async def any_node(self) -> Redis:
        """Return a client with connections of its own, to one node or another."""
        client = await self._connected()
        options: dict[str, Any] = {**parse_url(self._url), **self._options}
        if isinstance(client, RedisCluster):
            node = random.choice(client.get_nodes())
            options |= {"host": node.host, "port": node.port}
        return Redis.from_pool(ConnectionPool(**options))

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _connected(self) -> Redis | RedisCluster:
        async with self._connecting:
            if self._client is None:
                self._client = await self._connect()
            return self._client

    async def _connect(self) -> Redis | RedisCluster:
        single: Any = Redis.from_url(self._url, **self._options)
        try:
            # Allowed to agents: clients ask for it, and it names no key.
            clustered = (await single.info("cluster")).get("cluster_enabled")
        except BaseException:
            await single.aclose()
            raise
        if not clustered:
            return single  # type: ignore[no-any-return]
        await single.aclose()
        # Twice as many connections as are used: those of before a failover are closed in the background,
        # and count until then (https://github.com/redis/redis-py/issues/3929).
        cluster: Any = RedisCluster.from_url(
            self._url, require_full_coverage=False, max_connections=2 * _AT_ONCE, **self._options
        )
        try:
            return await cluster.initialize()  # type: ignore[no-any-return]
        except BaseException:
            await cluster.aclose()
            raise

    @property
    def _url(self) -> str:
        return self._login.url.get_secret_value()

    @property
    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "socket_timeout": _COMMAND_SECONDS,
            "socket_connect_timeout": _COMMAND_SECONDS,
            # Ours is the loop in `ask`, which knows when to stop. One more is for connections that were idle too long.
            "retry": Retry(NoBackoff(), 1),
        }
        if self._login.ca_file is not None:
            options |= {"ssl_ca_certs": str(self._login.ca_file), "ssl_min_version": ssl.TLSVersion.TLSv1_2}
        return options


def _reason(error: Exception) -> str:
    """Return what is wrong, without an address or a user: the text of an error may hold them."""
    if isinstance(error, errors.AuthenticationError):
        return "it refuses the login"
    if isinstance(error, errors.OutOfMemoryError):
        return "it has no memory left"
    if isinstance(error, TimeoutError | errors.TimeoutError):
        return "it does not answer in time"
    if isinstance(error, IndexError):
        return "the cluster is not formed yet"
    code = str(error).partition(" ")[0]
    return code if code in _TRANSIENT_CODES else f"it cannot be reached ({type(error).__name__})"
