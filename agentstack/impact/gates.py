"""What a change alters of that by which it is judged and deployed, and what no object shows.

A rule that is switched off or a waiver makes findings go, a price makes costs fall, and a program that judges may say
anything: whoever decides has to see them beside what they let through.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentstack.compare.fields import fields
from agentstack.compare.model import ABSENT, SECRET, FieldChange, or_null, side_text
from agentstack.compare.snapshot import Snapshot
from agentstack.judging.policy import WAIVERS
from agentstack.output.document import Code, Line, Lines, Section
from agentstack.output.published import Published
from manifests.loader import TextLoader, load

_OWN: Final = "agentstack:"
# What people write for people.
_FOR_PEOPLE: Final = ("author", "description", "license", "website")
# No secrets by themselves; of use only to who has one.
_CIPHERS: Final = ("encryptedkey", "encryptionsalt")
_LONGEST: Final = 200


@dataclass(frozen=True)
class GateChange:
    """One value of a file by which changes are judged or deployed, and that differs."""

    file: str
    """From the project's folder: `policies/config/prod.json`."""
    change: FieldChange


def gate_changes(before: Snapshot, after: Snapshot, old: pathlib.Path, new: pathlib.Path) -> list[GateChange]:
    """Return what differs between two revisions of an environment, whose projects are in the folders `old` and `new`.

    What the base holds and nobody can read any more is none of it.
    """
    name = after.environment
    config, own = f"policies/config/{name}.json", f"Pulumi.{name}.yaml"
    found = [GateChange(config, change) for change in fields(_read(old / config), _read(new / config))]
    waivers = f"policies/{WAIVERS}"
    found += [GateChange(waivers, change) for change in _waivers(old / waivers, new / waivers, name)]
    costs = before.summary.cost, after.summary.cost
    if costs[0] is not None and costs[1] is not None:
        found += [GateChange("prices", change) for change in fields(costs[0].prices, costs[1].prices)]
    changed = fields(_read(old / "Pulumi.yaml"), _read(new / "Pulumi.yaml"))
    found += [GateChange("Pulumi.yaml", change) for change in changed if change.path not in _FOR_PEOPLE]
    found += [GateChange(own, change) for change in _of_stack(_read(old / own), _read(new / own))]
    providers = [
        {known.title: known.inputs for known in side.resources if known.type.startswith("pulumi:providers:")}
        for side in (before, after)
    ]
    if before.resources:
        found += [GateChange("the program", change) for change in fields(providers[0], providers[1])]
    for key in sorted(before.objects.keys() & after.objects.keys()):
        one, other = before.objects[key], after.objects[key]
        for option, sides in (
            ("ignoreChanges", (one.ignored, other.ignored)),
            ("replaceOnChanges", (one.replaced, other.replaced)),
        ):
            if one.urn and sides[0] != sides[1]:
                words = [", ".join(paths) or "none" for paths in sides]
                found.append(GateChange("the program", FieldChange(f"{option} of {one.title}", words[0], words[1])))
    return found


def _read(file: pathlib.Path) -> Mapping[str, Any]:
    """Return what a file of JSON or YAML holds; nothing where it cannot be read, which is reported elsewhere."""
    content = _parsed(file)
    return content if isinstance(content, Mapping) else {}


def _parsed(file: pathlib.Path) -> Any:
    try:
        text = file.read_text(encoding="utf-8")
        # Not all that is JSON is YAML: tabs are not.
        return json.loads(text) if file.suffix == ".json" else load(text, TextLoader)
    except (OSError, ValueError, RecursionError):  # the last one is JSON's
        return None


def _of_stack(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[FieldChange]:
    """Yield what of a stack's file is none of the settings: what only the engine reads, and secrets."""
    for change in fields(*({key: side[key] for key in side if key != "config"} for side in (before, after))):
        if change.path in _CIPHERS:
            yield _secret(change.path, change.before, change.after)
        else:
            yield change
    old, new = (
        {**side.get("config", {})} if isinstance(side.get("config"), Mapping) else {} for side in (before, after)
    )
    yield from fields(*({key: side[key] for key in side if not key.startswith(_OWN)} for side in (old, new)))
    secrets = dict(_secrets(old)), dict(_secrets(new))
    for path in sorted({**secrets[0], **secrets[1]}):
        one, other = (side.get(path, ABSENT) for side in secrets)
        if one != other and path.startswith(_OWN):
            yield _secret(path, one, other)


def _secret(path: str, before: Any, after: Any) -> FieldChange:
    old, new = (value if value is ABSENT else SECRET for value in (before, after))
    return FieldChange(path, old, new, "secret")


def _secrets(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        if set(value) == {"secure"}:
            yield path, str(value["secure"])
        else:
            for key, item in value.items():
                yield from _secrets(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item, path)


def _waivers(old: pathlib.Path, new: pathlib.Path, environment: str) -> Iterator[FieldChange]:
    before, after = _by_title(_listed(old, environment)), _by_title(_listed(new, environment))
    for title in sorted({**before, **after}):
        if before.get(title) != after.get(title):
            yield FieldChange(title, before.get(title, ABSENT), after.get(title, ABSENT))


def _by_title(waivers: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for waiver in waivers:
        title = f"waiver of {waiver.get('rule')} for {waiver.get('resource')}"
        terms = f"until {waiver.get('until')}, {waiver.get('owner')}: {waiver.get('reason')}"
        found[title] = f"{found[title]}; {terms}" if title in found else terms
    return found


def _listed(file: pathlib.Path, environment: str) -> Iterable[Mapping[str, Any]]:
    content = _parsed(file)
    for entry in content if isinstance(content, list) else ():
        if isinstance(entry, Mapping) and environment in (entry.get("environments") or [environment]):
            yield entry


def section(found: Iterable[GateChange], programs: Iterable[str] = ()) -> Section | None:
    """Return the part of the document about it; None if there is nothing to say.

    `programs` are the files that differ of the programs that judge, from the project's folder.
    """
    lines: list[Line] = [
        (
            Code(each.file),
            ": ",
            Code(each.change.path),
            ": ",
            Code(side_text(each.change.before, _LONGEST)),
            " -> ",
            Code(side_text(each.change.after, _LONGEST)),
        )
        for each in found
    ]
    if names := list(programs):
        shown = tuple(part for name in names[:5] for part in (Code(name), ", "))[:-1]
        more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
        lines.insert(0, ("The programs that say all this: ", *shown, more, ". Read their changes first."))
    return Section("What judges it changes too", (Lines(tuple(lines)),), "warn") if lines else None


class GateReport(Published):
    """One value by which changes are judged or deployed, and that differs."""

    file: str
    """From the project's folder: `policies/config/prod.json`."""
    path: str
    before: Any
    """`null` where there is none."""
    after: Any
    """`null` where there is none."""


def published(found: Iterable[GateChange]) -> tuple[GateReport, ...]:
    """Return them as published."""
    return tuple(
        GateReport(
            file=each.file,
            path=each.change.path,
            before=or_null(each.change.before),
            after=or_null(each.change.after),
        )
        for each in found
    )
