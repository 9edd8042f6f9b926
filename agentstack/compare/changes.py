"""What differs between two revisions, object by object."""

from __future__ import annotations

from .fields import fields
from .model import Change
from .renames import names, renamed
from .snapshot import Object, Snapshot


def compare(before: Snapshot, after: Snapshot) -> list[Change]:
    """Return the objects that differ, by kind, namespace and name as they will be.

    A change of what only the engine knows of an object, such as its protection, is none of its manifest: see `impact`.
    """
    removed = [before.objects[key] for key in before.objects.keys() - after.objects.keys()]
    added = [after.objects[key] for key in after.objects.keys() - before.objects.keys()]
    changes = []
    for old, new in renamed(sorted(removed, key=_key), sorted(added, key=_key)):
        removed.remove(old)
        added.remove(new)
        name = names(old, new)
        changes.append(Change("renamed", old, new, tuple(fields(old.manifest, new.manifest, renamed=name))))
    changes += [Change("removed", old, None) for old in removed]
    changes += [Change("added", None, new) for new in added]
    for key in before.objects.keys() & after.objects.keys():
        old, new = before.objects[key], after.objects[key]
        if found := tuple(fields(old.manifest, new.manifest)):
            changes.append(Change("changed", old, new, found))
    return sorted(changes, key=lambda change: (change.object.key, change.action))


def _key(known: Object) -> tuple[str, str, str]:
    return known.key
