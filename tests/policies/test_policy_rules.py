import copy
import json
import re
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy_baseline import DELETE, baseline, changed, manifest
from policy_rows import FIRES as MORE_FIRES
from policy_rows import SILENT as MORE_SILENT

from manifests.fields import UNKNOWN, keys_of_path, path_to
from policies.model import manifest_rule, stack_rule
from policies.rules import RULES, Finding, Rule, Violation, evaluate

POD = "spec.template.spec"
API = f"{POD}.containers[0]"
CRON = "spec.jobTemplate.spec.template.spec.containers[0]"
CANARY = "c4n4ry-v4lue"

ALLOW_ALL = manifest(
    "networking.k8s.io/v1",
    "NetworkPolicy",
    "agents",
    "open",
    spec={"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
)
SCALED_OBJECT = manifest(
    "keda.sh/v1alpha1", "ScaledObject", "agents", "db", spec={"scaleTargetRef": {"kind": "StatefulSet", "name": "db"}}
)


BESIDE = {
    *("namespace-quota", "namespace-limit-range", "namespace-default-deny", "pdb-exists", "quorum-budget"),
    *("single-replicas-owner", "redis-cluster-bus", "flows-allowed"),
}
"""Rules of which the mistake may be beside the object: then no field of it is the place."""

OTHER_FIELD = {"requests-within-limits", "stop-within-grace", "service-selects-pods", "kafka-replication"}
"""Rules that compare two fields, and whose remedy is to change the other one than that of the row."""

CONFIGURED = {"image-registry", "monthly-budget"}
"""Rules that find nothing without a configuration: they have tests of their own."""

Change = tuple[str, str, Any]


def pod(path: str, value: Any) -> Change:
    return ("Deployment/api", f"{POD}.{path}", value)


def main(path: str, value: Any) -> Change:
    return pod(f"containers[0].{path}", value)


def env(name: str, value: Any) -> Change:
    return main("env[0]", {"name": name, "value": value})


def expressions(*parts: tuple[str, str, list[str]]) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": op, "values": values} for key, op, values in parts]}


def service(path: str, value: Any) -> Change:
    return ("Service/api", path, value)


def api_budget(path: str, value: Any) -> Change:
    return ("PodDisruptionBudget/api", f"spec.{path}", value)


def db_budget(path: str, value: Any) -> Change:
    return ("PodDisruptionBudget/db", f"spec.{path}", value)


def hpa(path: str, value: Any) -> Change:
    return ("HorizontalPodAutoscaler/api", f"spec.{path}", value)


def deny(path: str, value: Any) -> Change:
    return ("NetworkPolicy/default-deny", f"spec.{path}", value)


def enforce(level: Any) -> Change:
    return ("Namespace/agents", 'metadata.labels."pod-security.kubernetes.io/enforce"', level)


def container_metric(container: str) -> list[dict[str, Any]]:
    source = {"name": "cpu", "container": container, "target": {"type": "Utilization"}}
    return [{"type": "ContainerResource", "containerResource": source}]


# rule, the object it names, what to change in the baseline, a part of the message
FIRES: list[tuple[str, str, list[Change], str]] = [
    ("no-privileged-container", "api", [main("securityContext.privileged", True)], 'container "api"'),
    (
        "no-privileged-container",
        "node",
        [("DaemonSet/node", f"{API}.securityContext.privileged", True)],
        "owns the node",
    ),
    ("no-privilege-escalation", "api", [main("securityContext.allowPrivilegeEscalation", DELETE)], "setuid"),
    (
        "no-privilege-escalation",
        "nightly",
        [("CronJob/nightly", f"{CRON}.securityContext.allowPrivilegeEscalation", True)],
        "",
    ),
    ("run-as-non-root", "api", [pod("securityContext.runAsNonRoot", DELETE)], "runAsNonRoot: true"),
    ("run-as-non-root", "api", [main("securityContext.runAsNonRoot", False)], "may run as root"),
    ("run-as-non-root", "api", [main("securityContext.runAsUser", 0)], "runs as root"),
    ("run-as-non-root", "node", [("DaemonSet/node", f"{POD}.securityContext.runAsUser", 0)], "runs as root"),
    ("run-as-non-root", "api", [pod("initContainers[0].securityContext.runAsUser", 0)], '"migrate"'),
    ("drop-all-capabilities", "api", [main("securityContext.capabilities", DELETE)], "drop: [ALL]"),
    ("drop-all-capabilities", "api", [main("securityContext.capabilities.drop", ["NET_RAW"])], "drop: [ALL]"),
    ("drop-all-capabilities", "api", [main("securityContext.capabilities.add", ["SYS_ADMIN"])], "SYS_ADMIN"),
    ("seccomp-profile", "api", [pod("securityContext.seccompProfile", DELETE)], "RuntimeDefault"),
    ("seccomp-profile", "api", [main("securityContext.seccompProfile.type", "Unconfined")], "system call"),
    ("read-only-root-filesystem", "api", [main("securityContext.readOnlyRootFilesystem", False)], "emptyDir"),
    (
        "read-only-root-filesystem",
        "once",
        [("Job/once", f"{API}.securityContext.readOnlyRootFilesystem", DELETE)],
        "emptyDir",
    ),
    ("no-secret-in-plain-env", "api", [env("OPENAI_API_KEY", CANARY)], "OPENAI_API_KEY by its name"),
    ("no-secret-in-plain-env", "api", [env("GITHUB_TOKEN", CANARY)], "GITHUB_TOKEN"),
    ("no-secret-in-plain-env", "api", [env("db_password", CANARY)], "secretKeyRef"),
    ("no-secret-in-plain-env", "api", [env("PASSWORD_OF_ADMIN", 12345)], "PASSWORD_OF_ADMIN"),
    ("no-secret-in-plain-env", "api", [env("CLIENT_SECRET", CANARY)], "CLIENT_SECRET"),
    ("no-secret-in-plain-env", "api", [env("AWS_CREDENTIALS", CANARY)], "AWS_CREDENTIALS"),
    ("no-secret-in-plain-env", "api", [env("DATABASE_URL", f"postgres://u:{CANARY}@db/x")], "DATABASE_URL has a value"),
    ("no-secret-in-plain-env", "api", [env("MYSQL_PWD", CANARY)], "MYSQL_PWD by its name"),
    ("no-secret-in-plain-env", "api", [env("DB_PASS", CANARY)], "DB_PASS by its name"),
    ("no-secret-in-plain-env", "api", [env("HEADER", f"Bearer {CANARY}0123456789abcdef")], "looks like a secret"),
    ("no-secret-in-plain-env", "api", [env("BLOB", f"https://h/c?se=1&sig={CANARY}")], "looks like a secret"),
    (
        "no-secret-in-plain-env",
        "api",
        [env("LOGIN", f'{{"user": "a", "password": "{CANARY}"}}')],
        "looks like a secret",
    ),
    ("no-secret-in-plain-env", "api", [env("SEED", f"redis://:{CANARY}$(SALT)@h")], "looks like a secret"),
    ("no-secret-in-plain-env", "api", [env("SEEDS", f"a://h,redis://:{CANARY}@h")], "looks like a secret"),
    ("no-secret-in-plain-env", "api", [env("JDBC", f"jdbc:x://h/d?user=u&password={CANARY}")], "looks like a secret"),
    *(
        ("no-secret-in-plain-env", "api", [main("args", [*before, argument])], f"args[{len(before)}] holds what")
        for before, argument in (
            ([], f"--password={CANARY}"),
            ([], f"--api-key={CANARY}"),
            (["--verbose"], f"--token={CANARY}"),
            ([], f"--client_secret={CANARY}"),
            ([], f"run --auth-token '{CANARY}'"),
            (["--db-password"], CANARY),
        )
    ),
    ("no-secret-in-plain-env", "api", [env("MODEL", f"sk-proj-{CANARY * 2}")], "looks like a secret"),
    ("no-secret-in-plain-env", "api", [env("MODEL", "ghp_" + "a1" * 18)], "looks like a secret"),
    ("no-secret-in-plain-env", "api", [env("MODEL", "AKIA" + "A1" * 8)], "looks like a secret"),
    ("no-secret-in-plain-env", "api", [env("PEM", "-----BEGIN RSA PRIVATE KEY-----")], "looks like a secret"),
    ("no-secret-in-plain-env", "api", [main("args", ["--key", "ghp_" + "a1" * 18])], "args[1] holds what looks like"),
    ("image-tag", "api", [main("image", "nginx")], '"nginx"'),
    ("image-tag", "api", [main("image", "localhost:5000/nginx")], "localhost:5000/nginx"),
    ("image-tag", "api", [main("image", "nginx:latest")], "1.2.3"),
    ("image-tag", "api", [main("image", DELETE)], "has no image"),
    (
        "resource-requests",
        "lone",
        [("Pod/lone", "spec.containers[0].resources", {"limits": {"memory": "1Gi"}})],
        "requests no cpu",
    ),
    ("resource-requests", "once", [("Job/once", f"{API}.resources", {})], "requests no memory"),
    ("memory-limit", "api", [main("resources.limits.memory", DELETE)], "resources.limits.memory"),
    ("cpu-limit", "api", [main("resources.limits.cpu", DELETE)], "resources.limits.cpu"),
    ("readiness-probe", "api", [main("readinessProbe", DELETE)], 'container "api"'),
    ("readiness-probe", "api", [pod("initContainers[1].readinessProbe", DELETE)], '"proxy"'),
    ("readiness-probe", "lone", [("Pod/lone", "spec.containers[0].readinessProbe", DELETE)], "as soon as it starts"),
    ("liveness-probe", "node", [("DaemonSet/node", f"{API}.livenessProbe", DELETE)], "hangs"),
    ("namespace-quota", "agents", [("ResourceQuota/quota", "spec.hard", {})], "spec.hard"),
    ("namespace-quota", "collectors", [("ResourceQuota/quota", "", DELETE)], '"collectors"'),
    ("namespace-limit-range", "agents", [("LimitRange/limits", "", DELETE)], "LimitRange"),
    ("namespace-default-deny", "agents", [("NetworkPolicy/default-deny", "", DELETE)], "all ingress traffic"),
    ("namespace-default-deny", "agents", [deny("policyTypes", ["Ingress"])], "all egress traffic"),
    ("namespace-default-deny", "agents", [deny("podSelector.matchLabels", {"app": "api"})], "podSelector: {}"),
    ("namespace-default-deny", "agents", [deny("ingress", [{}])], '"default-deny" allows'),
    ("namespace-default-deny", "agents", [deny("egress", [{"to": []}])], "all egress traffic"),
    ("namespace-pod-security", "agents", [("Namespace/agents", "metadata.labels", DELETE)], "enforce"),
    ("namespace-pod-security", "agents", [enforce("strict")], "baseline"),
    ("namespace-pod-security", "agents", [("Namespace/agents", "", DELETE)], "in this stack"),
    ("service-selects-pods", "api", [service("spec.selector.tier", "web")], "connections are refused"),
    ("service-selects-pods", "api", [service("metadata.namespace", "collectors")], "no pod of this namespace"),
    ("pdb-selects-pods", "db", [db_budget("selector.matchLabels.app", "gone")], "protects nothing"),
    ("pdb-selects-pods", "db", [db_budget("selector", DELETE)], "protects nothing"),
    ("pdb-selects-pods", "db", [db_budget("selector", expressions(("app", "DoesNotExist", [])))], ""),
    (
        "pdb-selects-pods",
        "db",
        [db_budget("selector", expressions(("app", "NotIn", ["db", "api", "report", "lone"])))],
        "",
    ),
    ("pdb-allows-drain", "db", [db_budget("maxUnavailable", 0)], "every eviction"),
    ("pdb-allows-drain", "db", [db_budget("maxUnavailable", "0%")], "maxUnavailable: 1"),
    ("pdb-allows-drain", "db", [db_budget("maxUnavailable", DELETE), db_budget("minAvailable", 3)], "run 3 pods"),
    ("pdb-allows-drain", "api", [api_budget("minAvailable", 2)], "run 2 pods"),
    ("pdb-allows-drain", "api", [api_budget("minAvailable", "51%")], "51%"),
    ("pdb-allows-drain", "api", [hpa("minReplicas", DELETE)], "run 1 pod"),
    ("pdb-allows-drain", "api", [hpa("minReplicas", 0)], "run 1 pod"),
    ("hpa-target-requests", "api", [hpa("scaleTargetRef.name", "gone")], '"gone"'),
    ("hpa-target-requests", "api", [hpa("metrics", container_metric("gone"))], 'container "gone"'),
    ("single-replicas-owner", "api", [("Deployment/api", "spec.replicas", 2)], "remove spec.replicas"),
    *MORE_FIRES,
]

# What must not set off a rule, beyond the baseline.
SILENT: list[tuple[str, list[Change]]] = [
    ("no-privileged-container", [main("securityContext.privileged", False)]),
    ("no-privilege-escalation", [pod("securityContext.fsGroup", 1000)]),
    (
        "run-as-non-root",
        [
            pod("securityContext.runAsUser", 0),
            main("securityContext.runAsUser", 5),
            pod("containers[1].securityContext.runAsUser", 5),
            pod("initContainers[0].securityContext.runAsUser", 5),
            pod("initContainers[1].securityContext.runAsUser", 5),
        ],
    ),
    ("run-as-non-root", [pod("securityContext.runAsUser", DELETE)]),
    ("drop-all-capabilities", [main("securityContext.capabilities.add", ["NET_BIND_SERVICE"])]),
    ("seccomp-profile", [main("securityContext.seccompProfile", {"type": "Localhost", "localhostProfile": "p"})]),
    ("read-only-root-filesystem", [pod("volumes", [{"name": "tmp", "emptyDir": {}}])]),
    ("no-secret-in-plain-env", [env("API_KEY", "")]),
    ("no-secret-in-plain-env", [env("API_KEY", "$(OTHER)")]),
    ("no-secret-in-plain-env", [env("SECRET_ROTATION", "true")]),
    ("no-secret-in-plain-env", [env("SECRET_NAME", "redis")]),
    ("no-secret-in-plain-env", [env("SIGNING_PUBLIC_KEY", "abc")]),
    ("no-secret-in-plain-env", [env("MAX_TOKENS", "4096")]),
    ("no-secret-in-plain-env", [env("KEYBOARD", "qwerty")]),
    ("no-secret-in-plain-env", [env("URL", "https://host:8443/path?x=a@b")]),
    ("no-secret-in-plain-env", [env("URL", "redis://user@host")]),
    ("no-secret-in-plain-env", [env("URL", "redis://:${PW}@host")]),
    ("no-secret-in-plain-env", [env("MODEL", "task-sk-1")]),
    ("no-secret-in-plain-env", [main("args", ["--password", "$(PASSWORD)", "--url=redis://:$(PASSWORD)@h"])]),
    (
        "no-secret-in-plain-env",
        [main("args", ["--token=$(TOKEN)", "--password", "--eos-token=</s>", "--secret=false"])],
    ),
    ("no-secret-in-plain-env", [main("args", ["--max-tokens=9", "--token-file=/t", "--api-key-name", "x"])]),
    ("image-tag", [main("image", "nginx@sha256:" + "0" * 64)]),
    ("image-tag", [main("image", "nginx:latest@sha256:" + "0" * 64)]),
    ("image-tag", [main("image", "nginx:latest-alpine")]),
    ("resource-requests", [main("resources.requests", {})]),
    ("memory-limit", [main("resources.limits.memory", 268435456)]),
    ("cpu-limit", [main("resources.limits.cpu", 1)]),
    (
        "readiness-probe",
        [("Pod/lone", "spec.restartPolicy", "Never"), ("Pod/lone", "spec.containers[0].readinessProbe", DELETE)],
    ),
    (
        "liveness-probe",
        [("Pod/lone", "spec.restartPolicy", "OnFailure"), ("Pod/lone", "spec.containers[0].livenessProbe", DELETE)],
    ),
    ("namespace-quota", [("Deployment/api", "metadata.labels", {"team": "a"})]),
    ("namespace-limit-range", [("LimitRange/limits", "spec.limits[0].type", "Pod")]),
    ("namespace-default-deny", [deny("policyTypes", DELETE)]),
    ("namespace-default-deny", [deny("ingress", [{"from": [{"podSelector": {}}]}])]),
    ("namespace-pod-security", [enforce("baseline")]),
    ("service-selects-pods", [service("spec.selector", DELETE)]),
    ("service-selects-pods", [service("spec", {"type": "ExternalName", "selector": {"a": "b"}})]),
    ("service-selects-pods", [service("apiVersion", "serving.knative.dev/v1"), service("spec.selector.app", "gone")]),
    ("pdb-selects-pods", [db_budget("selector", {})]),
    ("pdb-selects-pods", [db_budget("selector", expressions(("app", "In", ["db"]), ("version", "Exists", [])))]),
    ("pdb-allows-drain", [db_budget("maxUnavailable", "1%")]),
    ("pdb-allows-drain", [api_budget("minAvailable", 1)]),
    ("pdb-allows-drain", [("StatefulSet/db", "spec.replicas", 0), db_budget("minAvailable", 1)]),
    ("hpa-target-requests", [main("resources.requests.cpu", DELETE)]),
    ("hpa-target-requests", [pod("initContainers[0].resources", {})]),
    ("hpa-target-requests", [hpa("scaleTargetRef.kind", "Rollout")]),
    (
        "hpa-target-requests",
        [main("resources", {}), hpa("metrics[0].resource.target", {"type": "AverageValue", "averageValue": "1"})],
    ),
    ("single-replicas-owner", [("StatefulSet/db", "spec.replicas", 5)]),
    *MORE_SILENT,
]


def found(manifests: list[Any]) -> set[tuple[str, str]]:
    return {(v.rule, v.name) for v in evaluate(manifests)}


def test_the_baseline_is_clean():
    assert evaluate(baseline()) == []


def only(rule: str) -> list[Rule]:
    return [next(r for r in RULES if r.id == rule)]


@pytest.mark.parametrize(("rule", "name", "changes", "message"), FIRES)
def test_fires(rule, name, changes, message):
    violations = [v for v in evaluate(changed(*changes), only(rule)) if v.name == name]

    assert violations, "silent"
    assert {v.outcome for v in violations} == {"violation"}
    assert {v.severity for v in violations} == {only(rule)[0].severity}
    assert any(message in v.message for v in violations)
    for violation in violations:
        assert violation.what
        assert violation.remedy
        if violation.path:
            assert_is_place(violation.path, violation.subject)
        else:
            assert rule in BESIDE
    own = [path for target, path, _ in changes if target == f"{violations[0].kind}/{name}"]
    if len(own) == len(changes) and rule not in OTHER_FIELD:
        assert any(is_within(v.path, path) or is_within(path, v.path) for v in violations for path in own)


def is_within(path: str, other: str) -> bool:
    keys, others = keys_of_path(path), keys_of_path(other)
    return keys[: len(others)] == others


def assert_is_place(path: str, subject: Any) -> None:
    """A path leads to a field that is there, or to one that the remedy adds to a group that is there."""
    keys = keys_of_path(path)
    assert path_to("", *keys) == path
    reached = 0
    for key in keys:
        if isinstance(key, int):
            assert isinstance(subject, list), path
            assert key < len(subject), path
        elif not isinstance(subject, dict) or key not in subject:
            break
        subject = subject[key]
        reached += 1
    assert reached > 0, path
    assert all(isinstance(key, str) for key in keys[reached:]), "no element of a list is missing"
    assert reached == len(keys) or isinstance(subject, dict), path


@pytest.mark.parametrize(("rule", "changes"), SILENT)
def test_stays_silent(rule, changes):
    assert evaluate(changed(*changes), only(rule)) == []


def test_each_rule_has_both_kinds_of_test():
    ids = {rule.id for rule in RULES} - CONFIGURED
    assert {row[0] for row in FIRES} == ids
    assert {row[0] for row in SILENT} == ids


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([("Deployment/api", f"{API}.securityContext.privileged", True)], {("no-privileged-container", "api")}),
        ([("StatefulSet/db", f"{API}.image", "db")], {("image-tag", "db")}),
        ([("PodDisruptionBudget/db", "spec.maxUnavailable", 0)], {("pdb-allows-drain", "db")}),
        ([("Namespace/collectors", "metadata.labels", {})], {("namespace-pod-security", "collectors")}),
    ],
)
def test_one_mistake_is_one_finding(changes, expected):
    assert found(changed(*changes)) == expected


