"""The driver of releases against a stack in memory: every outcome, and every moment at which it may be killed."""

from __future__ import annotations

import copy
import http.server
import itertools
import json
import socketserver
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from agentstack.commands.cli import app
from agentstack.commands.release import _ask
from agentstack.commands.releases import changes
from agentstack.release.driver import Driver, Outcome, Update, UpdateFailedError, former
from agentstack.release.judge import Figures, Prometheus, PrometheusError, Verdict, figures, judge
from agentstack.release.stack import EngineStack, _last_words, _left_behind
from agentstack.rendering.environment import Environment
from settings import Analysis, Settings, SettingsError, StateFormats
from settings.agents import tracks
from settings.rollout import version_of
from settings.stack import load

from .cli_program import project

__all__ = ["project"]

PAUSE = timedelta(minutes=5)
GOOD = Figures(requests=1000, errors=0, p95=0.1, restarts=0)


class Killed(BaseException):
    """As by SIGKILL: nothing after it runs."""


@dataclass
class FakeStack:
    """A stack whose file and cluster are values."""

    folder: Path
    name: str = "dev"
    agents_: dict[str, Any] = field(default_factory=dict)
    deployed: list[dict[str, str]] = field(default_factory=list)
    """The images that each update left running, by Deployment."""
    updates: list[Update] = field(default_factory=list)
    fails: set[str] = field(default_factory=set)
    """Versions whose pods never become ready."""
    lives: int = 10_000
    """Operations until it is killed."""

    def tick(self) -> None:
        self.lives -= 1
        if self.lives < 0:
            raise Killed

    @property
    def agents(self) -> dict[str, Any]:
        return copy.deepcopy(self.agents_)

    def checked(self, agents: Mapping[str, Any]) -> Settings:
        return load(
            {"agents": agents, "gateway": {"enabled": False}, "platform": {"keda": {}}},
            stack_file=self.folder / "Pulumi.dev.yaml",
            agents_folder=self.folder,
        )

    def write(self, agents: dict[str, Any]) -> None:
        self.tick()
        self.agents_ = copy.deepcopy(agents)

    def up(self, message: str) -> None:
        self.tick()
        running = {
            f"{name}{track.suffix}": version_of(track.settings.image)
            for name, agent in self.checked(self.agents_).agents.items()
            for track in tracks(agent)
        }
        failed = bool(set(running.values()) & self.fails)
        result = "failed" if failed else "succeeded"
        now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=len(self.updates))
        self.updates.append(Update(len(self.updates) + 1, now, not failed, result, self.agents))
        if failed:
            raise UpdateFailedError("error: not ready")
        self.deployed.append(running)
        self.tick()

    def history(self) -> Iterator[Update]:
        return reversed(self.updates)


