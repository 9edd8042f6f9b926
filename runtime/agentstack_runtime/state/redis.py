"""State in a Redis Cluster, or in one Redis.

What is guaranteed, and what is not. Redis copies to replicas after it answered. A master that dies may thus take the
last moments' writes along: a message, a checkpoint, the lock itself. After such a loss two holders of a lock can exist;
the second one has the higher token, since tokens are times, so that from its first acquisition on the writes of the
first are refused (`Fenced`) by the new master, which is the only one that writes are accepted by. That needs the
clocks of master and replica to differ by less than a failover takes, seconds. Writes without `fence` have no such
protection but `expected`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import redis.exceptions as errors
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from agentstack_runtime.errors import Unavailable

from .protocol import JSON, VALUE_BYTES, Changes, Conflict, Fenced, Lease, Versioned, checked, encoded
from .wakeups import Wakeups

if TYPE_CHECKING:
    from agentstack_runtime.contract import Redis as Login

T = TypeVar("T")

PATIENCE: Final = timedelta(seconds=5)
"""How long a call tries again, before it is `Unavailable`: a failover takes a few seconds more."""
_COMMAND_SECONDS: Final = 1.5
"""Seconds for one command or connection: a master that hangs is found out this fast."""
_PAUSES: Final = (0.05, 0.5)
"""Seconds between attempts."""
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


class _Client(Protocol):
    """What a cluster's client and a single one's have in common, as far as it is used."""

    async def evalsha(self, sha: str, numkeys: int, *keys_and_args: Any) -> Any: ...
    async def eval(self, script: str, numkeys: int, *keys_and_args: Any) -> Any: ...
    async def lrange(self, name: str, start: int, end: int) -> list[bytes]: ...
    async def hmget(self, name: str, keys: list[str]) -> list[bytes | None]: ...
    async def ping(self) -> Any: ...
    async def aclose(self) -> None: ...


class _Script:
    def __init__(self, name: str) -> None:
        self.text = Path(__file__).with_name("scripts").joinpath(f"{name}.lua").read_text(encoding="utf-8")
        # Not for security: by this name the server knows the script.
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


_APPEND, _WRITE, _ACQUIRE, _RENEW, _RELEASE = map(_Script, ("append", "write", "acquire", "renew", "release"))


class RedisState:
    """State for the agent of `login`; see `State`.

    Keys, which the user must be allowed: `PREFIX:{ID}:...` for conversations, `checkpoint:{ID}`; the braces are
    Redis' own, for what lies in one slot. `ttl` is for a prefix of one's own whose values live longer.
    """

    def __init__(
        self,
        login: Login,
        *,
        prefix: str = "conversation",
        ttl: timedelta | None = None,
        patience: timedelta = PATIENCE,
        value_bytes: int = VALUE_BYTES,
    ) -> None:
        self._login, self._prefix, self._value_bytes = login, prefix, value_bytes
        self._ttl = _milliseconds(ttl or login.conversation_ttl)
        self._checkpoint_ttl = _milliseconds(login.checkpoint_ttl)
        self._patience = patience.total_seconds()
        self._client: _Client | None = None
        self._connecting = asyncio.Lock()
        self._wakeups: Wakeups | None = None

    async def append(self, conversation: str, message_id: str, message: JSON, *, expected: int | None = None) -> int:
        """See `State.append`."""
        checked(conversation)
        keys = [self._key(conversation, "messages"), self._key(conversation, "ids")]
        text = encoded(message, self._value_bytes)
        fits, number = await self._run(_APPEND, keys, message_id, text, "" if expected is None else expected, self._ttl)
        if not fits:
            raise Conflict(f"{number} messages, not {expected}")
        return int(number)

    async def messages(self, conversation: str, *, after: int = 0, limit: int | None = None) -> list[JSON]:
        """See `State.messages`."""
        checked(conversation)
        if limit == 0:
            return []
        key, end = self._key(conversation, "messages"), -1 if limit is None else after + limit - 1
        return [json.loads(text) for text in await self._ask(lambda client: client.lrange(key, after, end))]

    async def put(
        self,
        conversation: str,
        name: str,
        value: JSON,
        *,
        expected: int | None = None,
        fence: Lease | None = None,
        notify: bool = False,
    ) -> int:
        """See `State.put`."""
        checked(conversation, name)
        key = self._key(conversation, f"value:{name}")
        channel = self._channel(conversation) if notify else ""
        return await self._write(key, value, self._ttl, expected, fence, channel)

    async def get(self, conversation: str, name: str) -> Versioned | None:
        """See `State.get`."""
        checked(conversation, name)
        return await self._read(self._key(conversation, f"value:{name}"))

    async def save(self, conversation: str, checkpoint: JSON, *, expected: int, fence: Lease | None = None) -> int:
        """See `State.save`."""
        checked(conversation)
        return await self._write(_checkpoint(conversation), checkpoint, self._checkpoint_ttl, expected, fence, "")

    async def load(self, conversation: str) -> Versioned | None:
        """See `State.load`."""
        checked(conversation)
        return await self._read(_checkpoint(conversation))

    @asynccontextmanager
    async def lock(self, conversation: str, name: str, *, lease: timedelta) -> AsyncIterator[Lease]:
        """See `State.lock`."""
        checked(conversation, name)
        me, keys = uuid.uuid4().hex, [self._key(conversation, f"lock:{name}"), self._key(conversation, f"fence:{name}")]
        while True:
            asked = time.monotonic()
            # The newest token outlives whatever an old holder could still write.
            token = await self._run(_ACQUIRE, keys, me, _milliseconds(lease), max(self._ttl, self._checkpoint_ttl))
            if token:
                break
            await asyncio.sleep(random.uniform(0.05, 0.25))
        held = Lease(conversation, name, int(token))
        renewing = asyncio.create_task(self._renew(held, keys[0], me, lease.total_seconds(), asked))
        try:
            yield held
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            # Where that is not possible, the lease ends by itself.
            with suppress(Unavailable):
                await self._run(_RELEASE, keys[:1], me)

    @asynccontextmanager
    async def changes(self, conversation: str) -> AsyncIterator[Changes]:
        """See `State.changes`."""
        checked(conversation)
        if self._wakeups is None:
            self._wakeups = Wakeups(Redis.from_url(self._url, **(self._options | {"socket_timeout": None})))
        channel = self._channel(conversation)
        changed = await self._wakeups.add(channel)
        try:
            yield Changes(changed)
        finally:
            await self._wakeups.remove(channel, changed)

    async def ping(self) -> None:
        """See `State.ping`."""
        # One key's node: a cluster answers as long as all of its slots are served.
        await self._ask(lambda client: client.hmget(self._key("ping", "value:ping"), ["v"]))

    async def close(self) -> None:
        """See `State.close`."""
        if self._wakeups is not None:
            await self._wakeups.close()
        if self._client is not None:
            await self._client.aclose()

    async def _renew(self, held: Lease, key: str, me: str, seconds: float, since: float) -> None:
        """Renew until the lock is known to be lost, or nothing was heard for as long as the lease."""
        while not held.lost.is_set():
            await asyncio.sleep(max(0.0, min(seconds / 3, since + seconds - time.monotonic())))
            asked = time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, since + seconds - asked)):
                    still = await self._run(_RENEW, [key], me, int(seconds * 1000))
            except (Unavailable, TimeoutError):
                if time.monotonic() >= since + seconds:
                    held.lost.set()
                continue
            if still:
                since = asked
            else:
                held.lost.set()

    async def _read(self, key: str) -> Versioned | None:
        version, data = await self._ask(lambda client: client.hmget(key, ["v", "d"]))
        return None if version is None or data is None else Versioned(json.loads(data), int(version))

    async def _write(
        self, key: str, value: JSON, ttl: int, expected: int | None, fence: Lease | None, channel: str
    ) -> int:
        keys = [key] if fence is None else [key, self._key(fence.conversation, f"fence:{fence.name}")]
        text, token = encoded(value, self._value_bytes), "" if fence is None else str(fence.token)
        outcome, version = await self._run(
            _WRITE, keys, "" if expected is None else expected, text, ttl, token, channel
        )
        if outcome < 0:
            raise Fenced("the lock has a newer holder")
        if not outcome:
            raise Conflict(f"version {version}, not {expected}")
        return int(version)

    async def _run(self, script: _Script, keys: list[str], *arguments: str | int) -> Any:
        async def call(client: _Client) -> Any:
            try:
                return await client.evalsha(script.sha, len(keys), *keys, *arguments)
            except errors.NoScriptError:
                return await client.eval(script.text, len(keys), *keys, *arguments)

        answer = await self._ask(call)
        return answer.decode() if isinstance(answer, bytes) else answer

    async def _ask(self, call: Callable[[_Client], Awaitable[T]]) -> T:
        """Return what `call` does, tried again for a while where Redis does not answer."""
        end, reason = time.monotonic() + self._patience, ""
        while True:
            try:
                async with asyncio.timeout(max(0.0, end - time.monotonic())):
                    return await call(await self._connected())
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

    async def _connected(self) -> _Client:
        async with self._connecting:
            if self._client is None:
                self._client = await self._connect()
            return self._client

    async def _connect(self) -> _Client:
        single: Any = Redis.from_url(self._url, **self._options)
        try:
            # Allowed to agents: clients ask for it, and it names no key.
            clustered = (await single.info("cluster")).get("cluster_enabled")
        except BaseException:
            await single.aclose()
            raise
        if not clustered:
            client: _Client = single
            return client
        await single.aclose()
        cluster: Any = RedisCluster.from_url(
            self._url, require_full_coverage=False, max_connections=64, **self._options
        )
        await cluster.initialize()
        return cluster  # type: ignore[no-any-return]

    @property
    def _url(self) -> str:
        return self._login.url.get_secret_value()

    @property
    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "socket_timeout": _COMMAND_SECONDS,
            "socket_connect_timeout": _COMMAND_SECONDS,
            # Ours is the loop in `_ask`, which knows when to stop.
            "retry": Retry(ExponentialBackoff(cap=0.1, base=0.02), 1),
        }
        if self._login.ca_file is not None:
            options |= {"ssl_ca_certs": str(self._login.ca_file), "ssl_min_version": ssl.TLSVersion.TLSv1_2}
        return options

    def _key(self, conversation: str, rest: str) -> str:
        return f"{self._prefix}:{{{conversation}}}:{rest}"

    def _channel(self, conversation: str) -> str:
        return self._key(conversation, "changes")


def _checkpoint(conversation: str) -> str:
    return f"checkpoint:{{{conversation}}}"


def _milliseconds(time_: timedelta) -> int:
    return int(time_.total_seconds() * 1000)


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
