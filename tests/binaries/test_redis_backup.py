"""Snapshot and restore against real Redis Clusters on loopback addresses, and a real S3 server."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

import components.redis
from components.redis.backup.cronjobs import rclone_environment
from settings import BackupBucket

from .ports import free_port
from .redis_nodes import eventually

FILES = Path(components.redis.__file__).parent / "files"
USER, PASSWORD = "_operator", "of-the-test"
PORT = 7000
WHOLE = "[0-9]" * 8 + "T" + "[0-9]" * 6 + "Z"

pytestmark = pytest.mark.skipif(
    os.uname().sysname != "Linux", reason="only Linux answers on all of 127.0.0.0/8: run the tests there"
)
needs_rclone = pytest.mark.skipif(shutil.which("rclone") is None, reason="rclone is not on PATH: install it")


# Where Valkey is not on PATH: REDIS_ENGINES, which is written as PATH is.
PROGRAMS = os.pathsep.join(filter(None, (os.environ["PATH"], os.environ.get("REDIS_ENGINES"))))


def engine(name: str) -> Any:
    missing = [tool for tool in ("server", "cli", "check-rdb") if shutil.which(f"{name}-{tool}", path=PROGRAMS) is None]
    reason = f"no {' '.join(f'{name}-{tool}' for tool in missing)} on PATH or in REDIS_ENGINES: install it"
    return pytest.param(name, marks=pytest.mark.skipif(bool(missing), reason=reason))


class Node:
    """A server process with an address of its own, as a pod's."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        self.cluster = cluster
        self.address = f"{cluster.network}.{10 + number}"
        self.folder = cluster.folder / f"node-{number}"
        self.folder.mkdir()
        listen = ["--port", str(PORT)]
        if cluster.tls:
            files = [("ca-cert", "ca.crt"), ("cert", "tls.crt"), ("key", "tls.key")]
            listen = ["--port", "0", "--tls-port", str(PORT), "--tls-cluster", "yes", "--tls-replication", "yes"]
            listen += ["--tls-auth-clients", "no"]
            listen += [word for option, file in files for word in (f"--tls-{option}-file", str(cluster.tls / file))]
        options = ["--bind", self.address, "--cluster-announce-ip", self.address, "--aclfile", str(cluster.users)]
        options += ["--masteruser", "_replica", "--masterauth", PASSWORD, "--dir", str(self.folder)]
        options += ["--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0", *listen]
        self.process = subprocess.Popen(
            [f"{cluster.engine}-server", str(FILES / "redis.conf"), *options],
            env={**os.environ, "PATH": PROGRAMS},
            stdout=(self.folder / "log").open("wb"),
            stderr=subprocess.STDOUT,
        )

    def logs_in(self) -> bool:
        """Whether it answers on a new connection, which is then the one for all commands."""
        self.__dict__.pop("_connection", None)
        with contextlib.suppress(OSError):
            return bool(self("AUTH", USER, PASSWORD) == "OK")
        return False

    @cached_property
    def _connection(self) -> tuple[socket.socket, Any]:
        connection = socket.create_connection((self.address, PORT), 20)
        if self.cluster.tls:
            context = ssl.create_default_context(cafile=str(self.cluster.tls / "ca.crt"))
            context.check_hostname = False
            connection = context.wrap_socket(connection)
        return connection, connection.makefile("rb")

    def __call__(self, *command: object) -> Any:
        """Run a command, whose words may hold any byte, and return the reply; errors are returned as text."""
        connection, replies = self._connection
        encoded = [word if isinstance(word, bytes) else str(word).encode() for word in command]
        connection.sendall(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in encoded))
        return _reply(replies)

    @property
    def slot(self) -> int:
        """The first slot that this master owns."""
        line = next(line for line in self("CLUSTER", "NODES").decode().splitlines() if "myself" in line)
        return int(line.split()[8].partition("-")[0])


def _reply(stream: Any) -> Any:
    kind, text = (line := stream.readline())[:1], line[1:-2]
    match kind:
        case b"$":
            return None if text == b"-1" else stream.read(int(text) + 2)[:-2]
        case b"*":
            return [_reply(stream) for _ in range(int(text))]
        case b":":
            return int(text)
        case _:
            return text.decode()


