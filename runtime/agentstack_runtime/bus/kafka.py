"""The bus over Kafka, with librdkafka.

The client's own `aio` is not used. Its producer takes no headers, which is where a CloudEvent's attributes are; its
consumer hops threads twice for what a rebalance needs. Here each consumer has one thread that makes all its calls, and
rebalances happen within them; deliveries are reported from one more.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import Message as KafkaRecord

from agentstack_runtime.errors import Unavailable

from .messages import Message, Partition, Record, Reject, decode, encode
from .protocol import Revoked

if TYPE_CHECKING:
    from agentstack_runtime.contract import Kafka

T = TypeVar("T")
Settings = dict[str, Any]

DELIVERY_SECONDS: Final = 10
"""How long a publish may take before it is `Unavailable`."""
READ_SECONDS: Final = 10
"""How long `read` waits for the next records."""
ANSWER_SECONDS: Final = 5
"""How long a question to the broker may take."""
HANGING_SECONDS: Final = 10
"""How long a connection may owe an answer before it is given up. A commit waits for one, and no polls meanwhile."""
PROBE_SECONDS: Final = 1
"""How long a consumer that lost all brokers waits for a sign of life, in each poll."""
FINISH_SECONDS: Final = 15
"""How long a rebalance waits for what is in flight, which the consumer bounds itself."""
SESSION_SECONDS: Final = 10
"""How long a member may be silent before others take its partitions; librdkafka sends its heartbeats, not Python."""
FETCHED_KIB: Final = 4096
"""What a consumer holds of records fetched ahead, and the most that a broker sends at once: a pod has 256 MiB."""
TOPICS_SECONDS: Final = 10
"""After how long a consumer looks whether a topic that it missed is there, or may be read, by now. The five minutes of
librdkafka are too long for a stack whose pods start before its topics and their users' rights are made."""
UNSENT_KIB: Final = 8192
"""What the producer holds of records that are not delivered yet; a publish beyond it is `Unavailable`."""

_TOO_LARGE: Final = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.INVALID_RECORD}
_NO_BROKER: Final = {KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION, KafkaError._SSL}
_REBALANCING: Final = {
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError._ASSIGNMENT_LOST,
}

QUIET_SECONDS: Final = 30
"""How long a kind of complaint of the client is not logged again: without a broker it has 20 a second."""


class _Seldom(logging.Filter):
    """Lets one line of a kind through, which is its first word, in `QUIET_SECONDS`."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.getMessage().partition(" ")[0]
        if record.created - self._last.get(kind, 0.0) < QUIET_SECONDS:
            return False
        self._last[kind] = record.created
        return True


_log = logging.getLogger(__name__)
_CLIENT_LOG: Final = logging.getLogger(f"{__name__}.client")
_CLIENT_LOG.addFilter(_Seldom())


class KafkaBus:
    """Kafka as the contract describes it. Connections are made when first needed.

    Args:
        config: where, and as whom.
        client_id: the agent's name: names the client to the brokers, and is the source of messages that name none.
    """

    def __init__(self, config: Kafka, *, client_id: str) -> None:
        self._client_id = client_id
        self._settings = _settings(config, client_id)
        # Assigning partitions by hand asks for a group too, and an agent has rights on its own alone.
        self._consuming = _consuming(self._settings, config.consumer_group or client_id, config.client_rack)
        self._deliveries: _Deliveries | None = None

    async def publish(self, topic: str, *messages: Message) -> None:
        """See `Bus.publish`; it takes `DELIVERY_SECONDS` at most."""
        encoded = [encode(message, source=self._client_id) for message in messages]
        await self._producing().send(topic, encoded)

    def subscribe(self, topics: Sequence[str], group: str) -> KafkaSubscription:
        """See `Bus.subscribe`."""
        return KafkaSubscription({**self._consuming, "group.id": group}, topics)

    async def read(self, topic: str) -> AsyncIterator[Message]:
        """See `Bus.read`. It asks for no rights but those to read the topic and the agent's own group."""
        thread = _Thread()
        settings = {**self._consuming, "enable.partition.eof": True, "logger": _CLIENT_LOG}
        consumer = await thread.call(lambda: _made(Consumer, settings))
        try:
            ends = await thread.call(lambda: _ends(consumer, topic))
            await thread.call(lambda: consumer.assign([TopicPartition(topic, n, OFFSET_BEGINNING) for n in ends]))
            while ends:
                for found in await thread.call(lambda: _batch(consumer, topic)):
                    number, offset = found.partition() or 0, found.offset() or 0
                    # At the end there is a sign instead of a record: the last ones before it may have been compacted.
                    if found.error() is None and offset < ends.get(number, 0):
                        try:
                            yield decode(_record(found))
                        except Reject as error:
                            _log.warning("%s/%d/%d: passed over: %s", topic, number, offset, error)
                    if number in ends and offset + 1 >= ends[number]:
                        del ends[number]
        finally:
            thread.end(consumer.close)

    async def ping(self) -> None:
        """See `Bus.ping`; it takes `ANSWER_SECONDS` at most."""
        await self._producing().ping()

    async def close(self) -> None:
        """See `Bus.close`. What is not delivered by now is given up: `publish` waits for its own."""
        if self._deliveries is not None:
            self._deliveries.end()
            self._deliveries = None

    def _producing(self) -> _Deliveries:
        if self._deliveries is None or self._deliveries.broken:
            if self._deliveries is not None:
                self._deliveries.end()
            self._deliveries = _Deliveries(self._settings)
        return self._deliveries


