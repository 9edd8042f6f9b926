"""What a preview found: on one screen for people, as JSON for programs."""

from __future__ import annotations

import json
import os
import pathlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from agentstack.judging.locate import Location
from agentstack.judging.policy import Policies, finding_json
from agentstack.output.console import new_console
from agentstack.rendering.manifests import Manifests, Written
from agentstack.rendering.render import Registration, Rendered, Secret, owners
from manifests.capacity import RESOURCES, NamespaceCapacity
from manifests.nodes import Where
from manifests.quantities import amount_text
from policies.rules import Violation
from settings.errors import SettingsError

from .cost import Estimate
from .cost import as_json as cost_json
from .cost import line as cost_line
from .placement import Place, places

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from agentstack.graph.model import Graph
    from agentstack.rendering.environment import Environment
    from settings.platform import Safeguards

_MOST_SIBLINGS = 12
"""More components of one type are shown as one line."""
_MOST_FINDINGS = 10
_NAME_WIDTH = 32
_PLACED = ("requests.cpu", "requests.memory")
"""What the table of nodes counts beside pods."""
SHORT_KINDS = {"HorizontalPodAutoscaler": "HPA", "PodDisruptionBudget": "PDB"}
"""Kinds as people call them."""


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
class Report:
    """Everything that a preview has to say."""

    source: Environment
    """Whose files it was made from."""
    folder: pathlib.Path
    rendered: Rendered
    manifests: Manifests
    namespaces: Sequence[NamespaceCapacity]
    policies: Policies
    violations: Sequence[Violation]
    located: Sequence[Location]
    """For each violation the line to look at."""
    written: Written
    next_steps: Sequence[tuple[str, str]]
    """Commands, each with what it is for."""
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
        from agentstack.graph.declared import declared

        try:
            return declared(self.source.settings())
        except SettingsError:
            return None

    @property
    def failed(self) -> bool:
        """Whether the policies refuse the stack."""
        return failed(self.violations)

    @cached_property
    def warnings(self) -> list[str]:
        """What a person should know before going on."""
        return [*self.rendered.warnings, *self.manifests.warnings]

    @cached_property
    def places(self) -> list[Place]:
        """What runs on which kind of nodes."""
        return places(workload for namespace in self.namespaces for workload in namespace.workloads)

    @cached_property
    def components(self) -> list[Component]:
        """The outermost components, each with those in it, by type and name."""
        return _tree(self.rendered.registrations, self.manifests)


def failed(violations: Iterable[Violation]) -> bool:
    """Return whether a rule of severity `error` is violated, or could not be evaluated, and nobody waives it."""
    return any(violation.fails for violation in violations)


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


