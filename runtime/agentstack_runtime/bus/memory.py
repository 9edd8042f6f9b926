"""A bus within one process, for tests and for trying out: partitions, groups, redelivery, and faults on demand."""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Literal

from agentstack_runtime.errors import Unavailable

from .messages import Message, Partition, Record, Reject, decode, encode
from .protocol import Revoked

Fault = Literal["refused", "unacknowledged", "twice"]
"""What becomes of one `publish`: nothing is written; all is, yet `Unavailable` is raised; all is written twice."""


class MemoryBus:
    """All in one event loop. Topics come to be when first named.

    Args:
        partitions: of every topic.
    """

    def __init__(self, partitions: int = 3) -> None:
        self.faults: deque[Fault | None] = deque()
        """What becomes of the next calls of `publish`, one each; None: nothing unusual."""
        self.down = False
        """While set, every call raises `Unavailable`, and polling brings nothing."""
        self.committed: dict[tuple[str, Partition], int] = {}
        """By group and partition."""
        self._partitions = partitions
        self._logs: dict[Partition, list[Record]] = {}
        self._groups: dict[str, list[MemorySubscription]] = {}
        self._balancing = asyncio.Lock()
        self._news = asyncio.Condition()

    def partitions(self, topic: str) -> list[Partition]:
        """Return the partitions of `topic`."""
        return [Partition(topic, number) for number in range(self._partitions)]

    def records(self, partition: Partition) -> list[Record]:
        """Return what stands in `partition`."""
        return self._logs.setdefault(partition, [])

    def messages(self, topic: str) -> list[Message]:
        """Return the messages of `topic`, partition by partition; what is no CloudEvent is left out."""
        found = []
        for partition in self.partitions(topic):
            for record in self.records(partition):
                try:
                    found.append(decode(record))
                except Reject:
                    continue
        return found

    def members(self, group: str) -> list[MemorySubscription]:
        """Return the members of `group`, the oldest first."""
        return list(self._groups.get(group, ()))

    async def put(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> None:
        """Write bytes as they are: what a foreign producer may do."""
        partition = Partition(topic, zlib.crc32(key or b"") % self._partitions)
        log = self.records(partition)
        log.append(Record(partition, len(log), key, value, tuple((headers or {}).items())))
        async with self._news:
            self._news.notify_all()

    async def publish(self, topic: str, *messages: Message) -> None:
        """See `Bus.publish`."""
        self._answer()
        await asyncio.sleep(0)
        fault = self.faults.popleft() if self.faults else None
        if fault == "refused":
            raise Unavailable("bus: the message was not taken")
        encoded = [encode(message, source="memory") for message in messages]
        for _ in range(2 if fault == "twice" else 1):
            for each in encoded:
                await self.put(topic, *each)
        if fault == "unacknowledged":
            raise Unavailable("bus: the acknowledgement did not come")

    def subscribe(self, topics: Sequence[str], group: str) -> MemorySubscription:
        """See `Bus.subscribe`."""
        return MemorySubscription(self, topics, group)

    async def read(self, topic: str) -> AsyncIterator[Message]:
        """See `Bus.read`."""
        self._answer()
        for message in self.messages(topic):
            yield message

    async def ping(self) -> None:
        """See `Bus.ping`."""
        self._answer()

    async def close(self) -> None:
        """See `Bus.close`."""

    async def crash(self, member: MemorySubscription) -> None:
        """End `member` as a killed process ends: it commits nothing more, and others take its partitions."""
        member.gone = True
        await self._rebalance(member.group)

    async def rebalance(self, group: str) -> None:
        """Give every partition of `group` to another member where there is one."""
        members = self._groups.get(group, [])
        self._groups[group] = members[1:] + members[:1]
        await self._rebalance(group)

    def _answer(self) -> None:
        if self.down:
            raise Unavailable("bus: switched off")

    async def _join(self, member: MemorySubscription) -> None:
        self._groups.setdefault(member.group, []).append(member)
        await self._rebalance(member.group)

    async def _rebalance(self, group: str) -> None:
        async with self._balancing:
            members = [member for member in self._groups.get(group, ()) if not member.gone]
            before = list(self._groups.get(group, ()))
            self._groups[group] = list(members)  # who joins meanwhile adds itself there, and comes next
            target: dict[MemorySubscription, set[Partition]] = {member: set() for member in before}
            for topic in sorted({topic for member in members for topic in member.topics}):
                takers = [member for member in members if topic in member.topics]
                for partition in self.partitions(topic):
                    target[takers[partition.number % len(takers)]].add(partition)
            for member in before:
                await member.lose(member.assigned - target[member])
            for member in members:
                member.gain(frozenset(target[member]))
            async with self._news:
                self._news.notify_all()


class MemorySubscription:
    """A member of a group of `MemoryBus`."""

    def __init__(self, bus: MemoryBus, topics: Sequence[str], group: str) -> None:
        self.topics, self.group, self.gone = tuple(topics), group, False
        self.assigned: frozenset[Partition] = frozenset()
        self.paused: frozenset[Partition] = frozenset()
        self._bus = bus
        self._leaving: frozenset[Partition] = frozenset()
        self._positions: dict[Partition, int] = {}
        self._revoked: Revoked | None = None

    async def start(self, revoked: Revoked) -> None:
        """See `Subscription.start`."""
        self._revoked = revoked
        await self._bus._join(self)

    async def poll(self, seconds: float, limit: int) -> Sequence[Record]:
        """See `Subscription.poll`."""
        try:
            async with asyncio.timeout(seconds), self._bus._news:
                await self._bus._news.wait_for(self._any)
        except TimeoutError:
            pass
        if self.gone:
            await asyncio.Event().wait()  # A killed process does nothing more, until the test ends it.
        return self._take(limit)

    def _open(self) -> list[Partition]:
        return [] if self._bus.down else sorted(self.assigned - self.paused - self._leaving)

    def _any(self) -> bool:
        return any(self._positions[p] < len(self._bus.records(p)) for p in self._open())

    def _take(self, limit: int) -> list[Record]:
        taken: list[Record] = []
        for partition in self._open():
            start = self._positions[partition]
            more = self._bus.records(partition)[start : start + limit - len(taken)]
            self._positions[partition] = start + len(more)
            taken += more
        return taken

    async def pause(self, partitions: Collection[Partition]) -> None:
        """See `Subscription.pause`."""
        self.paused = frozenset(partitions)

    async def commit(self, offsets: Mapping[Partition, int]) -> bool:
        """See `Subscription.commit`."""
        self._bus._answer()
        self._commit(offsets)
        return True

    def _commit(self, offsets: Mapping[Partition, int]) -> None:
        for partition, offset in offsets.items():
            if partition in self.assigned and not self.gone:
                self._bus.committed[self.group, partition] = offset

    async def lose(self, partitions: frozenset[Partition]) -> None:
        """Take `partitions` from this member, which may commit what it did."""
        if partitions and self._revoked and not self.gone:
            # A member polls no more while it gives up partitions.
            self._leaving = partitions
            self._commit(await self._revoked(partitions, False))
            self._leaving = frozenset()
        self.assigned -= partitions

    def gain(self, partitions: frozenset[Partition]) -> None:
        """Give `partitions` to this member: it goes on from what is committed."""
        for partition in partitions - self.assigned:
            self._positions[partition] = self._bus.committed.get((self.group, partition), 0)
        self.assigned = partitions

    async def close(self) -> None:
        """See `Subscription.close`."""
        if not self.gone:
            await self.lose(self.assigned)
            self.gone = True
            await self._bus._rebalance(self.group)

    def ready(self) -> str | None:
        """See `Subscription.ready`."""
        return "bus: switched off" if self._bus.down else None
