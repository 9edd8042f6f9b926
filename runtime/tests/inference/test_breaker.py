from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agentstack_runtime.inference.breaker import Breaker, Permit, State
from agentstack_runtime.inference.protocol import CircuitOpen

FAILURES, WINDOW, COOLDOWN = 3, 10.0, 5.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def make(clock: Clock, seen: list[State] | None = None) -> Breaker:
    return Breaker(
        "model",
        failures=FAILURES,
        window=timedelta(seconds=WINDOW),
        cooldown=timedelta(seconds=COOLDOWN),
        clock=clock,
        on_state=seen.append if seen is not None else lambda state: None,
    )


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.enter().failed()


def test_it_opens_at_the_number_of_failures_and_says_when_it_tries_again() -> None:
    clock, seen = Clock(), []
    breaker = make(clock, seen)
    fail(breaker, 2)
    breaker.enter().succeeded()
    assert breaker.state is State.CLOSED
    fail(breaker)
    clock.now += 2
    with pytest.raises(CircuitOpen, match=r"model kept failing.*3\.0 s") as caught:
        breaker.enter()
    assert caught.value.retry_after == 3.0
    assert caught.value.retryable
    assert seen == [State.CLOSED, State.OPEN]


def test_failures_outside_the_window_are_forgotten() -> None:
    clock = Clock()
    breaker = make(clock)
    fail(breaker, 2)
    clock.now += WINDOW + 0.1
    fail(breaker, 2)
    assert breaker.state is State.CLOSED
    clock.now += WINDOW
    fail(breaker)
    assert breaker.state is State.OPEN, "three within the window, its edge included"


def test_one_call_probes_and_closes_it() -> None:
    clock, seen = Clock(), []
    breaker = make(clock, seen)
    fail(breaker, FAILURES)
    clock.now += COOLDOWN
    probe = breaker.enter()
    with pytest.raises(CircuitOpen, match="one call is trying"):
        breaker.enter()
    probe.succeeded()
    breaker.enter()
    fail(breaker, FAILURES - 1)
    assert breaker.state is State.CLOSED, "it counts anew"
    assert seen == [State.CLOSED, State.OPEN, State.HALF_OPEN, State.CLOSED]


def test_a_probe_that_fails_opens_it_for_another_cooldown() -> None:
    clock = Clock()
    breaker = make(clock)
    fail(breaker, FAILURES)
    clock.now += COOLDOWN
    probe = breaker.enter()
    clock.now += 1
    probe.failed()
    clock.now += COOLDOWN - 0.1
    with pytest.raises(CircuitOpen):
        breaker.enter()


def test_a_probe_that_is_cancelled_leaves_its_place_to_the_next() -> None:
    clock = Clock()
    breaker = make(clock)
    fail(breaker, FAILURES)
    clock.now += COOLDOWN
    breaker.enter().abandoned()
    breaker.enter().succeeded()
    assert breaker.state is State.CLOSED


def test_old_news_changes_nothing() -> None:
    clock = Clock()
    breaker = make(clock)
    late = [breaker.enter() for _ in range(4)]
    fail(breaker, FAILURES)
    late[0].succeeded()
    late[1].failed()
    assert breaker.state is State.OPEN
    clock.now += COOLDOWN
    probe = breaker.enter()
    late[2].succeeded()
    late[3].failed()
    assert breaker.state is State.HALF_OPEN
    probe.succeeded()
    probe.failed()
    assert breaker.state is State.CLOSED


class AgainstModel(RuleBasedStateMachine):
    """The breaker against the contract's words: a list of failures, a time until when it is shut, one probe."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = make(self.clock)
        self.failed_at: list[float] = []
        self.shut_until: float | None = None
        self.probe: Permit | None = None
        self.calls: list[Permit] = []
        self.stale: list[Permit] = []

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 4.5, 5.0, 9.5, 10.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def enter(self) -> None:
        if self.shut_until is None:
            self.calls.append(self.breaker.enter())
        elif self.clock.now >= self.shut_until and self.probe is None:
            self.probe = self.breaker.enter()
        else:
            with pytest.raises(CircuitOpen):
                self.breaker.enter()

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), verdict=st.sampled_from(["failed", "failed", "succeeded", "abandoned"]))
    def end_call(self, data: st.DataObject, verdict: str) -> None:
        permit = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        getattr(permit, verdict)()
        if verdict == "failed":
            self.failed_at.append(self.clock.now)
            recent = [when for when in self.failed_at if when >= self.clock.now - WINDOW]
            if len(recent) >= FAILURES:
                self.shut()

    @precondition(lambda self: self.probe)
    @rule(verdict=st.sampled_from(["failed", "succeeded", "abandoned"]))
    def end_probe(self, verdict: str) -> None:
        assert self.probe is not None
        getattr(self.probe, verdict)()
        self.probe = None
        if verdict == "failed":
            self.shut()
        elif verdict == "succeeded":
            self.shut_until, self.failed_at = None, []

    @precondition(lambda self: self.stale)
    @rule(verdict=st.sampled_from(["failed", "succeeded", "abandoned"]))
    def end_stale(self, verdict: str) -> None:
        getattr(self.stale.pop(), verdict)()

    @invariant()
    def agrees(self) -> None:
        assert (self.breaker.state is State.CLOSED) == (self.shut_until is None)
        if self.probe:
            assert self.breaker.state is State.HALF_OPEN

    def shut(self) -> None:
        self.shut_until = self.clock.now + COOLDOWN
        self.stale += self.calls
        self.calls = []


AgainstModel.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAgainstModel = AgainstModel.TestCase
