"""What differs between two revisions, object by object and field by field.

Lists are matched as the API server matches them in a patch, by the keys of their items; never by position.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from typing import Any, Final, Literal, TypeAlias

from manifests.quantities import quantity
from manifests.secret_text import masked, secret_arguments, secret_in_plain_text
from manifests.text import cut, escaped

from .snapshot import Object, Snapshot

ABSENT: Final = object()
"""Stands for the value of a field that a revision does not have."""
SECRET: Final = "(secret)"
"""Stands for every value that is a secret, or looks like one."""

Action = Literal["added", "removed", "renamed", "changed"]
FieldKind = Literal["value", "text", "order", "hash", "name", "secret"]
"""What sort of difference it is: of a value; of text of several lines; of the order alone of a list's items, by their
names; of a hash of other content, or of a name that an object is renamed to, which follow from a change elsewhere; of a
secret, which is not shown."""


@dataclass(frozen=True)
class FieldChange:
    """One field that differs."""

    path: str
    """From the object's root, with names and never positions: `spec.template.spec.containers[api].env[LOG_LEVEL]`."""
    before: Any
    """`ABSENT` if it is new."""
    after: Any
    """`ABSENT` if it is gone."""
    kind: FieldKind = "value"


@dataclass(frozen=True)
class Change:
    """One object that differs."""

    action: Action
    before: Object | None
    """None if it is added."""
    after: Object | None
    """None if it is removed."""
    fields: tuple[FieldChange, ...] = ()
    """What differs; empty if it is added or removed."""

    @property
    def object(self) -> Object:
        """The object as it will be, or as it was where it is removed."""
        found = self.after or self.before
        assert found is not None
        return found


def compare(before: Snapshot, after: Snapshot) -> list[Change]:
    """Return the objects that differ, by kind, namespace and name as they will be.

    A change of what only the engine knows of an object, such as its protection, is none of its manifest: see `losses`.
    """
    removed = [before.objects[key] for key in before.objects.keys() - after.objects.keys()]
    added = [after.objects[key] for key in after.objects.keys() - before.objects.keys()]
    changes = []
    for old, new in _renamed(sorted(removed, key=_key), sorted(added, key=_key)):
        removed.remove(old)
        added.remove(new)
        renamed = _names(old, new)
        changes.append(Change("renamed", old, new, tuple(fields(old.manifest, new.manifest, renamed=renamed))))
    changes += [Change("removed", old, None) for old in removed]
    changes += [Change("added", None, new) for new in added]
    for key in before.objects.keys() & after.objects.keys():
        old, new = before.objects[key], after.objects[key]
        if found := tuple(fields(old.manifest, new.manifest)):
            changes.append(Change("changed", old, new, found))
    return sorted(changes, key=lambda change: (change.object.key, change.action))


def _key(known: Object) -> tuple[str, str, str]:
    return known.key


# --- fields ---


def side_text(value: Any, longest: int) -> str:
    """Return one side of a change as text of at most `longest` characters."""
    text = "none" if value is ABSENT else value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return cut(text, longest)


def is_at(path: str, *roots: str) -> bool:
    """Whether a field is one of `roots`, or below one."""
    return any(path == root or path.startswith((f"{root}.", f"{root}[")) for root in roots)


def fields(
    before: Mapping[str, Any], after: Mapping[str, Any], *, renamed: tuple[str, str] | None = None
) -> Iterator[FieldChange]:
    """Yield the fields that differ between two manifests of one kind, secrets replaced by `SECRET`.

    `renamed` is a name of before and what it is after.
    """
    return _Comparison(str(after.get("kind")), renamed).mappings((), "", before, after)


def shown(manifest: Mapping[str, Any]) -> Any:
    """Return a manifest with `SECRET` in the place of every value that is a secret, or looks like one."""
    return _Comparison(str(manifest.get("kind"))).redacted((), manifest)


Keys: TypeAlias = tuple[str, ...]
"""The keys that lead to a value, without the items of lists between them."""

_Name: TypeAlias = Callable[[Mapping[str, Any]], object]


def _by(*paths: str) -> _Name:
    """Name items by the values of these fields; None where the first has none."""

    def name(item: Mapping[str, Any]) -> object:
        found = []
        for path in paths:
            value: Any = item
            for key in path.split("."):
                value = value.get(key) if isinstance(value, Mapping) else None
            if isinstance(value, str | int):
                found.append(str(value))
        return "/".join(found) or None

    return name


