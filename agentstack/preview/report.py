"""What a preview found: the environment as it would be, by component, and what its policies say."""

from __future__ import annotations

import pathlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from agentstack.graph.declared import declared
from agentstack.graph.model import Graph
from agentstack.judging.locate import Location
from agentstack.judging.policy import Policies
from agentstack.rendering.environment import Environment
from agentstack.rendering.manifests import Manifests, Written
from agentstack.rendering.registration import Registration, Rendered, owners
from manifests.capacity import NamespaceCapacity
from policies.rules import Violation
from settings.errors import SettingsError
from settings.platform import Safeguards

from .cost import Estimate
from .placement import NodeGroup, places

PLACED: Final = ("requests.cpu", "requests.memory")
"""What the table of nodes counts beside pods."""


@dataclass
class Component:
    """A component with its objects, and the components in it."""

    name: str
    type: str
    """The last part of the type token, such as `RedisCluster`."""
    kinds: Counter[str] = field(default_factory=Counter)
    """How many objects of each kind belong to it directly."""
    children: list[Component] = field(default_factory=list)

    @property
    def objects(self) -> int:
        """The number of objects, those of its children included."""
        return self.kinds.total() + sum(child.objects for child in self.children)


@dataclass(frozen=True)
class Preview:
    """What an environment is, and what is to be said of it."""

    source: Environment
    """Whose files it was made from."""
    rendered: Rendered
    manifests: Manifests
    namespaces: Sequence[NamespaceCapacity]
    policies: Policies
    violations: Sequence[Violation]
    located: Sequence[Location]
    """For each violation the line to look at."""
    safeguards: Safeguards
    """What the settings refuse, and let through."""
    cost: Estimate

    @property
    def environment(self) -> str:
        """The name of the environment."""
        return self.source.name

    @cached_property
    def graph(self) -> Graph | None:
        """What the settings declare; None where they are those of another program."""
        try:
            return declared(self.source.settings())
        except SettingsError:
            return None

    @property
    def failed(self) -> bool:
        """Whether a rule of severity `error` is violated, or could not be evaluated, and nobody waives it."""
        return any(violation.fails for violation in self.violations)

    @property
    def facts(self) -> dict[str, str]:
        """What the engine keeps to refuse changes that lose data, by the path of the setting."""
        kept = (r.inputs for r in self.rendered.registrations if r.type == "agentstack:platform:Platform")
        return next(kept, {})

    @cached_property
    def warnings(self) -> list[str]:
        """What a person should know before going on."""
        return [*self.rendered.warnings, *self.manifests.warnings]

    @cached_property
    def places(self) -> list[NodeGroup]:
        """What runs on which kind of nodes."""
        return places(workload for namespace in self.namespaces for workload in namespace.workloads)

    @cached_property
    def components(self) -> list[Component]:
        """The outermost components, each with those in it, by type and name."""
        return _tree(self.rendered.registrations, self.manifests)


@dataclass(frozen=True)
class Report:
    """A preview whose manifests are written, and what to do next."""

    preview: Preview
    folder: pathlib.Path
    written: Written
    next_steps: Sequence[tuple[str, str]]
    """Commands, each with what it is for."""


def _tree(registrations: Iterable[Registration], manifests: Manifests) -> list[Component]:
    by_urn = {registration.urn: registration for registration in registrations}
    nodes = {
        urn: Component(registration.name, registration.type.rpartition(":")[2])
        for urn, registration in by_urn.items()
        if registration.component
    }
    roots: list[Component] = []
    for urn, node in nodes.items():
        parent = nodes.get(by_urn[urn].parent)
        (parent.children if parent else roots).append(node)
    stack = Component("(no component)", "Stack")
    for manifest in manifests.items:
        # An object may be the parent of another.
        components = (nodes[owner.urn] for owner in owners(manifest.registration, by_urn) if owner.urn in nodes)
        next(components, stack).kinds[manifest.kind] += 1
    for node in (*nodes.values(), stack):
        node.children.sort(key=lambda child: (child.type, child.name))
    roots.sort(key=lambda root: (root.type, root.name))
    return [*roots, *([stack] if stack.objects else [])]
