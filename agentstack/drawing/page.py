"""A graph as one HTML page: the picture, and behind each part its capacity, cost, findings, changes and objects.

Nothing is fetched, and the page's own policy forbids it; every name and value reaches the page as data, never as code.
"""

from __future__ import annotations

import base64
import hashlib
import json
import pathlib
import string
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from agentstack.compare.model import ABSENT, Change
from agentstack.compare.redaction import shown
from agentstack.compare.snapshot import Key, Object, Snapshot
from agentstack.judging.finding import PlacedFindingReport
from agentstack.rendering.manifests import to_yaml
from components.topology import EDGE_KINDS
from manifests.capacity import capacity
from manifests.quantities import amount_text

from .difference import SIGNS, STACK, Difference, condense, difference, graph_of, owner
from .svg import MOST_NODES, STYLE, escaped, svg

_FOLDER: Final = pathlib.Path(__file__).parent
_AMOUNTS: Final = ("requests.cpu", "requests.memory", "limits.cpu", "limits.memory")


def page(snapshot: Snapshot, before: Snapshot | None = None, changes: Sequence[Change] = ()) -> str:
    """Return the page of a revision; with `before`, one on which what `changes` say stands out.

    Values of secrets, and what looks like one, are withheld.
    """
    found = difference(before, snapshot, changes)
    title = f"Agent Stack · {snapshot.environment}"
    against = f"{before.revision} to {snapshot.revision}" if before is not None else snapshot.revision
    style = STYLE.read_text(encoding="utf-8") + (_FOLDER / "page.css").read_text(encoding="utf-8")
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    template = string.Template((_FOLDER / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escaped(title),
        environment=escaped(snapshot.environment),
        revision=escaped(against),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        picture=svg(found, title, links=True, style=False),
        # Data, not code: no browser runs it, and without `<` nothing in it ends the element that holds it.
        data=json.dumps(_data(found, snapshot, before, changes), separators=(",", ":"))
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026"),
    )


def _hash(content: str) -> str:
    """Return what a Content-Security-Policy knows an inline script or style by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def _data(found: Difference, snapshot: Snapshot, before: Snapshot | None, changes: Sequence[Change]) -> dict[str, Any]:
    ids = {node.id for node in found.graph.nodes}
    changed = {change.object.key: change for change in changes}
    things = {**snapshot.objects, **{key: change.object for key, change in changed.items()}}
    owners = {key: owner(thing, ids) for key, thing in things.items()}
    objects: dict[str, list[Key]] = defaultdict(list)
    for key in sorted(things, key=lambda key: (things[key].manifest["kind"], key)):
        objects[owners[key]].append(key)
    capacity = _capacity(snapshot)
    costs, costs_before = _costs(snapshot), _costs(before)
    details = _details(before)
    findings = _findings(snapshot)
    groups = {node.id: node.members for node in condense(found, MOST_NODES).graph.nodes if node.members}
    drawn_as = {member: group for group, members in groups.items() for member in members}

    def node(name: str, rest: Mapping[str, Any]) -> dict[str, Any]:
        keys = objects.get(name, ())
        return {
            "id": name,
            **rest,
            "drawn": drawn_as.get(name, name),
            "workloads": [capacity[key] for key in keys if key in capacity],
            "was": details.get(name),
            "cost": _sum(costs[key] for key in keys if key in costs),
            "costBefore": _sum(costs_before[key] for key in keys if key in costs_before),
            "objects": [_object(things[key], changed.get(key), findings.get(key, ())) for key in keys],
        }

    nodes = [
        node(
            each.id,
            {
                "kind": each.kind.title,
                "label": each.label,
                "detail": each.detail,
                "namespace": each.group,
                "team": each.team,
                "state": found.nodes[each.id],
            },
        )
        for each in found.graph.nodes
    ]
    if objects[STACK]:
        nodes.append(
            node(
                STACK,
                {
                    "kind": "of the whole stack",
                    "label": "namespaces",
                    "detail": "quotas, limits, default rules",
                    "namespace": "",
                    "team": "",
                    "state": "changed" if any(key in changed for key in objects[STACK]) else "same",
                },
            )
        )
    cost = snapshot.summary.cost
    return {
        "compared": before is not None,
        "currency": cost.currency if cost else "",
        "whole": {"min": cost.min, "max": cost.max} if cost else None,
        "elsewhere": [_finding(one) for one in findings.get(("", "", ""), ())],
        "namespaces": list(_namespaces(snapshot)),
        "signs": SIGNS,
        "verbs": {kind.name: [kind.active, kind.passive] for kind in EDGE_KINDS},
        "nodes": nodes,
        "edges": [
            [edge.source, edge.target, edge.kind.name, edge.label, found.edges[edge.key]] for edge in found.graph.edges
        ],
        "groups": groups,
    }


def _capacity(snapshot: Snapshot) -> dict[Key, dict[str, Any]]:
    return {
        (workload.kind, namespace.name, workload.name): {
            "kind": workload.kind,
            "name": workload.name,
            "min": workload.minimum,
            "max": workload.maximum,
            "where": str(workload.where),
            **{resource: amount_text(workload.pod.get(resource, Decimal(0)), resource) for resource in _AMOUNTS},
        }
        for namespace in capacity([thing.manifest for thing in snapshot.objects.values()])
        for workload in namespace.workloads
    }


def _namespaces(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    """Yield what each namespace asks for at least and at most, and its quota, as text."""
    for namespace in snapshot.summary.namespaces:
        amounts = {
            "pods": namespace.pods,
            "requests.cpu": namespace.cpu_requests,
            "requests.memory": namespace.memory_requests,
        }
        yield {"name": namespace.name} | {
            resource: {
                end: "" if amount is None else amount_text(Decimal(str(amount)), resource)
                for end, amount in (("min", found.min), ("max", found.max), ("quota", found.quota))
            }
            for resource, found in amounts.items()
            if found is not None
        }


def _details(before: Snapshot | None) -> dict[str, str]:
    graph = graph_of(before) if before is not None else None
    return {node.id: node.detail for node in graph.nodes} if graph is not None else {}


def _costs(snapshot: Snapshot | None) -> dict[Key, tuple[Decimal, Decimal]]:
    """Return what each workload costs in a month at least and at most; nothing of a revision too old to say it."""
    cost = snapshot.summary.cost if snapshot is not None else None
    return {
        (item.kind, item.namespace, item.name): (Decimal(item.min), Decimal(item.max))
        for item in (cost.workloads if cost else ())
    }


def _sum(spans: Iterator[tuple[Decimal, Decimal]]) -> dict[str, str] | None:
    found = list(spans)
    if not found:
        return None
    return {"min": str(sum(low for low, _ in found)), "max": str(sum(high for _, high in found))}


def _findings(snapshot: Snapshot) -> dict[Key, list[PlacedFindingReport]]:
    found: dict[Key, list[PlacedFindingReport]] = defaultdict(list)
    for finding in snapshot.summary.policies:
        found[finding.kind, finding.namespace, finding.name].append(finding)
    return found


def _finding(found: PlacedFindingReport) -> dict[str, Any]:
    """Return a finding with the line that makes it so, and who waived it; revisions differ in what they say of both."""
    place, waived = found.place, found.waived
    return {
        "rule": found.rule,
        "severity": "waived" if waived else found.severity,
        "message": found.message,
        "place": ":".join(str(word) for word in (place.file, place.line) if word),
        "waived": f"waived by {waived.owner} until {waived.until}: {waived.reason}" if waived else "",
    }


def _object(thing: Object, change: Change | None, findings: Sequence[PlacedFindingReport]) -> dict[str, Any]:
    kind, namespace, name = thing.key
    return {
        "kind": kind,
        "namespace": namespace,
        "name": name,
        "state": ("changed" if change.action == "renamed" else change.action) if change else "same",
        "yaml": to_yaml(shown(thing.manifest)),
        "findings": [_finding(one) for one in findings],
        "fields": [
            [field.path, _value(field.before), _value(field.after)] for field in (change.fields if change else ())
        ],
    }


def _value(value: Any) -> str | None:
    """Return the value of a field as people read it; None for one that is not there."""
    if value is ABSENT:
        return None
    if isinstance(value, str):
        return value
    return to_yaml(value).removesuffix("...\n").rstrip("\n") if isinstance(value, dict | list) else json.dumps(value)
