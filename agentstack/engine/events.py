"""What the engine says of a stack, read from its events.

https://github.com/pulumi/pulumi/blob/v3.259.0/sdk/go/common/apitype/events.go
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from manifests.manifest import object_title

from .errors import NO_CLUSTER, one_line

Event: TypeAlias = Mapping[str, Any]

SECRET: Final = "[secret]"
"""What the engine prints in the place of a secret."""
# The key that marks a value as special, and what marks a secret:
# https://github.com/pulumi/pulumi/blob/v3.259.0/sdk/go/common/resource/sig/sig.go
_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"

Operation = Literal["create", "update", "replace", "delete"]
# A replacement is a `replace` beside a `create-replacement` and a `delete-replaced`:
# https://github.com/pulumi/pulumi/blob/v3.259.0/pkg/resource/deploy/step_generator.go
_OPERATIONS: Final[Mapping[str, Operation]] = {
    "create": "create",
    "update": "update",
    "replace": "replace",
    "delete": "delete",
}


@dataclass(frozen=True)
class ResourceState:
    """What the engine has, or would have, of a resource; `SECRET` stands for secrets."""

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    protected: bool = False
    retained: bool = False


@dataclass(frozen=True)
class Refreshed:
    """A resource as the last update left it, and as the provider finds it now."""

    urn: str
    type: str
    before: ResourceState
    after: ResourceState | None
    """None if it is gone."""
    differs: tuple[str, ...]
    """The fields in which the engine sees that it is not what was declared: only those does an update put back."""


@dataclass(frozen=True)
class Step:
    """What an update would do with one resource."""

    operation: Operation
    urn: str
    type: str
    before: ResourceState | None
    after: ResourceState | None
    fields: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()
    """The fields for which the provider replaces it; none if it is replaced with something that it depends on."""


@dataclass(frozen=True)
class Refusal:
    """One resource that the engine, its provider or the API server refuses to treat as planned."""

    urn: str
    title: str
    message: str


@dataclass(frozen=True)
class Answer:
    """What the engine said."""

    refreshed: tuple[Refreshed, ...]
    steps: tuple[Step, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    """Where there are some, `steps` ends early."""


def name_of(urn: str) -> tuple[str, str]:
    """Return the type token and the name in a URN: `kubernetes:apps/v1:StatefulSet` and `redis`."""
    _, _, types, name = (*urn.split("::", 3), "", "", "", "")[:4]
    return types.rpartition("$")[2], name


def title_of(urn: str, state: ResourceState | None = None) -> str:
    """Return how people write a resource: `StatefulSet/data/redis`, or `RandomPassword/redis-operator`."""
    manifest = (state.inputs or state.outputs) if state is not None else {}
    metadata = manifest.get("metadata")
    if "kind" not in manifest or not isinstance(metadata, Mapping) or "name" not in metadata:
        token, name = name_of(urn)
        return f"{token.rpartition(':')[2]}/{name}"
    return object_title(str(manifest["kind"]), str(metadata.get("namespace") or ""), str(metadata["name"]))


def read(events: Sequence[Event]) -> Answer:
    """Return what the engine said in all events of one run."""
    refreshed: list[Refreshed] = []
    steps: list[Step] = []
    asked: set[str] = set()
    for metadata, done in _metadata(events):
        urn, operation = metadata["urn"], metadata["op"]
        if not done:
            if operation == "refresh":
                asked.add(urn)
            elif operation in _OPERATIONS and _is_custom(metadata):
                steps.append(_step(metadata))
        elif urn in asked:  # what a refresh found comes first; an update of the same resource later
            asked.discard(urn)
            before = _state(metadata.get("old"))
            if before is not None and _is_custom(metadata):
                differs = tuple(sorted(metadata.get("detailedDiff") or ()))
                refreshed.append(Refreshed(urn, metadata["type"], before, _found(metadata), differs))
    return Answer(tuple(refreshed), tuple(steps), refusals(events))


def _metadata(events: Sequence[Event]) -> Iterator[tuple[Mapping[str, Any], bool]]:
    for event in events:
        if "resourcePreEvent" in event:
            yield event["resourcePreEvent"]["metadata"], False
        elif "resOutputsEvent" in event:
            yield event["resOutputsEvent"]["metadata"], True


def _is_custom(metadata: Mapping[str, Any]) -> bool:
    """Whether it is more than a component, which has nothing in the cluster."""
    return any((metadata.get(side) or {}).get("custom") for side in ("old", "new"))


def _step(metadata: Mapping[str, Any]) -> Step:
    fields = metadata.get("detailedDiff") or {}
    return Step(
        _OPERATIONS[metadata["op"]],
        metadata["urn"],
        metadata["type"],
        _state(metadata.get("old")),
        _state(metadata.get("new")),
        tuple(sorted(fields)),
        tuple(sorted(path for path, diff in fields.items() if diff.get("diffKind", "").endswith("-replace"))),
    )


def _found(metadata: Mapping[str, Any]) -> ResourceState | None:
    state = _state(metadata.get("new"))
    return state if state is not None and (state.inputs or state.outputs) else None


def _state(raw: Mapping[str, Any] | None) -> ResourceState | None:
    if raw is None:
        return None
    return ResourceState(
        _plain(raw.get("inputs") or {}),
        _plain(raw.get("outputs") or {}),
        bool(raw.get("protect")),
        bool(raw.get("retainOnDelete")),
    )


def _plain(value: Any) -> Any:
    """Take the engine's marks out of a value: one that is special, and in a preview always a secret, is `SECRET`."""
    if isinstance(value, Mapping):
        if _SIGNATURE in value:
            return SECRET
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def refusals(events: Sequence[Event]) -> tuple[Refusal, ...]:
    """Return what was refused of single resources, unless the cluster did not answer at all."""
    titles = {
        metadata["urn"]: title_of(metadata["urn"], _state(metadata.get("new") or metadata.get("old")))
        for metadata, _ in _metadata(events)
    }
    found: dict[str, Refusal] = {}
    for event in events:
        diagnostic = event.get("diagnosticEvent", {})
        urn, message = diagnostic.get("urn", ""), diagnostic.get("message", "")
        if diagnostic.get("severity") != "error" or name_of(urn)[0] in ("", "pulumi:pulumi:Stack"):
            continue
        if NO_CLUSTER.search(message):
            return ()
        if name_of(urn)[0].endswith(":Secret"):  # the API server repeats what it does not like
            message = "its words are left out: it is a Secret"
        message = one_line(message.removeprefix("Preview failed: "))
        found.setdefault(urn, Refusal(urn, titles.get(urn, title_of(urn)), message))
    return tuple(found.values())


def reason(events: Sequence[Event], error: str) -> str:
    """Return what the engine says last, errors before the rest."""
    diagnostics = [event["diagnosticEvent"] for event in events if "diagnosticEvent" in event]
    lines = [
        d.get("message", "").strip()
        for severity in ("error", "info#err", "warning")
        for d in diagnostics
        if d.get("severity") == severity
    ]
    lines += [line.removeprefix("error: ").strip() for line in error.splitlines()]
    dull = r"(preview|refresh|update) failed|an unhandled error occurred: program exited.*|Traceback.*"
    return "\n".join(dict.fromkeys(line for line in lines if line and not re.fullmatch(dull, line)))
