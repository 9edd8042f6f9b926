"""The report: one screen, plain in a pipe, and JSON whose keys stay."""

from __future__ import annotations

import json
import pathlib
from datetime import date
from typing import Any

import jsonschema
import pytest

from agentstack.authoring.schema import schemas
from agentstack.judging.locate import Location
from agentstack.judging.policy import Policies
from agentstack.preview.cost import Pricing
from agentstack.preview.published import published
from agentstack.preview.report import Preview, Report
from agentstack.preview.screen import show
from agentstack.rendering.environment import Environment
from agentstack.rendering.manifests import Manifests, Written
from agentstack.rendering.registration import Registration, Rendered, Secret
from manifests.capacity import capacity
from policies.rules import Violation, Waiver
from settings import Safeguards

ROOT = "urn:stack"


def part(name: str, parent: str = ROOT, kind: str = "Part") -> Registration:
    return Registration(f"urn:{name}", f"test:parts:{kind}", name, parent, True, {})


API_VERSIONS = {"Deployment": "apps/v1", "HorizontalPodAutoscaler": "autoscaling/v2"}


def thing(kind: str, name: str, parent: str, **content: Any) -> Registration:
    head = {"kind": kind, "apiVersion": API_VERSIONS.get(kind, "v1")}
    inputs = {**head, "metadata": {"name": name, "namespace": "space"}, **content}
    return Registration(f"urn:{kind}:{name}", f"kubernetes:x:{kind}", name, parent, False, inputs)


def deployment(name: str, parent: str, cpu: str = "500m") -> Registration:
    container = {"resources": {"requests": {"cpu": cpu, "memory": "256Mi"}}}
    spec = {"replicas": 2, "template": {"spec": {"containers": [container]}}}
    return thing("Deployment", name, parent, spec=spec)


def report(registrations: list[Registration], violations: list[Violation] | None = None, **rendered: Any) -> Report:
    manifests = Manifests.of(registrations)
    preview = Preview(
        source=Environment(pathlib.Path(), "dev", pathlib.Path("no.yaml"), pathlib.Path("agents")),
        rendered=Rendered(registrations, **rendered),
        manifests=manifests,
        namespaces=capacity(manifest.object for manifest in manifests.items),
        policies=Policies.read(None),
        violations=violations or [],
        located=[Location("agents/api.yaml", 3) for _ in violations or []],
        safeguards=Safeguards(),
        cost=Pricing.of(()).estimate([]),
    )
    return Report(preview, pathlib.Path("build/dev"), Written(3, 1, 0), [("pulumi up", "deploy")])


SMALL = [
    part("whole"),
    part("b", "urn:whole"),
    part("a", "urn:whole"),
    deployment("api", "urn:a"),
    thing("HorizontalPodAutoscaler", "api", "urn:Deployment:api", spec={
        "scaleTargetRef": {"kind": "Deployment", "name": "api"}, "minReplicas": 2, "maxReplicas": 4,
    }),
    thing("ConfigMap", "one", "urn:b", data={"x": Secret("open-sesame")}),
    thing("ConfigMap", "two", "urn:b"),
    thing("ResourceQuota", "quota", ROOT, spec={"hard": {"requests.cpu": "1", "pods": "9"}}),
]  # fmt: skip
OUTPUTS = {"url": "http://x", "password": Secret("open-sesame"), "ports": {"a": 1}}
WAIVER = Waiver("r", "Service", "space", "api", "moved [soon]", "team-a", date(2027, 1, 31))
FOUND = Violation("some-rule", "warning", "Service", "space", "api", "is broken", path="spec.type", remedy="fix [it]")


def screen(capsys: pytest.CaptureFixture[str], shown: Report) -> list[str]:
    show(shown)
    return capsys.readouterr().out.splitlines()


def test_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert screen(capsys, report(SMALL, [FOUND], outputs=OUTPUTS, warnings=["mind the gap"])) == [
        "Agent Stack · dev   5 objects in 1 namespace",
        "whole Part                           4",
        "├── a Part                           2  Deployment, HPA",
        "└── b Part                           2  2 ConfigMap",
        "(no component) Stack                 1  ResourceQuota",
        "",
        "namespace          pods   Jobs' pods   CPU requested   memory requested",
        "space       2 to 4 of 9            -     1 to 2 of 1       512Mi to 1Gi",
        "",
        "cost      0.00 USD a month",
        "policies  warning some-rule: Service/space/api: is broken; fix [it]",
        "warnings  mind the gap",
        "          ConfigMap space/one: data.x is a secret, and left out: let it be read from a Secret",
        "outputs   password  (secret)",
        '          ports     {"a": 1}',
        "          url       http://x",
        "files     build/dev: 3 written, 1 unchanged, 0 removed; 1 without their secret values",
        "next      pulumi up   # deploy",
    ]


