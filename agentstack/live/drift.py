"""What in a cluster is not as it was deployed, and who set it.

Two sources: the fields in which the engine sees a difference from what was declared, and those that somebody else set
beside it. The engine looks only at what was declared, so it neither shows nor takes away a variable that `kubectl set
env` added, or a key in a ConfigMap. Who set a field, the API server knows:
https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from agentstack.compare.described import field_lines
from agentstack.compare.fields import fields
from agentstack.compare.model import ABSENT, SECRET, FieldChange, is_at, or_null
from agentstack.engine.events import SECRET as ENGINE_SECRET
from agentstack.engine.events import Refreshed, ResourceState, title_of
from agentstack.output.document import Code, Fenced, Line, Lines, Section, Table
from agentstack.output.published import Published

Happened = Literal["deleted", "recreated", "changed"]
_ORDER: Final[tuple[Happened, ...]] = ("deleted", "recreated", "changed")


@dataclass(frozen=True)
class Manager:
    """Who set a field, as the program called itself: `kubectl-edit`."""

    name: str
    when: str = ""
    """In UTC, as in RFC 3339; empty if the API server does not say."""


@dataclass(frozen=True)
class DriftedField:
    """One field that is not as declared."""

    change: FieldChange
    """From what was declared to what is there; `ABSENT` before if it was not declared at all."""
    restored: bool
    """Whether `pulumi up --refresh` puts it back; the engine does not see what was not declared."""
    manager: Manager | None = None
    """None for a field that is gone: nobody has set it."""


@dataclass(frozen=True)
class Drift:
    """One object that is not as it was deployed."""

    urn: str
    title: str
    """`Deployment/agents/worker`."""
    happened: Happened
    fields: tuple[DriftedField, ...] = ()
    manager: Manager | None = None
    """Who recreated it; None for what was not."""


def drifts(refreshed: Iterable[Refreshed]) -> list[Drift]:
    """Return what is not as it was deployed: objects that are gone first, then those recreated, then the rest."""
    found = [drift for resource in refreshed if (drift := _drift(resource)) is not None]
    return sorted(found, key=lambda drift: (_ORDER.index(drift.happened), drift.title))


def _drift(resource: Refreshed) -> Drift | None:
    before, after = resource.before, resource.after
    title = title_of(resource.urn, before)
    if after is None:
        return Drift(resource.urn, title, "deleted")
    entries = _entries(after.outputs)
    owned = [(entry, _owned(after.outputs, entry)) for entry in entries]
    seen = tuple(_seen(resource, after, owned))
    if _metadata(before.outputs, "uid") != _metadata(after.outputs, "uid"):
        first = min(entries, key=lambda entry: str(entry.get("time", "")), default=None)
        return Drift(resource.urn, title, "recreated", seen, _manager(first) if first else None)
    # A patch is of an object that something else makes.
    undeclared = () if resource.type.endswith("Patch") else tuple(_undeclared(resource, owned, seen))
    return Drift(resource.urn, title, "changed", seen + undeclared) if seen or undeclared else None


def _metadata(manifest: Mapping[str, Any], key: str) -> Any:
    metadata = manifest.get("metadata")
    return metadata.get(key) if isinstance(metadata, Mapping) else None


def _seen(resource: Refreshed, after: ResourceState, owned: Sequence[_Owned]) -> Iterator[DriftedField]:
    """Yield the declared fields that are otherwise now, if the engine sees any."""
    if not resource.differs:
        return
    declared, live = _declared(resource.before), _plain(after.outputs)
    # Not what the engine took for the new inputs: it cuts them down by positions in lists. What is there beside them
    # are defaults, or what somebody else set.
    found = [change for change in fields(declared, live) if change.before not in (ABSENT, {}, [], "")]
    # What is secret is equal in both, since neither is known.
    paths = [path for path in resource.differs if _at(declared, path) == ENGINE_SECRET]
    if not found and not paths:
        paths = list(resource.differs)
    found += [FieldChange(path, SECRET, SECRET, "secret") for path in paths]
    for change in found:
        if change.kind == "hash":  # it follows from nothing here
            change = replace(change, kind="value")
        yield DriftedField(change, True, None if change.after is ABSENT else _setter(change.path, owned))


def _undeclared(resource: Refreshed, owned: Sequence[_Owned], seen: Iterable[DriftedField]) -> Iterator[DriftedField]:
    """Yield the fields that somebody set and nobody declared, those set last first."""
    known = {field.change.path for field in seen}
    declared = _declared(resource.before)
    for entry, changes in sorted(owned, key=lambda pair: str(pair[0].get("time", "")), reverse=True):
        if not _is_foreign(entry):
            continue
        known |= {change.path for change in _owned(declared, entry)}
        for change in changes:
            if change.path not in known and not _QUIET.search(change.path):
                known.add(change.path)
                yield DriftedField(change, False, _manager(entry))


# --- who set what ---

_ENGINE: Final = "pulumi-kubernetes"
"""How the engine's provider names itself, with a random ending where it applies server-side."""
# What keeps adding fields of its own to objects that others declare.
_CONTROLLER: Final = re.compile(
    r"^(kube(-|let)|cloud-|keda|cert-manager|istio|pilot)|"
    r"controller|operator|scheduler|autoscaler|recommender|updater|injector|webhook",
    re.IGNORECASE,
)
# These write whole objects, as people do.
_TOOL: Final = re.compile(r"^kubectl|argocd|kustomize-controller|helm", re.IGNORECASE)
# Kept by the API server or by kubectl, or a restart that is over.
_QUIET: Final = re.compile(
    r"^status\b|^metadata\.(managedFields|finalizers|ownerReferences)|"
    r'last-applied-configuration"\]|restartedAt"\]|deployment\.kubernetes\.io/revision"\]'
)
_KEPT_BY_THE_SERVER: Final = (
    "creationTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
)