@pytest.mark.parametrize(
    ("image", "allowed"),
    [
        ("registry.example.com:5000/team/x:1", True),
        ("registry.example.com:5000/teamx/x:1", False),
        ("redis:8", True),
        ("bitnami/redis:8", False),
        ("localhost/redis:8", False),
    ],
)
def test_images_come_from_the_registries_that_are_configured(image, allowed):
    registries = ["registry.example.com:5000/team", "docker.io/library/"]
    rule = only("image-registry")[0].configured("error", {"registries": registries})
    deployment = changed(("Deployment/api", f"{API}.image", image))[12:13]
    assert deployment[0]["kind"] == "Deployment"
    assert (evaluate(deployment, [rule]) == []) is allowed


def test_secrets_that_exist_beside_the_stack_are_configured():
    objects = changed(("Secret/redis", "", DELETE))
    rule = only("secret-exists")[0]
    assert [found.name for found in evaluate(objects, [rule])] == ["api"]
    assert [found.name for found in evaluate(objects, [rule.configured("warning", {"existing": ["x/redis"]})])] == [
        "api"
    ]
    assert evaluate(objects, [rule.configured("warning", {"existing": ["agents/redis"]})]) == []


def test_definitions_and_labels_are_configured():
    thing = [manifest("example.com/v1", "Thing", "agents", "t")]
    assert evaluate(thing, only("custom-resource-definition"))
    rule = only("custom-resource-definition")[0].configured("error", {"groups": ["example.com"]})
    assert evaluate(thing, [rule]) == []

    rule = only("standard-labels")[0].configured("warning", {"labels": ["team"]})
    assert "has no label team" in evaluate(baseline(), [rule])[0].message


