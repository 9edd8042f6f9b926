"""A circuit breaker by the CIRCUIT_BREAKER_* contract."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from enum import IntEnum

from .protocol import CircuitOpen


class State(IntEnum):
    """The values of the metric `circuit_breaker_state`."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Permit:
    """One call that the breaker let through; exactly one of the three verdicts ends it, later ones change nothing."""

    def __init__(self, breaker: Breaker, era: int) -> None:
        self._breaker = breaker
        self._era = era
        self._open = True

    def succeeded(self) -> None:
        """The dependency answered; that it refused is an answer too."""
        self._end(True)

    def failed(self) -> None:
        """The dependency did not answer, broke off, or said that it is broken."""
        self._end(False)

    def abandoned(self) -> None:
        """The caller went away before there was a verdict."""
        self._end(None)

    def _end(self, answered: bool | None) -> None:
        if self._open:
            self._open = False
            self._breaker._ended(self._era, answered)


class Breaker:
    """Lets calls to one dependency through until `failures` of them failed within `window`, then none for `cooldown`.

    After the cooldown one call at a time probes: it closes the circuit or opens it for another cooldown. A success
    in between forgives no failure, only time does: a dependency that fails every other call opens it too.
    A verdict that comes from before the last change of state is old news and is ignored.

    For one event loop: no method waits, so that none needs a lock. `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        dependency: str,
        *,
        failures: int,
        window: timedelta,
        cooldown: timedelta,
        clock: Callable[[], float] = time.monotonic,
        on_state: Callable[[State], None] = lambda state: None,
    ) -> None:
        self._dependency = dependency
        self._failed_at: deque[float] = deque(maxlen=failures)
        self._window = window.total_seconds()
        self._cooldown = cooldown.total_seconds()
        self._clock = clock
        self._on_state = on_state
        self._state = State.CLOSED
        self._opened_at = 0.0
        self._probing = False
        self._era = 0
        on_state(self._state)

    @property
    def state(self) -> State:
        """The state; it stays `OPEN` after the cooldown until a call comes to probe."""
        return self._state

    def enter(self) -> Permit:
        """Let a call through, or raise `CircuitOpen` with the seconds until the next probe, if they are known."""
        if self._state is State.OPEN:
            left = self._opened_at + self._cooldown - self._clock()
            if left > 0:
                raise self._refusal(left)
            self._change(State.HALF_OPEN)
        if self._state is State.HALF_OPEN:
            if self._probing:
                raise self._refusal(None)
            self._probing = True
        return Permit(self, self._era)

    def _refusal(self, left: float | None) -> CircuitOpen:
        when = "one call is trying it" if left is None else f"the next try is in {left:.1f} s"
        return CircuitOpen(f"{self._dependency} kept failing and is left alone: {when}", retry_after=left)

    def _ended(self, era: int, answered: bool | None) -> None:
        if era != self._era:
            return
        if self._state is State.HALF_OPEN:
            self._probing = False
            if answered is not None:
                self._change(State.CLOSED if answered else State.OPEN)
        elif answered is False:
            now = self._clock()
            self._failed_at.append(now)
            full = len(self._failed_at) == self._failed_at.maxlen
            if full and now - self._failed_at[0] <= self._window:
                self._change(State.OPEN)

    def _change(self, state: State) -> None:
        self._state = state
        self._era += 1
        self._probing = False
        self._failed_at.clear()
        if state is State.OPEN:
            self._opened_at = self._clock()
        self._on_state(state)