class KafkaSubscription:
    """A member of a Kafka group. One thread makes all calls of its client, and rebalances happen within them."""

    def __init__(self, settings: Settings, topics: Sequence[str]) -> None:
        self.assigned: frozenset[Partition] = frozenset()
        self._settings, self._topics = settings, list(topics)
        self._thread: _Thread | None = None
        self._paused: frozenset[Partition] = frozenset()
        self._batch: list[Record] = []
        self._no_broker: str | None = None
        self._problem: str | None = f"kafka: not in the group {settings['group.id']} yet"
        self._closed = False

    async def start(self, revoked: Revoked) -> None:
        """See `Subscription.start`."""
        self._revoked, self._loop, self._thread = revoked, asyncio.get_running_loop(), _Thread()
        self._consumer = await self._thread.call(self._join)

    def _join(self) -> Consumer:
        consumer = _made(Consumer, {**self._settings, "error_cb": self._failed, "logger": _CLIENT_LOG})
        consumer.subscribe(
            self._topics,
            on_assign=self._gained,
            on_revoke=lambda _, partitions: self._losing(partitions, lost=False),
            on_lost=lambda _, partitions: self._losing(partitions, lost=True),
        )
        return consumer

    async def poll(self, seconds: float, limit: int) -> Sequence[Record]:
        """See `Subscription.poll`."""
        return await self._call(lambda: self._poll(seconds, limit))

    def _poll(self, seconds: float, limit: int) -> list[Record]:
        if self._no_broker is not None:
            self._look_for_brokers()
        self._batch = []
        while len(self._batch) < limit:
            found = self._consumer.poll(0 if self._batch else seconds)
            if found is None:
                break
            error = found.error()
            if error is None:
                self._problem = None
                self._batch.append(_record(found))
            elif not error.retriable():
                self._problem = f"kafka: {error.str()}"
                break
        return self._batch

    def _look_for_brokers(self) -> None:
        try:
            self._consumer.list_topics(self._topics[0], timeout=PROBE_SECONDS)
            self._no_broker = None
        except KafkaException:
            pass  # the reason is known already

    async def pause(self, partitions: Collection[Partition]) -> None:
        """See `Subscription.pause`."""
        wanted = self.assigned.intersection(partitions)
        if wanted != self._paused:
            await self._call(lambda: self._pause(wanted))

    def _pause(self, wanted: frozenset[Partition]) -> None:
        if stop := wanted - self._paused:
            self._consumer.pause(_places(stop))
        if go := self._paused - wanted:
            self._consumer.resume(_places(go))
        self._paused = wanted

    async def commit(self, offsets: Mapping[Partition, int]) -> bool:
        """See `Subscription.commit`."""
        return await self._call(lambda: self._commit(offsets))

    def _commit(self, offsets: Mapping[Partition, int]) -> bool:
        places = [TopicPartition(p.topic, p.number, offset) for p, offset in offsets.items()]
        try:
            noted = self._consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as failed:
            error = failed.args[0]
        else:
            error = next((place.error for place in noted if place.error is not None), None)
        if error is None or error.code() in _REBALANCING:
            return error is None
        raise Unavailable(f"kafka: offsets are not committed: {error.str()}")

    async def close(self) -> None:
        """See `Subscription.close`."""
        if not self._closed and self._thread is not None and hasattr(self, "_consumer"):
            self._closed = True
            try:
                await self._thread.call(self._consumer.close)
            finally:
                self._thread.end()

    async def _call(self, task: Callable[[], T]) -> T:
        if self._thread is None:
            raise RuntimeError("a subscription is started before it is used")
        return await self._thread.call(task)

    def ready(self) -> str | None:
        """See `Subscription.ready`."""
        return self._no_broker or self._problem

    def _failed(self, error: KafkaError) -> None:
        if error.code() in _NO_BROKER:
            self._no_broker = f"kafka: {error.str()}"
        _CLIENT_LOG.warning("%s %s", error.name(), error.str())

    def _gained(self, _: Consumer, places: list[TopicPartition]) -> None:
        self.assigned |= _partitions(places)
        self._no_broker = self._problem = None

    def _losing(self, places: list[TopicPartition], *, lost: bool) -> None:
        leaving = _partitions(places)
        self._batch[:] = [record for record in self._batch if record.partition not in leaving]
        asked = asyncio.run_coroutine_threadsafe(self._finish(leaving, lost), self._loop)
        try:
            offsets = asked.result(FINISH_SECONDS)
        except (concurrent.futures.CancelledError, TimeoutError):
            offsets = {}  # the process ends: what is not committed comes again
        if offsets and not lost:
            try:
                self._commit(offsets)
            except Unavailable as error:
                _log.warning("%s: those who take over repeat what was done last", error)
        if stopped := self._paused & leaving:
            # Else it comes back paused, and stays so (https://github.com/confluentinc/confluent-kafka-go/issues/193).
            self._consumer.resume(_places(stopped))
        self.assigned -= leaving
        self._paused -= leaving

    async def _finish(self, partitions: frozenset[Partition], lost: bool) -> Mapping[Partition, int]:
        return await self._revoked(partitions, lost)