def test_a_finding_identifies_its_object():
    [violation] = evaluate(changed(("StatefulSet/db", f"{API}.image", "db")))
    assert violation == Violation(
        "image-tag",
        "error",
        "StatefulSet",
        "agents",
        "db",
        'container "db" has the image "db", which can change at any restart',
        path="spec.template.spec.containers[0].image",
        remedy="name a version (image:1.2.3) or a digest (image@sha256:...)",
    )
    assert violation.message == f"{violation.what}; {violation.remedy}"


def test_requests_missing_under_an_autoscaler_name_the_sidecar():
    manifests = changed(("Deployment/api", f"{POD}.initContainers[1].resources", {"limits": {"memory": "1Gi"}}))
    [violation] = evaluate(manifests, only("hpa-target-requests"))
    assert 'container "proxy"' in violation.message

    autoscaler = next(m for m in manifests if m["kind"] == "HorizontalPodAutoscaler")
    autoscaler["spec"]["metrics"] = container_metric("api")
    assert evaluate(manifests, only("hpa-target-requests")) == []

    del autoscaler["spec"]["metrics"]  # CPU utilization by default
    assert len(evaluate(manifests, only("hpa-target-requests"))) == 1


def test_requests_missing_under_a_scaled_object():
    trigger = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "80"}}
    by_cpu = {**SCALED_OBJECT, "spec": {"scaleTargetRef": {"name": "api"}, "triggers": [trigger]}}
    manifests = changed(("Deployment/api", f"{POD}.initContainers[1].resources", {"limits": {"memory": "1Gi"}}))
    manifests = [m for m in manifests if m["kind"] != "HorizontalPodAutoscaler"]
    [violation] = evaluate([*manifests, by_cpu], only("hpa-target-requests"))
    assert 'container "proxy"' in violation.message

    by_queue = {**SCALED_OBJECT, "spec": {"scaleTargetRef": {"name": "api"}, "triggers": [{"type": "kafka"}]}}
    assert evaluate([*manifests, by_queue], only("hpa-target-requests")) == []

    gone = {**SCALED_OBJECT, "spec": {"scaleTargetRef": {"name": "gone"}}}
    [violation] = evaluate([*manifests, gone], only("hpa-target-requests"))
    assert 'Deployment "gone"' in violation.message


