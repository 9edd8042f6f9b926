"""What events add up to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from agentstack_runtime.bus import JSON, Message

S = TypeVar("S")
E = TypeVar("E")


@dataclass(frozen=True)
class Folded(Generic[S]):
    """A state, and the ids of the events that it came from: one that comes again changes nothing.

    The ids grow with the events: fold what ends, as a task or a conversation does, each on its own.
    """

    state: S
    seen: frozenset[str] = frozenset()


class Fold(ABC, Generic[S, E]):
    """How a state follows from its events. All of it is pure: the same events give the same state, whenever and where.

    So no clock and no chance in `apply`, and a new state instead of a changed one: times come with the events.
    """

    @abstractmethod
    def initial(self) -> S:
        """Return the state before any event."""

    @abstractmethod
    def event(self, message: Message) -> E | None:
        """Return the event in `message`; None where this fold has no use for it."""

    @abstractmethod
    def apply(self, state: S, event: E) -> S:
        """Return the state after `event`."""

    @abstractmethod
    def dump(self, state: S) -> JSON:
        """Return what a snapshot keeps of `state`."""

    @abstractmethod
    def load(self, value: Any) -> S:
        """Return the state that `dump` made `value` of."""

    def start(self) -> Folded[S]:
        """Return the begin: the initial state, and nothing seen."""
        return Folded(self.initial())

    def add(self, folded: Folded[S], *messages: Message) -> Folded[S]:
        """Return what `folded` becomes with `messages`. Those whose ids it saw are dropped.

        Raises:
            Reject: from `event`, for what is not what its type promises.
        """
        state, seen = folded.state, set(folded.seen)
        for message in messages:
            if message.id not in seen:
                event = self.event(message)
                if event is not None:
                    state = self.apply(state, event)
                    seen.add(message.id)
        return Folded(state, frozenset(seen)) if len(seen) > len(folded.seen) else folded

    def replay(self, messages: Iterable[Message]) -> S:
        """Return the state after `messages`, from the initial one."""
        return self.add(self.start(), *messages).state
