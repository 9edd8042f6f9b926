"""Asks the rooms of a copy of the repository that has the toy part what they know of it, and prints it as JSON."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from agentstack.drawing.difference import unchanged
from agentstack.drawing.mermaid import mermaid
from agentstack.explain.explanation import explained
from agentstack.graph.declared import declared
from agentstack.judging.locate import Locator
from agentstack.preview.run import compute
from agentstack.rendering.environment import Environment
from components.observability import make_dashboards
from components.platform.guard import facts, refusals
from policies.rules import Violation
from settings import AgentSettings, Settings
from settings.errors import SettingsError, problems

PROJECT = pathlib.Path()


def environment() -> Environment:
    """Dev, with the toy in a section of its own, and an agent that uses it."""
    content = yaml.safe_load((PROJECT / "Pulumi.dev.yaml").read_text())
    content["config"]["agentstack:toy"] = {"greeting": "good day"}
    content["config"]["agentstack:agents"]["executor"]["uses"] = ["toy"]
    file = PROJECT / "Pulumi.toy.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return Environment.find(PROJECT, "toy")


def mistakes(content: dict[str, Any]) -> list[str]:
    """What is wrong with an agent."""
    try:
        AgentSettings.model_validate({"image": "x/y:1"} | content)
    except ValidationError as error:
        return [str(problem) for problem in problems(error, AgentSettings)]
    return []


def refused(old: str, new: str) -> list[str]:
    """What the guard says of another size of the box."""
    before, after = (facts(Settings.model_validate({"toy": {"storage": size}})) for size in (old, new))
    return list(refusals(before, after))


def misspelt(found: Environment) -> str:
    """What is said of an unknown key in the section."""
    try:
        found.settings(toy={"greetings": "x"})
    except SettingsError as error:
        return str(error)
    return ""


def main() -> None:
    """Print all answers."""
    for path, text in make_dashboards.files().items():
        if not path.exists():
            path.write_text(text)
    found = environment()
    settings = found.settings()
    preview = compute(found)
    graph = declared(settings)
    files = Locator(found, preview.rendered.registrations, preview.manifests)
    deployment = Violation("image-tag", "error", "Deployment", "data", "toy", "is old", path="spec.template")
    answers = {
        "objects": [thing.object for thing in preview.manifests.items],
        "files": sorted(str(thing.path) for thing in preview.manifests.items),
        "findings": [violation.message for violation in preview.violations],
        "place": [(place := files.place(deployment)).file, place.line],
        "facts": facts(settings),
        "shrunk": refused("2Gi", "1Gi"),
        "grown": refused("1Gi", "2Gi"),
        "graph": graph.as_json(),
        "mermaid": mermaid(unchanged(graph)),
        "explained": [
            [thing.kind, thing.name, thing.purpose, *thing.because] for thing in explained(found, "executor").objects
        ],
        "uses": TypeAdapter(AgentSettings).json_schema()["properties"]["uses"]["items"]["enum"],
        "used": sorted(settings.agents["executor"].used_parts),
        "demands": [demand.source for demand in settings.demands()["data"][1]],
        "reserved": mistakes({"uses": ["toy"], "env": {"TOY_HOST": "x"}, "secrets": {"TOY_KEY": {}}}),
        "free": mistakes({"env": {"TOY_HOST": "x"}}),
        "unknown": mistakes({"uses": ["toyy"]}),
        "misspelt": misspelt(found),
    }
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
