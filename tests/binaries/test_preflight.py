"""The preflights, in the environment that their Jobs give them, against real servers: each fault has its line."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import components.kafka.external
import components.redis.external
from settings import AgentSettings, KafkaSettings, RedisSettings
from tests.unit.test_external import AGENTS, LOGIN, Tried, kafka_at, redis_at

from .ports import free_port
from .test_kafka import kafka_home

__all__ = ["kafka_home"]

CA = {"ca": {"name": "managed-ca", "key": "ca.crt"}}
PASSWORD = 'pass"wo\\rd 1'
"""With everything that a file of properties, JAAS or a shell could stumble over."""
IN_URL = "pass%22wo%5crd%201"
READY_WITHIN = 120


@dataclass(frozen=True)
class Certificates:
    """Of `localhost`, by an authority of the test's own, and another authority that signed nothing."""

    folder: Path

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on PATH: install it")
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("ca", "other"):
        openssl("req", "-x509", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}")
    openssl("req", *new_key, "-keyout", "tls.key", "-out", "tls.csr", "-subj", "/CN=localhost")
    signed_by = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
    openssl("x509", "-req", "-in", "tls.csr", "-out", "tls.crt", *signed_by)
    (folder / "tls.pem").write_text((folder / "tls.key").read_text() + (folder / "tls.crt").read_text())
    return Certificates(folder)


def tried(
    spec: RedisSettings | KafkaSettings, agents: Mapping[str, AgentSettings], **machines: str
) -> tuple[int, list[str]]:
    """Run the preflight's script as its Job would; `machines` are what Secrets and this machine add.

    Returns the exit code and what was said, a line each.
    """
    job = Tried(spec, dict(agents))
    _, mounted = job.container["command"]
    room = components.redis.external if isinstance(spec, RedisSettings) else components.kafka.external
    script = Path(str(room.__file__)).parent / "files" / mounted.rpartition("/")[2]
    # A resolver that gets no answer on this machine gives up before the script does.
    patience = {"TIMEOUT_SECONDS": "1", "RES_OPTIONS": "timeout:1 attempts:1"}
    variables = {**job.plain, "PATH": os.environ["PATH"], **patience, **machines}
    done = subprocess.run(["/bin/sh", script], env=variables, capture_output=True, text=True, timeout=240, check=False)
    said = done.stdout + done.stderr
    assert not [secret for secret in (PASSWORD, IN_URL, "wrong-password") if secret in said], said
    return done.returncode, said.splitlines()


# Redis


@dataclass
class Server:
    """A redis-server on a port of `localhost`."""

    port: int
    process: subprocess.Popen[bytes]
    client: list[str]

    def ask(self, *command: str) -> str:
        done = subprocess.run([*self.client, *command], capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()


@dataclass
class Servers:
    """redis-server processes."""

    folder: Path
    running: list[Server]

    def start(self, *options: str, tls: Certificates | None = None, password: str | None = None) -> Server:
        port = free_port()
        folder = self.folder / str(port)
        folder.mkdir()
        command = ["redis-server", "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", *options]
        client = ["redis-cli", "--no-auth-warning", "-h", "127.0.0.1", "-p", str(port)]
        if tls is None:
            command += ["--port", str(port)]
        else:
            command += ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"]
            command += ["--tls-cert-file", tls["tls.crt"], "--tls-key-file", tls["tls.key"]]
            command += ["--tls-ca-cert-file", tls["ca.crt"]]
            client += ["--tls", "--cacert", tls["ca.crt"]]
        if password is not None:
            (folder / "auth.conf").write_text('user default on ~* &* +@all ">pass\\"wo\\\\rd 1"\n')
            command[1:1] = [str(folder / "auth.conf")]
            client += ["-a", password]
        process = subprocess.Popen(command, stdout=(folder / "log").open("wb"), stderr=subprocess.STDOUT)
        server = Server(port, process, client)
        self.running.append(server)
        deadline = time.monotonic() + READY_WITHIN
        while subprocess.run([*client, "ping"], capture_output=True, text=True).stdout.strip() != "PONG":
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
        return server


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not on PATH: install Redis 7.0 or newer (Debian: apt-get install redis-server)")
    servers = Servers(tmp_path_factory.mktemp("redis"), [])
    yield servers
    for server in servers.running:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="module")
