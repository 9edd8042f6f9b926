"""Where pods run: what a short setting becomes, and what is refused because work would be cut off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from components.agent.component import Agent
from components.agent.declaration import AgentEnvironment, Declaration
from settings import AgentSettings, Placement, Settings
from settings.placement import PROVIDER_POOLS

from .conftest import Recorder

Render = Callable[[Callable[[], object]], Recorder]


def template(render: Render, placement: dict[str, Any], pools: dict[str, Any] | None = None) -> dict[str, Any]:
    settings = AgentSettings.model_validate({"image": "x/y:1", "placement": placement})
    environment = AgentEnvironment(pools=PROVIDER_POOLS["gke"] if pools is None else pools)
    found: dict[str, Any] = render(lambda: Agent("a", settings, environment)).seen["Deployment", "a"]["spec"][
        "template"
    ]
    return found


def requirements(pod: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = required["nodeSelectorTerms"]
    return [(item["key"], item["operator"], item["values"]) for item in term["matchExpressions"]]


def test_nothing_said_is_nothing_asked(render: Render) -> None:
    found = template(render, {})
    assert not {"affinity", "tolerations", "priorityClassName", "nodeSelector"} & set(found["spec"])
    assert "agentstack.dev/pool" not in found["metadata"]["labels"]


def test_spot_and_everything_else(render: Render) -> None:
    found = template(
        render,
        {
            "pool": "spot",
            "architecture": "arm64",
            "zones": ["eu-1a", "eu-1b"],
            "priorityClass": "batch",
            "gpu": {"count": 2, "product": "NVIDIA-L4"},
        },
    )
    pod = found["spec"]
    assert requirements(pod) == [
        ("cloud.google.com/gke-spot", "In", ["true"]),
        ("kubernetes.io/arch", "In", ["arm64"]),
        ("topology.kubernetes.io/zone", "In", ["eu-1a", "eu-1b"]),
        ("nvidia.com/gpu.product", "In", ["NVIDIA-L4"]),
    ]
    assert pod["tolerations"] == [
        {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"},
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
    ]
    assert pod["priorityClassName"] == "batch"
    # Kubernetes refuses an extended resource whose request is not its limit.
    resources = pod["containers"][0]["resources"]
    assert resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"] == "2"
    assert found["metadata"]["labels"]["agentstack.dev/pool"] == "spot"
    assert len(pod["topologySpreadConstraints"]) == 2


def test_on_demand_is_whatever_is_not_spot(render: Render) -> None:
    pod = template(render, {"pool": "onDemand"})["spec"]
    assert requirements(pod) == [("cloud.google.com/gke-spot", "NotIn", ["true"])]
    assert "tolerations" not in pod


def test_the_selector_does_not_know_the_pool(render: Render) -> None:
    settings = AgentSettings(image="x/y:1", placement=Placement(pool="spot"))
    seen = render(lambda: Agent("a", settings, AgentEnvironment(pools=PROVIDER_POOLS["aks"])))
    assert "agentstack.dev/pool" not in seen.seen["Deployment", "a"]["spec"]["selector"]["matchLabels"]


def test_a_pool_that_is_not_offered() -> None:
    with pytest.raises(ValueError, match="agent a is placed in the pool spot: give AgentEnvironment"):
        Declaration("a", AgentSettings(image="x/y:1", placement=Placement(pool="spot")), AgentEnvironment())


def refused(platform: dict[str, Any], agent: dict[str, Any], **others: dict[str, Any]) -> list[str]:
    agents = {"a": {"image": "x/y:1", **agent}, **{name: {"image": "x/y:1", **o} for name, o in others.items()}}
    try:
        Settings.model_validate({"platform": platform, "agents": agents, "gateway": {"host": "h.example.com"}})
    except ValidationError as error:
        return str(error.errors()[0]["ctx"]["error"]).splitlines()
    return []


SPOT = {"placement": {"pool": "spot"}}
QUICK = {"shutdown": {"preStop": "1s", "longestTask": "3s"}}


@pytest.mark.parametrize(
    ("platform", "agent", "message"),
    [
        ({}, SPOT, "placement.pool: this environment has no pool `spot`: set `platform.nodeProvider`, or describe"),
        ({"nodeProvider": "eks"}, {"placement": {"pool": "sopt"}}, "no pool `sopt`, did you mean `spot`?"),
        (
            {"nodeProvider": "gke"},
            SPOT,
            "a pod needs 45s to end (preStop + longestTask + 10s) and nodes of `spot` give",
        ),
        ({"nodeProvider": "eks"}, SPOT | {"shutdown": {"longestTask": "2m"}}, "a pod needs 135s to end"),
        ({"nodeProvider": "gke"}, SPOT | QUICK | {"public": {"path": "/a"}}, "its only pod goes when its node does"),
    ],
)
def test_refused(platform: dict[str, Any], agent: dict[str, Any], message: str) -> None:
    (line,) = refused(platform, agent)
    assert line.startswith("agents.a.placement.pool: ")
    assert message in line


def test_what_is_called_has_two_pods() -> None:
    (line,) = refused({"nodeProvider": "gke"}, SPOT | QUICK, b={"calls": ["a"]})
    assert "others wait for answers of `a`" in line


@pytest.mark.parametrize(
    ("platform", "agent"),
    [
        ({"nodeProvider": "gke"}, SPOT | QUICK),
        ({"nodeProvider": "eks"}, SPOT | {"shutdown": {"longestTask": "105s"}}),
        ({"nodeProvider": "gke"}, {"placement": {"pool": "spot", "interruptible": True}, "public": {"path": "/a"}}),
        ({"nodeProvider": "gke"}, {"placement": {"pool": "onDemand"}, "shutdown": {"longestTask": "1h"}}),
        ({"nodeProvider": "gke"}, SPOT | QUICK | {"public": {"path": "/a"}, "replicas": 2}),
        # An environment with one kind of nodes; and a provider whose node pools give pods more time.
        ({"pools": {"spot": {}}}, SPOT | {"public": {"path": "/a"}}),
        ({"nodeProvider": "gke", "pools": {"spot": {"labels": {"a": "b"}, "notice": "105s"}}}, SPOT),
    ],
)
def test_accepted(platform: dict[str, Any], agent: dict[str, Any]) -> None:
    assert refused(platform, agent) == []


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        ({"priorityClass": "system-node-critical"}, "would let the agent push out"),
        ({"gpu": {"resource": "gpu"}}, "`gpu` has no domain: write for example `nvidia.com/gpu`"),
        ({"gpu": {"resource": "amd.com/gpu", "product": "x"}}, "describe a pool"),
        ({"gpu": {"count": 0}}, "greater than or equal to 1"),
        ({"architecture": "x86"}, "amd64"),
        ({"zones": ["a b"]}, "is not a label value"),
    ],
)
def test_mistakes(placement: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Placement.model_validate(placement)


def test_every_provider_has_both_pools() -> None:
    for pools in PROVIDER_POOLS.values():
        assert set(pools) == {"spot", "onDemand"}
        assert pools["spot"].notice is not None
        assert pools["onDemand"].notice is None
        assert pools["onDemand"].without == pools["spot"].labels