class _Deliveries:
    """A producer, and the thread that its reports come from."""

    def __init__(self, settings: Settings) -> None:
        self.broken = False
        """After an error that an idempotent producer does not survive."""
        producing = {
            "enable.idempotence": True,
            "acks": "all",
            "delivery.timeout.ms": DELIVERY_SECONDS * 1000,
            "queue.buffering.max.kbytes": UNSENT_KIB,
            # As Java's clients do, so that a key is in one partition whoever writes.
            "partitioner": "murmur2_random",
            "logger": _CLIENT_LOG,
        }
        self._producer = _made(Producer, {**settings, **producing})
        self._ended = threading.Event()
        threading.Thread(target=self._report, name="kafka-deliveries", daemon=True).start()

    async def send(self, topic: str, encoded: Sequence[tuple[bytes, bytes, dict[str, bytes]]]) -> None:
        loop = asyncio.get_running_loop()
        errors: list[asyncio.Future[KafkaError | None]] = []
        failed: KafkaError | None = None
        for key, value, headers in encoded:
            done: asyncio.Future[KafkaError | None] = loop.create_future()

            def report(
                error: KafkaError | None, _: KafkaRecord, done: asyncio.Future[KafkaError | None] = done
            ) -> None:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(_settle, done, error)

            try:
                self._producer.produce(topic, value, key, headers=list(headers.items()), on_delivery=report)
            except BufferError:
                failed = KafkaError(KafkaError._QUEUE_FULL)
                break
            except KafkaException as refused:
                failed = refused.args[0]
                break
            errors.append(done)
        found = [failed, *await asyncio.gather(*errors)]
        for error in filter(None, found):
            # Of `_FATAL`, which every call raises from then on, the client does not say that it is fatal.
            self.broken = self.broken or error.fatal() or error.code() == KafkaError._FATAL
            if error.code() in _TOO_LARGE:
                raise Reject(f"kafka: {topic}: {error.str()}")
            raise Unavailable(f"kafka: {topic}: not delivered: {error.str()}")

    async def ping(self) -> None:
        try:
            await asyncio.to_thread(self._producer.list_topics, timeout=ANSWER_SECONDS)
        except KafkaException as failed:
            raise Unavailable(f"kafka: {failed.args[0].str()}") from None

    def end(self) -> None:
        self._ended.set()

    def _report(self) -> None:
        try:
            while not self._ended.is_set():
                self._producer.poll(0.1)
        except KafkaException as failed:
            _log.error("kafka: the next message needs a new producer: %s", failed.args[0].str())
            self.broken = True
        # Whoever waits for a report gets one.
        self._producer.purge()
        self._producer.flush(1)


