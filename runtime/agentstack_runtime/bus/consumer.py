"""The loop that every consuming agent runs: each message handled at least once, those of one key in their order."""

from __future__ import annotations

import asyncio
import logging
import random
import traceback
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, cast

from agentstack_runtime.errors import Unavailable

from .messages import Message, Partition, Record, Reject, dead_letter, decode
from .protocol import Bus, Subscription

if TYPE_CHECKING:
    from agentstack_runtime.contract import Retries

Outcome = Literal["done", "retried", "dead", "dropped"]
"""What became of one attempt: `retried` comes again, `dropped` was given up where there is no topic for dead letters.
What another member takes over is none of them."""

POLL_SECONDS: Final = 0.1
"""How late, at most, a commit, a pause or the begin of a drain comes."""
REVOKE_GRACE_SECONDS: Final = 5.0
"""How long running handlers may go on in a partition that moves: the whole group waits for it, so not long."""
CANCEL_GRACE_SECONDS: Final = 1.0
"""How long a cancelled handler may clean up. One that takes longer is not waited for."""
LEAVE_SECONDS: Final = 2.0
"""Kept back of the time to drain, for the last commit and for leaving the group."""

_log = logging.getLogger(__name__)


class ConsumerMetrics(Protocol):
    """What the loop counts."""

    def outcome(self, topic: str, outcome: Outcome) -> None:
        """Count what became of a message of `topic`."""
        ...

    def queue_wait(self, topic: str, seconds: float) -> None:
        """Note the age of a message of `topic`, by its own time, as the work on it starts."""
        ...


@dataclass(eq=False)
class _Work:
    """One record in this process."""

    record: Record
    before: asyncio.Event | None
    """Set when the record of the same key before it is done with."""
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    running: bool = False
    """The handler, or what follows from it, is at work now."""
    waiting: bool = False
    """A dependency did not answer the last time."""
    done: bool = False
    task: asyncio.Task[None] = field(init=False)


class _Progress:
    """How far one partition is."""

    def __init__(self) -> None:
        self.open: dict[int, _Work] = {}
        """In the order of their offsets, which have gaps where a topic is compacted."""
        self.committed: int | None = None
        self._next: int | None = None

    def low_watermark(self) -> int | None:
        """Return the offset up to which all is done; None where this member has done nothing yet."""
        for offset, work in list(self.open.items()):
            if not work.done:
                break
            del self.open[offset]
            self._next = offset + 1
        return self._next