@dataclass
class World:
    stack: FakeStack
    candidate: Figures = GOOD
    said: list[str] = field(default_factory=list)
    now: float = 1_800_000_000.0
    unreachable: bool = False
    asked: list[tuple[str, float | None]] = field(default_factory=list)

    def ask(self, query: str, at: float | None) -> float | None:
        self.asked.append((query, at))
        if self.unreachable:
            raise PrometheusError("refused")
        seen = GOOD if 'track="stable"' in query or 'track="blue"' in query or at else self.candidate
        if "restarts" in query:
            return seen.restarts
        if "quantile" in query:
            return seen.p95
        return seen.errors if "5.." in query else seen.requests

    def sleep(self, seconds: float) -> None:
        self.stack.tick()
        self.now += seconds

    @property
    def driver(self) -> Driver:
        return Driver(self.stack, self.ask, self.said.append, lambda: self.now, self.sleep)

    def release(self, version: str = "2", **options: Any) -> Outcome:
        return self.driver.release("a", version, **{"steps": [10, 50, 100], "pause": PAUSE} | options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    agents = tmp_path / "agents"
    agents.mkdir()
    return agents


def world(folder: Path, extra: str = "rollout: canary") -> World:
    (folder / "a.yaml").write_text(f"name: a\nimage: x/y:1\nscaling: {{min: 3, max: 20}}\n{extra}\n")
    return World(FakeStack(folder))


CANARY = [
    {"a": "1", "a-canary": "2"},
    {"a": "1", "a-canary": "2"},
    {"a": "2"},
    {"a": "2"},
]


@pytest.mark.parametrize(
    ("rollout", "expected"),
    [
        ("rolling", [{"a": "2"}, {"a": "2"}]),
        ("canary", CANARY),
        ("blueGreen", [{"a": "1", "a-green": "2"}, {"a": "1", "a-green": "2"}, {"a": "2"}]),
    ],
)
def test_a_good_version_takes_over(folder: Path, rollout: str, expected: list[dict[str, str]]) -> None:
    made = world(folder, f"rollout: {rollout}")
    assert made.release() is Outcome.DONE
    assert made.stack.deployed == expected
    assert made.stack.agents == {"a": {"image": "x/y:2"}}


@pytest.mark.parametrize("rollout", ["rolling", "canary", "blueGreen"])
@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (Figures(1000, 50, 0.1, 0), "5 % errors, and 1 % are allowed"),
        (Figures(1000, 0, 0.2, 0), "p95 0.2 s, and 0.15 s are allowed"),
        (Figures(1000, 0, 0.1, 3), "restarted 3 times"),
    ],
)
def test_a_bad_version_goes_back(folder: Path, rollout: str, candidate: Figures, reason: str) -> None:
    made = world(folder, f"rollout: {rollout}")
    made.candidate = candidate
    assert made.release() is Outcome.ROLLED_BACK
    assert reason in "\n".join(made.said)
    assert made.stack.deployed[-1] == {"a": "1"}
    assert made.stack.agents == {"a": {"image": "x/y:1"}}


def test_a_bad_version_is_seen_before_the_pause_is_over(folder: Path) -> None:
    made = world(folder)
    made.candidate = Figures(1000, 500, 0.1, 0)
    start = made.now
    made.release()
    assert made.now - start == PAUSE.total_seconds() / 10


def test_a_version_that_does_not_start_goes_back(folder: Path) -> None:
    made = world(folder)
    made.stack.fails = {"2"}
    assert made.release() is Outcome.ROLLED_BACK
    assert made.stack.deployed == [{"a": "1"}]
    assert [update.succeeded for update in made.stack.updates] == [False, True]


def test_too_few_requests_are_waited_for_and_then_undecided(folder: Path) -> None:
    made = world(folder)
    made.candidate = Figures(3, 0, 0.1, 0)
    start = made.now
    assert made.release() is Outcome.UNDECIDED
    assert made.now - start == 2 * PAUSE.total_seconds()
    assert made.stack.agents["a"]["release"]["share"] == 10
    assert "3 of the 100 requests" in "\n".join(made.said)
    made.candidate = GOOD
    assert made.release() is Outcome.DONE


def test_without_prometheus_nothing_is_decided(folder: Path) -> None:
    made = world(folder)
    made.unreachable = True
    assert made.release() is Outcome.UNDECIDED
    made.driver.back("a")
    assert made.stack.deployed[-1] == {"a": "1"}


def test_an_agent_that_serves_no_requests_is_judged_by_its_restarts(folder: Path) -> None:
    made = world(folder, "rollout: {strategy: canary, analysis: {minRequests: 0}}")
    made.candidate = Figures(0, 0, None, 0)
    assert made.release() is Outcome.DONE


def test_a_version_that_has_no_work_yet_is_as_good_as_it_starts(folder: Path) -> None:
    made = world(folder)
    idle = "scaling: {min: 0, max: 20, queue: {redisList: 'checkpoint:open', lagPerReplica: 5}}"
    (folder / "a.yaml").write_text(f"name: a\nimage: x/y:1\nuses: [redis]\n{idle}\n")
    made.candidate = Figures(0, 0, None, None)
    assert made.release() is Outcome.DONE
    assert any("no work" in line for line in made.said)


