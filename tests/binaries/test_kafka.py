"""Kafka itself starts from the generated configuration, its users and topics converge to what is declared, and each
user may do what is declared and nothing else.

Kafka is taken from KAFKA_HOME, or else fetched with Maven into the user's cache.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.kafka.common import FILES
from components.kafka.users import acls
from components.versions import KAFKA
from settings import AgentSettings
from tests.unit.test_kafka import COMBINED, build, container, environment

from .ports import free_port

CLUSTER_ID = "-PdGMVGySpWtqKXk6X8vOA"
"""Begins with a hyphen, as one generated id in 64 does."""
STARTS_WITHIN = 90
CLASSES = {
    "kafka-server-start.sh": "kafka.Kafka",
    "kafka-storage.sh": "kafka.tools.StorageTool",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-acls.sh": "org.apache.kafka.tools.AclCommand",
    "kafka-configs.sh": "kafka.admin.ConfigCommand",
    "kafka-console-producer.sh": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-producer-perf-test.sh": "org.apache.kafka.tools.ProducerPerformance",
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
}


BRIEF = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""For Java processes that live for a second: with the archive of classes, they take two fifths of the time."""


def fetch(libs: Path) -> None:
    """Fill `libs` with Kafka's libraries."""
    pom = Path(__file__).parent / "kafka" / "pom.xml"
    command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-Dkafka.version={KAFKA.version}"]
    done = subprocess.run(
        [*command, f"-DoutputDirectory={libs}"], capture_output=True, text=True, check=False, timeout=500
    )
    if done.returncode != 0:
        pytest.skip(f"Maven could not fetch Kafka: set KAFKA_HOME to an unpacked one; it said: {done.stdout[-500:]}")


@pytest.fixture(scope="session")
def kafka_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if "KAFKA_HOME" in os.environ:
        return Path(os.environ["KAFKA_HOME"])
    if shutil.which("java") is None:
        pytest.skip("java is not on PATH: install a Java runtime, version 17 or later")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agentstack"
    kept = cache / f"kafka-{KAFKA.version}"
    if not kept.exists():
        if shutil.which("mvn") is None:
            pytest.skip("there is no Kafka: set KAFKA_HOME to an unpacked one, or install Maven, which fetches it")
        cache.mkdir(parents=True, exist_ok=True)
        # Test processes run side by side: each makes its own beside it, and the first to be ready moves it into place.
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = Path(folder) / "kafka"
            made.mkdir()
            fetch(made / "libs")
            with contextlib.suppress(OSError):
                made.rename(kept)
    home = tmp_path_factory.mktemp("kafka-home")
    (home / "bin").mkdir()
    options = "${KAFKA_HEAP_OPTS:-} ${KAFKA_JVM_PERFORMANCE_OPTS:-} ${KAFKA_LOG4J_OPTS:-}"
    options += " " + " ".join([*BRIEF, f"-XX:SharedArchiveFile={archived(home, kept / 'libs')}"])
    for script, name in CLASSES.items():
        path = home / "bin" / script
        path.write_text(f'#!/bin/sh\nexec java {options} -cp "{kept}/libs/*" {name} "$@"\n')
        path.chmod(0o755)
    return home


def archived(folder: Path, libs: Path) -> Path:
    """Return an archive of the classes that a client of Kafka loads, made by one that finds nobody."""
    archive, quick = folder / "classes.jsa", folder / "quick.properties"
    quick.write_text("default.api.timeout.ms=1000\nrequest.timeout.ms=1000\n")
    asked = ["--list", "--bootstrap-server", f"localhost:{free_port()}", "--command-config", str(quick)]
    command = ["java", *BRIEF, f"-XX:ArchiveClassesAtExit={archive}", "-cp", f"{libs}/*", CLASSES["kafka-topics.sh"]]
    done = subprocess.run([*command, *asked], capture_output=True, text=True, check=False, timeout=90)
    assert archive.exists(), done.stdout + done.stderr
    return archive


