"""Deploys dev to the cluster of KUBECONFIG, once for all tests here, and removes it afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentstack.preview.run import run
from agentstack.rendering.environment import Environment

ROOT = Path(__file__).parents[2]
NAMESPACES = ("agents", "data", "observability", "collectors")
READY_WITHIN = 240
"""Seconds from the apply until every pod is ready."""


@dataclass
class Cluster:
    """A cluster that dev is deployed to."""

    manifests: Path
    seconds_to_ready: float = 0.0

    def kubectl(self, *arguments: str, check: bool = True, timeout: float = 120) -> str:
        """Run kubectl and return what it prints."""
        done = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)} exited with {done.returncode}: {done.stderr}")
        return done.stdout

    def get(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """Return the objects of a kind."""
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, *arguments, "--output=json"))["items"]
        return items

    def run(
        self, namespace: str, workload: str, *command: str, container: str | None = None, check: bool = True
    ) -> str:
        """Run a command in a container of a workload, such as `deployment/orchestrator`."""
        chosen = ["--container", container] if container else []
        return self.kubectl("exec", "--namespace", namespace, workload, *chosen, "--", *command, check=check)

    def unready(self) -> list[str]:
        """Name the pods and Jobs that are not ready yet, and what they wait for."""
        waiting = []
        for namespace in NAMESPACES:
            pods = self.get("pods", "--namespace", namespace)
            if not pods:
                waiting.append(f"{namespace}: no pods")
            for pod in pods:
                phase = pod["status"].get("phase")
                owner = pod["metadata"].get("ownerReferences", [{}])[0].get("kind")
                conditions = {c["type"]: c for c in pod["status"].get("conditions", [])}
                if owner == "Job" or phase == "Succeeded":
                    continue
                if conditions.get("Ready", {}).get("status") != "True":
                    waiting.append(
                        f"{namespace}/{pod['metadata']['name']}: {conditions.get('Ready', {}).get('message', phase)}"
                    )
            for job in self.get("jobs", "--namespace", namespace):
                if not job["status"].get("succeeded"):
                    waiting.append(f"{namespace}/job/{job['metadata']['name']}")
            for kind in ("deployments", "statefulsets"):
                for workload in self.get(kind, "--namespace", namespace):
                    wanted, ready = workload["spec"].get("replicas", 1), workload["status"].get("readyReplicas", 0)
                    if ready < wanted:
                        waiting.append(f"{namespace}/{workload['metadata']['name']}: {ready} of {wanted} ready")
        return waiting


def cluster_of(folder: Path, program: str) -> Cluster:
    """Return the cluster for a program of a test's own, with what it makes rendered in `folder`; skip without one."""
    if "KUBECONFIG" not in os.environ:
        pytest.skip("KUBECONFIG is not set: export the path of a kubeconfig for a cluster that may be changed")
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on PATH: install it")
    (folder / "Pulumi.yaml").write_text(f"name: {folder.name.rstrip('0123456789')}\nruntime: python\n")
    (folder / "Pulumi.dev.yaml").write_text("config: {}\n")
    (folder / "__main__.py").write_text(program)
    run(Environment.find(folder, "dev"), folder / "build", command=["agentstack", "preview"])
    return Cluster(folder / "build")


def eventually(condition: Callable[[], object], seconds: float, what: str) -> Any:
    """Return the condition's first true value, or fail after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(2)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """An otherwise empty cluster with dev in it."""
    if "KUBECONFIG" not in os.environ:
        pytest.skip("KUBECONFIG is not set: export the path of a kubeconfig for a cluster that may be changed")
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on PATH: install it")
    manifests = tmp_path_factory.mktemp("build") / "dev"
    cluster = Cluster(manifests)
    existing = {ns["metadata"]["name"] for ns in cluster.get("namespaces")} & set(NAMESPACES)
    if existing:
        pytest.fail(f"the cluster has namespaces {sorted(existing)} already: these tests need one without")
    subprocess.run(
        [sys.executable, "-m", "agentstack", "preview", "dev", "--with-dev-secrets", "--out", str(manifests)],
        cwd=ROOT,
        check=True,
    )
    try:
        start = time.monotonic()
        cluster.kubectl("apply", "--server-side", "--recursive", "--filename", str(manifests))
        deadline = start + READY_WITHIN * 2  # the test of the time says that it was too slow, the others go on
        while waiting := cluster.unready():
            if time.monotonic() > deadline:
                raise AssertionError("never ready: " + "; ".join(waiting))
            time.sleep(2)
        cluster.seconds_to_ready = time.monotonic() - start
        print(f"\nevery pod ready {cluster.seconds_to_ready:.0f} s after the apply")
        yield cluster
    finally:
        cluster.kubectl("delete", "--recursive", "--filename", str(manifests), "--ignore-not-found", timeout=300)
        gone = [f"namespace/{namespace}" for namespace in NAMESPACES]
        cluster.kubectl("wait", "--for=delete", *gone, "--timeout=180s", timeout=200)
