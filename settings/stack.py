"""From configuration and the files of agents and workflows to the validated `Settings` of one stack."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from manifests.problems import Problem
from manifests.text import escaped, quoted, suggestion

from .agents import AgentFile
from .errors import SettingsError, problems
from .files import Declarations, line_of, scan
from .fleet import FOLDER
from .model import merge, overrides
from .root import Settings
from .sections import SECTIONS
from .workflows import WorkflowFile

_GROUPS = (*SECTIONS, "agents", "secrets")
_NO_GROUP = "must be a group of `key: value` lines"


def load(
    config: Mapping[str, Any],
    *,
    stack_file: pathlib.Path,
    agents_folder: pathlib.Path,
    workflows_folder: pathlib.Path | None = None,
) -> Settings:
    """Validate the configuration of a stack together with its agents and workflows.

    `config` maps the sections to plain values as they stand in `Pulumi.STACK.yaml` behind `agentstack:`, such as
    `{"redis": {"shards": 3}}`; a secret is a mapping with the key `secure`, and its value is never looked at.
    Messages point into `stack_file` and into the files of both folders; that of the workflows need not be there.

    Raises `SettingsError` with one line per mistake.
    """
    files, unreadable = scan(agents_folder, "agent")
    declared_workflows, also_unreadable = (
        scan(workflows_folder, "workflow") if workflows_folder is not None and workflows_folder.is_dir() else ({}, [])
    )
    overridden, secrets = _group(config, "agents"), _group(config, "secrets")
    changes = {name: _group(overridden, name) for name in overridden}
    mistakes = _Mistakes(stack_file, {"agents": files, "workflows": declared_workflows}, changes)
    mistakes.lines += [*unreadable, *also_unreadable]
    mistakes.add(_unknown_groups(config))
    # An agent whose file cannot be read may be any of those that are overridden.
    mistakes.add(_overrides(overridden, files, complete=not unreadable))
    mistakes.add(_plain_secrets(secrets))

    agents: dict[str, AgentFile] = {}
    disabled: dict[str, AgentFile] = {}
    for name, (path, content) in files.items():
        declared = merge(content, changes.get(name, {}))
        try:
            agent = AgentFile.model_validate(declared, by_name=False, context={FOLDER: path.parent})
        except ValidationError as error:
            mistakes.add(problem.below("agents", name) for problem in problems(error, AgentFile))
        else:
            (agents if agent.enabled else disabled)[name] = agent
    workflows: dict[str, WorkflowFile] = {}
    for name, (_, content) in declared_workflows.items():
        try:
            workflows[name] = WorkflowFile.model_validate(content, by_name=False)
        except ValidationError as error:
            mistakes.add(problem.below("workflows", name) for problem in problems(error, WorkflowFile))
    whole = {key: config[key] for key in SECTIONS if key in config}
    # The rules between the parts need all agents: of one that is left out, others would seem to call what is not there.
    if not mistakes.lines:
        whole |= {"agents": agents, "disabled": disabled, "workflows": workflows, "secrets": frozenset(secrets)}
    try:
        settings = Settings.model_validate(whole, by_name=False)
    except ValidationError as error:
        mistakes.add(problems(error, Settings))
    mistakes.raise_if_any()
    return settings


def _group(config: Mapping[Any, Any], key: Any) -> Mapping[Any, Any]:
    """Return what a key holds, if that is a group: of anything else there is a problem of its own."""
    group = config.get(key)
    return group if isinstance(group, Mapping) else {}


def _unknown_groups(config: Mapping[str, Any]) -> Iterable[Problem]:
    for key, value in config.items():
        if key not in _GROUPS:
            yield Problem((key,), f"unknown key {quoted(key)}", suggestion(key, _GROUPS))
        elif key not in SECTIONS and not isinstance(value, Mapping):
            yield Problem((key,), _NO_GROUP)


def _overrides(overridden: Mapping[Any, Any], files: Declarations, *, complete: bool) -> Iterable[Problem]:
    for name, override in overridden.items():
        if name not in files:
            if complete:
                yield Problem(("agents", name), f"unknown agent {quoted(str(name))}", suggestion(name, files))
        elif not isinstance(override, Mapping):
            yield Problem(("agents", name), _NO_GROUP)
        elif "name" in override:
            yield Problem(("agents", name, "name"), "an environment cannot rename an agent", "remove it")


def _plain_secrets(secrets: Mapping[Any, Any]) -> Iterable[Problem]:
    for name, value in secrets.items():
        if not (isinstance(value, Mapping) and "secure" in value):
            command = f"pulumi config set --secret --path 'agentstack:secrets.{escaped(str(name))}'"
            yield Problem(("secrets", name), "a secret in plain text", f"remove the line and run `{command}`")


class _Mistakes:
    """Collects problems as lines that begin with the file and line that a person has to change."""

    def __init__(self, stack_file: pathlib.Path, files: Mapping[str, Declarations], changes: Mapping[Any, Any]) -> None:
        self.lines: list[str] = []
        self._stack_file = stack_file
        self._files = files
        self._changes = changes

    def add(self, problems: Iterable[Problem]) -> None:
        self.lines += map(self._line, problems)

    def _line(self, problem: Problem) -> str:
        path = problem.path
        file, keys, prefix = self._stack_file, ("config", f"agentstack:{path[0]}", *path[1:]), "agentstack:"
        declared = self._files.get(str(path[0]), {}) if len(path) > 1 else {}
        overridden = path[0] == "agents" and overrides(self._changes, path[1:])
        if path[1:2] and path[1] in declared and not overridden:
            file, keys, prefix = declared[str(path[1])][0], path[2:], ""
        line = line_of(file, keys)
        return f"{file}{f':{line}' if line else ''}: {prefix}{problem}"

    def raise_if_any(self) -> None:
        if self.lines:
            raise SettingsError("\n".join(self.lines))
