"""The generated configuration and the scripts, against real Redis and Valkey processes on loopback addresses.

They run on every engine found: redis-server or valkey-server on PATH, and those in the folders of REDIS_ENGINES, which
is written as PATH is. The first runs without TLS, the others with it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from .redis_nodes import AGENT_KEYS, OPERATOR, PORT, Authority, Client, Engine, Load, Nodes, eventually, password

ENGINES = Engine.all_here()

pytestmark = [
    pytest.mark.skipif(
        not ENGINES,
        reason="redis-server is not on PATH: install Redis 7.0 or newer (Debian: apt-get install redis-server)",
    ),
    pytest.mark.skipif(
        os.uname().sysname != "Linux", reason="only Linux answers on all of 127.0.0.0/8: run the tests there"
    ),
]


class Flavor(NamedTuple):
    """What a test runs on."""

    engine: Engine
    tls: bool

    def __str__(self) -> str:
        return self.engine.name + ("-tls" if self.tls else "")


PLAIN = [Flavor(engine, tls=False) for engine in ENGINES[:1]]
WITH_TLS = [Flavor(engine, tls=True) for engine in ENGINES[1:] or ENGINES]
plain = pytest.mark.parametrize("flavor", PLAIN, ids=str)
with_tls = pytest.mark.parametrize("flavor", WITH_TLS, ids=str)
all_flavors = pytest.mark.parametrize("flavor", PLAIN + WITH_TLS, ids=str)


class MakeNodes(Protocol):
    def __call__(self, shards: int, replicas: int, places: tuple[str, ...] = ()) -> Nodes: ...


@pytest.fixture
def make_nodes(tmp_path: Path, flavor: Flavor) -> Iterator[MakeNodes]:
    made: list[Nodes] = []
    if flavor.tls and shutil.which("openssl") is None:
        pytest.skip("openssl is not on PATH: install it, since these tests make certificates with it")

    def make(shards: int, replicas: int, places: tuple[str, ...] = ()) -> Nodes:
        nodes = Nodes(tmp_path, flavor.engine, tls=flavor.tls, shards=shards, replicas=replicas, places=places)
        made.append(nodes)
        nodes.start()
        return nodes

    yield make
    for nodes in made:
        nodes.end()


def key_of(number: int) -> str:
    # Forty keys in each slot that has any: a slot takes several MIGRATE commands.
    return f"{AGENT_KEYS}{{{number // 40}}}:{number}"


def write(nodes: Nodes, keys: int) -> None:
    client = Client(nodes)
    for number in range(keys):
        assert client.do("SET", key_of(number), str(number), key=key_of(number)) == "OK"


def assert_written(nodes: Nodes, keys: int) -> None:
    """Every key is there, and on one master only."""
    client = Client(nodes)
    for number in range(keys):
        assert client.do("GET", key_of(number), key=key_of(number)) == str(number)
    assert sum(int(nodes.ask(node, "dbsize")) for node in nodes.masters()) == keys


@all_flavors
def test_the_server_takes_the_configuration(make_nodes: MakeNodes, flavor: Flavor) -> None:
    nodes = make_nodes(3, 0)
    expected = {
        "cluster-enabled": "yes",
        "cluster-preferred-endpoint-type": "hostname",
        "cluster-allow-replica-migration": "no",
        "cluster-announce-ip": nodes.addresses[0],
        "cluster-announce-hostname": "redis-0.redis-headless.data.svc.cluster.local",
        "maxmemory": str(2 * 1024**3 * 65 // 100),
        "maxmemory-policy": "volatile-ttl",
        "appendonly": "yes",
        "min-replicas-to-write": "0",
        "tls-cluster": "yes" if flavor.tls else "no",
        "tls-replication": "yes" if flavor.tls else "no",
    }
    for option, value in expected.items():
        assert nodes.ask(0, "config", "get", option).splitlines() == [option, value]
    assert (nodes.folder / "data-0" / "nodes.conf").exists()


@all_flavors
def test_probes(make_nodes: MakeNodes, flavor: Flavor) -> None:
    nodes = make_nodes(3, 0)
    assert [nodes.run(script, node=0).returncode for script in ("live.sh", "ready.sh")] == [0, 0]
    # Alive needs no rights, and no certificate that the authority of now has signed.
    changed = {"REDISCLI_AUTH": "changed"}
    if flavor.tls:
        other = Authority(nodes.folder / "other")
        (nodes.folder / "other-files").mkdir()
        other.certify(nodes.folder / "other-files")
        changed["REDIS_TLS_DIR"] = str(nodes.folder / "other-files")
    assert nodes.run("live.sh", node=0, **changed).returncode == 0
    assert nodes.run("ready.sh", node=0, **changed).returncode == 1
    nodes.stop(0, kill=True)
    assert [nodes.run(script, node=0).returncode for script in ("live.sh", "ready.sh")] == [1, 1]


@all_flavors
def test_forms_a_cluster_repeats_as_nothing_and_heals(make_nodes: MakeNodes, flavor: Flavor) -> None:
    nodes = make_nodes(3, 1)
    first = nodes.keep_once()
    assert first.returncode == 0, first.stdout
    nodes.assert_whole()
    assert nodes.run("ready.sh", node=0).returncode == 0
    write(nodes, 200)
    before = nodes.table()

    second = nodes.keep_once()
    assert second.stdout.splitlines() == ["done: 3 masters, 3 replicas, 16384 slots"]
    assert nodes.table() == before

    # As when all pods come back at once: with new addresses, then with each other's.
    for addresses in (
        [f"{nodes.network}.{50 + n}" for n in range(6)],
        [f"{nodes.network}.{50 + (n + 1) % 6}" for n in range(6)],
    ):
        nodes.restart(addresses)
        began = time.monotonic()
        healed = nodes.keep_once()
        assert healed.returncode == 0, healed.stdout
        assert time.monotonic() - began < 60
        assert "addslotsrange" not in healed.stdout
        nodes.assert_whole()
        assert_written(nodes, 200)


@plain
def test_the_loop_heals_again_and_again(make_nodes: MakeNodes) -> None:
    nodes = make_nodes(3, 1)
    ready = nodes.state / "ready"
    ready.touch()  # left by the container before
    keeper = nodes.keep()
    eventually(lambda: not ready.exists(), 5, "not ready before it has looked")
    eventually(ready.exists, 60, "the cluster is formed")
    nodes.assert_whole()
    write(nodes, 50)

    nodes.stop()
    eventually(lambda: not ready.exists(), 30, "not ready without nodes")

    # All but one come back, with new addresses: they serve without waiting for the last.
    for node in range(6):
        nodes.move(node, f"{nodes.network}.{50 + node}")
    nodes.start(*range(5))
    eventually(
        lambda: all("cluster_state:ok" in nodes.ask(node, "cluster", "info") for node in range(5)),
        60,
        "five nodes serve",
    )
    assert not ready.exists()
    nodes.start(5)
    eventually(ready.exists, 60, "the cluster is healed")
    nodes.assert_whole()
    assert_written(nodes, 50)

    assert time.time() - (nodes.state / "alive").stat().st_mtime < 10
    log = (nodes.folder / "keeper.log").read_text().splitlines()
    # What holds is told once, however often it is seen.
    assert log.count("done: 3 masters, 3 replicas, 16384 slots") == 2
    assert keeper.poll() is None
    keeper.terminate()
    assert keeper.wait(5) == 143


@plain
def test_a_replica_that_copies_from_an_old_address_is_turned(make_nodes: MakeNodes) -> None:
    nodes = make_nodes(3, 1)
    assert nodes.keep_once().returncode == 0
    master, other, replica = 0, 1, nodes.replica_of(0)
    old = nodes.addresses[master]
    nodes.restart([f"{nodes.network}.{50 + node}" for node in range(6)])
    new = nodes.addresses[master]

    def seen_from(node: int, address: str) -> tuple[str, str]:
        """What a node knows of the one at `address`: flags and link; empty if it knows none there."""
        for line in nodes.ask(node, "cluster", "nodes").splitlines():
            words = line.split()
            if words[1].startswith(f"{address}:"):
                return words[2], words[7]
        return "", ""

    # The replica is to hear of its master's address from another node, before its master itself meets it.
    eventually(lambda: seen_from(replica, old)[0] in ("master,fail?", "master,fail"), 20, "it misses its master")
    nodes.ask(master, "cluster", "meet", nodes.addresses[other], str(PORT))
    eventually(lambda: seen_from(other, new) == ("master", "connected"), 20, "the other knows the master")
    nodes.processes[master].send_signal(signal.SIGSTOP)
    try:
        nodes.ask(other, "cluster", "meet", nodes.addresses[replica], str(PORT))
        eventually(lambda: seen_from(replica, new) != ("", ""), 20, "the replica knows its master's address")
    finally:
        nodes.processes[master].send_signal(signal.SIGCONT)
    assert nodes.info(replica, "replication")["master_host"] == old

    healed = nodes.keep_once()
    assert healed.returncode == 0, healed.stdout
    assert nodes.info(replica, "replication")["master_host"] == new
    nodes.assert_whole()


def keep_with_deaths(nodes: Nodes) -> list[str]:
    """Kill keep.sh after every command until there is none left, and return what it did."""
    commands = []
    while (outcome := nodes.keep_killed_after_one_command())[0] == -9:
        commands.append(outcome[1])
        assert len(commands) < 80, commands
    assert outcome == (0, "")
    nodes.assert_whole()
    return commands


def count(kind: str, commands: list[str]) -> int:
    return len({command for command in commands if command.startswith(kind)})


@all_flavors
def test_killed_after_each_command_it_still_converges(make_nodes: MakeNodes) -> None:
    nodes = make_nodes(3, 1)
    commands = keep_with_deaths(nodes)
    # 5 introductions, 3 ranges, and the replicas of 3 masters: it was killed after every one of them.
    assert [count(f"cluster {kind}", commands) for kind in ("meet", "addslotsrange", "replicate")] == [5, 3, 3]

    write(nodes, 2000)
    nodes.restart([f"{nodes.network}.{50 + node}" for node in range(6)])
    commands = keep_with_deaths(nodes)
    assert count("cluster meet", commands) > 0
    assert count("cluster addslotsrange", commands) == 0
    assert_written(nodes, 2000)


@all_flavors
def test_killed_after_each_step_of_a_move_it_still_converges(make_nodes: MakeNodes) -> None:
    nodes = make_nodes(3, 1)
    assert nodes.keep_once().returncode == 0
    write(nodes, 2000)
    # A slot with 40 keys, whose move had begun.
    slot = nodes.ask(0, "cluster", "keyslot", key_of(0))
    masters = nodes.masters()
    source = next(node for node in masters if nodes.ask(node, "cluster", "countkeysinslot", slot) == "40")
    target = next(node for node in masters if node != source)
    nodes.ask(target, "cluster", "setslot", slot, "importing", nodes.ask(source, "cluster", "myid"))
    commands = keep_with_deaths(nodes)
    assert count("migrate", commands) == 4  # ten keys at a time
    assert count("cluster setslot", commands) >= 3  # importing, migrating, and the new owner
    assert nodes.ask(target, "cluster", "countkeysinslot", slot) == "40"

    nodes.resize(4, 1)
    nodes.start(6, 7)
    commands = keep_with_deaths(nodes)
    assert count("cluster meet", commands) >= 2
    assert count("cluster replicate", commands) == 1
    assert count("reshard", commands) == 2
    assert_written(nodes, 2000)


@all_flavors
def test_grows_under_load(make_nodes: MakeNodes) -> None:
    nodes = make_nodes(3, 1)
    assert nodes.keep_once().returncode == 0
    write(nodes, 4000)
    with Load(nodes) as load:
        nodes.resize(4, 1)
        nodes.start(6, 7)
        keeper = nodes.keep()
        shares: list[dict[int, int]] = []

        def even() -> bool:
            shares.append(nodes.slots())
            for master in set(shares[-1]) - {0, 1, 2}:
                assert nodes.info(master, "replication")["connected_slaves"] == "1", "slots before copies"
            return len(shares[-1]) == 4 and max(shares[-1].values()) - min(shares[-1].values()) < 16384 / 4 / 20

        eventually(even, 240, "the slots are even")
        # It stops there.
        log = nodes.folder / "keeper.log"
        eventually(lambda: "done: 4 masters, 4 replicas, 16384 slots" in log.read_text(), 20, "it is done")
        before = nodes.table()
        time.sleep(3)
        assert nodes.table() == before
        assert keeper.poll() is None
    nodes.assert_whole()
    load.assert_nothing_lost()
    print(f"slowest command {load.longest:.2f} s")
    client = Client(nodes)
    assert all(client.do("GET", key_of(n), key=key_of(n)) == str(n) for n in range(4000))
    assert "refuse" not in log.read_text()


@all_flavors
def test_a_move_cut_short_and_forgotten_is_finished(make_nodes: MakeNodes) -> None:
    """A failover may lose the marks of a slot on the move: its keys are on two nodes, and no node says so."""
    nodes = make_nodes(3, 0)
    assert nodes.keep_once().returncode == 0
    write(nodes, 400)
    # Whatever bytes a key may have.
    strange = f'{AGENT_KEYS}{{0}}:a "quoted" \\ key\r\nof two lines ä $(id) \'%s'
    client = Client(nodes)
    client.do("SET", strange, "there", key=strange)
    slot = nodes.ask(0, "cluster", "keyslot", f"{AGENT_KEYS}{{0}}")
    source = next(n for n in range(3) if int(nodes.ask(n, "cluster", "countkeysinslot", slot)) == 41)
    target = (source + 1) % 3
    ids = [nodes.ask(node, "cluster", "myid") for node in range(3)]
    nodes.ask(target, "cluster", "setslot", slot, "importing", ids[source])
    nodes.ask(source, "cluster", "setslot", slot, "migrating", ids[target])
    some = [key_of(number) for number in range(20)]
    arguments = [nodes.addresses[target], str(PORT), "", "0", "5000", "AUTH2", OPERATOR, password(OPERATOR), "KEYS"]
    assert nodes.ask(source, "migrate", *arguments, *some) == "OK"
    for node in (source, target):
        assert nodes.ask(node, "cluster", "setslot", slot, "stable") == "OK"
    assert client.do("GET", some[0], key=some[0]) is None

    repaired = nodes.keep_once()
    assert repaired.returncode == 0, repaired.stdout
    assert f"moves the rest of slot {slot}" in repaired.stdout
    assert client.do("GET", strange, key=strange) == "there"
    client.do("DEL", strange, key=strange)
    assert_written(nodes, 400)
    nodes.assert_whole()


@all_flavors
def test_a_master_hands_over_under_load(make_nodes: MakeNodes) -> None:
    nodes = make_nodes(3, 1)
    assert nodes.keep_once().returncode == 0
    replica = nodes.replica_of(0)
    took = {}
    with Load(nodes) as load:
        time.sleep(1)
        # A rolling restart, as Kubernetes does it: preStop, SIGTERM, start, ready, the next.
        for node in (0, replica):
            assert nodes.info(node, "replication")["role"] == "master"
            began = time.monotonic()
            left = nodes.run("leave.sh", node=node)
            took[node] = time.monotonic() - began
            assert left.returncode == 0
            assert "has taken over" in left.stdout, left.stdout
            nodes.stop(node)
            nodes.start(node)
            eventually(lambda node=node: nodes.run("ready.sh", node=node).returncode == 0, 30, "it is ready")
            assert nodes.info(node, "replication")["role"] == "slave"
        time.sleep(0.5)
    load.assert_nothing_lost()
    print(f"hand-over {max(took.values()):.2f} s, slowest command {load.longest:.2f} s")
    assert max(took.values()) < 10
    assert load.longest < 5
    assert nodes.run("leave.sh", node=replica).stdout == ""  # a replica just goes


@all_flavors
def test_a_master_dies_under_load(make_nodes: MakeNodes) -> None:
    nodes = make_nodes(3, 1)
    assert nodes.keep_once().returncode == 0
    replica = nodes.replica_of(0)
    with Load(nodes) as load:
        time.sleep(1)
        nodes.stop(0, kill=True)
        took = eventually(lambda: nodes.info(replica, "replication")["role"] == "master", 15, "failover")
        time.sleep(1)
    assert not load.refused
    print(f"failover {took:.2f} s, slowest command {load.longest:.2f} s")
    assert load.longest < 15


@all_flavors
def test_all_leave_at_once(make_nodes: MakeNodes) -> None:
    nodes = make_nodes(3, 1)
    assert nodes.keep_once().returncode == 0
    write(nodes, 100)
    nodes.ask(0, "ping")
    took: dict[int, float] = {}

    def end(node: int) -> None:
        began = time.monotonic()
        assert nodes.run("leave.sh", node=node).returncode == 0
        nodes.stop(node)
        took[node] = time.monotonic() - began

    threads = [threading.Thread(target=end, args=(node,)) for node in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("the last ended after", max(took.values()))
    # What is left of the grace period of 60 s is for writing the append-only file out.
    assert len(took) == 6
    assert max(took.values()) < 40
    nodes.start()
    assert nodes.keep_once().returncode == 0
    nodes.assert_whole()
    assert_written(nodes, 100)


@plain
def test_without_replicas_or_nodes_there_is_nobody_to_hand_over_to(make_nodes: MakeNodes) -> None:
    nodes = make_nodes(3, 0)
    assert nodes.keep_once().returncode == 0
    for _ in range(2):
        began = time.monotonic()
        left = nodes.run("leave.sh", node=0)
        assert left.returncode == 0
        assert re.search("nobody to hand over to|does not answer", left.stdout)
        assert time.monotonic() - began < 3
        if 0 in nodes.processes:
            nodes.stop(0)


def served_serial(nodes: Nodes, node: int, port: int = PORT) -> bytes:
    """The certificate that a node serves."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((nodes.addresses[node], port)) as link, context.wrap_socket(link) as secured:
        certificate = secured.getpeercert(binary_form=True)
    assert certificate
    return certificate


