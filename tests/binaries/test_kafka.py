"""Kafka itself starts from the generated configuration, and its topics converge to what is declared.

Kafka is taken from KAFKA_HOME, or else fetched with Maven into the user's cache.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.kafka.common import FILES
from components.versions import KAFKA
from tests.unit.test_kafka import COMBINED, build, container, environment

CLUSTER_ID = "-PdGMVGySpWtqKXk6X8vOA"
"""Begins with a hyphen, as one generated id in 64 does."""
STARTS_WITHIN = 90
CLASSES = {
    "kafka-server-start.sh": "kafka.Kafka",
    "kafka-storage.sh": "kafka.tools.StorageTool",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-configs.sh": "kafka.admin.ConfigCommand",
    "kafka-console-producer.sh": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
}


def fetch(home: Path) -> None:
    """Fill `home` with Kafka's libraries and the scripts that the tests use."""
    pom = Path(__file__).parent / "kafka" / "pom.xml"
    command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-Dkafka.version={KAFKA.version}"]
    destination = f"-DoutputDirectory={home / 'libs'}"
    done = subprocess.run([*command, destination], capture_output=True, text=True, check=False, timeout=500)
    if done.returncode != 0:
        pytest.skip(f"Maven could not fetch Kafka: set KAFKA_HOME to an unpacked one; it said: {done.stdout[-500:]}")
    (home / "bin").mkdir()
    options = "${KAFKA_HEAP_OPTS:-} ${KAFKA_JVM_PERFORMANCE_OPTS:-} ${KAFKA_LOG4J_OPTS:-}"
    for script, name in CLASSES.items():
        path = home / "bin" / script
        path.write_text(f'#!/bin/sh\nexec java {options} -cp "$(dirname "$0")/../libs/*" {name} "$@"\n')
        path.chmod(0o755)


@pytest.fixture(scope="session")
def kafka_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if "KAFKA_HOME" in os.environ:
        return Path(os.environ["KAFKA_HOME"])
    if shutil.which("java") is None:
        pytest.skip("java is not on PATH: install a Java runtime, version 17 or later")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agentstack"
    home = cache / f"kafka-{KAFKA.version}"
    if not home.exists():
        if shutil.which("mvn") is None:
            pytest.skip("there is no Kafka: set KAFKA_HOME to an unpacked one, or install Maven, which fetches it")
        cache.mkdir(parents=True, exist_ok=True)
        # Test processes run side by side: each makes its own beside it, and the first to be ready moves it into place.
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = Path(folder) / "kafka"
            made.mkdir()
            fetch(made)
            with contextlib.suppress(OSError):
                made.rename(home)
    return home


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


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
        **changed,
    }


@dataclass
class Node:
    """One Kafka process, started by the room's own script."""

    variables: dict[str, str]
    port: int

    @property
    def log(self) -> Path:
        return Path(self.variables["LOG_DIR"]) / "console.log"

    def start(self) -> None:
        with self.log.open("a") as out:
            command = ["/bin/sh", str(FILES / "start.sh")]
            self.process = subprocess.Popen(command, env=self.variables, stdout=out, stderr=subprocess.STDOUT)
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
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def tool(self, script: str, *arguments: str, given: str = "") -> str:
        command = [f"{self.variables['KAFKA_HOME']}/bin/{script}", "--bootstrap-server", f"127.0.0.1:{self.port}"]
        quiet = {**self.variables, "KAFKA_LOG4J_OPTS": ""}
        done = subprocess.run(
            [*command, *arguments], env=quiet, input=given, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def topics(self, *declared: str) -> subprocess.CompletedProcess[str]:
        """Run topics.sh for the given lines."""
        changed = {
            "BOOTSTRAP_SERVERS": f"127.0.0.1:{self.port}",
            "TOPICS": "\n".join(declared),
            "KAFKA_LOG4J_OPTS": "",
            "TIMEOUT_SECONDS": "60",
        }
        command = ["/bin/sh", str(FILES / "topics.sh")]
        environment = {**self.variables, **changed}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

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


DESCRIBED = (
    described("kept", 3, "min.insync.replicas=2,cleanup.policy=delete,retention.ms=1000")
    + described("both", 3, "cleanup.policy=compact,delete,retention.ms=1000,min.insync.replicas=2")
    + described("bare", 3, "")
    + described("thin", 1, "min.insync.replicas=2,cleanup.policy=delete,retention.ms=1000")
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
        ("kept 10 compact 1000", "grow kept 10 compact 1000\nconfigure kept 10 compact 1000\n"),
    ],
)
def test_the_plan_is_what_differs(awk: tuple[str, ...], declared: str, planned: str) -> None:
    assert plan(awk, declared) == planned


@pytest.mark.parametrize(
    ("declared", "refusal"),
    [
        ("kept 2 delete 1000", "refuse kept: it has 3 partitions and 2 are declared"),
        ("thin 3 delete 1000", "refuse thin: it has 1 copies of every partition and 3 are declared"),
    ],
)
def test_what_kafka_cannot_do_is_refused(declared: str, refusal: str) -> None:
    assert plan(("awk",), declared).startswith(refusal)


def plan(awk: tuple[str, ...], declared: str) -> str:
    if shutil.which(awk[0]) is None:
        pytest.skip(f"{awk[0]} is not on PATH: install it")
    given = {"PATH": os.environ["PATH"], "TOPICS": declared, "REPLICATION_FACTOR": "3", "MIN_INSYNC_REPLICAS": "2"}
    command = [*awk, "-f", str(FILES / "topics.awk")]
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
    assert node.tool("kafka-console-consumer.sh", *arguments) == "hello\n"


def test_separate_roles_start(kafka_home: Path, tmp_path: Path) -> None:
    """One controller and one broker of the six: three voters cannot be here, where they have one address."""
    kafka = build()
    ports = {"controller": free_port(), "broker": free_port()}
    running: list[Node] = []
    try:
        for role, port in ports.items():
            name = f"kafka-{role}"
            address = f"{role.upper()}://127.0.0.1:{port}"
            running.append(
                Node(
                    variables(
                        kafka_home,
                        tmp_path / role,
                        environment(container(kafka, name)),
                        POD_NAME=f"{name}-0",
                        LISTENERS=address,
                        ADVERTISED_LISTENERS=address,
                        CONTROLLER_QUORUM_VOTERS=f"0@127.0.0.1:{ports['controller']}",
                    ),
                    port,
                )
            )
            running[-1].start()
        meta = tmp_path / "broker" / "data" / "kafka-logs" / "meta.properties"
        assert "node.id=100\n" in meta.read_text()
    finally:
        for node in running:
            if node.process.poll() is None:
                node.process.kill()
                node.process.wait()
