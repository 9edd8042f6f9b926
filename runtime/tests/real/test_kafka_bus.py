"""The bus over a real Kafka: nothing is lost when a member or the broker dies, and leaving is at once."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)
from pydantic import SecretStr

from agentstack_runtime.bus import Consumer, Message, Partition, Record, Reject, Unavailable, kafka, original
from agentstack_runtime.bus.kafka import KafkaBus

from .kafka_server import PASSWORD, USER, Server, free_port
from .settings import Limits, settings

ROOT = Path(__file__).parents[2]
_names = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("kafka"))
    found.format()
    found.start()
    yield found
    found.stop()


@pytest.fixture
def topic(server: Server) -> str:
    return created(server)


def created(server: Server, partitions: int = 3, **config: str) -> str:
    name = f"topic-{next(_names)}"
    admin = AdminClient({"bootstrap.servers": server.address})
    for future in admin.create_topics([NewTopic(name, partitions, 1, config=config)]).values():
        future.result(30)
    return name


def bus_of(server: Server) -> KafkaBus:
    return KafkaBus(settings(server.address), client_id="tests")


def secured_bus(server: Server, user: str, **changed: Any) -> KafkaBus:
    """Over TLS, as the stack's own Kafka has it."""
    login = {"sasl_mechanism": "SCRAM-SHA-512", "username": user, "password": SecretStr(PASSWORD)}
    given = {"security_protocol": "SASL_SSL", "ca_file": server.authority, **login, **changed}
    return KafkaBus(settings(f"127.0.0.1:{server.secured}", **given), client_id=user)


def messages(count: int, keys: int = 7) -> list[Message]:
    return [Message(type="t", data={"n": n}, key=f"k{n % keys}", id=str(n)) for n in range(count)]


def consumer(bus: KafkaBus, topic: str, handler: Callable[[Message], Awaitable[None]], **changed: Any) -> Consumer:
    given: dict[str, Any] = {"concurrency": 4, "queue_bound": 16, "retries": Limits(), "dead_letter_topic": None}
    return Consumer(bus, [topic], f"group-of-{topic}", handler, **{**given, **changed})


async def until(condition: Callable[[], bool], seconds: float = 40) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


