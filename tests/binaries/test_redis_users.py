"""The ACL file of a Redis Cluster, read by real servers: who may do what."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.redis.users import SYSTEM_RIGHTS, acl_file, agent_rights

from .ports import free_port
from .redis_nodes import Engine

RIGHTS = SYSTEM_RIGHTS | {
    "researcher": agent_rights(("conversation:*", "checkpoint:*")),
    "archivist": agent_rights(("archive:*",)),
    "auditor": agent_rights(("*",)),
}
PASSWORDS = {user: f"password-of-{user}" for user in RIGHTS}


class Server:
    """A node that owns every slot, on a port of its own."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.cli = engine.cli
        self.port = str(free_port())
        self.file = folder / "users.acl"
        self.file.write_text(acl_file(RIGHTS, PASSWORDS))
        options = {"port": self.port, "bind": "127.0.0.1", "dir": str(folder), "aclfile": str(self.file), "save": ""}
        options["cluster-enabled"] = "yes"
        self.process = subprocess.Popen(
            [engine.server, *(argument for key, value in options.items() for argument in (f"--{key}", value))],
            stdout=(folder / "log").open("w"),
        )
        deadline = time.monotonic() + 10
        while self.ask("_operator", "ping") != "PONG":
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
        assert self.ask("_operator", "cluster", "addslotsrange", "0", "16383") == "OK"
        while "cluster_state:ok" not in self.ask("_operator", "cluster", "info"):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def ask(self, user: str, *command: str, password: str | None = None) -> str:
        cli = [self.cli, "-p", self.port, "--user", user, *command]
        environment = {**os.environ, "REDISCLI_AUTH": PASSWORDS.get(user, "") if password is None else password}
        done = subprocess.run(cli, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.stdout.strip()


def refused(said: str) -> bool:
    # The second is what a script is told by Redis 7.0.
    return said.startswith(("NOPERM", "ERR The user executing the script can't access", "ERR ACL failure"))


@pytest.fixture(
    scope="module", params=Engine.all_here() or [None], ids=lambda engine: engine.name if engine else "none"
)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    engine: Engine | None = request.param
    if not engine:
        pytest.skip("no redis-server or valkey-server on PATH or in REDIS_ENGINES: install one")
    server = Server(engine, tmp_path_factory.mktemp(engine.name))
    yield server
    server.process.terminate()
    server.process.wait(10)


def test_the_default_user_is_off(server: Server) -> None:
    plain = subprocess.run([server.cli, "-p", server.port, "get", "conversation:1"], capture_output=True, text=True)
    assert plain.stdout.startswith("NOAUTH")
    assert "WRONGPASS" in server.ask("researcher", "ping", password="wrong") + server.ask(
        "default", "ping", password=""
    )


@pytest.mark.parametrize(
    "command",
    [
        "set conversation:1 x ex 60",
        "set checkpoint:1 x ex 60",
        "eval return(redis.call('get',KEYS[1])) 1 conversation:1",
        "publish conversation:1 hello",
        "expire conversation:1 60",
        # What clients of a cluster ask for.
        "cluster slots",
        "cluster shards",
        "cluster nodes",
        "cluster info",
        "cluster keyslot conversation:1",
        "command",
        "info",
        "hello 3",
        "readonly",
        "client setname me",
        "dbsize",
    ],
)
def test_an_agent_works_with_its_own_keys(server: Server, command: str) -> None:
    server.ask("researcher", "set", "conversation:1", "x")
    said = server.ask("researcher", *command.split())
    assert said
    assert not said.startswith(("NOPERM", "NOAUTH", "ERR", "AUTH failed"))


LIST_LENGTH = """
local listType = redis.call('type', KEYS[1]).ok
if listType == 'list' or listType == 'none' then return redis.call('llen', KEYS[1]) end
return redis.error_reply('ERR unsupported key type: ' .. listType)
"""


def test_keda_counts_what_waits_in_an_agents_name(server: Server) -> None:
    """The commands of its scalers: https://github.com/kedacore/keda/tree/v2.21.0/pkg/scalers (redis_*_scaler.go)."""
    for command in ("ping", "cluster slots", "command", "client setinfo lib-name go-redis"):
        assert not refused(server.ask("researcher", *command.split()))
    server.ask("researcher", "rpush", "conversation:{q}list", "a", "b")
    assert server.ask("researcher", "eval", LIST_LENGTH, "1", "conversation:{q}list") == "2"
    assert refused(server.ask("researcher", "eval", LIST_LENGTH, "1", "archive:list"))

    stream = "conversation:{q}stream"
    server.ask("researcher", "xgroup", "create", stream, "group", "$", "mkstream")
    server.ask("researcher", "xadd", stream, "*", "k", "v")
    assert "redis_version:" in server.ask("researcher", "info")
    groups = server.ask("researcher", "xinfo", "groups", stream).split()
    assert groups[groups.index("lag") + 1] == "1"
    assert server.ask("researcher", "xlen", stream) == "1"
    assert refused(server.ask("researcher", "xinfo", "groups", "archive:stream"))


@pytest.mark.parametrize(
    "command",
    [
        "set other:1 x",
        "get archive:1",
        "rename conversation:1 other:1",
        "eval return(redis.call('get','archive:1')) 0",
        "publish archive:1 hello",
        "flushall",
        "flushdb",
        "keys *",
        "scan 0",
        "randomkey",
        "cluster getkeysinslot 1 1",
        "cluster failover",
        "cluster reset",
        "pubsub channels",
        "client tracking on bcast",
        "client list",
        "client kill type normal",
        "function list",
        "config get maxmemory",
        "acl list",
        "acl setuser researcher allkeys",
        "monitor",
        "replicaof no one",
        "save",
        "shutdown",
        "swapdb 0 1",
        "migrate 127.0.0.1 6379 conversation:1 0 10",
    ],
)
def test_an_agent_reaches_nothing_else(server: Server, command: str) -> None:
    assert refused(server.ask("researcher", *command.split()))


def test_an_agent_of_every_key_may_list_them(server: Server) -> None:
    assert server.ask("auditor", "set", "anything", "x") == "OK"
    assert "anything" in server.ask("auditor", "scan", "0")
    assert refused(server.ask("auditor", "keys", "*"))


def test_the_exporter_reads_figures_and_no_keys(server: Server) -> None:
    for command in ("info all", "cluster info", "slowlog len", "slowlog get 1", "latency latest", "client setname e"):
        assert not refused(server.ask("_exporter", *command.split()))
    for command in ("get conversation:1", "scan 0", "config get masterauth", "client list", "flushall"):
        assert refused(server.ask("_exporter", *command.split()))


def test_a_replica_may_copy_and_do_nothing_else(server: Server) -> None:
    assert server.ask("_replica", "replconf", "listening-port", "1") == "OK"
    for command in ("get conversation:1", "info", "cluster nodes", "config get maxmemory", "acl list"):
        assert refused(server.ask("_replica", *command.split()))


def test_a_changed_file_is_loaded_without_a_restart(server: Server) -> None:
    try:
        server.file.write_text(
            acl_file(RIGHTS | {"new": agent_rights(("new:*",))}, {**PASSWORDS, "new": "n", "researcher": "changed"})
        )
        assert server.ask("_operator", "acl", "load") == "OK"
        assert server.ask("new", "set", "new:1", "x", password="n") == "OK"
        assert server.ask("researcher", "set", "conversation:1", "x", password="changed") == "OK"
        assert "WRONGPASS" in server.ask("researcher", "ping")
    finally:
        server.file.write_text(acl_file(RIGHTS, PASSWORDS))
        server.ask("_operator", "acl", "load")
