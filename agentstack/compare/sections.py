"""The parts of a diff that come from both reports and from the comparison: findings, capacity, changes."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

from agentstack.output.document import Block, Code, Fenced, Fold, Line, Lines, Mark, Section, Table
from agentstack.rendering.manifests import to_yaml
from manifests.manifest import object_title
from manifests.quantities import amount_text

from .changes import ABSENT, Change, FieldChange, shown
from .snapshot import Key, Object, Snapshot

_SIGNS: Final = {"removed": "-", "renamed": "~", "changed": "~", "added": "+"}
"""By action, in the order of importance."""
_MOST_NEW: Final = 20
"""With more new objects, their manifests are not shown."""
_CAPACITY: Final = (
    ("pods", "pods"),
    ("requests.cpu", "CPU requested"),
    ("requests.memory", "memory requested"),
    ("limits.cpu", "CPU limit"),
    ("limits.memory", "memory limit"),
)
Finding: TypeAlias = Mapping[str, Any]
"""One of `policies` in the preview's JSON."""
_FINDING: Final = (
    "rule",
    "severity",
    "outcome",
    "kind",
    "namespace",
    "name",
    "message",
    "path",
    "what",
    "remedy",
    "waived",
)


# --- findings of the policies ---


@dataclass(frozen=True)
class Findings:
    """What the policies found in both revisions; each finding as in the preview's JSON."""

    new: Sequence[Finding]
    solved: Sequence[Finding]
    left: Sequence[Finding]

    @classmethod
    def of(cls, before: Snapshot, after: Snapshot, changes: Iterable[Change] = ()) -> Findings:
        """Tell what is new from what was there; one whose message alone, or object's name, differs is the same."""
        formerly = {change.after.key: change.before.key for change in changes if change.before and change.after}
        old = Counter(map(_identity, before.report.get("policies", ())))
        new: list[Finding] = []
        left: list[Finding] = []
        for finding in after.report.get("policies", ()):
            identity = _identity(finding, formerly)
            known = old[identity] > 0
            old[identity] -= known
            (left if known else new).append(finding)
        solved = []
        for finding in before.report.get("policies", ()):
            if old[_identity(finding)] > 0:
                old[_identity(finding)] -= 1
                solved.append(finding)
        return cls(new, solved, left)

    def summary(self) -> str:
        """Say how many there are, in a cell of a table."""
        waived = sum(map(_is_waived, (*self.new, *self.left)))
        numbers = {"new": len(self.new), "solved": len(self.solved), "waived": waived}
        words = [f"{number:,} {word}" for word, number in numbers.items() if number]
        return ", ".join([f"{len(self.new) + len(self.left):,}", *words])

    def section(self) -> Section | None:
        """New findings first; None where there are none at all."""
        if not (self.new or self.solved or self.left):
            return None
        blocks: list[Block] = []
        if self.new:
            blocks.append(_findings_table(self.new))
        for word, findings in (("solved", self.solved), ("there before", self.left)):
            if findings:
                blocks.append(Fold(f"{len(findings):,} {word}", (_findings_table(findings),)))
        mark: Mark = "none"
        if any(map(_fails, (*self.new, *self.left))):
            mark = "bad"
        elif not all(map(_is_waived, self.new)):
            mark = "warn"
        counts = f"{len(self.new):,} new, {len(self.solved):,} solved, {len(self.left):,} there before"
        return Section(f"Policy findings: {counts}", tuple(blocks), mark)

    def as_json(self) -> dict[str, Any]:
        """Return `new`, `solved` and `left`, lists of findings as in the preview's JSON."""
        return {
            name: [{key: finding.get(key) for key in _FINDING} for finding in getattr(self, name)]
            for name in ("new", "solved", "left")
        }


def _identity(finding: Finding, formerly: Mapping[Key, Key] | None = None) -> tuple[str, ...]:
    kind, namespace, name = (finding.get(key, "") for key in ("kind", "namespace", "name"))
    key = (kind, namespace, name)
    return (finding.get("rule", ""), finding.get("outcome", ""), *(formerly or {}).get(key, key))


def _is_waived(finding: Finding) -> bool:
    return finding.get("waived") is not None


def _fails(finding: Finding) -> bool:
    return not _is_waived(finding) and finding.get("severity") == "error"


