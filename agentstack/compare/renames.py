"""Which objects are the same under another name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .similarity import canonical, leaves, most_similar, without, without_hash
from .snapshot import Object


def renamed(removed: Sequence[Object], added: Sequence[Object]) -> list[tuple[Object, Object]]:
    """Pair objects that are the same under another name, the surest reasons first."""
    pairs: list[tuple[Object, Object]] = []

    def take(found: Iterable[tuple[Object, Object]]) -> None:
        for old, new in found:
            if all(old is not one and new is not other for one, other in pairs):
                pairs.append((old, new))

    def left() -> tuple[list[Object], list[Object]]:
        old_ones, new_ones = {id(old) for old, _ in pairs}, {id(new) for _, new in pairs}
        return [o for o in removed if id(o) not in old_ones], [o for o in added if id(o) not in new_ones]

    by_identity = {(old.key[0], name): old for old in removed for name in _identities(old)}
    take(
        (by_identity[new.key[0], name], new)
        for new in added
        for name in (new.urn, *new.aliases)
        if name and (new.key[0], name) in by_identity
    )
    old_left, new_left = left()
    stems = {(old.key[:2], stem): old for old in old_left if (stem := without_hash(old.key[2]))}
    take(
        (stems[new.key[:2], stem], new)
        for new in new_left
        if (stem := without_hash(new.key[2])) and (new.key[:2], stem) in stems
    )
    take(_of_renamed_components(*left()))
    old_left, new_left = left()
    for kind in sorted({old.key[0] for old in old_left}):
        old_kind = [old for old in old_left if old.key[0] == kind]
        new_kind = [new for new in new_left if new.key[0] == kind]
        old_sets, new_sets = ([_content(one, one.key[2]) for one in side] for side in (old_kind, new_kind))
        take(
            (old_kind[i], new_kind[j])
            for i, j in most_similar(old_sets, new_sets, 0.8)
            # Of what holds next to nothing, such as a ServiceAccount, one is like another.
            if len(old_sets[i]) >= 8 and _may_be_one(old_kind[i], new_kind[j])
        )
    return pairs


def _identities(known: Object) -> tuple[str, ...]:
    """By what an alias names it: the URN, or the name at its end."""
    return (known.urn, known.urn.rpartition("::")[2]) if known.urn else ()


def _may_be_one(before: Object, after: Object) -> bool:
    """Whether both belong to the same components, as far as their revisions say."""
    return not before.within or not after.within or before.within == after.within


def _of_renamed_components(removed: Sequence[Object], added: Sequence[Object]) -> Iterator[tuple[Object, Object]]:
    """Pair the objects of components, such as agents, that are alike but for their name."""
    groups: tuple[dict[Any, list[Object]], dict[Any, list[Object]]] = ({}, {})
    for group, side in zip(groups, (removed, added), strict=True):
        for known in side:
            if known.within:
                group.setdefault(known.within, []).append(known)
    old, new = (sorted(group) for group in groups)
    contents = [
        [
            frozenset((one.key[0], *leaf) for one in group[within] for leaf in _content(one, within[-1][1]))
            for within in side
        ]
        for group, side in zip(groups, (old, new), strict=True)
    ]
    for i, j in most_similar(contents[0], contents[1], 0.8):
        if old[i][:-1] != new[j][:-1] or old[i][-1][0] != new[j][-1][0] or old[i][-1][1] == new[j][-1][1]:
            continue
        names = old[i][-1][1], new[j][-1][1]
        by_name = {(one.key[0], without(one.key[2], names[0])): one for one in groups[0][old[i]]}
        for one in groups[1][new[j]]:
            if (found := by_name.get((one.key[0], without(one.key[2], names[1])))) is not None:
                yield found, one


def _content(known: Object, name: str) -> frozenset[Any]:
    """Return what an object holds, with its name taken out wherever it stands."""
    return frozenset(
        (path, without(canonical(value), name))
        for path, value in leaves(known.manifest)
        if path not in (("apiVersion",), ("kind",), ("metadata", "name"))
    )


def names(before: Object, after: Object) -> tuple[str, str]:
    """Return the name that differs, of the component if it is that, of the object itself otherwise."""
    if before.within and after.within and before.within[-1][0] == after.within[-1][0] and before.within != after.within:
        return before.within[-1][1], after.within[-1][1]
    return before.key[2], after.key[2]
