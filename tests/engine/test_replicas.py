"""The number of pods has one owner at a time, and changing the owner costs no pod. The tests build on each other."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .conftest import Project

NAMESPACE = "scaled-agents"
DEPLOYMENT = ("deployment/worker", "--namespace", NAMESPACE)
HPA = {"min": 2, "max": 8, "memory": 90}
QUEUE = {"min": 2, "max": 8, "queue": {"topic": "tasks", "lagPerReplica": 10}}


def kubectl(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def replicas() -> int:
    return int(kubectl("get", *DEPLOYMENT, "--output=jsonpath={.spec.replicas}"))


def scalers() -> set[str]:
    """The autoscalers of the agent."""
    kinds = "hpa,scaledobjects.keda.sh" if keda() else "hpa"
    return set(kubectl("get", kinds, "--namespace", NAMESPACE, "--output=name").split())


def keda() -> bool:
    return kubectl("get", "crd", "scaledobjects.keda.sh", "--ignore-not-found", "--output=name") != ""


@contextmanager
def watched() -> Iterator[list[int]]:
    """The wanted number of pods after each change of the Deployment meanwhile."""
    seen: list[int] = []
    watch = subprocess.Popen(
        ["kubectl", "get", *DEPLOYMENT, "--watch", '--output=jsonpath={.spec.replicas}{"\\n"}'],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield seen
        time.sleep(20)  # an autoscaler looks every 15 s
    finally:
        watch.terminate()
        seen += map(int, watch.communicate()[0].split())


@pytest.fixture(scope="module")
def scaled(kubeconfig: None, project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A stack with one agent."""
    stack = project.beside(tmp_path_factory.mktemp("scaled"), "scaled_program.py", stack="scaled")
    up(stack, replicas=5)
    yield stack
    stack.pulumi("destroy", "--yes", "--skip-preview")


def up(stack: Project, *more: str, **agent: object) -> str:
    stack.pulumi("config", "set", "agent", json.dumps(agent))
    return stack.pulumi("up", "--yes", "--skip-preview", *more)


def test_an_autoscaler_takes_over_the_pods_that_there_are(scaled: Project, project: Project) -> None:
    assert replicas() == 5
    with watched() as seen:
        # The rules see what is declared, not what the engine repeats of the time before.
        up(scaled, "--policy-pack", str(project.folder / "policies"), scaling=HPA)
    assert set(seen) == {5}
    assert scalers() == {"horizontalpodautoscaler.autoscaling/worker"}
    up(scaled, "--expect-no-changes", scaling=HPA)


def test_a_release_leaves_the_autoscalers_number(scaled: Project) -> None:
    more = HPA | {"min": 6}
    up(scaled, scaling=more)
    deadline = time.monotonic() + 60
    while replicas() != 6 and time.monotonic() < deadline:
        time.sleep(1)
    with watched() as seen:
        up(scaled, scaling=more, env={"LEVEL": "debug"})
    assert set(seen) == {6}
    scaled.pulumi("refresh", "--yes", "--skip-preview")
    scaled.pulumi("preview", "--expect-no-changes")


def test_a_release_of_an_agent_at_zero_is_not_waited_for(scaled: Project) -> None:
    kubectl("scale", *DEPLOYMENT, "--replicas=0")
    start = time.monotonic()
    up(scaled, scaling=HPA | {"min": 6}, env={"LEVEL": "info"})
    assert time.monotonic() - start < 60
    assert replicas() == 0


def test_a_fixed_number_wins_against_what_the_autoscaler_left(scaled: Project) -> None:
    up(scaled, replicas=5)
    assert scalers() == set()
    # Until the engine deleted it, last of all, the autoscaler might act once more.
    up(scaled, "--refresh", replicas=5)
    assert replicas() == 5
    up(scaled, "--expect-no-changes", replicas=5)


def test_keda_takes_over_and_gives_back(scaled: Project) -> None:
    if not keda():
        pytest.skip("the cluster does not know ScaledObjects: install KEDA")
    up(scaled, scaling=HPA)
    with watched() as seen:
        up(scaled, scaling=QUEUE)
    # KEDA has nobody to ask here, so the number stays.
    assert set(seen) == {5}
    assert "horizontalpodautoscaler.autoscaling/worker" not in scalers()
    assert "scaledobject.keda.sh/worker" in scalers()
    with watched() as seen:
        up(scaled, scaling=HPA)
    assert set(seen) == {5}
    assert scalers() == {"horizontalpodautoscaler.autoscaling/worker"}