def _findings_table(findings: Sequence[Finding]) -> Table:
    ordered = sorted(findings, key=lambda finding: (not _fails(finding), finding.get("rule", "")))
    return Table(
        ("severity", "rule", "object", "what is wrong, and the mend"),
        tuple(
            (
                "waived" if _is_waived(finding) else finding.get("severity", ""),
                Code(finding.get("rule", "")),
                Code(object_title(*(finding.get(key, "") for key in ("kind", "namespace", "name")))),
                finding.get("message", ""),
            )
            for finding in ordered
        ),
    )


# --- capacity ---


def capacity_section(before: Snapshot, after: Snapshot) -> Section | None:
    """What the pods of each namespace ask for, where that or a quota differs; None if it does nowhere."""
    rows: list[tuple[Line, ...]] = []
    exceeds = False
    old, new = _namespaces(before), _namespaces(after)
    for name in sorted({**old, **new}):
        for resource, title in _CAPACITY:
            amounts = [side.get(name, {}).get(resource) for side in (old, new)]
            texts = [_amounts(amount, resource) for amount in amounts]
            if texts[0] != texts[1]:
                exceeds = exceeds or _exceeds(amounts[1])
                over = " (more than the quota)" if _exceeds(amounts[1]) else ""
                rows.append((Code(name), title, texts[0], f"{texts[1]}{over}"))
    if not rows:
        return None
    table = Table(("namespace", "what", "before", "after"), tuple(rows))
    return Section(f"Capacity: {_pods(old)} pods before, {_pods(new)} after", (table,), "warn" if exceeds else "none")


def capacity_json(before: Snapshot, after: Snapshot) -> list[dict[str, Any]]:
    """Return, for each namespace of either revision, its `name`, `before` and `after` as in the preview's JSON."""
    old, new = _namespaces(before), _namespaces(after)
    keys = [resource for resource, _ in _CAPACITY]
    return [
        {
            "name": name,
            **{
                side: {key: found[key] for key in keys if key in found} if (found := known.get(name)) else None
                for side, known in (("before", old), ("after", new))
            },
        }
        for name in sorted({**old, **new})
    ]


def _namespaces(snapshot: Snapshot) -> dict[str, Mapping[str, Any]]:
    return {namespace["name"]: namespace for namespace in snapshot.report.get("namespaces", ())}


def _amounts(amount: Mapping[str, Any] | None, resource: str) -> str:
    if amount is None:
        return "none"
    low, high = (amount_text(Decimal(str(amount[key])), resource) for key in ("min", "max"))
    quota = "" if amount["quota"] is None else f" of {amount_text(Decimal(str(amount['quota'])), resource)}"
    return f"{low if low == high else f'{low} to {high}'}{quota}"


def _exceeds(amount: Mapping[str, Any] | None) -> bool:
    return amount is not None and amount["quota"] is not None and amount["max"] > amount["quota"]


def _pods(namespaces: Mapping[str, Mapping[str, Any]]) -> str:
    low, high = (sum(each["pods"][key] for each in namespaces.values()) for key in ("min", "max"))
    return str(low) if low == high else f"{low:,} to {high:,}"


# --- changes ---


def counts(changes: Iterable[Change]) -> str:
    """Say how many objects differ, in words."""
    number = Counter(change.action for change in changes)
    words = [f"{number[action]:,} {action}" for action in ("added", "removed", "renamed", "changed") if number[action]]
    return ", ".join(words) or "0 objects change"


def changes_sections(changes: Sequence[Change]) -> list[Section]:
    """The changes by component, and what is new as YAML."""
    if not changes:
        return [Section("Changes", (Lines(("0 objects change.",)),))]
    groups: dict[tuple[str, ...], list[Change]] = {}
    for change in changes:
        groups.setdefault(_component(change.object), []).append(change)
    folds = []
    for component, inside in sorted(groups.items()):
        *kind, name = component
        title: Line = (*(f"{word} " for word in kind), Code(name), f": {counts(inside)}")
        folds.append(Fold(title, tuple(Fenced(text, "diff") for text in _texts(inside))))
    sections = [Section(f"Changes: {counts(changes)}", tuple(folds))]
    new = [change.after for change in changes if change.action == "added" and change.after is not None]
    if len(new) > _MOST_NEW:
        unsaid = f"What is in the {len(new):,} new objects is not shown: `agentstack preview` writes it."
        sections.append(Section(f"New objects: {len(new)}", (Lines((unsaid,)),), appendix=True))
    elif new:
        manifests = tuple(
            Fold(Code(one.title), (Fenced(to_yaml(shown(one.manifest)).rstrip(), "yaml"),)) for one in new
        )
        sections.append(Section(f"New objects: {len(new)}", manifests, appendix=True))
    return sections


