"""A Redis Cluster of real processes on loopback addresses, configured as the component configures its pods."""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import pulumi
from pulumi.runtime import mocks

import components.redis
from components.context import Context, Namespace, StackNamespaces
from components.redis.component import RedisCluster
from settings import AgentSettings, Certificates, RedisSettings

FILES = Path(components.redis.__file__).parent / "files"
PORT = 7000
AGENT = "worker"
AGENT_KEYS = "conversation:"
OPERATOR = "_operator"


class Engine(NamedTuple):
    """A server and its client program."""

    server: Path
    cli: Path

    @property
    def name(self) -> str:
        """Such as `redis-7.0` or `valkey-8.1`."""
        return f"{self.server.name.removesuffix('-server')}-{self.version[0]}.{self.version[1]}"

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor."""
        told = subprocess.run([self.server, "--version"], capture_output=True, text=True, check=True).stdout
        major, minor = re.search(r"v=(\d+)\.(\d+)", told).groups()  # type: ignore[union-attr]
        return int(major), int(minor)

    @staticmethod
    def all_here() -> list[Engine]:
        """Return those on PATH, and those in the folders of REDIS_ENGINES, which is written as PATH is."""
        paths = [None, *filter(None, os.environ.get("REDIS_ENGINES", "").split(os.pathsep))]
        found = [
            (shutil.which(f"{kind}-server", path=path), shutil.which(f"{kind}-cli", path=path))
            for path in paths
            for kind in ("redis", "valkey")
        ]
        return [Engine(Path(server), Path(cli)) for server, cli in found if server and cli]


class Rendered(NamedTuple):
    """What the component makes of settings."""

    arguments: list[str]
    environment: dict[str, str]
    files: dict[str, str]
    """The Secret `redis-auth`."""


def render(spec: RedisSettings) -> Rendered:
    """Return the arguments of a node, the environment of its scripts, and the files it mounts."""
    seen: dict[tuple[str, str], Any] = {}

    class Recorder(mocks.Mocks):
        def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
            seen[args.typ, args.name] = args.inputs
            return args.name, {**args.inputs, "result": password(args.name.removeprefix("redis-"))}

        def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], None]:
            return {}, None

    mocks.set_mocks(Recorder(), project="agentstack", stack="test")

    @pulumi.runtime.test
    def program() -> None:
        here = Namespace.existing("data")
        agent = AgentSettings(image="worker:1", uses=("redis",), redis_keys=(f"{AGENT_KEYS}*",))
        RedisCluster("redis", spec, Context(agents={AGENT: agent}, namespaces=StackNamespaces(agents=here, data=here)))

    program()
    template = seen["kubernetes:apps/v1:StatefulSet", "redis"]["spec"]["template"]
    container = template["spec"]["containers"][0]
    environment = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
    return Rendered(
        container["args"], environment, seen["kubernetes:core/v1:Secret", "redis-auth"]["stringData"]["value"]
    )


def password(user: str) -> str:
    """Return the password that the tests give a user."""
    return f"of-{user}"


class Authority:
    """A certificate authority in a folder, which signs with the program `openssl`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._openssl("req -x509 -subj /CN=authority -days 2 -nodes -keyout ca.key -out ca.crt", new_key=True)

    def certify(self, target: Path) -> None:
        """Write `tls.key`, `tls.crt` and `ca.crt` to a folder, each time with a new key."""
        self._openssl("req -subj /CN=redis -nodes -keyout tls.key -out tls.csr", new_key=True)
        self._openssl("x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 1 -out tls.crt")
        for file in ("ca.crt", "tls.key", "tls.crt"):
            shutil.copy(self.folder / file, target / file)

    def _openssl(self, arguments: str, *, new_key: bool = False) -> None:
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if new_key else []
        subprocess.run(["openssl", *arguments.split(), *key], cwd=self.folder, check=True, capture_output=True)


