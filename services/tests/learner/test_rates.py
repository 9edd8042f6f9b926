"""Running rates are those of all results, each counted once."""

from __future__ import annotations

import asyncio
import statistics

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from agentstack_runtime.bus import Message, Reject, Unavailable
from agentstack_runtime.state.memory import MemoryState
from agentstack_services.domain.ids import command_id, task_of_message
from agentstack_services.domain.messages import StepResult, TaskChanged, Trail
from agentstack_services.learner.rates import HALF_LIFE, SEEN, Rate, WorkflowRates
from agentstack_services.learner.service import Learner
from agentstack_services.learner.views import Metrics, application
from tests.doubles import CONVERSATION, Faulty, pick

DURATIONS = st.lists(st.floats(0, 1e6), min_size=2, max_size=50)


def rate(*outcomes: str, seconds: float = 1.0) -> Rate:
    made = Rate()
    for outcome in outcomes:
        made.add(outcome, seconds)
    return made


@given(DURATIONS)
def test_mean_and_variance_are_those_of_all_durations(durations: list[float]) -> None:
    made = Rate()
    for seconds in durations:
        made.add("completed", seconds)
    assert made.mean == pytest.approx(statistics.fmean(durations), rel=1e-9, abs=1e-6)
    assert made.variance == pytest.approx(statistics.variance(durations), rel=1e-6, abs=1e-6)


def test_digits_are_kept_where_the_mean_is_large_and_the_spread_small() -> None:
    made = Rate()
    for seconds in (1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16):
        made.add("completed", seconds)
    assert made.variance == 30.0


def test_what_was_cancelled_is_neither_success_nor_failure() -> None:
    made = rate("completed", "canceled", "failed", "canceled", "completed")
    assert (made.count, made.completed, made.failed, made.canceled) == (5, 2, 1, 2)
    assert made.success_rate == pytest.approx(2 / 3)
    assert rate("canceled").success_rate is None


def test_failures_have_no_part_in_the_duration() -> None:
    made = rate("completed", "completed")
    made.add("failed", 100.0)
    assert (made.mean, made.variance) == (1.0, 0.0)


def test_the_half_life_is_what_it_says() -> None:
    assert rate("completed").recent_success_rate == rate(*["completed"] * 500).recent_success_rate == 1.0
    long = ["completed"] * 2000
    assert rate(*long, *["failed"] * HALF_LIFE).recent_success_rate == pytest.approx(0.5, abs=1e-6)
    assert rate(*long, "failed").recent_success_rate == pytest.approx(1 - 0.0138, abs=1e-4)
    assert rate(*long, *["failed"] * 7).recent_success_rate > 0.9 > rate(*long, *["failed"] * 8).recent_success_rate


def test_what_is_remembered_is_bounded() -> None:
    record = WorkflowRates()
    assert all(record.add("s", f"id {number}", "completed", 1) for number in range(SEEN + 100))
    assert len(record.seen) == SEEN
    assert not record.add("s", f"id {SEEN + 99}", "completed", 1)
    assert len(record.model_dump_json()) < 20_000


def result(number: int, *, step: str = "plan", outcome: str = "completed", workflow: str = "research") -> Message:
    task = task_of_message(CONVERSATION, f"m{number}")
    payload = StepResult(
        conversation=CONVERSATION,
        task=task,
        id=command_id(task, step, None),
        workflow=workflow,
        step=step,
        outcome=outcome,  # type: ignore[arg-type]
        reason="secret" if outcome == "failed" else None,
        duration_seconds=number,
    )
    return payload.to_message(source="executor", trail=Trail())


def changed(
    number: int, state: str, *, version: int = 3, seconds: float | None = 2.0, workflow: str = "research"
) -> Message:
    task = task_of_message(CONVERSATION, f"m{number}")
    payload = TaskChanged(
        conversation=CONVERSATION, task=task, workflow=workflow, state=state, version=version, duration_seconds=seconds
    )
    return payload.to_message(source="state-manager", trail=Trail())


async def test_steps_and_tasks_are_counted_apart() -> None:
    learner = Learner(MemoryState())
    for message in (result(1), result(2, outcome="failed"), result(3, step="look"), changed(1, "completed")):
        await learner.handle(message)
    rates = (await learner.rates())["research"]
    assert (rates.steps["plan"].completed, rates.steps["plan"].failed, rates.steps["look"].count) == (1, 1, 1)
    assert (rates.workflow.count, rates.workflow.mean) == (1, 2.0)