def as_json(report: Report) -> str:
    """Return the report as JSON.

    Keys, which stay: `environment`; `folder`; `failed` (whether policies are violated); `facts` (what the engine keeps
    to refuse changes that lose data); `approvals` (`accept` and `approvedReplacements` of the safeguards); `resources`
    (what the engine keeps beside objects, random values and providers: a list of `type`, `name`, `inputs` (`null` for a
    secret), and of the keys below from `urn` on); `objects` (a list of `kind`, `namespace`, `name`, `file`, `urn`,
    `within` (its components by `type` and `name`, outermost first), `protected`, `retained`, `deletedFirst`, `aliases`,
    `ignored`, `replaced`, `provider`); `components` (a tree of `name`, `type`, `objects`, `children`); `namespaces`
    (`name`, `perNode`,
    `workloads`, and under `pods` (with `jobs`), `requests.cpu`, `requests.memory`, `limits.cpu`, `limits.memory` each
    `min`, `max` and `quota`, CPU in cores, memory in bytes, `null` without a quota); `places` (what can run on which
    nodes: `pool`, `architecture`, `zones`, `devices`, `workloads`, and under `pods`, `requests.cpu`, `requests.memory`
    each `min` and `max`); `policies` (a list of `rule`, `severity`, `outcome`, `kind`, `namespace`, `name`, `message`,
    `path` (of the field to change, empty where there is none), `what` and `remedy` (of which `message` is made),
    `waived` (by whom (`owner`), why (`reason`) and `until`, or `null`) and `place` (the `file`, from the repository's
    root, and the `line` that make it so)); `warnings`; `outputs` (`null` for a secret); `files` (`written`,
    `unchanged`, `removed`); `cost` (see `agentstack.preview.cost.as_json`); `graph` (see
    `agentstack.graph.model.Graph.as_json`).
    """
    content = {
        "environment": report.environment,
        "folder": str(report.folder),
        "failed": report.failed,
        "facts": _facts(report.rendered.registrations),
        "approvals": report.safeguards.model_dump(
            mode="json", by_alias=True, include={"accept", "approved_replacements"}
        ),
        "resources": list(_resources_json(report)),
        "objects": list(_objects_json(report)),
        "components": [_component_json(component) for component in report.components],
        "namespaces": [_namespace_json(namespace) for namespace in report.namespaces],
        "places": [_place_json(place) for place in report.places],
        "policies": findings_json(report),
        "warnings": report.warnings,
        "outputs": {key: _shown(value) for key, value in sorted(report.rendered.outputs.items())},
        "files": {key: getattr(report.written, key) for key in ("written", "unchanged", "removed")},
        "cost": cost_json(report.cost),
        "graph": report.graph.as_json() if report.graph else None,
    }
    return json.dumps(content, indent=2)


def findings_json(report: Report) -> list[dict[str, Any]]:
    """Return all findings: see `as_json`."""
    found = zip(report.violations, report.located, strict=True)
    return [finding_json(violation, place.file, place.line) for violation, place in found]


def _facts(registrations: Iterable[Registration]) -> dict[str, str]:
    return next((r.inputs for r in registrations if r.type == "agentstack:platform:Platform"), {})


def _resources_json(report: Report) -> Iterator[dict[str, Any]]:
    by_urn = {registration.urn: registration for registration in report.rendered.registrations}
    for _, registration in sorted(by_urn.items()):
        if not registration.component and not registration.type.startswith("kubernetes:"):
            # The provider's default is what this machine happens to have: no part of what the program declares.
            ambient = {"kubeconfig": os.environ.get("KUBECONFIG")}
            given = {key: value for key, value in registration.inputs.items() if ambient.get(key) != value}
            inputs = {key: _shown(value) for key, value in sorted(given.items())}
            known = {"type": registration.type, "name": registration.name, "inputs": inputs}
            yield known | _engine_json(registration, by_urn)


def _objects_json(report: Report) -> Iterator[dict[str, Any]]:
    by_urn = {registration.urn: registration for registration in report.rendered.registrations}
    for manifest in report.manifests.items:
        known = {"kind": manifest.kind, "namespace": manifest.namespace, "name": manifest.name, "file": manifest.path}
        yield known | _engine_json(manifest.registration, by_urn)


def _engine_json(registration: Registration, by_urn: Mapping[str, Registration]) -> dict[str, Any]:
    """Return what the engine knows of a resource."""
    within = [{"type": owner.type, "name": owner.name} for owner in owners(registration, by_urn) if owner.component]
    return {
        "urn": registration.urn,
        "within": within[::-1],
        "protected": registration.protected,
        "retained": registration.retained,
        "deletedFirst": registration.deleted_first,
        "aliases": list(registration.aliases),
        "ignored": list(registration.ignored),
        "replaced": list(registration.replaced),
        "provider": registration.provider,
    }


def _component_json(component: Component) -> dict[str, Any]:
    return {
        "name": component.name,
        "type": component.type,
        "objects": dict(sorted(component.kinds.items())),
        "children": [_component_json(child) for child in component.children],
    }