class Nodes:
    """Server processes, each with an address, as in pods, and a folder, as on a claim, of its own.

    `places` are the Kubernetes nodes that the pods say they run on. The scripts know the nodes by names, `redis-0` and
    so on, that stay the same when the addresses change, and their own node by `localhost`.
    """

    def __init__(
        self, folder: Path, engine: Engine, *, tls: bool, shards: int, replicas: int, places: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self.engine = engine
        self.tls = tls
        self.places = places
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.keepers: list[subprocess.Popen[bytes]] = []
        # Every test has a network of its own, so that tests can run side by side.
        self.network = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}"
        self.addresses: list[str] = []
        self.state = folder / "state"
        self.state.mkdir()
        self._cli = folder / engine.cli.name
        self._cli.write_text(
            f'#!/bin/sh\naddress=$2\n[ "$2" != localhost ] || address=$NODE\n'
            f'[ ! -f "{folder}/address-$2" ] || address=$(cat "{folder}/address-$2")\n'
            f'shift 4\nexec {engine.cli} -h "$address" -p {PORT} "$@"\n'
        )
        self._cli.chmod(0o755)
        self.resize(shards, replicas)
        if tls:
            self.authority = Authority(folder / "authority")
            self.authority.certify(folder)

    def resize(self, shards: int, replicas: int) -> None:
        """Set what the settings say; new nodes are not started yet."""
        self.shards, self.replicas = shards, replicas
        certificates = Certificates(existing_secret="redis-tls") if self.tls else None
        spec = RedisSettings(shards=shards, replicas_per_shard=replicas, tls=certificates)
        self.count = spec.nodes
        self._arguments, environment, files = render(spec)
        for name, text in files.items():
            (self.folder / name).write_text(text)
        self._environment = {
            **os.environ,
            **environment,
            "REDIS_CLI": str(self._cli),
            "REDISCLI_AUTH": password(OPERATOR),
            "STATE_DIR": str(self.state),
        }
        if self.tls:
            self._environment["REDIS_TLS_DIR"] = str(self.folder)
        for node in range(len(self.addresses), self.count):
            self.move(node, f"{self.network}.{10 + node}")

    def move(self, node: int, address: str) -> None:
        """Give a node, new or stopped, another address."""
        self.addresses[node : node + 1] = [address]
        (self.folder / f"address-redis-{node}").write_text(address)

    def start(self, *nodes: int) -> None:
        """Start these nodes, or all."""
        for node in nodes or range(self.count):
            data = self.folder / f"data-{node}"
            data.mkdir(exist_ok=True)
            replaced = {
                "/etc/redis/redis.conf": str(FILES / "redis.conf"),
                "/etc/redis-auth": str(self.folder),
                "/etc/redis-tls": str(self.folder),
                "/data": str(data),
                "$(POD_IP)": self.addresses[node],
                "$(POD_NAME)": f"redis-{node}",
                "$(NODE_NAME)": self.places[node] if self.places else f"worker-{node}",
            }
            arguments = list(self._arguments)
            if self.engine.version < (7, 2):  # it does not know the names of Kubernetes nodes
                at = arguments.index("--cluster-announce-human-nodename")
                del arguments[at : at + 2]
            for there, here in replaced.items():
                arguments = [argument.replace(there, here) for argument in arguments]
            arguments = [str(PORT) if argument == "6379" else argument for argument in arguments]
            port = [] if self.tls else ["--port", str(PORT)]
            self.processes[node] = subprocess.Popen(
                [self.engine.server, *arguments[1:], "--bind", self.addresses[node], *port],
                stdout=(self.folder / f"log-{node}").open("ab"),
                stderr=subprocess.STDOUT,
            )
        for node in nodes or range(self.count):
            eventually(lambda node=node: self.ask(node, "ping") == "PONG", 20, f"node {node} answers: see its log")

    def stop(self, *nodes: int, kill: bool = False) -> None:
        """Stop these nodes, or all."""
        stopped = [self.processes.pop(node) for node in nodes or list(self.processes)]
        for process in stopped:
            process.kill() if kill else process.terminate()
        for process in stopped:
            process.wait(20)

    def restart(self, addresses: Iterable[str]) -> None:
        """Stop all nodes and start them again at other addresses."""
        self.stop()
        for node, address in enumerate(addresses):
            self.move(node, address)
        self.start()

    def end(self) -> None:
        """End all processes."""
        for process in [*self.keepers, *self.processes.values()]:
            process.kill()
            process.wait(10)

    def ask(self, node: int, *command: str, user: str = OPERATOR) -> str:
        """Return a node's reply to a command."""
        tls = ["--tls", "--cacert", str(self.folder / "ca.crt")] if self.tls else []
        cli = [self.engine.cli, "-h", self.addresses[node], "-p", str(PORT), "--user", user, *tls]
        environment = {**os.environ, "REDISCLI_AUTH": password(user)}
        done = subprocess.run([*cli, *command], env=environment, capture_output=True, text=True, timeout=10)
        return done.stdout.strip()

    def info(self, node: int, section: str) -> dict[str, str]:
        """Return a section of a node's INFO."""
        lines = self.ask(node, "info", section).splitlines()
        return {key: value for key, _, value in (line.strip().partition(":") for line in lines)}

    def run(self, script: str, *, node: int | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a script of the component until it ends; with `node`, as in that node's pod."""
        environment = {**self._environment, **variables}
        if node is not None:
            environment["NODE"] = self.addresses[node]
        command = ["sh", str(FILES / script)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    def keeper_environment(self) -> dict[str, str]:
        """What keep.sh reads."""
        return {
            "REDIS_NODES": " ".join(f"redis-{node}:{PORT}" for node in range(self.count)),
            "REDIS_SHARDS": str(self.shards),
            "INTERVAL_SECONDS": "1",
        }

    def keep_once(self, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run keep.sh until the cluster is whole."""
        return self.run("keep.sh", **{**self.keeper_environment(), "ONCE": "1", "TIMEOUT_SECONDS": "90", **variables})

    def keep(self, **variables: str) -> subprocess.Popen[bytes]:
        """Start the endless loop."""
        environment = {**self._environment, **self.keeper_environment(), **variables}
        with (self.folder / "keeper.log").open("ab") as log:
            keeper = subprocess.Popen(["sh", str(FILES / "keep.sh")], env=environment, stdout=log, stderr=log)
        self.keepers.append(keeper)
        return keeper

    def keep_killed_after_one_command(self) -> tuple[int, str]:
        """Run keep.sh until it has carried out a changing command that it was not killed after before; kill it there.

        Where many slots move, it is killed in the middle of one, but only the first two times, for there are thousands.
        Returns its exit code (negative: killed) and that command, if there was one.
        """
        wrapper, log = self.folder / "killing-cli", self.folder / "killed-after"
        before = self.folder / "killed-after-before"
        before.touch()
        log.unlink(missing_ok=True)
        wrapper.write_text(
            f"""#!/bin/sh
die() {{
  ! grep -qxF -e "$*" {before} || return 0
  echo "$*" | tee -a {before} >>{log}
  kill -9 "$VICTIM"
}}
case "$*" in
*" reshard "*)
  echo >>{log}s
  [ "$(wc -l <{log}s)" -le 2 ] || exec {self._cli} "$@"
  rm -f {log}.out
  {self._cli} "$@" >{log}.out 2>&1 &
  until grep -q '^Moving slot' {log}.out 2>/dev/null; do kill -0 $! || break; done
  kill -9 $!
  die "reshard $(wc -l <{log}s)"
  ;;
*" cluster "[mars]*)
  {self._cli} "$@"
  die "$(echo "$*" | sed 's/.* cluster/cluster/')"
  ;;
*)
  read -r line || exec {self._cli} "$@" </dev/null
  {{ echo "$line"; cat; }} | {self._cli} "$@"
  case $line in migrate*) die "$line" ;; esac
  ;;
