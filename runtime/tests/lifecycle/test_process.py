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

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=15)

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


def test_requests_have_the_whole_time_and_readiness_its_answer(start: Callable[..., Agent]) -> None:
    agent = start(LAST_REQUESTS="0")
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(agent.get("/slow")))
    asking.start()
    time.sleep(0.5)
    agent.process.send_signal(signal.SIGTERM)
    time.sleep(1)
    ready = agent.get("/ready")
    assert (ready.status_code, ready.json()["reasons"]) == (503, {"process": "is ending"})
    asking.join()
    assert answers[0].json() == {"slow": "but there"}
    assert answers[0].headers["connection"] == "close", "the client is to come back on another connection"
    assert agent.stop()[0] == 0


def test_a_request_beyond_the_time_is_cut_and_said(start: Callable[..., Agent]) -> None:
    agent = start(LAST_REQUESTS="0", SLOW="3600")
    failures: list[Exception] = []

    def ask() -> None:
        try:
            agent.get("/slow")
        except httpx.HTTPError as error:
            failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.5)
    begin = time.monotonic()
    agent.process.send_signal(signal.SIGTERM)
    code, out = agent.stop()
    assert 2.5 < time.monotonic() - begin < 15
    assert code == 0
    assert '"requests": 1' in out
    asking.join()
    assert failures


def test_what_clings_to_life_is_left_behind(start: Callable[..., Agent]) -> None:
    agent = start(CLINGING="a task and a thread")
    begin = time.monotonic()
    agent.process.send_signal(signal.SIGTERM)
    assert agent.stop()[0] == 0
    assert time.monotonic() - begin < 15


def test_a_port_that_is_taken_is_one_line_and_1(start: Callable[..., Agent]) -> None:
    with closing(socket.socket()) as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        taken = str(other.getsockname()[1])
        command = [sys.executable, str(Path(__file__).with_name("agent.py")), taken, str(free_port())]
        ended = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": str(RUNTIME)}, capture_output=True, text=True, timeout=30
        )
    assert ended.returncode == 1
    assert ended.stdout.count("address already in use") == 1
    assert "handed back" in ended.stdout
    assert ended.stderr == ""


def test_who_sends_too_much_reads_why(start: Callable[..., Agent]) -> None:
    agent = start()
    for content in (b"x" * 6_000_000, iter([b"x" * 1_000_000] * 6)):
        answer = httpx.post(f"http://127.0.0.1:{agent.port}/echo", content=content, timeout=20)
        assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")


def test_a_step_that_hangs_does_not_keep_the_process(start: Callable[..., Agent]) -> None:
    agent = start(SHUTDOWN_TAKES="3600")
    agent.process.send_signal(signal.SIGTERM)
    code, out = agent.stop()
    assert code == 1
    assert "shutdown step failed" in out


@pytest.mark.parametrize("how", ["raising", "cancelling"])
def test_a_task_that_crashes_ends_the_process(start: Callable[..., Agent], how: str) -> None:
    code, out = start(CRASH_AFTER="1", CRASH_BY=how).stop()
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
    assert time.monotonic() - begin < 15


def test_whoever_says_nothing_is_hung_up_on(start: Callable[..., Agent]) -> None:
    agent = start(HEAD_SECONDS="1")
    silent, half = agent.connect(), agent.connect()
    half.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\nX-Never: ")
    for connection in (silent, half):
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    assert agent.get("/health").status_code == 200


@pytest.mark.parametrize(
    "begun",
    [b"GET /slow HTTP/1.1\r\nHost: x\r\nX-Never: ", b"POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n"],
    ids=["a head", "a body that nobody asks for"],
)
def test_whoever_dribbles_is_hung_up_on(start: Callable[..., Agent], begun: bytes) -> None:
    """A byte now and then keeps no connection: neither in a head, nor after an answer that needed no body."""
    agent = start(HEAD_SECONDS="1")
    connection = agent.connect()
    connection.sendall(begun)
    end = time.monotonic() + 8
    with suppress(ConnectionResetError, BrokenPipeError):
        while time.monotonic() < end:
            connection.sendall(b"x")
            time.sleep(0.2)
    assert time.monotonic() < end


def test_a_body_that_dribbles_is_408(start: Callable[..., Agent]) -> None:
    agent = start(BODY_SECONDS="1")
    connection = agent.connect()
    connection.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n")
    for _ in range(4):
        connection.sendall(b"x")
        time.sleep(0.2)
    answer = connection.makefile("rb").read()  # To the end: it is closed.
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer


@pytest.mark.parametrize("chunked", [True, False])
def test_whoever_sends_too_much_gets_the_answer(start: Callable[..., Agent], chunked: bool) -> None:
    agent = start()
    part, parts = b"x" * 65536, 256
    content = (part for _ in range(parts)) if chunked else part * parts
    answer = httpx.post(f"http://127.0.0.1:{agent.port}/echo", content=content, timeout=20)
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")


def test_the_trace_of_a_request_is_not_that_of_the_next_of_its_connection(start: Callable[..., Agent]) -> None:
    agent = start()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with httpx.Client(base_url=f"http://127.0.0.1:{agent.port}") as client:
        # So large that the reading of the connection is paused, and resumed from within the request.
        first = client.post("/echo", content=b"x" * 1_000_000, headers={"traceparent": trace})
        assert first.json() == {"bytes": 1_000_000, "trace": trace}
        assert client.post("/echo").json() == {"bytes": 0, "trace": None}


def test_beyond_the_bound_of_connections_the_idle_make_room(start: Callable[..., Agent]) -> None:
    agent = start(CONNECTIONS="20")
    asking = threading.Thread(target=agent.get, args=("/slow",))
    asking.start()
    time.sleep(0.3)
    idle = [agent.connect() for _ in range(60)]
    assert [agent.get("/health").status_code for _ in range(5)] == [200] * 5
    time.sleep(0.2)
    still = 0
    for connection in idle:
        connection.setblocking(False)
        try:
            connection.recv(1)
        except BlockingIOError:
            still += 1
        except ConnectionResetError:
            pass
        connection.close()
    assert 10 <= still <= 20
    asking.join()


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
