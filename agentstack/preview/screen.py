"""A preview on one screen, with colours on a terminal."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from agentstack.output.console import new_console
from agentstack.rendering.registration import without_secrets
from manifests.capacity import NamespaceCapacity
from manifests.nodes import Where
from manifests.quantities import amount_text

from .cost import line as cost_line
from .placement import NodeGroup
from .report import PLACED, Component, Preview, Report

_MOST_SIBLINGS: Final = 12
"""More components of one type are shown as one line."""
_MOST_FINDINGS: Final = 10
_NAME_WIDTH: Final = 32
SHORT_KINDS: Final = {"HorizontalPodAutoscaler": "HPA", "PodDisruptionBudget": "PDB"}
"""Kinds as people call them."""


def show(report: Report) -> None:
    """Print the report: one screen for a stack of ordinary size, with colours on a terminal."""
    console, preview = new_console(), report.preview
    namespaces = len({manifest.namespace for manifest in preview.manifests.items} - {""})
    counts = f"{len(preview.manifests.items):,} objects in {namespaces} namespace{'' if namespaces == 1 else 's'}"
    console.print(Text.assemble((f"Agent Stack · {preview.environment}", "bold"), f"   {counts}"))
    _show_components(console, preview.components)
    _show_capacity(console, preview.namespaces)
    if any(place.where != Where() for place in preview.places):
        _show_places(console, preview.places)
    _show_section(console, "cost", [Text(cost_line(preview.cost), "yellow" if preview.cost.over else "")])
    for label, lines in (
        ("policies", _findings(preview)),
        ("warnings", [Text(warning, "yellow") for warning in preview.warnings] or [Text("none", "green")]),
        ("outputs", list(_outputs(preview))),
        ("files", [_files(report)]),
        ("next", list(_next_steps(report))),
    ):
        _show_section(console, label, lines)


def _show_section(console: Console, label: str, lines: Sequence[Text]) -> None:
    for index, line in enumerate(lines):
        head = (f"{label if index == 0 else '':<10}", "bold")
        # Commands must stay one line, or they cannot be copied.
        console.print(Text.assemble(head, line), soft_wrap=True)


def _show_components(console: Console, components: Sequence[Component]) -> None:
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


def _show_places(console: Console, places: Sequence[NodeGroup]) -> None:
    table = _numbers_table("runs on", "pods", "CPU requested", "memory requested")
    table.add_column("what")
    for place in places:
        low, high = place.pods()
        spans = [[amount_text(amount, resource) for amount in place.asked(resource)] for resource in PLACED]
        names = [workload.name for workload in place.workloads]
        listed = ", ".join(names) if len(names) <= _MOST_SIBLINGS else f"{len(names):,} workloads"
        table.add_row(str(place.where), _span(str(low), str(high)), *(_span(*span) for span in spans), listed)
    console.print(table)
    console.print()


def _span(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _findings(preview: Preview) -> list[Text]:
    if not preview.violations:
        return [Text(f"{len(preview.policies.rules)} rules, nothing found", "green")]
    found = sorted(preview.violations, key=lambda v: (v.waived, v.severity != "error", v.rule))
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


def _outputs(preview: Preview) -> Iterator[Text]:
    outputs = {key: without_secrets(value) for key, value in preview.rendered.outputs.items()}
    width = max(map(len, outputs), default=0)
    for key in sorted(outputs):
        value = outputs[key]
        text = value if isinstance(value, str) else "(secret)" if value is None else json.dumps(value)
        yield Text.assemble((f"{key:<{width}}", "cyan"), f"  {text}")


def _files(report: Report) -> Text:
    written, preview = report.written, report.preview
    changes = f"{written.written:,} written, {written.unchanged:,} unchanged, {written.removed:,} removed"
    withheld = sum(manifest.withheld for manifest in preview.manifests.items)
    secrets = f"; {withheld} without their secret values" if withheld else ""
    return Text(f"{report.folder}: {changes}{secrets}")


def _next_steps(report: Report) -> Iterator[Text]:
    for command, purpose in report.next_steps:
        yield Text.assemble((command, "bold"), (f"   # {purpose}", "dim"))
