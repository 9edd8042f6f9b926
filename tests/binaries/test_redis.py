"""The generated configuration and the scripts, against real redis-server processes on loopback addresses."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks

import components.redis
from components.namespaces import Namespace
from components.redis import RedisCluster
from settings import RedisSettings

ROOM = Path(components.redis.__file__).parent
PASSWORD = "of-the-test"
PORT = "7000"

needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None,
    reason="redis-server is not on PATH: install Redis 7.0 or newer (Debian: apt-get install redis-server)",
)
needs_linux_loopback = pytest.mark.skipif(
    os.uname().sysname != "Linux", reason="only Linux answers on all of 127.0.0.0/8: run the tests there"
)


def server_arguments(spec: RedisSettings) -> list[str]:
    """What the component starts redis-server with."""
    seen: dict[str, Any] = {}

    class Recorder(mocks.Mocks):
        def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
            seen[args.typ] = args.inputs
            return args.name, {**args.inputs, "result": PASSWORD}

        def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], None]:
            return {}, None

    mocks.set_mocks(Recorder(), project="agentstack", stack="test")

    @pulumi.runtime.test
    def program() -> None:
        here = Namespace.existing("data")
        RedisCluster("redis", spec, namespace=here, agents=here, observability=here)

    program()
    return seen["kubernetes:apps/v1:StatefulSet"]["spec"]["template"]["spec"]["containers"][0]["args"]


class Nodes:
    """redis-server processes, each with an address, as in pods, and a folder, as on a claim, of its own."""

    def __init__(self, folder: Path, shards: int, replicas: int) -> None:
        self.folder = folder
        self.shards = shards
        spec = RedisSettings(shards=shards, replicas_per_shard=replicas)
        self.arguments = server_arguments(spec)
        self.count = spec.nodes
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.keepers: list[subprocess.Popen[bytes]] = []
        # Every test has a network of its own, so that tests can run side by side.
        self.network = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}"
        self.addresses = [f"{self.network}.{10 + node}" for node in range(self.count)]
        self.state = folder / "state"
        self.state.mkdir()
        (folder / "auth.conf").write_text(f"requirepass {PASSWORD}\nmasterauth {PASSWORD}\n")
        for node in range(self.count):
            (folder / f"data-{node}").mkdir()

    def start(self, *nodes: int) -> None:
        for node in nodes or range(self.count):
            (self.folder / f"address-redis-{node}").write_text(self.addresses[node])
            replaced = {
                "/etc/redis/redis.conf": str(ROOM / "redis.conf"),
                "/etc/redis-auth": str(self.folder),
                "/data": str(self.folder / f"data-{node}"),
                "$(POD_IP)": self.addresses[node],
                "$(POD_NAME)": f"redis-{node}",
            }
            arguments = self.arguments
            for there, here in replaced.items():
                arguments = [argument.replace(there, here) for argument in arguments]
            self.processes[node] = subprocess.Popen(
                ["redis-server", *arguments, "--bind", self.addresses[node], "--port", PORT],
                stdout=(self.folder / f"log-{node}").open("ab"),
                stderr=subprocess.STDOUT,
            )

    def stop(self, *nodes: int) -> None:
        stopped = [self.processes.pop(node) for node in nodes or list(self.processes)]
        for process in stopped:
            process.terminate()
        for process in stopped:
            process.wait(20)

    def restart(self, addresses: Sequence[str]) -> None:
        self.stop()
        self.addresses = list(addresses)
        self.start()
        self.wait_until_they_answer()

    def wait_until_they_answer(self) -> None:
        deadline = time.monotonic() + 20
        while any(self.ask(node, "ping") != "PONG" for node in range(self.count)):
            assert time.monotonic() < deadline, "redis-server does not start: see the log files"
            time.sleep(0.1)

    def ask(self, node: int, *command: str) -> str:
        cli = ["redis-cli", "-h", self.addresses[node], "-p", PORT]
        return subprocess.run([*cli, *command], env=self.environment(), capture_output=True, text=True).stdout.strip()

    def write(self, keys: int) -> list[int]:
        """Write so many keys, and return how many each of the first three nodes, the masters, took."""
        for key in range(keys):
            assert [self.ask(node, "set", f"key{key}", "x") for node in range(3)].count("OK") == 1
        assert sum(self.sizes()) == keys
        return self.sizes()

    def sizes(self) -> list[int]:
        return [int(self.ask(node, "dbsize")) for node in range(3)]

    def environment(self) -> dict[str, str]:
        hosts = " ".join(f"{address}:{PORT}" for address in self.addresses)
        return {
            **os.environ,
            "REDISCLI_AUTH": PASSWORD,
            "REDIS_NODES": hosts,
            "REDIS_SHARDS": str(self.shards),
            "STATE_DIR": str(self.state),
            "ONCE": "1",
            "TIMEOUT_SECONDS": "60",
        }

    def keep_once(self) -> subprocess.CompletedProcess[str]:
        script = ["sh", str(ROOM / "keep.sh")]
        return subprocess.run(script, env=self.environment(), capture_output=True, text=True, timeout=90)

    def keep(self) -> subprocess.Popen[bytes]:
        """Start the endless loop, with names for the nodes that stay the same when their addresses change."""
        wrapper = self.folder / "named" / "redis-cli"
        wrapper.parent.mkdir()
        real = shutil.which("redis-cli")
        wrapper.write_text(
            f'#!/bin/sh\naddress=$(cat "{self.folder}/address-$2")\nshift 2\nexec {real} -h "$address" "$@"\n'
        )
        wrapper.chmod(0o755)
        environment = {
            **self.environment(),
            "PATH": f"{wrapper.parent}:{os.environ['PATH']}",
            "REDIS_NODES": " ".join(f"redis-{node}:{PORT}" for node in range(self.count)),
            "INTERVAL_SECONDS": "1",
        }
        del environment["ONCE"]
        with (self.folder / "keeper.log").open("wb") as log:
            keeper = subprocess.Popen(["sh", str(ROOM / "keep.sh")], env=environment, stdout=log, stderr=log)
        self.keepers.append(keeper)
        return keeper

    def keep_killed_after_one_command(self) -> tuple[int, str]:
        """Run the script until its first changing command is carried out, and kill it there.

        Returns its exit code (negative: killed) and that command, if there was one.
        """
        wrapper = self.folder / "bin" / "redis-cli"
        log = self.folder / "killed-after"
        log.unlink(missing_ok=True)
        if not wrapper.exists():
            wrapper.parent.mkdir()
            wrapper.write_text(
                "#!/bin/sh\n"
                f'{shutil.which("redis-cli")} "$@"\n'
                f'case "$*" in *" cluster "*) echo "$*" >>{log}; kill -9 "$VICTIM" ;; esac\n'
            )
            wrapper.chmod(0o755)
        environment = {**self.environment(), "PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
        script = ["sh", "-c", f"export VICTIM=$$; exec sh {ROOM / 'keep.sh'}"]
        done = subprocess.run(script, env=environment, stdout=subprocess.DEVNULL, timeout=90)
        return done.returncode, log.read_text().splitlines()[0] if log.exists() else ""

    def probe(self, script: str, node: int) -> int:
        wrapper = self.folder / "probe" / "redis-cli"
        wrapper.parent.mkdir(exist_ok=True)
        real = shutil.which("redis-cli")
        wrapper.write_text(f'#!/bin/sh\nexec {real} -h {self.addresses[node]} -p {PORT} "$@"\n')
        wrapper.chmod(0o755)
        environment = {**self.environment(), "PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
        return subprocess.run(["sh", str(ROOM / script)], env=environment, capture_output=True).returncode

    def table(self) -> list[str]:
        """Who is who, by id: role, master, slots, addresses; without times and epochs."""
        lines = [line.split() for line in self.ask(0, "cluster", "nodes").splitlines()]
        return sorted(" ".join([*line[:2], line[2].replace("myself,", ""), line[3], *line[7:]]) for line in lines)

    def address_of_master(self, node: int) -> str:
        """Where a replica copies from."""
        lines = self.ask(node, "info", "replication").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("master_host:"))

    def seen_from(self, node: int, address: str) -> tuple[str, str, str]:
        """What a node knows of the one at `address`: address, flags and link; empty if it knows none there."""
        for line in self.ask(node, "cluster", "nodes").splitlines():
            words = line.split()
            if words[1].startswith(f"{address}:"):
                return address, words[2], words[7]
        return "", "", ""

    def assert_whole(self) -> None:
        for node in range(self.count):
            info = self.ask(node, "cluster", "info").splitlines()
            assert {"cluster_state:ok", "cluster_slots_ok:16384", f"cluster_size:{self.shards}"} <= {
                line.strip() for line in info
            }
        replicas = [line.split()[3] for line in self.table() if " slave " in line]
        assert sorted(replicas.count(master) for master in set(replicas)) == [
            (self.count - self.shards) // self.shards
        ] * len(set(replicas))
        assert len(replicas) == self.count - self.shards


@pytest.fixture
def make_nodes(tmp_path: Path) -> Iterator[Any]:
    made: list[Nodes] = []

    def make(shards: int, replicas: int) -> Nodes:
        nodes = Nodes(tmp_path, shards, replicas)
        made.append(nodes)
        nodes.start()
        nodes.wait_until_they_answer()
        return nodes

    yield make
    for nodes in made:
        for process in [*nodes.keepers, *nodes.processes.values()]:
            process.kill()
            process.wait(10)


@needs_redis
@needs_linux_loopback
def test_redis_server_takes_the_configuration(make_nodes: Any) -> None:
    nodes = make_nodes(3, 0)
    expected = {
        "cluster-enabled": "yes",
        "cluster-preferred-endpoint-type": "hostname",
        "cluster-announce-ip": nodes.addresses[0],
        "cluster-announce-hostname": "redis-0.redis-headless.data.svc.cluster.local",
        "maxmemory": str(2 * 1024**3 * 65 // 100),
        "maxmemory-policy": "volatile-ttl",
        "appendonly": "yes",
        "min-replicas-to-write": "0",
        "requirepass": PASSWORD,
        "masterauth": PASSWORD,
    }
    for option, value in expected.items():
        assert nodes.ask(0, "config", "get", option).splitlines() == [option, value]
    assert (nodes.folder / "data-0" / "nodes.conf").exists()


@needs_redis
@needs_linux_loopback
def test_forms_a_cluster_repeats_as_nothing_and_heals(make_nodes: Any) -> None:
    nodes = make_nodes(3, 1)
    assert [nodes.probe(script, 0) for script in ("live.sh", "ready.sh")] == [0, 0]

    first = nodes.keep_once()
    assert first.returncode == 0, first.stdout
    nodes.assert_whole()
    assert nodes.probe("ready.sh", 0) == 0
    sizes = nodes.write(50)
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
        assert nodes.probe("live.sh", 0) == 0
        healed = nodes.keep_once()
        assert healed.returncode == 0, healed.stdout
        assert "cluster meet" in healed.stdout
        assert "addslotsrange" not in healed.stdout
        assert "replicate" not in healed.stdout
        nodes.assert_whole()
        assert nodes.sizes() == sizes


def eventually(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds} s: {what}"
        time.sleep(0.2)


@needs_redis
@needs_linux_loopback
def test_the_loop_heals_again_and_again(make_nodes: Any) -> None:
    nodes = make_nodes(3, 1)
    ready = nodes.state / "ready"
    ready.touch()  # left by the container before
    keeper = nodes.keep()
    eventually(lambda: not ready.exists(), 5, "not ready before it has looked")
    eventually(ready.exists, 60, "the cluster is formed")
    nodes.assert_whole()
    sizes = nodes.write(50)

    nodes.stop()
    eventually(lambda: not ready.exists(), 30, "not ready without nodes")

    # All but one come back, with new addresses: they serve without waiting for the last.
    nodes.addresses = [f"{nodes.network}.{50 + node}" for node in range(6)]
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
    assert nodes.sizes() == sizes

    # With each other's addresses.
    nodes.stop()
    eventually(lambda: not ready.exists(), 30, "not ready without nodes")
    nodes.addresses = nodes.addresses[1:] + nodes.addresses[:1]
    nodes.start()
    eventually(ready.exists, 60, "the cluster is healed again")
    nodes.assert_whole()
    assert nodes.sizes() == sizes

    assert time.time() - (nodes.state / "alive").stat().st_mtime < 10
    log = (nodes.folder / "keeper.log").read_text().splitlines()
    # What holds is told once, however often it is seen.
    assert log.count("done: 3 masters, 3 replicas, 16384 slots") == 3
    assert keeper.poll() is None
    keeper.terminate()
    assert keeper.wait(5) == 143


@needs_redis
@needs_linux_loopback
def test_a_replica_that_copies_from_an_old_address_is_turned(make_nodes: Any) -> None:
    nodes = make_nodes(3, 1)
    assert nodes.keep_once().returncode == 0
    master, other, replica = 0, 1, next(n for n in (3, 4, 5) if nodes.address_of_master(n) == nodes.addresses[0])
    old = nodes.addresses[master]
    nodes.restart([f"{nodes.network}.{50 + node}" for node in range(6)])
    new = nodes.addresses[master]

    # The replica is to hear of its master's address from another node, before its master itself meets it.
    eventually(lambda: nodes.seen_from(replica, old)[1] in ("master,fail?", "master,fail"), 20, "it misses its master")
    nodes.ask(master, "cluster", "meet", nodes.addresses[other], PORT)
    eventually(lambda: nodes.seen_from(other, new)[1:] == ("master", "connected"), 20, "the other knows the master")
    nodes.processes[master].send_signal(signal.SIGSTOP)
    try:
        nodes.ask(other, "cluster", "meet", nodes.addresses[replica], PORT)
        eventually(lambda: nodes.seen_from(replica, new)[0] == new, 20, "the replica knows its master's address")
    finally:
        nodes.processes[master].send_signal(signal.SIGCONT)
    assert nodes.address_of_master(replica) == old

    healed = nodes.keep_once()
    assert healed.returncode == 0, healed.stdout
    assert nodes.address_of_master(replica) == new
    nodes.assert_whole()


@needs_redis
@needs_linux_loopback
def test_killed_after_each_command_it_still_converges(make_nodes: Any) -> None:
    nodes = make_nodes(3, 1)
    commands = []
    while (outcome := nodes.keep_killed_after_one_command())[0] == -9:
        commands.append(outcome[1].split(f"-p {PORT} ")[1])
        assert len(commands) < 40
    assert outcome == (0, "")
    nodes.assert_whole()
    kinds = [" ".join(command.split()[:2]) for command in dict.fromkeys(commands)]
    # 5 introductions, 3 ranges, and the replicas of 3 masters: it was killed after every one of them.
    assert [kinds.count(kind) for kind in ("cluster meet", "cluster addslotsrange", "cluster replicate")] == [5, 3, 3]


@needs_redis
@needs_linux_loopback
def test_refuses_where_nodes_hold_keys_and_know_nobody(make_nodes: Any) -> None:
    nodes = make_nodes(3, 0)
    assert nodes.keep_once().returncode == 0
    sizes = nodes.write(50)
    nodes.stop()
    for node in range(3):
        (nodes.folder / f"data-{node}" / "nodes.conf").unlink()
    nodes.start()
    nodes.wait_until_they_answer()

    refused = nodes.keep_once()
    assert refused.returncode == 2
    assert f"holds {sizes[0]} keys but knows no other node" in refused.stdout
    assert "CLUSTER RESET HARD" in refused.stdout
    assert nodes.sizes() == sizes
    assert all("cluster_known_nodes:1" in nodes.ask(node, "cluster", "info") for node in range(3))

    # The loop waits for the person who mends it.
    keeper = nodes.keep()
    log = nodes.folder / "keeper.log"
    eventually(lambda: "refuse: " in log.read_text(), 30, "it says why it refuses")
    time.sleep(5)
    assert log.read_text().count("refuse: ") == 1
    assert keeper.poll() is None
    assert not (nodes.state / "ready").exists()
    for node in range(3):
        nodes.ask(node, "flushall")
        nodes.ask(node, "cluster", "reset", "hard")
    eventually((nodes.state / "ready").exists, 60, "a new cluster is formed")
    nodes.assert_whole()


@needs_redis
@needs_linux_loopback
def test_a_node_that_lost_its_volume_becomes_a_replica(make_nodes: Any) -> None:
    nodes = make_nodes(3, 1)
    assert nodes.keep_once().returncode == 0
    nodes.stop(0)
    shutil.rmtree(nodes.folder / "data-0")
    (nodes.folder / "data-0").mkdir()
    nodes.addresses[0] = f"{nodes.network}.99"
    nodes.start(0)

    healed = nodes.keep_once()
    assert healed.returncode == 0, healed.stdout
    assert "addslotsrange" not in healed.stdout
    assert "role:slave" in nodes.ask(0, "info", "replication")
    info = nodes.ask(0, "cluster", "info")
    assert "cluster_state:ok" in info
    assert "cluster_slots_ok:16384" in info


def fake_id(node: int) -> str:
    return f"{node:040x}"


def view(node: int, table: Sequence[tuple[int, str, str]], keys: int = 0, state: str = "ok") -> str:
    """What one node says. `table`: number, role (`master`, or its master's number) and slots of all that it knows."""
    lines = [f"NODE host{node}:6379", str(keys), f"cluster_state:{state}", "cluster_slots_ok:16384"]
    for other, role, slots in table:
        flags, master = ("master", "-") if role == "master" else ("slave", fake_id(int(role)))
        me = "myself," if other == node else ""
        lines.append(
            f"{fake_id(other)} 10.0.0.{other}:6379@16379,host{other} {me}{flags} {master} 0 0 1 connected {slots}"
        )
    return "\n".join(lines).replace(" \n", "\n") + "\n"


WHOLE = [(1, "master", "0-5460"), (2, "master", "5461-10921"), (3, "master", "10922-16383")]
AWKS = [awk for awk in (["awk"], ["mawk"], ["gawk"], ["busybox", "awk"]) if shutil.which(awk[0])]


@pytest.mark.parametrize("awk", AWKS, ids=" ".join)
@pytest.mark.parametrize(
    ("views", "plan"),
    [
        pytest.param([view(n, WHOLE) for n in (1, 2, 3)], "done 3 masters, 0 replicas, 16384 slots", id="whole"),
        pytest.param(
            [view(1, WHOLE), "NODE host2:6379\nLOADING Redis is loading the dataset in memory\n", view(3, WHOLE)],
            "wait host2:6379 does not answer yet",
            id="loading",
        ),
        pytest.param(
            [view(n, [(n, "master", "")]) for n in (1, 2, 3)],
            "run host1:6379 cluster meet 10.0.0.2 6379\nrun host1:6379 cluster meet 10.0.0.3 6379\nwait until all",
            id="strangers",
        ),
        pytest.param(
            [view(1, [(1, "master", "")]), "NODE host2:6379\n", view(3, [(3, "master", "")])],
            "wait host2:6379 does not answer yet\nwait until all",
            id="strangers and a silent node",
        ),
        pytest.param(
            [view(1, WHOLE), "NODE host2:6379\n", view(3, WHOLE).replace("10.0.0.3:", "10.0.0.9:")],
            "wait host2:6379 does not answer yet\nrun host1:6379 cluster meet 10.0.0.9 6379\nwait until all",
            id="a silent node and one with a new address",
        ),
        pytest.param(
            [view(1, WHOLE), "NODE host2:6379\n" + view(3, WHOLE).partition("\n")[2], view(3, WHOLE)],
            "wait host2:6379 still has the address of host3:6379\n",
            id="a name that is cached",
        ),
        pytest.param(
            [
                *(view(n, [*WHOLE, (4, "3", "")]) for n in (1, 2, 3)),
                view(4, [*WHOLE, (4, "3", "")]) + "master_host:10.0.0.2\nmaster_port:6379\nmaster_link_status:up\n",
            ],
            f"run host4:6379 cluster replicate {fake_id(3)}\n",
            id="a replica that copies from another's master",
        ),
        pytest.param(
            [view(1, [(1, "master", "")]), view(2, [(2, "master", "")], keys=7), view(3, [(3, "master", "")])],
            "refuse host2:6379 holds 7 keys but knows no other node",
            id="keys without nodes.conf",
        ),
        pytest.param(
            [
                view(1, [(1, "master", "0-16383"), (8, "1", "")]),
                *(view(n, [(n, "master", "9-99"), (9, "2", "")]) for n in (2, 3)),
            ],
            "refuse host1:6379 and host2:6379 both own slot 9 and do not know each other",
            id="two clusters",
        ),
        pytest.param(
            [view(n, [(1, "master", "0-99"), (2, "master", ""), (3, "master", "")], state="fail") for n in (1, 2, 3)],
            "refuse 5361 of the slots 0-5460 are unassigned, and host1:6379 is not free to take them",
            id="partly assigned",
        ),
        pytest.param(
            [view(n, [(1, "master", ""), (2, "1", ""), (3, "master", "")], state="fail") for n in (1, 2, 3)],
            "refuse 5461 of the slots 5461-10921 are unassigned, and host2:6379 is not free to take them",
            id="a replica in place of a master",
        ),
        pytest.param(
            [view(n, [(1, "master", "0-5460"), (2, "master", ""), (3, "master", "")], state="fail") for n in (1, 2, 3)],
            "run host2:6379 cluster addslotsrange 5461 10921\nrun host3:6379 cluster addslotsrange 10922 16383\n",
            id="one range assigned",
        ),
        pytest.param(
            [view(n, [*WHOLE[:2], (3, "master", ""), (9, "master", "10922-16383")]) for n in (1, 2, 3)],
            f"refuse slot 10922 belongs to the node {fake_id(9)} at 10.0.0.9:6379, which is none of these",
            id="a lost master without replica",
        ),
        pytest.param(
            [view(n, [*WHOLE[:2], (3, "9", ""), (9, "master", "10922-16383")]) for n in (1, 2, 3)],
            f"wait host3:6379 is to take over from its lost master {fake_id(9)}",
            id="a lost master with a replica",
        ),
        pytest.param(
            [
                view(n, [*WHOLE[:2], (3, "9", ""), (9, "master", "10922-16383")]).replace(
                    "host9 master", "host9 master,noaddr"
                )
                for n in (1, 2, 3)
            ],
            f"refuse host3:6379 follows the lost master {fake_id(9)}, whose address is another node's now",
            id="a lost master whose address is in use",
        ),
        pytest.param(
            [view(n, [*WHOLE, (4, "1", ""), (5, "master", ""), (6, "master", "")]) for n in range(1, 7)],
            f"run host5:6379 cluster replicate {fake_id(2)}\nrun host6:6379 cluster replicate {fake_id(3)}\n",
            id="replicas spread",
        ),
    ],
)
def test_the_plan(awk: list[str], views: list[str], plan: str) -> None:
    command = [*awk, "-v", "shards=3", "-f", str(ROOM / "plan.awk")]
    planned = subprocess.run(command, input="".join(views), capture_output=True, text=True, check=True).stdout
    assert planned.startswith(plan)


def test_a_refusal_needs_two_looks(tmp_path: Path) -> None:
    # As between the two halves of a slot's move: nobody owns slot 5460, at the first look.
    moving = [(1, "master", "0-5459"), *WHOLE[1:]]
    for look, table in (("early", moving), ("late", WHOLE)):
        for node in (1, 2, 3):
            (tmp_path / f"{look}-host{node}").write_text(view(node, table).partition("\n")[2])
    (tmp_path / "redis-cli").write_text(
        f"#!/bin/sh\ncd {tmp_path}\necho >>calls\n"
        '[ "$(wc -l <calls)" -le 3 ] && exec cat "early-$2"\n'
        'exec cat "late-$2"\n'
    )
    (tmp_path / "redis-cli").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "REDIS_NODES": "host1:6379 host2:6379 host3:6379",
        "REDIS_SHARDS": "3",
        "STATE_DIR": str(tmp_path),
        "ONCE": "1",
    }
    done = subprocess.run(["sh", ROOM / "keep.sh"], env=environment, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "done: 3 masters, 0 replicas, 16384 slots\n")
    early = "".join(f"NODE host{n}:6379\n" + (tmp_path / f"early-host{n}").read_text() for n in (1, 2, 3))
    command = ["awk", "-v", "shards=3", "-f", str(ROOM / "plan.awk")]
    assert subprocess.run(command, input=early, capture_output=True, text=True).stdout.startswith(
        "refuse 1 of the slots"
    )


def test_more_shards_join_as_empty_masters_and_are_reported() -> None:
    table = [*WHOLE, (4, "master", "")]
    command = ["awk", "-v", "shards=4", "-f", str(ROOM / "plan.awk")]
    views = "".join(view(n, table) for n in (1, 2, 3, 4))
    planned = subprocess.run(command, input=views, capture_output=True, text=True, check=True).stdout
    assert planned == (
        "done 3 masters, 0 replicas, 16384 slots; masters without slots: 1,"
        " to give them some run redis-cli --cluster rebalance host1:6379 --cluster-use-empty-masters\n"
    )


@pytest.mark.parametrize(
    ("reply", "alive"),
    [
        ("PONG", True),
        ("LOADING Redis is loading the dataset in memory", True),
        ("MASTERDOWN Link with MASTER is down", True),
        ("Could not connect to Redis", False),
        ("", False),
    ],
)
def test_liveness_takes_any_answer(tmp_path: Path, reply: str, alive: bool) -> None:
    (tmp_path / "redis-cli").write_text(f"#!/bin/sh\necho '{reply}'\n")
    (tmp_path / "redis-cli").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert (subprocess.run(["sh", ROOM / "live.sh"], env=environment).returncode == 0) is alive


def replies(*lines: str) -> str:
    return "\n".join(["PONG", *lines])