def locked(servers: Servers) -> Server:
    """A Redis with users: `default`, one without the right keys, and one that may only read."""
    server = servers.start(password=PASSWORD)
    server.ask("acl", "setuser", "narrow", "on", f">{PASSWORD}", "~conversation:*", "~memory:*", "+@all", "-@dangerous")
    server.ask("acl", "setuser", "reader", "on", f">{PASSWORD}", "~*", "+@read")
    return server


def redis_tried(
    server: Server, login: str = "", *, url: str | None = None, scheme: str = "redis", ca: str = "", **fields: Any
) -> tuple[int, list[str]]:
    spec = redis_at(**{"host": "localhost", "port": server.port, "cluster": False, **fields})
    given = url or f"{scheme}://{login}localhost:{server.port}/0"
    return tried(spec, AGENTS, REDIS_URL=given, **({"REDIS_CA_FILE": ca} if ca else {}))


def test_a_redis_as_declared_is_good_and_left_as_it_was(locked: Server) -> None:
    code, said = redis_tried(locked, f":{IN_URL}@")
    keys = "checkpoint:* conversation:* memory:*"
    assert (code, said) == (0, [f"redis.external: localhost:{locked.port} is as declared, and agents may use {keys}"])
    assert redis_tried(locked, f"default:{IN_URL}@")[0] == 0
    assert locked.ask("dbsize") == "0"
    assert "cmdstat_set:calls=" in locked.ask("info", "commandstats"), "nothing was tried"


def test_no_key_of_anybodys_is_touched(servers: Servers) -> None:
    server = servers.start()
    server.ask("set", "settings", "kept")
    agents = {"a": AgentSettings(image="example.com/a:1", uses=("redis",), redis_keys=("settings", "job-[0-9]:?:*"))}
    spec = redis_at(host="localhost", port=server.port, cluster=False)
    code, said = tried(spec, agents, REDIS_URL=f"redis://localhost:{server.port}")
    assert code == 0, said
    assert said[-1].endswith("agents may use job-[0-9]:?:*")
    assert server.ask("get", "settings") == "kept"
    server.ask("acl", "setuser", "default", "resetkeys", "~job-[0-9]:?:*")
    assert tried(spec, agents, REDIS_URL=f"redis://localhost:{server.port}")[0] == 0, "the key is not of the pattern"


@pytest.mark.parametrize(
    ("login", "line"),
    [
        (":wrong-password@", ".urlSecret: localhost:PORT refuses the user or password of the URL (WRONGPASS)"),
        (f"nobody:{IN_URL}@", ".urlSecret: localhost:PORT refuses the user or password of the URL (WRONGPASS)"),
        ("", ".urlSecret: localhost:PORT asks for a password, and the URL has none (NOAUTH)"),
        (
            f"narrow:{IN_URL}@",
            ".urlSecret: the user of the URL may not use set get del on keys such as checkpoint:* (NOPERM): allow",
        ),
    ],
)
def test_what_redis_refuses(locked: Server, login: str, line: str) -> None:
    code, said = redis_tried(locked, login)
    assert (code, len(said)) == (2, 1), said
    assert said[0].startswith("redis.external" + line.replace("PORT", str(locked.port)))


def test_all_missing_rights_are_said_at_once(locked: Server) -> None:
    code, said = redis_tried(locked, f"reader:{IN_URL}@", cluster=True)
    assert code == 2
    assert [line.partition("may not ")[2].partition(" (NOPERM)")[0] for line in said] == [
        "ask for CLUSTER SLOTS, and clients of a cluster must",
        *(f"use set del on keys such as {keys}" for keys in ("checkpoint:*", "conversation:*", "memory:*")),
    ]


def test_a_redis_without_password(servers: Servers) -> None:
    server = servers.start()
    assert redis_tried(server)[0] == 0
    code, said = redis_tried(server, f":{IN_URL}@")
    assert code == 2
    assert said[0].startswith(f"redis.external.urlSecret: localhost:{server.port} asks for no password")


def test_the_url_agrees_with_the_settings(locked: Server) -> None:
    code, said = redis_tried(locked, url=f"redis://:{IN_URL}@redis.example.com:{locked.port}")
    assert code == 2
    assert said[0].startswith("redis.external.urlSecret: the URL leads elsewhere than to host and port of the settings")
    code, said = redis_tried(locked, f":{IN_URL}@", scheme="rediss")
    assert code == 2
    assert said[0].startswith("redis.external.urlSecret: the URL does not begin with redis://, and `tls` is not set")