def placed(name: str) -> Registration:
    item = {"key": "kubernetes.io/arch", "operator": "In", "values": ["arm64"]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [item]}]}
    pod = {
        "nodeSelector": {"topology.kubernetes.io/zone": "a"},
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
        "containers": [{"resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"nvidia.com/gpu": "2"}}}],
    }
    template = {"metadata": {"labels": {"agentstack.dev/pool": "spot"}}, "spec": pod}
    return thing("Deployment", name, ROOT, spec={"replicas": 3, "template": template})


def test_what_runs_where_is_shown_where_something_has_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    shown = report([*SMALL, placed("model")])
    lines = screen(capsys, shown)
    start = next(number for number, line in enumerate(lines) if line.startswith("runs on"))
    assert [line.split() for line in lines[start : start + 4]] == [
        ["runs", "on", "pods", "CPU", "requested", "memory", "requested", "what"],
        ["spot,", "arm64,", "zone", "a,", "2", "nvidia.com/gpu", "3", "3", "3Gi", "model"],
        ["any", "node", "2", "to", "4", "1", "to", "2", "512Mi", "to", "1Gi", "api"],
        [],
    ]
    assert json.loads(published(shown).text())["places"][0] == {
        "pool": "spot",
        "architecture": "arm64",
        "zones": ["a"],
        "devices": {"nvidia.com/gpu": 2},
        "workloads": [{"kind": "Deployment", "name": "model"}],
        "pods": {"min": 3, "max": 3},
        "requests.cpu": {"min": 3.0, "max": 3.0},
        "requests.memory": {"min": 3 * 1024.0**3, "max": 3 * 1024.0**3},
    }
    assert not any(line.startswith("runs on") for line in screen(capsys, report(SMALL)))
    assert [place["pool"] for place in json.loads(published(report(SMALL)).text())["places"]] == [None]


def test_colours_are_for_terminals(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert any("\x1b[1;36m" in line for line in screen(capsys, report(SMALL)))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not any("\x1b[1;36m" in line for line in screen(capsys, report(SMALL)))


def test_many_components_of_a_kind_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    many = [part("whole"), part("other", "urn:whole", "Other")]
    for number in range(13):
        many += [part(f"p{number}", "urn:whole"), deployment(f"d{number}", f"urn:p{number}")]
    assert screen(capsys, report(many))[1:4] == [
        "whole Part                          13",
        "├── other Other                      0",
        "└── 13 x Part                       13  13 Deployment",
    ]


def test_many_findings_are_cut_and_errors_come_first(capsys: pytest.CaptureFixture[str]) -> None:
    error = Violation("z-rule", "error", "Job", "space", "j", "fix it")
    lines = screen(capsys, report(SMALL, [FOUND] * 12 + [error]))
    start = lines.index("policies  error z-rule: Job/space/j: fix it")
    assert lines[start + 10] == "          ... and 3 more: see `--json`"


def test_nothing_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert any("nothing found" in line for line in screen(capsys, report([deployment("api", ROOT)])))


@pytest.mark.parametrize(
    ("violation", "failed"),
    [
        (FOUND, False),
        (Violation("r", "error", "", "", "", ""), True),
        (Violation("r", "error", "", "", "", "", outcome="not evaluated"), True),
        (Violation("r", "error", "", "", "", "", waiver=WAIVER), False),
        (Violation("waiver-unused", "error", "", "", "", "", waiver=WAIVER), True),
    ],
)
def test_what_fails_a_preview(violation: Violation, failed: bool) -> None:
    assert report(SMALL, [violation]).preview.failed == failed


def test_waived_findings_come_last_with_reason_and_date(capsys: pytest.CaptureFixture[str]) -> None:
    waived = Violation("r", "error", "Service", "space", "api", "is broken", waiver=WAIVER)
    shown = report(SMALL, [waived, FOUND])
    assert [line.split(maxsplit=1)[1] for line in screen(capsys, shown) if "space/api" in line] == [
        "warning some-rule: Service/space/api: is broken; fix [it]",
        "r: Service/space/api: is broken (until 2027-01-31, team-a: moved [soon])",
    ]
    entries = {entry["rule"]: entry["waived"] for entry in json.loads(published(shown).text())["policies"]}
    assert entries == {
        "some-rule": None,
        "r": {"owner": "team-a", "reason": "moved [soon]", "until": "2027-01-31"},
    }


def test_json_is_as_its_schema_says_and_has_no_secrets() -> None:
    text = published(report(SMALL, [FOUND], outputs=OUTPUTS, warnings=["mind the gap"])).text()
    assert "open-sesame" not in text
    content = json.loads(text)
    jsonschema.Draft202012Validator(schemas()["preview.schema.json"] | {"additionalProperties": False}).validate(
        content
    )
    assert content["environment"] == "dev"
    assert content["folder"] == "build/dev"
    assert content["failed"] is False
    assert {key: content["objects"][0][key] for key in ("kind", "namespace", "name", "file")} == {
        "kind": "ResourceQuota",
        "namespace": "space",
        "name": "quota",
        "file": "10-limits/space.resourcequota.quota.yaml",
    }
    assert content["components"][0]["children"][1] == {
        "name": "b",
        "type": "Part",
        "objects": {"ConfigMap": 2},
        "children": [],
    }
    assert content["namespaces"] == [
        {
            "name": "space",
            "perNode": False,
            "workloads": [{"kind": "Deployment", "name": "api", "min": 2, "max": 4}],
            "pods": {"min": 2, "max": 4, "quota": 9.0, "jobs": 0},
            "requests.cpu": {"min": 1.0, "max": 2.0, "quota": 1.0},
            "requests.memory": {"min": 512 * 1024.0**2, "max": 1024.0**3, "quota": None},
            "limits.cpu": {"min": 0.0, "max": 0.0, "quota": None},
            "limits.memory": {"min": 0.0, "max": 0.0, "quota": None},
        }
    ]
    assert content["policies"] == [
        {
            "rule": "some-rule",
            "severity": "warning",
            "outcome": "violation",
            "kind": "Service",
            "namespace": "space",
            "name": "api",
            "message": "is broken; fix [it]",
            "path": "spec.type",
            "what": "is broken",
            "remedy": "fix [it]",
            "waived": None,
            "place": {"file": "agents/api.yaml", "line": 3},
        }
    ]
    assert len(content["warnings"]) == 2
    assert content["outputs"] == {"password": None, "ports": {"a": 1}, "url": "http://x"}
    assert content["files"] == {"written": 3, "unchanged": 1, "removed": 0}