class Consumer:
    """Consumes topics as a member of a group.

    Args:
        bus: where from, and where dead letters go.
        topics: what to consume.
        group: shares the work among its members.
        handler: does the work of one message; called again with the same message after a failure, a crash or a
            rebalance, so its effect must be the same twice. It may raise `Unavailable` (the message waits, its
            partition takes no more), `Reject` (dead letter at once), or anything else (bounded retries, then dead
            letter). It is cancelled where its partition moves or the time to drain is over.
        concurrency: how many handlers run at a time, 1 or more.
        queue_bound: how many messages this process holds, running ones included, before it takes no more; 1 or more.
        retries: `max` attempts after the first, with `backoff` doubling up to `max_backoff`.
        dead_letter_topic: None: what cannot be handled is logged, and passed over.
        on_dead_letter: awaited with the message and the reason before the message's offset is committed; waits for
            `Unavailable` as the handler does. What else it raises is logged. Not called for what is no CloudEvent.
        metrics: where to count.
    """

    def __init__(
        self,
        bus: Bus,
        topics: Sequence[str],
        group: str,
        handler: Callable[[Message], Awaitable[None]],
        *,
        concurrency: int,
        queue_bound: int,
        retries: Retries,
        dead_letter_topic: str | None,
        on_dead_letter: Callable[[Message, str], Awaitable[None]] | None = None,
        metrics: ConsumerMetrics | None = None,
    ) -> None:
        if concurrency < 1 or queue_bound < 1:
            raise ValueError("concurrency and queue_bound: give 1 or more")
        self._bus, self._group, self._handler = bus, group, handler
        self._queue_bound, self._retries = queue_bound, retries
        self._dead_letter_topic, self._on_dead_letter, self._metrics = dead_letter_topic, on_dead_letter, metrics
        self._subscription: Subscription = bus.subscribe(topics, group)
        self._slots = asyncio.Semaphore(concurrency)
        self._progress: dict[Partition, _Progress] = {}
        self._works: set[_Work] = set()
        self._last_of_key: dict[bytes, _Work] = {}
        self._full = False
        self._phase: Literal["not started", "running", "leaving", "ended"] = "not started"
        self._deadline = 0.0
        self._trouble: str | None = None
        self._leaves, self._left = asyncio.Event(), asyncio.Event()
        self._cancelled = 0
        """How often by `drain`, whose time was over."""
        self._runner: asyncio.Task[object] | None = None

    @property
    def in_flight(self) -> int:
        """How many messages this process holds: waiting, running or between attempts."""
        return len(self._works)

    def ready(self) -> str | None:
        """Return None, or why this member takes no messages. A handler that waits is not among the reasons."""
        if self._phase != "running":
            return f"the consumer is {self._phase}" if self._phase == "leaving" else f"the consumer has {self._phase}"
        return self._trouble or self._subscription.ready()

    async def run(self) -> None:
        """Consume until `drain`, or until cancelled. Can be called once.

        Raises:
            ExceptionGroup: the bus raised what no bus should. What handlers raise does not come out.
        """
        if self._phase != "not started":
            raise RuntimeError("a consumer runs once: make another")
        self._phase, self._runner = "running", cast("asyncio.Task[object]", asyncio.current_task())
        try:
            async with asyncio.TaskGroup() as tasks:
                try:
                    await self._subscription.start(self._revoked)
                    await self._consume(tasks)
                finally:
                    await self._leave()
        except asyncio.CancelledError:
            # To whoever awaits it, what `drain` cancels has ended as it should.
            for _ in range(self._cancelled):
                self._runner.uncancel()
            if not self._cancelled or self._runner.cancelling():
                raise
        finally:
            self._phase = "ended"
            self._leaves.set()
            self._left.set()

    async def drain(self, seconds: float) -> None:
        """Take no more, let what is in flight finish, commit, and leave the group, within `seconds`.

        What is not finished in time is cancelled and not committed: another member does it.
        """
        if self._phase == "not started":
            self._phase = "ended"
        if self._phase == "ended":
            return
        end = asyncio.get_running_loop().time() + seconds
        self._deadline = end - min(LEAVE_SECONDS, seconds / 2)
        self._phase = "leaving"
        # The loop sees the deadline by itself, unless a call of the bus hangs.
        for happens, until in ((self._leaves, self._deadline + 2 * POLL_SECONDS), (self._left, end)):
            try:
                async with asyncio.timeout_at(until):
                    await happens.wait()
            except TimeoutError:
                _log.warning("%s: the broker does not answer in time; leaving without", self._group)
                if self._runner is not None:
                    self._cancelled += 1
                    self._runner.cancel()

    async def _consume(self, tasks: asyncio.TaskGroup) -> None:
        failures = 0
        while self._goes_on():
            try:
                await self._subscription.pause(self._unwanted())
                # Even where there is no room: what is paused brings nothing.
                records = await self._subscription.poll(POLL_SECONDS, max(1, self._queue_bound - self.in_flight))
                if self._phase == "running":
                    for record in records:
                        self._begin(record, tasks)
                await self._commit()
                self._trouble, failures = None, 0
            except Unavailable as error:
                if not failures:
                    _log.warning("%s: %s; waiting for it", self._group, error)
                self._trouble, failures = str(error), failures + 1
                # Not for long: polling is what keeps a member in its group.
                await asyncio.sleep(min(self._delay(failures), 1.0))

    def _goes_on(self) -> bool:
        """Whether there is something to take, or to wait for."""
        if self._phase == "running":
            return True
        return bool(self._works) and asyncio.get_running_loop().time() < self._deadline

    def _unwanted(self) -> Collection[Partition]:
        """The partitions to take nothing from now."""
        # Up to half empty: a pause throws away what the client fetched ahead.
        self._full = self.in_flight > self._queue_bound // 2 if self._full else self.in_flight >= self._queue_bound
        if self._full or self._phase != "running":
            return self._subscription.assigned
        return {work.record.partition for work in self._works if work.waiting}

    def _begin(self, record: Record, tasks: asyncio.TaskGroup) -> None:
        before = self._last_of_key.get(record.key) if record.key is not None else None
        work = _Work(record, before.finished if before else None)
        if record.key is not None:
            self._last_of_key[record.key] = work
        self._works.add(work)
        self._progress.setdefault(record.partition, _Progress()).open[record.offset] = work
        work.task = tasks.create_task(self._do(work))
        # Not at the end of the task itself: one that is cancelled before its first step has no end.
        work.task.add_done_callback(lambda _: self._end(work))

    def _end(self, work: _Work) -> None:
        work.finished.set()
        self._works.discard(work)
        if work.record.key is not None and self._last_of_key.get(work.record.key) is work:
            del self._last_of_key[work.record.key]

    async def _do(self, work: _Work) -> None:
        if work.before is not None:
            await work.before.wait()
        try:
            message = decode(work.record)
        except Reject as error:
            await self._give_up(work, None, str(error))
        else:
            reason = await self._attempts(work, message)
            if reason is not None:
                await self._give_up(work, message, reason)
        work.done = True

    async def _attempts(self, work: _Work, message: Message) -> str | None:
        """Call the handler until it is done; None, or why it never will be."""
        failures = waits = 0
        while True:
            try:
                async with self._slots:
                    if self._metrics is not None and not failures and not waits:
                        age = datetime.now(UTC) - message.time
                        self._metrics.queue_wait(work.record.partition.topic, max(age.total_seconds(), 0.0))
                    work.running = True
                    try:
                        await self._handler(message)
                    finally:
                        work.running = False
                work.waiting = False
                self._count(work, "done")
                return None
            except Reject as error:
                work.waiting = False
                return str(error)
            except (Exception, asyncio.CancelledError) as error:
                if _asked_to_end(error):
                    raise
                if _is_unavailable(error):
                    waits += 1
                    self._wait_for_dependency(work, error)
                    delay = self._delay(waits)
                else:
                    work.waiting = False
                    failures += 1
                    if failures > self._retries.max:
                        return f"{_described(error)}, in each of {failures} attempts"
                    _log.warning("%s: %s; trying again", _place(work.record), _described(error))
                    self._count(work, "retried")
                    delay = self._delay(failures)
            await asyncio.sleep(delay)

    async def _give_up(self, work: _Work, message: Message | None, reason: str) -> None:
        """Write the dead letter, tell who wants to know, and be done with it."""
        _log.error("%s: given up: %s", _place(work.record), reason)
        topic = self._dead_letter_topic
        if topic is not None:
            try:
                letter = dead_letter(work.record, reason, group=self._group)
                await self._surely(work, lambda: self._bus.publish(topic, letter))
            except Reject:
                # In base64 it is a third larger than it was, so it may be too large now.
                bare = dead_letter(work.record, f"too large to carry: {reason}", group=self._group, whole=False)
                await self._surely(work, lambda: self._bus.publish(topic, bare))
        tell = self._on_dead_letter
        if tell is not None and message is not None:
            try:
                await self._surely(work, lambda: tell(message, reason))
            except (Exception, asyncio.CancelledError) as error:
                if _asked_to_end(error):
                    raise
                _log.error("%s: on_dead_letter failed: %s", _place(work.record), _described(error))
        self._count(work, "dead" if topic is not None else "dropped")

    async def _surely(self, work: _Work, call: Callable[[], Awaitable[None]]) -> None:
        """Call until a dependency answers."""
        for waits in count(1):
            try:
                work.running = True
                await call()
            except Exception as error:
                if not _is_unavailable(error):
                    raise
                self._wait_for_dependency(work, error)
            else:
                work.waiting = False
                return
            finally:
                work.running = False
            await asyncio.sleep(self._delay(waits))

    def _wait_for_dependency(self, work: _Work, error: BaseException) -> None:
        if not work.waiting:
            _log.warning("%s: waiting: %s", _place(work.record), error)
        work.waiting = True
        self._count(work, "retried")

    def _delay(self, failures: int) -> float:
        """Seconds before the next attempt: doubling, bounded, and half of it chance, so that replicas spread."""
        first, most = self._retries.backoff.total_seconds(), self._retries.max_backoff.total_seconds()
        return min(first * 2.0 ** min(failures - 1, 30), most) * random.uniform(0.5, 1)

    def _count(self, work: _Work, outcome: Outcome) -> None:
        if self._metrics is not None:
            self._metrics.outcome(work.record.partition.topic, outcome)

    async def _commit(self) -> None:
        marks = {partition: progress.low_watermark() for partition, progress in self._progress.items()}
        new = {p: mark for p, mark in marks.items() if mark is not None and mark != self._progress[p].committed}
        if new and await self._subscription.commit(new):
            for partition, mark in new.items():
                self._progress[partition].committed = mark

    async def _revoked(self, partitions: Collection[Partition], lost: bool) -> Mapping[Partition, int]:
        """Finish or drop what is in flight in `partitions`; the offsets to commit."""
        works = [work for work in self._works if work.record.partition in partitions]
        for work in works:
            if lost or not work.running:
                work.task.cancel()
        await self._stopped(works, 0 if lost else REVOKE_GRACE_SECONDS)
        marks: dict[Partition, int] = {}
        for partition in partitions:
            progress = self._progress.pop(partition, None)
            mark = progress.low_watermark() if progress is not None else None
            if progress is not None and mark is not None and mark != progress.committed and not lost:
                marks[partition] = mark
        return marks

    async def _stopped(self, works: Collection[_Work], grace: float) -> None:
        """Return when the tasks of `works` have ended, by cancelling them after `grace` seconds."""
        tasks = {work.task for work in works}
        if grace and tasks:
            await asyncio.wait(tasks, timeout=grace)
        running = {task for task in tasks if not task.done()}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=CANCEL_GRACE_SECONDS)

    async def _leave(self) -> None:
        self._leaves.set()
        await self._stopped(list(self._works), 0)
        end = asyncio.get_running_loop().time() + LEAVE_SECONDS
        try:
            async with asyncio.timeout_at(end - LEAVE_SECONDS / 2):
                await self._commit()
        except (Unavailable, TimeoutError) as error:
            # What is not committed is done twice, which handlers are made for.
            _log.warning("%s: left without the last commit: %s", self._group, error or "the broker does not answer")
        finally:
            await self._close(end)
        self._left.set()

    async def _close(self, end: float) -> None:
        try:
            async with asyncio.timeout_at(end):
                await self._subscription.close()
        except TimeoutError:
            _log.warning("%s: the broker does not let this member go; others take over later", self._group)


def _asked_to_end(error: BaseException) -> bool:
    """Whether this task is cancelled. A handler may also let out the cancellation of something else, which fails."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _is_unavailable(error: BaseException) -> bool:
    """Whether it says nothing but that dependencies do not answer; several do so in a group."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(Unavailable)[1] is None
    return isinstance(error, Unavailable)


def _described(error: BaseException) -> str:
    """Its type and where it came from. Its text may hold a secret, or what a user wrote."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "error"


def _place(record: Record) -> str:
    return f"{record.partition.topic}/{record.partition.number}/{record.offset}"
