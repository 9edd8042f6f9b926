"""Placement on a real scheduler: pods go where the settings say, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Cluster, cluster_of, eventually

NAMESPACE = "placement-test"
PROGRAM = f"""
from components.agent.component import Agent
from components.agent.declaration import AgentEnvironment
from components.context import Namespace
from settings import AgentSettings, Gpu, Placement, Pool, Resources

pools = {{
    "here": Pool(labels={{"kubernetes.io/os": "linux"}}, without={{"example.com/spot": "true"}}),
    "elsewhere": Pool(labels={{"example.com/spot": "true"}}),
}}
environment = AgentEnvironment(namespace=Namespace.existing("{NAMESPACE}"), pools=pools)
for name, placement in {{
    "here": Placement(pool="here", priority_class="{NAMESPACE}"),
    "elsewhere": Placement(pool="elsewhere"),
    "modeller": Placement(gpu=Gpu(count=2)),
}}.items():
    image, small = "ghcr.io/agentstack/stand-in:1.0.0", Resources.of("10m", "32Mi", "200m", "128Mi")
    Agent(name, AgentSettings(image=image, resources=small, placement=placement), environment)
"""


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with three agents of different placement, in a namespace of their own."""
    cluster = cluster_of(tmp_path_factory.mktemp("placement"), PROGRAM)
    try:
        cluster.kubectl("create", "namespace", NAMESPACE)
        cluster.kubectl("create", "priorityclass", NAMESPACE, "--value=7", "--description=for a test")
        cluster.kubectl("apply", "--server-side", "--recursive", "--filename", str(cluster.manifests))
        yield cluster
    finally:
        for thing in ("namespace", "priorityclass"):
            cluster.kubectl("delete", thing, NAMESPACE, "--ignore-not-found", timeout=180)


def pod(cluster: Cluster, agent: str) -> dict[str, Any]:
    selector = f"app.kubernetes.io/name={agent}"
    (found,) = eventually(lambda: cluster.get("pods", "-n", NAMESPACE, "-l", selector), 60, f"a pod of {agent}")
    return dict(found)


def scheduled(found: dict[str, Any]) -> dict[str, Any] | None:
    conditions = found["status"].get("conditions", [])
    return next((condition for condition in conditions if condition["type"] == "PodScheduled"), None)


def refusal(cluster: Cluster, agent: str) -> str:
    condition = eventually(lambda: scheduled(pod(cluster, agent)), 60, f"the scheduler looks at {agent}")
    assert condition["status"] == "False"
    return str(condition["message"])


def test_a_pod_goes_to_its_pool_with_its_priority(placed: Cluster) -> None:
    eventually(lambda: pod(placed, "here")["status"]["phase"] == "Running", 120, "the agent runs")
    found = pod(placed, "here")
    assert found["spec"]["priority"] == 7
    assert found["metadata"]["labels"]["agentstack.dev/pool"] == "here"


def test_a_pod_waits_for_its_pool(placed: Cluster) -> None:
    assert "didn't match Pod's node affinity" in refusal(placed, "elsewhere")


def test_a_pod_waits_for_its_gpus(placed: Cluster) -> None:
    """The API server accepted the request: what is missing is the device."""
    assert "Insufficient nvidia.com/gpu" in refusal(placed, "modeller")
