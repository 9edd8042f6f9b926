"""How similar values are, whatever they hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

Keys: TypeAlias = tuple[str, ...]
"""The keys that lead to a value, without the items of lists between them."""

_MOST_PAIRS: Final = 10_000
"""Finding what is similar takes time with the square of the numbers."""


def most_similar(
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


def leaves(value: Any, path: Keys = ()) -> list[tuple[Keys, Any]]:
    """Return what is not divided further, each with the keys that lead to it."""
    if isinstance(value, Mapping) and value:
        return [leaf for key in sorted(value) for leaf in leaves(value[key], (*path, key))]
    if isinstance(value, list) and value:
        return [leaf for item in value for leaf in leaves(item, path)]
    return [(path, value)]


def canonical(value: Any) -> str:
    """Write a value as text that is equal for equal values only: in Python, `True == 1`."""
    return json.dumps(value, sort_keys=True, default=str)


def without(text: str, name: str) -> str:
    """Return text with a name taken out wherever it stands by itself."""
    return replaced(text, name, "\0")


def replaced(text: str, name: str, by: str) -> str:
    """Return text with a name replaced wherever it stands by itself."""
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", lambda _: by, text)


def without_hash(name: str) -> str:
    """Return a name without the hash of its content at the end; nothing where there is none."""
    match = re.fullmatch(r"(.+)-(?=[a-f]*[0-9])[0-9a-f]{7,64}", name)
    return match[1] if match else ""
