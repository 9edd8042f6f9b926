"""Wake-ups by Redis' channels, for thousands of listeners over one connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

_AGAIN: Final = 0.5
"""Seconds before another attempt to connect."""
_QUIET: Final = 5.0
"""Seconds without a word until the node is asked whether it is there, and then until it counts as gone."""
_FAILED: Final = (RedisError, OSError, IndexError, AttributeError)
"""The last two come from redis-py: no node of the cluster has slots yet; the connection was closed meanwhile."""


class Wakeups:
    """Subscribes to exactly the channels that somebody listens to: an agent may see no others.

    A message to a channel of a Redis Cluster reaches every node, so any of them will do: `connect` returns one.
    """

    def __init__(self, connect: Callable[[], Awaitable[Redis]]) -> None:
        self._connect = connect
        self._listeners: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._pubsub: PubSub | None = None
        self._reading: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()

    @contextlib.asynccontextmanager
    async def listen(self, channel: str) -> AsyncIterator[asyncio.Event]:
        """Give what is set whenever something is published in `channel`, and as soon as it is listened to."""
        changed, new = asyncio.Event(), channel not in self._listeners
        self._listeners[channel].add(changed)
        self._wanted.set()
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        try:
            if new and self._pubsub is not None:
                # If it fails, reading fails too, and subscribes to everything again.
                with contextlib.suppress(*_FAILED):
                    await self._pubsub.subscribe(channel)
            yield changed
        finally:
            self._listeners[channel].discard(changed)
            if not self._listeners[channel]:
                del self._listeners[channel]
                if self._pubsub is not None:
                    with contextlib.suppress(*_FAILED):
                        await self._pubsub.unsubscribe(channel)

    async def close(self) -> None:
        """Close the connection."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        while True:
            self._wanted.clear()
            if not self._listeners:
                await self._wanted.wait()
            try:
                await self._follow()
            except _FAILED:
                await asyncio.sleep(_AGAIN)

    async def _follow(self) -> None:
        async with await self._connect() as client, client.pubsub() as pubsub:
            try:
                self._pubsub = pubsub
                await pubsub.subscribe(*self._listeners)
                asked = False
                while self._listeners:
                    message = await pubsub.get_message(timeout=_QUIET)
                    if message is None:
                        # A node that hangs, or is cut off, closes no connection.
                        if asked:
                            return
                        await pubsub.ping()
                    # What happened before a subscription began is unknown: as it does, everybody looks.
                    elif message["type"] in ("message", "subscribe"):
                        for changed in self._listeners.get(message["channel"].decode(), ()):
                            changed.set()
                    asked = message is None
            finally:
                self._pubsub = None
