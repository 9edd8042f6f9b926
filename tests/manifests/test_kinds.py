"""A stack with a fleet, a job and a cron agent: valid, as closed as all others, and judged by the policies."""

from __future__ import annotations

import copy
from typing import Any

import kubernetes_validate
import pytest
import yaml

from policies.rules import evaluate
from tests.commandline import agentstack

from .conftest import ROOT, Manifest, read
from .test_manifests import VERSIONS
from .test_network import open_, pods

AGENTS = {
    "watchdog": {"kind": "fleet", "fleet": {"range": {"prefix": "d-", "last": 9999}}, "calls": ["hub"], "metrics": {}},
    "drift": {"kind": "cron", "cron": {"schedule": "0 3 * * *"}, "uses": ["redis"]},
    "learn": {"kind": "job", "job": {"completions": 4, "parallelism": 2}, "produces": ["results"]},
    "hub": {"scaling": {"min": 1, "max": 2}},
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """dev with these agents alone; a finding of the policies fails the preview."""
    folder = tmp_path_factory.mktemp("kinds")
    (folder / "agents").mkdir()
    for name, agent in AGENTS.items():
        (folder / "agents" / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, "image": "x.io/y:1", **agent}))
    settings: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
    settings["config"]["agentstack:agents"] = {}
    room = {"cpu": "10000", "memory": "10000Gi"}
    quota = {"requests": room, "limits": room, "pods": 10_010}
    settings["config"]["agentstack:namespaces"]["agents"] = {"quota": quota}
    (folder / "Pulumi.kinds.yaml").write_text(yaml.safe_dump(settings))
    given = ("--settings", str(folder / "Pulumi.kinds.yaml"), "--agents", str(folder / "agents"))
    done = agentstack("preview", "kinds", *given, "--out", str(folder / "out"))
    assert done.code == 0, done
    assert "10002 to 10003 of 10010" in done.out, "the devices, their controller, and the hub"
    return read(folder / "out")


@pytest.mark.parametrize("version", VERSIONS)
def test_strict_schema(stack: list[Manifest], version: str) -> None:
    assert {"PodTemplate", "CronJob", "Job", "ValidatingAdmissionPolicyBinding"} <= {m["kind"] for m in stack}
    for manifest in stack:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_only_the_declared_edges_are_open(stack: list[Manifest]) -> None:
    policies = [m for m in stack if m["kind"] == "NetworkPolicy"]
    everything = {pod.name: pod for pod in pods(stack)}
    agents = {name: everything[name] for name in (*AGENTS, "watchdog-fleet")}
    found = {
        (client, server.name)
        for client, pod in agents.items()
        for server in {*everything.values()}
        if pod != server
        for _, port in server.ports
        if open_(policies, pod, server, port)
    }
    assert found == {("watchdog", "hub"), ("drift", "redis"), ("learn", "kafka")}
    for name in ("watchdog", "watchdog-fleet"):
        assert open_(policies, everything["prometheus"], everything[name], 8080)


def test_the_rules_judge_the_pods_of_a_fleet(stack: list[Manifest]) -> None:
    found = {violation.rule for violation in evaluate(stack)}
    assert found == set()
    worse = copy.deepcopy(stack)
    template = next(m["template"] for m in worse if m["kind"] == "PodTemplate")
    (container,) = template["spec"]["containers"]
    container["image"] = "x.io/y:latest"
    container["securityContext"]["privileged"] = True
    del container["readinessProbe"]
    template["metadata"]["labels"].pop("app.kubernetes.io/name")
    found = {violation.rule for violation in evaluate(worse) if violation.name == "watchdog"}
    assert found == {
        "image-tag",
        "no-privileged-container",
        "readiness-probe",
        "pdb-selects-pods",
        "network-policy-selects-pods",
        "flows-allowed",  # its own NetworkPolicy no longer lets it out
    }
