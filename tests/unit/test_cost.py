"""What objects cost in a month: every figure here is computed by hand from the round prices of `PRICES`."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agentstack.check.judge import judge
from agentstack.check.objects import Contents
from agentstack.compare import cost as diff
from agentstack.compare.snapshot import Object, Snapshot
from agentstack.judging.policy import Policies
from agentstack.output.document import Code, Fold, Lines, Table
from agentstack.preview.cost import Pricing, line
from agentstack.preview.cost_report import published
from agentstack.preview.published import Summary
from components.agent.component import Agent
from costs.prices import PriceError, Prices, read
from costs.stack import NO_TEAM, PLATFORM, Cost, Costs, Share, Span, Usage, costs
from manifests.cron import runs_per_month
from manifests.fields import UNKNOWN, UnknownValueError
from settings import AgentSettings, SettingsError

from .conftest import Recorder

GIB = 1024**3
PRICES = Prices(
    currency="EUR",
    vcpu_hour=Decimal("0.10"),
    memory_gib_hour=Decimal("0.01"),
    storage_gib_month={"default": Decimal("0.20"), "fast": Decimal("0.50")},
    gpu_hour={"nvidia.com/gpu": Decimal(2)},
    spot_factor={"spot": Decimal("0.25")},
    hours_per_month=Decimal(100),
)
"""A pod of 1 vCPU and 1 GiB costs 10 + 1 = 11 a month of 100 hours."""
API_VERSIONS = {"Job": "batch/v1", "CronJob": "batch/v1", "Pod": "v1", "PodTemplate": "v1"}
CLAIM = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "10Gi"}}}}
FAST = {"metadata": {"name": "f"}, "spec": {**CLAIM["spec"], "storageClassName": "fast"}}


def container(cpu: str = "1", memory: str = "1Gi", limits: dict[str, str] | None = None) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": limits or {}}}


def gpus(count: int, resource: str = "nvidia.com/gpu") -> dict[str, Any]:
    return container(limits={resource: str(count)})


def template(*containers: dict[str, Any], labels: dict[str, str] | None = None, **pod: Any) -> dict[str, Any]:
    return {"metadata": {"labels": labels or {}}, "spec": {"containers": list(containers) or [container()], **pod}}


def workload(
    kind: str, pod: dict[str, Any] | None = None, name: str = "x", labels: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "space", "labels": labels or {}}
    return {
        "apiVersion": API_VERSIONS.get(kind, "apps/v1"),
        "kind": kind,
        "metadata": metadata,
        "spec": {"template": pod or template(), **spec},
    }


def scaler(low: int, high: int, name: str = "x") -> dict[str, Any]:
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": name}, "minReplicas": low, "maxReplicas": high}
    metadata = {"name": name, "namespace": "space"}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec}


def claim(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "backup", "namespace": "space"}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": {**CLAIM["spec"], **spec},
    }


def job(**spec: Any) -> dict[str, Any]:
    return workload("Job", **spec)


def cron(schedule: str, deadline: int | None = 3600, **more: Any) -> dict[str, Any]:
    run = {"template": template(), **({} if deadline is None else {"activeDeadlineSeconds": deadline})}
    return workload("CronJob", schedule=schedule, jobTemplate={"spec": run}, **more)


def agent_labels(name: str, component: str = "agent", **more: str) -> dict[str, str]:
    prefix = "app.kubernetes.io"
    own = {f"{prefix}/name": name, f"{prefix}/component": component, f"{prefix}/part-of": "agentstack"}
    return {**own, **{f"agentstack.dev/{key}": value for key, value in more.items()}}


def span(low: str, high: str | None = None) -> Span:
    return Span(Decimal(low), Decimal(low if high is None else high))


def cost(*objects: dict[str, Any]) -> Costs:
    return costs(objects, PRICES)


FLEET = {
    "apiVersion": "v1",
    "kind": "PodTemplate",
    "metadata": {"name": "f", "namespace": "space", "annotations": {"agentstack.dev/devices": "7"}},
    "template": template(),
}
BARE = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "space"}, "spec": template()["spec"]}


@pytest.mark.parametrize(
    ("objects", "total"),
    [
        ([], span("0")),
        ([workload("Deployment")], span("11")),
        ([workload("Deployment", replicas=3)], span("33")),
        ([workload("Deployment", replicas=0)], span("0")),
        ([workload("Deployment"), scaler(2, 5)], span("22", "55")),
        ([workload("Deployment", template(container("500m", "2Gi")))], span("7")),
        # Limits reserve nothing.
        ([workload("Deployment", template(container("500m", "2Gi", {"cpu": "4", "memory": "8Gi"})))], span("7")),
        # One node.
        ([workload("DaemonSet")], span("11")),
        ([FLEET], span("77")),
        ([BARE], span("11")),
        # Claims: 10 GiB at 0.20, or at 0.50 in their own class.
        ([workload("StatefulSet", volumeClaimTemplates=[CLAIM], replicas=3)], span("39")),
        ([workload("StatefulSet", volumeClaimTemplates=[CLAIM, FAST])], span("18")),
        ([claim()], span("2")),
        ([claim(storageClassName="fast")], span("5")),
        ([claim(storageClassName="another")], span("2")),
        (
            [workload("Deployment", template(volumes=[{"name": "v", "ephemeral": {"volumeClaimTemplate": CLAIM}}]))],
            span("13"),
        ),
        # A GPU is paid beside the CPU and memory of its pod: 2 x 2 x 100 + 11.
        ([workload("Deployment", template(gpus(2)))], span("411")),
        # Spot: a quarter of the hours' prices, and all of the storage's.
        ([workload("Deployment", template(labels={"agentstack.dev/pool": "spot"}))], span("2.75")),
        ([workload("Deployment", template(labels={"agentstack.dev/pool": "onDemand"}))], span("11")),
        (
            [
                workload(
                    "StatefulSet",
                    template(gpus(1), labels={"agentstack.dev/pool": "spot"}),
                    volumeClaimTemplates=[CLAIM],
                )
            ],
            span("54.75"),
        ),
        # Jobs: nothing at least, their deadline at most, and never more than the whole month.
        ([job(activeDeadlineSeconds=1800)], span("0", "0.055")),
        ([job(activeDeadlineSeconds=1800, parallelism=4, completions=2)], span("0", "0.11")),
        ([job()], span("0", "11")),
        ([job(activeDeadlineSeconds=3_600_000)], span("0", "11")),
        # 12 runs a year of an hour: one hour a month. Every hour, at once or one after the other.
        ([cron("0 0 1 * *")], span("0", "0.11")),
        ([cron("0 * * * *", concurrencyPolicy="Forbid")], span("0", "11")),
        ([cron("0 * * * *", concurrencyPolicy="Allow")], span("0", "80.3")),
        ([cron("0 * * * *", deadline=None)], span("0", "11")),
        ([cron("every day")], span("0", "11")),
        ([cron("0 * * * *", suspend=True)], span("0")),
    ],
)
def test_what_objects_cost(objects: list[dict[str, Any]], total: Span) -> None:
    assert cost(*objects).total == total


@pytest.mark.parametrize(
    ("schedule", "runs"),
    [
        ("0 3 * * *", Decimal(365) / 12),
        ("*/15 9-17 * * mon-fri", Decimal(260 * 9 * 4) / 12),
        ("0 0 1 * *", Decimal(1)),
        # Both kinds of days, and either will do: 24 days and 52 Fridays, of which 4 are both.
        ("0 0 1,15 * 5", Decimal(72) / 12),
        ("0 0 */2 * 5", runs_per_month("0 0 1-31/2 * 5")),
        ("@hourly", Decimal(730)),
        ("*/100 0 ? * ?", Decimal(365) / 12),
        ("@weekly", Decimal(53) / 12),
        ("0 0 29 2 *", Decimal(0)),
    ],
)
def test_how_often_a_schedule_comes_due(schedule: str, runs: Decimal) -> None:
    assert runs_per_month(schedule) == runs


@pytest.mark.parametrize(
    "schedule",
    ["", "* * * *", "60 * * * *", "* * 0 * *", "*/0 * * * *", "5-1 * * * *", "x * * * *", "0 0 * * 7", "0, * * * *"],
)
def test_what_is_no_schedule(schedule: str) -> None:
    assert runs_per_month(schedule) is None


def owned(manifest: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    reference = {"apiVersion": "x/v1", "kind": kind, "name": name, "controller": True}
    return {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": [reference]}}


def test_what_others_make_counts_once() -> None:
    """As in `kubectl get all,pvc -o yaml`, or where the engine makes the claims of a StatefulSet larger."""
    stateful = workload("StatefulSet", volumeClaimTemplates=[CLAIM], replicas=1)
    one = {**claim(), "metadata": {"name": "data-x-0", "namespace": "space"}}
    other = {**claim(), "metadata": {"name": "data-y-0", "namespace": "space"}}
    assert cost(stateful, one).total == span("13")
    assert cost(stateful, one, other).total == span("15")
    running = [workload("Deployment"), owned(workload("ReplicaSet"), "Deployment", "x"), owned(BARE, "ReplicaSet", "x")]
    assert cost(*running).total == span("11")
    # What makes it is not there, or is of a kind whose pods nobody knows.
    assert cost(*running[1:]).total == span("11")
    assert cost(owned(workload("ReplicaSet"), "Rollout", "x"), running[2]).total == span("11")


def test_the_parts_of_a_cost() -> None:
    pod = template(container("1", "1Gi", {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "1"}))
    (item,) = cost(workload("StatefulSet", pod, volumeClaimTemplates=[CLAIM], replicas=2)).items
    assert item.title == "StatefulSet/space/x"
    assert item.cost == Cost(cpu=span("20"), memory=span("2"), gpu=span("400"), storage=span("4"))
    assert item.usage == Usage(
        pods=span("2"),
        cpu_requests=span("2"),
        cpu_limits=span("4"),
        memory_requests=span(str(2 * GIB)),
        memory_limits=span(str(8 * GIB)),
        storage=span(str(20 * GIB)),
    )


def test_a_device_without_a_price_is_named_and_not_counted() -> None:
    objects = [workload("Deployment", template(gpus(1, "amd.com/gpu")))]
    found = cost(*objects)
    assert (found.total, found.unpriced) == (span("11"), ("amd.com/gpu",))
    assert "without amd.com/gpu, which has no price" in line(Pricing(PRICES).estimate(objects))


def test_unknown_values_are_not_taken_for_numbers() -> None:
    with pytest.raises(UnknownValueError):
        cost(workload("Deployment", replicas=UNKNOWN))
    with pytest.raises(UnknownValueError):
        cost(claim(resources={"requests": {"storage": UNKNOWN}}))


@pytest.mark.parametrize(
    ("labels", "owner"),
    [
        (agent_labels("a", team="search"), ("search", "a")),
        (agent_labels("a", "agent-canary", team="search"), ("search", "a")),
        (agent_labels("a", "fleet"), (NO_TEAM, "a")),
        (agent_labels("redis", "state"), (PLATFORM, None)),
        (agent_labels("vllm", "inference", team="models"), ("models", None)),
        # Another program's agents, such as those of a monitoring product.
        ({"app.kubernetes.io/name": "x", "app.kubernetes.io/component": "agent"}, (PLATFORM, None)),
        ({}, (PLATFORM, None)),
    ],
)
def test_whose_an_object_is(labels: dict[str, str], owner: tuple[str, str | None]) -> None:
    (by_pods,) = cost(workload("Deployment", template(labels=labels))).items
    (by_object,) = cost(workload("Deployment", labels=labels)).items
    assert (by_pods.team, by_pods.agent) == (by_object.team, by_object.agent) == owner


def quantities() -> st.SearchStrategy[str]:
    return st.builds(
        lambda number, unit: f"{number}{unit}", st.integers(0, 5000), st.sampled_from(["m", "", "Mi", "Gi"])
    )


@st.composite
def stacks(draw: st.DrawFn) -> list[dict[str, Any]]:
    made = []
    for number in range(draw(st.integers(1, 5))):
        name = f"w{number}"
        labels = draw(
            st.sampled_from([{}, agent_labels(name), agent_labels(name, team="one"), agent_labels(name, team="two")])
        )
        pod = template(container(draw(quantities()), draw(quantities())), labels=labels)
        kind = draw(st.sampled_from(["Deployment", "StatefulSet", "DaemonSet", "Job"]))
        made.append(workload(kind, pod, name, replicas=draw(st.integers(0, 50)), volumeClaimTemplates=[CLAIM]))
    return made


@given(stacks())
def test_the_sum_over_agents_and_teams_is_the_whole(objects: list[dict[str, Any]]) -> None:
    found = cost(*objects)
    for shares in (found.agents, found.teams):
        assert sum(shares.values(), Share()) == found.whole
    assert found.whole.cost.total == found.total
    assert found.total.low <= found.total.high


@given(stacks(), st.integers(0, 4), st.integers(1, 20))
def test_more_replicas_and_greater_requests_never_cost_less(
    objects: list[dict[str, Any]], which: int, more: int
) -> None:
    before = cost(*objects).total
    spec = objects[which % len(objects)]["spec"]
    requests = spec["template"]["spec"]["containers"][0]["resources"]["requests"]
    for change in (
        lambda: spec.update(replicas=spec["replicas"] + more),
        lambda: requests.update(cpu=str(5_000 * GIB + more)),
        lambda: requests.update(memory=str(5_000 * GIB + more)),
    ):
        change()
        after = cost(*objects).total
        assert after.low >= before.low
        assert after.high >= before.high
        before = after


def price_file(folder: pathlib.Path, text: str) -> str:
    (folder / "p.yaml").write_text(text)
    return str(folder / "p.yaml")


GOOD = """\
currency: EUR
vcpuHour: 0.1
memoryGibHour: 0.01
storageGibMonth: {default: 0.2}
"""


@pytest.fixture(autouse=True)
def _files_change() -> None:
    read.cache_clear()


def test_numbers_of_a_price_file_are_exact(tmp_path: pathlib.Path) -> None:
    found = read(price_file(tmp_path, GOOD))
    assert (found.vcpu_hour, found.hours_per_month) == (Decimal("0.1"), Decimal(730))
    assert Prices.of(found.as_json()) == found


def test_the_default_prices_have_every_part() -> None:
    found = read()
    assert found.currency == "USD"
    assert {"nvidia.com/gpu"} == found.gpu_hour.keys()
    assert {"spot"} == found.spot_factor.keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a group of `key: value` lines"),
        ("- 1", "must be a group of `key: value` lines"),
        ("a: [", ": malformed YAML"),
        ("? [a]\n: 1", "line 1: malformed YAML: a key must be text"),
        (GOOD + "vcpuHour: 2", "the key `vcpuHour` stands twice: remove one of them"),
        (GOOD.replace("currency: EUR\n", ""), "currency: is missing"),
        (GOOD.replace("EUR", "euro"), "currency: `euro` is not a code of ISO 4217: write for example `USD`"),
        (GOOD.replace("vcpuHour", "vcpuHours"), "unknown key `vcpuHours`, did you mean `vcpuHour`?"),
        (GOOD.replace("0.01", "cheap"), "memoryGibHour: `cheap` is not a number: write for example 0.04"),
        (GOOD.replace("0.01", "[1]"), "memoryGibHour: `list` is not a number"),
        (GOOD.replace("0.01", ".nan"), "memoryGibHour: `.nan` is not a number"),
        (GOOD.replace("0.01", "Infinity"), "memoryGibHour: `Infinity` is not a number"),
        (GOOD.replace("0.01", "-1"), "memoryGibHour: `-1` is not between 0 and 1,000,000"),
        (GOOD.replace("default", "fast"), "storageGibMonth: has no `default`"),
        (GOOD.replace("{default: 0.2}", "0.2"), "storageGibMonth: must be a group"),
        (GOOD + "gpuHour: {gpu: 1}", "gpuHour: `gpu` has no domain"),
        (GOOD + "spotFactor: {spot: 40}", "spotFactor.spot: `40` is not between 0 and 1"),
        (GOOD + "spotFactor: {spot: 0}", "spotFactor.spot: `0` makes a pool free"),
        (GOOD + "hoursPerMonth: 0", "hoursPerMonth: `0` makes everything free: write 730"),
    ],
)
def test_a_price_file_that_cannot_be_used(tmp_path: pathlib.Path, text: str, message: str) -> None:
    name = price_file(tmp_path, text)
    with pytest.raises(PriceError) as caught:
        read(name)
    assert message in str(caught.value)
    assert "p.yaml: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_price_file_with_several_mistakes_names_them_all(tmp_path: pathlib.Path) -> None:
    name = price_file(tmp_path, "vcpuHours: 1\ncurrency: euro\ngpuHour: {gpu: -1}\nspotFactor: {a: 0, b: 2}\n")
    with pytest.raises(PriceError) as caught:
        read(name)
    lines = [line.partition("p.yaml: ")[2] for line in str(caught.value).splitlines()]
    assert [line.partition(": ")[0] for line in lines] == [
        "unknown key `vcpuHours`, did you mean `vcpuHour`?",
        *("memoryGibHour", "storageGibMonth"),
        "currency",
        *("gpuHour", "gpuHour.gpu", "spotFactor.a", "spotFactor.b"),
    ]


def test_amounts_beyond_all_measure_are_no_crash() -> None:
    huge = workload("StatefulSet", template(container("1e999999", "9E")), replicas=2**70, volumeClaimTemplates=[CLAIM])
    assert cost(huge).total.high > 10**30
    assert published(Pricing(PRICES).estimate([huge])).max
    assert diff.section(diff.compare(snapshot(), with_cost(huge, pricing=BUDGET))) is not None


def test_a_price_file_that_is_not_there_or_no_text(tmp_path: pathlib.Path) -> None:
    with pytest.raises(PriceError, match="cannot be read: No such file or directory: correct `prices`"):
        read(str(tmp_path / "none.yaml"))
    (tmp_path / "p.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(PriceError, match="is not UTF-8 text"):
        read(str(tmp_path / "p.yaml"))


def configured(folder: pathlib.Path, **values: Any) -> Pricing:
    file = folder / "dev.json"
    file.write_text(json.dumps({"monthly-budget": values}))
    return Pricing.of(Policies.read(file).rules)


def test_a_name_that_no_file_can_have_is_bad_input() -> None:
    with pytest.raises(PriceError, match="cannot be read: not a path"):
        read("prices\0.yaml")


def test_an_environment_has_prices_of_its_own(tmp_path: pathlib.Path) -> None:
    pricing = configured(tmp_path, monthly=50.1, prices=price_file(tmp_path, GOOD))
    assert (pricing.prices.currency, pricing.budget) == ("EUR", Decimal("50.1"))
    with pytest.raises(SettingsError, match=r"none\.yaml: cannot be read"):
        configured(tmp_path, prices="none.yaml")


def test_any_folder_of_yaml_has_a_budget(tmp_path: pathlib.Path) -> None:
    (tmp_path / "api.yaml").write_text(json.dumps(workload("Deployment", replicas=2)))
    contents = Contents()
    contents.read(tmp_path / "api.yaml")

    def judged(monthly: int) -> list[str]:
        (tmp_path / "dev.json").write_text(json.dumps({"all": "disabled", "monthly-budget": {
            "enforcementLevel": "mandatory", "monthly": monthly, "prices": price_file(tmp_path, GOOD)
        }}))  # fmt: skip
        checked = judge("here", contents, Policies.read(tmp_path / "dev.json"), None)
        return [finding.violation.rule for finding in checked.findings]

    # 2 x (0.1 + 0.01) x 730 = 160.60
    assert judged(160) == ["monthly-budget"]
    assert judged(161) == []


def test_the_line_of_a_preview() -> None:
    objects = [
        workload("Deployment", labels=agent_labels("a", team="search")),
        scaler(1, 100),
        workload("Deployment", name="b", labels=agent_labels("b")),
        workload("StatefulSet", name="redis"),
    ]
    budget = Pricing(PRICES, Decimal(1000))
    assert line(budget.estimate(objects)) == (
        "33.00 to 1,122.00 EUR a month of 1,000.00: search 11.00 to 1,100.00, no team 11.00, platform 11.00"
    )
    assert budget.estimate(objects).over
    least = Pricing(PRICES, Decimal(1000), "at-least")
    assert "a month of 1,000.00 at least: " in line(least.estimate(objects))
    assert not least.estimate(objects).over


def test_the_json_of_an_estimate() -> None:
    report = published(Pricing(PRICES, Decimal("20.5")).estimate([workload("Deployment"), claim()]))
    content = json.loads(report.text())
    assert {key: content[key] for key in ("currency", "min", "max", "budget", "figure", "unpriced", "perNode")} == {
        "currency": "EUR",
        "min": "13.0000",
        "max": "13.0000",
        "budget": "20.5",
        "figure": "at-most",
        "unpriced": [],
        "perNode": False,
    }
    assert [{**share, "agent": None} for share in content["teams"]] == content["agents"]
    assert content["teams"][0]["team"] == PLATFORM
    assert content["teams"][0]["usage"]["storage"] == {"min": 10.0 * GIB, "max": 10.0 * GIB}
    assert [item["kind"] for item in content["workloads"]] == ["Deployment", "PersistentVolumeClaim"]
    assert type(report).model_validate(content).pricing == Pricing(PRICES, Decimal("20.5"))


def snapshot(*objects: dict[str, Any], **report: Any) -> Snapshot:
    found = [Object(each) for each in objects]
    return Snapshot("dev", "r", {each.key: each for each in found}, Summary.model_validate(report))


def with_cost(*objects: dict[str, Any], pricing: Pricing) -> Snapshot:
    return snapshot(*objects, cost=published(pricing.estimate(objects)))


BUDGET = Pricing(PRICES, Decimal(100))
AGENT = agent_labels("a", team="search")


def test_a_change_is_reckoned_at_the_prices_of_the_head() -> None:
    # The base is too old to know of costs.
    before = snapshot(workload("Deployment", labels=AGENT), workload("Deployment", name="same"))
    after = with_cost(
        workload("Deployment", labels=AGENT), scaler(2, 20), workload("Deployment", name="same"), pricing=BUDGET
    )
    section = diff.section(diff.compare(before, after))
    assert section is not None
    assert section.mark == "bad"
    summary, table, *folds = section.blocks
    assert isinstance(summary, Lines)
    assert summary.items == (
        "22.00 → 33.00 to 231.00 EUR a month (+11.00 to +209.00)",
        "budget 100.00 EUR, at most: 131.00 too much",
    )
    assert isinstance(table, Table)
    assert table.rows == (
        (Code("search"), Code("a"), "1 → 2 to 20", "11.00 → 22.00", "11.00 → 220.00", "+11.00 to +209.00"),
    )
    assert [fold.title for fold in folds] == ["Requests, limits and storage", "By team"]
    assert diff.cell(diff.compare(before, after)) == "33.00 to 231.00 EUR (+11.00 to +209.00)"
    content = json.loads(diff.published(diff.compare(before, after)).text())
    assert (content["before"]["max"], content["after"]["max"], content["saidBefore"]) == ("22.0000", "231.0000", None)


def test_an_agent_that_changes_hands_is_one_row() -> None:
    before = snapshot(workload("Deployment", labels=agent_labels("a")), workload("DaemonSet", name="gone"))
    after = with_cost(workload("Deployment", labels=AGENT, replicas=2), pricing=BUDGET)
    section = diff.section(diff.compare(before, after))
    assert section is not None
    table, _, teams = section.blocks[1:]
    assert isinstance(table, Table)
    assert table.rows == (
        (("no team", " → ", Code("search")), Code("a"), "1 → 2", "11.00 → 22.00", "11.00 → 22.00", "+11.00"),
        (PLATFORM, "", "1 → 0", "11.00 → 0.00", "11.00 → 0.00", "-11.00"),
    )
    assert isinstance(teams, Fold)
    assert isinstance(teams.blocks[0], Table)
    assert [row[0] for row in teams.blocks[0].rows] == ["no team", PLATFORM, Code("search")]


def test_no_change_is_no_section() -> None:
    objects = [workload("Deployment", labels=AGENT)]
    assert diff.section(diff.compare(snapshot(*objects), with_cost(*objects, pricing=BUDGET))) is None


def test_a_changed_limit_costs_nothing_and_is_shown() -> None:
    before = snapshot(workload("Deployment", labels=AGENT))
    after = with_cost(
        workload("Deployment", template(container(limits={"memory": "2Gi"})), labels=AGENT), pricing=BUDGET
    )
    section = diff.section(diff.compare(before, after))
    assert section is not None
    assert section.blocks[1].rows[0][-1] == ""  # type: ignore[union-attr]
    assert section.blocks[2].blocks[0].rows[0][3] == "1Gi (0) → 1Gi (2Gi)"  # type: ignore[union-attr]


def test_a_changed_price_list_is_told_apart() -> None:
    objects = [workload("Deployment", labels=AGENT)]
    dearer = Pricing(Prices.of({**PRICES.as_json(), "vcpuHour": "1", "currency": "USD"}), BUDGET.budget)
    section = diff.section(diff.compare(with_cost(*objects, pricing=BUDGET), with_cost(*objects, pricing=dearer)))
    assert section is not None
    (summary,) = section.blocks
    assert isinstance(summary, Lines)
    assert summary.items == (
        "101.00 USD a month",
        "budget 100.00 USD, at most: 1.00 too much",
        "the prices change: by its own, the base costs 11.00 EUR; above it is at the new ones",
    )


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (BUDGET, Pricing(PRICES, Decimal(500)), ("budget 500.00 EUR, at most: 489.00 left", "100.00 EUR, at most")),
        (BUDGET, Pricing(PRICES), ("100.00 EUR, at most",)),
        (Pricing(PRICES), BUDGET, ("budget 100.00 EUR, at most: 89.00 left", "none")),
        (
            BUDGET,
            Pricing(PRICES, Decimal(100), "at-least"),
            ("budget 100.00 EUR, at least: 89.00 left", "100.00 EUR, at most"),
        ),
    ],
)
def test_a_changed_budget_does_not_go_unseen(before: Pricing, after: Pricing, lines: tuple[str, ...]) -> None:
    objects = [workload("Deployment", labels=AGENT)]
    section = diff.section(diff.compare(with_cost(*objects, pricing=before), with_cost(*objects, pricing=after)))
    assert section is not None
    assert section.mark == "warn"
    (summary,) = section.blocks
    assert isinstance(summary, Lines)
    assert summary.items == ("11.00 EUR a month", *lines[:-1], f"the budget changes: it was {lines[-1]}")


Render = Callable[[Callable[[], object]], Recorder]
KINDS: dict[str, dict[str, Any]] = {
    "service": {"replicas": 2},
    "canary": {"rollout": "canary", "release": {"version": "2", "share": 10}},
    "fleet": {"kind": "fleet", "fleet": {"devices": ["one", "two"]}},
    "job": {"kind": "job"},
    "cron": {"kind": "cron", "cron": {"schedule": "0 3 * * *"}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_runs_for_an_agent_is_its_cost_and_its_teams(render: Render, kind: str) -> None:
    def objects(team: str | None) -> dict[tuple[str, str], dict[str, Any]]:
        settings = AgentSettings.model_validate({"image": "x/y:1", "team": team, **KINDS[kind]})
        seen = render(lambda: Agent("a", settings)).seen
        return {key: found for key, found in seen.items() if "apiVersion" in found}

    without, owned = objects(None), objects("search")
    assert set(costs(owned.values(), PRICES).agents) == {("search", "a")}
    assert set(costs(without.values(), PRICES).agents) == {(NO_TEAM, "a")}
    for key, manifest in owned.items():
        spec = manifest.get("spec", {})
        # What has labels has this one; what selects pods does not ask for it.
        assert manifest["metadata"].get("labels", {"agentstack.dev/team": "search"})["agentstack.dev/team"] == "search"
        for selector in ("selector", "podSelector"):
            assert spec.get(selector) == without.get(key, manifest).get("spec", {}).get(selector)
            assert "agentstack.dev/team" not in json.dumps(spec.get(selector))
    assert "agentstack.dev/team" not in json.dumps(list(without.values()))


def test_a_team_is_a_label() -> None:
    with pytest.raises(ValidationError, match="is not a DNS label"):
        AgentSettings(image="x/y:1", team="no team")
