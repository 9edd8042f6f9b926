"""One Kafka node for the tests, with a plain listener for everybody and one that asks for a password."""

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

    def java(self, name: str, *arguments: str) -> list[str]:
        brief = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"-Dkafka.logs.dir={self.folder}"]
        return ["java", *brief, "-cp", f"{self.libs}/*", name, *arguments]

    def format(self) -> None:
        controller = free_port()
        listeners = f"PLAINTEXT://127.0.0.1:{self.port},SASL_PLAINTEXT://127.0.0.1:{self.secured}"
        lines = {
            "node.id": "0",
            "process.roles": "broker,controller",
            "controller.quorum.voters": f"0@127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
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
