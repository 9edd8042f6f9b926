"""The full stream of a task's events, for whoever asks what happened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from agentstack_runtime.bus import Bus, Message
from agentstack_services.domain.messages import EVENTS


class Archive(Protocol):
    """Where events are kept for good."""

    def events(self, task: str) -> AsyncIterator[Message]:
        """Yield the events of `task`, the oldest first; each once."""
        ...


class LogArchive:
    """The topic itself, read from its beginning: as long as its retention, and as slow as it is long."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def events(self, task: str) -> AsyncIterator[Message]:
        """Yield the events of `task`, the oldest first; each once.

        Raises:
            Unavailable: Kafka does not answer.
        """
        seen: set[str] = set()
        async for message in self._bus.read(EVENTS):
            if message.subject == task and message.id not in seen:
                seen.add(message.id)
                yield message