def _namespace_json(namespace: NamespaceCapacity) -> dict[str, Any]:
    def amounts(resource: str, low: float, high: float) -> dict[str, Any]:
        quota = namespace.quota.get(resource)
        return {"min": low, "max": high, "quota": None if quota is None else float(quota)}

    content: dict[str, Any] = {
        "name": namespace.name,
        "perNode": namespace.per_node,
        "workloads": [
            {"kind": w.kind, "name": w.name, "min": w.minimum, "max": w.maximum} for w in namespace.workloads
        ],
        "pods": {**amounts("pods", *namespace.pods()), "jobs": namespace.pods(ending=True)[1]},
    }
    for resource in RESOURCES:
        low, high = namespace.asked(resource)
        content[resource] = amounts(resource, float(low), float(high))
    return content


def _place_json(place: Place) -> dict[str, Any]:
    low, high = place.pods()
    content: dict[str, Any] = {
        "pool": place.where.pool,
        "architecture": place.where.architecture,
        "zones": list(place.where.zones),
        "devices": dict(place.where.devices),
        "workloads": [{"kind": workload.kind, "name": workload.name} for workload in place.workloads],
        "pods": {"min": low, "max": high},
    }
    for resource in _PLACED:
        least, most = place.asked(resource)
        content[resource] = {"min": float(least), "max": float(most)}
    return content


def _shown(value: Any) -> Any:
    """Return an output with `None` in the place of secrets."""
    if isinstance(value, Secret):
        return None
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return value


def show(report: Report) -> None:
    """Print the report: one screen for a stack of ordinary size, with colours on a terminal."""
    from rich.text import Text

    console = new_console()
    namespaces = len({manifest.namespace for manifest in report.manifests.items} - {""})
    counts = f"{len(report.manifests.items):,} objects in {namespaces} namespace{'' if namespaces == 1 else 's'}"
    console.print(Text.assemble((f"Agent Stack · {report.environment}", "bold"), f"   {counts}"))
    _show_components(console, report.components)
    _show_capacity(console, report.namespaces)
    if any(place.where != Where() for place in report.places):
        _show_places(console, report.places)
    _show_section(console, "cost", [Text(cost_line(report.cost), "yellow" if report.cost.over else "")])
    for label, lines in (
        ("policies", _findings(report)),
        ("warnings", [Text(warning, "yellow") for warning in report.warnings] or [Text("none", "green")]),
        ("outputs", list(_outputs(report))),
        ("files", [_files(report)]),
        ("next", list(_next_steps(report))),
    ):
        _show_section(console, label, lines)


def _show_section(console: Console, label: str, lines: Sequence[Text]) -> None:
    from rich.text import Text

    for index, line in enumerate(lines):
        head = (f"{label if index == 0 else '':<10}", "bold")
        # Commands must stay one line, or they cannot be copied.
        console.print(Text.assemble(head, line), soft_wrap=True)


def _show_components(console: Console, components: Sequence[Component]) -> None:
    from rich.text import Text
    from rich.tree import Tree

    def label(name: str, kind: str, count: int, kinds: Counter[str], depth: int) -> Text:
        listed = ", ".join(
            f"{number} {SHORT_KINDS.get(kind, kind)}" if number > 1 else SHORT_KINDS.get(kind, kind)
            for kind, number in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
        )
        padding = " " * (_NAME_WIDTH - 4 * depth - len(f"{name} {kind}"))
        return Text.assemble((name, "bold cyan"), " ", (kind, "dim"), f"{padding}{count:>6,}  {listed}".rstrip())

    def grow(branch: Tree, children: Sequence[Component], depth: int) -> None:
        by_type: dict[str, list[Component]] = {}
        for child in children:
            by_type.setdefault(child.type, []).append(child)
        for kind, siblings in by_type.items():
            if len(siblings) > _MOST_SIBLINGS:
                total: Counter[str] = sum((sibling.kinds for sibling in siblings), Counter())
                branch.add(label(f"{len(siblings):,} x", kind, total.total(), total, depth))
            else:
                for child in siblings:
                    grow(
                        branch.add(label(child.name, child.type, child.objects, child.kinds, depth)),
                        child.children,
                        depth + 1,
                    )

    for component in components:
        tree = Tree(label(component.name, component.type, component.objects, component.kinds, 0))
        grow(tree, component.children, 1)
        console.print(tree)


