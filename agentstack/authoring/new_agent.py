"""A new agent: what to know of it, and its file, checked against its environment."""

from __future__ import annotations

import os
import pathlib
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from agentstack.rendering.environment import Environment
from settings.agent_fields import Shutdown
from settings.errors import SettingsError
from settings.files import environments, read_agents
from settings.root import Settings
from settings.types import duration_text

Declaration = dict[str, Any]
"""What stands in an agent's file."""


@dataclass(frozen=True)
class Question:
    """One thing to know of a new agent: an option, and a question where a person can be asked."""

    option: str
    text: str
    default: str | None
    """The answer that leaves the declaration as it is; None where one is needed."""
    declared: Callable[[str], Declaration]
    """From the answer to its part of the declaration. Raises `ValueError` for an answer that is none."""


def questions(name: str, settings: Settings) -> list[Question]:
    """Return what to know of a new agent, in the order of asking."""
    topics = ", ".join(settings.kafka.topics) or "any that there are"
    agents = ", ".join([*settings.agents, *settings.disabled]) or "none yet"
    longest = duration_text(Shutdown().longest_task)
    return [
        Question("image", f"Container image with its version, such as ghcr.io/acme/{name}:1.0.0", None, _image),
        Question("pods", "Pods: a number, or MIN-MAX for an autoscaler", "1", _pods),
        Question("consumes", f"Topics it reads ({topics})", "none", _list("consumes")),
        Question("produces", f"Topics it writes ({topics})", "none", _list("produces")),
        Question("calls", f"Agents it calls ({agents})", "none", _list("calls")),
        Question("redis", "Does it keep anything in Redis", "no", _redis),
        Question("public", f"Path by which the outside reaches it, such as /{name}", "none", _public),
        Question(
            "egress",
            "Hosts outside that it calls, such as api.openai.com or db.example.com:5432",
            "none",
            _list("egress"),
        ),
        Question("secrets", "Variables that hold a secret, such as OPENAI_API_KEY", "none", _secrets),
        Question("longest-task", "Longest that one task takes", longest, _longest_task),
    ]


def answered(declaration: Declaration, question: Question, answer: str, environment: Environment) -> Declaration:
    """Return the declaration with an answer in it.

    Raises `ValueError` for an answer with which the environment would be refused.
    """
    answer = answer.strip()
    if answer in ("", "none", question.default):
        if question.default is None:
            raise ValueError("is missing: add it")
        return declaration
    extended = {**declaration, **question.declared(answer)}
    if found := problems(extended, environment):
        raise ValueError("\n".join(found))
    return extended


def problems(declaration: Declaration, environment: Environment) -> list[str]:
    """Say why `environment` would be refused with this agent, one line per mistake."""
    name = str(declaration["name"])
    with tempfile.TemporaryDirectory() as folder:
        candidates = pathlib.Path(folder)
        for number, (file, _) in enumerate(read_agents(environment.agents_folder).values()):
            (candidates / f"{number}.yaml").symlink_to(file.absolute())
        # The last one in order: of two agents that want the same, it is the one that is refused.
        (candidates / "candidate.yaml").write_text(text_of(declaration, environment), encoding="utf-8")
        try:
            replace(environment, agents_folder=candidates).settings()
        except SettingsError as error:
            # The file is not there yet: its line says nothing.
            own = re.escape(str(candidates / "candidate.yaml"))
            lines = [
                re.sub(rf"^{own}(:\d+)?: (agents\.{re.escape(name)}\.)?", "", line) for line in str(error).split("\n")
            ]
            return [line.replace(f"agents.{name}.", "") for line in lines]
    return []


def text_of(declaration: Mapping[str, Any], environment: Environment) -> str:
    """Return the file of an agent."""
    schema = os.path.relpath(environment.project / "schemas" / "agent.schema.json", environment.agents_folder)
    lines = [f"# yaml-language-server: $schema={schema}\n"]
    for key, value in declaration.items():
        # None: on one line what holds only scalars, which a whole file may do as well.
        inline = None if isinstance(value, dict | list) else False
        lines.append(yaml.safe_dump({key: value}, default_flow_style=inline, sort_keys=False, width=1_000_000))
    return "".join(lines)


def next_steps(declaration: Declaration, environment: Environment) -> list[str]:
    """Return a line for each thing to do next."""
    name = declaration["name"]
    refused: dict[str, list[str]] = {}
    for other in environments(environment.project):
        try:
            type(environment).find(environment.project, other).settings()
        except SettingsError as error:
            for line in str(error).splitlines():
                refused.setdefault(line, []).append(other)
    return [
        f"next  agentstack explain {name} --env {environment.name}   # what it becomes, and what its pods find",
        *(f"then  for {', '.join(others)}: {line}" for line, others in refused.items()),
    ]


def _image(answer: str) -> Declaration:
    return {"image": answer}


def _pods(answer: str) -> Declaration:
    if match := re.fullmatch(r"(\d{1,6})(?:\s*-\s*(\d{1,6}))?", answer):
        low, high = match.groups()
        return {"scaling": {"min": int(low), "max": int(high)}} if high else {"replicas": int(low)}
    raise ValueError("must be a number such as `3`, or a range such as `2-8`")


def _words(answer: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", answer) if word]


def _list(field: str) -> Callable[[str], Declaration]:
    return lambda answer: {field: _words(answer)}


def _redis(answer: str) -> Declaration:
    if answer.lower() not in ("y", "yes", "n", "no"):
        raise ValueError("must be `yes` or `no`")
    return {"uses": ["redis"]} if answer.lower().startswith("y") else {}


def _public(answer: str) -> Declaration:
    return {"public": {"path": answer}}


def _secrets(answer: str) -> Declaration:
    return {"secrets": {word: {"required": True} for word in _words(answer)}}


def _longest_task(answer: str) -> Declaration:
    return {"shutdown": {"longestTask": answer}}
