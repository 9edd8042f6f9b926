"""What a store of state does, whatever is behind it, and the rules for names and sizes."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol

JSON = None | bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"]

VALUE_BYTES: Final = 1024 * 1024
"""Bytes of one value or message, as JSON, at most. Larger ones hold up everybody's commands on the node: keep them in
a store for objects, and a reference here."""
MESSAGE_ID_BYTES: Final = 1024
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Conflict(Exception):
    """The version is another than expected: somebody else wrote. Load again, and decide again."""


class Fenced(Exception):
    """The lock has a newer holder: what this one wants to write comes too late."""


@dataclass(frozen=True)
class Versioned:
    """A value, and how many times it was written."""

    value: JSON
    version: int


@dataclass(frozen=True)
class Lease:
    """A lock that is held."""

    conversation: str
    name: str
    token: int
    """Higher than that of every holder before: hand it to `put` or `save` as `fence`, which refuse an older one."""
    lost: asyncio.Event = field(default_factory=asyncio.Event, compare=False)
    """Set as soon as it is known, or has to be feared, that the lock is no longer held; at the end of the block too."""


class Changes:
    """Wakes whoever waits for values of one conversation that are written with `notify`."""

    def __init__(self, changed: asyncio.Event) -> None:
        self._changed = changed

    async def wait(self, seconds: float) -> bool:
        """Wait for a change since the last call, at most so long; return whether there may have been one.

        A hint: look at the value after every `True`, which also follows each (re)connection, and from time to time
        anyway, for while the connection is down nobody is woken.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True


class State(Protocol):
    """All that belongs to a conversation lies together, so that one command sees all of it.

    Ids of conversations and names: 1 to 128 of `A-Z a-z 0-9 . _ -`; ids of messages: any text of 1 to 1,024 bytes;
    values: JSON of at most 1 MiB; all else is a ValueError. Every method raises `Unavailable` where the store does not
    answer in time, or refuses the user; what a write that ends so has done is unknown, and repeating it is safe: with
    `expected` it can then raise `Conflict` on its own trace.
    """

    async def append(self, conversation: str, message_id: str, message: JSON, *, expected: int | None = None) -> int:
        """Append a message, in constant time; return its position, from 1. The same id again changes nothing.

        The conversation lives CONVERSATION_TTL_SECONDS from then on. With `expected`, there must be as many messages.

        Raises:
            Conflict: there are more or fewer.
        """
        ...

    async def messages(self, conversation: str, *, after: int = 0, limit: int | None = None) -> list[JSON]:
        """Return the messages behind position `after`, the oldest first, at most `limit`; both from 0 up."""
        ...

    async def put(
        self,
        conversation: str,
        name: str,
        value: JSON,
        *,
        expected: int | None = None,
        fence: Lease | None = None,
        notify: bool = False,
    ) -> int:
        """Write a named value of the conversation; return its version. It lives as long as a message would.

        With `expected` the version must be that; 0: the value must not be there. `notify` wakes who waits in `changes`.

        Raises:
            Conflict: the version is another.
            Fenced: the lock of `fence` has, or had, a newer holder.
            ValueError: `fence` is another conversation's.
        """
        ...

    async def get(self, conversation: str, name: str) -> Versioned | None:
        """Return a named value; None if it is not there, or has lived its time."""
        ...

    async def save(self, conversation: str, checkpoint: JSON, *, expected: int, fence: Lease | None = None) -> int:
        """Write the conversation's checkpoint; return its version. It lives CHECKPOINT_TTL_SECONDS.

        Raises:
            Conflict: the version is not `expected`; 0: there must be none yet.
            Fenced: the lock of `fence` has, or had, a newer holder.
        """
        ...

    async def load(self, conversation: str) -> Versioned | None:
        """Return the conversation's checkpoint; None if there is none, or it has lived its time."""
        ...

    def lock(self, conversation: str, name: str, *, lease: timedelta) -> AbstractAsyncContextManager[Lease]:
        """Wait for the lock, hold it inside the block, and renew it every third of `lease`.

        A holder that is dead, paused or cut off loses it after `lease`. It may not know: only `fence` keeps what it
        writes out. Wrap it in `asyncio.timeout` to wait for a bounded time. Raises ValueError for less than 1 ms.
        """
        ...

    def changes(self, conversation: str) -> AbstractAsyncContextManager[Changes]:
        """Listen, inside the block, for values that are written with `notify`."""
        ...

    async def ping(self) -> None:
        """Return if the store answers."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


def checked(*names: str) -> None:
    """Raise ValueError if one of `names` is no id or name."""
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError("an id or a name has 1 to 128 of A-Z a-z 0-9 . _ -")


def checked_id(message_id: str) -> None:
    """Raise ValueError if `message_id` is empty, too long, or no text."""
    try:
        fits = 0 < len(message_id.encode()) <= MESSAGE_ID_BYTES
    except UnicodeEncodeError:
        fits = False
    if not fits:
        raise ValueError(f"a message's id is text of 1 to {MESSAGE_ID_BYTES:,} bytes")


def checked_range(after: int, limit: int | None) -> None:
    """Raise ValueError if one of the two is negative."""
    if after < 0 or (limit is not None and limit < 0):
        raise ValueError("`after` and `limit` count from 0 up")


def checked_lease(lease: timedelta) -> None:
    """Raise ValueError if `lease` is shorter than times are measured in."""
    if lease < timedelta(milliseconds=1):
        raise ValueError("a lease lasts 1 ms or longer")


def checked_fence(conversation: str, fence: Lease | None) -> None:
    """Raise ValueError if `fence` guards another conversation: only what lies together is seen together."""
    if fence is not None and fence.conversation != conversation:
        raise ValueError("the lock is another conversation's: it guards nothing of this one")


def encoded(value: JSON, limit: int) -> str:
    """Return `value` as JSON. Raises ValueError if that has more than `limit` bytes, or cannot be."""
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except (TypeError, RecursionError, UnicodeEncodeError):
        raise ValueError("the value is no JSON") from None
    if size > limit:
        raise ValueError(f"the value has more than {limit} bytes as JSON: keep it elsewhere, and a reference here")
    return text