def test_an_extra_policy_that_allows_everything_undoes_the_default_deny():
    [violation] = evaluate([*baseline(), ALLOW_ALL], only("namespace-default-deny"))
    assert '"open" allows all pods' in violation.message


def test_an_event_driven_autoscaler_owns_the_replicas_too():
    [violation] = evaluate([*baseline(), SCALED_OBJECT], only("single-replicas-owner"))
    assert 'ScaledObject "db"' in violation.message

    second = {**SCALED_OBJECT, "spec": {"scaleTargetRef": {"name": "api"}}}
    [violation] = evaluate([*baseline(), second], only("single-replicas-owner"))
    assert "fight" in violation.message


def test_a_budget_over_two_workloads_counts_the_pods_of_both():
    both = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["api", "db"]}]}

    def verdict(min_available):
        spec = {"selector": both, "minAvailable": min_available}
        return found(changed(("PodDisruptionBudget/db", "spec", spec)))

    assert verdict(4) == set()
    assert verdict(5) == {("pdb-allows-drain", "db")}


def test_a_replication_controller_is_a_workload():
    container = {"name": "c", "image": "x:1", "securityContext": {"privileged": True}}
    template = {"metadata": {"labels": {"old": "one"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 2, "selector": {"old": "one"}, "template": template}
    controller = manifest("v1", "ReplicationController", "agents", "old", spec=spec)
    service = manifest("v1", "Service", "agents", "old", spec={"selector": {"old": "one"}, "ports": [{"port": 80}]})
    rules = only("no-privileged-container") + only("service-selects-pods") + only("replicas-spread")
    rules += only("selector-matches-template") + only("disjoint-selectors") + only("pdb-exists")
    assert {v.rule for v in evaluate([*baseline(), controller, service], rules)} == {"no-privileged-container"}


def test_a_namespace_without_workloads_needs_nothing():
    manifests = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "empty"}}]
    assert evaluate(manifests) == []


