"""Folded states kept as values of a conversation, so that nobody reads the whole log for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from .fold import Fold, Folded

if TYPE_CHECKING:
    from agentstack_runtime.state import State

S = TypeVar("S")
E = TypeVar("E")


async def save(
    fold: Fold[S, E], folded: Folded[S], state: State, conversation: str, name: str, *, expected: int | None = None
) -> int:
    """Keep `folded` as the value `name` of `conversation`; returns its version.

    Raises:
        Conflict: its version is another than `expected`, which is 0 where there must be none yet.
        Unavailable: the store does not answer.
    """
    value = {"state": fold.dump(folded.state), "seen": sorted(folded.seen)}
    return await state.put(conversation, name, value, expected=expected)


async def restore(fold: Fold[S, E], state: State, conversation: str, name: str) -> tuple[Folded[S], int]:
    """Return what `save` kept, and its version; the begin, and 0, where nothing is kept.

    Raises:
        Unavailable: the store does not answer.
    """
    saved = await state.get(conversation, name)
    if saved is None:
        return fold.start(), 0
    value = saved.value
    if not isinstance(value, dict):
        raise ValueError(f"{name} of a conversation is no snapshot: it is kept by somebody else under this name")
    return Folded(fold.load(value["state"]), frozenset(value["seen"])), saved.version
