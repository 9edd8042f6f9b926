"""Real processes: what they answer, and how they end."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

from agentstack_runtime.lifecycle import server

RUNTIME = Path(__file__).parents[2]


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Agent:
    def __init__(self, **variables: str) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("agent.py")), str(self.port), str(self.metrics_port)],
            env=os.environ | {"PYTHONPATH": str(RUNTIME)} | variables,
            stdout=subprocess.PIPE,
            text=True,
        )
        end = time.monotonic() + 30
        while True:
            try:
                self.get("/health")
                return
            except httpx.HTTPError:
                assert time.monotonic() < end, "it never answered"
                time.sleep(0.1)

    def get(self, path: str, port: int | None = None) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{port or self.port}{path}", timeout=10)

    def stop(self) -> tuple[int, str]:
        out, _ = self.process.communicate(timeout=20)
        return self.process.returncode, out


@pytest.fixture
def start() -> Iterator[Callable[..., Agent]]:
    started: list[Agent] = []

    def begin(**variables: str) -> Agent:
        started.append(Agent(**variables))
        return started[-1]

    yield begin
    for agent in started:
        agent.process.kill()
        agent.process.communicate()


def test_probes_and_metrics_have_their_ports(start: Callable[..., Agent]) -> None:
    agent = start()
    assert agent.get("/ready").json() == {"ready": True, "reasons": {}}
    assert agent.get("/metrics").status_code == 404
    assert "http_requests_total" in agent.get("/metrics", agent.metrics_port).text
    assert agent.get("/health", agent.metrics_port).status_code == 404


def test_sigterm_finishes_what_is_in_flight_and_hands_back_the_rest(start: Callable[..., Agent]) -> None:
    agent = start(SHUTDOWN_TAKES="1.5")
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(agent.get("/slow")))
    asking.start()
    time.sleep(0.5)
    agent.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    ready = agent.get("/ready")
    assert (ready.status_code, ready.json()["reasons"]) == (503, {"process": "is ending"})
    assert agent.get("/health").status_code == 200
    asking.join()
    assert answers[0].json() == {"slow": "but there"}
    code, out = agent.stop()
    assert code == 0
    assert "handed back with 3 s left" in out


def test_a_step_that_hangs_does_not_keep_the_process(start: Callable[..., Agent]) -> None:
    agent = start(SHUTDOWN_TAKES="3600")
    agent.process.send_signal(signal.SIGTERM)
    code, out = agent.stop()
    assert code == 1
    assert "shutdown step failed" in out


def test_a_task_that_crashes_ends_the_process(start: Callable[..., Agent]) -> None:
    code, out = start(CRASH_AFTER="1").stop()
    assert code == 1
    assert out.count("task failed") == 1
    assert "handed back" in out


def test_a_second_signal_ends_it_at_once(start: Callable[..., Agent]) -> None:
    agent = start(SHUTDOWN_TAKES="3600")
    agent.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    agent.process.send_signal(signal.SIGTERM)
    begin = time.monotonic()
    assert agent.stop()[0] == 1
    assert time.monotonic() - begin < 2


def test_whoever_says_nothing_is_hung_up_on(start: Callable[..., Agent]) -> None:
    agent = start()
    agent.get("/health")
    silent = socket.create_connection(("127.0.0.1", agent.port))
    half = socket.create_connection(("127.0.0.1", agent.port))
    half.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\nX-Never: ")
    for connection in (silent, half):
        connection.settimeout(server.HEAD_SECONDS + 5)
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    assert agent.get("/health").status_code == 200


def test_thousands_of_idle_connections_keep_nobody_out(start: Callable[..., Agent]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip(f"a process may open {hard} files only: raise `ulimit -n` to 4096")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    agent = start()

    def mebibytes() -> float:
        status = Path(f"/proc/{agent.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc, which only Linux has")
    before = mebibytes()
    idle = []
    try:
        for _ in range(2000):
            idle.append(socket.create_connection(("127.0.0.1", agent.port)))
        assert agent.get("/health").status_code == 200
        assert mebibytes() - before < 64
    finally:
        for connection in idle:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
