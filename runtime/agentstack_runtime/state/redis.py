"""State in a Redis Cluster, or in one Redis.

What is guaranteed. A lock's tokens are the microseconds of its master's clock, and at least one more than the last, so
they grow even where the last one is lost. A write with `fence` is refused (`Fenced`) as soon as that master has given
out a newer token, or the value was written with one: lock, tokens and values of a conversation lie in one slot, so one
master sees all of them. So whoever is paused beyond its lease is refused once another has the lock; and where a master
dies and its lock is lost, the next holder's token is higher than any before, and keeps the former one out.

What is not. Redis copies to replicas after it answered. A master that dies may take the last moments' writes along: a
message, a checkpoint, the lock itself; and one that is cut off from the others goes on answering whom it still sees for
`cluster-node-timeout` (5 s in the stack), and forgets what was written meanwhile. If it takes a lock along that it has
just granted, the holder before that one is refused again only when the lock is next granted, or the new holder writes;
what it writes until then gets through, so give `expected` too where that matters. For tokens to grow over a failover,
the clocks of master and replica may differ by no more than the failover takes, seconds. One value is for one lock: the
tokens of two say nothing about each other. A write without `fence` and `expected` that timed out may still arrive,
after later ones: with `expected` it cannot.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from agentstack_runtime.errors import Unavailable

from .client import Client, Script
from .protocol import (
    JSON,
    VALUE_BYTES,
    Changes,
    Conflict,
    Fenced,
    Lease,
    Versioned,
    checked,
    checked_fence,
    checked_id,
    checked_lease,
    checked_range,
    encoded,
)
from .wakeups import Wakeups

if TYPE_CHECKING:
    from agentstack_runtime.contract import Redis as Login

PATIENCE: Final = timedelta(seconds=5)
"""How long a call tries again, before it is `Unavailable`: a failover takes a few seconds more."""
_WAIT: Final = (0.05, 0.25)
"""Seconds between attempts at a lock that somebody else holds."""
_RELEASE_SECONDS: Final = 1.0
"""Seconds that somebody who no longer waits for a lock takes to hand it back."""

_APPEND, _WRITE, _ACQUIRE, _RENEW, _RELEASE = map(Script, ("append", "write", "acquire", "renew", "release"))


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
        self._prefix, self._value_bytes = prefix, value_bytes
        self._ttl = _milliseconds(ttl or login.conversation_ttl)
        self._checkpoint_ttl = _milliseconds(login.checkpoint_ttl)
        # The newest token outlives whatever an old holder could still write.
        self._fence_ttl = max(self._ttl, self._checkpoint_ttl)
        self._client = Client(login, patience.total_seconds())
        self._wakeups = Wakeups(self._client.any_node)

    async def append(self, conversation: str, message_id: str, message: JSON, *, expected: int | None = None) -> int:
        """See `State.append`."""
        checked(conversation)
        checked_id(message_id)
        keys = [self._key(conversation, "messages"), self._key(conversation, "ids")]
        text = encoded(message, self._value_bytes)
        count = "" if expected is None else expected
        fits, number = await self._client.run(_APPEND, keys, message_id, text, count, self._ttl)
        if not fits:
            raise Conflict(f"{number} messages, not {expected}")
        return int(number)

    async def messages(self, conversation: str, *, after: int = 0, limit: int | None = None) -> list[JSON]:
        """See `State.messages`."""
        checked(conversation)
        checked_range(after, limit)
        if limit == 0:
            return []
        key, end = self._key(conversation, "messages"), -1 if limit is None else after + limit - 1
        return [json.loads(text) for text in await self._client.ask(key, lambda c: c.lrange(key, after, end))]

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
        checked_fence(conversation, fence)
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
        checked_fence(conversation, fence)
        return await self._write(_checkpoint(conversation), checkpoint, self._checkpoint_ttl, expected, fence, "")

    async def load(self, conversation: str) -> Versioned | None:
        """See `State.load`."""
        checked(conversation)
        return await self._read(_checkpoint(conversation))

    @asynccontextmanager
    async def lock(self, conversation: str, name: str, *, lease: timedelta) -> AsyncIterator[Lease]:
        """See `State.lock`."""
        checked(conversation, name)
        checked_lease(lease)
        me, keys = uuid.uuid4().hex, [self._key(conversation, f"lock:{name}"), self._key(conversation, f"fence:{name}")]
        times = _milliseconds(lease), self._fence_ttl
        while True:
            asked = time.monotonic()
            token = await self._acquire(keys, me, times)
            if token:
                break
            await asyncio.sleep(random.uniform(*_WAIT))
        held = Lease(conversation, name, token)
        renewing = asyncio.create_task(self._renew(held, keys, me, times, asked))
        try:
            yield held
        finally:
            renewing.cancel()
            held.lost.set()
            await self._release(keys, me)

    @asynccontextmanager
    async def changes(self, conversation: str) -> AsyncIterator[Changes]:
        """See `State.changes`."""
        checked(conversation)
        async with self._wakeups.listen(self._channel(conversation)) as changed:
            yield Changes(changed)

    async def ping(self) -> None:
        """See `State.ping`."""
        # Of one slot: where others are not served, most of the work can still be done.
        key = self._key("ping", "value:ping")
        await self._client.ask(key, lambda commands: commands.hmget(key, ["v"]))

    async def close(self) -> None:
        """See `State.close`."""
        await self._wakeups.close()
        await self._client.close()

    async def _acquire(self, keys: list[str], me: str, times: tuple[int, int]) -> int:
        """Ask for the lock once; return its token, or 0. Whoever is cancelled meanwhile hands it back."""
        asking = asyncio.create_task(self._client.run(_ACQUIRE, keys, me, *times))
        try:
            return int(await asyncio.shield(asking) or 0)
        except asyncio.CancelledError:
            # Not before the answer: the release could overtake what it takes back.
            await asyncio.wait({asking}, timeout=_RELEASE_SECONDS)
            asking.cancel()
            await self._release(keys, me)
            raise

    async def _release(self, keys: list[str], me: str) -> None:
        """Hand the lock back, even if cancelled meanwhile. Where that is not possible, the lease ends by itself."""
        releasing = asyncio.create_task(self._client.run(_RELEASE, keys[:1], me))
        try:
            with suppress(Unavailable):
                await asyncio.shield(releasing)
        except asyncio.CancelledError:
            await asyncio.wait({releasing}, timeout=_RELEASE_SECONDS)
            releasing.cancel()
            raise

    async def _renew(self, held: Lease, keys: list[str], me: str, times: tuple[int, int], since: float) -> None:
        """Renew until the lock is known to be lost, or nothing was heard for as long as the lease."""
        seconds = times[0] / 1000
        try:
            while (left := since + seconds - time.monotonic()) > 0:
                await asyncio.sleep(min(seconds / 3, left))
                asked = time.monotonic()
                with suppress(Unavailable, TimeoutError):
                    async with asyncio.timeout(max(0.0, since + seconds - asked)):
                        if not await self._client.run(_RENEW, keys, me, *times):
                            return
                        since = asked
        finally:
            # However the renewals end, nobody keeps the lock from here on.
            held.lost.set()

    async def _read(self, key: str) -> Versioned | None:
        version, data = await self._client.ask(key, lambda commands: commands.hmget(key, ["v", "d"]))
        return None if version is None or data is None else Versioned(json.loads(data), int(version))

    async def _write(
        self, key: str, value: JSON, ttl: int, expected: int | None, fence: Lease | None, channel: str
    ) -> int:
        keys = [key] if fence is None else [key, self._key(fence.conversation, f"fence:{fence.name}")]
        text, token = encoded(value, self._value_bytes), "" if fence is None else str(fence.token)
        wanted = "" if expected is None else expected
        outcome, version = await self._client.run(_WRITE, keys, wanted, text, ttl, token, channel, self._fence_ttl)
        if outcome < 0:
            raise Fenced("the lock has a newer holder")
        if not outcome:
            raise Conflict(f"version {version}, not {expected}")
        return int(version)

    def _key(self, conversation: str, rest: str) -> str:
        return f"{self._prefix}:{{{conversation}}}:{rest}"

    def _channel(self, conversation: str) -> str:
        return self._key(conversation, "changes")


def _checkpoint(conversation: str) -> str:
    return f"checkpoint:{{{conversation}}}"


def _milliseconds(time_: timedelta) -> int:
    return int(time_.total_seconds() * 1000)