def test_the_last_step_is_compared_with_what_was_before_it(folder: Path) -> None:
    made = world(folder, "rollout: rolling")
    start = made.now
    made.release()
    times = {at for _, at in made.asked}
    assert times == {None, start}


@pytest.mark.parametrize("rollout", ["rolling", "canary", "blueGreen"])
@pytest.mark.parametrize("bad", [False, True])
def test_killed_at_any_moment_the_same_command_converges(folder: Path, rollout: str, bad: bool) -> None:
    for lives in itertools.count():
        made = world(folder, f"rollout: {rollout}")
        if bad:
            made.candidate = Figures(1000, 500, 0.1, 0)
        made.stack.lives = lives
        try:
            outcome = made.release()
            break
        except Killed:
            made.stack.lives = 10_000
            made.stack.checked(made.stack.agents)  # `pulumi up` alone would do
            outcome = made.release()
        wanted = "1" if bad else "2"
        assert outcome is (Outcome.ROLLED_BACK if bad else Outcome.DONE)
        assert made.stack.deployed[-1] == {"a": wanted}
        assert made.stack.agents == {"a": {"image": f"x/y:{wanted}"}}
    assert lives > 5
    assert outcome is (Outcome.ROLLED_BACK if bad else Outcome.DONE)


def test_a_way_back_that_fails_is_tried_again(folder: Path) -> None:
    made = world(folder)
    made.stack.fails = {"1", "2"}
    assert made.release() is Outcome.FAILED
    made.stack.fails = set()
    assert made.release() is Outcome.ROLLED_BACK
    assert made.stack.agents == {"a": {"image": "x/y:1"}}


def test_another_release_in_progress_is_refused(folder: Path) -> None:
    made = world(folder)
    made.candidate = Figures(0, 0, None, 0)
    made.release("2")
    with pytest.raises(SettingsError, match="a release to 2 is in progress"):
        made.release("3")


def test_a_release_that_somebody_else_takes_back_is_left_alone(folder: Path) -> None:
    made = world(folder)
    other = World(made.stack)

    def sleep(seconds: float) -> None:
        made.now += seconds
        if made.stack.agents["a"].get("release"):
            other.driver.back("a")

    driver = made.driver
    driver.sleep = sleep
    assert driver.release("a", "2", steps=[50, 100], pause=PAUSE) is Outcome.UNDECIDED
    assert "somebody else" in made.said[-1]
    assert made.stack.agents == {"a": {"image": "x/y:1"}}


@pytest.mark.parametrize("version", ["latest", "a b", "1:2"])
def test_what_is_no_version_is_refused(folder: Path, version: str) -> None:
    made = world(folder)
    with pytest.raises(SettingsError, match=r"agents.a.release.version: "):
        made.release(version)
    assert made.stack.updates == []


def test_what_does_not_fit_changes_nothing(folder: Path) -> None:
    made = world(folder, "rollout: canary\nstate: {reads: [1], writes: 1}")
    with pytest.raises(SettingsError, match="does not read format 2"):
        made.release(state=StateFormats(reads=(1, 2), writes=2))
    with pytest.raises(SettingsError, match="unknown agent `b`: known are a"):
        made.driver.release("b", "2", steps=[100], pause=PAUSE)
    assert made.stack.agents == {}
    assert made.stack.updates == []


def test_what_the_new_version_reads_and_writes_stays_with_it(folder: Path) -> None:
    made = world(folder, "rollout: canary\nstate: {reads: [1, 2], writes: 1}")
    assert made.release(state=StateFormats(reads=(1, 2), writes=2)) is Outcome.DONE
    assert made.stack.agents["a"]["state"] == {"reads": [1, 2], "writes": 2}
    # From format 2 there is a way back to the version that reads both, and none to one that reads the first alone.
    assert made.driver.rollback("a", None) is Outcome.DONE
    assert made.stack.agents["a"] == {"image": "x/y:1", "state": {"reads": [1, 2], "writes": 1}}


def test_a_rollback_to_what_cannot_read_the_state_is_refused(folder: Path) -> None:
    made = world(folder, "state: {reads: [1], writes: 1}")
    made.stack.agents_ = {"a": {"image": "x/y:1", "state": {"reads": [1], "writes": 1}}}
    made.stack.up("1")
    made.stack.agents_ = {"a": {"image": "x/y:3", "state": {"reads": [2], "writes": 2}}}
    made.stack.up("3")
    with pytest.raises(SettingsError, match=r"agents.a.state: the version that runs does not read format 1"):
        made.driver.rollback("a", "1")


def test_rollback_restores_settings_from_the_history(folder: Path) -> None:
    made = world(folder, "rollout: rolling")
    made.stack.agents_ = {"a": {"image": "x/y:1", "env": {"LEVEL": "10"}}}
    made.stack.up("by hand")
    made.release("2")
    made.stack.agents_["a"]["env"] = {"LEVEL": "20"}
    made.release("3")
    assert made.driver.rollback("a", "1") is Outcome.DONE
    assert made.stack.agents == {"a": {"image": "x/y:1", "env": {"LEVEL": "10"}}}
    with pytest.raises(SettingsError, match="no update of a with version 9"):
        made.driver.rollback("a", "9")


def test_an_interrupted_rollback_run_again_restores_the_same(folder: Path) -> None:
    made = world(folder, "rollout: rolling")
    for version in ("2", "3"):
        made.release(version)
    made.stack.lives = 1  # the file is written, the update is not run
    with pytest.raises(Killed):
        made.driver.rollback("a", None)
    made.stack.lives = 100
    made.driver.rollback("a", None)
    assert made.stack.deployed[-1] == {"a": "2"}


def test_rollback_of_all_agents_restores_those_that_changed(folder: Path) -> None:
    made = world(folder, "rollout: rolling")
    (folder / "b.yaml").write_text("name: b\nimage: x/b:7\n")
    made.release("2")
    made.release("3")
    assert made.driver.rollback(None, None) is Outcome.DONE
    assert made.stack.deployed[-1] == {"a": "2", "b": "7"}


def test_the_list_shows_what_each_update_changed(folder: Path) -> None:
    made = world(folder)
    made.release("2")
    made.candidate = Figures(1000, 500, 0.1, 0)
    made.release("3")
    rows = [(update.number, *rest) for update, *rest in changes(made.stack.history(), "a")]
    assert rows == [
        (6, "a", "2", "3 goes back"),
        (5, "a", "2", "3 10 %"),
        (4, "a", "2", ""),
        (3, "a", "1", "2 100 %"),
        (2, "a", "1", "2 50 %"),
        (1, "a", "1", "2 10 %"),
    ]
    assert former(list(made.stack.history()), "a", None) == {"a": {"image": "x/y:1"}}


@pytest.mark.parametrize(
    ("candidate", "stable", "verdict"),
    [
        (GOOD, GOOD, Verdict.GOOD),
        (GOOD, None, Verdict.GOOD),
        (Figures(1000, 10, 0.1, 0), None, Verdict.GOOD),
        (Figures(1000, 11, 0.1, 0), None, Verdict.BAD),
        (Figures(1000, 60, 0.1, 0), Figures(1000, 55, 0.1, 0), Verdict.GOOD),
        (Figures(1000, 0, 9.0, 0), None, Verdict.GOOD),
        (Figures(1000, 0, 9.0, 0), GOOD, Verdict.BAD),
        (Figures(1000, 0, None, 0), GOOD, Verdict.GOOD),
        (Figures(99, 0, 0.1, 0), GOOD, Verdict.UNDECIDED),
        (Figures(99, 0, 0.1, 1.2), GOOD, Verdict.BAD),
        (Figures(1000, 0, 0.1, None), GOOD, Verdict.UNDECIDED),
    ],
)
def test_verdicts(candidate: Figures, stable: Figures | None, verdict: Verdict) -> None:
    assert judge(candidate, stable, Analysis())[0] is verdict