def variables(kafka_home: Path, folder: Path, given: dict[str, str], **changed: str) -> dict[str, str]:
    """A pod's environment, with the paths of this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data"
    data.mkdir(exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        **given,
        "KAFKA_HOME": str(kafka_home),
        "CONFIG_DIR": str(FILES),
        "DATA_DIR": str(data),
        "LOG_DIR": str(folder),
        "TMPDIR": str(folder),
        "KAFKA_LOG4J_OPTS": f"-Dlog4j2.configurationFile={FILES}/log4j2.properties",
        "KAFKA_HEAP_OPTS": "-Xmx256m",
        "CLUSTER_ID": CLUSTER_ID,
        # What a pod takes from elsewhere than its own manifest.
        "BROKER_PASSWORD": "of-the-nodes",
        "OPERATOR_PASSWORD": "of-the-tools",
        **changed,
    }


@dataclass
class Node:
    """One Kafka process, started by the room's own script."""

    variables: dict[str, str]
    port: int
    host: str = "127.0.0.1"

    @property
    def folder(self) -> Path:
        return Path(self.variables["TMPDIR"])

    @property
    def log(self) -> Path:
        return Path(self.variables["LOG_DIR"]) / "console.log"

    def start(self) -> None:
        with self.log.open("a") as out:
            command = ["/bin/sh", str(FILES / "start.sh")]
            self.process = subprocess.Popen(
                command, env=self.variables, stdout=out, stderr=subprocess.STDOUT, process_group=0
            )
        end = time.monotonic() + STARTS_WITHIN
        while self.process.poll() is None and time.monotonic() < end:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.3)
        self.stop()
        raise AssertionError(f"Kafka does not listen on its port:\n{self.log.read_text()[-3000:]}")

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(60)
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill it and what runs beside it, which in a pod ends with it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def run(self, script: str, *arguments: str, given: str = "", login: str = "client") -> tuple[int, str]:
        """Run one of Kafka's tools, which logs in with the named properties; its exit code and all that it said."""
        command = [f"{self.variables['KAFKA_HOME']}/bin/{script}", "--bootstrap-server", f"{self.host}:{self.port}"]
        command += ["--command-config", str(self.folder / f"{login}.properties"), *arguments]
        quiet = {**self.variables, "KAFKA_LOG4J_OPTS": ""}
        done = subprocess.run(command, env=quiet, input=given, capture_output=True, text=True, timeout=180, check=False)
        return done.returncode, done.stdout + done.stderr

    def tool(self, script: str, *arguments: str, given: str = "", login: str = "client") -> str:
        """Like `run`, for what must succeed."""
        code, said = self.run(script, *arguments, given=given, login=login)
        assert code == 0, said
        return said

    def converge(self, script: str, **files: str) -> subprocess.CompletedProcess[str]:
        """Run topics.sh or users.sh beside the given files."""
        jobs = self.folder / "job"
        shutil.rmtree(jobs, ignore_errors=True)
        shutil.copytree(FILES, jobs)
        for name, text in files.items():
            (jobs / name).write_text(text)
        (jobs / "tmp").mkdir()
        changed = {
            "CONFIG_DIR": str(jobs),
            "AUTH_DIR": str(jobs),
            "TMPDIR": str(jobs / "tmp"),
            "BOOTSTRAP_SERVERS": f"{self.host}:{self.port}",
            "KAFKA_LOG4J_OPTS": "",
            "TIMEOUT_SECONDS": "240",
        }
        command = ["/bin/sh", str(jobs / script)]
        environment = {**self.variables, **changed}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)

    def topics(self, *declared: str) -> subprocess.CompletedProcess[str]:
        """Run topics.sh for the given lines."""
        return self.converge("topics.sh", topics="\n".join(declared))

    def users(self, passwords: dict[str, str], agents: dict[str, AgentSettings]) -> str:
        """Run users.sh for the given agents; what it said."""
        lines = "".join(f"{name} {password}\n" for name, password in passwords.items())
        done = self.converge("users.sh", users=lines, acls=acls(agents))
        assert done.returncode == 0, done.stdout + done.stderr
        for name, password in passwords.items():
            self.log_in_as(name, password)
        return done.stdout

    def log_in_as(self, user: str, password: str) -> None:
        """Write the properties of an agent's client, as USER.properties."""
        login = "org.apache.kafka.common.security.scram.ScramLoginModule"
        lines = [
            line
            for line in (self.folder / "client.properties").read_text().splitlines()
            if not line.startswith(("sasl.", "default.api"))
        ]
        lines += [
            "sasl.mechanism=SCRAM-SHA-512",
            f'sasl.jaas.config={login} required username="{user}" password="{password}";',
        ]
        (self.folder / f"{user}.properties").write_text("\n".join(lines) + "\n")

    def described(self) -> dict[str, str]:
        lines = self.tool("kafka-topics.sh", "--describe", "--exclude-internal").splitlines()
        return {line.split("\t")[0].removeprefix("Topic: "): line for line in lines if line.startswith("Topic: ")}


