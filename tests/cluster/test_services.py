"""The services on a real cluster: tasks end once, in order, while every one of their pods is killed and rolled."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Cluster, eventually

HERE = Path(__file__).parent / "services"
SERVICES = ("ingestion", "orchestrator", "executor", "state-manager", "learner")
CARD = """
import urllib.request
print(urllib.request.urlopen("http://localhost:8080/.well-known/agent-card.json", timeout=5).read().decode())
"""


@pytest.fixture(scope="module")
def outside(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with a workflow whose step has a side effect, and a client that sends 200 tasks to it."""
    patch = json.dumps({"data": {"effect.json": (HERE / "effect.json").read_text()}})
    cluster.kubectl("--namespace", "agents", "patch", "configmap", "workflows", "--type=merge", "--patch", patch)
    # Into running pods: the kubelet renews the files within about a minute.
    eventually(lambda: "effect" in skills(cluster), 150, "ingestion knows the new workflow")
    try:
        cluster.kubectl("create", "namespace", "outside")
        cluster.kubectl("--namespace", "outside", "create", "configmap", "client", f"--from-file={HERE / 'client.py'}")
        cluster.kubectl("apply", "--filename", str(HERE / "outside.yaml"))
        yield cluster
    finally:
        cluster.kubectl("delete", "--filename", str(HERE / "outside.yaml"), "--ignore-not-found", timeout=300)


def skills(cluster: Cluster) -> list[str]:
    card = json.loads(cluster.run("agents", "deployment/ingestion", "python3", "-c", CARD))
    return [skill["id"] for skill in card["skills"]]


def pods(cluster: Cluster, service: str) -> list[str]:
    found = cluster.get("pods", "--namespace", "agents", f"--selector=app.kubernetes.io/name={service}")
    return [pod["metadata"]["name"] for pod in found if pod["status"]["phase"] == "Running"]


def test_every_task_ends_once_and_in_order_while_pods_die(outside: Cluster) -> None:
    def phase() -> str:
        return outside.kubectl("--namespace", "outside", "get", "pod", "client", "--output=jsonpath={.status.phase}")

    eventually(lambda: phase() == "Running", 120, "the client runs")
    time.sleep(10)  # Tasks are under way.
    for service in SERVICES:
        victim = pods(outside, service)[0]
        outside.kubectl("--namespace", "agents", "delete", "pod", victim, "--grace-period=0", "--force")
        time.sleep(3)
    for service in SERVICES:
        outside.kubectl("--namespace", "agents", "rollout", "restart", f"deployment/{service}")
    eventually(lambda: phase() in ("Succeeded", "Failed"), 420, "the client has its answers")
    logs = outside.kubectl("--namespace", "outside", "logs", "client")
    assert phase() == "Succeeded", logs
    result: dict[str, Any] = json.loads(logs.splitlines()[-1])
    print(f"\n{result}")
    assert result["accepted"] == 200
    assert result["outcomes"] == {"TASK_STATE_COMPLETED": 200}
    assert result["effects"] == 200
    assert result["out of order"] == []
    for service in SERVICES:  # By SIGTERM alone: none was killed for want of an end.
        outside.kubectl(
            "--namespace", "agents", "rollout", "status", f"deployment/{service}", "--timeout=180s", timeout=200
        )


def test_make_demo_answers(cluster: Cluster) -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "demo", "DEPLOY=no"],
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[echo]" in done.stdout