def _component(known: Object) -> tuple[str, ...]:
    """Return type and name of what people call the part that an object belongs to: below the outermost, if possible."""
    if not known.within:
        return ("objects of no component",)
    kind, name = known.within[min(1, len(known.within) - 1)]
    return (kind.rpartition(":")[2], name)


def _texts(changes: Iterable[Change]) -> list[str]:
    """Write the changes of a component as unified diffs; one for all objects in which the same fields differ."""
    alike: dict[tuple[str, ...], list[Change]] = {}
    for change in sorted(changes, key=lambda change: (list(_SIGNS).index(change.action), change.object.key)):
        names = sum(field.kind == "name" for field in change.fields)
        lines = [line for field in change.fields if field.kind != "name" for line in field_lines(field)]
        follow = [f"!   {names} field{'' if names == 1 else 's'} with its name"] if names else []
        alike.setdefault((_SIGNS[change.action], *lines, *follow), []).append(change)
    return ["\n".join([*(f"{sign} {_title(one)}" for one in same), *lines]) for (sign, *lines), same in alike.items()]


def _title(change: Change) -> str:
    if change.action == "renamed" and change.before is not None:
        return f"{change.object.title} (was {change.before.title})"
    return change.object.title


def field_lines(field: FieldChange) -> Iterator[str]:
    """Write one field as lines of a unified diff."""
    match field.kind:
        case "secret":
            what = {(True, False): "is new", (False, True): "is gone"}.get(
                (field.before is ABSENT, field.after is ABSENT), "changed"
            )
            yield f"!   {field.path}: {what} (secret)"
        case "hash" if field.path == "metadata.name":
            yield "!   made anew: its name has a hash of what it depends on"
        case "hash":
            what = "a secret" if "secret" in field.path else "its configuration"
            yield f"!   {field.path}: restarts because {what} changed"
        case "order":
            yield f"!   {field.path}: {', '.join(field.before)} -> {', '.join(field.after)}"
        case _:
            before, after = _value_lines(field.before), _value_lines(field.after)
            if len(before) <= 1 and len(after) <= 1:
                yield from (f"-   {field.path}: {line}" for line in before)
                yield from (f"+   {field.path}: {line}" for line in after)
                return
            yield f"    {field.path}:"
            if not before or not after:
                yield from (f"-     {line}" for line in before)
                yield from (f"+     {line}" for line in after)
                return
            # The first two lines of a unified diff name files.
            for line in list(difflib.unified_diff(before, after, n=2, lineterm=""))[2:]:
                yield line if line[:1] == "@" else f"{line[:1]}     {line[1:]}"


def _value_lines(value: Any) -> list[str]:
    if value is ABSENT:
        return []
    if isinstance(value, str) and "\n" in value:
        return value.rstrip("\n").split("\n")
    if isinstance(value, str | int | float) or value in ({}, []):
        return to_yaml({"": value}).partition(": ")[2].rstrip("\n").split("\n")
    return to_yaml(value).rstrip("\n").split("\n")


def changes_json(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """Return each change's `action`, `kind`, `namespace`, `name`, `urn`, `component`, `formerly` and `fields`.

    `component` is a list of type tokens and names, outermost first; `formerly` the object's name before, if it is
    renamed. A field has `path`, `kind` (see `FieldKind`), and `before` and `after`, absent where it is.
    """
    return [
        {
            "action": change.action,
            "kind": change.object.key[0],
            "namespace": change.object.key[1],
            "name": change.object.key[2],
            "urn": change.object.urn,
            "component": [{"type": kind, "name": name} for kind, name in change.object.within],
            **({"formerly": change.before.title} if change.action == "renamed" and change.before else {}),
            "fields": [
                {
                    "path": field.path,
                    "kind": field.kind,
                    **{
                        side: value
                        for side, value in (("before", field.before), ("after", field.after))
                        if value is not ABSENT
                    },
                }
                for field in change.fields
            ],
        }
        for change in changes
    ]
