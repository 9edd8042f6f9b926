"""The JSON Schemas accept what is shipped, and refuse what the settings refuse."""

from __future__ import annotations

import functools
import pathlib
from typing import Any

import jsonschema
import pytest
import yaml

from agentstack.authoring.policy_docs import MARKS
from agentstack.authoring.schema import outdated, schemas, write

ROOT = pathlib.Path(__file__).parents[2]
AGENT = {"name": "a", "image": "x/a:1"}


generated = functools.cache(schemas)


def mistakes(kind: str, content: Any) -> list[str]:
    schema = generated()[f"{kind}.schema.json"]
    return [error.json_path for error in jsonschema.Draft202012Validator(schema).iter_errors(content)]


def config(section: str, content: Any) -> dict[str, Any]:
    return {"config": {f"agentstack:{section}": content}}


@pytest.mark.parametrize("kind", ["agent", "check", "diff", "drift", "environment", "explain", "preview"])
def test_the_schema_itself_is_right(kind: str) -> None:
    jsonschema.Draft202012Validator.check_schema(generated()[f"{kind}.schema.json"])


@pytest.mark.parametrize("path", sorted(ROOT.glob("agents/*.yaml")), ids=lambda path: path.name)
def test_shipped_agents(path: pathlib.Path) -> None:
    assert mistakes("agent", yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("Pulumi.*.yaml")), ids=lambda path: path.name)
def test_shipped_environments(path: pathlib.Path) -> None:
    assert mistakes("environment", yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize(
    "change",
    [
        {"env": {"PORTS": "8080", "LEVEL": "info"}},
        {"resources": {"requests": {"cpu": 0.5}}},  # the rest is the default's
        {"probes": {"liveness": {"period": "20s"}}},
        {"scaling": None, "metrics": None},
        {"secrets": {"KEY": {"existingSecret": {"name": "s", "key": "k"}}}},
    ],
)
def test_right_agents(change: dict[str, Any]) -> None:
    assert mistakes("agent", AGENT | change) == []


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ({"name": "a"}, "$"),
        (AGENT | {"replica": 1}, "$"),
        (AGENT | {"name": "A"}, "$.name"),
        (AGENT | {"env": {"lower": "x"}}, "$.env"),
        (AGENT | {"resources": {"requests": {"cpu": "0.5 core"}}}, "$.resources.requests.cpu"),
        (AGENT | {"resources": {"limits": {"memory": "512MB"}}}, "$.resources.limits.memory"),
        (AGENT | {"scaling": {"min": 2}}, "$.scaling"),
        (AGENT | {"egress": [{"hots": "x"}]}, "$.egress[0]"),
        (AGENT | {"env": {"A" * 129: "x"}}, "$.env"),
        (AGENT | {"redisKeys": ["a b"]}, "$.redisKeys[0]"),
        (AGENT | {"consumes": [".."]}, "$.consumes[0]"),
        (AGENT | {"metrics": {"path": "/a?b"}}, "$.metrics"),
        (AGENT | {"placement": {"zones": ["-a"]}}, "$.placement.zones[0]"),
        (AGENT | {"identity": {"annotations": {"a/b/c": "x"}}}, "$.identity.annotations"),
        (AGENT | {"identity": {"aws": {"roleArn": "role/a"}}}, "$.identity.aws"),
        (AGENT | {"identity": {"azure": {"clientId": "1"}}}, "$.identity.azure"),
        (AGENT | {"secrets": {"KEY": {"existingSecret": {"name": "s"}}}}, "$.secrets.KEY.existingSecret"),
    ],
)
def test_wrong_agents(content: dict[str, Any], path: str) -> None:
    assert mistakes("agent", content) == [path]


@pytest.mark.parametrize(
    "content",
    [
        {"encryptionsalt": "v1:x", "config": {"kubernetes:context": "kind"}},
        config("secrets", {"KEY": {"secure": "v1:x"}}),
        config("agents", {"a": {"scaling": {"max": 3}, "probes": {"liveness": {"failures": 5}}}}),
        config("namespaces", {"agents": {"quota": {"requests": {"cpu": "3"}}}}),
        config("kafka", {"topics": {"events": {}}}),
    ],
)
def test_right_environments(content: dict[str, Any]) -> None:
    assert mistakes("environment", content) == []


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ({"confg": {}}, "$"),
        (config("reddis", {}), "$.config"),
        (config("redis", {"shards": "three"}), "$.config['agentstack:redis'].shards"),
        (config("redis", {"external": {"host": "h"}}), "$.config['agentstack:redis'].external"),
        (config("secrets", {"KEY": "plain"}), "$.config['agentstack:secrets'].KEY"),
        (config("agents", {"a": {"egress": [{"host": 3}]}}), "$.config['agentstack:agents'].a.egress[0].host"),
        (
            config("agents", {"a": {"identity": {"annotations": {"a": None}}}}),
            "$.config['agentstack:agents'].a.identity.annotations.a",
        ),
        (config("agents", {"A": {}}), "$.config['agentstack:agents']"),
        (config("agents", {"a": {"scalling": {}}}), "$.config['agentstack:agents'].a"),
    ],
)
def test_wrong_environments(content: dict[str, Any], path: str) -> None:
    assert mistakes("environment", content) == [path]


def test_what_people_write_is_described() -> None:
    properties = generated()["agent.schema.json"]["$defs"]["AgentFile"]["properties"]
    assert "connects to" in properties["uses"]["description"]


def test_files_that_are_not_current_are_found(tmp_path: pathlib.Path) -> None:
    assert {path.name for path in outdated(tmp_path)} == set(schemas())
    write(tmp_path)
    assert outdated(tmp_path) == []
    (tmp_path / "schemas" / "agent.schema.json").write_text("{}\n")
    assert [path.name for path in outdated(tmp_path)] == ["agent.schema.json"]


def test_documentation_is_written_between_its_marks_alone(tmp_path: pathlib.Path) -> None:
    docs = tmp_path / "docs" / "policies.md"
    docs.parent.mkdir()
    docs.write_text("no marks\n")
    write(tmp_path)
    assert docs.read_text() == "no marks\n"
    docs.write_text(f"before\n{MARKS[0]}old\n{MARKS[1]}after\n")
    assert outdated(tmp_path) == [docs]
    write(tmp_path)
    text = docs.read_text()
    assert text.startswith(f"before\n{MARKS[0]}\n### ")
    assert text.endswith(f"|\n\n{MARKS[1]}after\n")
    assert outdated(tmp_path) == []
