"""`agentstack release` on a real engine and cluster, with figures from a Prometheus that the tests play.

The tests build on each other. Images: any tag of agnhost that its registry has answers on every path.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

import pytest
import yaml

from .conftest import Project

NAMESPACE = "release-agents"
REPOSITORY = "registry.k8s.io/e2e-test-images/agnhost"
OLD, NEW, NEWER, MISSING = "2.45", "2.47", "2.53", "0.0-there-is-none"
AGENT = """\
name: chat
image: {repository}:{version}
args: [netexec, --http-port=8080]
rollout: {strategy}
{pods}
resources:
  requests: {{cpu: 10m, memory: 16Mi}}
  limits: {{cpu: 200m, memory: 64Mi}}
shutdown: {{preStop: 0s, longestTask: 0s}}
probes:
  startup: {{path: /health, period: 1s, timeout: 1s, failures: 10}}
  liveness: {{path: /health, initialDelay: 0s}}
  readiness: {{path: /ready, initialDelay: 0s, period: 1s}}
"""


@dataclass
class Figures:
    """What the played Prometheus says of the candidate; the stable version makes no errors in 100 ms."""

    errors: float = 0
    p95: float = 0.1
    restarts: float = 0
    url: str = ""
    queries: list[str] = field(default_factory=list)

    def answer(self, query: str) -> float:
        candidate = 'track="stable"' not in query and 'track="blue"' not in query
        if "restarts" in query:
            return self.restarts if candidate else 0
        if "histogram_quantile" in query:
            return self.p95 if candidate else 0.1
        if "5.." in query:
            return self.errors if candidate else 0
        return 1000


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Figures]:
    figures = Figures()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlparse(self.path).query)["query"][0]
            figures.queries.append(query)
            result = [{"metric": {}, "value": [time.time(), str(figures.answer(query))]}]
            body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    figures.url = f"http://127.0.0.1:{server.server_port}"
    yield figures
    server.shutdown()


@pytest.fixture(autouse=True)
def _good_again(prometheus: Figures) -> Iterator[None]:
    yield
    prometheus.errors, prometheus.p95, prometheus.restarts = 0, 0.1, 0


@dataclass
class Released:
    """A stack with one agent, and how to release it."""

    stack: Project
    prometheus: Figures

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "agentstack", *words]

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words),
            cwd=self.stack.folder,
            env=self.stack.environment | {"AGENTSTACK_PROMETHEUS": self.prometheus.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str, code: int) -> str:
        process = self.start(*words)
        said, _ = process.communicate(timeout=500)
        print(said)
        assert process.returncode == code, said
        return said

    @property
    def written(self) -> dict[str, object]:
        config = yaml.safe_load((self.stack.folder / "Pulumi.dev.yaml").read_text())["config"]
        group: dict[str, object] = config.get("agentstack:agents", {}).get("chat", {})
        return group

    def images(self) -> dict[str, str]:
        items = json.loads(kubectl("get", "deployments", "--namespace", NAMESPACE, "--output=json"))["items"]
        return {
            item["metadata"]["name"]: item["spec"]["template"]["spec"]["containers"][0]["image"].partition(":")[2]
            for item in items
        }

    def endpoints(self) -> set[str]:
        """The versions that the Service leads to."""
        slices = json.loads(
            kubectl(
                "get",
                "endpointslices",
                "--namespace",
                NAMESPACE,
                "--selector=kubernetes.io/service-name=chat",
                "-ojson",
            )
        )["items"]
        pods = {
            endpoint["targetRef"]["name"]
            for item in slices
            for endpoint in item["endpoints"] or []
            if endpoint["conditions"].get("ready")
        }
        found = json.loads(kubectl("get", "pods", "--namespace", NAMESPACE, "--output=json"))["items"]
        return {
            pod["metadata"]["labels"]["app.kubernetes.io/version"] for pod in found if pod["metadata"]["name"] in pods
        }


def kubectl(*arguments: str) -> str:
    done = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def released(
    kubeconfig: None, project: Project, prometheus: Figures, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Released]:
    stack = project.beside(tmp_path_factory.mktemp("released"), "release_program.py", stack="dev")
    (stack.folder / "agents").mkdir()
    file = stack.folder / "Pulumi.dev.yaml"
    file.write_text(
        "# What a person wrote stays.\n"
        + file.read_text()
        + "config:\n  agentstack:gateway: {enabled: false}  # nobody is public\n"
        + f"  agentstack:namespaces: {{agents: {{name: {NAMESPACE}}}}}\n"
    )
    released = Released(stack, prometheus)
    declare(released, "canary")
    try:
        stack.pulumi("up", "--yes", "--skip-preview")
        yield released
    finally:
        stack.pulumi("cancel", "--yes", code=None)
        stack.pulumi("destroy", "--yes", "--skip-preview", "--refresh", code=None)
        subprocess.run(["kubectl", "delete", "namespace", NAMESPACE, "--ignore-not-found"], check=False)


def declare(released: Released, strategy: str, pods: str = "replicas: 3") -> None:
    text = AGENT.format(repository=REPOSITORY, version=OLD, strategy=strategy, pods=pods)
    (released.stack.folder / "agents" / "chat.yaml").write_text(text)


def test_a_good_canary_takes_everything(released: Released) -> None:
    process = released.start("release", "chat", "--to", NEW, "--steps", "34,100", "--pause", "8s")
    seen: list[tuple[dict[str, str], set[str]]] = []
    while process.poll() is None:
        with contextlib.suppress(AssertionError, KeyError):
            seen.append((released.images(), released.endpoints()))
        time.sleep(1)
    said = process.stdout.read() if process.stdout else ""
    print(said)
    assert process.returncode == 0
    assert ({"chat": OLD, "chat-canary": NEW}, {OLD, NEW}) in seen, "both versions served at once"
    assert all(endpoints for _, endpoints in seen), "somebody served at all times"
    assert released.images() == {"chat": NEW}
    assert released.endpoints() == {NEW}
    assert released.written == {"image": f"{REPOSITORY}:{NEW}"}
    file = (released.stack.folder / "Pulumi.dev.yaml").read_text()
    assert "# What a person wrote stays." in file
    assert "# nobody is public" in file
    released.stack.pulumi("preview", "--expect-no-changes")


def test_a_canary_with_errors_goes_back(released: Released, prometheus: Figures) -> None:
    prometheus.errors = 50
    said = released.run("release", "chat", "--to", NEWER, "--pause", "8s", code=1)
    assert "5 % errors, and 1 % are allowed" in said
    assert released.images() == {"chat": NEW}
    assert released.written == {"image": f"{REPOSITORY}:{NEW}"}


def test_a_canary_that_does_not_start_goes_back(released: Released) -> None:
    start = time.monotonic()
    said = released.run("release", "chat", "--to", MISSING, "--pause", "8s", code=1)
    assert "chat-canary" in said
    assert time.monotonic() - start < 180
    assert released.images() == {"chat": NEW}
    assert released.endpoints() == {NEW}


@pytest.mark.parametrize("moment", ["while the engine works", "while it watches"])
def test_killed_and_run_again_it_converges(released: Released, moment: str) -> None:
    version = NEWER if moment == "while the engine works" else NEW
    words = ("release", "chat", "--to", version, "--steps", "34,100", "--pause")
    process = released.start(*words, "60s")
    deadline = time.monotonic() + 120
    deployed = {"chat-canary": version}.items()
    while not ("release" in released.written and (deployed <= released.images().items())):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    if moment == "while it watches":
        released.prometheus.queries.clear()
        while not released.prometheus.queries:
            time.sleep(0.5)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert released.written["release"]
    released.run(*words, "5s", code=0)
    assert released.images() == {"chat": version}
    assert released.written == {"image": f"{REPOSITORY}:{version}"}
    released.stack.pulumi("preview", "--expect-no-changes")


def test_two_at_once_are_refused(released: Released) -> None:
    first = released.start("release", "chat", "--to", NEWER, "--steps", "34,100", "--pause", "5s")
    while "release" not in released.written:
        assert first.poll() is None
        time.sleep(0.2)
    said = released.run("release", "chat", "--to", NEWER, "--pause", "5s", code=5)
    assert "another update of `dev` is under way" in said
    assert first.wait(timeout=300) == 0


def test_an_interrupt_leaves_a_state_to_go_on_from(released: Released) -> None:
    words = ("release", "chat", "--to", NEW, "--steps", "34,100", "--pause")
    process = released.start(*words, "60s")
    released.prometheus.queries.clear()
    while not released.prometheus.queries:
        assert process.poll() is None
        time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command" in said
    assert released.images()["chat-canary"] == NEW
    assert "is in progress" in released.run("release", "chat", "--to", OLD, code=2)
    released.run("rollback", "chat", code=0)
    assert released.images() == {"chat": NEWER}


def test_the_history_has_every_version_and_gives_it_back(released: Released) -> None:
    released.run("release", "chat", "--to", NEWER, "--prometheus", "none", "--pause", "1s", "--steps", "100", code=0)
    said = released.run("releases", "chat", code=0)
    assert all(version in said for version in (OLD, NEW, NEWER, MISSING))
    assert f"{MISSING} goes back" in said
    released.run("rollback", "chat", "--to", OLD, code=0)
    assert released.images() == {"chat": OLD}
    released.run("rollback", "chat", code=0)
    assert released.images() == {"chat": NEWER}
    said = released.run("rollback", "chat", "--to", "1.2.3", code=2)
    assert "no update of chat with version 1.2.3" in said


def test_blue_and_green(released: Released, prometheus: Figures) -> None:
    declare(released, "{strategy: blueGreen, keepFor: 10s}", "scaling: {min: 1, max: 2}")
    released.stack.pulumi("up", "--yes", "--skip-preview")
    (blue,) = released.images().values()  # whatever the tests before have left
    green, worse = sorted({OLD, NEW, NEWER} - {blue})
    process = released.start("release", "chat", "--to", green, "--pause", "20s")
    seen: list[tuple[frozenset[str], frozenset[str]]] = []
    scalers: dict[str, set[str]] = {}
    while process.poll() is None:
        with contextlib.suppress(AssertionError, KeyError):
            seen.append((frozenset(released.images().values()), frozenset(released.endpoints())))
        for scaler in json.loads(kubectl("get", "hpa", "--namespace", NAMESPACE, "--output=json"))["items"]:
            reasons = {condition["reason"] for condition in scaler["status"].get("conditions", [])}
            scalers.setdefault(scaler["metadata"]["name"], set()).update(reasons)
        time.sleep(0.5)
    assert process.returncode == 0, process.stdout.read() if process.stdout else ""
    both = frozenset({blue, green})
    assert (both, frozenset({blue})) in seen, "green was there before it served"
    assert (both, frozenset({green})) in seen, "blue stayed after the switch"
    assert all(endpoints for _, endpoints in seen), "somebody served at all times"
    assert released.images() == {"chat": green}
    assert scalers.keys() == {"chat", "chat-green"}
    for reasons in scalers.values():
        assert "ValidMetricFound" in reasons
        assert "AmbiguousSelector" not in reasons
    prometheus.p95 = 0.2
    said = released.run("release", "chat", "--to", worse, "--pause", "5s", code=1)
    assert "p95 0.2 s, and 0.15 s are allowed" in said
    assert released.endpoints() == {green}
