"""What users run: up, up again, preview --diff, refresh, the policy pack, destroy. The tests build on each other."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from .conftest import Project

NAMESPACES = {"agents", "data", "observability", "collectors"}
CLUSTER_SCOPED = "namespaces,clusterroles,clusterrolebindings,persistentvolumeclaims"


def objects() -> list[str]:
    """Names of what the stack could have left behind in the cluster."""
    done = subprocess.run(
        ["kubectl", "get", CLUSTER_SCOPED, "--all-namespaces", "--output=json"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [
        f"{item['kind']}/{item['metadata']['name']}"
        for item in json.loads(done.stdout)["items"]
        if item["metadata"]["name"] in NAMESPACES
        or item["metadata"].get("namespace") in NAMESPACES
        or "agentstack" in item["metadata"]["name"]
    ]


@pytest.fixture(scope="module")
def deployed(project: Project) -> Project:
    """The stack, brought up on an empty cluster; the last test removes it."""
    if "KUBECONFIG" not in os.environ:
        pytest.skip("KUBECONFIG is not set: export the path of a kubeconfig for a cluster that may be changed")
    assert objects() == [], "these tests need a cluster without the stack"
    # dev answers by `echo`, which has no key.
    for key, value in (("backend", "openai"), ("model", "gpt-5-mini")):
        project.pulumi("config", "set", "--path", f"agentstack:inference.{key}", value)
    project.pulumi("config", "set", "--secret", "--path", "agentstack:secrets.OPENAI_API_KEY", "hunter2")
    # With its preview: what a new stack does not know yet must not leave a rule undecided.
    project.pulumi("up", "--yes", "--policy-pack", "policies")
    return project


def test_up_brings_everything_up(deployed: Project) -> None:
    outputs = json.loads(deployed.pulumi("stack", "output", "--json"))
    assert outputs["namespaces"] == {name: name for name in NAMESPACES}
    assert "hunter2" not in json.dumps(outputs)
    for namespace in NAMESPACES:
        done = subprocess.run(
            ["kubectl", "get", "pods", "--namespace", namespace, "--output=json"],
            capture_output=True,
            text=True,
            check=True,
        )
        pods = json.loads(done.stdout)["items"]
        assert pods
        for pod in pods:
            conditions = {c["type"]: c["status"] for c in pod["status"]["conditions"]}
            assert pod["status"]["phase"] == "Succeeded" or conditions["Ready"] == "True", pod["metadata"]["name"]


def test_a_second_up_changes_nothing(deployed: Project) -> None:
    deployed.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")


def test_a_refresh_finds_no_drift(deployed: Project) -> None:
    deployed.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    deployed.pulumi("preview", "--diff", "--expect-no-changes")


def test_a_changed_setting_is_a_small_diff(deployed: Project) -> None:
    deployed.pulumi("config", "set", "--path", "agentstack:agents.executor.env.LOG_LEVEL", "debug")
    said = deployed.pulumi("preview", "--diff")
    assert "2 to update" in said
    assert "replace" not in said
    assert "hunter2" not in said
    deployed.pulumi("config", "rm", "--path", "agentstack:agents.executor.env")


def test_the_policy_pack_stops_what_it_forbids(deployed: Project) -> None:
    deployed.pulumi("preview", "--policy-pack", "policies", "--expect-no-changes")
    rule = deployed.folder / "components" / "pods.py"
    text = rule.read_text()
    rule.write_text(text.replace("read_only_root_filesystem=True", "read_only_root_filesystem=False"))
    try:
        said = deployed.pulumi("preview", "--policy-pack", "policies", code=None, timeout=300)
    finally:
        rule.write_text(text)
    assert "read-only-root-filesystem" in said
    assert "Traceback" not in said
    assert "mandatory" in said


def test_destroy_leaves_nothing_behind(deployed: Project) -> None:
    deployed.pulumi("destroy", "--yes", "--skip-preview")
    assert objects() == []
    state = json.loads(deployed.pulumi("stack", "export"))
    left = [r["urn"] for r in state["deployment"].get("resources", []) if r["type"] != "pulumi:pulumi:Stack"]
    assert left == []
