"""Which pods restart, why, how many at a time and for how long at most."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from agentstack.compare.changes import compare
from agentstack.compare.snapshot import Object, Snapshot
from agentstack.impact.rollouts import WorkloadRollout, published, rollouts, section
from agentstack.output.document import Fold, Lines, Table

from .revisions import edited, revision

EXECUTOR = "Deployment/agents/executor"


def found(before: Snapshot, after: Snapshot) -> dict[str, WorkloadRollout]:
    return {rollout.workload: rollout for rollout in rollouts(before, after, compare(before, after))}


def agents(environment: str = "prod", **agents: Any) -> Snapshot:
    return revision(environment, {"agents": agents})


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


# --- causes ---


def test_nothing_rolls_where_nothing_changes() -> None:
    assert found(revision("prod"), revision("prod")) == {}


def test_an_image_is_the_cause_and_its_version_label_is_not() -> None:
    rollout = found(revision("prod"), agents(executor={"image": "ghcr.io/agentstack/services:1.1.0"}))
    assert rollout.keys() == {EXECUTOR}
    assert rollout[EXECUTOR].causes == ("image 1.0.0 -> 1.1.0",)
    assert rollout[EXECUTOR].action == "restarts"


def test_another_repository_is_shown_in_full() -> None:
    (rollout,) = found(*(snapshot(deployment(container={"image": image})) for image in ("a/x:1", "b/x:1"))).values()
    assert rollout.causes == ("image a/x:1 -> b/x:1",)


def test_a_variable_is_named_and_its_value_is_not() -> None:
    before, after = agents(executor={"env": {"MODE": "open-sesame"}}), agents(executor={"env": {"MODE": "swordfish"}})
    (rollout,) = found(before, after).values()
    assert rollout.causes == ("ConfigMap/agents/executor: MODE",)
    assert "swordfish" not in str(published([rollout]))


def test_everything_that_makes_other_pods_has_a_name() -> None:
    after = agents(executor={
        "args": ["--fast"],
        "resources": {"limits": {"cpu": "2"}},
        "probes": {"readiness": {"period": "7s"}},
        "shutdown": {"longestTask": "5m"},
    })  # fmt: skip
    (rollout,) = found(revision("prod"), after).values()
    assert set(rollout.causes) >= {"arguments", "resources", "readiness probe", "terminationGracePeriodSeconds"}
    assert not any("[" in cause for cause in rollout.causes)


def test_what_the_engine_passes_over_restarts_nothing_and_what_is_named_alike_does() -> None:
    before, after = revision("prod"), agents(executor={"args": ["--fast"]})
    containers = "spec.template.spec.containers"
    for ignored, restarts in ((containers, False), ("spec.template", False), (containers[:-1], True)):
        assert (EXECUTOR in found(before, edited(after, EXECUTOR, ignored=(ignored,)))) is restarts


def test_a_configuration_file_is_named() -> None:
    after = revision("prod", {"observability": {"prometheus": {"scrapeInterval": "15s"}}})
    rollout = found(revision("prod"), after)["StatefulSet/observability/prometheus"]
    assert rollout.causes == ("ConfigMap/observability/prometheus: prometheus.yml",)


def test_one_container_of_several_is_named() -> None:
    after = revision("prod", {"redis": {"exporterResources": {"limits": {"cpu": "200m"}}}})
    assert found(revision("prod"), after)["StatefulSet/data/redis"].causes == ("resources of exporter",)


# --- what restarts nothing ---


def test_scaling_restarts_nothing() -> None:
    after = revision("prod", {"agents": {"executor": {"scaling": {"min": 4, "max": 10}}}})
    assert found(revision("prod"), after) == {
        EXECUTOR: WorkloadRollout(EXECUTOR, "scales", ("3 to 20 -> 4 to 10",), (4, 10), note="restarts nothing")
    }
    both = agents(executor={"scaling": {"min": 4, "max": 10}, "args": ["--fast"]})
    rollout = found(revision("prod"), both)[EXECUTOR]
    assert (rollout.action, rollout.note) == ("restarts", "scales as well: 3 to 20 -> 4 to 10")


def test_more_shards_restart_no_node() -> None:
    rollout = found(revision("prod"), revision("prod", {"redis": {"shards": 4}}))
    assert rollout["StatefulSet/data/redis"].action == "scales"
    assert rollout["StatefulSet/data/redis"].causes == ("6 -> 8",)


def test_files_are_renewed_without_a_restart() -> None:
    before, after = (agents(executor={"reload": "file", "env": {"LEVEL": level}}) for level in ("info", "debug"))
    (rollout,) = found(before, after).values()
    assert (rollout.action, rollout.causes) == ("reloads", ("ConfigMap/agents/executor: LEVEL",))
    assert rollout.longest is None


def config_map(data: dict[str, str]) -> Object:
    return Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": data})


def deployment(*, spec: dict[str, Any] | None = None, **pod: Any) -> Object:
    container = {"name": "main", "image": "x:1"} | pod.pop("container", {})
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [container], **pod}}
    content = {"selector": {"matchLabels": {"app": "a"}}, "template": template} | (spec or {})
    metadata = {"name": "a", "namespace": "n"}
    return Object({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": content})


def snapshot(*known: Object) -> Snapshot:
    return Snapshot("test", "a revision", {one.key: one for one in known})


VOLUME = {"volumes": [{"name": "v", "configMap": {"name": "c"}}]}
MOUNT = {"name": "v", "mountPath": "/c"}


@pytest.mark.parametrize(
    ("pod", "action"),
    [
        ({**VOLUME, "container": {"volumeMounts": [MOUNT]}}, "reloads"),
        ({**VOLUME, "container": {"volumeMounts": [{**MOUNT, "subPath": "a"}]}}, "keeps"),
        ({"container": {"envFrom": [{"configMapRef": {"name": "c"}}]}}, "keeps"),
        ({"container": {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "a"}}}]}}, "keeps"),
        ({"container": {"env": [{"name": "B", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "b"}}}]}}, None),
        ({"volumes": [{"name": "v", "configMap": {"name": "c", "items": [{"key": "b", "path": "b"}]}}]}, None),
        ({"volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "c"}}]}}]}, "reloads"),
        ({}, None),
    ],
)
def test_who_reads_a_changed_configuration(pod: dict[str, Any], action: str | None) -> None:
    same = deployment(**pod)
    rollout = found(snapshot(same, config_map({"a": "1", "b": "1"})), snapshot(same, config_map({"a": "2", "b": "1"})))
    assert [one.action for one in rollout.values()] == ([action] if action else [])


# --- pace ---

PROBES = {
    "terminationGracePeriodSeconds": 60,
    "container": {
        "startupProbe": {"periodSeconds": 5, "failureThreshold": 12},
        "readinessProbe": {"periodSeconds": 10},
    },
}
# 60 to end, 60 to start, 10 until readiness is asked.
EACH = timedelta(seconds=130)


def rolled(spec: dict[str, Any], kind: str = "Deployment", **pod: Any) -> WorkloadRollout:
    sides = []
    for image in ("x:1", "x:2"):
        given = {**PROBES, **pod, "container": PROBES["container"] | pod.get("container", {}) | {"image": image}}  # type: ignore[operator]
        known = deployment(spec=spec, **given)
        sides.append(snapshot(Object({**known.manifest, "kind": kind})))
    (rollout,) = found(*sides).values()
    return rollout


@pytest.mark.parametrize(
    ("spec", "at_once", "rounds"),
    [
        ({"replicas": 10}, "5 at a time (3 more, 2 less)", 2),
        ({"replicas": 1}, "1 at a time (1 more, none less)", 1),
        ({}, "1 at a time (1 more, none less)", 1),
        ({"replicas": 4, "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}, "1 at a time", 4),
        ({"replicas": 4, "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "50%"}}}, "2 at a time", 2),
        # Kubernetes takes one away where both round to none.
        ({"replicas": 3, "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "10%"}}}, "1 at a time", 3),
    ],
)
def test_the_pace_of_a_deployment(spec: dict[str, Any], at_once: str, rounds: int) -> None:
    rollout = rolled(spec)
    assert rollout.at_once.startswith(at_once)
    assert rollout.longest == rounds * EACH
    assert rollout.deadline == minutes(10)


def test_the_slowest_number_of_pods_counts() -> None:
    """With a quarter more at a time, four pods take four rounds, and eight take four as well; five take three."""
    scaler = Object({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "a", "namespace": "n"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "a"}, "minReplicas": 2, "maxReplicas": 5},
    })  # fmt: skip
    strategy = {"strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}}
    before, after = (
        snapshot(scaler, deployment(spec=strategy, container={"image": image})) for image in ("x:1", "x:2")
    )
    (rollout,) = found(before, after).values()
    assert rollout.pods == (2, 5)
    assert rollout.at_once == "up to 2 at a time (2 more, none less)"
    assert rollout.longest == 4 * timedelta(seconds=30)


def test_recreate_is_an_interruption() -> None:
    rollout = rolled({"replicas": 3, "strategy": {"type": "Recreate"}, "minReadySeconds": 20})
    assert (rollout.action, rollout.at_once) == ("interrupts", "all at once")
    assert rollout.longest == EACH + timedelta(seconds=20)


def test_without_a_startup_probe_readiness_counts() -> None:
    probe = {"initialDelaySeconds": 5, "periodSeconds": 2, "failureThreshold": 4}
    rollout = rolled({"replicas": 1}, container={"startupProbe": None, "readinessProbe": probe})
    assert rollout.longest == timedelta(seconds=60 + 5 + 2 * 4)


@pytest.mark.parametrize(
    ("update", "action", "pods", "rounds"),
    [
        ({}, "restarts", 5, 5),
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 3}}, "restarts", 2, 2),
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 5}}, "waits", 5, None),
        ({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}, "restarts", 5, 3),
        ({"type": "OnDelete"}, "waits", 5, None),
    ],
)
def test_the_pace_of_a_stateful_set(update: dict[str, Any], action: str, pods: int, rounds: int | None) -> None:
    spec = {"replicas": 5, "podManagementPolicy": "Parallel", "updateStrategy": update}
    rollout = rolled(spec, "StatefulSet")
    assert (rollout.action, rollout.pods) == (action, (pods, pods))
    assert rollout.longest == (None if rounds is None else rounds * EACH)


def test_the_pace_of_a_daemon_set() -> None:
    rollout = rolled({}, "DaemonSet")
    assert (rollout.at_once, rollout.longest) == ("1 of the nodes at a time", EACH)
    assert rolled({"updateStrategy": {"rollingUpdate": {"maxUnavailable": "20%"}}}, "DaemonSet").at_once.startswith(
        "20%"
    )
    assert rolled({"updateStrategy": {"type": "OnDelete"}}, "DaemonSet").action == "waits"


def test_what_the_engine_replaces_does_not_roll() -> None:
    before = revision("prod")
    selector = {"spec": {"selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x"}}}}}
    assert found(before, edited(before, EXECUTOR, manifest=selector)) == {}


# --- kinds of agents ---


def test_the_nodes_of_kafka_roll_one_by_one() -> None:
    after = revision("prod", {"kafka": {"brokerResources": {"limits": {"cpu": "3"}}}})
    (rollout,) = found(revision("prod"), after).values()
    assert rollout.workload == "StatefulSet/data/kafka-broker"
    assert rollout.at_once == "one at a time, the highest number first"
    # 7 minutes to end, an hour to recover, 10 s of readiness; three of them.
    assert rollout.longest == 3 * (minutes(7) + minutes(60) + timedelta(seconds=5))


def test_a_candidate_starts_beside_the_stable_version() -> None:
    before = agents(executor={"rollout": "canary"})
    after = agents(executor={"rollout": "canary", "release": {"version": "1.1.0", "share": 10}})
    rollout = found(before, after)
    assert rollout["Deployment/agents/executor-canary"].action == "starts"
    assert rollout[EXECUTOR].action == "scales"
    plain = agents(executor={"rollout": "canary", "image": "ghcr.io/agentstack/services:1.1.0"})
    assert "`agentstack release executor`" in found(before, plain)[EXECUTOR].note


FLEET = {
    "kind": "fleet",
    "image": "ghcr.io/acme/watchdog:1.0.0",
    "fleet": {"range": {"prefix": "sensor-", "first": 1, "last": 95, "digits": 3}, "maxUnavailable": 10},
}


def test_a_fleet_rolls_by_its_own_controller() -> None:
    quota = {"namespaces": {"agents": {"quota": {"limits": {"cpu": "300"}, "pods": 900}}}}
    before = revision("prod", quota, {"watchdog": FLEET})
    image = revision("prod", quota, {"watchdog": {**FLEET, "image": "ghcr.io/acme/watchdog:2.0.0"}})
    rollout = found(before, image)["PodTemplate/agents/watchdog"]
    assert (rollout.action, rollout.pods, rollout.at_once) == ("restarts", (95, 95), "9 (10 %) at a time")
    assert rollout.longest is not None
    assert rollout.longest.total_seconds() % 11 == 0  # 95 pods, 9 at a time
    more = {**FLEET, "fleet": {"range": {"prefix": "sensor-", "first": 1, "last": 99, "digits": 3}}}
    rollout = found(before, revision("prod", quota, {"watchdog": more}))["PodTemplate/agents/watchdog"]
    assert (rollout.action, rollout.causes) == ("scales", ("95 -> 99",))


# --- what is said ---


def test_the_section() -> None:
    before = revision("prod")
    after = agents(executor={"scaling": {"min": 4}}, learner={"args": ["--fast"]})
    table, explained, fold = section(rollouts(before, after, compare(before, after))).blocks
    assert isinstance(table, Table)
    assert isinstance(explained, Lines)
    assert [len(row) for row in table.rows] == [len(table.headers)]
    assert isinstance(fold, Fold)
    assert fold.title == "1 without a restart"
    assert section([]).blocks == (Lines(("No pod restarts.",), "good"),)
    assert section([rolled({"strategy": {"type": "Recreate"}})]).mark == "warn"


def test_json_is_plain() -> None:
    (entry,) = [json.loads(each.text()) for each in published([rolled({"replicas": 10})])]
    assert entry == {
        "workload": "Deployment/n/a",
        "action": "restarts",
        "causes": ["image 1 -> 2"],
        "pods": {"min": 10, "max": 10},
        "atOnce": "5 at a time (3 more, 2 less)",
        "longestSeconds": 260,
        "deadlineSeconds": 600,
        "note": "",
    }
