"""Redis and Valkey, broken under load."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import yaml

from .outcome import Outcome
from .stack import AGENTS, DATA, HERE, Stack, delete_pods, eventually, get, kubectl, namespaces, ready, signal

WHOLE_WITHIN = 60
"""Seconds until the cluster is whole after any fault."""
FAILOVER_WITHIN = 15
"""Seconds that a client waits at most while one master is gone."""
NODES = "--selector=app.kubernetes.io/name=redis,app.kubernetes.io/component=state"
KEEPER = "--selector=app.kubernetes.io/name=redis,app.kubernetes.io/component=keeper"


@pytest.fixture(scope="module", params=["redis", "valkey"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def redis(
    engine: str, cluster: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The stack, applied; whether it forms is for the first test."""
    settings = yaml.safe_load((HERE / "redis.yaml").read_text())
    names = (f"redis.{DATA}.svc.cluster.local", f"*.redis-headless.{DATA}.svc.cluster.local", "localhost")
    stack = Stack(settings, "redis-load", tmp_path_factory.mktemp(engine) / "chaos", names)
    with namespaces(keep=request.config.getoption("keep")):
        stack.apply({"redis": {"engine": engine}})
        yield stack


def nodes() -> dict[str, str]:
    """What each node says of the cluster and of its replication, by pod: the keeper's container can reach them all."""
    ask = """. /etc/redis/client.sh
    for node in $REDIS_NODES; do
      echo "NODE ${node%%.*}"
      printf 'cluster info\\ninfo replication\\ncluster nodes\\n' | CLI_TIMEOUT=3 cli "$node"
    done"""
    said = kubectl("exec", f"--namespace={DATA}", "deployment/redis-keeper", "--", "sh", "-c", ask, check=False)
    answers = (answer.partition("\n") for answer in said.replace("\r", "").split("NODE ")[1:])
    return {pod: answer for pod, _, answer in answers}


def whole() -> bool:
    """Whether every node sees all slots served, and every replica follows its master."""
    needed, bad = ("cluster_state:ok", "cluster_slots_ok:16384"), "master_link_status:down"
    said = nodes().values()
    return bool(said) and all(all(n in answer for n in needed) and bad not in answer for answer in said)


def master() -> str:
    """Some pod that is a master."""
    return next(pod for pod, answer in nodes().items() if "role:master" in answer)


def own_slots(answer: str) -> int:
    """How many slots a node says are its own, as in `ID ADDRESS myself,master - 0 0 1 connected 0-99 105`."""
    own = next(line.split()[8:] for line in answer.splitlines() if "myself" in line)
    ends = [slots.split("-") for slots in own if "[" not in slots]
    return sum(int(last) - int(first) + 1 for first, last in ((e[0], e[-1]) for e in ends))


def identities() -> set[str]:
    return {pod["metadata"]["uid"] for pod in get("pods", DATA, NODES)}


def harass_the_keeper() -> None:
    """Kill it a little later each time, so that it dies at every step of its work."""
    for lifetime in (0.2, 0.5, 1, 1.5, 2, 3, 4):
        old = {pod["metadata"]["name"] for pod in get("pods", DATA, KEEPER)}
        delete_pods(KEEPER, force=True)

        def started(old: set[str] = old) -> bool:
            pods = [pod for pod in get("pods", DATA, KEEPER) if pod["metadata"]["name"] not in old]
            return any(status.get("started") for pod in pods for status in pod["status"].get("containerStatuses", []))

        eventually(started, 60, "a new keeper runs")
        time.sleep(lifetime)


def test_forming(redis: Stack, engine: str, outcome: Outcome) -> None:
    """keeper killed again and again while it forms the cluster"""
    start = time.monotonic()
    harass_the_keeper()
    eventually(whole, 120, "the cluster is formed")
    ask = ". /etc/redis/client.sh; cli localhost:6379 info server"
    server = kubectl("exec", f"--namespace={DATA}", "redis-0", "--container=redis", "--", "sh", "-c", ask)
    assert ("valkey_version:" in server) == (engine == "valkey")
    outcome.recovered = time.monotonic() - start
    with redis.under_load(outcome, f"{engine}-cli"):
        pass
    outcome.check(recovered=180, waited=FAILOVER_WITHIN)


def test_every_pod(redis: Stack, engine: str, outcome: Outcome) -> None:
    """every pod deleted at once"""
    eventually(whole, 120, "whole beforehand")
    with redis.under_load(outcome, f"{engine}-cli"):
        old = identities()
        delete_pods(NODES)
        outcome.recovered = eventually(lambda: not old & identities() and whole(), 180, "whole again")
    outcome.check(recovered=WHOLE_WITHIN, waited=WHOLE_WITHIN)