@pytest.fixture(scope="module")
def node(kafka_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """The node of combined mode, running."""
    broker, controller = free_port(), free_port()
    node = Node(
        variables(
            kafka_home,
            tmp_path_factory.mktemp("combined"),
            environment(container(build(**COMBINED), "kafka")),
            POD_NAME="kafka-0",
            LISTENERS=f"BROKER://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}",
            ADVERTISED_LISTENERS=f"BROKER://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}",
            CONTROLLER_QUORUM_VOTERS=f"0@127.0.0.1:{controller}",
        ),
        broker,
    )
    node.start()
    yield node
    node.stop()


def described(name: str, copies: int, configs: str) -> str:
    """A topic of three partitions as kafka-topics.sh shows it."""
    facts = [f"Topic: {name}", "TopicId: x", "PartitionCount: 3", f"ReplicationFactor: {copies}", f"Configs: {configs}"]
    partition = ["", f"Topic: {name}", "Partition: 0", "Leader: 1", "Replicas: 1,2,3", "Isr: 1,2,3"]
    return "\t".join(facts) + "\n" + "\t".join(partition) + "\n"


REST = "retention.bytes=-1,min.insync.replicas=2"
DESCRIBED = (
    described("kept", 3, f"{REST},cleanup.policy=delete,retention.ms=1000")
    + described("both", 3, f"cleanup.policy=compact,delete,retention.ms=1000,{REST}")
    + described("bare", 3, "")
    + described("thin", 1, f"{REST},cleanup.policy=delete,retention.ms=1000")
    + described("log", 3, f"cleanup.policy=delete,retention.ms=-1,{REST}")
    + described("capped", 3, "cleanup.policy=delete,retention.ms=-1,retention.bytes=9,min.insync.replicas=2")
    + described("state", 3, f"cleanup.policy=compact,retention.ms=1000,{REST}")
    + described("not-declared", 1, "")
)


@pytest.mark.parametrize("awk", [("awk",), ("busybox", "awk")], ids=["awk", "busybox"])
@pytest.mark.parametrize(
    ("declared", "planned"),
    [
        ("kept 3 delete 1000", ""),
        ("both 3 compact,delete 1000", ""),
        ("kept 5 delete 1000", "grow kept 5 delete 1000\n"),
        ("kept 3 delete 2000", "configure kept 3 delete 2000\n"),
        ("both 3 compact 1000", "configure both 3 compact 1000\n"),
        ("bare 3 delete 1000", "configure bare 3 delete 1000\n"),
        ("new.one 1 delete 5\nkept 3 delete 1000", "create new.one 1 delete 5\n"),
        ("log 3 delete -1\nstate 3 compact 1000", ""),
        ("kept 3 delete -1", "configure kept 3 delete -1\n"),
        ("capped 3 delete -1", "configure capped 3 delete -1\n"),
        ("capped 3 delete 5", "configure capped 3 delete 5\n"),
        ("state 3 delete -1", "configure state 3 delete -1\n"),
        ("kept 10 compact 1000", "grow kept 10 compact 1000\nconfigure kept 10 compact 1000\n"),
    ],
)
def test_the_plan_is_what_differs(tmp_path: Path, awk: tuple[str, ...], declared: str, planned: str) -> None:
    assert plan(tmp_path, awk, declared) == planned


@pytest.mark.parametrize(
    ("declared", "refusal"),
    [
        ("kept 2 delete 1000", "refuse kept: it has 3 partitions and 2 are declared"),
        ("thin 3 delete 1000", "refuse thin: it has 1 copies of every partition and 3 are declared"),
        ("log 3 delete 1000", "refuse log: it keeps every message for ever and is declared with cleanup.policy=delete"),
        ("log 3 compact -1", "refuse log: it keeps every message for ever and is declared with cleanup.policy=compact"),
        ("state 3 delete 1000", "refuse state: it keeps the last message of each key for ever and is declared"),
        ("state 3 compact,delete 1000", "refuse state: it keeps the last message of each key for ever"),
    ],
)
def test_what_cannot_be_taken_back_is_refused(tmp_path: Path, declared: str, refusal: str) -> None:
    assert plan(tmp_path, ("awk",), declared).startswith(refusal)


def plan(folder: Path, awk: tuple[str, ...], declared: str) -> str:
    if shutil.which(awk[0]) is None:
        pytest.skip(f"{awk[0]} is not on PATH: install it")
    (folder / "topics").write_text(declared)
    given = {"PATH": os.environ["PATH"], "REPLICATION_FACTOR": "3", "MIN_INSYNC_REPLICAS": "2"}
    command = [*awk, "-f", str(FILES / "topics.awk"), str(folder / "topics"), "-"]
    return subprocess.run(command, input=DESCRIBED, env=given, capture_output=True, text=True, check=True).stdout


def test_the_node_is_who_it_should_be(node: Node) -> None:
    meta = (Path(node.variables["DATA_DIR"]) / "kafka-logs" / "meta.properties").read_text()
    assert f"cluster.id={CLUSTER_ID}\n" in meta
    assert "node.id=0\n" in meta


def test_the_configuration_is_in_force(node: Node) -> None:
    shown = node.tool("kafka-configs.sh", "--describe", "--all", "--entity-type", "brokers", "--entity-name", "0")
    in_force = dict(re.findall(r"^ +([\w.]+)=(\S*) sensitive=", shown, re.MULTILINE))
    wanted = {
        "auto.create.topics.enable": "false",
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
    }
    assert {key: in_force.get(key) for key in wanted} == wanted


def test_it_logs_to_the_console_only(node: Node) -> None:
    assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO ", node.log.read_text(), re.MULTILINE)
    assert [path.name for path in Path(node.variables["LOG_DIR"]).glob("*.log*")] == ["console.log"]


def test_topics_converge(node: Node) -> None:
    first = node.topics("tasks 1 delete 60000", "state 2 compact,delete 60000")
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.count("Created topic") == 2
    assert "PartitionCount: 2" in node.described()["state"]

    again = node.topics("tasks 1 delete 60000", "state 2 compact,delete 60000")
    assert (again.returncode, again.stdout) == (0, "All topics are as declared.\n")

    changed = node.topics("tasks 3 delete 60000", "state 2 compact 120000")
    assert changed.returncode == 0, changed.stdout + changed.stderr
    topics = node.described()
    assert "PartitionCount: 3" in topics["tasks"]
    assert "cleanup.policy=compact,retention.ms=120000" in topics["state"]

    refused = node.topics("tasks 2 delete 60000", "state 2 compact 1", "new 1 delete 60000")
    assert refused.returncode == 2
    assert "Refused: topic tasks: it has 3 partitions and 2 are declared" in refused.stderr
    assert node.described() == topics


def test_messages_survive_a_restart(node: Node) -> None:
    assert node.topics("kept 1 delete 600000").returncode == 0
    node.tool("kafka-console-producer.sh", "--topic", "kept", "--command-property", "acks=all", given="hello\n")
    assert node.stop() in (0, 143)
    node.start()
    assert "already formatted" in node.log.read_text()
    arguments = ("--topic", "kept", "--from-beginning", "--max-messages", "1", "--timeout-ms", "30000")
    assert "hello" in node.tool("kafka-console-consumer.sh", *arguments).splitlines()


IMAGE = "example.com/agent:1"
RESEARCHER = AgentSettings(image=IMAGE, consumes=("orders",), produces=("answers",))
AUDITOR = AgentSettings(image=IMAGE, consumes=("answers",))


def produced(node: Node, topic: str, login: str) -> str:
    """What a producer says that sends one message; nothing once it is acknowledged."""
    return node.run("kafka-console-producer.sh", "--topic", topic, given=f"from {login}\n", login=login)[1]


def transacted(node: Node, topic: str, login: str, transactional_id: str) -> str:
    """What a producer says that sends one message in a transaction."""
    arguments = ("--num-records", "1", "--record-size", "9", "--throughput", "-1", "--transactional-id")
    return node.run("kafka-producer-perf-test.sh", "--topic", topic, *arguments, transactional_id, login=login)[1]


def consumed(node: Node, topic: str, login: str, group: str) -> str:
    """What a consumer says that reads one message from the beginning, within 60 s."""
    arguments = ("--topic", topic, "--group", group, "--from-beginning", "--max-messages", "1", "--timeout-ms", "60000")
    return node.run("kafka-console-consumer.sh", *arguments, login=login)[1]


@pytest.fixture(scope="module")
def peopled(node: Node) -> Node:
    """The node with two agents' users, ACLs and topics."""
    assert node.topics("orders 1 delete 600000", "answers 1 delete 600000").returncode == 0
    node.users({"researcher": "r1", "auditor": "a1"}, {"researcher": RESEARCHER, "auditor": AUDITOR})
    return node


def test_users_may_do_what_is_declared(peopled: Node) -> None:
    peopled.tool("kafka-console-producer.sh", "--topic", "orders", given="an order\n")
    assert "an order" in consumed(peopled, "orders", "researcher", "researcher")
    assert produced(peopled, "answers", "researcher") == ""
    assert "1 records sent" in transacted(peopled, "answers", "researcher", "researcher.0")
    assert "from researcher" in consumed(peopled, "answers", "auditor", "auditor")


def test_users_may_do_nothing_else(peopled: Node) -> None:
    assert "TopicAuthorizationException" in produced(peopled, "orders", "researcher")
    assert "TopicAuthorizationException" in consumed(peopled, "answers", "researcher", "researcher")
    assert "GroupAuthorizationException" in consumed(peopled, "orders", "researcher", "auditor")
    others = transacted(peopled, "answers", "researcher", "researcher-2.0")
    assert "TransactionalIdAuthorizationException" in others
    for action in (("--delete",), ("--alter", "--partitions", "9")):
        code, said = peopled.run("kafka-topics.sh", *action, "--topic", "answers", login="researcher")
        assert code != 0
        assert "AuthorizationException" in said


def test_nobody_gets_in_without_a_user(peopled: Node) -> None:
    anonymous = "default.api.timeout.ms=6000\nrequest.timeout.ms=5000\n"
    (peopled.folder / "anonymous.properties").write_text(anonymous)
    code, said = peopled.run("kafka-topics.sh", "--list", login="anonymous")
    assert code != 0
    assert "orders" not in said
    peopled.log_in_as("stranger", "r1")
    code, said = peopled.run("kafka-topics.sh", "--list", login="stranger")
    assert code != 0
    assert "SaslAuthenticationException" in said


def test_users_converge(peopled: Node) -> None:
    # A user that a person made has a name that no agent can have, and stays.
    own = ("--entity-type", "users", "--entity-name", "a.person")
    peopled.tool("kafka-configs.sh", "--alter", *own, "--add-config", "SCRAM-SHA-512=[password=own]")
    rule = ("--allow-principal", "User:a.person", "--operation", "Read", "--topic", "orders")
    peopled.tool("kafka-acls.sh", "--add", *rule)

    changed = peopled.users({"researcher": "r2"}, {"researcher": AUDITOR})
    assert "Adding ACLs" in changed
    assert "answers" in peopled.tool("kafka-topics.sh", "--list", login="researcher")
    peopled.log_in_as("researcher", "r1")
    for gone in ("researcher", "auditor"):
        assert "SaslAuthenticationException" in peopled.run("kafka-topics.sh", "--list", login=gone)[1]
    users = peopled.tool("kafka-configs.sh", "--describe", "--entity-type", "users")
    assert set(re.findall(r"user-principal '(.+?)'", users)) == {"researcher", "a.person"}
    listed = peopled.tool("kafka-acls.sh", "--list")
    assert "User:auditor" not in listed
    assert "User:a.person" in listed
    assert re.findall(r"User:researcher, host=\*, operation=(\w+)", listed) == ["READ", "READ"]

    again = peopled.users({"researcher": "r2"}, {"researcher": AUDITOR})
    assert "Adding ACLs" not in again
    assert "All users and ACLs are as declared.\n" in again


class Authority:
    """Signs certificates for 127.0.0.1, in the three files of a Secret."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tls = folder / "tls"
        self.tls.mkdir()
        (folder / "names").write_text("subjectAltName=critical,IP:127.0.0.1\n")
        self._run("req", "-x509", *self._key("ca.key"), "-subj", "/CN=authority", "-out", str(self.tls / "ca.crt"))

    def sign(self) -> None:
        """Write a new key and certificate, as a renewal does."""
        self._run("req", *self._key("new.key"), "-subj", "/", "-out", "request")
        signed = ("-CA", str(self.tls / "ca.crt"), "-CAkey", "ca.key", "-CAcreateserial", "-days", "1")
        self._run("x509", "-req", "-in", "request", *signed, "-extfile", "names", "-out", "new.crt")
        (self.folder / "new.key").rename(self.tls / "tls.key")
        (self.folder / "new.crt").rename(self.tls / "tls.crt")

    def serial(self, port: int) -> str:
        """The serial number of the certificate that the listener on that port shows."""
        shown = self._run("s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(self.tls / "ca.crt"))
        assert "Verify return code: 0 (ok)" in shown
        (self.folder / "shown").write_text(shown)
        return self._run("x509", "-in", "shown", "-noout", "-serial")

    def _key(self, name: str) -> list[str]:
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name]

    def _run(self, *arguments: str) -> str:
        command = ["openssl", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
        )
        return done.stdout


def test_tls_on_every_connection_and_renewed_certificates_without_a_restart(kafka_home: Path, tmp_path: Path) -> None:
    """A controller and a broker, with users as well."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on PATH: install it")
    authority = Authority(tmp_path)
    authority.sign()
    with separate(kafka_home, tmp_path, tls={"cluster_issuer": "internal"}, files=authority.tls) as nodes:
        broker = nodes["broker"]
        broker.users({"_exporter": "e1", "researcher": "r1"}, {"researcher": RESEARCHER})
        assert "protocol=SASL_SSL" in (broker.folder / "researcher.properties").read_text()
        broker.tool("kafka-topics.sh", "--list", login="researcher")
        before = {name: authority.serial(node.port) for name, node in nodes.items()}
        authority.sign()
        for name, node in nodes.items():
            end = time.monotonic() + 60
            while authority.serial(node.port) == before[name]:
                assert time.monotonic() < end, f"the {name} still shows the old one:\n{node.log.read_text()[-3000:]}"
                time.sleep(1)
        broker.tool("kafka-topics.sh", "--list", login="researcher")
        assert {node.process.poll() for node in nodes.values()} == {None}