def test_an_unreachable_redis_may_come_yet() -> None:
    nobody = free_port()
    spec = redis_at(host="localhost", port=nobody)
    for _ in range(3):
        code, said = tried(spec, AGENTS, REDIS_URL=f"redis://localhost:{nobody}")
        assert (code, len(said)) == (1, 1), said
        if "no answer within 10 s" not in said[0]:  # as on a machine so busy that it does not even refuse in time
            break
    assert said[0].startswith(f"redis.external: cannot reach localhost:{nobody} (Connection refused): check host, port")
    spec = redis_at(host="redis.invalid", port=6379)
    code, said = tried(spec, AGENTS, REDIS_URL="redis://redis.invalid")
    assert (code, said) == (1, ["redis.external.host: the name redis.invalid cannot be resolved: check it"])


def test_tls_of_redis(servers: Servers, locked: Server, certificates: Certificates) -> None:
    server = servers.start(tls=certificates, password=PASSWORD)
    login = f":{IN_URL}@"
    assert redis_tried(server, login, scheme="rediss", tls=CA, ca=certificates["ca.crt"])[0] == 0
    faults = {
        ".tls.ca: the certificate of": redis_tried(
            server, login, scheme="rediss", tls=CA, ca=certificates["other.crt"]
        ),
        f".tls: localhost:{server.port} speaks TLS: set `tls`": redis_tried(server, login),
        f".tls: localhost:{locked.port} answers without TLS: remove `tls`": redis_tried(
            locked, login, scheme="rediss", tls=CA, ca=certificates["ca.crt"]
        ),
    }
    for line, (code, said) in faults.items():
        assert (code, len(said)) == (2, 1), said
        assert said[0].startswith(f"redis.external{line}")


def cluster(servers: Servers, *options: str) -> Server:
    return servers.start("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", *options)


def told(server: Server, fact: str, *command: str) -> None:
    """Wait until the server says so."""
    deadline = time.monotonic() + READY_WITHIN
    while fact not in server.ask(*command):
        assert time.monotonic() < deadline, f"{fact} is not so: {server.ask(*command)}"
        time.sleep(0.1)


def test_a_cluster_or_not(servers: Servers) -> None:
    one = cluster(servers)
    code, said = redis_tried(one, cluster=True)
    assert code == 1
    assert said == [f"redis.external: the cluster at localhost:{one.port} has no slots yet: see to it, or wait"]
    one.ask("cluster", "addslotsrange", "0", "16383")
    told(one, "cluster_state:ok", "cluster", "info")
    assert redis_tried(one, cluster=True)[0] == 0
    code, said = redis_tried(one, cluster=False)
    assert code == 2
    assert said[0].startswith(f"redis.external.cluster: localhost:{one.port} is a Redis Cluster, whose clients must")
    code, said = redis_tried(servers.start(), cluster=True)
    assert code == 2
    assert said[0].startswith("redis.external.cluster: localhost:")
    assert " is not a Redis Cluster: name the endpoint of one, or set `cluster: false`" in said[0]


def test_a_node_of_the_cluster_that_cannot_be_reached(servers: Servers) -> None:
    """One node has a single slot, and another, which is gone, all others."""
    patient = ("--cluster-node-timeout", "60000")
    here, gone = cluster(servers, *patient), cluster(servers, *patient)
    here.ask("cluster", "addslots", "0")
    gone.ask("cluster", "addslotsrange", "1", "16383")
    here.ask("cluster", "meet", "127.0.0.1", str(gone.port), str(gone.port + 10000))
    told(here, "cluster_slots_assigned:16384", "cluster", "info")
    told(here, "cluster_state:ok", "cluster", "info")
    gone.process.kill()
    gone.process.wait()
    code, said = redis_tried(here, cluster=True)
    assert code == 1
    assert said[0].startswith(f"redis.external: the cluster sends clients on to 127.0.0.1:{gone.port}, which cannot be")


def test_a_replica_is_no_endpoint(servers: Servers) -> None:
    primary = servers.start()
    replica = servers.start("--replicaof", "127.0.0.1", str(primary.port))
    told(replica, "master_link_status:up", "info", "replication")
    code, said = redis_tried(replica)
    assert code == 2
    assert said[0].startswith(f"redis.external.host: localhost:{replica.port} is a replica, which takes no writes")


