"""The executor's work on one command: do the step once, keep what came of it, say so."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import stamina
from pydantic import JsonValue

from agentstack_runtime.bus import Bus, Message, Reject, Unavailable
from agentstack_runtime.state import Conflict, Fenced, Lease, State
from agentstack_runtime.telemetry import bind, continue_trace, current_traceparent, get_logger
from agentstack_services.domain.ids import conversation_of_task, lock_name, output_name, task_name
from agentstack_services.domain.messages import RESULTS, RunStep, StepResult, Trail, now, payload_of
from agentstack_services.state_manager.projection import ENDED

from .inputs import Inputs
from .outputs import shaped
from .steps import Kind, StepFailed, Work
from .steps.work import Kinds

SOURCE: Final = "executor"
LEASE: Final = timedelta(seconds=30)
"""How long a step stays with an executor that died: longer than a master of Redis takes to be replaced."""
LOOK: Final = 2.0
"""Seconds between two looks whether a step's task still runs: what a cancelled call to a model may cost at most."""
KEEP: Final = 60.0
"""Seconds in which the result of a step that was done is tried to be kept, before the step has to be done again."""
TOO_LATE: Final = "the workflow's time is over"

log = get_logger(__name__)


class Executor:
    """Any number of replicas take commands. One that was seen before is answered with the result that is kept.

    A step's effect and the note of it cannot be one: whoever dies in between leaves the step to be done again, which
    is why the command's id goes along as the key of idempotency.
    """

    def __init__(
        self,
        state: State,
        bus: Bus,
        kinds: Kinds,
        *,
        inputs: Inputs | None = None,
        look: float = LOOK,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._state, self._bus, self._kinds, self._look, self._clock = state, bus, kinds, look, clock
        self._inputs = inputs or Inputs(state)

    async def handle(self, message: Message) -> None:
        """Do one command, and publish its result. A task that ended meanwhile gets none: nobody waits for it.

        Raises:
            Reject: it is not what its type promises.
            Unavailable: Redis or Kafka does not answer, or another executor has the step.
        """
        command = payload_of(message)
        if not isinstance(command, RunStep):
            return
        with continue_trace(message.traceparent), bind(correlation_id=message.correlation_id, task_id=command.task):
            result = await self._result(command)
            if result is not None:
                await self._publish(result, message)

    async def give_up(self, message: Message, reason: str) -> None:
        """Fail the step of a message that cannot be handled, so that its task ends."""
        why = f"internal error: {reason}"
        try:
            command = payload_of(message)
        except Reject:
            result = _unreadable(message, why)
        else:
            if not isinstance(command, RunStep):
                return
            result = await self._keep(command, None, _result(command, why))
        if result is not None:
            await self._publish(result, message)

    async def _result(self, command: RunStep) -> StepResult | None:
        kept = await self._kept(command)
        if kept is not None:
            return kept
        if await self._ended(command):
            return None
        if self._left(command) <= 0:
            return await self._keep(command, None, _result(command, TOO_LATE))
        lock = lock_name(command.task, command.step, command.item)
        async with self._state.lock(command.conversation, lock, lease=LEASE) as lease:
            kept = await self._kept(command)  # By whoever had the lock before.
            if kept is not None:
                return kept
            return await self._once(command, lease)

    async def _once(self, command: RunStep, lease: Lease) -> StepResult | None:
        """Do the step while the lock is held, the task runs and its time is not over."""
        work = Work(command.id, {}, current_traceparent() or "")
        began = time.monotonic()
        step = asyncio.create_task(self._attempts(command, work))
        lost = asyncio.create_task(lease.lost.wait())
        ended = asyncio.create_task(self._until_ended(command))
        everything: set[asyncio.Task[Any]] = {step, lost, ended}
        try:
            await asyncio.wait(everything, timeout=max(0.0, self._left(command)), return_when=asyncio.FIRST_COMPLETED)
            done = step.done()
        finally:
            for one in everything:
                one.cancel()
            await asyncio.gather(*everything, return_exceptions=True)
        output: JsonValue = None
        failed: str | None = None
        if done:
            try:
                output = step.result()
            except StepFailed as error:
                failed = str(error)
        elif lost.done() and not lost.cancelled():
            raise Unavailable(f"the lock of step {command.step} was lost: whoever has it now goes on")
        elif ended.done() and not ended.cancelled():
            log.info("step stopped, its task ended", step=command.step)
            await _undo(work)
            return None
        else:
            failed = TOO_LATE
        if failed is not None:
            await _undo(work)
            log.warning("step failed", step=command.step, item=command.item, reason=failed)
        result = _result(command, failed, output=output, seconds=time.monotonic() - began, work=work)
        return await self._keep(command, output, result, lease)

    async def _attempts(self, command: RunStep, work: Work) -> JsonValue:
        definition = command.definition
        try:
            kind: Kind[Any] | None = self._kinds.get(type(definition.call))
        except ValueError as error:
            raise StepFailed(str(error), retryable=False) from None
        if kind is None:
            raise StepFailed(f"this executor cannot do {type(definition.call).__name__}", retryable=False)
        work.values = await self._inputs.values(command)
        retries = definition.retries

        def again(error: Exception) -> bool | float:
            if not isinstance(error, StepFailed) or not error.retryable:
                return False
            if error.retry_after is None:
                return True
            return error.retry_after <= retries.max_backoff and max(error.retry_after, 0.001)

        async for attempt in stamina.retry_context(
            on=again,
            attempts=retries.max + 1,
            timeout=None,  # The deadline cuts it, whatever it does just then.
            wait_initial=retries.backoff,
            wait_max=retries.max_backoff,
            wait_jitter=retries.backoff,
        ):
            with attempt:
                return await _attempt(kind, command, work)
        raise AssertionError("stamina lets the last error through")

    async def _kept(self, command: RunStep) -> StepResult | None:
        saved = await self._state.get(command.conversation, output_name(command.task, command.step, command.item))
        if saved is None or not isinstance(saved.value, dict):
            return None
        return StepResult.model_validate(saved.value["result"])

    async def _keep(
        self, command: RunStep, output: JsonValue, result: StepResult, lease: Lease | None = None
    ) -> StepResult:
        """Keep output and result, unless there are some already; return the result that is kept.

        Raises:
            Unavailable: Redis did not answer for a minute, or another executor has the step by now.
        """
        name = output_name(command.task, command.step, command.item)
        value = {"output": output, "result": result.model_dump(mode="json", exclude_none=True)}
        try:
            async for attempt in stamina.retry_context(on=Unavailable, attempts=None, timeout=KEEP, wait_max=2.0):
                with attempt:
                    await self._state.put(command.conversation, name, value, expected=0, fence=lease)
        except Fenced:
            raise Unavailable(f"the lock of step {command.step} was lost: whoever has it now goes on") from None
        except Conflict:
            return await self._kept(command) or result
        return result

    async def _publish(self, result: StepResult, message: Message) -> None:
        await self._bus.publish(RESULTS, result.to_message(source=SOURCE, trail=Trail.of(message)))

    async def _ended(self, command: RunStep) -> bool:
        saved = await self._state.get(command.conversation, task_name(command.task))
        return saved is not None and isinstance(saved.value, dict) and saved.value.get("state") in ENDED

    async def _until_ended(self, command: RunStep) -> None:
        while True:
            await asyncio.sleep(self._look)
            # A step under way outlives a Redis that does not answer: its lease says for how long.
            with contextlib.suppress(Unavailable):
                if await self._ended(command):
                    return

    def _left(self, command: RunStep) -> float:
        return (command.deadline - self._clock()).total_seconds()


async def _attempt(kind: Kind[Any], command: RunStep, work: Work) -> JsonValue:
    definition = command.definition
    try:
        async with asyncio.timeout(definition.timeout):
            said = await kind.run(definition.call, work)
        # Another answer of a model may have the right form. What a URL or a function says, it will say again.
        return shaped(said, definition, retryable=definition.model is not None)
    except TimeoutError:
        raise StepFailed(f"not done within {definition.timeout:g} s", retryable=True) from None
    except KeyError as error:
        raise StepFailed(f"it refers to {error}, which this executor does not know", retryable=False) from None


async def _undo(work: Work) -> None:
    if work.undo is not None:
        await work.undo()


def _result(
    command: RunStep,
    failed: str | None,
    *,
    output: JsonValue = None,
    seconds: float = 0.0,
    work: Work | None = None,
) -> StepResult:
    return StepResult(
        conversation=command.conversation,
        task=command.task,
        id=command.id,
        workflow=command.workflow,
        step=command.step,
        item=command.item,
        outcome="completed" if failed is None else "failed",
        reason=failed,
        items=len(output) if isinstance(output, list) else None,
        duration_seconds=seconds,
        model=work and work.model,
        backend=work and work.backend,
        input_tokens=work and work.input_tokens,
        output_tokens=work and work.output_tokens,
    )


def _unreadable(message: Message, reason: str) -> StepResult | None:
    """Return the failed result of a command of which only the envelope can be read; None if not even that."""
    task, _, rest = message.id.partition("/")
    step, _, item = rest.partition("/")
    try:
        return StepResult(
            conversation=conversation_of_task(task),
            task=task,
            id=message.id,
            workflow="",
            step=step,
            item=int(item) if item else None,
            outcome="failed",
            reason=reason,
        )
    except ValueError:
        return None
