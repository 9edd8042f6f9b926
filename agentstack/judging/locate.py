"""Where a finding is fixed: the file and line that people write, for what the program makes of it."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from agentstack.rendering.environment import Environment
from agentstack.rendering.manifests import Manifests, RenderedObject
from agentstack.rendering.registration import Registration, owners
from components.namespaces.part import PART as NAMESPACES
from components.part import Part
from components.parts import PARTS
from manifests.fields import keys_of_path
from policies.rules import Violation
from settings.files import line_of, read_agents
from settings.model import overrides

from .policy import WAIVERS

_PART_OF: Final[Mapping[str, Part]] = {token: part for part in PARTS for token in part.types}


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


def decided_by(part: Part, path: str) -> Iterator[tuple[str, ...]]:
    """Return the fields that people write for what stands at a path in an object of a part, the likeliest first."""
    keys = [key for key in keys_of_path(path) if isinstance(key, str)]
    if "jobTemplate" in keys:
        keys = keys[keys.index("jobTemplate") + 1 :]
    if "template" in keys:
        keys = keys[keys.index("template") :]
    for length in range(len(keys), 0, -1):
        for field in part.origins.get(".".join(keys[:length]), ()):
            yield (*field.split("."), *keys[length:])


class Locator:
    """The files of one environment, and which part of them makes an object."""

    def __init__(self, environment: Environment, registrations: Sequence[Registration], manifests: Manifests) -> None:
        self._environment = environment
        self._root = repository(environment.project)
        self._by_urn = {registration.urn: registration for registration in registrations}
        self._things = {(thing.kind, thing.namespace, thing.name): thing for thing in manifests.items}

    def place(self, violation: Violation) -> Location:
        """Return the line to look at: of the agent's file, of a section, of a waiver, or of the configuration.

        For the object of an agent, that of the field that is at fault, in the file that decides it.
        """
        policies = self._environment.project / "policies"
        if violation.waiver is not None and not violation.waived:
            return self._place(policies / WAIVERS, violation.waiver.line)
        thing = self._things.get((violation.kind, violation.namespace, violation.name))
        if thing is None:
            config = policies / "config" / f"{self._environment.name}.json"
            if not violation.kind and (line := line_of(config, (violation.rule,))):
                return self._place(config, line)
            return self._of_section(NAMESPACES.section if violation.kind == "Namespace" else None)
        return self._made_by(thing, violation)

    def _place(self, file: pathlib.Path, line: int | None) -> Location:
        return Location(relative(file, self._root), line or 1)

    def _made_by(self, thing: RenderedObject, violation: Violation) -> Location:
        for owner in owners(thing.registration, self._by_urn):
            part = _PART_OF.get(owner.type)
            if part is not None and part.section is not None:
                return self._of_section(part.section)
            if part is not None and owner.name in self._agents:
                return self._of_agent(part, owner.name, violation)
        return self._of_section(None)

    def _of_section(self, section: str | None) -> Location:
        """Return the line of a section of Pulumi.ENV.yaml; the first one without that."""
        file, key = self._environment.file, f"agentstack:{section}"
        return self._place(file, line_of(file, ("config", key)) if key in self._environment.config else None)

    @cached_property
    def _agents(self) -> Mapping[str, tuple[pathlib.Path, Mapping[str, Any]]]:
        return read_agents(self._environment.agents_folder)

    def _of_agent(self, part: Part, agent: str, violation: Violation) -> Location:
        """Return the line of the first field that is written, or else of the first group that it would stand in."""
        file, content = self._agents[agent]
        changes = (self._environment.config.get("agentstack:agents") or {}).get(agent) or {}
        written = (
            (self._environment.file, changes, ("config", "agentstack:agents", agent)),
            (file, content, ()),
        )
        fields = list(decided_by(part, violation.path))
        for keys, depth in [*((keys, len(keys)) for keys in fields), *((keys, 1) for keys in fields)]:
            for where, values, begin in written:
                if overrides(values, keys[:depth]):
                    return self._place(where, line_of(where, (*begin, *keys)))
        return self._place(file, line_of(file, ("name",)))
