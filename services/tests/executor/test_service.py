"""A command is done once, answered as often as it comes, and ends with a result whatever goes wrong."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from agentstack_runtime.bus import Message, Reject, Unavailable
from agentstack_runtime.state import Fenced
from agentstack_services.domain.ids import output_name, task_name
from agentstack_services.domain.messages import StepResult, now
from agentstack_services.executor import service
from agentstack_services.executor.steps import StepFailed, Work
from tests.doubles import CONVERSATION, Crash, CrashAt, Faulty

from .conftest import TASK, TEXT, TRACE, Acting, Bench, command, message, until


async def test_a_step_is_done_kept_and_said(bench: Bench) -> None:
    kind, run = Acting(), command()
    await bench.executor(kind).handle(message(run))
    [result] = bench.results()
    assert (result.id, result.outcome, result.reason, result.items) == (run.id, "completed", None, None)
    assert kind.works[0].values == {"input": TEXT}
    assert (kind.works[0].id, kind.works[0].traceparent) == (run.id, TRACE)
    assert await bench.kept(run) == {"output": "done", "result": result.model_dump(mode="json", exclude_none=True)}
    [said] = bench.bus.on("results")
    assert (said.id, said.key, said.correlation_id) == (run.id, CONVERSATION, "k")


async def test_a_command_that_was_seen_is_answered_again_and_not_done_again(bench: Bench) -> None:
    kind = Acting()
    for _ in range(3):
        await bench.executor(kind).handle(message(command()))
    assert len(kind.works) == 1
    assert bench.results() == [bench.results()[0]] * 3


async def test_executors_with_one_command_do_it_once(bench: Bench) -> None:
    async def slow(work: Work) -> str:
        await asyncio.sleep(0.05)
        return "done"

    kind = Acting(slow)
    await asyncio.gather(*(bench.executor(kind).handle(message(command())) for _ in range(4)))
    assert len(kind.works) == 1
    assert len(bench.results()) == 4


async def test_a_crash_at_any_place_leaves_one_result(bench: Bench) -> None:
    places = set()
    for number in range(100):
        bench = Bench()
        await bench.input()
        crash, kind = CrashAt(number), Acting()
        executor = bench.executor(kind, state=Faulty(bench.state, crash), bus=Faulty(bench.bus, crash))
        try:
            await executor.handle(message(command()))
        except Crash:
            await executor.handle(message(command()))
        if not crash.place:
            break
        places.add(crash.place)
        assert {result.outcome for result in bench.results()} == {"completed"}
        assert len(set(map(repr, bench.results()))) == 1
        # Only between the effect and the note of it: what the key of idempotency is for.
        assert len(kind.works) == (2 if crash.place == "before put" else 1)
    assert places == {"before put", "after put", "before publish", "after publish"}


async def test_a_redis_that_is_away_when_the_result_is_kept_does_not_repeat_the_step(bench: Bench) -> None:
    kind, faults = Acting(), [Unavailable("failing over")] * 3

    def fault(place: str) -> None:
        if place == "before put" and faults:
            raise faults.pop()

    await bench.executor(kind, state=Faulty(bench.state, fault)).handle(message(command()))
    assert (len(kind.works), len(faults), len(bench.results())) == (1, 0, 1)


async def test_past_the_deadline_nothing_is_done(bench: Bench) -> None:
    kind, late = Acting(), command(deadline=now() - timedelta(seconds=1))
    for _ in range(2):
        await bench.executor(kind).handle(message(late))
    assert not kind.works
    assert [(result.outcome, result.reason) for result in bench.results()] == [("failed", service.TOO_LATE)] * 2


async def test_the_deadline_cuts_a_step_and_stops_the_other_side(bench: Bench) -> None:
    undone = asyncio.Event()

    async def hang(work: Work) -> None:
        async def undo() -> None:
            undone.set()

        work.undo = undo
        await asyncio.Event().wait()

    run = command(deadline=now() + timedelta(seconds=0.1), retries={"max": 5})
    await bench.executor(Acting(hang)).handle(message(run))
    assert [result.reason for result in bench.results()] == [service.TOO_LATE]
    assert undone.is_set()


@pytest.mark.parametrize("state", ["completed", "failed", "canceled"])
async def test_a_task_that_ended_costs_nothing_more(bench: Bench, state: str) -> None:
    await bench.state.put(CONVERSATION, task_name(TASK), {"state": state})
    kind = Acting()
    await bench.executor(kind).handle(message(command()))
    assert not kind.works
    assert not bench.results()


async def test_a_step_is_stopped_when_its_task_is_cancelled(bench: Bench) -> None:
    stopped, undone = asyncio.Event(), asyncio.Event()

    async def hang(work: Work) -> None:
        async def undo() -> None:
            undone.set()

        work.undo = undo
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    kind = Acting(hang)
    handling = asyncio.create_task(bench.executor(kind).handle(message(command())))
    await until(lambda: bool(kind.works))
    await bench.state.put(CONVERSATION, task_name(TASK), {"state": "working"})
    await asyncio.sleep(0.05)
    assert not handling.done()
    await bench.state.put(CONVERSATION, task_name(TASK), {"state": "canceled"})
    await asyncio.wait_for(handling, 5)
    assert stopped.is_set()
    assert undone.is_set()
    assert not bench.results()


async def test_a_pod_that_stops_leaves_the_other_side_to_the_next_one(bench: Bench) -> None:
    undone = asyncio.Event()

    async def hang(work: Work) -> None:
        async def undo() -> None:
            undone.set()

        work.undo = undo
        await asyncio.Event().wait()

    kind = Acting(hang)
    handling = asyncio.create_task(bench.executor(kind).handle(message(command())))
    await until(lambda: bool(kind.works))
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling
    assert not undone.is_set()
    assert await bench.kept(command()) is None
    await asyncio.wait_for(bench.executor(Acting()).handle(message(command())), 5)  # The lock is free.
    assert [result.outcome for result in bench.results()] == ["completed"]


class _Leases:
    """A state whose locks can be taken away."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.leases = inner, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def lock(self, *args: Any, **kwargs: Any) -> Any:
        outer, manager = self, self._inner.lock(*args, **kwargs)

        class Watched:
            async def __aenter__(self) -> Any:
                outer.leases.append(await manager.__aenter__())
                return outer.leases[-1]

            async def __aexit__(self, *error: Any) -> Any:
                return await manager.__aexit__(*error)

        return Watched()


