"""What differs between two manifests, field by field.

Lists are matched as the API server matches them in a patch, by the keys of their items; never by position.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from manifests.text import cut, escaped

from .equality import equal, same
from .items import BY_NAME, NAMES
from .model import ABSENT, SECRET, FieldChange
from .redaction import Redaction, named
from .similarity import Keys, canonical, leaves, most_similar, replaced, without_hash

_HASH: Final = re.compile(r"hash|checksum")
_SUM: Final = re.compile(r"(sha\d+:)?[0-9a-f]{7,128}")
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_LABEL: Final = 60


def fields(
    before: Mapping[str, Any], after: Mapping[str, Any], *, renamed: tuple[str, str] | None = None
) -> Iterator[FieldChange]:
    """Yield the fields that differ between two manifests of one kind, secrets replaced by `SECRET`.

    `renamed` is a name of before and what it is after.
    """
    return _Comparison(str(after.get("kind")), renamed).mappings((), "", before, after)


class _Comparison:
    """Compares two manifests of one kind."""

    def __init__(self, kind: str, renamed: tuple[str, str] | None = None) -> None:
        self._redaction = Redaction(kind)
        self._renamed = renamed

    def values(self, keys: Keys, path: str, before: Any, after: Any) -> Iterator[FieldChange]:
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from self.mappings(keys, path, before, after)
        elif isinstance(before, list) and isinstance(after, list) and _has_items(before, after):
            yield from self._lists(keys, path, before, after)
        elif not equal(keys, before, after):
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
                    yield self._change(named(keys, {**before, **after}, key), inner, old, new)
            else:
                yield from self.values(named(keys, before, key), inner, old, new)

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
        for name in (*NAMES.get(keys[-1], ()), BY_NAME) if keys else ():
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
                content = canonical(self._redaction.redacted(keys, new_item if old_item is ABSENT else old_item))
                label += f" #{hashlib.sha256(content.encode()).hexdigest()[:6]}"
            while label in taken:  # one item twice
                label += " again"
            taken.add(label)
            yield label, old_item, new_item

    def _by_content(self, before: Sequence[Any], after: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """Pair equal items, then similar ones; the rest is removed or added."""
        rest: dict[str, list[Any]] = {}
        for item in after:
            rest.setdefault(canonical(item), []).append(item)
        removed = []
        for item in before:
            if alike := rest.get(self._now(canonical(item))):
                yield item, alike.pop(0)
            else:
                removed.append(item)
        added = [item for items in rest.values() for item in items]
        old = [frozenset((path, self._now(canonical(value))) for path, value in leaves(item)) for item in removed]
        new = [frozenset((path, canonical(value)) for path, value in leaves(item)) for item in added]
        pairs = dict(most_similar(old, new, 0.5))
        yield from ((item, added[pairs[at]] if at in pairs else ABSENT) for at, item in enumerate(removed))
        yield from ((ABSENT, item) for at, item in enumerate(added) if at not in pairs.values())

    def _label(self, keys: Keys, before: Any, after: Any) -> str:
        """Name an item by what it holds; one that changes, by what stays."""
        sides = [leaves(self._redaction.redacted(keys, item)) for item in (before, after) if item is not ABSENT]
        common = [leaf for leaf in sides[0] if leaf in sides[-1]] or sides[0]
        words = [str(value) for path, value in common if value != {} and path[-1:] != ("app.kubernetes.io/part-of",)]
        label = " ".join(" ".join(words).split()) or "any"
        return cut(label, _LONGEST_LABEL)

    def _now(self, text: str) -> str:
        """Return text of before with the name that is new by now."""
        return text if self._renamed is None else replaced(text, *self._renamed)

    def _change(self, keys: Keys, path: str, before: Any, after: Any) -> FieldChange:
        old, new = (value if value is ABSENT else self._redaction.redacted(keys, value) for value in (before, after))
        if same(old, new) and not same(before, after):
            return FieldChange(path, old, new, "secret")
        if SECRET in (old, new):
            return FieldChange(path, old, new, "secret")
        sums = all(isinstance(value, str) and _SUM.fullmatch(value) for value in (old, new))
        if keys[-2:-1] == ("annotations",) and _HASH.search(keys[-1]) and sums:
            return FieldChange(path, old, new, "hash")
        if keys == ("metadata", "name") and without_hash(str(old)) == without_hash(str(new)) != "":
            return FieldChange(path, old, new, "hash")
        # Another image is another program, whatever it is called.
        follows = isinstance(old, str) and self._renamed is not None and self._now(old) == new
        if follows and keys[-1:] not in (("image",), ("command",), ("args",)):
            return FieldChange(path, old, new, "name")
        if any(isinstance(value, str) and "\n" in value for value in (old, new)):
            return FieldChange(path, old, new, "text")
        return FieldChange(path, old, new)


def _has_items(before: list[Any], after: list[Any]) -> bool:
    """Whether two lists are to be matched item by item; lists of scalars are compared as a whole."""
    both = [*before, *after]
    return bool(both) and all(isinstance(item, Mapping) for item in both)


def _position(items: list[Any], item: Any) -> int:
    return next(at for at, other in enumerate(items) if other is item)