def test_the_queries_are_promql() -> None:
    promql = pytest.importorskip("promql_parser")
    asked: list[str] = []

    def ask(query: str, at: float | None) -> float | None:
        promql.parse(query)
        asked.append(query)
        return 1.0

    figures(ask, namespace="agents", agent="a", track="canary", seconds=90.5)
    assert all('track="canary"' in query and "[91s]" in query for query in asked)
    assert len(asked) == 4


def test_what_was_never_an_agents_settings_is_left_out_of_the_history(tmp_path: Path) -> None:
    good = {"image": "x/y:1"}
    malformed: list[Any] = [
        *(None, "x/y:1", {"image": 1}, {"image": None}, {**good, "release": "2.0"}, {**good, "release": []}),
        *({**good, "release": {}}, {**good, "release": {"version": "2"}}, {**good, "release": {"share": 10}}),
    ]
    recorded = [json.dumps({"a": group, "b": good}) for group in malformed]
    recorded += ["not JSON", "[]", "7", "null", json.dumps({"a": {**good, "release": {"version": "2", "share": 10}}})]
    stack = EngineStack(Environment(tmp_path, "dev", tmp_path / "Pulumi.dev.yaml", tmp_path))
    updates = [
        SimpleNamespace(
            kind="update",
            config={"agentstack:agents": SimpleNamespace(value=text)},
            version=number,
            start_time=datetime(2026, 1, 1, tzinfo=UTC),
            result="succeeded",
        )
        for number, text in enumerate(recorded, start=1)
    ]
    # Where the engine's stack is cached.
    vars(stack)["_stack"] = SimpleNamespace(history=lambda **_: updates[::-1])
    history = list(stack.history())
    last = len(recorded)
    assert [(update.number, *rest) for update, *rest in changes(history, None)] == [
        (last, "a", "1", "2 10 %"),
        (1, "b", "1", ""),
    ]
    assert former(history, "b", "1") == {"b": good}
    with pytest.raises(SettingsError, match="no update of a with another version"):
        former(history, "a", None)


def test_an_answer_that_is_none_of_prometheus_is_an_error() -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"status": "success", "data": {"result": []}}' if "fine" in self.path else b"<html>")

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    asked = Prometheus(f"http://127.0.0.1:{server.server_port}/")
    assert asked.value("fine") is None
    with pytest.raises(PrometheusError):
        asked.value("up")
    server.shutdown()
    with pytest.raises(PrometheusError):
        Prometheus("http://127.0.0.1:1").value("up")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
        b"nothing of HTTP\r\n\r\n",
        b"",
    ],
)
def test_a_prometheus_that_breaks_in_the_middle_of_its_answer_is_an_error(answer: bytes) -> None:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(answer)

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(PrometheusError):
            Prometheus(f"http://127.0.0.1:{server.server_address[1]}").value("up")


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost:9090", "ftp://prometheus", "http://", "http://:9090", "http://[::1", "http://p:0"),
        *("http://p:99999", "http://p:http", "http://p q:9090", "http://p:9090\n", "http://p:9090?x", "http://pü:9090"),
        *("https://admin:hunter2@p:9090", "http://admin:hunter2%40p:9090", "admin:hunter2@p"),
    ],
)
def test_the_address_of_prometheus_is_checked_first_and_never_repeated(url: str) -> None:
    done = CliRunner().invoke(app, ["release", "a", "--to", "2", "--prometheus", url])
    assert isinstance(done.exception, SettingsError)
    assert str(done.exception).startswith("--prometheus: is not the address of a Prometheus: write ")
    assert "hunter2" not in str(done.exception)


