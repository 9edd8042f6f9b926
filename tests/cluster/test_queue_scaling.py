"""Agents follow their queues, with KEDA: up with real lag, down when it is gone, and not while nobody can say."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.chaos.stack import AGENTS, DATA, Stack, eventually, get, kubectl, namespaces

ON_TOPIC, ON_LIST = "kafka-load", "redis-load"
BROKER = "--bootstrap-server localhost:9092 --command-config /tmp/client.properties --topic tasks"
KEDA = "keda"
"""The namespace of KEDA's operator, as the settings say."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka and Redis with users and TLS, and two agents that scale by a queue in them."""
    if "KUBECONFIG" not in os.environ or shutil.which("kubectl") is None:
        pytest.skip("KUBECONFIG is not set, or kubectl not on PATH: these tests need a cluster that may be changed")
    if not kubectl("get", "crd", "scaledobjects.keda.sh", "--ignore-not-found", "--output=name"):
        pytest.skip("the cluster has no KEDA: install it (https://keda.sh/docs/latest/deploy/) into the namespace keda")
    settings = yaml.safe_load((Path(__file__).parent / "queue_scaling.yaml").read_text())
    services = ("kafka", "*.kafka-headless", "redis", "*.redis-headless")
    names = (*(f"{service}.{DATA}.svc.cluster.local" for service in services), "localhost")
    stack = Stack(settings, ON_TOPIC, tmp_path_factory.mktemp("queues") / "chaos", names)
    with namespaces(keep=False):
        stack.apply()
        eventually(lambda: all(job["status"].get("succeeded") for job in get("jobs", DATA)), 240, "the topic is made")
        eventually(lambda: available("deployment", "redis-keeper", DATA), 240, "Redis is whole")
        yield stack


def available(kind: str, name: str, namespace: str = AGENTS) -> int:
    """How many pods of it are ready."""
    asked = kubectl("get", kind, name, f"--namespace={namespace}", "--output=jsonpath={.status.readyReplicas}")
    return int(asked or 0)


def wanted(agent: str) -> int:
    """How many pods the agent is to have."""
    return int(kubectl("get", "deployment", agent, f"--namespace={AGENTS}", "--output=jsonpath={.spec.replicas}"))


def condition(agent: str, kind: str) -> str:
    """What KEDA says of the agent: `True`, `False` or `Unknown`."""
    path = f'{{.status.conditions[?(@.type=="{kind}")].status}}'
    return kubectl("get", "scaledobject", agent, f"--namespace={AGENTS}", f"--output=jsonpath={path}")


def broker(script: str) -> str:
    return kubectl("exec", f"--namespace={DATA}", "kafka-0", "--container=kafka", "--", "sh", "-c", script)


def produce(messages: int) -> None:
    broker(f"seq {messages} | /opt/kafka/bin/kafka-console-producer.sh {BROKER}")


def consume() -> None:
    """Read and commit everything, as a member of the agent's group."""
    arguments = f"{BROKER} --group {ON_TOPIC} --from-beginning --timeout-ms 15000"
    broker(f"/opt/kafka/bin/kafka-console-consumer.sh {arguments} >/dev/null 2>&1 || true")


def redis(command: str) -> str:
    script = f". /etc/redis/client.sh && cli redis-0:6379 -c {command}"
    return kubectl("exec", f"--namespace={DATA}", "redis-0", "--container=redis", "--", "sh", "-c", script)


def test_no_pods_while_next_to_nothing_waits(stack: Stack) -> None:
    for agent in (ON_TOPIC, ON_LIST):
        eventually(lambda agent=agent: condition(agent, "Ready") == "True", 120, f"KEDA asks for {agent}")
    eventually(lambda: wanted(ON_TOPIC) == 0, 120, "no pod")
    produce(2)
    time.sleep(35)  # two questions later
    assert (wanted(ON_TOPIC), wanted(ON_LIST)) == (0, 1)


