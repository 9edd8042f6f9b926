"""Folding what stands in a topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from .fold import Fold, Folded

if TYPE_CHECKING:
    from agentstack_runtime.bus import Bus, Message

S = TypeVar("S")
E = TypeVar("E")


async def replay(
    fold: Fold[S, E],
    bus: Bus,
    topic: str,
    *,
    of: Callable[[Message], bool] = lambda _: True,
    onto: Folded[S] | None = None,
) -> Folded[S]:
    """Fold the messages of `topic`, to what is its end at the call: as slow as the topic is long.

    Args:
        fold: how.
        bus: where from.
        topic: keeps what a state comes from for as long as its retention; a compacted one does not.
        of: the messages to take, e.g. those of one conversation.
        onto: what to add them to, e.g. a snapshot; without one, the initial state.

    Raises:
        Unavailable: the broker does not answer.
        Reject: see `Fold.add`.
    """
    folded = fold.start() if onto is None else onto
    async for message in bus.read(topic):
        if of(message):
            folded = fold.add(folded, message)
    return folded