def test_every_pod_and_the_keeper(redis: Stack, engine: str, outcome: Outcome) -> None:
    """every pod deleted at once, keeper killed again and again while it heals"""
    eventually(whole, 120, "whole beforehand")
    with redis.under_load(outcome, f"{engine}-cli"):
        old = identities()
        start = time.monotonic()
        delete_pods(NODES)
        harass_the_keeper()
        eventually(lambda: not old & identities() and whole(), 120, "whole again")
        outcome.recovered = time.monotonic() - start
    outcome.check(recovered=180, waited=180)


def test_master_killed(redis: Stack, engine: str, outcome: Outcome) -> None:
    """one master's process killed (SIGKILL)"""
    eventually(whole, 120, "whole beforehand")
    with redis.under_load(outcome, f"{engine}-cli"):
        signal(master(), "KILL")
        outcome.recovered = eventually(whole, 120, "whole again")
    outcome.check(recovered=WHOLE_WITHIN, waited=FAILOVER_WITHIN)


def test_master_hangs(redis: Stack, engine: str, outcome: Outcome) -> None:
    """one master hangs for half a minute (SIGSTOP)"""
    eventually(whole, 120, "whole beforehand")
    with redis.under_load(outcome, f"{engine}-cli"):
        hung = master()
        signal(hung, "STOP")
        try:
            # Only another one's promotion makes as many masters as before.
            outcome.recovered = eventually(
                lambda: sum("role:master" in answer for answer in nodes().values()) == 3, 30, "another one is promoted"
            )
            time.sleep(max(0.0, 30 - outcome.recovered))
        finally:
            signal(hung, "CONT")
        eventually(whole, 60, "whole again")
    outcome.check(recovered=FAILOVER_WITHIN, waited=FAILOVER_WITHIN)


def test_rolling_restart(redis: Stack, engine: str, outcome: Outcome) -> None:
    """rolling restart of all nodes"""
    eventually(whole, 120, "whole beforehand")
    with redis.under_load(outcome, f"{engine}-cli"):
        kubectl("rollout", "restart", "statefulset/redis", f"--namespace={DATA}")
        outcome.recovered = eventually(lambda: ready("statefulset/redis") and whole(), 600, "restarted and whole")
    outcome.check(recovered=600, waited=FAILOVER_WITHIN)


def test_restore(redis: Stack, engine: str, outcome: Outcome) -> None:
    """all keys deleted, restored from the backup before"""
    eventually(whole, 120, "whole beforehand")
    with redis.under_load(outcome, f"{engine}-cli"):
        stop = "touch /tmp/stop && until [ -e /tmp/stopped ]; do sleep 0.5; done"
        kubectl("exec", f"--namespace={AGENTS}", "redis-load", "--", "sh", "-c", stop)
        run_job("redis-backup")
        for pod, answer in nodes().items():
            if "role:master" in answer:
                flush = ". /etc/redis/client.sh; cli localhost:6379 flushall"
                kubectl("exec", f"--namespace={DATA}", pod, "--", "sh", "-c", flush)
        outcome.recovered = run_job("redis-restore")
    outcome.check(recovered=300, waited=FAILOVER_WITHIN)


def run_job(cronjob: str) -> float:
    """Run a CronJob's Job now, and return the seconds that it took."""
    job = (f"--namespace={DATA}", f"job/{cronjob}-now")
    kubectl("delete", *job, "--ignore-not-found")
    kubectl("create", "job", f"{cronjob}-now", f"--from=cronjob/{cronjob}", job[0])
    start = time.monotonic()
    kubectl("wait", *job, "--for=condition=Complete", "--timeout=300s", timeout=320)
    return time.monotonic() - start


def balanced(shards: int, replicas: int) -> bool:
    """Whether the cluster is whole, with as many masters, each with its share of the slots, and as many replicas."""
    said = nodes()
    if len(said) != shards * (1 + replicas) or not whole():
        return False
    masters = [answer for answer in said.values() if "role:master" in answer]
    share = 16384 / shards
    return len(masters) == shards and all(
        f"connected_slaves:{replicas}" in answer and abs(own_slots(answer) - share) < share / 20 for answer in masters
    )


def test_more_shards(redis: Stack, engine: str, outcome: Outcome) -> None:
    """shards raised from 3 to 4"""
    eventually(whole, 120, "whole beforehand")
    with redis.under_load(outcome, f"{engine}-cli"):
        redis.apply({"redis": {"shards": 4}})
        outcome.recovered = eventually(lambda: balanced(4, 1), 600, "four shards, each with its share")
    outcome.check(recovered=600, waited=FAILOVER_WITHIN)


def test_more_replicas(redis: Stack, engine: str, outcome: Outcome) -> None:
    """replicas of each shard raised from 1 to 2"""
    eventually(whole, 120, "whole beforehand")
    with redis.under_load(outcome, f"{engine}-cli"):
        redis.apply({"redis": {"replicasPerShard": 2}})
        outcome.recovered = eventually(lambda: balanced(4, 2), 900, "two replicas of each shard")
    outcome.check(recovered=900, waited=FAILOVER_WITHIN)
