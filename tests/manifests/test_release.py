"""dev in the middle of releases, through the command that users run: valid objects, and no findings of the policies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from .conftest import ROOT, Manifest, read
from .test_manifests import VERSIONS

RELEASES = {
    "executor": {"rollout": "canary", "release": {"version": "next", "share": 30}},
    "ingestion": {"rollout": "canary", "release": {"version": "next", "share": 10}, "reload": "file"},
    # blueGreen is for agents that consume nothing.
    "state-manager": {"consumes": [], "rollout": "blueGreen", "release": {"version": "next", "share": 100}},
    "learner": {"release": {"version": "next", "share": 100}},
}


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    content = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
    config = content["config"]
    for agent, settings in RELEASES.items():
        config["agentstack:agents"].setdefault(agent, {}).update(settings)
    parent = {"name": "public", "namespace": "infra"}
    config["agentstack:gateway"] = {"host": "agents.localhost", "api": "gateway-api", "parent": parent}
    folder: Path = tmp_path_factory.mktemp("released")
    (folder / "settings.yaml").write_text(yaml.safe_dump(content))
    command = [sys.executable, "-m", "agentstack", "preview", "dev", "--json"]
    command += ["--settings", str(folder / "settings.yaml"), "--out", str(folder / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)
    return read(folder / "out")


def named(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {m["metadata"]["name"]: m for m in manifests if m["kind"] == kind}


@pytest.mark.parametrize("version", VERSIONS)
def test_strict_schema(released: list[Manifest], version: str) -> None:
    for manifest in released:
        if manifest["kind"] != "HTTPRoute":  # tests/cluster/test_gateway_api.py
            kubernetes_validate.validate(manifest, version, strict=True)


def test_the_selectors_of_deployments_are_those_of_ever(released: list[Manifest]) -> None:
    agents = {name: m for name, m in named(released, "Deployment").items() if m["metadata"]["namespace"] == "agents"}
    assert {"executor-canary", "ingestion-canary", "state-manager-green"} <= agents.keys()
    selectors = [deployment["spec"]["selector"]["matchLabels"] for deployment in agents.values()]
    for name, deployment in agents.items():
        own = deployment["spec"]["selector"]["matchLabels"]
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert [selector for selector in selectors if selector.items() <= labels.items()] == [own], name
        if "-canary" not in name and "-green" not in name:
            # To change this text is to replace every Deployment of every user.
            assert own == {
                "app.kubernetes.io/name": name,
                "app.kubernetes.io/component": "agent",
                "app.kubernetes.io/part-of": "agentstack",
            }


def test_consumers_stay_within_their_partitions(released: list[Manifest]) -> None:
    scalers = named(released, "HorizontalPodAutoscaler")
    assert sum(scalers[name]["spec"]["maxReplicas"] for name in ("executor", "executor-canary")) <= 3
    groups = named(released, "ConfigMap")["executor"]["data"]["KAFKA_CONSUMER_GROUP"]
    assert groups == "executor"
    assert "executor-canary" not in named(released, "ConfigMap")


def test_every_agents_pods_are_covered_by_its_network_policy(released: list[Manifest]) -> None:
    policies = named(released, "NetworkPolicy")
    for name, deployment in named(released, "Deployment").items():
        if deployment["metadata"]["namespace"] == "agents":
            agent = deployment["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
            chosen = policies[agent]["spec"]["podSelector"]["matchLabels"]
            assert chosen.items() <= deployment["spec"]["template"]["metadata"]["labels"].items(), name


def test_routes_take_the_place_of_the_ingress(released: list[Manifest]) -> None:
    assert not named(released, "Ingress")
    (route,) = named(released, "HTTPRoute").values()
    weights = {ref["name"]: ref["weight"] for ref in route["spec"]["rules"][0]["backendRefs"]}
    assert weights == {"ingestion": 90, "ingestion-canary": 10}
    assert weights.keys() <= named(released, "Service").keys()
