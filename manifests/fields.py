"""Reading a manifest: missing and mistyped fields read as absent, unknown values raise."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn, TypeGuard

_PLAIN_KEY: Final = re.compile(r"[\w-]+")
_STEP: Final = re.compile(r"""\[(?P<index>\d+)\]|\.?(?P<quoted>"(?:\\.|[^"\\])*")|\.?(?P<plain>[\w-]+)""")


class UnknownValueError(Exception):
    """A rule needs `field`, whose value is known only after deployment."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class _Unknown:
    """Raises `UnknownValueError` when it is used in any way but `is`, copying and `repr`."""

    def _refuse(self, *_: object) -> NoReturn:
        raise UnknownValueError("a value")

    __bool__ = __len__ = __iter__ = __getitem__ = __contains__ = __int__ = __float__ = __index__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # copy, pickle and hasattr probe for these
            raise AttributeError(name)
        raise UnknownValueError("a value")

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __reduce__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()
"""Stands in a manifest for a value known only after deployment. Compare with `is`."""


def _is_mapping(value: Any) -> TypeGuard[Mapping[str, Any]]:
    # Nearly all are dicts, and to ask an abstract class costs several times as much.
    return type(value) is dict or isinstance(value, Mapping)


def get(value: Any, *path: str) -> Any:
    """Return the value at `path` below `value`, or None where a part of the path is missing or no mapping.

    Raises:
        UnknownValueError: A value on the path is unknown.
    """
    if value is UNKNOWN:
        raise UnknownValueError("the object")
    for depth, key in enumerate(path, start=1):
        if not _is_mapping(value):
            return None
        value = value.get(key)
        if value is UNKNOWN:
            raise UnknownValueError(".".join(path[:depth]))
    return value


def mapping(value: Any, *path: str) -> Mapping[str, Any]:
    """Return the mapping at `path`, or an empty one; raises as `get` does."""
    found = get(value, *path)
    return found if _is_mapping(found) else {}


def objects(value: Any, *path: str) -> list[Mapping[str, Any]]:
    """Return the mappings in the list at `path`; raises as `get` does, and for an unknown element."""
    return [element for element in _elements(value, *path) if _is_mapping(element)]


class Placed(dict[str, Any]):
    """A mapping inside an object, which knows its place there."""

    __slots__ = ("_keys", "_parent")

    def __init__(self, content: Mapping[str, Any], parent: Placed | None, *keys: str | int) -> None:
        super().__init__(content)
        self._parent = parent
        self._keys = keys

    @property
    def path(self) -> str:
        """The path, as `path_to` writes it: most are never asked for."""
        return path_to(self._parent.path if self._parent is not None else "", *self._keys)

    def at(self, *keys: str | int) -> str:
        """Return the path of what is, or would be, at `keys` in it."""
        return path_to(self.path, *keys)


def placed(value: Any, *path: str) -> list[Placed]:
    """Return the mappings in the list at `path` with their places; raises as `objects` does."""
    return _placed(_elements(value, *path), value, path)


def _placed(elements: Sequence[Any], value: Any, path: tuple[str, ...]) -> list[Placed]:
    parent = value if isinstance(value, Placed) else None
    numbered = enumerate(elements)
    return [Placed(element, parent, *path, index) for index, element in numbered if isinstance(element, Mapping)]


def path_to(base: str, *keys: str | int) -> str:
    """Return the path of what is at `keys` below `base`: `spec.containers[0]`, `data."redis.conf"`.

    Keys that are more than one word stand in quotes, written as in JSON.
    """
    for key in keys:
        if isinstance(key, int):
            base = f"{base}[{key}]"
        else:
            word = key if _PLAIN_KEY.fullmatch(key) else json.dumps(key)
            base = f"{base}.{word}" if base else word
    return base


def keys_of_path(path: str) -> tuple[str | int, ...]:
    """Return the keys and indexes in a path that `path_to` wrote."""
    return tuple(
        int(step["index"]) if step["index"] else json.loads(step["quoted"]) if step["quoted"] else step["plain"]
        for step in _STEP.finditer(path)
    )


def strings(value: Any, *path: str) -> list[str]:
    """Return the strings in the list at `path`; raises as `get` does, and for an unknown element."""
    return [element for element in _elements(value, *path) if isinstance(element, str)]


def _elements(value: Any, *path: str) -> Sequence[Any]:
    found = get(value, *path)
    if type(found) is not list and (not isinstance(found, Sequence) or isinstance(found, str)):
        return ()
    for element in found:
        if element is UNKNOWN:
            raise UnknownValueError(f"an element of {'.'.join(path)}")
    return found


def text(value: Any, *path: str) -> str:
    """Return the string at `path`, or an empty one; raises as `get` does."""
    found = get(value, *path)
    return found if isinstance(found, str) else ""


def whole(value: Any, *path: str) -> int | None:
    """Return the whole number at `path`, or None; raises as `get` does."""
    found = get(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def known(value: Any, *path: str) -> Any:
    """Return the value at `path`, or None where a part of the path is missing, no mapping, or unknown."""
    try:
        return get(value, *path)
    except UnknownValueError:
        return None


def known_objects(value: Any, *path: str) -> list[Mapping[str, Any]]:
    """Return the mappings in the list at `path` that are known."""
    return [element for element in _known_elements(value, *path) if isinstance(element, Mapping)]


def known_placed(value: Any, *path: str) -> list[Placed]:
    """Return the mappings in the list at `path` that are known, with their places."""
    return _placed(_known_elements(value, *path), value, path)


def _known_elements(value: Any, *path: str) -> Sequence[Any]:
    found = known(value, *path)
    return () if not isinstance(found, Sequence) or isinstance(found, str) else found