esac
"""
        )
        wrapper.chmod(0o755)
        environment = {
            **self._environment,
            **self.keeper_environment(),
            "ONCE": "1",
            "TIMEOUT_SECONDS": "120",
            "RELOAD_SECONDS": "9999999999",
            "REDIS_CLI": str(wrapper),
        }
        script = ["sh", "-c", f"export VICTIM=$$; exec sh {FILES / 'keep.sh'}"]
        with (self.folder / "keeper.log").open("ab") as output:
            done = subprocess.run(script, env=environment, stdout=output, timeout=150)
        return done.returncode, log.read_text().splitlines()[0] if log.exists() else ""

    def table(self) -> list[str]:
        """Who is who, by id: role, master, slots, addresses; without times and epochs."""
        lines = [line.split() for line in self.ask(0, "cluster", "nodes").splitlines()]
        return sorted(" ".join([*line[:2], line[2].replace("myself,", ""), line[3], *line[7:]]) for line in lines)

    def masters(self) -> list[int]:
        """The nodes that are masters, as they see it themselves."""
        return [node for node in self.processes if self.info(node, "replication")["role"] == "master"]

    def replica_of(self, master: int) -> int:
        """A replica of that node."""
        return next(
            n for n in self.processes if self.info(n, "replication").get("master_host") == self.addresses[master]
        )

    def slots(self) -> dict[int, int]:
        """How many slots each master has, as the first node sees it."""
        counts: dict[int, int] = {}
        for line in self.ask(next(iter(self.processes)), "cluster", "nodes").splitlines():
            words = line.split()
            if "master" in words[2] and len(words) > 8:
                ends = [words[:1] + words[-1:] for words in (word.split("-") for word in words[8:] if word[0] != "[")]
                count = sum(int(last) - int(first) + 1 for first, last in ends)
                counts[self.addresses.index(words[1].split(":")[0])] = count
        return counts

    def assert_whole(self) -> None:
        """Every node sees every slot served, and every shard has its masters and replicas."""
        for node in range(self.count):
            info = self.ask(node, "cluster", "info").splitlines()
            assert {"cluster_state:ok", "cluster_slots_ok:16384", f"cluster_size:{self.shards}"} <= {
                line.strip() for line in info
            }
        masters = self.masters()
        assert len(masters) == self.shards
        followed = [self.info(node, "replication").get("master_host") for node in self.processes]
        assert {followed.count(self.addresses[master]) for master in masters} == {self.replicas}


class ReplyError(Exception):
    """The node's reply is an error: the command was not carried out."""