class _Thread:
    """The one thread that may call a client. The process does not wait for it: calls hang while a broker does."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="kafka-consumer", daemon=True).start()

    async def call(self, task: Callable[[], T]) -> T:
        answer: concurrent.futures.Future[T] = concurrent.futures.Future()

        def run() -> None:
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(task())
                except BaseException as error:
                    answer.set_exception(error)

        self._calls.put(run)
        return await asyncio.wrap_future(answer)

    def end(self, last: Callable[[], None] | None = None) -> None:
        """Let the thread end, after `last`."""
        if last is not None:
            self._calls.put(last)
        self._calls.put(None)

    def _work(self) -> None:
        while (task := self._calls.get()) is not None:
            task()


def _made(client: Callable[[Settings], T], settings: Settings) -> T:
    try:
        return client(settings)
    except KafkaException as failed:
        raise Unavailable(f"kafka: {failed.args[0].str()}") from None


def _settle(done: asyncio.Future[T], result: T) -> None:
    if not done.done():  # its publish may have been cancelled
        done.set_result(result)


def _settings(config: Kafka, client_id: str) -> Settings:
    """What every client of the agent has, in librdkafka's names."""
    given = {
        "bootstrap.servers": config.bootstrap_servers,
        "security.protocol": config.security_protocol,
        "sasl.mechanism": config.sasl_mechanism,
        "sasl.username": config.username,
        "sasl.password": config.password.get_secret_value() if config.password is not None else None,
        "ssl.ca.location": str(config.ca_file) if config.ca_file is not None else None,
        "client.id": client_id,
        "reconnect.backoff.max.ms": 2000,
        "socket.timeout.ms": HANGING_SECONDS * 1000,
    }
    return {name: value for name, value in given.items() if value is not None}


def _consuming(settings: Settings, group: str, rack: str | None) -> Settings:
    consuming = {
        "group.id": group,
        # What stays with a member is not interrupted while the group changes.
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": SESSION_SECONDS * 1000,
        "auto.offset.reset": "earliest",
        "topic.metadata.refresh.interval.ms": TOPICS_SECONDS * 1000,
        "enable.auto.commit": False,
        "queued.max.messages.kbytes": FETCHED_KIB,
        "fetch.max.bytes": FETCHED_KIB * 1024,
    }
    return {**settings, **consuming, **({"client.rack": rack} if rack else {})}


def _ends(consumer: Consumer, topic: str) -> dict[int, int]:
    """The offset after the last record, of each partition that has any."""
    try:
        found = consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic]
        if found.error is not None:
            raise Unavailable(f"kafka: {topic}: {found.error.str()}")
        ends = {}
        for number in found.partitions:
            marks = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=ANSWER_SECONDS)
            if marks is None:
                raise Unavailable(f"kafka: {topic}: no answer within {ANSWER_SECONDS} s")
            if marks[0] < marks[1]:
                ends[number] = marks[1]
    except KafkaException as failed:
        raise Unavailable(f"kafka: {topic}: {failed.args[0].str()}") from None
    return ends


def _batch(consumer: Consumer, topic: str) -> list[KafkaRecord]:
    """The next records, and signs of a partition's end."""
    batch = consumer.consume(100, 0.1) or consumer.consume(1, READ_SECONDS)
    if not batch:
        raise Unavailable(f"kafka: {topic}: nothing came within {READ_SECONDS} s")
    for found in batch:
        error = found.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise Unavailable(f"kafka: {topic}: {error.str()}")
    return batch


def _record(found: KafkaRecord) -> Record:
    headers = tuple(cast("list[tuple[str, bytes | None]]", found.headers() or ()))
    place = Partition(found.topic() or "", found.partition() or 0)
    return Record(place, found.offset() or 0, found.key(), found.value(), headers)


def _partitions(places: Collection[TopicPartition]) -> frozenset[Partition]:
    return frozenset(Partition(place.topic, place.partition) for place in places)


def _places(partitions: Collection[Partition]) -> list[TopicPartition]:
    return [TopicPartition(partition.topic, partition.number) for partition in partitions]