def _port(number: str) -> _Name:
    def name(item: Mapping[str, Any]) -> object:
        protocol = item.get("protocol", "TCP")
        return None if number not in item else f"{item[number]}{'' if protocol == 'TCP' else f'/{protocol}'}"

    return name


# x-kubernetes-list-map-keys and x-kubernetes-patch-merge-key of
# https://github.com/kubernetes/kubernetes/blob/v1.36.0/api/openapi-spec/swagger.json; for lists that the API server
# replaces as a whole, and for custom resources, what tells their items apart. The first that does is taken.
_BY_NAME: Final = _by("name")
_NAMES: Final[Mapping[str, tuple[_Name, ...]]] = {
    "conditions": (_by("type"),),
    "constraints": (_by("type"),),
    "data": (_by("secretKey"),),
    "envFrom": (_by("prefix", "configMapRef.name", "secretRef.name"),),
    "hostAliases": (_by("ip"),),
    "limits": (_by("type"),),
    "matchExpressions": (_by("key"), _by("key", "operator")),
    "metrics": (_by("type", "resource.name", "containerResource.name", "pods.metric.name", "external.metric.name"),),
    "ownerReferences": (_by("uid"),),
    "parentRefs": (_by("namespace", "name", "sectionName"),),
    "paths": (_by("path"), _by("path", "pathType")),
    "ports": (_port("containerPort"), _port("port")),
    "rules": (_by("host"), _BY_NAME),
    "subjects": (_by("kind", "namespace", "name"),),
    "tolerations": (_by("key", "operator", "value", "effect"),),
    "topologySpreadConstraints": (_by("topologyKey"), _by("topologyKey", "whenUnsatisfiable")),
    "triggers": (_BY_NAME, _by("type", "metadata.topic", "metadata.metricName", "metadata.query")),
    "volumeClaimTemplates": (_by("metadata.name"),),
    "volumeDevices": (_by("devicePath"),),
    "volumeMounts": (_by("mountPath"),),
}
_QUANTITIES: Final = frozenset({"requests", "limits", "hard", "capacity"})
"""Maps of resource quantities."""
_LIMIT_RANGE: Final = frozenset({"default", "defaultRequest", "min", "max"})
_QUANTITY: Final = frozenset({"sizeLimit", "divisor", "averageValue"})
_DURATION: Final = frozenset({"refreshInterval", "renewBefore", "backendRequest", "duration"})
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS: Final = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_HASH: Final = re.compile(r"hash|checksum")
_SUM: Final = re.compile(r"(sha\d+:)?[0-9a-f]{7,128}")
# In files of any format; a value that begins with `$`, `<` or a bracket is filled in later, or is code.
_SECRET_LINE: Final = re.compile(
    r"""(?:password|passwd|passphrase|(?:secret|api|access)[-_]?key|auth[-_]?token)["']?\s*"""
    r"""(?::\s+([^\s{}\[$<|>].*)|=\s*["']?([^\s"'\\$<;&|=()]+)["']?(?=[\s;,&]|$))"""
    r"""|\b(?:requirepass|masterauth)\s+["']?([^\s"'$<]+)""",
    re.IGNORECASE,
)
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_LABEL: Final = 60
_MOST_PAIRS: Final = 10_000
"""Finding what is similar takes time with the square of the numbers."""


