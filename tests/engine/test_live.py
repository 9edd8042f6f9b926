"""Drift, and what the provider replaces for it, as engine and cluster tell them. The tests build on each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from agentstack.compare.snapshot import Snapshot
from agentstack.engine import plan as engine
from agentstack.live.reconcile import Live, reconcile
from agentstack.rendering.environment import Environment

from .conftest import Project

NAMESPACE = "live-drift"
CONTAINER = "spec.template.spec.containers[redis]"


def kubectl(*arguments: str) -> str:
    done = subprocess.run(
        ["kubectl", "--namespace", NAMESPACE, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def stack(kubeconfig: None, project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A stack as it was deployed."""
    stack = project.beside(tmp_path_factory.mktemp("live"), "live_program.py", stack="live")
    stack.pulumi("up", "--yes", "--skip-preview")
    yield stack
    stack.pulumi("destroy", "--yes", "--skip-preview", "--refresh", "--run-program")


def drift(stack: Project, *arguments: str, code: int) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "agentstack", "drift", "live", *arguments],
        cwd=stack.folder,
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def asked(stack: Project, monkeypatch: pytest.MonkeyPatch) -> Live:
    """What the engine says of a change that changes nothing."""
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)
    file = stack.folder / "Pulumi.live.yaml"
    answer = engine.preview(Environment(stack.folder, "live", file, stack.folder / "agents"))
    nothing = Snapshot("live", "both", {})
    return reconcile(answer, nothing, [], [], today=date(2026, 1, 1))


def test_nothing_has_drifted_after_an_update(stack: Project) -> None:
    assert "Everything is as it was deployed." in drift(stack, code=0)


def test_a_state_that_another_kubeconfig_made_is_compared_all_the_same(
    stack: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("kubeconfig") / "config"
    with open(os.environ["KUBECONFIG"]) as kubeconfig:  # noqa: PTH123
        other.write_text(kubeconfig.read())
    moved = Project(stack.folder, stack.environment | {"KUBECONFIG": str(other)})
    drift(moved, code=0)
    other.write_text(other.read_text().replace("server: ", "server: https://127.0.0.1:1#"))
    assert "live: cluster: does not answer" in drift(moved, code=2)


def test_what_somebody_changed_is_named_field_by_field(stack: Project) -> None:
    kubectl("patch", "configmap", "settings", "--type=merge", '--patch={"data":{"level":"debug","more":"1"}}')
    kubectl("patch", "secret", "password", "--type=merge", '--patch={"data":{"password":"c3RvbGVu"}}')
    kubectl("set", "env", "statefulset/redis", "B=2")
    kubectl("annotate", "statefulset/redis", "kubectl.kubernetes.io/restartedAt=now")
    kubectl("scale", "statefulset/redis", "--replicas=0")
    said = drift(stack, "--json", code=7)
    found = {
        (each["resource"], field["path"]): (field["declared"], field["live"], field["restored"], field["manager"])
        for each in json.loads(said)["drift"]
        for field in each["fields"]
    }
    added: Any = {"name": "B", "value": "2"}
    assert found == {
        ("ConfigMap/live-drift/settings", "data.level"): ("info", "debug", True, "kubectl-patch"),
        ("ConfigMap/live-drift/settings", "data.more"): (None, "1", False, "kubectl-patch"),
        ("Secret/live-drift/password", "data.password"): ("(secret)", "(secret)", True, "kubectl-patch"),
        ("StatefulSet/live-drift/redis", f"{CONTAINER}.env[B]"): (None, added, False, "kubectl-set"),
    }
    assert "c3RvbGVu" not in said


def test_what_the_engine_says_it_puts_back_it_puts_back(stack: Project) -> None:
    stack.pulumi("up", "--yes", "--skip-preview", "--refresh")
    left = [
        (each["resource"], field["path"])
        for each in json.loads(drift(stack, "--json", code=7))["drift"]
        for field in each["fields"]
    ]
    # What kubectl set beside it went from the ConfigMap, where something else changed, and stayed where nothing did.
    assert left == [("StatefulSet/live-drift/redis", f"{CONTAINER}.env[B]")]
    kubectl("set", "env", "statefulset/redis", "B-")
    drift(stack, code=0)


def test_a_service_recreated_by_hand_would_take_its_stateful_set_with_it(
    stack: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl("delete", "service", "redis")
    kubectl("create", "service", "clusterip", "redis", "--tcp=6379:6379")
    live = asked(stack, monkeypatch)
    assert {change.resource for change in live.destroyed} == {
        "Service/live-drift/redis",
        "StatefulSet/live-drift/redis",
    }
    assert live.needs_approval
    assert [(each.title, each.happened) for each in live.drift] == [("Service/live-drift/redis", "recreated")]


def test_what_the_state_lacks_is_no_drift_and_not_deployed_yet(stack: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.pulumi("up", "--yes", "--skip-preview", "--refresh")
    stack.pulumi("config", "set", "level", "warning")
    live = asked(stack, monkeypatch)
    assert [(step.operation, step.fields) for step in live.pending] == [("update", ("data.level",))]
    assert live.drift == ()
    assert live.destroyed == ()
