"""What the rooms know of a bus: the same over memory and over Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol

from .messages import Message, Partition, Record

Revoked = Callable[[Collection[Partition], bool], Awaitable[Mapping[Partition, int]]]
"""Called with the partitions that a member loses, and whether it lost them already, so that committing is too late.
Returns the offsets to commit before they go."""


class Subscription(Protocol):
    """One member of a group. One task at a time may call it, `ready` excepted."""

    async def start(self, revoked: Revoked) -> None:
        """Join the group, with the first `poll` at the latest. `revoked` may run within `poll` and `close` alone."""
        ...

    async def poll(self, seconds: float, limit: int) -> Sequence[Record]:
        """Return up to `limit` records as soon as there are any, or none after `seconds`.

        Raises:
            Unavailable: the broker says that it cannot serve this; the next call tries again.
        """
        ...

    @property
    def assigned(self) -> frozenset[Partition]:
        """The partitions that this member has now."""
        ...

    async def pause(self, partitions: Collection[Partition]) -> None:
        """Return no records of exactly these, of those it has, until the next call."""
        ...

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Note for each partition the offset of the first record that is not done.

        Raises:
            Unavailable: it is not noted.
        """
        ...

    async def close(self) -> None:
        """Leave the group at once, so that others take over. Never raises; a second call does nothing."""
        ...

    def ready(self) -> str | None:
        """Return None, or why no records can come."""
        ...


class Bus(Protocol):
    """Topics to publish to and to consume from."""

    async def publish(self, topic: str, *messages: Message) -> None:
        """Return when all in-sync replicas have the messages; those of one key in the order given.

        Raises:
            Unavailable: that is not known of all of them. Publish them again, with the same ids.
            Reject: the bus will never take one of them, e.g. for its size.
        """
        ...

    def subscribe(self, topics: Sequence[str], group: str) -> Subscription:
        """Return a new member of `group`, which has not joined yet."""
        ...

    def read(self, topic: str) -> AsyncIterator[Message]:
        """Yield what is in `topic` from the beginning to what is the end at the call, in order within each key.

        It belongs to no group and commits nothing. What is no CloudEvent is passed over.

        Raises:
            Unavailable: the broker does not answer.
        """
        ...

    async def ping(self) -> None:
        """Ask the broker for a sign of life.

        Raises:
            Unavailable: there is none.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