def test_up_with_the_lag_and_down_again(stack: Stack) -> None:
    redis(f"rpush jobs:open {' '.join(map(str, range(11)))}")
    produce(60)
    assert eventually(lambda: wanted(ON_TOPIC) == 3, 90, "three pods for 62 messages") < 60
    eventually(lambda: wanted(ON_LIST) == 3, 60, "three pods for a list of 11")
    eventually(lambda: available("deployment", ON_TOPIC) == 3, 90, "all ready")
    # The only owner of the number is KEDA's autoscaler.
    owned = [autoscaler["metadata"]["ownerReferences"][0]["kind"] for autoscaler in get("hpa", AGENTS)]
    assert owned == ["ScaledObject"] * 2
    consume()
    redis("del jobs:open")
    eventually(lambda: wanted(ON_LIST) == 1, 240, "one pod for an empty list")
    eventually(lambda: wanted(ON_TOPIC) == 0, 240, "no pod for an empty topic")


def test_pods_stay_while_kafka_is_down_and_follow_it_afterwards(stack: Stack) -> None:
    produce(30)
    eventually(lambda: wanted(ON_TOPIC) == 3, 120, "three pods")
    kubectl("scale", "statefulset/kafka", f"--namespace={DATA}", "--replicas=0")
    eventually(lambda: not get("pods", DATA, "--field-selector=metadata.name=kafka-0"), 60, "Kafka is down")
    assert_three_pods(seconds=60)
    kubectl("scale", "statefulset/kafka", f"--namespace={DATA}", "--replicas=1")
    eventually(lambda: available("statefulset", "kafka", DATA) == 1, 180, "Kafka is back")
    assert wanted(ON_TOPIC) == 3
    consume()
    eventually(lambda: wanted(ON_TOPIC) == 0, 150, "no pods")


def test_pods_stay_while_kafka_does_not_answer(stack: Stack) -> None:
    """By a right that the agent lacks for a while: Kafka is there, and says nothing of the group."""
    produce(30)
    eventually(lambda: wanted(ON_TOPIC) == 3, 120, "three pods")
    rights("--remove --force")
    eventually(lambda: condition(ON_TOPIC, "Fallback") == "True", 120, "the fallback")
    assert_three_pods(seconds=45)
    rights("--add")
    eventually(lambda: condition(ON_TOPIC, "Fallback") == "False", 120, "no fallback")


def rights(change: str) -> None:
    of_the_group = f"--allow-principal User:{ON_TOPIC} --operation READ --group {ON_TOPIC}"
    broker(f"/opt/kafka/bin/kafka-acls.sh {BROKER.partition(' --topic')[0]} {change} {of_the_group}")


def assert_three_pods(*, seconds: float) -> None:
    """For longer than pods wait before they go."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert wanted(ON_TOPIC) == 3
        time.sleep(1)


ASK = """
import socket, sys, time
time.sleep(5)  # NetworkPolicies take a moment to know a new pod
for host, port in (("kafka", 9092), ("redis", 6379)):
    try:
        socket.create_connection((f"{host}.{sys.argv[1]}", port), timeout=3).close()
        print(host)
    except OSError:
        pass
"""


@pytest.mark.parametrize(
    ("app", "reached"), [("keda-operator", ["kafka", "redis"]), ("keda-operator-metrics-apiserver", [])]
)
def test_only_kedas_operator_reaches_the_queues(stack: Stack, app: str, reached: list[str]) -> None:
    """With pods of its labels: what holds for them holds where KEDA itself is no pod, too."""
    name = f"asks-as-{app}"
    deployment = json.loads(kubectl("get", f"deployment/{ON_TOPIC}", f"--namespace={AGENTS}", "--output=json"))
    pod = deployment["spec"]["template"]["spec"]
    agent = pod["containers"][0]
    container = {
        "name": "asks",
        "image": agent["image"],
        "command": ["python3", "-c", ASK, DATA],
        "securityContext": agent["securityContext"],
        # Never ready: KEDA's own Service must not send it anything.
        "readinessProbe": {"exec": {"command": ["false"]}},
    }
    spec = {"restartPolicy": "Never", "securityContext": pod["securityContext"], "containers": [container]}
    metadata = {"name": name, "namespace": KEDA, "labels": {"app": app}}
    kubectl(
        "create",
        "--filename=-",
        given=json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}),
    )
    try:
        here = (f"--namespace={KEDA}", f"pod/{name}")
        kubectl("wait", *here, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=90s")
        assert kubectl("logs", *here).split() == reached
    finally:
        kubectl("delete", "pod", name, f"--namespace={KEDA}", "--grace-period=0", "--force")
