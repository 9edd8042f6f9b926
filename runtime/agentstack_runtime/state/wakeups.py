"""Wake-ups by Redis' channels, for thousands of listeners over one connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

_AGAIN: Final = 0.5
"""Seconds before another attempt to connect."""


class Wakeups:
    """Subscribes to exactly the channels that somebody listens to: an agent may see no others.

    A message to a channel of a Redis Cluster reaches every node, so any of them will do.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._listeners: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._pubsub: PubSub | None = None
        self._reading: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()

    async def add(self, channel: str) -> asyncio.Event:
        """Return what is set whenever something is published in `channel`."""
        changed = asyncio.Event()
        self._listeners[channel].add(changed)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        if len(self._listeners[channel]) == 1 and self._pubsub is not None:
            # If it fails, reading fails too, and subscribes to everything again.
            with contextlib.suppress(RedisError, OSError):
                await self._pubsub.subscribe(channel)
        self._wanted.set()
        return changed

    async def remove(self, channel: str, changed: asyncio.Event) -> None:
        """Forget what `add` returned."""
        self._listeners[channel].discard(changed)
        if not self._listeners[channel]:
            del self._listeners[channel]
            if self._pubsub is not None:
                with contextlib.suppress(RedisError, OSError):
                    await self._pubsub.unsubscribe(channel)

    async def close(self) -> None:
        """Close the connection."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._client.aclose()

    async def _read(self) -> None:
        while True:
            self._wanted.clear()
            if not self._listeners:
                await self._wanted.wait()
            try:
                await self._follow()
            except (RedisError, OSError):
                await asyncio.sleep(_AGAIN)
            finally:
                self._pubsub = None

    async def _follow(self) -> None:
        pubsub = self._client.pubsub(ignore_subscribe_messages=True)
        try:
            await pubsub.subscribe(*self._listeners)
            self._pubsub = pubsub
            # What happened while nobody listened is unknown: everybody looks.
            for listeners in self._listeners.values():
                for changed in listeners:
                    changed.set()
            while self._listeners:
                message = await pubsub.get_message(timeout=5)
                if message is not None:
                    for changed in self._listeners.get(message["channel"].decode(), ()):
                        changed.set()
        finally:
            with contextlib.suppress(RedisError, OSError):
                await pubsub.aclose()  # type: ignore[no-untyped-call]
