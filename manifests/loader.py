"""Reading YAML that others wrote: whatever is in it, reading ends, and neither crashes nor fills the memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar, Final, NoReturn

import yaml

from .text import escaped, quoted

DEEPEST: Final = 200
"""Levels of groups within each other; custom resource definitions have about 60."""
MOST_VALUES: Final = 1_000_000
"""Keys and values in a text, and in each of its documents those that aliases repeat as well."""
LONGEST_NUMBER: Final = 40
"""Characters; Python reads longer ones slowly, and writes them out not at all."""

_TAG: Final = "tag:yaml.org,2002:"
_FITTING: Final[dict[type[yaml.Node], frozenset[str]]] = {
    yaml.MappingNode: frozenset({f"{_TAG}map"}),
    yaml.SequenceNode: frozenset({f"{_TAG}seq"}),
    yaml.ScalarNode: frozenset(f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "merge")),
}
# The library's words, and those that say how to fix it.
_FIXES: Final = {
    "second occurrence": "an anchor stands twice: give one of them another name",
    "found undefined alias": "an alias for what is not there: name an anchor above it",
    "but found another document": "more than one document: remove all but one",
}

_Fastest: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C, ten times as fast, where PyYAML has it


class MalformedError(ValueError):
    """A text is no YAML, or more than is read; the text is one line and repeats no value."""

    def __init__(self, text: str, line: int | None) -> None:
        super().__init__(f"malformed YAML: {escaped(' '.join(text.split()))}")
        self.line = line
        """From 1, where it is known."""

    @property
    def place(self) -> str:
        """What follows the name of the file: `:LINE`, or nothing."""
        return f":{self.line}" if self.line else ""


class BoundedLoader(_Fastest):  # type: ignore[misc]
    """Reads plain YAML within the bounds above; what looks like a date stays text, as in JSON.

    For `compose`, `load` and `load_all`. The library's loaders end the process at some 50,000 levels.
    """

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != f"{_TAG}timestamp"]
        for first, resolvers in _Fastest.yaml_implicit_resolvers.items()
    }
    _level = _count = 0

    def descend_resolver(self, parent: yaml.Node | None, index: Any) -> None:
        """Count a value and a level; the library calls this before all that it composes."""
        self._level += 1
        self._count += 1
        if parent is not None and self._level > DEEPEST:
            self.refuse(parent, f"more than {DEEPEST} levels")
        if parent is not None and self._count > MOST_VALUES:
            self.refuse(parent, f"more than {MOST_VALUES:,} values")
        super().descend_resolver(parent, index)

    def ascend_resolver(self) -> None:
        """Count a level less; the library calls this after all that it composes."""
        self._level -= 1
        super().ascend_resolver()

    def inspect(self, node: yaml.Node) -> None:
        """Refuse what cannot be read; each node is inspected once, before merges mix its keys with others'."""
        if node.tag not in _FITTING[type(node)]:
            self.refuse(node, "unknown tag, or one that does not fit: put the text in quotes")
        if node.tag in (f"{_TAG}int", f"{_TAG}float") and len(node.value) > LONGEST_NUMBER:
            self.refuse(node, f"a number of more than {LONGEST_NUMBER} characters: put it in quotes")

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Make the value of a node."""
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, ArithmeticError):  # the text does not fit its tag: it may hold a secret
            self.refuse(node, "neither a number nor a switch: put the text in quotes")

    def text_keys(self, node: yaml.Node) -> list[yaml.ScalarNode]:
        """Return the keys of a mapping, none of anything else; refuse those that are no text."""
        keys = [key for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        for key in keys:
            if not isinstance(key, yaml.ScalarNode):
                self.refuse(key, "a key must be text: put `{{ ... }}` and the like in quotes")
        return keys

    def refuse(self, node: yaml.Node, why: str) -> NoReturn:
        """Raise `yaml.MarkedYAMLError` for what is wrong with a node, at its line."""
        raise yaml.MarkedYAMLError(problem=why, problem_mark=node.start_mark)

    def measure(self, node: yaml.Node, known: dict[yaml.Node, tuple[int, int] | None]) -> tuple[int, int]:
        """Inspect a node and all in it; return how many values and levels that is, with what aliases repeat."""
        if node not in known:
            known[node] = None
            self.inspect(node)
            inner = [self.measure(child, known) for child in _children(node)]
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

    def inspect(self, node: yaml.Node) -> None:
        """Refuse keys that are not clear, too."""
        super().inspect(node)
        seen: set[str] = set()
        for key in self.text_keys(node):
            if key.value in seen:
                self.refuse(key, f"the key {quoted(key.value)} stands twice: remove one of them")
            seen.add(key.value)


class TextLoader(StrictLoader):
    """Leaves all values as they are written: numbers must not become binary fractions, nor `1.0` the same as `1`."""

    yaml_implicit_resolvers: ClassVar = {}

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Make the value of a node; a scalar is its text, whatever its tag."""
        return node.value if isinstance(node, yaml.ScalarNode) else super().construct_object(node, deep=deep)


def compose(text: str, loader: type[BoundedLoader] = BoundedLoader) -> yaml.Node | None:
    """Return the nodes of a document; None for an empty text. Raises `MalformedError`."""
    with _explained():
        return _single(loader(text))


def load(text: str, loader: type[BoundedLoader] = BoundedLoader) -> Any:
    """Return the value of a document; None for an empty text. Raises `MalformedError`."""
    with _explained():
        reader = loader(text)
        node = _single(reader)
        return None if node is None else reader.construct_document(node)


def load_all(text: str, loader: type[BoundedLoader] = BoundedLoader) -> Iterator[tuple[Any, yaml.Node]]:
    """Yield the value of each document with its node, in which merges are done. Raises `MalformedError`."""
    with _explained():
        reader = loader(text)
        while reader.check_node():
            node = reader.get_node()
            reader.measure(node, {})
            yield reader.construct_document(node), node


def _single(reader: BoundedLoader) -> yaml.Node | None:
    node: yaml.Node | None = reader.get_single_node()
    if node is not None:
        reader.measure(node, {})
    return node


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except yaml.MarkedYAMLError as error:
        problem = str(error.problem)
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise MalformedError(_FIXES.get(problem, problem), line) from None
    except yaml.YAMLError as error:
        raise MalformedError(str(error), None) from None


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []
