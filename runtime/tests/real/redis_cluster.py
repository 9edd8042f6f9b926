"""A Redis Cluster of three masters and three replicas, in a folder of its own."""

from __future__ import annotations

import hashlib
import random
import shutil
import signal
import socket
import subprocess
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from agentstack_runtime.contract import Redis

USER, PASSWORD = "agent", "secret"
# As components/redis/users.py gives them to an agent; tests/unit/test_redis.py of the stack holds the two together.
RIGHTS = Path(__file__).with_name("agent.acl").read_text().strip()
_NODE_TIMEOUT_MS = 1500
_REPLICATED = ("--cluster-replicas", "1", "--cluster-yes")


def missing() -> str | None:
    """Say why there can be no cluster, and what would make it."""
    absent = [program for program in ("redis-server", "redis-cli") if shutil.which(program) is None]
    return f"{' and '.join(absent)} not on PATH: install Redis (Debian: redis-server)" if absent else None


class Cluster:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = free_ports(6)
        self.nodes = {port: self._start(port) for port in self.ports}
        for port in self.ports:
            _eventually(lambda port=port: self.cli(port, "ping") == "PONG", 15)  # type: ignore[misc]
        addresses = [f"127.0.0.1:{port}" for port in self.ports]
        created = subprocess.run(
            [
                *f"redis-cli -p {self.ports[0]} --cluster create".split(),
                *addresses,
                *["--cluster-replicas", "1", "--cluster-yes"],
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert created.returncode == 0, created.stdout + created.stderr
        self.heal()

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        folder = self.folder / str(port)
        folder.mkdir(exist_ok=True)
        digest = hashlib.sha256(PASSWORD.encode()).hexdigest()
        (folder / "users.acl").write_text(f"user default on nopass ~* &* +@all\nuser {USER} on #{digest} {RIGHTS}\n")
        arguments = {
            "port": port,
            "dir": folder,
            "cluster-enabled": "yes",
            "cluster-node-timeout": _NODE_TIMEOUT_MS,
            "cluster-require-full-coverage": "no",
            "aclfile": folder / "users.acl",
            "appendonly": "no",
            "save": "",
            "loglevel": "warning",
        }
        flags = [text for name, value in arguments.items() for text in (f"--{name}", str(value))]
        return subprocess.Popen(["redis-server", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def login(self, *, dies: int | None = None) -> Redis:
        """Return what an agent gets. Its Service leads to a node that lives: here, to one that is not about to die."""
        port = next(port for port, node in self.nodes.items() if port != dies and node.poll() is None)
        url = SecretStr(f"redis://{USER}:{PASSWORD}@127.0.0.1:{port}")
        return Redis(url=url, host="127.0.0.1", port=port, conversation_ttl=timedelta(hours=24))

    def cli(self, port: int, *command: str) -> str:
        done = subprocess.run(
            ["redis-cli", "-p", str(port), *command], capture_output=True, text=True, timeout=10, check=False
        )
        return done.stdout.strip()

    def master_of(self, key: str) -> int:
        """Return the port of the node that `key` is on."""
        slot = int(self.cli(self._any(), "cluster", "keyslot", key))
        for line in self.cli(self._any(), "cluster", "nodes").splitlines():
            _, address, flags, _, _, _, _, link, *ranges = line.split()
            if "master" in flags and "fail" not in flags and link == "connected":
                for first, _, last in (text.partition("-") for text in ranges if not text.startswith("[")):
                    if int(first) <= slot <= int(last or first):
                        return int(address.partition("@")[0].rpartition(":")[2])
        raise AssertionError("no master has the slot")

    def replica_of(self, port: int) -> int:
        """Return the port of the one replica of the master at `port`."""
        line = self.cli(port, "info", "replication").partition("slave0:")[2].splitlines()[0]
        return int(dict(part.split("=") for part in line.split(","))["port"])

    def kill(self, port: int) -> None:
        self.nodes[port].kill()
        self.nodes[port].wait()

    def pause(self, port: int) -> None:
        self.nodes[port].send_signal(signal.SIGSTOP)

    def resume(self, port: int) -> None:
        self.nodes[port].send_signal(signal.SIGCONT)

    def heal(self) -> None:
        """Start what is dead, and wait until three masters have one replica each."""
        for port, node in self.nodes.items():
            if node.poll() is not None:
                self.nodes[port] = self._start(port)
            node.send_signal(signal.SIGCONT)

        def whole() -> bool:
            for port in self.ports:
                nodes = self.cli(port, "cluster", "nodes")
                if nodes.count("connected") != 6 or "fail" in nodes or nodes.count("master") != 3:
                    return False
                if "cluster_state:ok" not in self.cli(port, "cluster", "info"):
                    return False
            return all("master_link_status:down" not in self.cli(port, "info", "replication") for port in self.ports)

        _eventually(whole, 40)

    def stop(self) -> None:
        for node in self.nodes.values():
            node.kill()
            node.wait()

    def _any(self) -> int:
        return next(port for port, node in self.nodes.items() if node.poll() is None)


def free_ports(count: int) -> list[int]:
    """Return free ports whose bus ports (10,000 above) are free too."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(12000, 22000)
        with closing(socket.socket()) as one, closing(socket.socket()) as bus:
            try:
                one.bind(("127.0.0.1", port))
                bus.bind(("127.0.0.1", port + 10000))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def _eventually(condition, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(0.2)