def test_a_key_that_kafka_cannot_read_is_refused_with_the_mend(tmp_path: Path) -> None:
    given = environment(container(build(**COMBINED, tls={"cluster_issuer": "internal"}), "kafka"))
    for name in ("tls.key", "tls.crt", "ca.crt"):
        (tmp_path / name).write_text("-----BEGIN EC PRIVATE KEY-----\n")
    changed = variables(tmp_path, tmp_path / "node", given, POD_NAME="kafka-0", TLS_DIR=str(tmp_path))
    done = subprocess.run(
        ["/bin/sh", str(FILES / "start.sh")], env=changed, capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 1
    assert "openssl pkcs8 -topk8" in done.stderr


@contextlib.contextmanager
def separate(
    kafka_home: Path, folder: Path, files: Path | None = None, **settings: object
) -> Iterator[dict[str, Node]]:
    """One controller and one broker of the six: three voters cannot be here, where they have one address."""
    kafka = build(**settings)
    ports = {"controller": free_port(), "broker": free_port()}
    running: dict[str, Node] = {}
    try:
        for role, port in ports.items():
            name = f"kafka-{role}"
            address = f"{role.upper()}://127.0.0.1:{port}"
            node = Node(
                variables(
                    kafka_home,
                    folder / role,
                    environment(container(kafka, name)),
                    POD_NAME=f"{name}-0",
                    LISTENERS=address,
                    ADVERTISED_LISTENERS=address,
                    CONTROLLER_QUORUM_VOTERS=f"0@127.0.0.1:{ports['controller']}",
                    EVERY_SECONDS="2",
                    **({"TLS_DIR": str(files)} if files else {}),
                ),
                port,
            )
            node.start()
            running[role] = node
        yield running
    finally:
        for node in running.values():
            node.kill()


def test_separate_roles_start(kafka_home: Path, tmp_path: Path) -> None:
    with separate(kafka_home, tmp_path, authentication="none"):
        meta = tmp_path / "broker" / "data" / "kafka-logs" / "meta.properties"
        assert "node.id=100\n" in meta.read_text()
