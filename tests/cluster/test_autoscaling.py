"""An agent under load, on the cluster of KUBECONFIG: pods come at once, and go slowly."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from .conftest import Cluster, cluster_of, eventually

NAMESPACE = "autoscaling-test"
PATIENCE = timedelta(seconds=30)
PROGRAM = f"""
from datetime import timedelta
from components.agent.component import Agent
from components.agent.declaration import AgentEnvironment
from components.context import Namespace
from settings import AgentSettings, Resources, Scaling

scaling = Scaling(min=1, max=3, cpu=60, scale_down_after=timedelta(seconds={PATIENCE.total_seconds():.0f}))
small = Resources.of("50m", "32Mi", "200m", "128Mi")
settings = AgentSettings(image="ghcr.io/agentstack/stand-in:1.0.0", resources=small, scaling=scaling)
Agent("busy", settings, AgentEnvironment(namespace=Namespace.existing("{NAMESPACE}")))
"""
BUSY = "while :; do :; done"


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with an agent that scales from 1 to 3 pods, in a namespace of its own."""
    cluster = cluster_of(tmp_path_factory.mktemp("autoscaling"), PROGRAM)
    try:
        cluster.kubectl("create", "namespace", NAMESPACE)
        cluster.kubectl("apply", "--server-side", "--recursive", "--filename", str(cluster.manifests))
        cluster.kubectl("rollout", "status", "deployment/busy", "--namespace", NAMESPACE, "--timeout=90s")
        yield cluster
    finally:
        cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout=180)


def pods(cluster: Cluster) -> int:
    (deployment,) = cluster.get("deployments", "--namespace", NAMESPACE)
    return int(deployment["status"].get("readyReplicas", 0))


def test_pods_follow_the_load(busy: Cluster) -> None:
    def uses() -> bool:
        (autoscaler,) = busy.get("horizontalpodautoscalers", "--namespace", NAMESPACE)
        return bool(autoscaler["status"].get("currentMetrics"))

    eventually(uses, 120, "the autoscaler reads the use of CPU")
    assert pods(busy) == 1
    command = ["kubectl", "exec", "--namespace", NAMESPACE, "deployment/busy", "--", "timeout", "180", "sh", "-c", BUSY]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as load:
        try:
            start = time.monotonic()
            eventually(lambda: pods(busy) == 3, 120, "three pods under load")
            print(f"\n3 pods {time.monotonic() - start:.0f} s after the load began")
        finally:
            # The process in the pod, not only its client.
            pids = "for f in /proc/[0-9]*/cmdline; do grep -q 'while :; do' $f && echo ${f#/proc/}; done"
            kill = f"for p in $({pids}); do p=${{p%/cmdline}}; [ $p = $$ ] || kill -9 $p; done"
            for pod in busy.get("pods", "--namespace", NAMESPACE):
                busy.run(NAMESPACE, f"pod/{pod['metadata']['name']}", "sh", "-c", kill, check=False)
            load.kill()
    start = time.monotonic()
    eventually(lambda: pods(busy) == 1, 300, "one pod without load")
    rested = time.monotonic() - start
    print(f"1 pod {rested:.0f} s after the load ended")
    assert rested > PATIENCE.total_seconds(), "it did not wait"