def test_rules_are_described():
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", rule.id)
        assert rule.severity in ("error", "warning")
        assert rule.description.endswith(".")
        assert rule.fires.startswith("Fires")
        assert re.fullmatch(r"[a-z].*[^.]", rule.remedy), "what follows a semicolon in a message"


# Unknown values


def unknown(manifests: list[Any]) -> set[tuple[str, str]]:
    violations = evaluate(manifests)
    assert {v.outcome for v in violations} <= {"not evaluated"}
    assert {v.severity for v in violations} <= {"error"}
    return {(v.rule, v.name) for v in violations}


@pytest.mark.parametrize(
    ("target", "path", "expected"),
    [
        ("Deployment/api", "spec.template.metadata.annotations.checksum", set()),
        (
            "Deployment/api",
            f"{API}.env[1].valueFrom",
            {("config-map-exists", "api"), ("secret-exists", "api"), ("secret-key-exists", "api")},
        ),
        ("Deployment/api", f"{API}.env[0].value", {("no-secret-in-plain-env", "api")}),
        ("Deployment/api", f"{API}.image", {("image-tag", "api")}),
        ("Deployment/api", "spec.replicas", {("single-replicas-owner", "api")}),
        ("StatefulSet/db", "spec.replicas", {("pdb-exists", "db"), ("quota-fits", "quota"), ("replicas-spread", "db")}),
        ("ConfigMap/kafka", "data.id", set()),
        ("Secret/redis", "data.password", set()),
        ("Deployment/api", "spec.template.metadata.labels.version", set()),
        ("Service/db", "spec.selector", {("service-selects-pods", "db"), ("service-target-port", "db")}),
        ("PodDisruptionBudget/db", "spec.maxUnavailable", {("pdb-allows-drain", "db")}),
        ("Job/once", "metadata.name", set()),
        (
            "Job/once",
            f"{API}.resources.limits.cpu",
            {("cpu-limit", "once"), ("quota-fits", "quota"), ("requests-within-limits", "once")},
        ),
        (
            "Deployment/api",
            f"{API}.env[2]",
            {
                ("no-secret-in-plain-env", "api"),
                ("unique-variables", "api"),
                ("config-map-exists", "api"),
                ("secret-exists", "api"),
                ("secret-key-exists", "api"),
            },
        ),
    ],
)
def test_unknown_values_stop_only_the_rules_that_read_them(target, path, expected):
    assert unknown(changed((target, path, UNKNOWN))) == expected