@with_tls
def test_certificates_are_renewed_without_a_restart(make_nodes: MakeNodes) -> None:
    nodes = make_nodes(3, 0)
    nodes.keep(RELOAD_SECONDS="2")
    eventually((nodes.state / "ready").exists, 60, "the cluster is formed")
    before = [served_serial(nodes, node) for node in range(3)]
    with Load(nodes) as load:
        nodes.authority.certify(nodes.folder)
        for node in range(3):
            eventually(lambda node=node: served_serial(nodes, node) != before[node], 20, "it serves the new one")
        # A bad file is told, and changes nothing.
        renewed = [served_serial(nodes, node) for node in range(3)]
        log = nodes.folder / "keeper.log"
        (nodes.folder / "tls.crt").write_text("half of a certifica")
        eventually(lambda: log.read_text().count("config set tls-cert-file") >= 3, 20, "it tells of the bad file")
        assert [served_serial(nodes, node) for node in range(3)] == renewed
        assert (nodes.state / "ready").exists()
        time.sleep(0.5)
    load.assert_nothing_lost()


@all_flavors
def test_users_are_read_again_and_nobody_is_cut_off(make_nodes: MakeNodes, flavor: Flavor) -> None:
    if flavor.engine.version < (7, 2):
        pytest.skip("this engine closes all connections when users are read again: Redis does not since 7.2")
    nodes = make_nodes(3, 1)
    assert nodes.keep_once().returncode == 0
    master = nodes.masters()[0]
    client = Client(nodes)

    def links() -> list[str]:
        """The agent's connection to the master, and the replica's."""
        replicas = nodes.ask(master, "client", "list", "type", "replica").splitlines()
        return [client.call(master, "CLIENT", "ID"), *(line.split()[0] for line in replicas)]

    before = links()
    assert len(before) == 2
    nodes.keep(RELOAD_SECONDS="3")
    users = nodes.folder / "users.acl"
    good = users.read_text()
    users.write_text(f"{good}user newcomer on >{password('newcomer')} ~* +@all\n")
    eventually(lambda: all(nodes.ask(n, "ping", user="newcomer") == "PONG" for n in range(6)), 60, "all know the user")
    assert links() == before

    # A bad line is told, and changes nothing.
    log = nodes.folder / "keeper.log"
    users.write_text(f"{good}user broken +nonsense\n")
    eventually(lambda: log.read_text().count("acl load: ") >= 6, 60, "it tells of the bad line")
    assert nodes.ask(0, "ping", user="newcomer") == "PONG"
    eventually((nodes.state / "ready").exists, 60, "the cluster is whole all the same")
    assert links() == before