@pytest.mark.parametrize(
    ("reply", "ready"),
    [
        pytest.param(replies("cluster_state:fail", "cluster_slots_assigned:0", "role:master"), True, id="new"),
        pytest.param(replies("cluster_state:fail", "cluster_slots_assigned:5461", "role:master"), True, id="half-made"),
        pytest.param(replies("cluster_state:fail", "cluster_slots_assigned:16384", "role:master"), False, id="failed"),
        pytest.param(replies("cluster_state:ok", "cluster_slots_assigned:16384", "role:master"), True, id="master"),
        pytest.param(
            replies("cluster_state:ok", "cluster_slots_assigned:16384", "master_link_status:down"), False, id="behind"
        ),
        pytest.param(
            replies("cluster_state:ok", "cluster_slots_assigned:16384", "master_link_status:up"), True, id="replica"
        ),
        pytest.param("LOADING Redis is loading the dataset in memory", False, id="loading"),
    ],
)
def test_readiness(tmp_path: Path, reply: str, ready: bool) -> None:
    (tmp_path / "reply").write_text(reply.replace("\n", "\r\n"))
    (tmp_path / "redis-cli").write_text(f"#!/bin/sh\ncat {tmp_path}/reply\n")
    (tmp_path / "redis-cli").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert (subprocess.run(["sh", ROOM / "ready.sh"], env=environment).returncode == 0) is ready
