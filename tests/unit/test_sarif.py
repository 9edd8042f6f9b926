"""Findings at their lines: where each is fixed, and SARIF."""

from __future__ import annotations

import itertools
import json
import pathlib
from typing import Any

import jsonschema
import pytest

from agentstack.judging.finding import PlacedFindingReport
from agentstack.judging.locate import Location, Locator, decided_by, relative, repository
from agentstack.judging.sarif import sarif, write
from agentstack.rendering.environment import Environment
from agentstack.rendering.manifests import Manifests
from agentstack.rendering.render import render
from components.agent.part import PART as AGENT
from policies.rules import FRAMEWORK, RULES, Violation, Waiver
from settings.errors import SettingsError

ROOT = pathlib.Path(__file__).parents[2]

# What is used of https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json, and nothing else.
_TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
_LEVEL = {"enum": ["none", "note", "warning", "error"]}


def strict(**properties: Any) -> dict[str, Any]:
    required = [name for name in properties if not name.endswith("_")]
    known = {name.removesuffix("_"): schema for name, schema in properties.items()}
    return {"type": "object", "properties": known, "required": required, "additionalProperties": False}


def listed(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": schema, **more}


_RULE = strict(
    id={"type": "string", "pattern": "^[a-z0-9-]+$"},
    name={"type": "string", "pattern": "^[A-Za-z0-9]+$"},
    shortDescription=_TEXT,
    fullDescription=_TEXT,
    help=_TEXT,
    defaultConfiguration=strict(level=_LEVEL),
    properties={"type": "object", "required": ["tags", "precision", "problem.severity"]},
)
_RESULT = strict(
    ruleId={"enum": [*(rule.id for rule in RULES), *FRAMEWORK]},
    level=_LEVEL,
    message=_TEXT,
    locations=listed(
        strict(
            physicalLocation=strict(
                artifactLocation=strict(
                    uri={"type": "string", "format": "uri-reference"}, uriBaseId={"type": "string"}
                ),
                region=strict(startLine={"type": "integer", "minimum": 1}),
            ),
            logicalLocations_=listed(strict(fullyQualifiedName={"type": "string"}, kind={"type": "string"})),
        ),
        minItems=1,
        maxItems=1,
    ),
    partialFingerprints={"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}},
    suppressions=listed(
        strict(kind={"enum": ["inSource", "external"]}, status={"const": "accepted"}, justification={"type": "string"})
    ),
    properties=strict(
        environments=listed({"type": "string"}),
        path_={"type": "string"},
        what_={"type": "string"},
        remedy_={"type": "string"},
    ),
)
_LOG = strict(
    **{"$schema": {"type": "string"}},
    version={"const": "2.1.0"},
    runs=listed(
        strict(
            tool=strict(
                driver=strict(name={"type": "string"}, semanticVersion_={"type": "string"}, rules=listed(_RULE))
            ),
            automationDetails=strict(id={"type": "string"}),
            originalUriBaseIds={"type": "object"},
            columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
            results=listed(_RESULT),
        ),
        minItems=1,
        maxItems=1,
    ),
)


def finding(**fields: Any) -> dict[str, Any]:
    return {
        "rule": "image-tag",
        "severity": "error",
        "outcome": "violation",
        "kind": "Deployment",
        "namespace": "agents",
        "name": "api",
        "message": "has no tag",
        "path": "spec.template.spec.containers[0].image",
        "what": "has no tag",
        "remedy": "",
        "waived": None,
        "place": {"file": "agents/api.yaml", "line": 3},
        **fields,
    }


def log(**environments: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        sarif({name: map(PlacedFindingReport.model_validate, found) for name, found in environments.items()})
    )
    jsonschema.Draft7Validator(_LOG).validate(content)
    run: dict[str, Any] = content["runs"][0]
    return run


def results(*findings: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = log(prod=findings)["results"]
    return found


def test_every_rule_is_described() -> None:
    rules = {rule["id"]: rule for rule in log()["tool"]["driver"]["rules"]}
    assert list(rules) == [*(rule.id for rule in RULES), *FRAMEWORK]
    assert rules["liveness-probe"]["defaultConfiguration"] == {"level": "warning"}
    assert rules["liveness-probe"]["name"] == "LivenessProbe"
    for rule in RULES:
        assert rules[rule.id]["help"]["text"].startswith(rule.description)


def test_a_finding_is_a_result_at_its_line() -> None:
    [result] = results(finding())
    location = result["locations"][0]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "agents/api.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 3},
    }
    assert location["logicalLocations"] == [{"fullyQualifiedName": "Deployment/agents/api", "kind": "resource"}]
    assert (result["ruleId"], result["level"]) == ("image-tag", "error")
    assert result["message"] == {"text": "Deployment/agents/api: has no tag"}
    assert result["suppressions"] == []
    assert result["properties"] == {
        "environments": ["prod"],
        "path": "spec.template.spec.containers[0].image",
        "what": "has no tag",
    }


def test_a_waived_finding_is_suppressed_with_its_reason() -> None:
    waived = {"owner": "team-a", "reason": "moved", "until": "2027-01-31"}
    [result] = results(finding(waived=waived))
    assert result["suppressions"] == [
        {"kind": "external", "status": "accepted", "justification": "moved (team-a, until 2027-01-31)"}
    ]


def test_environments_share_a_result_at_the_same_line() -> None:
    run = log(
        dev=[finding(severity="warning"), finding(place={"file": "Pulumi.dev.yaml", "line": 1})],
        prod=[finding()],
        staging=[finding(waived={"owner": "o", "reason": "r", "until": "2027-01-31"})],
    )
    found = [(r["level"], r["properties"]["environments"], bool(r["suppressions"])) for r in run["results"]]
    assert found == [
        ("error", ["dev", "prod"], False),
        ("error", ["dev"], False),
        ("error", ["staging"], True),
    ]


def test_fingerprints_outlast_other_lines_and_numbers_but_tell_findings_apart() -> None:
    def prints(*findings: dict[str, Any]) -> set[str]:
        return {result["partialFingerprints"]["agentstack/v1"] for result in results(*findings)}

    same = [
        finding(message="runs 2 pods"),
        finding(message="runs 3 pods", place={"file": "agents/api.yaml", "line": 9}),
    ]
    assert len(prints(*same)) == 1
    others = [finding(), finding(rule="cpu-limit"), finding(name="b"), finding(message='container "x" has no tag')]
    assert len(prints(*others)) == 4


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("a [link](https://evil.example)", "Deployment/agents/api: a [link] (https://evil.example)"),
        ("{0} {12} {}", "Deployment/agents/api: {{0}} {{12}} {}"),
        ("\x1b[31m\n\u202e", "Deployment/agents/api: \\x1b[31m\\n\\u202e"),
        ("\ud800", "Deployment/agents/api: \\ud800"),
    ],
)
def test_hostile_text_is_plain(message: str, shown: str) -> None:
    assert results(finding(message=message))[0]["message"]["text"] == shown