def _numbers_table(name: str, *numbers: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column(name)
    for header in numbers:
        table.add_column(header, justify="right", no_wrap=True)
    return table


def _show_capacity(console: Console, namespaces: Sequence[NamespaceCapacity]) -> None:
    table = _numbers_table("namespace", "pods", "Jobs' pods", "CPU requested", "memory requested")
    for namespace in namespaces:
        low, high = namespace.pods()
        quota = namespace.quota.get("pods")
        cells = [
            f"{_span(str(low), str(high))}{' a node' if namespace.per_node else ''}{f' of {quota}' if quota else ''}",
            str(namespace.pods(ending=True)[1] or "-"),
        ]
        for resource in ("requests.cpu", "requests.memory"):
            least, most = (amount_text(amount, resource) for amount in namespace.asked(resource))
            allowed = namespace.quota.get(resource)
            cells.append(f"{_span(least, most)}{f' of {amount_text(allowed, resource)}' if allowed else ''}")
        table.add_row(namespace.name, *cells, style="yellow" if namespace.excesses() else None)
    console.print()
    console.print(table)
    console.print()


def _show_places(console: Console, places: Sequence[Place]) -> None:
    table = _numbers_table("runs on", "pods", "CPU requested", "memory requested")
    table.add_column("what")
    for place in places:
        low, high = place.pods()
        spans = [[amount_text(amount, resource) for amount in place.asked(resource)] for resource in _PLACED]
        names = [workload.name for workload in place.workloads]
        listed = ", ".join(names) if len(names) <= _MOST_SIBLINGS else f"{len(names):,} workloads"
        table.add_row(str(place.where), _span(str(low), str(high)), *(_span(*span) for span in spans), listed)
    console.print(table)
    console.print()


def _span(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _findings(report: Report) -> list[Text]:
    from rich.text import Text

    if not report.violations:
        return [Text(f"{len(report.policies.rules)} rules, nothing found", "green")]
    found = sorted(report.violations, key=lambda v: (v.waived, v.severity != "error", v.rule))
    lines = []
    for violation in found[:_MOST_FINDINGS]:
        style = "dim" if violation.waived else "red" if violation.severity == "error" else "yellow"
        word = "waived" if violation.waived else violation.severity
        what = f" {violation.rule}: {violation.title}: {violation.message}"
        if violation.waived and (waiver := violation.waiver):
            what += f" (until {waiver.until}, {waiver.owner}: {waiver.reason})"
        lines.append(Text.assemble((word, style), what))
    if len(found) > _MOST_FINDINGS:
        lines.append(Text(f"... and {len(found) - _MOST_FINDINGS} more: see `--json`", "red"))
    return lines


def _outputs(report: Report) -> Iterator[Text]:
    from rich.text import Text

    outputs = {key: _shown(value) for key, value in report.rendered.outputs.items()}
    width = max(map(len, outputs), default=0)
    for key in sorted(outputs):
        value = outputs[key]
        text = value if isinstance(value, str) else "(secret)" if value is None else json.dumps(value)
        yield Text.assemble((f"{key:<{width}}", "cyan"), f"  {text}")


def _files(report: Report) -> Text:
    from rich.text import Text

    written = report.written
    changes = f"{written.written:,} written, {written.unchanged:,} unchanged, {written.removed:,} removed"
    withheld = sum(manifest.withheld for manifest in report.manifests.items)
    secrets = f"; {withheld} without their secret values" if withheld else ""
    return Text(f"{report.folder}: {changes}{secrets}")


def _next_steps(report: Report) -> Iterator[Text]:
    from rich.text import Text

    for command, purpose in report.next_steps:
        yield Text.assemble((command, "bold"), (f"   # {purpose}", "dim"))