_Owned: TypeAlias = tuple[Mapping[str, Any], list[FieldChange]]


def _entries(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    entries = _metadata(manifest, "managedFields")
    return [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []


def _is_foreign(entry: Mapping[str, Any]) -> bool:
    """Whether it is neither the engine's nor a controller's, such as the number of pods that an autoscaler sets."""
    name = str(entry.get("manager", ""))
    if name.startswith(_ENGINE) or entry.get("subresource"):
        return False
    return _TOOL.search(name) is not None or _CONTROLLER.search(name) is None


def _manager(entry: Mapping[str, Any]) -> Manager:
    return Manager(str(entry.get("manager") or "unknown"), str(entry.get("time", "")))


def _setter(path: str, owned: Iterable[_Owned]) -> Manager | None:
    """Who set a field last."""
    owners = [
        entry
        for entry, changes in owned
        if any(is_at(path, change.path) or is_at(change.path, path) for change in changes)
    ]
    # The engine's own writes are what was deployed; who came later is named, or else who is left.
    owners.sort(key=lambda entry: (not str(entry.get("manager", "")).startswith(_ENGINE), entry.get("time", "")))
    return _manager(owners[-1]) if owners else None


def _owned(manifest: Mapping[str, Any], entry: Mapping[str, Any]) -> list[FieldChange]:
    """Return the fields of a manifest that one manager set, as if they were added to the rest of it."""
    live = _plain(manifest)
    rest = copy.deepcopy(live)
    owned = entry.get("fieldsV1")
    if isinstance(owned, Mapping):
        _take(rest, owned)
    return list(fields(rest, live))


def _take(value: Any, owned: Mapping[str, Any]) -> None:
    """Take out of a value what `owned` lists.

    https://github.com/kubernetes-sigs/structured-merge-diff/blob/v6.3.0/fieldpath/serialize-pe.go
    """
    for step, inner in owned.items():
        sign, _, name = step.partition(":")
        below = inner if isinstance(inner, Mapping) else {}
        if sign == "f" and isinstance(value, dict) and name in value:
            if below:
                _take(value[name], below)
            else:
                del value[name]
        elif sign == "v" and isinstance(value, list) and (item := _parsed(name)) in value:
            value.remove(item)
        elif sign == "k" and isinstance(value, list) and isinstance(key := _parsed(name), Mapping):
            for item in value:
                if isinstance(item, Mapping) and key.items() <= item.items():
                    if not below or "." in below:
                        value.remove(item)
                    else:  # by its key it is found again
                        _take(item, {step: owner for step, owner in below.items() if step[2:] not in key})
                    break


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _plain(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest as people know it: without the engine's and the server's own; a Secret's data by its keys."""
    plain = {key: value for key, value in manifest.items() if not key.startswith("__") and key != "status"}
    if isinstance(metadata := manifest.get("metadata"), Mapping):
        plain["metadata"] = {key: value for key, value in metadata.items() if key not in _KEPT_BY_THE_SERVER}
    for place in ("data", "stringData"):
        if plain.get(place) == ENGINE_SECRET:
            plain[place] = dict.fromkeys(_keys(manifest, place), ENGINE_SECRET)
    return plain


def _declared(state: ResourceState) -> Mapping[str, Any]:
    """Return the inputs, with the keys of secret data that the engine set: only the API server tells them."""
    secret = {
        place: dict.fromkeys(_keys(state.outputs, place, engine=True), ENGINE_SECRET)
        for place in ("data", "stringData")
        if state.inputs.get(place) == ENGINE_SECRET
    }
    return {**state.inputs, **secret}


def _keys(manifest: Mapping[str, Any], place: str, *, engine: bool = False) -> Iterator[str]:
    for entry in _entries(manifest):
        if engine and not str(entry.get("manager", "")).startswith(_ENGINE):
            continue
        owned = entry.get("fieldsV1")
        data = owned.get(f"f:{place}") if isinstance(owned, Mapping) else None
        yield from (key[2:] for key in data or () if key.startswith("f:"))


def _at(value: Any, path: str) -> Any:
    """Return what is at the engine's `spec.containers[0].image` or `data["a.b"]`, or the secret above it."""
    for quoted, plain, number in re.findall(r'\["((?:[^"\\]|\\.)*)"\]|([^.\[\]]+)|\[(\d+)\]', path):
        if value == ENGINE_SECRET:
            return value
        try:
            value = value[int(number)] if number else value[quoted or plain]
        except (KeyError, IndexError, TypeError):
            return None
    return value


# --- report ---


def verdict(found: Sequence[Drift]) -> str:
    """Say in a few words how much there is."""
    return f"{len(found)} object{'' if len(found) == 1 else 's'} drifted" if found else "no drift"


def section(found: Sequence[Drift]) -> Section:
    """Return the part of a document about drift."""
    if not found:
        return Section("Drift", (Lines(("Everything is as it was deployed.",), "good"),), "good")
    restored = any(drift.happened == "deleted" or any(field.restored for field in drift.fields) for drift in found)
    ends = {_end(field) for drift in found for field in drift.fields}
    notes: list[Line] = []
    if restored:
        notes.append(("Put back: by ", Code("pulumi up --refresh"), ". To keep it instead, declare it."))
    if ends & {_LATER, _STAYS}:
        notes.append(
            "The rest nobody declared, so the engine does not see it. What kubectl set goes once an update changes "
            "something else in the object; what other programs set stays. Remove it by hand, or declare it."
        )
    table = Table(("object", "what", "set by", "with the next update"), tuple(_row(drift) for drift in found))
    details = (Fenced(_details(drift), "diff") for drift in found if drift.fields)
    return Section("Drift", (table, Lines(tuple(notes)), *details), "warn")


def _row(drift: Drift) -> tuple[Line, ...]:
    number = len(drift.fields)
    what: list[str] = [] if drift.happened == "changed" else [drift.happened]
    what += [f"{number} field{'' if number == 1 else 's'}"] if number else []
    ends = dict.fromkeys(_end(field) for field in drift.fields)
    managers = [drift.manager, *(field.manager for field in drift.fields)]
    names = ", ".join(dict.fromkeys(manager.name for manager in managers if manager))
    end = "made again" if drift.happened == "deleted" else ", ".join(ends)
    return (Code(drift.title), ", ".join(what), Code(names) if names else "unknown", end)


_LATER: Final = "goes with the object's next change"
_STAYS: Final = "stays"


def _end(field: DriftedField) -> str:
    """Say what becomes of a field.

    Whenever the provider changes an object, it takes over what kubectl set in it, and takes out what is not declared:
    `fixCSAFieldManagers`, https://github.com/pulumi/pulumi-kubernetes/blob/v4.34.2/provider/pkg/await/await.go
    """
    if field.restored:
        return "put back"
    return _LATER if field.manager is not None and field.manager.name.startswith("kubectl") else _STAYS


def _details(drift: Drift) -> str:
    """Write an object's fields as a unified diff from what is declared to what is there."""
    lines = [f"  {drift.title}"]
    for field in drift.fields:
        who = (
            "taken out, the API server does not keep by whom"
            if field.manager is None
            else f"set by {_who(field.manager)}"
        )
        lines += [*field_lines(field.change), f"!       {who}: {_end(field)}"]
    return "\n".join(lines)


def _who(manager: Manager) -> str:
    when = re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*$", r" on \1 at \2 UTC", manager.when)
    return f"{manager.name}{when}"


class DriftedFieldReport(Published):
    """One field that is not as declared."""

    path: str
    declared: Any
    """`null` where there is none."""
    live: Any
    """`null` where there is none."""
    restored: bool
    """Whether `pulumi up --refresh` puts it back."""
    manager: str | None
    """Who set it, as the program called itself; `null` where it is not known."""
    when: str | None
    """In UTC, as in RFC 3339; `null` where it is not known."""


class DriftedObject(Published):
    """One object that is not as it was deployed."""

    resource: str
    """`Deployment/agents/worker`."""
    urn: str
    happened: Happened
    manager: str | None
    """Who recreated it; `null` for what was not."""
    when: str | None
    fields: tuple[DriftedFieldReport, ...]


class DriftReport(Published):
    """What `agentstack drift --json` prints."""

    version: Literal[1] = 1
    """Of the form of this document; fields may be added without another."""
    environment: str
    drift: tuple[DriftedObject, ...]


def published(found: Iterable[Drift]) -> tuple[DriftedObject, ...]:
    """Return drift as published."""
    return tuple(
        DriftedObject(
            resource=drift.title,
            urn=drift.urn,
            happened=drift.happened,
            **_set_by(drift.manager),
            fields=tuple(
                DriftedFieldReport(
                    path=field.change.path,
                    declared=or_null(field.change.before),
                    live=or_null(field.change.after),
                    restored=field.restored,
                    **_set_by(field.manager),
                )
                for field in drift.fields
            ),
        )
        for drift in found
    )


def _set_by(manager: Manager | None) -> dict[str, str | None]:
    return {"manager": manager.name, "when": manager.when or None} if manager else {"manager": None, "when": None}