async def test_a_lost_lease_cancels_the_step_and_lets_the_command_come_again(bench: Bench) -> None:
    async def hang(work: Work) -> None:
        await asyncio.Event().wait()

    state, kind = _Leases(bench.state), Acting(hang)
    handling = asyncio.create_task(bench.executor(kind, state=state).handle(message(command())))
    await until(lambda: bool(kind.works))
    state.leases[0].lost.set()
    with pytest.raises(Unavailable, match="the lock of step say was lost"):
        await asyncio.wait_for(handling, 5)
    assert not bench.results()


async def test_the_result_of_an_old_holder_is_not_kept(bench: Bench) -> None:
    def fault(place: str) -> None:
        if place == "before put":
            raise Fenced("a newer holder")

    with pytest.raises(Unavailable, match="whoever has it now goes on"):
        await bench.executor(Acting(), state=Faulty(bench.state, fault)).handle(message(command()))
    assert not bench.results()


async def test_a_result_that_came_first_is_the_one_that_is_said(bench: Bench) -> None:
    run = command()

    async def overtaken(work: Work) -> str:
        first = StepResult(
            conversation=CONVERSATION, task=TASK, id=run.id, workflow="w", step="say", outcome="completed"
        )
        value = {"output": "first", "result": first.model_dump(mode="json")}
        await bench.state.put(CONVERSATION, output_name(TASK, "say"), value)
        return "second"

    await bench.executor(Acting(overtaken)).handle(message(run))
    assert (await bench.kept(run))["output"] == "first"
    assert bench.results()[0].duration_seconds == 0.0


def _failing(*errors: Exception) -> Acting:
    left = list(errors)

    async def act(work: Work) -> str:
        work.input_tokens = (work.input_tokens or 0) + 5
        if left:
            raise left.pop(0)
        return "done"

    return Acting(act)


async def test_what_may_be_retried_is_and_all_attempts_are_counted(bench: Bench) -> None:
    kind = _failing(StepFailed("503", retryable=True), StepFailed("503", retryable=True))
    await bench.executor(kind).handle(message(command(retries={"max": 2})))
    [result] = bench.results()
    assert (len(kind.works), result.outcome, result.input_tokens) == (3, "completed", 15)