class Cluster:
    """A Redis Cluster, to be formed and stopped."""

    def __init__(self, folder: Path, engine: str, *, shards: int, replicas: int = 0, tls: Path | None = None) -> None:
        self.folder, self.engine, self.tls, self.shards, self.replicas = folder, engine, tls, shards, replicas
        folder.mkdir()
        # Every cluster has a network of its own, so that tests can run side by side.
        self.network = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}"
        self.users = folder / "users.acl"
        self.users.write_text(
            f"user default off\nuser {USER} on >{PASSWORD} ~* &* +@all\n"
            f"user _replica on >{PASSWORD} +psync +replconf +ping\n"
        )
        self.nodes = [Node(self, number) for number in range(shards * (1 + replicas))]

    def form(self) -> None:
        addresses = [f"{node.address}:{PORT}" for node in self.nodes]
        eventually(lambda: all(node.logs_in() for node in self.nodes), 120, f"every server answers: see {self.folder}")
        self.cli("--cluster", "create", *addresses, "--cluster-replicas", str(self.replicas), "--cluster-yes")
        eventually(self.whole, 120, "the cluster is formed")

    def cli(self, *arguments: str) -> str:
        secure = ["--tls", "--cacert", f"{self.tls}/ca.crt"] if self.tls else []
        command = [f"{self.engine}-cli", *secure, "--user", USER, "--no-auth-warning", *arguments]
        return subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=True).stdout

    def whole(self) -> bool:
        """Whether every node sees the cluster as ok, and all replicas in their roles and in step."""
        infos = [node("CLUSTER", "INFO") for node in self.nodes]
        known = [node("CLUSTER", "NODES").count(b"slave") for node in self.nodes]
        linked = [b"master_link_status:down" not in node("INFO", "replication") for node in self.nodes]
        return (
            all(b"cluster_state:ok" in info and b"cluster_slots_ok:16384" in info for info in infos)
            and all(linked)
            and set(known) == {len(self.nodes) - self.shards}
        )

    def stop(self) -> None:
        for node in self.nodes:
            node.process.kill()
            node.process.wait(10)

    @property
    def masters(self) -> list[Node]:
        return [node for node in self.nodes if node("ROLE")[0] == b"master"]

    def ask(self, *command: object) -> Any:
        """Run a command for one key on the master that owns it."""
        for node in self.masters:
            if not str(answer := node(*command)).startswith("MOVED"):
                return answer
        raise AssertionError("no master owns the key")

    def contents(self) -> dict[bytes, tuple[str, str, int | None]]:
        """Of every key: type, a digest of the value, and when it expires, in seconds since 1970."""
        found = {}
        for master in self.masters:
            for key in master("KEYS", "*"):
                expires = master("PEXPIRETIME", key)
                kind, digest = master("TYPE", key), master("DEBUG", "DIGEST-VALUE", key)[0]
                found[key] = (kind, digest, expires // 1000 if expires > 0 else None)
        return found

    def environment(self, **changes: str) -> dict[str, str]:
        """What the scripts get from their pod."""
        return {
            **os.environ,
            "PATH": PROGRAMS,
            "REDIS_CLI": f"{self.engine}-cli",
            "REDIS_USER": USER,
            "REDISCLI_AUTH": PASSWORD,
            "REDIS_ADDRESS": f"{self.nodes[-1].address}:{PORT}",
            **({"REDIS_TLS_DIR": str(self.tls)} if self.tls else {}),
            **changes,
        }


class Backups:
    """The folder of snapshots, and the scripts as the ConfigMap has them: all in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "backups"
        self.scripts = folder / "scripts"
        self.work = folder / "work"
        for made in (self.folder, self.scripts, self.work):
            made.mkdir()
        for script in [FILES / "client.sh", *(FILES.parent / "backup" / "files").iterdir()]:
            if script.suffix in (".sh", ".lua"):
                shutil.copy(script, self.scripts)

    def run(
        self, script: str, cluster: Cluster, path: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script to its end; commands in `path` go before others."""
        environment = cluster.environment(
            BACKUP_DIR=str(self.folder), WORK_DIR=str(self.work), KEEP="3", LOCAL_PORT=str(free_port()), **variables
        )
        if path:
            environment["PATH"] = f"{path}:{environment['PATH']}"
        with subprocess.Popen(
            ["sh", "-c", f"export VICTIM=$$; exec sh {self.scripts / script}"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        ) as process:
            try:
                process.wait(120)
            finally:
                with contextlib.suppress(ProcessLookupError):  # what a killed script leaves running
                    os.killpg(process.pid, signal.SIGKILL)
            return subprocess.CompletedProcess(script, process.returncode, process.communicate()[0])

    def snapshot(self, cluster: Cluster, **options: Any) -> str:
        """Take a snapshot, and return its name."""
        before = set(self.names())
        done = self.run("snapshot.sh", cluster, **options)
        assert done.returncode == 0, done.stdout
        (name,) = set(self.names()) - before
        return name

    def names(self) -> list[str]:
        """All that looks like a whole snapshot."""
        return sorted(folder.name for folder in self.folder.glob(WHOLE))


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    return Backups(tmp_path)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    made: list[Cluster] = []

    def form(engine: str = "redis", **options: Any) -> Cluster:
        made.append(Cluster(tmp_path / f"cluster-{len(made)}", engine, **options))
        made[-1].form()
        return made[-1]

    yield form
    for cluster in made:
        cluster.stop()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the Secret of a certificate."""
    folder = tmp_path_factory.mktemp("tls")
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on PATH: install it")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj")
    openssl(*new, "/CN=ca", "-x509", "-keyout", "ca.key", "-out", "ca.crt")
    openssl(*new, "/CN=redis", "-keyout", "tls.key", "-out", "tls.csr")
    openssl("x509", "-req", "-in", "tls.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-days", "1", "-out", "tls.crt")
    return folder


SAMPLES: Mapping[bytes, tuple[object, ...]] = {
    b"string": ("SET", "x"),
    b"binary": ("SET", bytes(range(256))),
    b"large": ("SET", b"a large value " * 400_000),
    b"hash": ("HSET", "a", "1", "b", "2"),
    b"list": ("RPUSH", *range(300)),
    b"set": ("SADD", *(f"member-{n}" for n in range(300))),
    b"sorted set": ("ZADD", "1.5", "a", "2.5", "b"),
    b"stream": ("XADD", "1-1", "field", "value"),
    b"hyperloglog": ("PFADD", *range(50)),
    b"of two\nlines \xff\x00 \"'*": ("SET", "x"),
}


def write(cluster: Cluster, many: int = 300) -> None:
    """Write keys of every type, each once with and once without an expiry, and many more."""
    for key, (command, *arguments) in SAMPLES.items():
        for kept in (key, b"expiring:" + key):
            cluster.ask(command, kept, *arguments)
        assert cluster.ask("EXPIRE", b"expiring:" + key, 86400) == 1
    for number in range(many):
        cluster.ask("SET", f"conversation:{number}", number, "EX", 86400 + number)
    assert cluster.ask("XGROUP", "CREATE", "stream", "readers", "0") == "OK"
    for master in cluster.masters:
        master("FUNCTION", "LOAD", "#!lua name=shared\nredis.register_function('one', function() return 1 end)")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("engine", [engine("redis"), engine("valkey")])
def test_a_new_cluster_of_another_size_gets_every_key(
    engine: str, tls: bool, make: Any, backups: Backups, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue("certificates") if tls else None
    old = make(engine, shards=3, replicas=1, tls=folder)
    write(old)
    old.ask("SET", "gone-meanwhile", "x", "PX", 3000)
    saved = old.contents()
    name = backups.snapshot(old)
    manifest = (backups.folder / name / "manifest").read_text()
    assert "# shards: 3" in manifest
    old.stop()
    time.sleep(3)

    new = make(engine, shards=4, tls=folder)
    done = backups.run("restore.sh", new)
    assert done.returncode == 0, done.stdout
    del saved[b"gone-meanwhile"]
    restored = new.contents()
    assert restored.keys() == saved.keys()
    for key, (kind, digest, expires) in saved.items():
        assert restored[key][:2] == (kind, digest), key
        # MIGRATE hands over the rest of the time, so that the way there adds to it.
        assert expires == restored[key][2] or 0 <= restored[key][2] - expires <= 5, key
    assert new.ask("XINFO", "GROUPS", "stream")[0][1] == b"readers"
    assert [master("FCALL", "one", 0) for master in new.masters] == [1] * 4
    assert PASSWORD not in done.stdout


def test_copies_come_from_replicas_that_are_in_step(make: Any, backups: Backups, tmp_path: Path) -> None:
    cluster = make(shards=3, replicas=1)
    assert cluster.ask("SET", "a", "x") == "OK"
    masters = {node.address for node in cluster.masters}
    replicas = [node for node in cluster.nodes if node.address not in masters]

    # Behind the Service is one node now and another then, and each lists the nodes in an order of its own.
    service = replaced(
        tmp_path / "service", 'case "$*" in *"cluster nodes") "$real" "$@" | shuf ;; *) "$real" "$@" ;; esac'
    )

    def sources() -> set[str]:
        manifest = (backups.folder / backups.snapshot(cluster, path=service) / "manifest").read_text()
        return {line.split()[-1].removesuffix(f":{PORT}") for line in manifest.splitlines() if " from " in line}

    assert sources() == {replica.address for replica in replicas}
    os.kill(replicas[0].process.pid, signal.SIGSTOP)
    try:
        copied = sources()
    finally:
        os.kill(replicas[0].process.pid, signal.SIGCONT)
    assert len(copied & masters) == 1
    assert copied - masters == {replica.address for replica in replicas[1:]}


def test_what_is_not_finished_never_looks_whole(make: Any, backups: Backups, tmp_path: Path) -> None:
    cluster = make(shards=3)
    write(cluster, many=10)
    # Killed once the second shard is copied, with everything that it started.
    killer = replaced(tmp_path / "killer", '"$real" "$@"; case "$*" in *shard-2*) kill -9 "$VICTIM" ;; esac')
    assert backups.run("snapshot.sh", cluster, killer).returncode == -signal.SIGKILL
    (left,) = (folder for folder in backups.folder.iterdir() if folder.is_dir())
    assert left.name.endswith(".unfinished")
    assert (left / "shard-2.rdb").exists()
    assert backups.names() == []
    refused = backups.run("restore.sh", cluster)
    assert (refused.returncode, refused.stdout) == (1, "There is no snapshot.\n")

    name = backups.snapshot(cluster)
    assert [folder.name for folder in backups.folder.iterdir() if folder.is_dir()] == [name]

    # Nor what was copied from a node that went away, or is no file of Redis.
    for broken in (
        'case "$*" in *shard-2*) exit 1 ;; esac; exec "$real" "$@"',
        '"$real" "$@"; case "$*" in *shard-2*) truncate -s -9 "$(echo "$*" | sed "s/.*--rdb //")" ;; esac',
    ):
        failed = backups.run("snapshot.sh", cluster, replaced(tmp_path / str(len(broken)), broken))
        assert failed.returncode == 1
        assert backups.names() == [name]


def replaced(folder: Path, script: str) -> Path:
    """A folder with a redis-cli that runs this script; `$real` is the real one."""
    folder.mkdir()
    (folder / "redis-cli").write_text(f"#!/bin/sh\nreal={shutil.which('redis-cli')}\n{script}\n")
    (folder / "redis-cli").chmod(0o755)
    return folder


def test_slots_on_the_move_make_no_snapshot(make: Any, backups: Backups, tmp_path: Path) -> None:
    cluster = make(shards=3)
    giver, taker = (node("CLUSTER", "MYID").decode() for node in cluster.masters[:2])
    moved = f"--cluster reshard {cluster.nodes[0].address}:{PORT} --cluster-slots 1 --cluster-yes"
    moved += f" --cluster-from {giver} --cluster-to {taker}"
    mover = replaced(
        tmp_path / "mover",
        f'"$real" "$@" || exit; case "$*" in *shard-2*) "$real" --user {USER} {moved} >/dev/null 2>&1 ;; esac',
    )
    failed = backups.run("snapshot.sh", cluster, mover)
    assert failed.returncode == 1
    assert "Slots or masters changed" in failed.stdout

    eventually(cluster.whole, 20, "the slot has moved")
    mine, theirs = cluster.masters[:2]
    assert mine("CLUSTER", "SETSLOT", mine.slot, "MIGRATING", theirs("CLUSTER", "MYID")) == "OK"
    failed = backups.run("snapshot.sh", cluster)
    assert failed.returncode == 1
    assert "1 are on the move" in failed.stdout
    assert backups.names() == []


def test_an_empty_cluster_pushes_nothing_out(make: Any, backups: Backups) -> None:
    for name in ("20250101T000000Z", "20250102T000000Z", "20250103T000000Z"):
        (backups.folder / name).mkdir()
    done = backups.run("snapshot.sh", make(shards=3))
    assert (done.returncode, done.stdout) == (0, "The cluster holds no keys: there is nothing to keep.\n")
    assert backups.names() == ["20250101T000000Z", "20250102T000000Z", "20250103T000000Z"]
    assert not list(backups.folder.glob("*.unfinished"))


def test_the_last_ones_are_kept(make: Any, backups: Backups) -> None:
    cluster = make(shards=3)
    assert cluster.ask("SET", "a", "x") == "OK"
    for name in ("20250101T000000Z", "20250102T000000Z", "20250103T000000Z", "lost+found"):
        (backups.folder / name).mkdir()
    # One that fails deletes nothing.
    assert backups.run("snapshot.sh", cluster, REDISCLI_AUTH="wrong").returncode == 1
    assert len(backups.names()) == 3
    new = backups.snapshot(cluster)
    assert backups.names() == ["20250102T000000Z", "20250103T000000Z", new]
    assert (backups.folder / "lost+found").exists()


def test_two_at_once_are_one(make: Any, backups: Backups) -> None:
    cluster = make(shards=3)
    assert cluster.ask("SET", "a", "x") == "OK"
    with (backups.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = backups.run("snapshot.sh", cluster)
    assert (refused.returncode, refused.stdout) == (1, "Another backup is running: wait for it.\n")
    backups.snapshot(cluster)


def test_what_a_restore_refuses_changes_nothing(make: Any, backups: Backups) -> None:
    old, new = make(shards=3), make(shards=3)
    write(old, many=10)
    name = backups.snapshot(old)
    snapshot = backups.folder / name
    assert new.ask("SET", "agents-key", "x") == "OK"
    before = new.contents()

    def refused(why: str, **variables: str) -> None:
        done = backups.run("restore.sh", new, **variables)
        assert done.returncode == 1
        assert why in done.stdout
        assert new.contents() == before

    refused("The cluster holds 1 keys, and a restore wants an empty one")
    refused(f"There is no snapshot 20250101T000000Z. There are: {name}", SNAPSHOT="20250101T000000Z")
    refused(f"There is no snapshot ../{name}.", SNAPSHOT=f"../{name}")

    new.ask("DEL", "agents-key")
    before = {}
    damaged = snapshot / "shard-2.rdb"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    refused(f"{name} is damaged")
    damaged.unlink()
    refused(f"{name} is damaged")
    damaged.write_bytes(whole)
    manifest = snapshot / "manifest"
    text = manifest.read_text()
    manifest.write_text("".join(text.splitlines(keepends=True)[:-1]))
    refused(f"The manifest of {name} is damaged")
    manifest.write_text(text)

    owner = new.masters[0]
    assert owner("CLUSTER", "DELSLOTS", owner.slot) == "OK"
    refused("16383 of 16384 slots are owned")


def test_an_interrupted_restore_goes_on(make: Any, backups: Backups, tmp_path: Path) -> None:
    old, new = make(shards=3), make(shards=4)
    write(old)
    backups.snapshot(old)
    saved = old.contents()
    killer = replaced(tmp_path / "killer", '"$real" "$@"; case "$*" in *--pipe-timeout*) kill -9 "$VICTIM" ;; esac')
    assert backups.run("restore.sh", new, killer).returncode == -signal.SIGKILL
    present = len(new.contents())
    assert 0 < present < len(saved)
    refused = backups.run("restore.sh", new)
    assert refused.returncode == 1
    assert f"The cluster holds {present} keys" in refused.stdout
    done = backups.run("restore.sh", new, REPLACE="yes")
    assert done.returncode == 0, done.stdout
    restored = new.contents()
    assert restored.keys() == saved.keys()
    assert all(restored[key][:2] == saved[key][:2] for key in saved)


def test_memory_that_does_not_suffice_is_told(make: Any, backups: Backups) -> None:
    old, new = make(shards=3), make(shards=3)
    for number in range(300):
        old.ask("SET", number, b"x" * 20_000, "EX", 86400)
    backups.snapshot(old)
    for node in new.nodes:
        used = int(node("INFO", "memory").partition(b"used_memory:")[2].split()[0])
        assert node("CONFIG", "SET", "maxmemory", used + 500_000) == "OK"
    done = backups.run("restore.sh", new)
    assert done.returncode == 1
    assert re.search(r"The cluster's memory is too small: it evicted [0-9]+ keys", done.stdout), done.stdout


S3_KEYS = {"AWS_ACCESS_KEY_ID": "of-the-test", "AWS_SECRET_ACCESS_KEY": "of-the-test-as-well"}


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder that an S3 server serves as a bucket, and the environment in which rclone finds it."""
    address = f"127.0.0.1:{free_port()}"
    folder = tmp_path / "s3" / "bucket"
    folder.mkdir(parents=True)
    keys = ",".join(S3_KEYS.values())
    command = ["rclone", "serve", "s3", "--addr", address, "--auth-key", keys, str(folder.parent)]
    with (tmp_path / "s3.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    eventually(lambda: b"Starting s3 server" in (tmp_path / "s3.log").read_bytes(), 20, "the S3 server answers")
    target = BackupBucket(endpoint=f"http://{address}", bucket="bucket", prefix="test/redis", credentials="s3")
    yield folder, {**rclone_environment(target), **S3_KEYS}
    server.terminate()
    server.wait(10)


@needs_rclone
def test_a_bucket_holds_whole_snapshots_only(
    make: Any, backups: Backups, bucket: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    folder, environment = bucket
    old = make(shards=3)
    write(old, many=10)
    for name in ("20250101T000000Z", "20250102T000000Z", "20250103T000000Z", "20250104T000000Z"):
        (folder / "test/redis" / name).mkdir(parents=True)
        (folder / "test/redis" / name / "shard-1.rdb").write_text("x")
        if name != "20250103T000000Z":  # as if its upload had been killed
            (folder / "test/redis" / name / "manifest").write_text("x")
    (folder / "test/redis/of others").mkdir()
    (folder / "test/redis/of others/manifest").write_text("x")
    name = backups.snapshot(old)

    def run(script: str, folder: Path = backups.folder, **variables: str) -> subprocess.CompletedProcess[str]:
        variables = {**os.environ, **environment, "KEEP": "2", "BACKUP_DIR": str(folder), **variables}
        command = ["sh", str(backups.scripts / script)]
        return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)

    failed = run("upload.sh", AWS_SECRET_ACCESS_KEY="wrong")
    assert failed.returncode != 0
    assert not (folder / "test/redis" / name).exists()

    done = run("upload.sh")
    assert done.returncode == 0, done.stderr
    assert "NOTICE" not in done.stderr
    kept = sorted(path.name for path in (folder / "test/redis").iterdir())
    assert kept == ["20250104T000000Z", name, "of others"]
    none = tmp_path / "none"
    none.mkdir()
    assert run("upload.sh", none).returncode == 0
    assert sorted(path.name for path in (folder / "test/redis").iterdir()) == kept

    fresh = tmp_path / "fresh"
    fresh.mkdir()
    unknown = run("download.sh", fresh, SNAPSHOT="20250103T000000Z")
    assert unknown.returncode == 1
    assert f"There are: {name} 20250104T000000Z" in " ".join(unknown.stderr.split())
    assert run("download.sh", fresh).returncode == 0
    saved = {path.name: path.read_bytes() for path in (backups.folder / name).iterdir()}
    assert {path.name: path.read_bytes() for path in (fresh / name).iterdir()} == saved
    assert run("upload.sh", KEEP="1").returncode == 0
    assert sorted(path.name for path in (folder / "test/redis").iterdir()) == [name, "of others"]
    shutil.rmtree(backups.folder)
    backups.folder = fresh
    old.stop()
    new = make(shards=4)
    restored = backups.run("restore.sh", new)
    assert restored.returncode == 0, restored.stdout
    assert len(new.contents()) == 30
