"""Where a finding is mended: the file and line that people write, for what the program makes of it."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from agentstack.rendering.environment import Environment
from agentstack.rendering.manifests import Manifest, Manifests
from agentstack.rendering.registration import Registration, owners
from policies.rules import Violation
from settings.files import line_of, read_agents

from .policy import WAIVERS

SECTIONS: Final[Mapping[str, str]] = {
    "agentstack:platform:Platform": "platform",
    "agentstack:platform:Namespaces": "namespaces",
    "agentstack:data:RedisCluster": "redis",
    "agentstack:data:KafkaCluster": "kafka",
    "agentstack:observability:Observability": "observability",
    "agentstack:gateway:Gateway": "gateway",
    "agentstack:inference:ModelServer": "inference",
}
"""The section of Pulumi.ENV.yaml that each component is made from."""

_AGENT: Final = "agentstack:agents:Agent"
# Of single words only this one is sure to be a field.
_PATH: Final = re.compile(r"(?<![\w./-])(?:image|[a-z][A-Za-z]*(?:\[\d+\])?(?:\.[A-Za-z]\w*(?:\[\d+\])?)+)(?![\w/-])")


@dataclass(frozen=True)
class Location:
    """A line of a file."""

    file: str
    """From the root of the repository, with slashes."""
    line: int
    """From 1."""


def repository(folder: pathlib.Path) -> pathlib.Path:
    """Return the root of the Git repository that a folder is in, or the folder itself."""
    start = folder.resolve()
    return next((parent for parent in (start, *start.parents) if (parent / ".git").exists()), start)


def relative(file: pathlib.Path, root: pathlib.Path) -> str:
    """Return the path from `root` with slashes; of a file elsewhere, only its name."""
    path = os.path.relpath(file.resolve(), root)
    return file.name if path.startswith("..") else pathlib.PurePath(path).as_posix()


def mentioned(message: str) -> Iterator[tuple[str, ...]]:
    """Return the fields that a message names, such as `resources.limits.cpu`, each as its keys: the longest first."""
    words = _PATH.findall(re.sub(r'"[^"]*"', "", message))  # names are in quotes
    found = {tuple(re.sub(r"\[\d+\]", "", word).split(".")) for word in words}
    yield from sorted(found, key=lambda keys: (-len(keys), keys))


class Settings:
    """The files of one environment, and which part of them makes an object."""

    def __init__(self, environment: Environment, registrations: Sequence[Registration], manifests: Manifests) -> None:
        self._environment = environment
        self._root = repository(environment.project)
        self._by_urn = {registration.urn: registration for registration in registrations}
        self._manifests = {(m.kind, m.namespace, m.name): m for m in manifests.items}

    def place(self, violation: Violation) -> Location:
        """Return the line to look at: of the agent's file, of a section, of a waiver, or of the configuration.

        For the object of an agent, that of the field in the message, in the file that decides it.
        """
        policies = self._environment.project / "policies"
        if violation.waiver is not None and not violation.waived:
            return self._place(policies / WAIVERS, violation.waiver.line)
        manifest = self._manifests.get((violation.kind, violation.namespace, violation.name))
        file = self._environment.file
        if manifest is None:
            config = policies / "config" / f"{self._environment.name}.json"
            if not violation.kind and (line := line_of(config, (violation.rule,))):
                return self._place(config, line)
            section = "namespaces" if violation.kind == "Namespace" else ""
            return self._place(file, line_of(file, ("config", f"agentstack:{section}")) if section else None)
        return self._made_by(manifest, violation.message)

    def _place(self, file: pathlib.Path, line: int | None) -> Location:
        return Location(relative(file, self._root), line or 1)

    def _made_by(self, manifest: Manifest, message: str) -> Location:
        file = self._environment.file
        for owner in owners(manifest.registration, self._by_urn):
            if owner.type == _AGENT and owner.name in self._agents:
                return self._of_agent(owner.name, message)
            if section := SECTIONS.get(owner.type):
                keys = ("config", f"agentstack:{section}")
                return self._place(file, line_of(file, keys) if section in self._sections else None)
        return self._place(file, None)

    @cached_property
    def _agents(self) -> Mapping[str, tuple[pathlib.Path, Mapping[str, Any]]]:
        return read_agents(self._environment.agents_folder)

    @cached_property
    def _sections(self) -> set[str]:
        return {key.removeprefix("agentstack:") for key in self._environment.config}

    def _of_agent(self, agent: str, message: str) -> Location:
        declared, content = self._agents[agent]
        overrides = (self._environment.config.get("agentstack:agents") or {}).get(agent) or {}
        for keys in mentioned(message):
            if keys[0] in overrides:
                path = ("config", "agentstack:agents", agent, *keys)
                return self._place(self._environment.file, line_of(self._environment.file, path))
            if keys[0] in content and keys[0] != "name":
                return self._place(declared, line_of(declared, keys))
        return self._place(declared, line_of(declared, ("name",)))
