"""State in a real Redis Cluster, as an agent's user, while nodes die and hang."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from agentstack_runtime.contract import Redis
from agentstack_runtime.state import Fenced, State, Unavailable
from agentstack_runtime.state.redis import RedisState
from redis_cluster import USER, Cluster, free_ports, missing
from state_contract import StateContract

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    running = Cluster(tmp_path_factory.mktemp("redis"))
    yield running
    running.stop()


@pytest.fixture
async def state(cluster: Cluster) -> AsyncIterator[State]:
    cluster.heal()
    made = RedisState(cluster.login())
    yield made
    await made.close()


class TestRedis(StateContract):
    pass


def holder(cluster: Cluster, conversation: str, lease: float, *, dies: int | None = None) -> subprocess.Popen[str]:
    port = cluster.login(dies=dies).port
    return subprocess.Popen(
        [sys.executable, str(HERE / "holder.py"), str(port), conversation, str(lease)],
        env={"PYTHONPATH": f"{HERE}:{HERE.parents[1]}", "PATH": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def say(process: subprocess.Popen[str]) -> str:
    """Let the holder write, and return what it says of it."""
    out, _ = process.communicate("\n", timeout=60)
    return out.split()[-1]


async def test_a_holder_that_was_paused_beyond_its_lease_is_fenced(cluster: Cluster, state: State) -> None:
    conversation = f"c-{uuid.uuid4().hex}"
    first = holder(cluster, conversation, 1)
    assert first.stdout is not None
    token = int(await asyncio.to_thread(first.stdout.readline))
    first.send_signal(signal.SIGSTOP)
    async with asyncio.timeout(10), state.lock(conversation, "l", lease=timedelta(seconds=5)) as second:
        assert second.token > token
        first.send_signal(signal.SIGCONT)
        assert await asyncio.to_thread(say, first) == "fenced"
        assert await state.put(conversation, "x", "the second holder's", fence=second) == 1


async def test_the_master_that_holds_the_lock_is_killed(cluster: Cluster, state: State) -> None:
    conversation = f"c-{uuid.uuid4().hex}"
    master = cluster.master_of(f"conversation:{{{conversation}}}:lock:l")
    first = holder(cluster, conversation, 2, dies=master)
    assert first.stdout is not None
    token = int(await asyncio.to_thread(first.stdout.readline))
    cluster.kill(master)
    # Whether the replica had the lock or not: the next holder has a higher token, and keeps the first one out.
    first.send_signal(signal.SIGSTOP)
    took = time.monotonic()
    patient = RedisState(cluster.login(), patience=timedelta(seconds=20))
    async with asyncio.timeout(30), patient.lock(conversation, "l", lease=timedelta(seconds=10)) as second:
        assert second.token > token
        print(f"the lock was taken over after {time.monotonic() - took:.1f} s")
        first.send_signal(signal.SIGCONT)
        assert await asyncio.to_thread(say, first) == "fenced"
        assert await patient.put(conversation, "x", "the second holder's", fence=second) == 1
    await patient.close()


async def test_the_lock_is_lost_with_its_master(cluster: Cluster) -> None:
    """The replica never heard of the lock, nor of its token, nor of what was written with it."""
    cluster.heal()
    conversation = f"c-{uuid.uuid4().hex}"
    key = f"conversation:{{{conversation}}}:lock:l"
    state = RedisState(cluster.login(dies=cluster.master_of(key)), patience=timedelta(seconds=20))
    master = cluster.master_of(key)
    replica = cluster.replica_of(master)
    await state.ping()
    cluster.pause(replica)
    # What is sent to it from now on would wait for it in its socket: there has to be none.
    cluster.cli(master, "client", "kill", "type", "replica")
    async with state.lock(conversation, "l", lease=timedelta(seconds=60)) as first:
        assert await state.put(conversation, "x", "the first's", fence=first) == 1
        cluster.kill(master)
        cluster.resume(replica)
        async with asyncio.timeout(30), state.lock(conversation, "l", lease=timedelta(seconds=60)) as second:
            assert await state.get(conversation, "x") is None, "else this test shows nothing"
            assert second.token > first.token
            with pytest.raises(Fenced):
                await state.put(conversation, "x", "the first's", fence=first)
            assert await state.put(conversation, "x", "the second's", fence=second) == 1
            with pytest.raises(Fenced):
                await state.save(conversation, "the first's", expected=0, fence=first)
    await state.close()


async def test_a_token_that_a_failover_lost_is_known_again_from_its_first_write(cluster: Cluster, state: State) -> None:
    c = f"c-{uuid.uuid4().hex}"
    async with state.lock(c, "l", lease=timedelta(minutes=1)) as old:
        pass
    async with state.lock(c, "l", lease=timedelta(minutes=1)) as new:
        key = f"conversation:{{{c}}}:fence:l"
        assert cluster.cli(cluster.master_of(key), "del", key) == "1"
        assert await state.put(c, "x", 1, fence=new) == 1
        with pytest.raises(Fenced):
            await state.put(c, "y", 1, fence=old)
        assert int(cluster.cli(cluster.master_of(key), "pttl", key)) > 0


async def test_a_lease_is_lost_when_redis_refuses_the_user(cluster: Cluster, state: State) -> None:
    async with state.lock("c", "l", lease=timedelta(seconds=1)) as lease:
        for port in cluster.ports:
            cluster.cli(port, "acl", "setuser", USER, "resetkeys", "~other:*")
        try:
            async with asyncio.timeout(3):
                await lease.lost.wait()
            with pytest.raises(Unavailable, match="redisKeys"):
                await state.append("c", "a", 1)
            with pytest.raises(Unavailable, match="redisKeys"):
                await state.ping()
        finally:
            for port in cluster.ports:
                cluster.cli(port, "acl", "load")


async def test_a_lock_asked_for_again_keeps_its_token(cluster: Cluster, state: State) -> None:
    keys = "conversation:{c}:lock:again", "conversation:{c}:fence:again"
    script = (HERE.parents[1] / "agentstack_runtime" / "state" / "scripts" / "acquire.lua").read_text()

    def acquire(who: str) -> str:
        return cluster.cli(cluster.master_of(keys[0]), "eval", script, "2", *keys, who, "60000", "60000")

    first = acquire("me")
    assert int(first) > 0
    assert acquire("me") == first
    assert acquire("somebody else") == ""


async def test_the_newest_token_is_known_as_long_as_the_lock_is_held(cluster: Cluster) -> None:
    ttls = {"conversation_ttl": timedelta(seconds=1), "checkpoint_ttl": timedelta(seconds=1)}
    state, conversation = RedisState(cluster.login().model_copy(update=ttls)), f"c-{uuid.uuid4().hex}"
    async with state.lock(conversation, "l", lease=timedelta(seconds=5)) as old:
        pass
    async with state.lock(conversation, "l", lease=timedelta(seconds=0.6)):
        await asyncio.sleep(1.8)
        with pytest.raises(Fenced):
            await state.put(conversation, "x", 1, fence=old)
    await state.close()


async def test_everything_has_its_time(cluster: Cluster) -> None:
    ttls = {"conversation_ttl": timedelta(seconds=1), "checkpoint_ttl": timedelta(seconds=3)}
    state, c = RedisState(cluster.login().model_copy(update=ttls)), f"c-{uuid.uuid4().hex}"
    await state.append(c, "a", 1)
    await state.put(c, "x", 1)
    await state.save(c, 1, expected=0)
    await asyncio.sleep(0.7)
    await state.append(c, "b", 2)
    await asyncio.sleep(0.6)
    assert await state.messages(c) == [1, 2], "from the last message"
    assert await state.get(c, "x") is None
    await asyncio.sleep(0.6)
    assert await state.messages(c) == []
    assert await state.append(c, "a", 1) == 1, "ids are forgotten with their conversation"
    assert await state.load(c) is not None
    await asyncio.sleep(1.4)
    assert await state.load(c) is None
    await state.close()


async def test_no_key_stays_for_ever(cluster: Cluster, state: State) -> None:
    c = f"c-{uuid.uuid4().hex}"
    await state.append(c, "a", 1)
    await state.put(c, "x", 1)
    await state.save(c, 1, expected=0)
    async with state.lock(c, "l", lease=timedelta(minutes=1)):
        master = cluster.master_of(f"conversation:{{{c}}}:messages")
        keys = [key for key in cluster.cli(master, "keys", "*").split() if c in key]
        assert {key.partition("}")[2] for key in keys} == {":messages", ":ids", ":value:x", ":lock:l", ":fence:l", ""}
        for key in keys:
            assert int(cluster.cli(master, "pttl", key)) > 0, key


async def test_messages_that_were_evicted_are_appended_again(cluster: Cluster, state: State) -> None:
    c = f"c-{uuid.uuid4().hex}"
    await state.append(c, "a", 1)
    key = f"conversation:{{{c}}}:messages"
    assert cluster.cli(cluster.master_of(key), "del", key) == "1"
    assert await state.append(c, "a", 1) == 1
    assert await state.messages(c) == [1]


async def test_scripts_that_the_server_forgot_are_sent_again(cluster: Cluster, state: State) -> None:
    c = f"c-{uuid.uuid4().hex}"
    await state.append(c, "a", 1)
    for port in cluster.ports:
        cluster.cli(port, "script", "flush", "sync")
    assert await state.append(c, "b", 2) == 2


async def test_a_thousand_appends_at_once_stand_in_line(cluster: Cluster, state: State) -> None:
    c = f"c-{uuid.uuid4().hex}"
    await state.append(c, "first", -1)
    begin = time.monotonic()
    positions = await asyncio.gather(*(state.append(c, str(number), number) for number in range(1000)))
    took = time.monotonic() - begin
    assert sorted(positions) == list(range(2, 1002))
    connections = cluster.cli(cluster.master_of(f"conversation:{{{c}}}:messages"), "client", "list").count("user=agent")
    assert connections <= 40, f"{connections} connections, {took:.1f} s"


async def test_answers_belong_to_their_questions_whoever_is_cancelled(state: State) -> None:
    values = {f"c-{uuid.uuid4().hex}": number for number in range(20)}
    for conversation, number in values.items():
        await state.put(conversation, "x", number)
    outcomes = {"answered": 0, "cancelled": 0}

    async def ask(conversation: str, number: int) -> None:
        try:
            async with asyncio.timeout(random.uniform(0, 0.006)):
                got = await state.get(conversation, "x")
        except TimeoutError:
            outcomes["cancelled"] += 1
        else:
            assert got is not None
            assert got.value == number
            outcomes["answered"] += 1

    for _ in range(100):
        await asyncio.gather(*(ask(*item) for item in values.items()))
    assert min(outcomes.values()) > 50, outcomes


async def test_writers_that_are_killed_lose_nothing_that_was_acknowledged(cluster: Cluster, state: State) -> None:
    conversation = f"c-{uuid.uuid4().hex}"

    def start(name: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(HERE / "writer.py"), str(cluster.login().port), conversation, name],
            env={"PYTHONPATH": f"{HERE}:{HERE.parents[1]}", "PATH": ""},
            stdout=subprocess.PIPE,
            text=True,
        )

    acknowledged: list[str] = []
    for round_ in range(2):
        writers = [start(f"{round_}{letter}") for letter in "abc"]
        for writer in writers:
            assert writer.stdout is not None
            acknowledged.append((await asyncio.to_thread(writer.stdout.readline)).strip())
        for writer in writers:
            await asyncio.sleep(random.uniform(0.1, 0.5))
            writer.kill()
        for writer in writers:
            out, _ = await asyncio.to_thread(writer.communicate)
            # The last line may have been cut off as its writer died.
            acknowledged += [line.strip() for line in out.splitlines(keepends=True) if line.endswith("\n")]
    kept = [str(message) for message in await state.messages(conversation)]
    assert len(acknowledged) > 100
    assert len(kept) == len(set(kept)), "twice"
    assert set(acknowledged) <= set(kept)
    assert len(kept) - len(acknowledged) <= 6, "of each that was killed, one may be written and not acknowledged"
    for writer in {message.partition("-")[0] for message in kept}:
        own = [int(message.partition("-")[2]) for message in kept if message.startswith(f"{writer}-")]
        assert own == list(range(1, len(own) + 1)), "a gap, or out of order"


async def test_whoever_listens_is_woken_after_the_connection_is_lost(cluster: Cluster, state: State) -> None:
    c = f"c-{uuid.uuid4().hex}"
    async with state.changes(c) as changes:
        assert await changes.wait(3), "as listening begins"
        assert not await changes.wait(0.2)
        for port in cluster.ports:
            cluster.cli(port, "client", "kill", "type", "pubsub")
        assert await changes.wait(5), "what happened meanwhile is unknown"
        await state.put(c, "x", 1, notify=True)
        assert await changes.wait(2)


async def test_a_listening_connection_to_a_node_that_hangs_is_given_up(
    cluster: Cluster, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentstack_runtime.state.wakeups._QUIET", 0.3)
    c = f"c-{uuid.uuid4().hex}"
    async with state.changes(c) as changes:
        assert await changes.wait(3)
        await asyncio.sleep(1)
        assert not await changes.wait(0), "an answer to a ping is nothing to wake for"
        (port,) = (port for port in cluster.ports if " sub=1" in cluster.cli(port, "client", "list"))
        cluster.pause(port)
        try:
            assert await changes.wait(20), "listening at another node"
        finally:
            cluster.resume(port)


async def test_a_lease_is_feared_lost_when_redis_is_gone(cluster: Cluster) -> None:
    conversation = f"c-{uuid.uuid4().hex}"
    state = RedisState(cluster.login(), patience=timedelta(seconds=1))
    cluster.heal()
    async with state.lock(conversation, "l", lease=timedelta(seconds=1.5)) as lease:
        for port in cluster.ports:
            cluster.pause(port)
        async with asyncio.timeout(5):
            await lease.lost.wait()
    for port in cluster.ports:
        cluster.resume(port)
    await state.close()


async def test_a_node_that_hangs_holds_nobody_up_for_long(cluster: Cluster) -> None:
    cluster.heal()
    conversation = f"c-{uuid.uuid4().hex}"
    state = RedisState(cluster.login(), patience=timedelta(seconds=1))
    await state.put(conversation, "x", 1)
    for port in cluster.ports:
        cluster.pause(port)
    begin = time.monotonic()
    with pytest.raises(Unavailable) as refused:
        await state.get(conversation, "x")
    assert time.monotonic() - begin < 15
    assert str(refused.value).startswith("Redis: ")
    assert "secret" not in str(refused.value)
    assert "127.0.0.1" not in str(refused.value)
    for port in cluster.ports:
        cluster.resume(port)
    cluster.heal()
    kept = await state.get(conversation, "x")
    assert kept is not None
    assert kept.value == 1
    await state.close()


async def test_all_nodes_are_killed_and_come_back(cluster: Cluster, state: State) -> None:
    await state.put("c", "x", 1)
    for port in cluster.ports:
        cluster.kill(port)
    with pytest.raises(Unavailable):
        await state.get("c", "x")
    cluster.heal()
    assert await state.get("c", "x") is None, "this cluster keeps nothing on its disks"
    assert await state.put("c", "x", 1, expected=0) == 1


async def test_writers_lose_nothing_while_a_master_fails_over(cluster: Cluster) -> None:
    cluster.heal()
    conversation = f"c-{uuid.uuid4().hex}"
    states = [RedisState(cluster.login(), patience=timedelta(seconds=20)) for _ in range(3)]
    await states[0].append(conversation, "first", "first")
    acknowledged: list[str] = []

    async def write(writer: int, state: RedisState) -> None:
        for number in range(150):
            message = f"{writer}-{number}"
            await state.append(conversation, message, message)
            acknowledged.append(message)
            await asyncio.sleep(0.01)

    async def fail_over() -> None:
        await asyncio.sleep(0.7)
        await asyncio.to_thread(cluster.kill, cluster.master_of(f"conversation:{{{conversation}}}:messages"))

    await asyncio.gather(fail_over(), *(write(number, state) for number, state in enumerate(states)))
    kept = await states[0].messages(conversation)
    assert len(kept) == len(set(map(str, kept))), "a repeated append is known by its id"
    lost = set(acknowledged) - set(map(str, kept))
    # Redis answers before its replica has the write: the last moment before the master died may be lost. No more.
    assert len(lost) <= 5, sorted(lost)
    for number in range(3):
        own = [int(str(message).partition("-")[2]) for message in kept if str(message).startswith(f"{number}-")]
        assert own == sorted(own)
    for state in states:
        await state.close()


async def test_thousands_listen_over_one_connection(cluster: Cluster, state: State) -> None:
    async def clients() -> int:
        listed = [await asyncio.to_thread(cluster.cli, port, "client", "list") for port in cluster.ports]
        return sum(text.count("user=agent") for text in listed)

    await state.ping()
    before = await clients()
    names = [f"c-{uuid.uuid4().hex}" for _ in range(2000)]
    async with asyncio.TaskGroup() as group:
        ready = asyncio.Semaphore(0)
        woken = []

        async def listen(name: str) -> None:
            async with state.changes(name) as changes:
                await changes.wait(0.2)
                ready.release()
                async with asyncio.timeout(30):
                    while not await changes.wait(1):
                        pass
                woken.append(name)

        for name in names:
            group.create_task(listen(name))
        for _ in names:
            await ready.acquire()
        assert await clients() <= before + 2
        for name in names:
            await state.put(name, "x", 1, notify=True)
    assert sorted(woken) == sorted(names)


@contextmanager
def server(folder: Path, *flags: str, ca_file: Path | None = None, port: int | None = None) -> Iterator[RedisState]:
    port = port or free_ports(1)[0]
    running = subprocess.Popen(
        ["redis-server", "--tls-port" if ca_file else "--port", str(port), "--dir", str(folder), "--save", "", *flags],
        stdout=subprocess.DEVNULL,
    )
    try:
        url = SecretStr(f"{'rediss' if ca_file else 'redis'}://localhost:{port}")
        login = Redis(url=url, host="localhost", port=port, ca_file=ca_file)
        yield RedisState(login, patience=timedelta(seconds=3))
    finally:
        running.kill()
        running.wait()


async def test_a_single_redis_will_do(tmp_path: Path) -> None:
    with server(tmp_path) as state:
        assert await state.append("c", "a", 1) == 1
        async with state.lock("c", "l", lease=timedelta(seconds=2)) as lease:
            assert await state.put("c", "x", 1, fence=lease, expected=0) == 1
        await state.close()


async def test_a_cluster_that_is_not_formed_yet_is_waited_for(tmp_path: Path) -> None:
    (port,) = free_ports(1)

    def form(first: int, last: int) -> None:
        command = ["redis-cli", "-p", str(port), "cluster", "addslotsrange", str(first), str(last)]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "OK"

    with server(tmp_path, "--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", port=port) as state:
        with pytest.raises(Unavailable, match=r"not formed yet|CLUSTERDOWN"):
            await state.get("c", "x")
        async with state.changes("c") as changes:
            assert not await changes.wait(1), "who waits for changes is told nothing, and does not fail"
        form(0, 5000)  # The slot of {c} is 7365.
        with pytest.raises(Unavailable, match=r"not formed yet|CLUSTERDOWN"):
            await state.get("c", "x")
        form(5001, 16383)
        assert await RedisState(state._client._login, patience=timedelta(seconds=10)).put("c", "x", 1) == 1
        async with asyncio.timeout(10):
            while True:
                with suppress(Unavailable):
                    assert await state.get("c", "x") is not None, "by the connection of before"
                    break
        await state.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl not on PATH: install it")
async def test_tls_is_checked_with_the_given_authority(tmp_path: Path) -> None:
    for name in ("server", "other"):
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        files = ["-keyout", f"{name}.key", "-out", f"{name}.crt"]
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *files, *subject]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    flags = ["--port", "0", "--tls-auth-clients", "no", "--tls-ca-cert-file", str(tmp_path / "server.crt")]
    flags += ["--tls-cert-file", str(tmp_path / "server.crt"), "--tls-key-file", str(tmp_path / "server.key")]
    with server(tmp_path, *flags, ca_file=tmp_path / "server.crt") as state:
        assert await state.append("c", "a", 1) == 1
        async with state.changes("c") as changes:
            assert await changes.wait(3)
        await state.close()
    with server(tmp_path, *flags, ca_file=tmp_path / "other.crt") as state:
        with pytest.raises(Unavailable):
            await state.append("c", "a", 1)
        await state.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl not on PATH: install it")
async def test_redirections_over_tls_lead_to_the_names_in_the_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The certificate has no address: whoever is led to 127.0.0.1 refuses it. A name of our own, since redis-py makes an
    # address of `localhost`.
    name, resolve = "node.redis.test", socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: resolve("127.0.0.1" if host == name else host, *rest, **more)
    )
    making = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out crt -subj /CN=redis"
    making += f" -addext subjectAltName=DNS:{name}"
    subprocess.run(making.split(), cwd=tmp_path, check=True, capture_output=True)
    flags = "--port 0 --tls-auth-clients no --tls-cluster yes --cluster-enabled yes"
    flags += f" --cluster-announce-hostname {name} --cluster-preferred-endpoint-type hostname"
    flags += f" --tls-ca-cert-file {tmp_path}/crt --tls-cert-file {tmp_path}/crt --tls-key-file {tmp_path}/key"
    ports = free_ports(2)

    def cli(port: int, *words: object) -> str:
        command = ["redis-cli", "-p", str(port), "--tls", "--cacert", str(tmp_path / "crt")]
        return subprocess.run(
            [*command, *map(str, words)], capture_output=True, text=True, timeout=10, check=False
        ).stdout.strip()

    async def eventually(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.1)

    with ExitStack() as servers:
        for port in ports:
            folder = tmp_path / str(port)
            folder.mkdir()
            servers.enter_context(server(folder, *flags.split(), ca_file=tmp_path / "crt", port=port))
        await eventually(lambda: all(cli(port, "ping") == "PONG" for port in ports))
        for port, slots in zip(ports, ((0, 8000), (8001, 16383)), strict=True):
            assert cli(port, "cluster", "addslotsrange", *slots) == "OK"
        assert cli(ports[1], "cluster", "set-config-epoch", 2) == "OK"
        assert cli(ports[0], "cluster", "meet", "127.0.0.1", ports[1]) == "OK"
        await eventually(lambda: all("cluster_state:ok" in cli(port, "cluster", "info") for port in ports))
        await eventually(lambda: cli(ports[0], "cluster", "slots").count(name) == 2)
        url = SecretStr(f"rediss://{name}:{ports[0]}")
        login = Redis(url=url, host=name, port=ports[0], ca_file=tmp_path / "crt")
        first = RedisState(login, patience=timedelta(seconds=20))
        for conversation in ("a", "c"):  # Of slots 15495 and 7365: one on each node.
            assert await first.put(conversation, "x", conversation) == 1
        for port in ports:
            assert cli(port, "dbsize") == "1"
        moved = cli(ports[0], "cluster", "keyslot", "d")  # After the client learned where the slots are.
        other = ports[0] if int(moved) > 8000 else ports[1]
        for port in sorted(ports, key=lambda port: port != other):
            assert cli(port, "cluster", "setslot", moved, "node", cli(other, "cluster", "myid")) == "OK"
        assert await first.put("d", "x", "moved") == 1
        assert cli(other, "dbsize") == "2"
        async with first.changes("c") as changes:
            assert await changes.wait(5)
        await first.close()
