"""State in the process: for tests, and for running an agent without a stack."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

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


@dataclass
class _Messages:
    texts: list[str] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    until: float = 0.0


@dataclass
class _Value:
    text: str
    version: int
    fence: int
    until: float


@dataclass
class _Held:
    token: int
    until: float


class MemoryState:
    """Behaves as Redis' does, its times to live included, for all who share the object."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        conversation_ttl: timedelta = timedelta(hours=24),
        checkpoint_ttl: timedelta = timedelta(hours=72),
        value_bytes: int = VALUE_BYTES,
    ) -> None:
        self._clock, self._value_bytes = clock, value_bytes
        self._conversation_ttl = conversation_ttl.total_seconds()
        self._checkpoint_ttl = checkpoint_ttl.total_seconds()
        self._messages: dict[str, _Messages] = {}
        self._values: dict[tuple[str, str], _Value] = {}
        self._locks: dict[tuple[str, str], _Held] = {}
        self._tokens: dict[tuple[str, str], int] = defaultdict(int)
        self._listeners: dict[str, set[asyncio.Event]] = defaultdict(set)

    async def append(self, conversation: str, message_id: str, message: JSON, *, expected: int | None = None) -> int:
        """See `State.append`."""
        checked(conversation)
        checked_id(message_id)
        text, now = encoded(message, self._value_bytes), self._clock()
        kept = self._messages.get(conversation)
        if kept is None or kept.until <= now:
            kept = self._messages[conversation] = _Messages()
        known = kept.positions.get(message_id)
        if known is not None:
            return known
        if expected is not None and expected != len(kept.texts):
            raise Conflict(f"{len(kept.texts)} messages, not {expected}")
        kept.texts.append(text)
        kept.positions[message_id] = len(kept.texts)
        kept.until = now + self._conversation_ttl
        return len(kept.texts)

    async def messages(self, conversation: str, *, after: int = 0, limit: int | None = None) -> list[JSON]:
        """See `State.messages`."""
        checked(conversation)
        checked_range(after, limit)
        kept = self._messages.get(conversation)
        if kept is None or kept.until <= self._clock():
            return []
        return [json.loads(text) for text in kept.texts[after : None if limit is None else after + limit]]

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
        version = self._write((conversation, f"value {name}"), value, expected, fence, self._conversation_ttl)
        if notify:
            for listener in self._listeners.get(conversation, ()):
                listener.set()
        return version

    async def get(self, conversation: str, name: str) -> Versioned | None:
        """See `State.get`."""
        checked(conversation, name)
        return self._read((conversation, f"value {name}"))

    async def save(self, conversation: str, checkpoint: JSON, *, expected: int, fence: Lease | None = None) -> int:
        """See `State.save`."""
        checked(conversation)
        checked_fence(conversation, fence)
        return self._write((conversation, "checkpoint"), checkpoint, expected, fence, self._checkpoint_ttl)

    async def load(self, conversation: str) -> Versioned | None:
        """See `State.load`."""
        checked(conversation)
        return self._read((conversation, "checkpoint"))

    @asynccontextmanager
    async def lock(self, conversation: str, name: str, *, lease: timedelta) -> AsyncIterator[Lease]:
        """See `State.lock`."""
        checked(conversation, name)
        checked_lease(lease)
        key = (conversation, name)
        while (held := self._locks.get(key)) is not None and held.until > self._clock():
            await asyncio.sleep(0.001)
        self._tokens[key] += 1
        got = Lease(conversation, name, self._tokens[key])
        self._locks[key] = _Held(got.token, self._clock() + lease.total_seconds())
        renewing = asyncio.create_task(self._renew(got, lease.total_seconds()))
        try:
            yield got
        finally:
            renewing.cancel()
            got.lost.set()
            held = self._locks.get(key)
            if held is not None and held.token == got.token:
                del self._locks[key]

    @asynccontextmanager
    async def changes(self, conversation: str) -> AsyncIterator[Changes]:
        """See `State.changes`."""
        checked(conversation)
        changed = asyncio.Event()
        self._listeners[conversation].add(changed)
        try:
            yield Changes(changed)
        finally:
            self._listeners[conversation].discard(changed)
            if not self._listeners[conversation]:
                del self._listeners[conversation]

    async def ping(self) -> None:
        """See `State.ping`."""

    async def close(self) -> None:
        """See `State.close`."""

    async def _renew(self, got: Lease, seconds: float) -> None:
        key = (got.conversation, got.name)
        try:
            while True:
                await asyncio.sleep(seconds / 3)
                held = self._locks.get(key)
                if held is None or held.token != got.token or held.until <= self._clock():
                    return
                held.until = self._clock() + seconds
        finally:
            got.lost.set()

    def _read(self, key: tuple[str, str]) -> Versioned | None:
        kept = self._values.get(key)
        if kept is None or kept.until <= self._clock():
            return None
        return Versioned(json.loads(kept.text), kept.version)

    def _write(self, key: tuple[str, str], value: JSON, expected: int | None, fence: Lease | None, ttl: float) -> int:
        text, now = encoded(value, self._value_bytes), self._clock()
        kept = self._values.get(key)
        if kept is None or kept.until <= now:
            kept = _Value("", 0, 0, 0.0)
        token = fence.token if fence is not None else kept.fence
        newest = self._tokens[fence.conversation, fence.name] if fence is not None else 0
        if token < max(kept.fence, newest):
            raise Fenced("the lock has a newer holder")
        if expected is not None and expected != kept.version:
            raise Conflict(f"version {kept.version}, not {expected}")
        self._values[key] = _Value(text, kept.version + 1, token, now + ttl)
        return kept.version + 1