class Client:
    """As an agent's library: asks the node that a slot is on, follows MOVED and ASK, and tries again for a while."""

    def __init__(self, nodes: Nodes, user: str = AGENT, *, patience: float = 20) -> None:
        self.nodes = nodes
        self.user = user
        self.patience = patience
        self.longest = 0.0
        """How long the slowest command took, in seconds."""
        self.unanswered = 0
        """How many times a command was sent again because no reply came: it may have been carried out twice."""
        self._links: dict[int, Any] = {}
        self._known: dict[str, int] = {}

    def do(self, *command: str, key: str) -> Any:
        """Return the reply to a command; a list comes as a list."""
        began = time.monotonic()
        tag = re.search(r"\{(.+?)\}", key)
        slot = tag.group(1) if tag else key
        asking = False
        node = self._known.get(slot, 0)
        while True:
            try:
                reply = self.call(node, *command, asking=asking)
                self.longest = max(self.longest, time.monotonic() - began)
                return reply
            except (ReplyError, OSError) as error:
                if time.monotonic() - began > self.patience:
                    raise
                kind, *rest = str(error).split()
                asking = kind == "ASK"
                if kind in ("MOVED", "ASK"):
                    node = int(rest[1].removeprefix("redis-").partition(".")[0])
                    if kind == "MOVED":
                        self._known[slot] = node
                elif isinstance(error, OSError) or kind in ("CLUSTERDOWN", "TRYAGAIN", "LOADING", "MASTERDOWN"):
                    self.unanswered += isinstance(error, OSError)
                    node = random.choice(list(self.nodes.processes))
                    time.sleep(0.05)
                else:
                    raise

    def call(self, node: int, *command: str, asking: bool = False) -> Any:
        """Return one node's reply to a command."""
        try:
            if node not in self._links:
                link = socket.create_connection((self.nodes.addresses[node], PORT), timeout=5)
                if self.nodes.tls:
                    trust = ssl.create_default_context(cafile=str(self.nodes.folder / "ca.crt"))
                    trust.check_hostname = False
                    link = trust.wrap_socket(link)
                self._links[node] = link.makefile("rwb")
                self._call(node, "AUTH", self.user, password(self.user))
            if asking:
                self._call(node, "ASKING")
            return self._call(node, *command)
        except OSError:
            self._links.pop(node, None)
            raise

    def _call(self, node: int, *command: str) -> Any:
        link = self._links[node]
        words = [f"${len(word.encode())}\r\n{word}\r\n" for word in command]
        link.write(f"*{len(words)}\r\n{''.join(words)}".encode())
        link.flush()
        return self._reply(link)

    def _reply(self, link: Any) -> Any:
        line = link.readline().decode().rstrip("\r\n")
        if not line:
            raise ConnectionResetError("closed")
        kind, rest = line[0], line[1:]
        if kind == "-":
            raise ReplyError(rest)
        if kind == "$":
            return None if rest == "-1" else link.read(int(rest) + 2)[:-2].decode()
        if kind == "*":
            return [self._reply(link) for _ in range(int(rest))]
        return rest


