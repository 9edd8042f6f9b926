"""Read, change, write, and again where somebody else wrote in between."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from .protocol import JSON, Conflict, State


async def update(
    state: State, conversation: str, name: str, change: Callable[[JSON], JSON], *, notify: bool = False
) -> int:
    """Write what `change` makes of a named value; return its version.

    `change` gets None where there is no value, and leaves it as it is by returning None. It is called again, with the
    newer value, whenever another writer was faster.

    Raises:
        Unavailable: the store does not answer.
    """
    while True:
        saved = await state.get(conversation, name)
        value, version = (saved.value, saved.version) if saved is not None else (None, 0)
        changed = change(value)
        if changed is None:
            return version
        with contextlib.suppress(Conflict):
            return await state.put(conversation, name, changed, expected=version, notify=notify)
