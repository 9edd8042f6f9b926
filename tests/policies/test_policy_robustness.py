"""All rules at once: on anything that could be read from a file, with any values, and on many objects."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy_baseline import baseline

from manifests.manifest import Manifest
from policies.rules import RULES, Violation, evaluate

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("a0%*:/.-$({", max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text("a", max_size=2), children, max_size=3),
    max_leaves=5,
)


def vocabulary(value: Any) -> tuple[set[str], set[str]]:
    """The keys and the texts in plain data."""
    if isinstance(value, Mapping):
        found = [vocabulary(item) for item in value.values()]
        keys = {str(key) for key in value}
    else:
        found = [vocabulary(item) for item in value] if isinstance(value, list) else []
        keys = set()
    texts = {value} if isinstance(value, str) else set()
    return keys.union(*(inner for inner, _ in found)), texts.union(*(inner for _, inner in found))


KEYS, TEXTS = (sorted(words) for words in vocabulary(baseline()))
# What rules look for, in places where they do not expect it.
LIKELY = st.recursive(
    ANYTHING | st.sampled_from(TEXTS),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(KEYS), children, max_size=4),
    max_leaves=12,
)
KINDS = [
    *sorted({(manifest["apiVersion"], manifest["kind"]) for manifest in baseline()}),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "ServiceAccount"),
    ("v1", "PersistentVolumeClaim"),
    ("networking.k8s.io/v1", "Ingress"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("example.com/v1", "Anything"),
]


@st.composite
def objects(draw: st.DrawFn) -> Manifest:
    version, kind = draw(st.sampled_from(KINDS))
    metadata = draw(st.fixed_dictionaries({}, optional={"name": ANYTHING, "namespace": ANYTHING, "labels": LIKELY}))
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": draw(LIKELY), "data": draw(LIKELY)}


def failures(violations: Iterable[Violation]) -> list[str]:
    return [f"{violation.rule}: {violation.message}" for violation in violations if violation.outcome != "violation"]


lenient = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


@lenient
@given(st.lists(objects(), max_size=3))
def test_no_rule_fails_on_any_object(manifests: list[Manifest]) -> None:
    assert failures(evaluate([*manifests, *baseline()])) == []


@lenient
@given(st.lists(ANYTHING.filter(lambda value: isinstance(value, dict)), max_size=3))
def test_no_rule_fails_on_what_is_no_object(manifests: list[Any]) -> None:
    assert failures(evaluate(manifests)) == []


def values(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """What `agentstack.judging.policy` and the engine accept."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    low, high = schema.get("minimum"), schema.get("maximum")
    match schema["type"]:
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(low, high)
        case "number":
            return st.integers(low, high) | st.floats(low, high, allow_nan=False, allow_infinity=False)
        case "array":
            return st.lists(values(schema["items"]), min_size=schema.get("minItems", 0), max_size=3)
    return st.text(max_size=5) | st.sampled_from(TEXTS)


@lenient
@given(st.data())
def test_no_rule_fails_with_any_values(data: st.DataObject) -> None:
    configured = [
        rule.configured(rule.severity, {name: data.draw(values(schema)) for name, schema in rule.config_schema.items()})
        for rule in RULES
        if rule.config_schema
    ]
    assert failures(evaluate([*baseline(), data.draw(objects())], configured)) == []


def test_200_objects_take_less_than_2_seconds() -> None:
    manifests = []
    for number in range(11):
        for manifest in copy.deepcopy(baseline()):
            metadata = manifest["metadata"]
            key = "namespace" if "namespace" in metadata else "name"
            metadata[key] += str(number)
            manifests.append(manifest)
    assert len(manifests) >= 200

    def seconds() -> float:
        start = time.process_time()
        evaluate(manifests)
        return time.process_time() - start

    assert min(seconds() for _ in range(3)) < 2