def test_a_config_map_of_variables_is_judged_like_them():
    def found(data):
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": data}
        return [v.message for v in evaluate([manifest]) if v.rule == "no-secret-in-plain-env"]

    assert "STRIPE_KEY by its name holds a secret" in found({"STRIPE_KEY": CANARY, "LEVEL": "info"})[0]
    assert CANARY not in found({"STRIPE_KEY": CANARY})[0]
    assert found({"LEVEL": "info", "api_key.conf": "file", "SECRET_NAME": "redis"}) == []


def test_unknown_labels_stop_only_the_selectors_that_need_them():
    found = unknown(changed(("Deployment/api", "spec.template.metadata.labels.app", UNKNOWN)))
    assert ("service-selects-pods", "api") in found
    assert ("service-selects-pods", "db") not in found


def test_what_is_known_of_an_object_is_reported_besides_what_is_not():
    manifests = changed(
        ("Deployment/api", f"{API}.image", "api"), ("Deployment/api", f"{POD}.containers[1].image", UNKNOWN)
    )
    assert [v.outcome for v in evaluate(manifests)] == ["violation", "not evaluated"]
    assert "image is unknown before deployment" in evaluate(manifests)[1].message


def test_an_unknown_kind_stops_every_rule():
    assert {v.rule for v in evaluate(changed(("Job/once", "kind", UNKNOWN)))} == {
        rule.id for rule in RULES
    } - CONFIGURED


