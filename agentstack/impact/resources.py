"""What the engine makes of random values and of providers, which are no Kubernetes objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from agentstack.compare.model import ABSENT, FieldChange, is_at
from agentstack.compare.snapshot import Resource, Snapshot

from .consequences import unprotected_by_setting
from .model import DestructiveChange
from .provider import DESTINATION
from .replacements import lifts, unprotected


def of_resources(before: Snapshot, after: Snapshot) -> Iterator[DestructiveChange]:
    """Yield what becomes of random values and providers, without approvals."""
    if not after.resources:
        return
    by_urn = {known.urn: known for known in after.resources}
    by_alias = {alias: known for known in after.resources for alias in known.aliases}
    components = {known.within for known in after.objects.values()}
    folded = unprotected_by_setting(before, after)
    for old in before.resources:
        new = by_urn.get(old.urn) or by_alias.get(old.urn)
        if old.type.startswith("pulumi:providers:"):
            if new is not None and old.type == "pulumi:providers:kubernetes":
                yield from _of_provider(old, new)
        elif new is None:
            # That of a component that goes belongs to data that is named already.
            if old.protected and old.within in components:
                yield _value(old, (), "the engine refuses to delete what is protected, so `up` fails")
        else:
            keys = sorted(key for key in {**old.inputs, **new.inputs} if not is_at(key, *new.ignored))
            changed = tuple(
                FieldChange(key, old.inputs.get(key, ABSENT), new.inputs.get(key, ABSENT))
                for key in keys
                if old.inputs.get(key, ABSENT) != new.inputs.get(key, ABSENT)
            )
            if changed:
                refused = "the engine refuses to replace what is protected, and changes nothing; without that: "
                yield _value(old, changed, refused if old.protected and new.protected else "")
            lifted = tuple(lifts(old, new))
            if lifted and not folded:
                yield unprotected(old.title, lifted)


def _value(old: Resource, what: tuple[FieldChange, ...], refused: str) -> DestructiveChange:
    """A random value that becomes another: each of its inputs makes the provider do so.

    https://www.pulumi.com/registry/packages/random/api-docs/randompassword/
    """
    password = old.type.endswith((":RandomPassword", ":RandomBytes"))
    lost = "another password takes its place: who keeps the old one is locked out"
    if not password:
        lost = "another value takes its place: what was made with the old one, such as volumes, does not know it"
    return DestructiveChange(
        old.title,
        "downtime" if password else "data lost",
        what,
        f"{refused}{lost if what else ''}",
        "keep its inputs, and its name or an alias of it",
        needs_approval=old.protected or not password,
    )


def _of_provider(old: Resource, new: Resource) -> Iterator[DestructiveChange]:
    # DiffConfig of the provider; one that is added or taken away replaces nothing.
    values = old.inputs.get("clusterIdentifier"), new.inputs.get("clusterIdentifier")
    moved = tuple(
        FieldChange(key, old.inputs.get(key, ABSENT), new.inputs.get(key, ABSENT))
        for key in DESTINATION
        if old.inputs.get(key) != new.inputs.get(key)
    )
    if moved and values[0] == values[1]:
        pinned = values[0] is not None
        yield DestructiveChange(
            old.title,
            "downtime" if pinned else "data lost",
            tuple(replace(change, kind="secret") if change.path == "kubeconfig" else change for change in moved),
            "`up` goes where this leads: if that is another cluster, everything is created there, empty, and what "
            "runs now stays behind, out of the engine's state"
            if pinned
            else "where this leads to another cluster, the engine replaces every object of the stack",
            "keep it, or be sure that it is the same cluster",
            # Naming the context that was the current one is what docs/environments.md asks for.
            needs_approval=not pinned or any(change.before is not ABSENT for change in moved),
        )
    if None not in values and values[0] != values[1]:
        yield DestructiveChange(
            old.title,
            "data lost",
            (FieldChange("clusterIdentifier", *values),),
            "to the engine it is another cluster: it replaces every object of the stack",
            "keep the identifier as it is",
            needs_approval=True,
        )
