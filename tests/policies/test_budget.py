"""The rule `monthly-budget`. The baseline's four workloads are too small to cost much: one dear one is added."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st
from policy_baseline import DELETE, baseline, changed, manifest, running, template
from pulumi.runtime.proto import analyzer_pb2
from test_policy_pack import analyze, analyze_stack, urn_of
from test_policy_rules import anything, fuzz, lenient

from costs.prices import read
from manifests.fields import UNKNOWN
from policies.analyzer import Analyzer
from policies.rules import Violation, evaluate
from policies.rules.budget import monthly_budget

PRICES = """
currency: EUR
hoursPerMonth: 100
vcpuHour: 1
memoryGibHour: 0
storageGibMonth: {default: 0}
gpuHour: {nvidia.com/gpu: 2}
"""
DEAR = manifest(
    "apps/v1",
    "Deployment",
    "agents",
    "dear",
    spec={
        "replicas": 2,
        "template": template("dear", running("dear", resources={"requests": {"cpu": "10", "memory": "1Gi"}})),
    },
)
"""2 x 10 vCPU x 100 hours: 2,000."""
SCALER = manifest(
    "autoscaling/v2",
    "HorizontalPodAutoscaler",
    "agents",
    "dear",
    spec={"scaleTargetRef": {"kind": "Deployment", "name": "dear"}, "minReplicas": 2, "maxReplicas": 4},
)


@pytest.fixture
def prices(tmp_path: Path) -> str:
    read.cache_clear()
    file = tmp_path / "prices.yaml"
    file.write_text(PRICES)
    return str(file)


def judge(manifests: list[dict[str, Any]], **config: Any) -> list[Violation]:
    return evaluate(manifests, [monthly_budget.configured("error", config)])


def test_without_a_budget_nothing_is_found() -> None:
    assert evaluate([DEAR], [monthly_budget]) == []


def test_the_message_says_by_how_much_and_what_costs_most(prices: str) -> None:
    objects = [
        *(manifest("v1", "Pod", "agents", name, spec=template("x", running(name))["spec"]) for name in "cab"),
        DEAR,
    ]
    (found,) = judge(objects, monthly=2000.5, prices=prices)
    assert (found.rule, found.severity, found.outcome) == ("monthly-budget", "error", "violation")
    assert (found.kind, found.namespace, found.name) == ("Stack", "", "all")
    assert found.message == (
        "the stack costs at most 2,030.00 EUR a month, 29.50 more than its budget of 2,000.50; lower replicas, "
        "requests or storage (most of it: Deployment/agents/dear 2,000.00, Pod/agents/a 10.00, Pod/agents/b 10.00), or "
        "have `monthly` of monthly-budget raised in policies/config"
    )


@pytest.mark.parametrize(
    ("config", "fires"),
    [
        ({"monthly": 4000}, False),
        ({"monthly": 3999.99}, True),
        ({"monthly": 2000, "figure": "at-least"}, False),
        ({"monthly": 1999, "figure": "at-least"}, True),
        ({"monthly": 0}, True),
    ],
)
def test_which_figure_must_fit(prices: str, config: dict[str, Any], fires: bool) -> None:
    assert bool(judge([DEAR, SCALER], prices=prices, **config)) == fires


def test_a_device_without_a_price_leaves_the_budget_open(prices: str) -> None:
    dear = changed(("Deployment/api", 'spec.template.spec.containers[0].resources.limits."amd.com/gpu"', "1"))
    (found,) = judge(dear, monthly=1_000_000, prices=prices)
    assert found.message.startswith("amd.com/gpu has no price, so nobody can say whether the budget is kept; add it")


def test_a_price_file_that_cannot_be_used_is_the_finding() -> None:
    (found,) = judge([DEAR], monthly=1, prices="none.yaml")
    assert found.outcome == "violation"
    assert found.message.startswith("policies/none.yaml: cannot be read")


def test_an_unknown_number_of_replicas_is_not_evaluated(prices: str) -> None:
    (found,) = judge(changed(("StatefulSet/db", "spec.replicas", UNKNOWN)), monthly=1, prices=prices)
    assert found.outcome == "not evaluated"
    assert "replicas is unknown" in found.message


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_the_shipped_budgets(environment: str, request: pytest.FixtureRequest) -> None:
    file = request.config.rootpath / "policies" / "config" / f"{environment}.json"
    assert json.loads(file.read_text())["monthly-budget"]["monthly"] > 0


@pytest.mark.parametrize("replacement", [DELETE, anything, st.just(UNKNOWN)], ids=["missing", "mistyped", "unknown"])
def test_nothing_stops_the_rule(replacement: Any) -> None:
    @lenient
    @given(st.data())
    def whatever_the_objects(data: Any) -> None:
        found = judge([*fuzz(data, replacement), DEAR, SCALER], monthly=1)
        assert not [violation for violation in found if "please report this bug" in violation.message]

    whatever_the_objects()


def test_the_engine_finds_the_same(prices):
    server = Analyzer((), "waivers.yaml")
    config = {"monthly": 1, "prices": prices}
    properties = struct_pb2.Struct()
    properties.update(config)
    mandatory = analyzer_pb2.PolicyConfig(enforcementLevel=analyzer_pb2.MANDATORY, properties=properties)
    server.Configure(analyzer_pb2.ConfigureAnalyzerRequest(policyConfig={"monthly-budget": mandatory}), None)
    objects = [*baseline(), DEAR, SCALER]
    analyze(server, objects)
    (found,) = [d for d in analyze_stack(server, objects) if d.policyName == "monthly-budget"]
    (expected,) = judge(objects, **config)
    assert expected.message in found.message
    assert found.urn not in {urn_of(each) for each in objects}