@pytest.mark.parametrize(
    "use",
    [bool, len, list, int, lambda u: u == 1, lambda u: u["a"], lambda u: u.get("a"), lambda u: 1 in u, lambda u: u < 1],
)
def test_a_rule_that_uses_an_unknown_value_directly_is_not_evaluated(use):
    @manifest_rule("careless", "warning", "Uses a raw value.", remedy="")
    def careless(manifest):
        return [Finding(str(use(manifest["spec"])))]

    [violation] = evaluate([{"kind": "X", "spec": UNKNOWN}], [careless])
    assert (violation.outcome, violation.severity) == ("not evaluated", "error")


def test_unknown_survives_copying():
    assert copy.deepcopy({"a": [UNKNOWN]})["a"][0] is UNKNOWN


def test_a_rule_that_fails_is_not_evaluated_and_its_error_is_not_quoted():
    @manifest_rule("broken", "warning", "Fails.", remedy="")
    def broken(manifest):
        raise ValueError(CANARY)

    @stack_rule("broken-too", "warning", "Fails.", subjects=lambda stack: [{}[CANARY]], remedy="")
    def broken_too(manifest, stack):
        return []

    violations = evaluate([{"kind": "X"}], [broken, broken_too])
    assert [(v.rule, v.outcome, v.severity) for v in violations] == [
        ("broken", "not evaluated", "error"),
        ("broken-too", "not evaluated", "error"),
    ]
    assert "ValueError" in violations[0].message
    assert CANARY not in str(violations)


