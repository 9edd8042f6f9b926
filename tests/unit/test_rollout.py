"""Each strategy at each state of a release becomes exactly the objects that it stands for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.agent.component import Agent
from components.agent.declaration import AgentEnvironment
from components.connection import Connection, SecretRef
from components.context import Context
from components.gateway.component import Gateway
from components.platform.guard import facts, refusals
from settings import AgentSettings, GatewaySettings, KafkaSettings, Settings, SettingsError
from settings.agents import tracks
from settings.rollout import StateFormats, split, version_of, with_version
from settings.stack import load

from .conftest import Recorder

Render = Callable[[Callable[[], object]], Recorder]
PART_OF = {"app.kubernetes.io/part-of": "agentstack"}
STABLE = {"app.kubernetes.io/name": "a", "app.kubernetes.io/component": "agent", **PART_OF}
BOTH = {"app.kubernetes.io/name": "a", **PART_OF}


WAITING = {"redisList": "checkpoint:open", "lagPerReplica": 50}


def agent(**settings: Any) -> AgentSettings:
    return AgentSettings.model_validate({"image": "x/y:1", **settings})


def deployments(seen: Recorder) -> dict[str, Any]:
    return {name: inputs["spec"] for (kind, name), inputs in seen.seen.items() if kind == "Deployment"}


def images(seen: Recorder) -> dict[str, str]:
    return {n: spec["template"]["spec"]["containers"][0]["image"] for n, spec in deployments(seen).items()}


def service(seen: Recorder, name: str = "a") -> Any:
    return seen.seen["Service", name]["spec"]["selector"]


@pytest.mark.parametrize(
    ("strategy", "release", "expected", "served"),
    [
        ("rolling", None, {"a": "x/y:1"}, STABLE),
        ("rolling", {"share": 100}, {"a": "x/y:2"}, STABLE),
        ("canary", None, {"a": "x/y:1"}, STABLE),
        ("canary", {"share": 10}, {"a": "x/y:1", "a-canary": "x/y:2"}, BOTH),
        ("canary", {"share": 100}, {"a": "x/y:2"}, STABLE),
        ("canary", {"share": 10, "aborted": True}, {"a": "x/y:1"}, STABLE),
        ("blueGreen", None, {"a": "x/y:1"}, STABLE),
        ("blueGreen", {"share": 0}, {"a": "x/y:1", "a-green": "x/y:2"}, STABLE),
        (
            "blueGreen",
            {"share": 100},
            {"a": "x/y:1", "a-green": "x/y:2"},
            STABLE | {"app.kubernetes.io/component": "agent-green"},
        ),
        ("blueGreen", {"share": 100, "aborted": True}, {"a": "x/y:1"}, STABLE),
    ],
)
def test_every_state_of_a_release(
    render: Render, strategy: str, release: dict[str, Any] | None, expected: dict[str, str], served: dict[str, str]
) -> None:
    state = {"release": {"version": "2", **release}} if release else {}
    seen = render(lambda: Agent("a", agent(rollout=strategy, scaling={"min": 3, "max": 20}, **state)))
    assert images(seen) == expected
    assert service(seen) == served
    # The selectors of all Deployments, for ever; no two of them match the same pods, or their autoscalers stop.
    for name, spec in deployments(seen).items():
        selector = spec["selector"]["matchLabels"]
        own = f"agent{name.removeprefix('a')}"
        assert selector == STABLE | {"app.kubernetes.io/component": own}
        assert selector.items() <= spec["template"]["metadata"]["labels"].items()
        assert ("HorizontalPodAutoscaler", name) in seen.seen
        assert seen.seen["PodDisruptionBudget", name]["spec"]["selector"]["matchLabels"] == selector
    policy = seen.seen["NetworkPolicy", "a"]["spec"]["podSelector"]["matchLabels"]
    assert policy == (STABLE if strategy == "rolling" else BOTH)


def test_versions_share_everything_but_their_pods(render: Render) -> None:
    settings = agent(rollout="canary", release={"version": "2", "share": 10}, consumes=["t"])
    environment = AgentEnvironment(connections={"kafka": Connection()})
    seen = render(lambda: Agent("a", settings, environment))
    assert seen.kinds("a-canary") == ["Deployment", "PodDisruptionBudget"]
    stable, canary = deployments(seen)["a"]["template"], deployments(seen)["a-canary"]["template"]
    assert stable["metadata"]["labels"]["agentstack.dev/track"] == "stable"
    assert canary["metadata"]["labels"]["agentstack.dev/track"] == "canary"
    assert canary["metadata"]["labels"]["app.kubernetes.io/version"] == "2"
    # The same ConfigMap, and with it the same consumer group.
    assert stable["spec"]["containers"][0]["envFrom"] == canary["spec"]["containers"][0]["envFrom"]
    assert canary["spec"]["serviceAccountName"] == "a"


def test_rolling_pods_have_no_track(render: Render) -> None:
    seen = render(lambda: Agent("a", agent()))
    assert "agentstack.dev/track" not in deployments(seen)["a"]["template"]["metadata"]["labels"]


def test_callers_reach_every_version(render: Render) -> None:
    seen = render(lambda: Agent("b", agent(calls=["a"])))
    (egress,) = seen.seen["NetworkPolicy", "b"]["spec"]["egress"]
    assert egress["to"][0]["podSelector"]["matchLabels"] == BOTH


@pytest.mark.parametrize(
    ("low", "high", "share", "expected"),
    [
        (3, 20, 10, ((3, 18), (1, 2))),
        (9, 20, 10, ((9, 18), (1, 2))),
        (2, 8, 50, ((2, 4), (2, 4))),
        (2, 8, 75, ((1, 2), (2, 6))),
        (10, 10, 10, ((9, 9), (1, 1))),
        (1, 1, 10, ((1, 1), (1, 1))),
    ],
)
def test_the_split_of_pods(low: int, high: int, share: int, expected: Any) -> None:
    assert split(low, high, share) == expected


@given(st.integers(1, 60), st.integers(0, 60), st.integers(1, 99))
def test_no_split_exceeds_the_maximum_or_leaves_a_side_empty(low: int, more: int, share: int) -> None:
    high = low + more
    (stable_low, stable_high), (canary_low, canary_high) = split(low, high, share)
    assert 1 <= stable_low <= stable_high
    assert 1 <= canary_low <= canary_high
    assert stable_high + canary_high == max(high, 2)
    # At the most pods the share is exact to one of them.
    assert abs(canary_high - high * share / 100) < 1 or 1 in (stable_high, canary_high)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(10, ((1, 18, 56), (1, 2, 500))), (50, ((1, 10, 100), (1, 10, 100))), (90, ((1, 2, 500), (1, 18, 56)))],
)
def test_each_version_has_pods_for_its_share_of_what_waits(share: int, expected: Any) -> None:
    queue = WAITING | {"fallback": {"replicas": 5}}
    scaling = {"min": 0, "max": 20, "queue": queue}
    release = {"version": "2", "share": share}
    running = tracks(agent(uses=["redis"], rollout="canary", scaling=scaling, release=release))
    found = [track.settings.scaling for track in running]
    assert tuple((s.min, s.max, s.queue.lag_per_replica) for s in found if s and s.queue) == expected
    assert [s.fallback_replicas for s in found if s] == [min(5, high) for _, high, _ in expected]


def test_a_release_counts_against_the_quota() -> None:
    released = agent(rollout="blueGreen", replicas=3, release={"version": "2", "share": 0})
    assert released.demand("a").minimum == 6
    canary = agent(rollout="canary", scaling={"min": 3, "max": 20}, release={"version": "2", "share": 10})
    assert (canary.demand("a").minimum, canary.demand("a").maximum) == (4, 20)


def test_more_consumers_than_partitions_are_refused() -> None:
    def settings(replicas: int, topics: dict[str, Any]) -> Settings:
        consumer = agent(rollout="canary", replicas=replicas, consumes=["t"], release={"version": "2", "share": 10})
        return Settings(agents={"a": consumer}, kafka=KafkaSettings.model_validate({"topics": topics}))

    settings(3, {"t": {"partitions": 3}})
    with pytest.raises(ValidationError, match=r"agents.a.release.share: both versions are up to 2 consumers"):
        settings(1, {"t": {"partitions": 1}})
    with pytest.raises(ValidationError, match=r"`t` has 3 partitions.*raise `kafka.topics.t.partitions`"):
        settings(4, {"t": {"partitions": 3}})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rollout": {"strategy": "canary", "keepFor": "5m"}}, "keepFor: belongs to `strategy: blueGreen`"),
        ({"rollout": {"analysis": {}}}, "rollout.strategy\n  Field required"),
        ({"rollout": "blueGreen", "consumes": ["t"]}, "blueGreen switches a Service"),
        (
            {"rollout": "blueGreen", "uses": ["redis"], "scaling": {"min": 1, "max": 4, "queue": WAITING}},
            "blueGreen switches a Service",
        ),
        ({"release": {"version": "2", "share": 10}}, "release.share: 10 does not fit `rollout: rolling`: write 100"),
        ({"rollout": "canary", "release": {"version": "2", "share": 0}}, "write 1 to 100"),
        ({"rollout": "blueGreen", "release": {"version": "2", "share": 50}}, "write 0 or 100"),
        ({"release": {"version": 42798, "share": 100}}, "release.version\n  Input should be a valid string"),
        *(
            ({"release": {"version": "2", "share": 100, "since": since}}, f"`{since}` is not a time as in RFC 3339")
            for since in (
                *("yesterday", "2026-01-31", "2026-01-31T09:30:00", "20260131T093000+00:00", "2026-02-31T09:30:00Z"),
                *("2026-01-31 09:30:00Z", "2026-01-31T09:30:00+99:00", ""),
            )
        ),
        ({"state": {"reads": [1], "writes": 2}}, "writes: 2 is not among `reads`"),
        (
            {
                "state": {"reads": [1], "writes": 1},
                "release": {"version": "2", "share": 100, "state": {"reads": [1, 2], "writes": 2}},
            },
            "release.state: the version that runs does not read format 2",
        ),
        (
            {
                "state": {"reads": [1, 2], "writes": 1},
                "release": {"version": "2", "share": 100, "state": {"reads": [2], "writes": 2}},
            },
            "release.state: the other version does not read format 1",
        ),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        agent(**settings)
    assert message in str(error.value)


@pytest.mark.parametrize("version", ["0123456", "22:22", "2", "2.0", "0x10", "1_000"])
def test_a_version_that_yaml_takes_for_a_number_needs_quotes(tmp_path: Path, version: str) -> None:
    (tmp_path / "a.yaml").write_text(f"name: a\nimage: x/y:1\nrelease: {{version: {version}, share: 100}}\n")
    with pytest.raises(SettingsError, match=r"a.yaml:3: agents.a.release.version: must be text: put it in quotes"):
        load({}, stack_file=tmp_path / "Pulumi.dev.yaml", agents_folder=tmp_path)


@pytest.mark.parametrize("since", ["2026-01-31T09:30:00+00:00", "2026-01-31T09:30:00.25Z"])
def test_the_time_of_a_share(since: str) -> None:
    release = agent(release={"version": "2", "share": 100, "since": since}).release
    assert release is not None
    assert release.since == since


def test_a_candidate_must_not_bear_another_agents_name() -> None:
    with pytest.raises(ValidationError, match=r"agents.a.rollout.strategy: the candidate would be named `a-canary`"):
        Settings(agents={"a": agent(rollout="canary"), "a-canary": agent()})


def test_agents_that_share_keys_read_what_the_others_write() -> None:
    def stack(reader_keys: str, reads: list[int]) -> Settings:
        writer = agent(
            uses=["redis"],
            redisKeys=["checkpoint:*"],
            state={"reads": [1, 2], "writes": 1},
            release={"version": "2", "share": 100, "state": {"reads": [1, 2], "writes": 2}},
        )
        reader = agent(uses=["redis"], redisKeys=[reader_keys], state={"reads": reads, "writes": 1})
        return Settings(agents={"writer": writer, "reader": reader})

    stack("checkpoint:*", [1, 2])
    stack("conversation:*", [1])
    with pytest.raises(ValidationError, match=r"agents.reader.state.reads: `writer` writes format 2"):
        stack("check*", [1])


def test_the_guard_refuses_versions_that_do_not_understand_each_other() -> None:
    def stack(reads: list[int], writes: int) -> Any:
        return facts(Settings(agents={"a": agent(state={"reads": reads, "writes": writes})}))

    assert StateFormats.parse(str(StateFormats(reads=(2, 1), writes=1))) == StateFormats(reads=(1, 2), writes=1)
    assert list(refusals(stack([1, 2], 1), stack([1, 2], 2))) == []
    (line,) = refusals(stack([1], 1), stack([1, 2], 2))
    assert line.startswith("agents.a.state: reads 1, writes 1 -> reads 1, 2, writes 2: ")
    (line,) = refusals(stack([1, 2], 2), stack([1], 1))
    assert "safeguards.accept" in line


@pytest.mark.parametrize(
    ("image", "version", "expected"),
    [
        ("x/y:1", "2", "x/y:2"),
        ("host:5000/x/y:1", "2", "host:5000/x/y:2"),
        (f"x/y:1@sha256:{'0' * 64}", "2", "x/y:2"),
        ("x/y:1", f"sha256:{'a' * 64}", f"x/y@sha256:{'a' * 64}"),
    ],
)
def test_the_image_of_a_version(image: str, version: str, expected: str) -> None:
    assert with_version(image, version) == expected
    assert version_of(expected) == version


def test_a_gateway_divides_by_weight(render: Render) -> None:
    spec = GatewaySettings.model_validate(
        {"api": "gateway-api", "parent": {"name": "public", "namespace": "infra"}, "host": "h.example"}
    )
    settings = agent(rollout="canary", public={"path": "/a"}, release={"version": "2", "share": 10})

    def program() -> None:
        Agent("a", settings, AgentEnvironment(weighted_routes=True))
        Gateway("gateway", spec, Context(agents={"a": settings, "b": agent()}))

    seen = render(program)
    route = seen.seen["HTTPRoute", "a"]["spec"]
    assert route["parentRefs"] == [{"name": "public", "namespace": "infra"}]
    assert route["hostnames"] == ["h.example"]
    assert route["rules"][0]["backendRefs"] == [
        {"name": "a", "port": 80, "weight": 90},
        {"name": "a-canary", "port": 80, "weight": 10},
    ]
    assert service(seen) == STABLE
    assert service(seen, "a-canary") == STABLE | {"app.kubernetes.io/component": "agent-canary"}
    assert ("Ingress", "gateway") not in seen.seen


def test_a_route_without_a_release_has_one_backend(render: Render) -> None:
    spec = GatewaySettings.model_validate({"api": "gateway-api", "parent": {"name": "g", "namespace": "i"}})
    settings = agent(rollout="blueGreen", public={"host": "h"}, release={"version": "2", "share": 0})
    seen = render(lambda: Gateway("gateway", spec, Context(agents={"a": settings})))
    assert seen.seen["HTTPRoute", "a"]["spec"]["rules"][0]["backendRefs"] == [{"name": "a", "port": 80, "weight": 1}]


def test_a_gateway_is_named_for_the_gateway_api_and_only_then() -> None:
    for wrong in ({"api": "gateway-api"}, {"parent": {"name": "g", "namespace": "i"}}):
        with pytest.raises(ValidationError, match="parent: set it with"):
            GatewaySettings.model_validate(wrong)


def test_reload_by_file_mounts_and_does_not_roll(render: Render) -> None:
    def template(level: str) -> Any:
        settings = agent(
            reload="file", env={"LEVEL": level}, uses=["redis"], secrets={"KEY": {}, "OTHER": {"required": False}}
        )
        connection = Connection(secrets={"REDIS_URL": SecretRef("a.redis", "REDIS_URL")}, secret_values={"U": level})
        environment = AgentEnvironment(connections={"redis": connection}, secrets={"KEY": pulumi.Output.secret(level)})
        return deployments(render(lambda: Agent("a", settings, environment)))["a"]["template"]

    info, debug = template("info"), template("debug")
    assert info == debug
    assert not [key for key in info["metadata"]["annotations"] if key.endswith("-hash")]
    (container,) = info["spec"]["containers"]
    assert "envFrom" not in container
    assert sorted(variable["name"] for variable in container["env"]) == [
        "AGENT_NAME",
        "POD_NAME",
        "PORT",
    ]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in info["spec"]["volumes"]}
    assert volumes[mounts["/etc/agent/config"]]["configMap"]["name"] == "a"
    assert [source["secret"] for source in volumes[mounts["/etc/agent/secrets"]]["projected"]["sources"]] == [
        {"name": "a.redis", "items": [{"key": "REDIS_URL", "path": "REDIS_URL"}]},
        {"name": "a", "items": [{"key": "KEY", "path": "KEY"}]},
        {"name": "a", "items": [{"key": "OTHER", "path": "OTHER"}], "optional": True},
    ]


def test_prometheus_tells_the_versions_apart_by_their_track_alone() -> None:
    room = Path(__file__).parents[2] / "components" / "observability"
    pods = yaml.safe_load((room / "config" / "prometheus.yml").read_text())["scrape_configs"][0]["relabel_configs"]
    by_label = {rule.get("target_label"): rule for rule in pods}
    assert by_label["track"]["source_labels"] == ["__meta_kubernetes_pod_label_agentstack_dev_track"]
    assert by_label["component"]["regex"] == "(.+?)(?:-canary|-green)?"


def test_a_release_that_goes_back_is_the_stable_version_alone() -> None:
    (only,) = tracks(agent(rollout="canary", release={"version": "2", "share": 50, "aborted": True}))
    assert only.settings.image == "x/y:1"