@plain
def test_masters_and_replicas_are_on_different_kubernetes_nodes(make_nodes: MakeNodes, flavor: Flavor) -> None:
    if flavor.engine.version < (7, 2):
        pytest.skip("this engine has no cluster-announce-human-nodename: Redis has it since 7.2")
    places = ("a", "a", "b", "b", "c", "c")
    nodes = make_nodes(3, 1, places)
    assert nodes.keep_once().returncode == 0
    nodes.assert_whole()
    masters = nodes.masters()
    assert {places[master] for master in masters} == {"a", "b", "c"}
    assert all(places[nodes.replica_of(master)] != places[master] for master in masters)


@plain
def test_refuses_where_nodes_hold_keys_and_know_nobody(make_nodes: MakeNodes) -> None:
    nodes = make_nodes(3, 0)
    assert nodes.keep_once().returncode == 0
    write(nodes, 200)
    sizes = [nodes.ask(node, "dbsize") for node in range(3)]
    nodes.stop()
    for node in range(3):
        (nodes.folder / f"data-{node}" / "nodes.conf").unlink()
    nodes.start()

    refused = nodes.keep_once()
    assert refused.returncode == 2
    assert f"holds {sizes[0]} keys but knows no other node" in refused.stdout
    assert "CLUSTER RESET HARD" in refused.stdout
    assert [nodes.ask(node, "dbsize") for node in range(3)] == sizes
    assert all("cluster_known_nodes:1" in nodes.ask(node, "cluster", "info") for node in range(3))

    # The loop waits for the person who repairs it.
    keeper = nodes.keep()
    log = nodes.folder / "keeper.log"
    eventually(lambda: "refuse: " in log.read_text(), 30, "it says why it refuses")
    time.sleep(3)
    assert log.read_text().count("refuse: ") == 1
    assert keeper.poll() is None
    assert not (nodes.state / "ready").exists()
    for node in range(3):
        nodes.ask(node, "flushall")
        nodes.ask(node, "cluster", "reset", "hard")
    eventually((nodes.state / "ready").exists, 60, "a new cluster is formed")
    nodes.assert_whole()


@plain
def test_a_node_that_lost_its_volume_becomes_a_replica(make_nodes: MakeNodes) -> None:
    nodes = make_nodes(3, 1)
    assert nodes.keep_once().returncode == 0
    nodes.stop(0, kill=True)
    shutil.rmtree(nodes.folder / "data-0")
    nodes.move(0, f"{nodes.network}.99")
    nodes.start(0)

    healed = nodes.keep_once()
    assert healed.returncode == 0, healed.stdout
    assert "addslotsrange" not in healed.stdout
    assert nodes.info(0, "replication")["role"] == "slave"
    info = nodes.ask(0, "cluster", "info")
    assert "cluster_state:ok" in info
    assert "cluster_slots_ok:16384" in info