def test_evicted_state_is_a_warning(servers: Servers) -> None:
    server = servers.start("--maxmemory-policy", "allkeys-lru")
    code, said = redis_tried(server)
    assert (code, len(said)) == (0, 2)
    assert "evicts any key when its memory is full (allkeys-lru)" in said[0]


# Kafka


@dataclass
class Broker:
    """A Kafka with a listener for each protocol, where nobody but the user without a name may do anything at first."""

    home: Path
    ports: dict[str, int]
    process: subprocess.Popen[bytes]
    folder: Path

    def tool(self, script: str, *arguments: str) -> None:
        address = f"localhost:{self.ports['PLAINTEXT']}"
        command = [f"{self.home}/bin/{script}", "--bootstrap-server", address, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def allow(self, user: str, operation: str, *resource: str) -> None:
        arguments = ("--allow-principal", f"User:{user}", "--operation", operation)
        self.tool("kafka-acls.sh", "--add", *arguments, *resource)


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def broker(
    kafka_home: Path,
    certificates: Certificates,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("kafka")
    protocols = ("PLAINTEXT", "SASL_PLAINTEXT", "SASL_SSL")
    ports = {protocol: free_port() for protocol in protocols}
    controller = free_port()
    listeners = ",".join(f"{protocol}://localhost:{port}" for protocol, port in ports.items())
    scram = "scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;"
    (folder / "server.properties").write_text(
        f"""node.id=0
process.roles=broker,controller
listeners={listeners},CONTROLLER://localhost:{controller}
advertised.listeners={listeners}
listener.security.protocol.map={",".join(f"{p}:{p}" for p in protocols)},CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=0@localhost:{controller}
log.dirs={folder}/data
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_plaintext.{scram}
listener.name.sasl_ssl.{scram}
ssl.keystore.type=PEM
ssl.keystore.location={certificates["tls.pem"]}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
"""
    )
    configuration = str(folder / "server.properties")
    users = [f"SCRAM-SHA-512=[name={user},password={PASSWORD}]" for user in ("agents", "reader")]
    given = [word for user in users for word in ("--add-scram", user)]
    small = {**os.environ, "KAFKA_HEAP_OPTS": "-Xmx256m", "LOG_DIR": str(folder)}
    formatted = [f"{kafka_home}/bin/kafka-storage.sh", "format", "--cluster-id=MkU3OEVBNTcwNTJENDM2Qg", "--config"]
    subprocess.run([*formatted, configuration, *given], env=small, check=True, capture_output=True, timeout=90)
    log = (folder / "log").open("wb")
    started = [f"{kafka_home}/bin/kafka-server-start.sh", configuration]
    broker = Broker(kafka_home, ports, subprocess.Popen(started, env=small, stdout=log, stderr=log), folder)
    try:
        deadline = time.monotonic() + READY_WITHIN
        while not all(listens(port) for port in ports.values()):
            assert broker.process.poll() is None, (folder / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
            time.sleep(0.3)
        for topic in ("tasks", "results"):
            broker.tool("kafka-topics.sh", "--create", "--topic", topic)
        for user in ("agents", "reader"):
            broker.allow(user, "READ", "--topic", "tasks", "--group", "reader")
        broker.allow("agents", "WRITE", "--topic", "tasks", "--topic", "results")
        broker.allow("reader", "DESCRIBE", "--topic", "results")
        yield broker
    finally:
        broker.process.kill()
        broker.process.wait()


def kafka_tried(
    broker: Broker,
    listener: str = "SASL_PLAINTEXT",
    *,
    host: str = "localhost",
    user: str = "agents",
    password: str = PASSWORD,
    agents: Mapping[str, AgentSettings] = AGENTS,
    ca: str = "",
    **fields: Any,
) -> tuple[int, list[str]]:
    spec = kafka_at(brokers=[f"{host}:{broker.ports[listener]}"], **{"authentication": LOGIN, **fields})
    return tried(
        spec,
        agents,
        KAFKA_HOME=str(broker.home),
        KAFKA_USERNAME=user,
        KAFKA_PASSWORD=password,
        KAFKA_HEAP_OPTS="-Xmx128m",
        TMPDIR=str(broker.folder),
        LOG_DIR=str(broker.folder),
        **({"KAFKA_CA_FILE": ca} if ca else {}),
    )


def test_a_kafka_as_declared_is_good(broker: Broker, certificates: Certificates) -> None:
    code, said = kafka_tried(broker)
    assert (code, len(said)) == (0, 1), said
    assert said[0].endswith("is as declared, with every topic and group of the agents")
    assert kafka_tried(broker, "SASL_SSL", tls=CA, ca=certificates["ca.crt"])[0] == 0


def test_every_missing_right_has_its_line(broker: Broker) -> None:
    known = ("tasks", "results", "unknown")
    agents = {
        "reader": AgentSettings(image="example.com/a:1", consumes=known, produces=("tasks",)),
        "other": AgentSettings(image="example.com/a:1", consumes=("tasks",)),
    }
    code, said = kafka_tried(broker, user="reader", agents=agents)
    missing = "does not exist, or the user may not describe it: create it, or grant the user its rights"
    assert (code, said) == (
        2,
        [
            f"kafka.external: topic unknown {missing}",
            "kafka.external: the user may not read topic results: grant it Read",
            "kafka.external: the user may not use consumer group other, the agent's of that name: grant it Read",
            "kafka.external: the user may write to no topic: grant it Write to those that agents produce",
        ],
    )


def test_messages_and_offsets_stay_as_they_are(broker: Broker) -> None:
    assert kafka_tried(broker)[0] == 0
    command = [f"{broker.home}/bin/kafka-consumer-groups.sh", "--list"]
    command += ["--bootstrap-server", f"localhost:{broker.ports['PLAINTEXT']}"]
    groups = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout
    assert groups.strip() == ""
    segments = [
        path for path in (broker.folder / "data").glob("*-0/*.log") if path.parent.name != "__cluster_metadata-0"
    ]
    assert {path.parent.name for path in segments} >= {"tasks-0", "results-0"}
    assert sum(path.stat().st_size for path in segments if not path.parent.name.startswith("__")) == 0


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"password": "wrong-password"}, ".authentication: the brokers refuse the user or its password"),
        (
            {"authentication": {**LOGIN, "mechanism": "SCRAM-SHA-256"}},
            ".authentication.mechanism: the brokers do not take SCRAM-SHA-256: write one that they take: SCRAM-SHA-512",
        ),
        (
            {"authentication": None},
            ": the brokers speak SASL_PLAINTEXT on this port, and agents would speak PLAINTEXT: let `tls` and",
        ),
        (
            {"listener": "PLAINTEXT"},
            ": the brokers speak PLAINTEXT on this port, and agents would speak SASL_PLAINTEXT: let `tls` and",
        ),
        (
            {"listener": "SASL_SSL"},
            ": the brokers speak SSL or SASL_SSL on this port, and agents would speak SASL_PLAIN",
        ),
        (
            {"tls": CA, "ca": "ca.crt"},
            ": the brokers speak SASL_PLAINTEXT on this port, and agents would speak SASL_SSL",
        ),
        (
            {"listener": "SASL_SSL", "tls": CA, "ca": "other.crt"},
            ".tls.ca: the brokers' certificate has expired, or is",
        ),
        (
            {"listener": "SASL_SSL", "tls": CA, "ca": "ca.crt", "host": "127.0.0.1"},
            ".brokers: the certificate is not for the name by which clients call the broker",
        ),
    ],
)
def test_what_kafka_refuses(broker: Broker, certificates: Certificates, options: dict[str, Any], line: str) -> None:
    options = {**options, "ca": certificates[options["ca"]]} if "ca" in options else options
    code, said = kafka_tried(broker, **options)
    assert (code, len(said)) == (2, 1), said
    assert said[0].startswith(f"kafka.external{line}")


def test_an_unreachable_kafka_may_come_yet(tmp_path: Path) -> None:
    nobody = f"localhost:{free_port()}"
    spec = kafka_at(brokers=[nobody, "kafka.invalid:9092"])
    code, said = tried(spec, AGENTS, TMPDIR=str(tmp_path), KAFKA_HOME=str(tmp_path))
    assert (code, len(said)) == (1, 1), said
    reasons = f"{nobody} (connection refused), kafka.invalid:9092 (its name cannot be resolved)"
    assert said[0].startswith(f"kafka.external.brokers: cannot reach {reasons}: check host, port")