# Secrets


def test_values_of_variables_and_secrets_are_never_echoed():
    secret = manifest("v1", "Secret", "agents", "s", data={"a": CANARY}, stringData={"b": CANARY})
    noticed = 0
    for _, _, changes, _ in FIRES:
        broken = changed(*changes)
        deployment = next(m for m in broken if (m["kind"], m["metadata"]["name"]) == ("Deployment", "api"))
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            container.setdefault("env", []).extend(
                [
                    {"name": "A_TOKEN", "value": CANARY},
                    {"name": "B", "value": f"x://u:{CANARY}@h"},
                    {"name": "C_PASSWORD", "value": {"nested": CANARY}},
                    {"name": "D", "value": UNKNOWN},
                    {"name": "E", "value": f"http://u:{CANARY}@db:1/{CANARY}"},
                ]
            )
        violations = evaluate([secret, *broken])
        noticed += sum(v.rule == "no-secret-in-plain-env" for v in violations)
        assert CANARY not in str(violations)
    assert noticed > 100


# Robustness

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats(allow_nan=True) | st.sampled_from(["", "a", "0%", "x%"]),
    lambda children: (
        st.lists(children, max_size=2) | st.dictionaries(st.sampled_from(["a", "spec"]), children, max_size=2)
    ),
    max_leaves=4,
)


def nodes(value: Any) -> list[tuple[Any, Any]]:
    """Every place in `value`, as its container and its key."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, child in items for place in [(value, key), *nodes(child)]]


def fuzz(data: Any, replacement: Any) -> list[Any]:
    manifests = baseline()
    for _ in range(data.draw(st.integers(1, 4))):
        places = nodes(manifests)
        if not places:
            break
        container, key = data.draw(st.sampled_from(range(len(places))).map(places.__getitem__))
        if replacement is DELETE:
            del container[key]
        else:
            container[key] = data.draw(replacement)
    return manifests


lenient = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@lenient
@given(st.data())
def test_missing_fields_never_stop_a_rule(data):
    assert {v.outcome for v in evaluate(fuzz(data, DELETE))} <= {"violation"}


@lenient
@given(st.data())
def test_mistyped_fields_never_stop_a_rule(data):
    assert {v.outcome for v in evaluate(fuzz(data, anything))} <= {"violation"}


@lenient
@given(st.data())
def test_unknown_fields_are_reported_as_such(data):
    violations = evaluate(fuzz(data, st.just(UNKNOWN)))
    assert not [v for v in violations if "please report this bug" in v.message]


# Cost


def test_200_objects_take_less_than_2_seconds():
    # 4 baselines in namespaces of their own.
    manifests = []
    for number in range(4):
        text = json.dumps(baseline())
        for name in ("agents", "collectors", "data"):
            # As a namespace, and in the names of hosts; not the key of a ConfigMap or a folder.
            text = re.sub(
                rf'(?P<key>"namespace": |"kubernetes.io/metadata.name": )"{name}"', rf'\g<key>"{name}{number}"', text
            )
            text = re.sub(rf"\.{name}([.:])", rf".{name}{number}\1", text)
        for found_manifest in json.loads(text):
            if found_manifest["kind"] == "Namespace":
                found_manifest["metadata"]["name"] += str(number)
            manifests.append(found_manifest)
    assert len(manifests) > 200
    assert evaluate(manifests) == []

    def seconds() -> float:
        start = time.process_time()
        evaluate(manifests)
        return time.process_time() - start

    assert min(seconds() for _ in range(3)) < 2
