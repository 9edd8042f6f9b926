"""What a changed fleet, job and cron agent are to the engine. The tests build on each other."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from .conftest import Project

NAMESPACE = "kinds-agents"


def get(kind: str, selector: str) -> list[dict[str, Any]]:
    command = ["kubectl", "get", kind, "--namespace", NAMESPACE, f"--selector={selector}", "--output=json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    return items


def watched() -> dict[str, str]:
    """The uids of the ready pods, by device."""
    return {
        pod["metadata"]["labels"]["agentstack.dev/device"]: pod["metadata"]["uid"]
        for pod in get("pods", "agentstack.dev/device")
        if {"Ready": "True"}.items() <= {c["type"]: c["status"] for c in pod["status"].get("conditions", [])}.items()
        and "deletionTimestamp" not in pod["metadata"]
    }


@pytest.fixture(scope="module")
def kinds(kubeconfig: None, project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A stack with an agent of each kind; the last test removes it."""
    stack = project.beside(tmp_path_factory.mktemp("kinds"), "kinds_program.py", stack="kinds")
    stack.pulumi("up", "--yes")
    return stack


def test_up_waits_for_the_fleet(kinds: Project) -> None:
    assert len(watched()) >= 4, "one of five may be missing"


def test_a_second_up_changes_nothing(kinds: Project) -> None:
    kinds.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    kinds.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")


def test_a_changed_list_is_a_small_diff_and_touches_no_other_pod(kinds: Project) -> None:
    before = watched()
    kinds.pulumi("config", "set", "devices", "e,d,x,b,a")
    said = kinds.pulumi("preview", "--diff")
    # The list, and the controller that is to say when the pods are as it says.
    assert "2 to update" in said
    assert "replace" not in said
    kinds.pulumi("up", "--yes", "--skip-preview")
    after = watched()
    assert "c" not in after
    assert {device: after[device] for device in "abd"} == {device: before[device] for device in "abd"}


def test_a_changed_job_runs_again(kinds: Project) -> None:
    (first,) = get("jobs", "app.kubernetes.io/name=once")
    kinds.pulumi("config", "set", "word", "second")
    kinds.pulumi("up", "--yes", "--skip-preview")
    (second,) = get("jobs", "app.kubernetes.io/name=once")
    assert first["metadata"]["name"] != second["metadata"]["name"]
    (nightly,) = get("cronjobs", "app.kubernetes.io/name=nightly")
    container = nightly["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert container["args"][-1] == "echo second"


def test_destroy_takes_the_pods_along(kinds: Project) -> None:
    kinds.pulumi("destroy", "--yes", "--skip-preview")
    assert get("pods", "") == []
