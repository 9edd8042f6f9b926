"""Reading a manifest: missing and mistyped fields read as absent, unknown values raise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn, TypeGuard


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
    found = known(value, *path)
    if not isinstance(found, Sequence) or isinstance(found, str):
        return []
    return [element for element in found if isinstance(element, Mapping)]