@pytest.mark.parametrize("url", ["none", "http://p", "https://p.example:443/prometheus/", "http://[::1]:9090"])
def test_an_address_of_prometheus(url: str) -> None:
    assert (_ask(url) is None) == (url == "none")


def test_a_lock_of_a_process_that_is_gone_is_told_from_others() -> None:
    import os
    import socket

    line = "error: the stack is currently locked by 1 lock(s).\n  f.json: created by u@{host} (pid {pid}) at 2026"
    host = socket.gethostname()
    assert _left_behind(line.format(host=host, pid=2**22 + 1))
    assert not _left_behind(line.format(host=host, pid=os.getpid()))
    assert not _left_behind(line.format(host="other", pid=2**22 + 1))
    assert not _left_behind("[409] Conflict: Another update is currently in progress.")


def test_the_errors_are_told_from_the_rest_of_an_output() -> None:
    text = "stdout: Updating (dev)\n  error: 1 error occurred:\nDiagnostics:\n  x:y (z):\n    error: why\n"
    text += "  pulumi:pulumi:Stack (dev):\n    error: update failed\n\nResources:\n    + 1 created\n"
    assert _last_words(text) == "x:y (z):\nerror: why"
    assert _last_words("a\nerror: no\nerror: no\n") == "error: no"
    assert _last_words(" odd ") == "odd"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["release", "a", "--to", "2", "--steps", "50,10,100"], "--steps: `50,10,100` are not growing shares"),
        (["release", "a", "--to", "2", "--steps", "10,50"], "up to 100"),
        (["release", "a", "--to", "2", "--pause", "5"], "--pause: `5` is not a duration"),
        (["release", "a", "--to", "2", "--pause", "0s"], "--pause: `0s` is not between `1s` and `24h`"),
        (["release", "a", "--to", "2", "--pause", "99999999d"], "--pause: `99999999d` is not between"),
        (["release", "a", "--to", "2", "--reads", "1", "--writes", "2"], "--reads: with `--writes`"),
        (["rollback", "--to", "2"], "--to: belongs to one agent"),
    ],
)
def test_bad_options_are_one_line(words: list[str], message: str) -> None:
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, SettingsError)
    assert message in str(done.exception)


def test_releases_are_listed_as_they_are_written(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "Pulumi.dev.yaml").write_text("config:\n  agentstack:gateway: {enabled: false}\n")
    update = Update(7, datetime(2026, 1, 1, tzinfo=UTC), False, "failed", {"one[0]": {"image": "x/one:1[bold]"}})
    monkeypatch.setattr(EngineStack, "history", lambda _: iter([update]))
    lines = CliRunner().invoke(app, ["releases"]).stdout.splitlines()
    assert lines[1].split() == ["7", "2026-01-01", "00:00", "failed", "one[0]", "1[bold]"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["release", "one", "--to", "2"], "pulumi: is not on PATH: install the engine (https://www.pulumi.com/docs/"),
        (["rollback", "one"], "pulumi: is not on PATH: "),
        (["releases"], "pulumi: is not on PATH: "),
        # What the files alone show wrong needs no engine.
        (["release", "nope", "--to", "2"], "unknown agent `nope`: known are one"),
        (["release", "one", "--to", "latest"], "agents.one.release.version: `latest` changes under a running release"),
        (["rollback", "nope"], "unknown agent `nope`"),
        (["releases", "nope"], "unknown agent `nope`"),
    ],
)
def test_without_the_engine(project: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str) -> None:
    (project / "Pulumi.dev.yaml").write_text("config:\n  agentstack:gateway: {enabled: false}\n")
    before = (project / "Pulumi.dev.yaml").read_text()
    monkeypatch.setenv("PATH", str(project))
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, SettingsError)
    assert message in str(done.exception)
    assert len(str(done.exception).splitlines()) == 1
    assert (project / "Pulumi.dev.yaml").read_text() == before
