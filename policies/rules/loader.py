"""Reading YAML that others wrote: whatever is in it, reading ends, and neither crashes nor fills the memory."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ClassVar, Final, NoReturn

import yaml

from .words import quoted

DEEPEST: Final = 200
"""Levels of groups within each other; custom resource definitions have about 60."""
MOST_VALUES: Final = 1_000_000
"""Values in a document, those that aliases repeat included."""

PLAIN_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null", "merge")
)

_Fastest: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C, ten times as fast, where PyYAML has it


class BoundedLoader(_Fastest):  # type: ignore[misc]
    """Reads plain YAML up to `DEEPEST` and `MOST_VALUES`; what looks like a date stays text, as in JSON.

    Raises `yaml.YAMLError` for anything else, and never repeats a value. The library's loaders end the process at some
    50,000 levels.
    """

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in _Fastest.yaml_implicit_resolvers.items()
    }
    _level = 0

    def descend_resolver(self, parent: yaml.Node | None, index: Any) -> None:
        """Count a level; the library calls this before every value that it composes."""
        self._level += 1
        if parent is not None and self._level > DEEPEST:
            self.refuse(parent, f"more than {DEEPEST} levels")
        super().descend_resolver(parent, index)

    def ascend_resolver(self) -> None:
        """Count a level less; the library calls this after every value."""
        self._level -= 1
        super().ascend_resolver()

    def construct_document(self, node: yaml.Node) -> Any:
        """Make the values of a document, if they are not too many."""
        self._measure(node, {})
        return super().construct_document(node)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Make the value of a node with one of `PLAIN_TAGS`."""
        # A secret in plain text may begin with `!`: neither message repeats it.
        if node.tag not in PLAIN_TAGS:
            self.refuse(node, "unknown tag: put the text in quotes")
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError):  # a number too long for Python, or a tag that its text does not fit
            self.refuse(node, "neither a number nor a switch: put the text in quotes")

    def refuse(self, node: yaml.Node, why: str) -> NoReturn:
        """Raise `yaml.MarkedYAMLError` for what is wrong with a node, at its line."""
        raise yaml.MarkedYAMLError(problem=why, problem_mark=node.start_mark)

    def _measure(self, node: yaml.Node, known: dict[yaml.Node, tuple[int, int] | None]) -> tuple[int, int]:
        """Return how many values and levels are in a node, with what aliases repeat; each node is counted once."""
        if node not in known:
            known[node] = None
            inner = [self._measure(child, known) for child in _children(node)]
            values, levels = 1 + sum(size for size, _ in inner), 1 + max((depth for _, depth in inner), default=0)
            if values > MOST_VALUES:
                self.refuse(node, f"more than {MOST_VALUES:,} values, with what aliases repeat")
            if levels > DEEPEST:
                self.refuse(node, f"more than {DEEPEST} levels, with what aliases repeat")
            known[node] = values, levels
        measured = known[node]
        if measured is None:
            self.refuse(node, "an alias repeats the group that it is in")
        return measured


class StrictLoader(BoundedLoader):
    """Refuses keys that are no text, and a key that stands twice in one mapping, of which YAML keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Make a mapping whose keys are clear."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.refuse(key, "a key must be text: put `{{ ... }}` and the like in quotes")
            if key.value in seen:
                self.refuse(key, f"the key {quoted(key.value)} stands twice: remove one of them")
            seen.add(key.value)
        made: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return made


class TextLoader(StrictLoader):
    """Leaves all values as they are written: numbers must not become binary fractions, nor `1.0` the same as `1`."""

    yaml_implicit_resolvers: ClassVar = {}


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []
