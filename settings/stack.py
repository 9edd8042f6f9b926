"""From configuration and agent files to the validated `Settings` of one stack."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from manifests.text import escaped, nearest, quoted

from .agents import AgentFile
from .errors import Problem, SettingsError, problems
from .files import line_of, read_agents
from .fleet import FOLDER
from .model import merge, overrides
from .root import Settings

SECTIONS = tuple(name for name in Settings.model_fields if name not in ("agents", "disabled", "secrets"))
"""What of `Settings` the configuration of a stack gives as it is, by its keys there."""


def load(config: Mapping[str, Any], *, stack_file: pathlib.Path, agents_folder: pathlib.Path) -> Settings:
    """Validate the configuration of a stack together with its agents.

    `config` maps the sections to plain values as they stand in `Pulumi.STACK.yaml` behind `agentstack:`, such as
    `{"redis": {"shards": 3}}`; a secret is a mapping with the key `secure`, and its value is never looked at.
    Messages point into `stack_file` and into the agents' files.

    Raises `SettingsError` with one line per mistake.
    """
    files = read_agents(agents_folder)
    mistakes = _Mistakes(stack_file, files, config.get("agents", {}))
    groups = (*SECTIONS, "agents", "secrets")
    for key, value in config.items():
        if key not in groups:
            mistakes.add(Problem((key,), f"unknown key {quoted(key)}{nearest(key, groups)}"))
        elif not isinstance(value, Mapping):
            mistakes.add(Problem((key,), "must be a group of `key: value` lines"))
    mistakes.raise_if_any()
    changes: Mapping[str, Any] = config.get("agents", {})
    for name, override in changes.items():
        if name not in files:
            mistakes.add(Problem(("agents", name), f"unknown agent {quoted(str(name))}{nearest(name, files)}"))
        elif not isinstance(override, Mapping):
            mistakes.add(Problem(("agents", name), "must be a group of `key: value` lines"))
        elif "name" in override:
            mistakes.add(Problem(("agents", name, "name"), "an environment cannot rename an agent: remove it"))
    for name, value in config.get("secrets", {}).items():
        if not (isinstance(value, Mapping) and "secure" in value):
            command = f"pulumi config set --secret --path 'agentstack:secrets.{escaped(str(name))}'"
            mistakes.add(Problem(("secrets", name), f"a secret in plain text: remove the line and run `{command}`"))
    mistakes.raise_if_any()

    agents: dict[str, AgentFile] = {}
    disabled: dict[str, AgentFile] = {}
    for name, (path, content) in files.items():
        declared = merge(content, changes.get(name, {}))
        try:
            agent = AgentFile.model_validate(declared, by_name=False, context={FOLDER: path.parent})
        except ValidationError as error:
            for problem in problems(error, AgentFile):
                mistakes.add(Problem(("agents", name, *problem.path), problem.message))
        else:
            (agents if agent.enabled else disabled)[name] = agent
    whole = {key: config[key] for key in SECTIONS if key in config}
    if not mistakes.lines:  # the rules between the parts need all agents
        whole |= {"agents": agents, "disabled": disabled, "secrets": frozenset(config.get("secrets", {}))}
    try:
        settings = Settings.model_validate(whole, by_name=False)
    except ValidationError as error:
        for problem in problems(error, Settings):
            mistakes.add(problem)
    mistakes.raise_if_any()
    return settings


class _Mistakes:
    """Collects problems as lines that begin with the file and line that a person has to change."""

    def __init__(
        self,
        stack_file: pathlib.Path,
        files: Mapping[str, tuple[pathlib.Path, Mapping[str, Any]]],
        changes: Mapping[str, Any],
    ) -> None:
        self.lines: list[str] = []
        self._stack_file = stack_file
        self._files = files
        self._changes = changes

    def add(self, problem: Problem) -> None:
        path = problem.path
        file, keys, shown = (
            self._stack_file,
            ("config", f"agentstack:{path[0]}", *path[1:]),
            ("agentstack:", path),
        )
        in_agent = path[0] == "agents" and len(path) > 1 and path[1] in self._files
        if in_agent and not overrides(self._changes, path[1:]):
            file, keys, shown = self._files[str(path[1])][0], path[2:], ("", path)
        line = line_of(file, keys)
        place = ".".join(quoted(str(key)).strip("`") for key in shown[1])  # a key, too, may hold what must not be shown
        self.lines.append(f"{file}{f':{line}' if line else ''}: {shown[0]}{place}: {problem.message}")

    def raise_if_any(self) -> None:
        if self.lines:
            raise SettingsError("\n".join(self.lines))