class Load:
    """Writers that go on until the block ends: values set once, and counters, which show a write carried out twice."""

    WRITERS = 2

    def __init__(self, nodes: Nodes) -> None:
        self.clients = [Client(nodes) for _ in range(self.WRITERS)]
        self.acknowledged: list[dict[str, str]] = [{} for _ in self.clients]
        self.counted: list[dict[str, int]] = [{} for _ in self.clients]
        self.perhaps: list[dict[str, int]] = [{} for _ in self.clients]
        """Of every counter, how many of its commands were sent again without knowing what became of the first."""
        self.refused: list[str] = []
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(self.WRITERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(60)

    def _write(self, writer: int) -> None:
        client, chance = self.clients[writer], random.Random(writer)
        number = 0
        while not self._end.is_set():
            time.sleep(0.002)  # leave the processor to the nodes
            number += 1
            tag = chance.randrange(2000)
            key, counter = f"{AGENT_KEYS}{{{tag}}}:{writer}:{number}", f"{AGENT_KEYS}{{{tag}}}:{writer}:count"
            try:
                client.do("SET", key, str(number), key=key)
                self.acknowledged[writer][key] = str(number)
                before = client.unanswered
                client.do("INCR", counter, key=counter)
                self.counted[writer][counter] = self.counted[writer].get(counter, 0) + 1
                self.perhaps[writer][counter] = self.perhaps[writer].get(counter, 0) + client.unanswered - before
            except (ReplyError, OSError) as error:
                self.refused.append(str(error))

    @property
    def longest(self) -> float:
        """How long the slowest command took, in seconds."""
        return max(client.longest for client in self.clients)

    def assert_nothing_lost(self) -> None:
        """Every acknowledged value is there, and every counter stands where its replies say."""
        assert not self.refused, self.refused[:3]
        assert sum(map(len, self.acknowledged)) > 100, "hardly any load"
        writers = zip(self.clients, self.acknowledged, self.counted, self.perhaps, strict=True)
        for client, values, counts, perhaps in writers:
            for key, value in values.items():
                assert client.do("GET", key, key=key) == value, f"{key} is lost"
            for key, count in counts.items():
                stands = int(client.do("GET", key, key=key))
                assert count <= stands <= count + perhaps[key], f"{key} is not counted once"


def eventually(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until the condition holds, and return how long that took.

    `seconds` are those of an idle machine: another test that loads its servers may take half of this one.
    """
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < 2 * seconds, f"not in {2 * seconds} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - began
