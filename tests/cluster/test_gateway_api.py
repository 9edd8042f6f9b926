"""The API server accepts the routes: by the definitions of the Gateway API that the cluster has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from .conftest import ROOT

NAMESPACE = "routes-agents"


def kubectl(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["kubectl", *arguments], input=text, capture_output=True, text=True, check=False)


def test_routes_are_accepted(tmp_path: Path) -> None:
    if "KUBECONFIG" not in os.environ:
        pytest.skip("KUBECONFIG is not set: export the path of a kubeconfig for a cluster that may be changed")
    if kubectl("get", "crd", "httproutes.gateway.networking.k8s.io").returncode:
        pytest.skip("the cluster lacks the Gateway API: apply its standard-install.yaml")
    content = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
    config = content["config"]
    parent = {"name": "public", "namespace": "infra", "sectionName": "https"}
    config["agentstack:gateway"] = {"host": "agents.localhost", "api": "gateway-api", "parent": parent}
    config["agentstack:namespaces"]["agents"]["name"] = NAMESPACE
    release = {"rollout": "canary", "release": {"version": "next", "share": 10}}
    config["agentstack:agents"]["ingestion"] |= release
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(content))
    command = [sys.executable, "-m", "agentstack", "preview", "dev", "--settings", str(tmp_path / "settings.yaml")]
    subprocess.run([*command, "--out", str(tmp_path / "out")], cwd=ROOT, check=True, capture_output=True)
    (path,) = (tmp_path / "out").rglob("*httproute*")
    assert kubectl("create", "namespace", NAMESPACE).returncode == 0
    try:
        strict = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename")
        accepted = kubectl(*strict, str(path))
        assert accepted.returncode == 0, accepted.stderr
        wrong = path.read_text().replace("weight: 10", "weight: -1")
        refused = kubectl(*strict, "-", text=wrong)
        assert "weight" in refused.stderr
    finally:
        kubectl("delete", "namespace", NAMESPACE)