class _Comparison:
    """Compares two manifests of one kind."""

    def __init__(self, kind: str, renamed: tuple[str, str] | None = None) -> None:
        self._kind = kind
        self._renamed = renamed

    def values(self, keys: Keys, path: str, before: Any, after: Any) -> Iterator[FieldChange]:
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from self.mappings(keys, path, before, after)
        elif isinstance(before, list) and isinstance(after, list) and _has_items(before, after):
            yield from self._lists(keys, path, before, after)
        elif not _equal(keys, before, after):
            yield self._change(keys, path, before, after)

    def mappings(
        self, keys: Keys, path: str, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> Iterator[FieldChange]:
        for key in sorted({**before, **after}):
            # The API server drops fields that are null.
            old, new = (ABSENT if side.get(key) is None else side[key] for side in (before, after))
            step = key if _PLAIN_KEY.fullmatch(key) else f"[{json.dumps(key, ensure_ascii=False)}]"
            inner = f"{path}.{step}" if path and step == key else f"{path}{escaped(step)}"
            if old is ABSENT or new is ABSENT:
                if old is not new:
                    yield self._change(self._named(keys, {**before, **after}, key), inner, old, new)
            else:
                yield from self.values(self._named(keys, before, key), inner, old, new)

    def _lists(self, keys: Keys, path: str, before: list[Any], after: list[Any]) -> Iterator[FieldChange]:
        matched = list(self.items(keys, before, after))
        for label, old, new in matched:
            inner = f"{path}[{escaped(label)}]"
            if old is ABSENT or new is ABSENT:
                yield self._change(keys, inner, old, new)
            else:
                yield from self.values(keys, inner, old, new)
        # Those that stay, in the order of each side: pods restart for another order as well.
        kept = [(label, old, new) for label, old, new in matched if old is not ABSENT and new is not ABSENT]
        old_order = [label for _, label in sorted((_position(before, old), label) for label, old, _ in kept)]
        new_order = [label for _, label in sorted((_position(after, new), label) for label, _, new in kept)]
        if old_order != new_order:
            yield FieldChange(f"{path} (order)", old_order, new_order, "order")

    def items(self, keys: Keys, before: list[Any], after: list[Any]) -> Iterator[tuple[str, Any, Any]]:
        """Yield the items of two lists of mappings that belong together, each pair with its label."""
        for name in (*_NAMES.get(keys[-1], ()), _BY_NAME) if keys else ():
            old = {self._now(str(name(item))): item for item in before}
            new = {str(name(item)): item for item in after}
            whole = len(old) == len(before) and len(new) == len(after)
            if whole and all(name(item) is not None for item in (*before, *after)):
                for label in {**old, **new}:
                    yield label, old.get(label, ABSENT), new.get(label, ABSENT)
                return
        taken: set[str] = set()
        for old_item, new_item in self._by_content(before, after):
            label = self._label(keys, old_item, new_item)
            if label in taken:
                content = _canonical(self.redacted(keys, new_item if old_item is ABSENT else old_item))
                label += f" #{hashlib.sha256(content.encode()).hexdigest()[:6]}"
            while label in taken:  # one item twice
                label += " again"
            taken.add(label)
            yield label, old_item, new_item

    def _by_content(self, before: Sequence[Any], after: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """Pair equal items, then similar ones; the rest is removed or added."""
        rest: dict[str, list[Any]] = {}
        for item in after:
            rest.setdefault(_canonical(item), []).append(item)
        removed = []
        for item in before:
            if same := rest.get(self._now(_canonical(item))):
                yield item, same.pop(0)
            else:
                removed.append(item)
        added = [item for items in rest.values() for item in items]
        old = [frozenset((path, self._now(_canonical(value))) for path, value in _leaves(item)) for item in removed]
        new = [frozenset((path, _canonical(value)) for path, value in _leaves(item)) for item in added]
        pairs = dict(_most_similar(old, new, 0.5))
        yield from ((item, added[pairs[at]] if at in pairs else ABSENT) for at, item in enumerate(removed))
        yield from ((ABSENT, item) for at, item in enumerate(added) if at not in pairs.values())

    def _label(self, keys: Keys, before: Any, after: Any) -> str:
        """Name an item by what it holds; one that changes, by what stays."""
        sides = [_leaves(self.redacted(keys, item)) for item in (before, after) if item is not ABSENT]
        common = [leaf for leaf in sides[0] if leaf in sides[-1]] or sides[0]
        words = [str(value) for path, value in common if value != {} and path[-1:] != ("app.kubernetes.io/part-of",)]
        label = " ".join(" ".join(words).split()) or "any"
        return cut(label, _LONGEST_LABEL)

    def _now(self, text: str) -> str:
        """Return text of before with the name that is new by now."""
        return text if self._renamed is None else _replaced(text, *self._renamed)

    def _change(self, keys: Keys, path: str, before: Any, after: Any) -> FieldChange:
        old, new = (value if value is ABSENT else self.redacted(keys, value) for value in (before, after))
        if _same(old, new) and not _same(before, after):
            return FieldChange(path, old, new, "secret")
        if SECRET in (old, new):
            return FieldChange(path, old, new, "secret")
        sums = all(isinstance(value, str) and _SUM.fullmatch(value) for value in (old, new))
        if keys[-2:-1] == ("annotations",) and _HASH.search(keys[-1]) and sums:
            return FieldChange(path, old, new, "hash")
        if keys == ("metadata", "name") and _stem(str(old)) == _stem(str(new)) != "":
            return FieldChange(path, old, new, "hash")
        # Another image is another program, whatever it is called.
        follows = isinstance(old, str) and self._renamed is not None and self._now(old) == new
        if follows and keys[-1:] not in (("image",), ("command",), ("args",)):
            return FieldChange(path, old, new, "name")
        if any(isinstance(value, str) and "\n" in value for value in (old, new)):
            return FieldChange(path, old, new, "text")
        return FieldChange(path, old, new)

    # --- secrets ---

    def redacted(self, keys: Keys, value: Any) -> Any:
        """Return the value with `SECRET` in the place of what is a secret, or looks like one."""
        if self._kind == "Secret" and keys[:1] in (("data",), ("stringData",)):
            return dict.fromkeys(value, SECRET) if isinstance(value, Mapping) else SECRET
        if isinstance(value, Mapping):
            return {key: self.redacted(self._named(keys, value, key), item) for key, item in value.items()}
        if isinstance(value, list):
            texts = [item if isinstance(item, str) else "" for item in value]
            hidden = set(secret_arguments(texts)) if keys[-1:] in (("args",), ("command",)) else set()
            return [SECRET if at in hidden else self.redacted(keys, item) for at, item in enumerate(value)]
        if not isinstance(value, str):
            return SECRET if keys and secret_in_plain_text(keys[-1], str(value)) and self._is_variable(keys) else value
        if "PRIVATE KEY-----" in value:  # in lines that do not show by themselves what they are
            return SECRET
        if "\n" in value:
            return "\n".join(map(_without_secrets, value.split("\n")))
        name = keys[-1] if self._is_variable(keys) else ""
        return SECRET if secret_in_plain_text(name, value) else value

    def _is_variable(self, keys: Keys) -> bool:
        """Whether the last key names an environment variable, by which its value can be a secret."""
        return keys[-2:-1] == ("env",) or (self._kind == "ConfigMap" and keys[:1] == ("data",) and "." not in keys[-1])

    @staticmethod
    def _named(keys: Keys, parent: Mapping[str, Any], key: str) -> Keys:
        """Extend keys by one; the value of a variable counts as below the variable's name."""
        if keys[-1:] == ("env",) and key == "value":
            return (*keys, str(parent.get("name")))
        return (*keys, key)


def _without_secrets(line: str) -> str:
    """Return one line of a file without the values of passwords: what else it says is to be seen."""
    for match in reversed(list(_SECRET_LINE.finditer(line))):
        start, end = match.span(match.lastindex or 0)
        line = f"{line[:start]}{SECRET}{line[end:]}"
    return masked(line, SECRET)


def _has_items(before: list[Any], after: list[Any]) -> bool:
    """Whether two lists are to be matched item by item; lists of scalars are compared as a whole."""
    both = [*before, *after]
    return bool(both) and all(isinstance(item, Mapping) for item in both)


def _position(items: list[Any], item: Any) -> int:
    return next(at for at, other in enumerate(items) if other is item)


def _most_similar(
    before: Sequence[frozenset[Any]], after: Sequence[frozenset[Any]], least: float
) -> Iterator[tuple[int, int]]:
    """Yield the positions of sets that are alike, the most similar ones first, each at most once.

    The measure is Jaccard's: what both have, of all that either has.
    """
    if len(before) * len(after) > _MOST_PAIRS:
        return
    scores = (
        (len(old & new) / len(old | new), -i, -j)
        for i, old in enumerate(before)
        for j, new in enumerate(after)
        if old or new
    )
    seen: tuple[set[int], set[int]] = (set(), set())
    for _, i, j in sorted((item for item in scores if item[0] >= least), reverse=True):
        if -i not in seen[0] and -j not in seen[1]:
            seen[0].add(-i)
            seen[1].add(-j)
            yield -i, -j


def _leaves(value: Any, path: Keys = ()) -> list[tuple[Keys, Any]]:
    """Return what is not divided further, each with the keys that lead to it."""
    if isinstance(value, Mapping) and value:
        return [leaf for key in sorted(value) for leaf in _leaves(value[key], (*path, key))]
    if isinstance(value, list) and value:
        return [leaf for item in value for leaf in _leaves(item, path)]
    return [(path, value)]


def _canonical(value: Any) -> str:
    """Write a value as text that is equal for equal values only: in Python, `True == 1`."""
    return json.dumps(value, sort_keys=True, default=str)


def _same(before: Any, after: Any) -> bool:
    if before is ABSENT or after is ABSENT:
        return before is after
    return before is after or _canonical(before) == _canonical(after)


def _equal(keys: Keys, before: Any, after: Any) -> bool:
    """Whether two values mean the same: `1000m` of CPU is `1`."""
    if _same(before, after):
        return True
    if isinstance(before, bool) or isinstance(after, bool):
        return False
    if not all(isinstance(value, str | int | float) for value in (before, after)):
        return False
    if _holds_quantity(keys):
        try:
            return quantity(before) == quantity(after)
        except (DecimalException, ValueError):
            return False
    if keys[-1:] and (keys[-1] in _DURATION or keys[-2:] == ("timeouts", "request")):
        old, new = _seconds(str(before)), _seconds(str(after))
        return old is not None and old == new
    return False


def _holds_quantity(keys: Keys) -> bool:
    outer, parent, last = ("", "", "", *keys)[-3:]
    return parent in _QUANTITIES or last in _QUANTITY or (outer == "limits" and parent in _LIMIT_RANGE)


def _seconds(text: str) -> Decimal | None:
    """Read a duration as Go writes it, such as `1h30m`; None for anything else."""
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum((Decimal(number) * _SECONDS[unit] for number, unit in parts), Decimal(0))


# --- renamed objects ---


def _renamed(removed: Sequence[Object], added: Sequence[Object]) -> list[tuple[Object, Object]]:
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
    stems = {(old.key[:2], stem): old for old in old_left if (stem := _stem(old.key[2]))}
    take(
        (stems[new.key[:2], stem], new)
        for new in new_left
        if (stem := _stem(new.key[2])) and (new.key[:2], stem) in stems
    )
    take(_of_renamed_components(*left()))
    old_left, new_left = left()
    for kind in sorted({old.key[0] for old in old_left}):
        old_kind = [old for old in old_left if old.key[0] == kind]
        new_kind = [new for new in new_left if new.key[0] == kind]
        old_sets, new_sets = ([_content(one, one.key[2]) for one in side] for side in (old_kind, new_kind))
        take(
            (old_kind[i], new_kind[j])
            for i, j in _most_similar(old_sets, new_sets, 0.8)
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
    for i, j in _most_similar(contents[0], contents[1], 0.8):
        if old[i][:-1] != new[j][:-1] or old[i][-1][0] != new[j][-1][0] or old[i][-1][1] == new[j][-1][1]:
            continue
        names = old[i][-1][1], new[j][-1][1]
        by_name = {(one.key[0], _without(one.key[2], names[0])): one for one in groups[0][old[i]]}
        for one in groups[1][new[j]]:
            if (found := by_name.get((one.key[0], _without(one.key[2], names[1])))) is not None:
                yield found, one


def _content(known: Object, name: str) -> frozenset[Any]:
    """Return what an object holds, with its name taken out wherever it stands."""
    return frozenset(
        (path, _without(_canonical(value), name))
        for path, value in _leaves(known.manifest)
        if path not in (("apiVersion",), ("kind",), ("metadata", "name"))
    )


def _names(before: Object, after: Object) -> tuple[str, str]:
    """Return the name that differs, of the component if it is that, of the object itself otherwise."""
    if before.within and after.within and before.within[-1][0] == after.within[-1][0] and before.within != after.within:
        return before.within[-1][1], after.within[-1][1]
    return before.key[2], after.key[2]


def _without(text: str, name: str) -> str:
    return _replaced(text, name, "\0")


def _replaced(text: str, name: str, by: str) -> str:
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", lambda _: by, text)


def _stem(name: str) -> str:
    """Return a name without the hash of its content at the end; nothing where there is none."""
    match = re.fullmatch(r"(.+)-(?=[a-f]*[0-9])[0-9a-f]{7,64}", name)
    return match[1] if match else ""
