"""dev on a real cluster: everything is up, connected as declared, and closed otherwise."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
import yaml

from .conftest import READY_WITHIN, ROOT, Cluster, eventually

KAFKA = "/opt/kafka/bin"
AS_OPERATOR = 'redis-cli --user "$REDIS_USER"'  # which reads the password from its environment
BROKER = ("--bootstrap-server", "localhost:9092", "--command-config", "/tmp/client.properties")


def declared_topics() -> set[str]:
    return set(yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"]["agentstack:kafka"]["topics"])


def test_every_pod_is_ready_in_time(cluster: Cluster) -> None:
    assert cluster.seconds_to_ready <= READY_WITHIN


def test_redis_is_one_whole_cluster(cluster: Cluster) -> None:
    info = cluster.run("data", "pod/redis-0", "sh", "-c", f"{AS_OPERATOR} cluster info", container="redis")
    facts = dict(line.strip().split(":", 1) for line in info.splitlines() if ":" in line)
    assert facts["cluster_state"] == "ok"
    assert facts["cluster_slots_ok"] == "16384"
    assert facts["cluster_size"] == "3"


def test_kafka_has_the_declared_topics(cluster: Cluster) -> None:
    listed = cluster.run("data", "pod/kafka-0", f"{KAFKA}/kafka-topics.sh", *BROKER, "--list").split()
    assert declared_topics() <= set(listed)


def test_a_message_is_produced_and_consumed(cluster: Cluster) -> None:
    message = f"hello-{uuid.uuid4()}"
    produce = f"echo {message} | {KAFKA}/kafka-console-producer.sh {' '.join(BROKER)} --topic tasks"
    cluster.run("data", "pod/kafka-0", "sh", "-c", produce)
    consume = [f"{KAFKA}/kafka-console-consumer.sh", *BROKER, "--topic", "tasks", "--from-beginning"]
    received = cluster.run("data", "pod/kafka-0", *consume, "--timeout-ms", "10000", check=False)
    assert message in received.split()


def test_prometheus_sees_every_target_up(cluster: Cluster) -> None:
    def targets() -> list[dict[str, str]]:
        url = "http://localhost:9090/api/v1/targets?state=active"
        answer = cluster.run("observability", "statefulset/prometheus", "wget", "-qO-", url)
        active: list[dict[str, str]] = json.loads(answer)["data"]["activeTargets"]
        return active

    eventually(
        lambda: all(target["health"] == "up" for target in targets()),
        90,
        "every target up: " + str([(t["scrapeUrl"], t["lastError"]) for t in targets() if t["health"] != "up"]),
    )
    scraped = {target["labels"]["pod"].rsplit("-", 1)[0] for target in targets() if "pod" in target["labels"]}  # type: ignore[index]
    for expected in ("redis", "ingestion", "orchestrator", "executor", "state-manager", "learner", "kafka-exporter"):
        assert any(name.startswith(expected) for name in scraped), f"{expected} is not among {sorted(scraped)}"


def test_no_alerting_or_recording_rule_fails(cluster: Cluster) -> None:
    url = "http://localhost:9090/api/v1/rules"
    answer = cluster.run("observability", "statefulset/prometheus", "wget", "-qO-", url)
    rules = [rule for group in json.loads(answer)["data"]["groups"] for rule in group["rules"]]
    assert len(rules) > 10
    assert [rule["name"] for rule in rules if rule["health"] == "err"] == []


def test_every_autoscaler_reads_its_metrics(cluster: Cluster) -> None:
    def blind() -> list[str]:
        names = []
        for autoscaler in cluster.get("hpa", "--namespace", "agents"):
            conditions = {c["type"]: c["status"] for c in autoscaler["status"].get("conditions", [])}
            current = [m for m in autoscaler["status"].get("currentMetrics") or [] if m.get("resource")]
            if conditions.get("ScalingActive") != "True" or len(current) < len(autoscaler["spec"]["metrics"]):
                names.append(autoscaler["metadata"]["name"])
        return names

    assert len(cluster.get("hpa", "--namespace", "agents")) == 4
    eventually(lambda: not blind(), 120, "autoscalers read their metrics")


REACH = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3); print('open')"


@pytest.mark.parametrize(
    ("agent", "host", "port", "open_"),
    [
        ("orchestrator", "redis.data.svc.cluster.local", "6379", True),
        ("executor", "redis.data.svc.cluster.local", "6379", True),
        ("executor", "kafka.data.svc.cluster.local", "9092", True),
        ("executor", "state-manager", "80", False),
        ("executor", "learner", "80", False),
        ("orchestrator", "redis-0.redis-headless.data.svc.cluster.local", "16379", False),
        ("learner", "prometheus.observability.svc.cluster.local", "9090", False),
        ("state-manager", "kubernetes.default.svc.cluster.local", "443", False),
    ],
)
def test_only_declared_flows_are_open(cluster: Cluster, agent: str, host: str, port: str, open_: bool) -> None:
    said = cluster.run("agents", f"deployment/{agent}", "python3", "-c", REACH, host, port, check=False)
    assert (said.strip() == "open") is open_


PING = """
import os, socket, urllib.parse
url = urllib.parse.urlsplit(os.environ['REDIS_URL'])
s = socket.create_connection((url.hostname, url.port), 5)
s.sendall(f'AUTH {url.username} {url.password}\\r\\nPING\\r\\n'.encode())
print(s.recv(100).decode())
"""


def test_an_agent_logs_in_with_its_redis_url(cluster: Cluster) -> None:
    said = cluster.run("agents", "deployment/orchestrator", "python3", "-c", PING)
    assert said.split() == ["+OK", "+PONG"]


def test_a_second_apply_changes_nothing(cluster: Cluster) -> None:
    # kubectl diff exits with 1 where there is a difference, and prints it.
    assert cluster.kubectl("diff", "--server-side", "--recursive", "--filename", str(cluster.manifests)) == ""


def test_applying_again_without_secrets_keeps_them(cluster: Cluster, tmp_path: Path) -> None:
    def passwords() -> list[dict[str, str]]:
        return [secret["data"] for secret in cluster.get("secrets", "--namespace", "data")]

    before = passwords()
    assert before
    subprocess.run(
        [sys.executable, "-m", "agentstack", "preview", "dev", "--out", str(tmp_path / "dev")], cwd=ROOT, check=True
    )
    cluster.kubectl("apply", "--server-side", "--recursive", "--filename", str(tmp_path / "dev"))
    assert passwords() == before


def test_redis_heals_when_all_its_pods_come_back_with_new_addresses(cluster: Cluster) -> None:
    def redis(*command: str) -> str:
        # Through the Service, and on to the node that has the key, as any client.
        asked = " ".join((AS_OPERATOR, "-c", "-h", "redis", *command))
        return cluster.run("data", "pod/redis-0", "sh", "-c", asked, container="redis", check=False).strip()

    keys = {f"heal:{number}": str(uuid.uuid4()) for number in range(10)}
    for key, value in keys.items():
        assert redis("set", key, value) == "OK"
    time.sleep(2)  # the append-only file is flushed every second
    cluster.kubectl("delete", "pods", "--namespace", "data", "--selector", "app.kubernetes.io/name=redis,"
                    "app.kubernetes.io/component=state", "--timeout=90s")  # fmt: skip
    start = time.monotonic()

    # `cluster_state:ok` alone is true as soon as a majority of the masters is there.
    def whole() -> bool:
        return "cluster_slots_ok:16384" in redis("cluster", "info") and {key: redis("get", key) for key in keys} == keys

    eventually(whole, 60, "all slots are served and every key is there, by itself")
    print(f"\nwhole again {time.monotonic() - start:.0f} s after the pods were gone")
    eventually(lambda: not cluster.unready(), 120, "every pod is ready again")
