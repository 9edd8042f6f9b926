"""What a change destroys is named, exactly, and nothing else is."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from agentstack.compare.snapshot import Object, Snapshot
from agentstack.impact.destructive import destructive_changes, published, section, unjudged, unused
from agentstack.impact.model import DestructiveChange
from agentstack.output.document import Code, Fenced, Fold, Lines, Table, parts
from agentstack.preview.published import Summary
from components.parts import PARTS

from .revisions import ROOT, edited, revision, without

TODAY = date(2026, 11, 21)


def found(before: Snapshot, after: Snapshot, today: date = TODAY) -> dict[str, DestructiveChange]:
    named = destructive_changes(before, after, today=today)
    assert len({destroyed.resource for destroyed in named}) == len(named), "one resource twice"
    return {destroyed.resource: destroyed for destroyed in named}


def needed(before: Snapshot, after: Snapshot) -> set[str]:
    return {name for name, destroyed in found(before, after).items() if destroyed.needs_approval}


def allowing(*resources: str, until: str = "2026-12-01") -> dict[str, Any]:
    entries = [{"resource": resource, "until": until, "reason": "the data is in a backup"} for resource in resources]
    return {"platform": {"safeguards": {"approvedReplacements": entries}}}


# --- what is ordinary ---

EXECUTOR = {
    "image": "ghcr.io/agentstack/services:1.1.0",
    "scaling": {"min": 4, "max": 10},
    "resources": {"limits": {"cpu": "2"}},
    "env": {"LOG_LEVEL": "debug"},
    "shutdown": {"longestTask": "8m"},
}
RELEASE = {"rollout": "canary", "release": {"version": "1.1.0", "share": 10}}
RESEARCHER = {"image": "ghcr.io/acme/researcher:2.3.0", "uses": ["redis"], "produces": ["events"]}
QUEUE = {"scaling": {"queue": {"topic": "tasks", "lagPerReplica": 20}}}
# Many at once: each is rendered for itself, and what is found names its cause.
CALM: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "an agent": ("prod", {"agents": {"executor": EXECUTOR, "learner": {"replicas": 2, "consumes": ["results"]}}}, {}),
    "a release": ("prod", {"agents": {"executor": {"reload": "file"}, "ingestion": RELEASE}}, {}),
    "a new agent": ("prod", {"kafka": {"topics": {"new": {}}}}, {"researcher": RESEARCHER}),
    "a queue": ("prod", {"platform": {"keda": {}}, "agents": {"executor": QUEUE}}, {}),
    "more": (
        "prod",
        {
            "kafka": {
                "brokers": 4,
                "brokerStorage": "200Gi",
                "brokerResources": {"limits": {"cpu": "3"}},
                "topics": {"events": {"partitions": 24, "retention": "14d"}},
            },
            "redis": {
                "shards": 4,
                "storage": "40Gi",
                "image": "redis:8.10.3",
                "conversationTtl": "1h",
                "backup": {"keep": 14, "schedule": "0 3 * * *", "claim": {"storage": "96Gi"}},
            },
            "observability": {
                "prometheus": {
                    "storage": "80Gi",
                    "retention": "30d",
                    "retentionSize": "60Gi",
                    "scrapeInterval": "15s",
                }
            },
            "namespaces": {"data": {"quota": {"limits": {"cpu": "64"}}}, "agents": {"quota": {"pods": 600}}},
        },
        {},
    ),
    "replicas": (
        "prod",
        {"redis": {"replicasPerShard": 2}, "namespaces": {"data": {"quota": {"limits": {"cpu": "64"}}}}},
        {},
    ),
    "the way in": (
        "prod",
        {
            "gateway": {"host": "agents.example.org", "annotations": {"example.com/limit": "10"}},
            "inference": {"model": "gpt-5"},
        },
        {},
    ),
    "protection": ("dev", {"platform": {"safeguards": {"protectData": True}}}, {}),
}


@pytest.mark.parametrize("name", CALM)
def test_ordinary_changes_need_no_approval(name: str) -> None:
    environment, settings, agents = CALM[name]
    before, after = revision(environment), revision(environment, settings, agents)
    assert before.objects != after.objects
    named = found(before, after)
    assert {name: destroyed.severity for name, destroyed in named.items() if destroyed.severity != "harmless"} == {}
    assert {name for name in named if not re.match(r"Job/|HorizontalPodAutoscaler/", name)} == set()


def test_nothing_is_lost_where_nothing_changes() -> None:
    assert found(revision("prod"), revision("prod")) == {}


def test_a_new_environment_loses_nothing() -> None:
    assert found(Snapshot("prod", "none", {}), revision("prod")) == {}


def test_an_agent_less_ends_its_pods_and_needs_no_approval() -> None:
    before = revision("prod")
    after = revision("prod", {"agents": {"learner": {"enabled": False}}})
    named = found(before, after)
    assert named.keys() == {"Deployment/agents/learner", "Job/data/kafka-topics-d2073f6b16"} | {
        name for name in named if name.startswith("Job/")
    }
    assert named["Deployment/agents/learner"].consequence == "its pods end"
    assert needed(before, after) == set()


def test_the_end_of_a_release_is_harmless() -> None:
    running = {"agents": {"executor": {"rollout": "canary", "release": {"version": "1.1.0", "share": 10}}}}
    over = {"agents": {"executor": {"rollout": "canary", "image": "ghcr.io/agentstack/services:1.1.0"}}}
    named = found(revision("prod", running), revision("prod", over))
    assert named["Deployment/agents/executor-canary"].severity == "harmless"
    assert all(destroyed.approved for destroyed in named.values())


# --- settings ---


@pytest.mark.parametrize(
    ("settings", "changed", "resource", "severity"),
    [
        ({"redis": {"shards": 4}}, {"redis": {"shards": 3}}, "redis.shards", "data lost"),
        ({}, {"redis": {"storage": "10Gi"}}, "redis.storage", "data lost"),
        ({}, {"kafka": {"controllers": 5}}, "kafka.controllers", "data lost"),
        ({}, {"kafka": {"topics": {"tasks": {"partitions": 10}}}}, "kafka.topics.tasks.partitions", "data lost"),
        ({}, {"kafka": {"topics": {"tasks": {"retention": "1d"}}}}, "kafka.topics.tasks.retention", "data lost"),
        ({}, {"redis": {"backup": {"keep": 3}}}, "redis.backup.keep", "data lost"),
        (
            {},
            {"observability": {"prometheus": {"retention": "7d"}}},
            "observability.prometheus.retention",
            "data lost",
        ),
        (
            {},
            {"observability": {"prometheus": {"retentionSize": "30Gi"}}},
            "observability.prometheus.retentionSize",
            "data lost",
        ),
        ({}, {"kafka": {"tls": {"clusterIssuer": "internal"}}}, "kafka.tls", "downtime"),
    ],
)
def test_settings_that_lose_something_need_an_approval(
    settings: dict[str, Any], changed: dict[str, Any], resource: str, severity: str
) -> None:
    before, after = revision("prod", settings), revision("prod", changed)
    assert needed(before, after) == {resource}
    destroyed = found(before, after)[resource]
    assert destroyed.severity == severity
    assert not destroyed.approved
    assert destroyed.way


def test_a_change_that_the_engine_refuses_says_so_until_it_is_accepted() -> None:
    before = revision("prod", {"redis": {"shards": 4}})
    destroyed = found(before, revision("prod"))["redis.shards"]
    assert destroyed.consequence.startswith("the engine refuses it before anything changes: ")
    assert destroyed.way.endswith("then add 'redis.shards: 4 -> 3' to platform.safeguards.accept")
    accept = {"platform": {"safeguards": {"accept": ["redis.shards: 4 -> 3"]}}}
    destroyed = found(before, revision("prod", accept))["redis.shards"]
    assert destroyed.approved
    assert "refuses" not in destroyed.consequence
    # What cannot be prepared stays refused by the engine, whatever anybody writes.
    accept = {"kafka": {"controllers": 5}, "platform": {"safeguards": {"accept": ["kafka.controllers: 3 -> 5"]}}}
    assert not found(revision("prod"), revision("prod", accept))["kafka.controllers"].approved


REDIS = "StatefulSet/data/redis"


def _pods(changed: dict[str, Any]) -> dict[str, Any]:
    """The Redis pods as a change of the program would make them, each container with `changed`."""
    old = next(known for known in revision("prod").objects.values() if known.title == REDIS)
    containers = [{**one, **changed} for one in old.manifest["spec"]["template"]["spec"]["containers"]]
    return {"spec": {"template": {"spec": {"containers": containers}}}}


@pytest.mark.parametrize(
    ("changed", "field", "consequence"),
    [
        ({"manifest": {"spec": {"replicas": 1}}}, "spec.replicas", "whatever they hold; their claims stay"),
        # What the engine ignores of an object says nothing of the rest.
        (
            {"manifest": {"spec": {"replicas": 0}}, "ignored": ("spec.volumeClaimTemplates",)},
            "spec.replicas",
            "whatever they hold",
        ),
        (
            {
                "manifest": {
                    "spec": {"replicas": 3, "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}},
                }
            },
            "spec.replicas",
            "their claims are deleted",
        ),
        (
            {"manifest": {"spec": {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}}}},
            "spec.persistentVolumeClaimRetentionPolicy.whenScaled",
            "from then on",
        ),
        ({"manifest": _pods({"volumeMounts": []})}, "redis at /data", "without what is on the claim"),
        ({"manifest": _pods({"volumeMounts": [], "name": "new"})}, "redis at /data", "without what is on the claim"),
        (
            {"manifest": {"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}, "replaced": ("*",)},
            "spec.template.metadata.labels.a",
            "the engine refuses to replace what is protected",
        ),
        (
            {
                "manifest": {"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}},
                "replaced": ("spec.template.metadata[*]",),
            },
            "spec.template.metadata.labels.a",
            "the engine refuses to replace what is protected",
        ),
        ({"provider": ""}, "provider", "the engine refuses to replace what is protected"),
    ],
)
def test_what_a_program_does_to_data_behind_the_settings(changed: dict[str, Any], field: str, consequence: str) -> None:
    before = revision("prod")
    named = [
        destroyed
        for destroyed in destructive_changes(before, edited(before, REDIS, **changed), today=TODAY)
        if destroyed.resource == REDIS
    ]
    [destroyed] = [destroyed for destroyed in named if field in [field.path for field in destroyed.what]]
    assert consequence in destroyed.consequence
    assert destroyed.needs_approval
    assert not destroyed.approved


def test_a_database_that_an_operator_runs_is_data() -> None:
    metadata = {"name": "db", "namespace": "data"}
    asked = {"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "metadata": metadata, "spec": {"instances": 3}}
    for content, lost in (({**asked, "spec": {"storage": {"size": "1Gi"}}}, {"Cluster/data/db"}), (asked, set())):
        database = Object(content)
        before = replace(revision("dev"), objects={database.key: database})
        assert needed(before, replace(before, objects={})) == lost


def test_options_that_do_not_concern_a_change_replace_nothing() -> None:
    before = revision("prod")
    labels = {"manifest": {"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}}
    assert found(before, edited(before, REDIS, **labels, replaced=("spec.template.spec.containers[0].image",))) == {}


def test_another_context_is_named_and_a_changed_one_needs_an_approval() -> None:
    one, other = (revision("prod", {"platform": {"kubeContext": name}}) for name in ("one", "other"))
    assert "if that is another cluster" in found(one, other)["kubernetes/cluster"].consequence
    assert needed(one, other) == {"kubernetes/cluster"}
    assert needed(one, revision("prod")) == {"kubernetes/cluster"}
    # To name it for the first time is what the documentation asks for; it is not passed over in silence.
    assert found(revision("prod"), one)["kubernetes/cluster"].severity == "downtime"
    assert needed(revision("prod"), one) == set()


def test_taking_the_protection_away_is_one_decision() -> None:
    before, after = revision("prod"), revision("prod", {"platform": {"safeguards": {"protectData": False}}})
    named = found(before, after)
    assert named.keys() == {"platform.safeguards.protectData"}
    destroyed = named["platform.safeguards.protectData"]
    assert destroyed.severity == "protection lost"
    assert "Namespace/agents" in destroyed.consequence


def test_every_section_that_is_named_exists() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "docs" / "data.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    source = "".join(file.read_text() for file in (ROOT / "agentstack" / "impact").glob("*.py"))
    used = {change.section for part in PARTS for change in part.changes}
    used |= set(re.findall(r'"((?:[a-z]+-){2,}[a-z]+)"', source))
    assert used - anchors == set()
    assert "approve-a-replacement" in anchors


# --- objects ---

REDIS = "StatefulSet/data/redis"
KEPT = {"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain"}}}


@pytest.mark.parametrize(
    ("title", "manifest", "severity", "words"),
    [
        (REDIS, {"spec": {"serviceName": "other"}}, "downtime", "the claims stay as they are"),
        (REDIS, {"spec": {"podManagementPolicy": "OrderedReady"}}, "downtime", "none runs meanwhile"),
        (REDIS, {"spec": {"selector": {"matchLabels": {"app": "x"}}}}, "downtime", "none runs meanwhile"),
        (REDIS, {"metadata": {"name": "redis-2"}}, "data lost", "new, empty claims"),
        ("Service/data/redis-headless", {"spec": {"clusterIP": None}}, "downtime", "connections fail"),
        ("Namespace/data", {"metadata": {"name": "state"}}, "data lost", "claims included"),
        ("PersistentVolumeClaim/data/redis-backup", {"spec": {"storageClassName": "slow"}}, "data lost", "empty"),
        ("PersistentVolumeClaim/data/redis-backup", {"spec": {"accessModes": ["ReadWriteMany"]}}, "data lost", "empty"),
        ("PersistentVolumeClaim/data/redis-backup", {"metadata": {"name": "other"}}, "data lost", "empty"),
    ],
)
def test_replaced_objects_that_hold_data(title: str, manifest: dict[str, Any], severity: str, words: str) -> None:
    before = edited(revision("prod"), title, protected=False, retained=False)
    after = edited(before, title, manifest=manifest)
    destroyed = found(before, after)[title]
    assert (destroyed.severity, destroyed.needs_approval) == (severity, True)
    assert words in destroyed.consequence
    # Where the engine protects it, nothing happens, which needs an approval all the same.
    guarded = edited(before, title, protected=True, retained=True)
    destroyed = found(guarded, edited(guarded, title, manifest=manifest))[title]
    assert destroyed.consequence.startswith("the engine refuses to replace what is protected")
    assert not destroyed.approved


def test_claims_that_go_with_their_statefulset_are_lost() -> None:
    before = revision("dev")
    after = edited(before, REDIS, manifest={"spec": {"serviceName": "other"}})
    destroyed = found(before, after)[REDIS]
    assert destroyed.severity == "data lost"
    assert "`whenDeleted: Delete`" in destroyed.consequence
    destroyed = found(before, without(before, REDIS))[REDIS]
    assert destroyed.severity == "data lost"
    kept = edited(before, REDIS, manifest=KEPT)
    assert "its claims stay" in found(kept, without(kept, REDIS))[REDIS].consequence


def test_claim_templates_count_unless_the_engine_passes_over_them() -> None:
    before = revision("prod")
    (template,) = before.objects["StatefulSet", "data", "redis"].manifest["spec"]["volumeClaimTemplates"]
    larger = {
        "spec": {"volumeClaimTemplates": [{**template, "spec": {**template["spec"], "storageClassName": "slow"}}]}
    }
    assert found(before, edited(before, REDIS, manifest=larger)) == {}
    bare = edited(before, REDIS, ignored=())
    destroyed = found(bare, edited(bare, REDIS, manifest=larger))[REDIS]
    assert [field.path for field in destroyed.what] == ["spec.volumeClaimTemplates[data].spec.storageClassName"]
    renamed = {"spec": {"volumeClaimTemplates": [{**template, "metadata": {"name": "disk"}}]}}
    free = edited(bare, REDIS, protected=False, retained=False)
    assert "new, empty claims" in found(free, edited(free, REDIS, manifest=renamed))[REDIS].consequence


@pytest.mark.parametrize(
    ("title", "manifest", "severity"),
    [
        ("Deployment/agents/executor", {"spec": {"selector": {"matchLabels": {"app": "x"}}}}, "downtime"),
        ("Deployment/agents/executor", {"metadata": {"name": "other"}}, "harmless"),
        ("DaemonSet/collectors/node-exporter", {"spec": {"selector": {"matchLabels": {"app": "x"}}}}, "downtime"),
        ("Service/agents/executor", {"spec": {"clusterIP": "10.0.0.1"}}, "downtime"),
        ("ConfigMap/agents/executor", {"metadata": {"name": "other"}}, "harmless"),
        ("ConfigMap/agents/executor", {"immutable": True, "data": {"LOG_LEVEL": "debug"}}, "harmless"),
        ("ClusterRoleBinding/agentstack-observability-prometheus-nodes", {"roleRef": {"name": "other"}}, "harmless"),
    ],
)
def test_what_holds_no_data_is_replaced_without_an_approval(
    title: str, manifest: dict[str, Any], severity: str
) -> None:
    before = revision("prod")
    title = next(known.title for known in before.objects.values() if known.title.startswith(title))
    destroyed = found(before, edited(before, title, manifest=manifest))[title]
    assert (destroyed.severity, destroyed.needs_approval) == (severity, False)


def test_a_configmap_is_replaced_where_the_provider_is_not_told_otherwise() -> None:
    before = revision("prod")
    after = edited(before, "ConfigMap/agents/executor", manifest={"data": {"LOG_LEVEL": "debug"}})
    assert found(before, after) == {}
    provider = next(known for known in after.resources if known.type == "pulumi:providers:kubernetes")
    plain = replace(provider, inputs={"clusterIdentifier": "prod"})
    others = tuple(plain if known is provider else known for known in after.resources)
    assert found(before, replace(after, resources=others)).keys() == {"ConfigMap/agents/executor"}


def test_a_claim_that_shrinks_is_refused_by_the_api_server() -> None:
    title = "PersistentVolumeClaim/data/redis-backup"
    destroyed = found(revision("prod"), revision("prod", {"redis": {"backup": {"claim": {"storage": "32Gi"}}}}))[title]
    assert (destroyed.severity, destroyed.needs_approval) == ("refused", False)
    assert [(field.before, field.after) for field in destroyed.what] == [("64Gi", "32Gi")]


def test_another_autoscaler_is_another_object_of_the_same_resource() -> None:
    named = found(revision("prod"), revision("prod", *CALM["a queue"][1:]))
    assert named.keys() == {"HorizontalPodAutoscaler/agents/executor"}
    assert [change.path for change in named["HorizontalPodAutoscaler/agents/executor"].what] == ["kind"]


def test_an_object_of_another_urn_needs_an_alias() -> None:
    before = revision("prod")
    urn = before.objects["StatefulSet", "data", "redis"].urn
    moved = edited(before, REDIS, urn=urn + "-2")
    destroyed = found(before, moved)[REDIS]
    assert destroyed.needs_approval
    assert "alias" in destroyed.way
    assert found(before, edited(moved, REDIS, aliases=(urn,))) == {}
    dev = revision("dev")
    destroyed = found(dev, edited(dev, REDIS, urn=urn + "-2"))[REDIS]
    assert "already exists" in destroyed.consequence
    title = "ConfigMap/agents/executor"
    destroyed = found(before, edited(before, title, urn=urn + "-3"))[title]
    assert (destroyed.severity, destroyed.needs_approval) == ("refused", False)


def test_removed_objects_that_hold_data_or_keep_it() -> None:
    before = revision("prod")
    policy = "ValidatingAdmissionPolicyBinding/agentstack-keep-data"
    for title, severity in {
        REDIS: "downtime",
        "Namespace/data": "data lost",
        "PersistentVolumeClaim/data/redis-backup": "data lost",
        "Service/data/redis": "downtime",
        "PodDisruptionBudget/data/redis": "protection lost",
        policy: "protection lost",
    }.items():
        destroyed = found(before, without(before, title))[title]
        assert (destroyed.severity, destroyed.needs_approval) == (severity, True), title
    assert found(before, without(before, "PodDisruptionBudget/agents/executor", "NetworkPolicy/data/redis")) == {}


def test_what_is_retained_stays_in_the_cluster() -> None:
    before = edited(revision("prod"), REDIS, protected=False)
    destroyed = found(before, without(before, REDIS))[REDIS]
    assert (destroyed.severity, destroyed.needs_approval) == ("harmless", False)
    assert "it stays in the cluster" in destroyed.consequence
    destroyed = found(before, edited(before, REDIS, manifest={"spec": {"serviceName": "other"}}))[REDIS]
    assert "already exists" in destroyed.consequence
    assert destroyed.needs_approval


def test_one_object_that_loses_its_protection() -> None:
    before = revision("prod")
    named = found(before, edited(before, REDIS, protected=False, manifest={"spec": {
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"},
    }}))  # fmt: skip
    assert (named[REDIS].severity, named[REDIS].needs_approval) == ("protection lost", True)
    assert [change.path for change in named[REDIS].what] == [
        "protect",
        "spec.persistentVolumeClaimRetentionPolicy.whenDeleted",
    ]


def test_a_model_server_can_be_downloaded_again() -> None:
    before = revision("everything")
    server = "StatefulSet/agents/vllm"
    assert not found(before, without(before, server))[server].needs_approval
    after = edited(before, server, manifest={"spec": {"serviceName": "other"}})
    assert (found(before, after)[server].severity, needed(before, after)) == ("downtime", set())


def test_a_revision_without_urns_is_compared_by_names() -> None:
    old = revision("prod", {"redis": {"shards": 4}})
    bare = replace(old, resources=(), objects={
        key: replace(known, urn="", aliases=(), protected=False, retained=False) for key, known in old.objects.items()
    })  # fmt: skip
    named = found(bare, revision("prod"))
    assert {name for name, destroyed in named.items() if destroyed.needs_approval} == {"redis.shards"}


# --- random values and the provider ---


def test_a_base_that_is_too_old_says_what_is_not_judged() -> None:
    known = revision("dev")
    said = known.summary.model_fields_set - {"facts"}
    old = replace(known, summary=Summary(**{name: getattr(known.summary, name) for name in said}))
    assert unjudged(known) == []
    assert unjudged(replace(old, objects={})) == []  # a new environment
    assert "shards" in unjudged(old)[0]


def changed_resource(snapshot: Snapshot, name: str, **known: Any) -> Snapshot:
    resources = [replace(one, **known) if one.name == name else one for one in snapshot.resources]
    assert resources != list(snapshot.resources)
    return replace(snapshot, resources=tuple(resources))


def test_random_values_that_are_recreated() -> None:
    before = revision("prod")
    for name, severity, asked in (
        ("kafka-cluster-id", "data lost", True),
        ("redis-_operator", "downtime", True),
        ("redis-ingestion", "downtime", False),
    ):
        longer = changed_resource(before, name, inputs={"length": 40})
        (lost,) = found(before, longer).values()
        assert (lost.resource.partition("/")[2], lost.severity, lost.needs_approval) == (
            name,
            severity,
            asked,
        )
        gone = replace(before, resources=tuple(one for one in before.resources if one.name != name))
        assert bool(found(before, gone)) == asked
        urn = next(one.urn for one in before.resources if one.name == name)
        assert found(before, changed_resource(before, name, urn="urn:other", aliases=(urn,))) == {}
    cluster_id = changed_resource(revision("dev"), "kafka-cluster-id", inputs={"byteLength": 8})
    assert needed(revision("dev"), cluster_id) == {"RandomId/kafka-cluster-id"}


def test_another_cluster_is_another_everything() -> None:
    before = revision("prod")
    after = changed_resource(before, "cluster", inputs={"clusterIdentifier": "other"})
    assert needed(before, after) == {"kubernetes/cluster"}
    assert found(before, changed_resource(before, "cluster", inputs={"context": "x"})) == {}


# --- approvals ---


def test_approvals_are_by_name_and_end_on_their_day() -> None:
    before = revision("prod", {"redis": {"shards": 4}})
    after = revision("prod", allowing("redis.shards"))
    for today, approved in ((date(2026, 12, 1), True), (date(2026, 12, 2), False)):
        destroyed = found(before, after, today)["redis.shards"]
        assert destroyed.approved == approved
        assert "2026-12-01: the data is in a backup" in (destroyed.approval if approved else destroyed.expired)
    other = revision("prod", allowing("redis.shard", "StatefulSet/data/redis"))
    assert not found(before, other)["redis.shards"].approved


def test_the_last_approval_counts() -> None:
    before = revision("prod", {"redis": {"shards": 4}})
    entries = [*allowing("redis.shards", until="2026-01-01")["platform"]["safeguards"]["approvedReplacements"],
               *allowing("redis.shards")["platform"]["safeguards"]["approvedReplacements"]]  # fmt: skip
    after = revision("prod", {"platform": {"safeguards": {"approvedReplacements": entries}}})
    destroyed = found(before, after)["redis.shards"]
    assert destroyed.approved
    assert destroyed.expired == ""


def test_approvals_that_approve_nothing_are_named() -> None:
    before = revision("prod", {"redis": {"shards": 4}})
    settings = allowing("redis.shard", "redis.shards")
    settings["platform"]["safeguards"]["accept"] = ["redis.shards: 8 -> 7"]
    after = revision("prod", settings)
    lines = unused(destructive_changes(before, after, today=TODAY), before, after)
    assert len(lines) == 2
    assert "`redis.shard` is destroyed, did you mean `redis.shards`?" in lines[0]
    assert "`redis.shards: 8 -> 7` is none of this change" in lines[1]
    assert unused([], after, after)[1].endswith("nothing of `redis.shards` is destroyed: remove it")


# --- what is said ---


def test_the_section() -> None:
    before = revision("prod", {"redis": {"shards": 4}})
    named = destructive_changes(before, revision("prod", {"kafka": {"topics": {"new": {}}}}), today=TODAY)
    said = section(named, ["an approval is unused"])
    assert said.mark == "bad"
    table, missing, entries, stale, fold = said.blocks
    assert isinstance(table, Table)
    (row,) = table.rows
    assert row[:2] == ("data lost", (Code("redis.shards: 4 -> 3"),))
    assert row[-1] == "missing"
    assert isinstance(missing, Lines)
    assert missing.mark == "bad"
    assert entries == Fenced('- "redis.shards: 4 -> 3"', "yaml")
    assert stale == Lines(("an approval is unused",), "warn")
    assert isinstance(fold, Fold)
    assert fold.title == "1 harmless replacement"
    approved = destructive_changes(before, revision("prod", allowing("redis.shards")), today=TODAY)
    assert section(approved).mark == "warn"
    assert section([]).mark == "good"


def test_what_approves_a_change_is_what_lets_it_through() -> None:
    """By the engine, which knows `accept` alone; what it does not refuse, or never lets through, is for a person."""
    topics = {"topics": {"events": {"partitions": 6, "retention": "1d"}}}
    after = revision("prod", {"redis": {"storage": "10Gi"}, "kafka": topics})
    blocks = section(destructive_changes(revision("prod"), after, today=TODAY)).blocks
    assert [block.text for block in blocks if isinstance(block, Fenced)] == [
        '- "redis.storage: 20Gi -> 10Gi"',
        '- {resource: "kafka.topics.events.partitions", until: YYYY-MM-DD, reason: ...}\n'
        '- {resource: "kafka.topics.events.retention", until: YYYY-MM-DD, reason: ...}',
    ]
    places = [block.items[0][1] for block in blocks if isinstance(block, Lines)]
    assert places == [Code("platform.safeguards.accept"), Code("platform.safeguards.approvedReplacements")]


def test_what_differs_in_the_object_alone_is_said_once() -> None:
    before = revision("prod")
    after = revision("prod", {"namespaces": {"agents": {"name": "ai-agents"}}})
    named = destructive_changes(before, after, today=TODAY)
    table, *_, fold = section(named).blocks
    assert isinstance(table, Table)
    assert isinstance(fold, Fold)
    serious = [destroyed for destroyed in named if destroyed.severity != "harmless"]
    services = [destroyed.resource for destroyed in serious if destroyed.resource.startswith("Service/")]
    (row,) = (row for row in table.rows if Code(services[0]) in row[1])
    assert [part.text for part in row[1] if isinstance(part, Code)] == [
        *services,
        "metadata.namespace: agents -> ai-agents",
    ]
    (inside,) = fold.blocks
    assert isinstance(inside, Table)
    assert fold.title == f"{len(named) - len(serious)} harmless replacements"
    assert len(inside.rows) < 6


def test_objects_are_named_with_their_fields_and_code_is_code() -> None:
    before = edited(revision("prod"), REDIS, protected=False)
    after = edited(before, REDIS, manifest={"spec": {"serviceName": "other"}})
    (table, *_) = section(destructive_changes(before, after, today=TODAY)).blocks
    assert isinstance(table, Table)
    ((_, change, happens, _),) = table.rows
    assert change == (Code(REDIS), ": ", Code("spec.serviceName: redis-headless -> other"))
    assert Code("retainOnDelete") in parts(happens)
    (table, *_) = section(destructive_changes(before, without(before, "Namespace/data"), today=TODAY)).blocks
    assert isinstance(table, Table)
    assert table.rows[0][1] == (Code("Namespace/data"), " is removed")


def test_json_has_every_key_and_no_placeholder() -> None:
    before = revision("dev")
    (title,) = (known.title for known in before.objects.values() if known.title == "Service/data/redis-headless")
    named = destructive_changes(before, edited(before, title, manifest={"spec": {"clusterIP": None}}), today=TODAY)
    (entry,) = [json.loads(each.text()) for each in published(named)]
    assert entry["change"] == [{"path": "spec.clusterIP", "before": "None", "after": None}]
    assert (entry["resource"], entry["severity"], entry["needsApproval"], entry["approved"]) == (
        title,
        "downtime",
        True,
        False,
    )
