"""Kafka, broken under load."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import yaml

from .outcome import Outcome
from .stack import DATA, HERE, Stack, delete_pods, eventually, get, kubectl, namespaces, ready, signal

WAITED = 60
"""Seconds that a producer waits at most while one node is gone, or all are on their way."""
SETS = ("statefulset/kafka-broker", "statefulset/kafka-controller")
NODES = "--selector=app.kubernetes.io/name=kafka,app.kubernetes.io/component in (broker,controller)"


@pytest.fixture(scope="module")
def kafka(cluster: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, with its users and topics."""
    settings = yaml.safe_load((HERE / "kafka.yaml").read_text())
    services = ("kafka", "*.kafka-broker", "*.kafka-controller")
    names = (*(f"{service}.{DATA}.svc.cluster.local" for service in services), "localhost")
    stack = Stack(settings, "kafka-load", tmp_path_factory.mktemp("kafka") / "chaos", names)
    with namespaces(keep=request.config.getoption("keep")):
        stack.apply()
        eventually(lambda: all(job["status"].get("succeeded") for job in get("jobs", DATA)), 600, "the topics are made")
        yield stack


def whole() -> bool:
    """Whether all nodes are ready and every partition has all of its replicas in sync."""
    if not all(ready(name) for name in SETS):
        return False
    # Agents may not: it reads the topics' configuration.
    describe = """KAFKA_HEAP_OPTS=-Xmx64m KAFKA_LOG4J_OPTS= /opt/kafka/bin/kafka-topics.sh \\
      --bootstrap-server "$BOOTSTRAP_SERVERS" --command-config /tmp/client.properties \\
      --describe --under-replicated-partitions && echo asked"""
    said = kubectl("exec", f"--namespace={DATA}", "kafka-broker-0", "--", "sh", "-c", describe, check=False, timeout=90)
    return said.strip() == "asked"


def identities() -> dict[str, tuple[str, int]]:
    """By pod, what changes when a node is started again: the pod's identity, how often its container was restarted."""
    return {
        pod["metadata"]["name"]: (pod["metadata"]["uid"], status["restartCount"])
        for pod in get("pods", DATA, NODES)
        for status in pod["status"].get("containerStatuses", [])
    }


def restarted(old: dict[str, tuple[str, int]]) -> bool:
    """Whether all these nodes were started again, and all is whole."""
    new = identities()
    return all(pod in new and new[pod] != was for pod, was in old.items()) and whole()


def kill_in_turn(outcome: Outcome, pods: list[str]) -> None:
    """Kill one after the other, each when all is whole; the slowest recovery counts."""
    for pod in pods:
        old = {pod: identities()[pod]}
        signal(pod, "KILL")
        seconds = eventually(lambda old=old: restarted(old), 300, f"whole again after {pod}")
        outcome.recovered = max(seconds, outcome.recovered or 0)


def test_each_broker(kafka: Stack, outcome: Outcome) -> None:
    """each broker's process killed in turn (SIGKILL)"""
    with kafka.under_load(outcome):
        eventually(whole, 180, "whole beforehand")
        kill_in_turn(outcome, sorted(pod for pod in identities() if "broker" in pod))
    outcome.check(recovered=180, waited=WAITED)


def test_each_controller(kafka: Stack, outcome: Outcome) -> None:
    """each controller's process killed in turn (SIGKILL)"""
    with kafka.under_load(outcome):
        eventually(whole, 180, "whole beforehand")
        kill_in_turn(outcome, sorted(pod for pod in identities() if "controller" in pod))
    outcome.check(recovered=180, waited=WAITED)


def test_rolling_restart(kafka: Stack, outcome: Outcome) -> None:
    """rolling restart of all controllers and brokers"""
    with kafka.under_load(outcome):
        eventually(whole, 180, "whole beforehand")
        old = identities()
        kubectl("rollout", "restart", *SETS, f"--namespace={DATA}")
        outcome.recovered = eventually(lambda: restarted(old), 900, "restarted and whole")
    outcome.check(recovered=900, waited=WAITED)


def test_cold_starts(kafka: Stack, outcome: Outcome) -> None:
    """all nodes killed at once, ten times in a row"""
    with kafka.under_load(outcome):
        eventually(whole, 180, "whole beforehand")
        for number in range(1, 11):
            old = identities()
            start = time.monotonic()
            delete_pods(NODES, force=True)
            eventually(lambda old=old: restarted(old), 240, f"whole again, cold start {number} of 10")
            outcome.recovered = max(time.monotonic() - start, outcome.recovered or 0)
    outcome.check(recovered=240, waited=240)