def test_long_messages_are_cut_and_file_names_encoded() -> None:
    [result] = results(finding(message="x" * 5000, place={"file": "a b/#?%.yaml", "line": 1}))
    assert len(result["message"]["text"]) == 1000
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a%20b/%23%3F%25.yaml"


def test_writing_makes_the_folder_and_says_what_is_wrong(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "a" / "b.sarif", {})
    assert json.loads((tmp_path / "a" / "b.sarif").read_text())["version"] == "2.1.0"
    with pytest.raises(SettingsError, match="cannot be written"):
        write(tmp_path, {})


# Where a finding is fixed


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("spec.template.spec.containers[0].image", ["image"]),
        ("spec.template.spec.containers[1].resources.requests.cpu", ["resources.requests.cpu"]),
        ("spec.jobTemplate.spec.template.spec.containers[0].resources", ["resources"]),
        ("spec.jobTemplate.spec.backoffLimit", ["job.retries"]),
        ("template.spec.terminationGracePeriodSeconds", ["shutdown.longestTask"]),
        ("spec.replicas", ["replicas", "scaling"]),
        ("metadata.labels", []),
        ("", []),
    ],
)
def test_the_fields_that_decide_a_path_of_an_object(path: str, fields: list[str]) -> None:
    assert [".".join(keys) for keys in decided_by(AGENT, path)] == fields


def test_what_decides_a_path_is_a_field_of_an_agent() -> None:
    schema = json.loads((ROOT / "schemas" / "agent.schema.json").read_text())

    def group(value: dict[str, Any]) -> dict[str, Any]:
        """The properties of a group; those of an optional one stand in one of the alternatives."""
        found = {}
        for one in (value, *value.get("anyOf", ())):
            found |= schema["$defs"][one["$ref"].rpartition("/")[2]]["properties"] if "$ref" in one else {}
        return found

    for field in itertools.chain(*AGENT.origins.values()):
        properties = schema["$defs"]["AgentFile"]["properties"]
        for key in field.split("."):
            assert key in properties, field
            properties = group(properties[key])


@pytest.fixture(scope="module")
def dev() -> Locator:
    environment = Environment.find(ROOT, "dev")
    rendered = render(environment)
    return Locator(environment, rendered.registrations, Manifests.of(rendered.registrations))


def line(file: str, text: str, after: str = "") -> Location:
    lines = (ROOT / file).read_text().splitlines()
    start = next(number for number, content in enumerate(lines) if content.startswith(after))
    return Location(file, next(n for n, content in enumerate(lines, 1) if n > start and content.startswith(text)))


def found(kind: str, namespace: str, name: str, message: str = "", **fields: Any) -> Violation:
    return Violation(fields.pop("rule", "image-tag"), "error", kind, namespace, name, message, **fields)


def test_of_an_agent_it_is_the_line_of_the_field_or_of_its_name(dev: Locator) -> None:
    name = line("agents/executor.yaml", "name:")
    pod = "spec.template.spec"
    for path, expected in (
        (f"{pod}.containers[0].image", line("agents/executor.yaml", "image:")),
        (
            f"{pod}.containers[0].resources.requests.cpu",
            line("Pulumi.dev.yaml", "        requests:", after="    executor:"),
        ),
        (f"{pod}.securityContext", name),
        ("spec.replicas", line("Pulumi.dev.yaml", "      scaling:", after="    executor:")),
        ('metadata.annotations."example.com/image"', name),
        ("", name),
    ):
        # The path counts, whatever the message names.
        violation = found("Deployment", "agents", "executor", "set env.x or scaling.min", path=path)
        assert dev.place(violation) == expected, path


@pytest.mark.parametrize(
    ("kind", "namespace", "name", "section"),
    [
        ("StatefulSet", "data", "redis", "redis"),
        ("StatefulSet", "observability", "prometheus", "observability"),
        ("ResourceQuota", "data", "quota", "namespaces"),
        ("Namespace", "", "data", "namespaces"),
        ("Namespace", "", "elsewhere", "namespaces"),
    ],
)
def test_of_another_object_it_is_the_section_that_makes_it(dev: Locator, kind, namespace, name, section) -> None:
    assert dev.place(found(kind, namespace, name)) == line("Pulumi.dev.yaml", f"  agentstack:{section}:")


def test_of_anything_else_it_is_the_file_of_the_environment(dev: Locator) -> None:
    assert dev.place(found("", "", "")) == Location("Pulumi.dev.yaml", 1)
    assert dev.place(found("Deployment", "agents", "unknown")) == Location("Pulumi.dev.yaml", 1)


def test_of_a_waiver_it_is_its_line(dev: Locator) -> None:
    from datetime import date

    waiver = Waiver("image-tag", "Deployment", "agents", "executor", "r", "o", date(2027, 1, 1), line=7)
    unused = found("Deployment", "agents", "executor", rule="waiver-unused", waiver=waiver)
    assert dev.place(unused) == Location("policies/waivers.yaml", 7)
    assert dev.place(found("Deployment", "agents", "executor", waiver=waiver)).file == "agents/executor.yaml"


def test_paths_are_from_the_root_of_the_repository(tmp_path: pathlib.Path) -> None:
    project = tmp_path / "repo" / "project"
    project.mkdir(parents=True)
    assert repository(project) == project.resolve()
    (tmp_path / "repo" / ".git").mkdir()
    root = repository(project)
    assert root == (tmp_path / "repo").resolve()
    assert relative(project / "Pulumi.dev.yaml", root) == "project/Pulumi.dev.yaml"
    assert relative(tmp_path / "elsewhere.yaml", root) == "elsewhere.yaml"