async def test_what_is_published_is_read_and_consumed_whole(server: Server, topic: str) -> None:
    bus, got = bus_of(server), []
    sent = [
        Message(
            type="t",
            data={"n": n, "text": "grüezi"},
            key=f"k{n % 3}",
            subject="s",
            source="me",
            correlation_id="c",
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        for n in range(250)
    ]

    async def handle(message: Message) -> None:
        got.append(message)

    await bus.ping()
    await bus.publish(topic, *sent)
    read = [message async for message in bus.read(topic)]
    tested = consumer(bus, topic, handle)
    task = asyncio.create_task(tested.run())
    await until(lambda: len(got) == 250)
    assert tested.ready() is None
    for found in (read, got):
        for key in ("k0", "k1", "k2"):
            assert [m for m in found if m.key == key] == [m for m in sent if m.key == key]
    await tested.drain(10)
    await task
    await bus.close()


async def test_reading_ends_at_what_was_the_end_even_where_it_was_compacted(server: Server) -> None:
    topic = created(server, 1, **{"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0"})
    bus = bus_of(server)
    assert [m async for m in bus.read(topic)] == []
    for n in range(20):
        await bus.publish(topic, Message(type="t", data={"n": n}, key="k"))
        await asyncio.sleep(0.05)
    found = []
    async for message in bus.read(topic):
        if not found:
            await bus.publish(topic, Message(type="t", data={"n": 20}, key="k"))
        found.append(message.data["n"])
    assert found[-1] == 19
    await bus.close()


async def test_a_killed_member_loses_nothing_and_keeps_the_order(server: Server, topic: str, tmp_path: Path) -> None:
    bus, path, count = bus_of(server), tmp_path / "handled", 900
    command = [sys.executable, "-m", "tests.real.member", server.address, topic, f"group-of-{topic}", str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    members = [subprocess.Popen(command, cwd=ROOT, env=environment) for _ in range(2)]

    def lines() -> list[list[str]]:
        whole = path.read_text().splitlines() if path.exists() else []
        return [line.split() for line in whole]

    try:
        sent = messages(count)
        await bus.publish(topic, *sent[:100])
        await until(lambda: len({pid for pid, *_ in lines()}) == 2 or len(lines()) >= 100)
        for begin in range(100, count, 100):
            await bus.publish(topic, *sent[begin : begin + 100])
        await until(lambda: len(lines()) > 250 and lines()[-1][0] == str(members[0].pid))
        members[0].send_signal(signal.SIGKILL)
        killed_at = len(lines())
        assert killed_at < count, "killed too late to show anything"
        await until(lambda: len({(key, n) for _, key, n in lines()}) == count, 90)
        members[1].terminate()
        assert members[1].wait(20) == 0
    finally:
        for member in members:
            if member.poll() is None:
                member.kill()
            member.wait()
    assert {pid for pid, *_ in lines()} == {str(member.pid) for member in members}
    firsts = list(dict.fromkeys((key, int(n)) for _, key, n in lines()))
    for key in {key for key, _ in firsts}:
        assert [n for k, n in firsts if k == key] == [m.data["n"] for m in sent if m.key == key]
    again = []

    async def handle(message: Message) -> None:
        again.append(message)

    tested = consumer(bus, topic, handle)
    task = asyncio.create_task(tested.run())
    await until(lambda: tested.ready() is None)
    await asyncio.sleep(1)
    assert again == [], "the last member committed all that it did"
    await tested.drain(5)
    await task
    await bus.close()


async def test_a_member_that_drains_hands_over_at_once(
    server: Server, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "SESSION_SECONDS", 90)  # What it would take without leaving, on any machine.
    bus, got = bus_of(server), []

    def handler(name: str) -> Callable[[Message], Awaitable[None]]:
        async def handle(message: Message) -> None:
            got.append((name, message.id))

        return handle

    first, second = consumer(bus, topic, handler("first")), consumer(bus, topic, handler("second"))
    tasks = [asyncio.create_task(each.run()) for each in (first, second)]
    await until(lambda: first.ready() is None and second.ready() is None)
    begin = time.monotonic()
    await first.drain(10)
    await tasks[0]
    assert time.monotonic() - begin < 12
    await bus.publish(topic, *messages(30))
    await until(lambda: len(got) == 30, 60)
    assert {name for name, _ in got} == {"second"}
    await second.drain(10)
    await tasks[1]
    await bus.close()


async def test_a_topic_that_is_made_later_is_consumed_soon(server: Server, topic: str) -> None:
    bus, got = bus_of(server), []
    later = f"{topic}-later"

    async def handle(message: Message) -> None:
        got.append(message.id)

    both = Consumer(
        bus, [topic, later], f"group-of-{topic}", handle,
        concurrency=4, queue_bound=16, retries=Limits(), dead_letter_topic=None,
    )  # fmt: skip
    running = asyncio.create_task(both.run())
    await bus.publish(topic, *messages(1))
    await until(lambda: got == ["0"])
    admin = AdminClient({"bootstrap.servers": server.address})
    for future in admin.create_topics([NewTopic(later, 1, 1)]).values():
        future.result(30)
    await bus.publish(later, Message(type="t", data={}, key="k", id="late"))
    await until(lambda: "late" in got, 30)
    await both.drain(10)
    await running
    await bus.close()


async def test_a_member_without_a_partition_is_ready(server: Server) -> None:
    topic = created(server, 1)
    bus = bus_of(server)

    async def handle(message: Message) -> None: ...

    both = [consumer(bus, topic, handle) for _ in range(2)]
    tasks = [asyncio.create_task(each.run()) for each in both]
    await until(lambda: all(each.ready() is None for each in both))
    for each in both:
        await each.drain(5)
    await asyncio.gather(*tasks)
    await bus.close()


async def test_what_was_paused_when_it_moved_goes_on_when_it_comes_back(server: Server, topic: str) -> None:
    bus, polling = bus_of(server), True
    sent = messages(60, keys=60)
    await bus.publish(topic, *sent)

    async def revoked(partitions: Collection[Partition], lost: bool) -> Mapping[Partition, int]:
        return {}

    first, second = (bus.subscribe([topic], f"group-of-{topic}") for _ in range(2))
    got: list[Record] = []

    async def poll() -> None:
        while polling:
            await second.poll(0.1, 1)

    async def turn(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                got.extend(await first.poll(0.1, 100))

    await first.start(revoked)
    await turn(lambda: len(first.assigned) == 3)
    await first.pause(first.assigned)
    got.clear()
    await second.start(revoked)
    other = asyncio.create_task(poll())
    await turn(lambda: bool(second.assigned))
    moved = second.assigned
    polling = False
    await other
    await second.close()
    await turn(lambda: len(first.assigned) == 3)
    await turn(lambda: {record.partition for record in got} == moved)
    await first.pause([])
    # What stayed goes on behind what was taken before the pause, which is not counted here.
    await turn(lambda: {record.offset for record in got if record.partition in moved} >= set(range(5)))
    await first.close()
    await bus.close()


async def test_a_broker_that_hangs_keeps_no_process(server: Server, topic: str, tmp_path: Path) -> None:
    bus, path = bus_of(server), tmp_path / "handled"
    command = [sys.executable, "-m", "tests.real.member", server.address, topic, f"group-of-{topic}", str(path)]
    member = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert server.process is not None
    try:
        await bus.publish(topic, *messages(400))
        await until(lambda: path.exists() and len(path.read_text().splitlines()) > 20)
        server.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(0.5)
        begin = time.monotonic()
        member.terminate()
        # It drains for 10 s; a commit that waits for the broker would take a minute and more.
        assert await asyncio.to_thread(member.wait, 30) == 0
        assert time.monotonic() - begin < 30
    finally:
        member.kill()
        member.wait()
        # It goes on as a node that its controller has fenced: the tests after this one get a fresh one.
        server.process.send_signal(signal.SIGCONT)
        server.stop()
        server.start()
    await bus.close()


async def test_a_broker_that_is_away_is_waited_for(server: Server, topic: str) -> None:
    bus, got = bus_of(server), []

    async def handle(message: Message) -> None:
        got.append(message.id)

    tested = consumer(bus, topic, handle)
    task = asyncio.create_task(tested.run())
    await until(lambda: tested.ready() is None)
    await bus.publish(topic, *messages(10))
    await until(lambda: len(got) == 10)
    server.stop()
    try:
        await until(lambda: tested.ready() is not None)
        assert str(tested.ready()).startswith("kafka: ")
        with pytest.raises(Unavailable, match="kafka"):
            await bus.ping()
        begin = time.monotonic()
        with pytest.raises(Unavailable, match="not delivered"):
            await bus.publish(topic, Message(type="t", data={}, key="lost"))
        assert time.monotonic() - begin < 30
        with pytest.raises(Unavailable):
            [m async for m in bus.read(topic)]
        assert not task.done()
    finally:
        server.start()
    await until(lambda: tested.ready() is None)
    more = [Message(type="t", data={}, key=f"k{n}", id=f"later-{n}") for n in range(10)]
    await bus.publish(topic, *more)
    await until(lambda: {m.id for m in more} <= set(got), 60)
    await tested.drain(10)
    await task
    await bus.close()


async def test_draining_while_the_broker_is_away_ends_in_time(server: Server, topic: str) -> None:
    bus, handled = bus_of(server), asyncio.Event()

    async def handle(message: Message) -> None:
        handled.set()

    tested = consumer(bus, topic, handle)
    task = asyncio.create_task(tested.run())
    await until(lambda: tested.ready() is None)
    server.stop()
    try:
        await until(lambda: tested.ready() is not None)
        begin = time.monotonic()
        await tested.drain(8)
        await asyncio.wait([task], timeout=20)
        assert time.monotonic() - begin < 25
        assert task.done()
    finally:
        server.start()
    await bus.close()


async def test_what_the_broker_will_never_take_is_rejected(server: Server) -> None:
    topic = created(server, 1, **{"max.message.bytes": "2000"})
    bus = bus_of(server)
    with pytest.raises(Reject, match=r"(?i)too large"):
        await bus.publish(topic, Message(type="t", data={"text": os.urandom(4000).hex()}, key="k"))
    with pytest.raises(Reject, match=r"(?i)too large"):
        await bus.publish(topic, Message(type="t", data={"text": "x" * 2_000_000}, key="k"))
    await bus.publish(topic, Message(type="t", data={}, key="k"))
    await bus.close()


async def test_a_record_of_a_foreign_producer_becomes_a_dead_letter(server: Server, topic: str) -> None:
    from confluent_kafka import Producer

    dead, bus, got = created(server, 1), bus_of(server), []
    foreign = Producer({"bootstrap.servers": server.address})
    foreign.produce(topic, b"\xff no event", b"k0", headers=[("x", b"\x00"), ("empty", None)])
    assert foreign.flush(10) == 0

    async def handle(message: Message) -> None:
        got.append(message.id)

    await bus.publish(topic, *messages(5))
    tested = consumer(bus, topic, handle, dead_letter_topic=dead)
    task = asyncio.create_task(tested.run())
    await until(lambda: len(got) == 5)
    await tested.drain(10)
    await task
    [letter] = [m async for m in bus.read(dead)]
    record = original(letter)
    assert (record.value, record.key) == (b"\xff no event", b"k0")
    assert dict(record.headers) == {"x": b"\x00", "empty": None}
    assert [m.id async for m in bus.read(topic) if m.key == "k0"] == ["0"]
    await bus.close()


async def test_an_agents_own_rights_are_enough_and_a_missing_one_is_said(server: Server) -> None:
    topic, closed = created(server), created(server)
    admin = AdminClient({"bootstrap.servers": server.address})
    rights = [
        (ResourceType.TOPIC, topic, AclOperation.READ),
        (ResourceType.TOPIC, topic, AclOperation.WRITE),
        (ResourceType.GROUP, f"group-of-{topic}", AclOperation.READ),
    ]
    literal, allow = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
    acls = [AclBinding(kind, name, literal, f"User:{USER}", "*", right, allow) for kind, name, right in rights]
    for future in admin.create_acls(acls).values():
        future.result(30)
    bus, got = secured_bus(server, USER, consumer_group=f"group-of-{topic}"), []

    async def handle(message: Message) -> None:
        got.append(message.id)

    await bus.ping()
    await bus.publish(topic, *messages(20))
    assert len([m async for m in bus.read(topic)]) == 20
    tested = consumer(bus, topic, handle)
    task = asyncio.create_task(tested.run())
    await until(lambda: len(got) == 20)
    await tested.drain(10)
    await task
    with pytest.raises(Unavailable, match=r"(?i)authoriz"):
        await bus.publish(closed, *messages(1))
    with pytest.raises(Unavailable, match=r"(?i)authoriz"):
        [m async for m in bus.read(closed)]
    refused = consumer(bus, closed, handle)
    task = asyncio.create_task(refused.run())
    await until(lambda: "uthoriz" in str(refused.ready()))
    await asyncio.sleep(1)
    assert "uthoriz" in str(refused.ready())
    await refused.drain(5)
    await asyncio.wait([task], timeout=5)
    await bus.close()
    wrong = secured_bus(server, USER, password=SecretStr("not-it"))
    with pytest.raises(Unavailable) as caught:
        await wrong.ping()
    assert "not-it" not in str(caught.value)
    await wrong.close()


async def test_who_the_broker_is_is_looked_at(server: Server, tmp_path: Path) -> None:
    making = "openssl req -x509 -subj /CN=authority -newkey rsa:2048 -nodes -keyout key -out other"
    subprocess.run(making.split(), cwd=tmp_path, check=True, capture_output=True)
    for file in (tmp_path / "other", tmp_path / "missing"):
        bus = secured_bus(server, USER, ca_file=file)
        with pytest.raises(Unavailable, match="kafka: "):
            await bus.ping()
        with pytest.raises(Unavailable, match="kafka: "):
            [m async for m in bus.read("events")]
        await bus.close()


async def test_nobody_there_at_all() -> None:
    bus = KafkaBus(settings(f"127.0.0.1:{free_port()}"), client_id="tests")
    with pytest.raises(Unavailable, match="kafka"):
        await bus.ping()

    async def handle(message: Message) -> None: ...

    tested = consumer(bus, "events", handle)
    task = asyncio.create_task(tested.run())
    await until(lambda: "not in the group" not in str(tested.ready()) and tested.ready() is not None)
    begin = time.monotonic()
    await tested.drain(5)
    await asyncio.wait([task], timeout=15)
    assert task.done()
    assert time.monotonic() - begin < 20
    await bus.close()