async def test_retries_have_an_end_and_their_reason_is_the_last(bench: Bench) -> None:
    kind = _failing(*(StepFailed(f"no {number}", retryable=True) for number in range(9)))
    await bench.executor(kind).handle(message(command(retries={"max": 2})))
    assert [(result.reason, result.input_tokens) for result in bench.results()] == [("no 2", 15)]
    assert (await bench.kept(command()))["output"] is None


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (StepFailed("400", retryable=False), 1),
        (StepFailed("429", retryable=True, retry_after=0.005), 3),
        (StepFailed("429", retryable=True, retry_after=60), 1),  # Longer than the step would ever wait.
    ],
)
async def test_what_is_not_retried(bench: Bench, error: StepFailed, attempts: int) -> None:
    kind = _failing(*[error] * 9)
    await bench.executor(kind).handle(message(command(retries={"max": 2})))
    assert len(kind.works) == attempts
    assert [result.outcome for result in bench.results()] == ["failed"]


async def test_a_time_out_is_for_each_attempt(bench: Bench) -> None:
    kind = Acting()

    async def act(work: Work) -> str:
        if len(kind.works) == 1:
            await asyncio.Event().wait()
        return "done"

    kind.act = act
    await bench.executor(kind).handle(message(command(timeout=0.05, retries={"max": 1})))
    assert [result.outcome for result in bench.results()] == ["completed"]
    assert bench.results()[0].duration_seconds >= 0.05

    kind.works.clear()
    await bench.executor(kind).handle(message(command("other", timeout=0.05)))
    assert bench.results()[1].reason == "not done within 0.05 s"


async def test_an_output_of_the_wrong_form_fails_its_step(bench: Bench) -> None:
    await bench.executor(Acting()).handle(message(command(output="json")))
    assert [result.reason for result in bench.results()] == ["the output is to be JSON, and is not"]


async def test_the_length_of_a_list_goes_with_the_result(bench: Bench) -> None:
    async def act(work: Work) -> str:
        return "1. one\n\n- two\nthree"

    await bench.executor(Acting(act)).handle(message(command(output="lines", limit=2)))
    assert bench.results()[0].items == 2
    assert (await bench.kept(command()))["output"] == ["one", "two"]


async def test_a_kind_that_this_executor_does_not_know(bench: Bench) -> None:
    unknown = command()
    unknown = unknown.model_copy(update={"definition": unknown.definition.model_copy(update={"code": None})})
    await bench.executor(Acting()).handle(message(unknown))
    await bench.executor(Acting()).handle(message(command("other", http={"method": "GET", "url": "http://x"})))
    assert [result.reason for result in bench.results()] == [
        "a step without model, agent, http or code",
        "this executor cannot do HttpCall",
    ]


async def test_a_mistake_in_the_executor_is_the_consumers_and_its_end_fails_the_step(bench: Bench) -> None:
    executor = bench.executor(_failing(RuntimeError("a bug")))
    with pytest.raises(RuntimeError):
        await executor.handle(message(command()))
    await executor.give_up(message(command()), "RuntimeError")
    await executor.handle(message(command()))
    assert [result.reason for result in bench.results()] == ["internal error: RuntimeError"] * 2


async def test_a_command_that_cannot_be_read_fails_its_step(bench: Bench) -> None:
    executor, whole = bench.executor(Acting()), message(command("look", 3))
    broken = Message(type=whole.type, data={"step": "look"}, key=whole.key, id=whole.id, subject=whole.subject)
    with pytest.raises(Reject):
        await executor.handle(broken)
    await executor.give_up(broken, "wrong")
    [result] = bench.results()
    assert (result.task, result.step, result.item, result.outcome) == (TASK, "look", 3, "failed")
    await executor.give_up(Message(type=whole.type, data={}, key="k", id="../../etc"), "wrong")
    assert len(bench.results()) == 1


async def test_other_messages_are_passed_over(bench: Bench) -> None:
    await bench.executor(Acting()).handle(Message(type="dev.agentstack.of-tomorrow", data={}, key="k"))
    assert not bench.results()
