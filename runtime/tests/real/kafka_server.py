"""One Kafka node for the tests: a listener for everybody, and one with TLS that asks for a password."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

STARTS_WITHIN = 90
USER, PASSWORD = "learner", "of-the-learner"


def libraries() -> Path:
    """Where Kafka's jars are; skips the test where they are not."""
    if shutil.which("java") is None:
        pytest.skip("java is not on PATH: install a Java runtime, version 17 or later")
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on PATH: install it; it makes the certificates")
    if "KAFKA_HOME" in os.environ:
        return Path(os.environ["KAFKA_HOME"]) / "libs"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agentstack"
    found = sorted(cache.glob("kafka-*/libs"))
    if not found:
        pytest.skip("there is no Kafka: set KAFKA_HOME to an unpacked one, or run tests/binaries once, which fetch it")
    return found[-1]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


@dataclass
class Server:
    folder: Path
    libs: Path = field(default_factory=libraries)
    port: int = field(default_factory=free_port)
    secured: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def authority(self) -> Path:
        """The certificate that signed the node's."""
        return self.folder / "ca.crt"

    def certify(self) -> None:
        """Make the authority, and a certificate for 127.0.0.1."""
        key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        (self.folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
        for command in (
            f"req -x509 -subj /CN=authority -days 2 {key} -keyout ca.key -out ca.crt",
            f"req -subj /CN=kafka {key} -keyout tls.key -out tls.csr",
            "x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 1 -extfile san -out tls.crt",
        ):
            subprocess.run(["openssl", *command.split()], cwd=self.folder, check=True, capture_output=True)
        (self.folder / "node.pem").write_text(
            "".join((self.folder / f"tls.{end}").read_text() for end in ("key", "crt"))
        )

    def java(self, name: str, *arguments: str) -> list[str]:
        brief = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"-Dkafka.logs.dir={self.folder}"]
        return ["java", *brief, "-cp", f"{self.libs}/*", name, *arguments]

    def format(self) -> None:
        self.certify()
        controller = free_port()
        ports = {"PLAINTEXT": self.port, "SASL_SSL": self.secured}
        listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
        protocols = ",".join(["CONTROLLER:PLAINTEXT", *(f"{name}:{name}" for name in ports)])
        scram_login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        lines = {
            "node.id": "0",
            "process.roles": "broker,controller",
            "controller.quorum.voters": f"0@127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": protocols,
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": scram_login,
            "listener.name.sasl_ssl.ssl.keystore.type": "PEM",
            "listener.name.sasl_ssl.ssl.keystore.location": str(self.folder / "node.pem"),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "log.dirs": str(self.folder / "data"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "3",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            "log.cleaner.backoff.ms": "200",
        }
        properties = self.folder / "server.properties"
        properties.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        scram = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
        command = self.java("kafka.tools.StorageTool", "format", "-t", "PdGMVGySpWtqKXk6X8vOAQ", "-c", str(properties))
        done = subprocess.run([*command, "--add-scram", scram], capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        with (self.folder / "console.log").open("a") as out:
            command = self.java("kafka.Kafka", str(self.folder / "server.properties"))
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        end = time.monotonic() + STARTS_WITHIN
        while self.process.poll() is None and time.monotonic() < end:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.2)
        self.stop()
        raise AssertionError(f"Kafka does not listen:\n{(self.folder / 'console.log').read_text()[-3000:]}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
