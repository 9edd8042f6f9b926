"""What the engine, its Kubernetes provider and the API server make of each object: replaced, deleted, refused, kept.

What a revision is too old to say is not judged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from agentstack.compare.fields import fields
from agentstack.compare.model import ABSENT, Change, FieldChange, is_at
from agentstack.compare.snapshot import Object, Resource, Snapshot
from components.platform.guard import destructive_changes
from manifests.fields import get, mapping, objects, text
from manifests.quantities import quantity

from .consequences import Consequences, unprotected_by_setting
from .data import Data, claims_go
from .model import DestructiveChange
from .provider import Provider, group

# What the API server does not change, and the provider does not know of.
_IMMUTABLE: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("", "PersistentVolumeClaim"): ("spec.dataSource", "spec.dataSourceRef", "spec.volumeMode"),
    ("storage.k8s.io", "StorageClass"): ("reclaimPolicy", "volumeBindingMode"),
}
# Of these settings the guard says it, by the path below the component's name.
_COUNTED: Final = ("brokers", "controllers", "mode", "replicasPerShard", "shards")


def pairs(before: Snapshot, after: Snapshot) -> Iterator[tuple[Object, Object | None]]:
    """Yield each object of `before` with what the engine takes for the same resource in `after`."""
    by_urn = {known.urn: known for known in after.objects.values() if known.urn}
    by_alias = {alias: known for known in after.objects.values() for alias in known.aliases}
    for key, old in before.objects.items():
        if old.urn and by_urn:
            yield old, by_urn.get(old.urn) or by_alias.get(old.urn)
        else:
            yield old, after.objects.get(key)


def of_objects(before: Snapshot, after: Snapshot) -> Iterator[DestructiveChange]:
    """Yield what becomes of Kubernetes objects, without approvals."""
    provider, consequences, data = Provider(before, after), Consequences(before, after), Data(before)
    folded = unprotected_by_setting(before, after)
    reported = {change.path for change in destructive_changes(before.facts, after.facts)}
    for old, new in pairs(before, after):
        if new is None:
            destroyed = (
                consequences.moved(old, after.objects[old.key])
                if old.key in after.objects
                else consequences.removed(old)
            )
            yield from [destroyed] if destroyed else []
            continue
        changed = list(fields(old.manifest, new.manifest))
        forced = [change for change in changed if provider.is_forced(change.path, new)]
        if provider.leaves_cluster(old, new):
            forced.append(FieldChange("provider", old.provider or "the default", new.provider or "the default"))
        if forced or old.key[0] != new.key[0]:
            yield consequences.replaced(old, new, tuple(forced) or (FieldChange("kind", old.key[0], new.key[0]),))
        elif (refused := _refused(old, new, changed)) is not None:
            yield refused
        elif data.is_held_by(old):
            yield from _emptied(old, new, reported)
        lifted = tuple(lifts(old, new))
        if lifted and not folded:
            yield unprotected(old.title, lifted)


def lifts(old: Object | Resource, new: Object | Resource) -> Iterator[FieldChange]:
    """Yield what held on to the object, and does no more."""
    if old.protected and not new.protected:
        yield FieldChange("protect", True, False)
    if old.retained and not new.retained:
        yield FieldChange("retainOnDelete", True, False)
    if isinstance(old, Object) and isinstance(new, Object):
        for policy in ("whenDeleted", "whenScaled"):
            if not claims_go(old, policy) and claims_go(new, policy):
                yield FieldChange(f"spec.persistentVolumeClaimRetentionPolicy.{policy}", "Retain", "Delete")
        policies = [text(side.manifest, "spec", "persistentVolumeReclaimPolicy") for side in (old, new)]
        if old.key[0] == "PersistentVolume" and policies[0] == "Retain" != policies[1]:
            yield FieldChange("spec.persistentVolumeReclaimPolicy", policies[0], policies[1])


def unprotected(resource: str, what: tuple[FieldChange, ...]) -> DestructiveChange:
    """Return what it means that nothing holds on to a resource any more."""
    return DestructiveChange(
        resource,
        "protection lost",
        what,
        "nothing is deleted by this change; from then on the engine deletes it, claims included, where a later one "
        "removes or replaces it",
        "leave the protection on but to delete it",
        "deleting-deliberately",
        needs_approval=True,
    )


def _refused(old: Object, new: Object, changed: Iterable[FieldChange]) -> DestructiveChange | None:
    """Return what the API server refuses, so that the update stops where it is."""
    immutable = _IMMUTABLE.get(group(new), ())
    what = [change for change in changed if is_at(change.path, *immutable)]
    if old.key[0] in ("ConfigMap", "Secret"):
        what += [change for change in changed if change.path == "immutable" and change.before is True]
    section = ""
    if old.key[0] == "PersistentVolumeClaim":
        what += [change for change in changed if _shrinks(change)]
        section = "smaller-volumes-another-class"
    if not what:
        return None
    return DestructiveChange(
        old.title,
        "refused",
        tuple(what),
        "the API server refuses it, so `up` fails there; nothing is lost",
        "make another one beside it, and copy what is in it" if section else "give it another name",
        section,
    )


def _shrinks(change: FieldChange) -> bool:
    if change.path != "spec.resources.requests.storage" or ABSENT in (change.before, change.after):
        return False
    return quantity(change.after) < quantity(change.before)


def _replicas(known: Object) -> int:
    number = get(known.manifest, "spec", "replicas")
    return number if isinstance(number, int) else 1


def _emptied(old: Object, new: Object, reported: Collection[str]) -> Iterator[DestructiveChange]:
    """What pods with data no longer have; `reported` are the paths of the settings that say so themselves."""
    before, after = _replicas(old), _replicas(new)
    known = any(f"{part}.{setting}" in reported for _, part in new.within for setting in _COUNTED)
    if old.key[0] == "StatefulSet" and after < before and not known and not is_at("spec.replicas", *new.ignored):
        claims = "; their claims stay, and nothing uses them"
        if claims_go(new, "whenScaled"):
            claims = ", and their claims are deleted (`whenScaled: Delete`)"
        yield DestructiveChange(
            old.title,
            "data lost",
            (FieldChange("spec.replicas", before, after),),
            f"its pods with the highest numbers end, whatever they hold{claims}",
            "move away what is on them first",
            needs_approval=True,
        )
    lost = () if is_at("spec.template", *new.ignored) else tuple(_unmounted(_mounted(old), _mounted(new)))
    if lost:
        yield DestructiveChange(
            old.title,
            "data lost",
            lost,
            "its pods start without what is on the claim, which stays",
            "mount the same claim at the same path; to move it, copy what is on it",
            needs_approval=True,
        )


def _unmounted(
    before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]
) -> Iterator[FieldChange]:
    """Yield where a container has another claim than before; one that goes counts if no other has its claims."""
    left = {claim for claims in after.values() for claim in claims.values()}
    for name, claims in before.items():
        for path, claim in claims.items():
            there = after[name].get(path) if name in after else claim if claim in left else None
            if there != claim:
                yield FieldChange(f"{name} at {path}", claim, there or "nothing")


def _mounted(known: Object) -> dict[str, dict[str, str]]:
    """Return for each container the claim that is mounted at each path, `data` of a template or `claim backup`."""
    spec = mapping(known.manifest, "spec", "template", "spec")
    claims = {
        name: name
        for template in objects(known.manifest, "spec", "volumeClaimTemplates")
        if (name := text(template, "metadata", "name"))
    }
    for source in objects(spec, "volumes"):
        if claim := text(source, "persistentVolumeClaim", "claimName"):
            claims[text(source, "name")] = f"claim {claim}"
    return {
        text(container, "name"): {
            text(mount, "mountPath"): "/".join(filter(None, (claims[volume], text(mount, "subPath"))))
            for mount in objects(container, "volumeMounts")
            if (volume := text(mount, "name")) in claims
        }
        for container in objects(spec, "containers")
    }


def is_replaced(change: Change, after: Snapshot) -> bool:
    """Whether the engine makes another object for a change of one, instead of changing it in place."""
    provider = Provider(after, after)
    return change.after is not None and any(provider.is_forced(field.path, change.after) for field in change.fields)


def replacement(
    old: Object, new: Object, what: Sequence[FieldChange], before: Snapshot, after: Snapshot
) -> DestructiveChange:
    """Return what it costs that the engine replaces `old` with `new`, for whatever reason."""
    return Consequences(before, after).replaced(old, new, tuple(what))
