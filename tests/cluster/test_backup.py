"""A snapshot of dev's Redis, its keys deleted, and restored, as docs/backup.md tells a person to do it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .conftest import ROOT, Cluster

NAMESPACE = "data"
NODES = "--selector=app.kubernetes.io/name=redis,app.kubernetes.io/component=state"


@pytest.fixture
def backups(cluster: Cluster, tmp_path: Path) -> Iterator[None]:
    """dev with backups, which it does without otherwise."""
    stack = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
    small = {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"}}
    stack["config"]["agentstack:redis"]["backup"] = {"claim": {"storage": "1Gi"}, "resources": small}
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump(stack))
    command = [sys.executable, "-m", "agentstack", "preview", "dev", "--settings", str(tmp_path / "Pulumi.dev.yaml")]
    subprocess.run([*command, "--out", str(tmp_path / "dev")], cwd=ROOT, check=True)
    added = [
        f"--filename={path}"
        for path in (tmp_path / "dev").rglob("*.yaml")
        if any(name in path.name for name in ("redis-backup", "redis-restore", "redis-from-backup"))
    ]
    cluster.kubectl("apply", "--server-side", *added)
    yield
    cluster.kubectl("delete", *added, timeout=120)  # their Jobs with them


def run_job(cluster: Cluster, namespace: str, cronjob: str, **variables: str) -> tuple[bool, str]:
    """Start a Job from a CronJob, with these variables in its containers; return whether it succeeded, and its log."""
    name = f"{cronjob}-{uuid.uuid4().hex[:6]}"
    text = cluster.kubectl(
        "create",
        "job",
        name,
        f"--from=cronjob/{cronjob}",
        "--namespace",
        namespace,
        "--dry-run=client",
        "--output=yaml",
    )
    changes = [f"{key}={value}" for key, value in variables.items()]
    if changes:
        text = piped(text, "set", "env", "--local", "--filename=-", "--output=yaml", *changes)
    piped(text, "create", "--filename=-")
    deadline = time.monotonic() + 300
    while True:
        job = json.loads(cluster.kubectl("get", "job", name, "--namespace", namespace, "--output=json"))
        ended = {c["type"] for c in job["status"].get("conditions", []) if c["status"] == "True"}
        if ended & {"Complete", "Failed"}:
            log = cluster.kubectl("logs", f"job/{name}", "--namespace", namespace, "--all-containers", check=False)
            return "Complete" in ended, log
        assert time.monotonic() < deadline, f"not in 300 s: {name} ends"
        time.sleep(2)


def piped(text: str, *arguments: str) -> str:
    """Run kubectl on a text."""
    done = subprocess.run(["kubectl", *arguments], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(cluster: Cluster, namespace: str, pod: str, *command: str) -> str:
    """Run a Redis command on one node."""
    script = '. /etc/redis/client.sh; cli localhost:6379 "$@"'
    return cluster.run(namespace, f"pod/{pod}", "sh", "-c", script, "cli", *command, container="redis").strip()


def masters(cluster: Cluster, namespace: str) -> list[str]:
    """The pods that are masters."""
    pods = [pod["metadata"]["name"] for pod in cluster.get("pods", "--namespace", namespace, NODES)]
    return [pod for pod in pods if ask(cluster, namespace, pod, "role").splitlines()[0] == "master"]


LIST = """
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  table.insert(found, key .. ' ' .. redis.call('GET', key) .. ' ' .. redis.call('EXPIRETIME', key))
end
return found
"""


def contents(cluster: Cluster, namespace: str) -> dict[str, tuple[str, int]]:
    """Every key, where they hold words, with its value and when it expires: in seconds since 1970, or -1."""
    said = [ask(cluster, namespace, pod, "eval", LIST, "0") for pod in masters(cluster, namespace)]
    words = [line.split() for line in "\n".join(said).splitlines() if line]
    return {key: (value, int(expires)) for key, value, expires in words}


def back_up_wipe_and_restore(cluster: Cluster, namespace: str) -> int:
    """Take a snapshot, delete all keys, restore, compare, and return how many keys there are.

    For a cluster whose keys hold words, and that nobody writes to meanwhile.
    """
    saved = contents(cluster, namespace)
    succeeded, log = run_job(cluster, namespace, "redis-backup")
    assert succeeded, log
    succeeded, log = run_job(cluster, namespace, "redis-restore")
    assert not succeeded
    assert f"The cluster holds {len(saved)} keys, and a restore wants an empty one. Nothing was changed." in log
    for pod in masters(cluster, namespace):
        assert ask(cluster, namespace, pod, "flushall") == "OK"
    assert contents(cluster, namespace) == {}

    succeeded, log = run_job(cluster, namespace, "redis-restore")
    assert succeeded, log
    restored = contents(cluster, namespace)
    assert restored.keys() == saved.keys()
    for key, (value, expires) in saved.items():
        assert restored[key][0] == value
        # MIGRATE hands over the rest of the time, so that the way there adds to it.
        assert expires == restored[key][1] or 0 <= restored[key][1] - expires <= 5, key
    return len(restored)


def test_redis_is_restored_from_its_backup(cluster: Cluster, backups: None) -> None:
    words = [f"set conversation:{n} value-{n} ex {86400 + n}" for n in range(50)] + ["set kept value"]
    text = "\\n".join(words)
    script = f". /etc/redis/client.sh; printf '{text}\\n' | cli localhost:6379 -c"
    said = cluster.run(NAMESPACE, "pod/redis-0", "sh", "-c", script, container="redis")
    assert said.splitlines().count("OK") == 51
    assert back_up_wipe_and_restore(cluster, NAMESPACE) >= 51

    succeeded, log = run_job(cluster, NAMESPACE, "redis-restore", SNAPSHOT="20200101T000000Z", REPLACE="yes")
    assert not succeeded
    assert "There is no snapshot 20200101T000000Z." in log
    succeeded, log = run_job(cluster, NAMESPACE, "redis-restore", REPLACE="yes")
    assert succeeded, log