async def test_a_task_counts_once_when_it_ended_and_its_beginning_is_known() -> None:
    learner = Learner(MemoryState())
    for message in (
        changed(1, "working", seconds=None),
        changed(1, "canceled", seconds=None),
        changed(1, "canceled", workflow=""),
        changed(1, "canceled", version=4),
        changed(1, "canceled", version=5),
    ):
        await learner.handle(message)
    assert (await learner.rates())["research"].workflow.canceled == 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=30), st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_replicas_and_repetitions_count_each_result_once(numbers: list[int], pauses: list[int]) -> None:
    async def count() -> int:
        calls, state = iter(range(10**9)), MemoryState()
        learners = [Learner(Faulty(state, pause=lambda: pick(pauses, next(calls), 4))) for _ in range(3)]
        await asyncio.gather(*(learners[place % 3].handle(result(number)) for place, number in enumerate(numbers)))
        rates = await learners[0].rates()
        return rates["research"].steps["plan"].count if rates else 0

    assert asyncio.run(count()) == len(set(numbers))


async def test_every_workflow_is_listed() -> None:
    learner = Learner(MemoryState())
    await asyncio.gather(*(learner.handle(result(1, workflow=name)) for name in ("b", "a", "workflows")))
    assert list(await learner.rates()) == ["a", "b", "workflows"]


async def test_a_name_that_no_workflow_has_is_refused() -> None:
    with pytest.raises(Reject, match="not the name of a workflow"):
        await Learner(MemoryState()).handle(result(1, workflow="../{x}"))


async def test_a_result_of_an_unknown_workflow_is_passed_over() -> None:
    learner = Learner(MemoryState())
    await learner.handle(result(1, workflow=""))
    assert not await learner.rates()


@pytest.fixture
async def learner() -> Learner:
    learner = Learner(MemoryState())
    for message in (result(1), result(3), result(5, outcome="failed"), changed(1, "completed")):
        await learner.handle(message)
    return learner


async def ask(learner: Learner, path: str = "/rates") -> httpx.Response:
    transport = httpx.ASGITransport(application(learner))
    async with httpx.AsyncClient(transport=transport, base_url="http://learner") as client:
        return await client.get(path)


async def test_rates_by_http(learner: Learner) -> None:
    answer = await ask(learner)
    assert answer.status_code == 200
    assert "secret" not in answer.text
    assert answer.json() == {
        "halfLife": HALF_LIFE,
        "workflows": {
            "research": {
                "count": 1,
                "completed": 1,
                "failed": 0,
                "canceled": 0,
                "successRate": 1.0,
                "recentSuccessRate": 1.0,
                "durationSeconds": {"mean": 2.0, "variance": None},
                "steps": {
                    "plan": {
                        "count": 3,
                        "completed": 2,
                        "failed": 1,
                        "canceled": 0,
                        "successRate": pytest.approx(2 / 3),
                        "recentSuccessRate": pytest.approx(0.662, abs=1e-3),
                        "durationSeconds": {"mean": 2.0, "variance": 2.0},
                    }
                },
            }
        },
    }
    assert (await ask(learner, "/other")).headers["content-type"] == "application/problem+json"


class _Down:
    async def get(self, *name: str) -> None:
        raise Unavailable("redis: no answer")


async def test_without_redis_it_says_when_to_come_back() -> None:
    answer = await ask(Learner(_Down()))  # type: ignore[arg-type]
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_metrics(learner: Learner) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(learner, registry)
    assert b'workflow="research"' not in generate_latest(registry)
    await metrics.refresh()
    text = generate_latest(registry).decode()
    for line in (
        'agentstack_workflow_success_ratio{step="",workflow="research"} 1.0',
        'agentstack_workflow_success_ratio{step="plan",workflow="research"} 0.6666666666666666',
        'agentstack_workflow_duration_seconds{step="plan",workflow="research"} 2.0',
        'agentstack_workflow_duration_stddev_seconds{step="plan",workflow="research"} 1.4142135623730951',
        'agentstack_workflow_ended_total{outcome="failed",step="plan",workflow="research"} 1.0',
    ):
        assert line in text.splitlines()
