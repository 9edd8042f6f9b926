"""The learner's work on one message: count what ended, once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from agentstack_runtime.bus import Message, Reject
from agentstack_runtime.state import JSON, State, update
from agentstack_services.domain.messages import StepResult, TaskChanged, payload_of
from agentstack_services.state_manager.projection import ENDED

from .rates import WorkflowRates

RATES: Final = "rates"
"""The name of a workflow's record."""
INDEX: Final = ("workflows", "names")
"""Where the names of all workflows are: agents may not search Redis for them."""
TOUCH: Final = 24 * 3600.0
"""Seconds after which the index is written again, so that it does not end before the records."""


class Learner:
    """Keeps a record a workflow. Replicas may write one at a time: who is late counts again from what is there."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._touched: dict[str, float] = {}

    async def handle(self, message: Message) -> None:
        """Count one message of `results` or `state-changes`, if something ended by it that was not counted.

        Raises:
            Reject: it is not what its type promises.
            Unavailable: Redis does not answer.
        """
        event = payload_of(message)
        if isinstance(event, StepResult) and event.workflow:
            await self._count(event.workflow, event.step, event.id, event.outcome, event.duration_seconds)
        elif isinstance(event, TaskChanged) and event.workflow and event.state in ENDED:
            seconds = event.duration_seconds
            if seconds is not None:  # Else the projection has not seen the beginning yet: a version that has follows.
                await self._count(event.workflow, None, event.task, event.state, seconds)

    async def rates(self) -> Mapping[str, WorkflowRates]:
        """Return what is known of every workflow, by name.

        Raises:
            Unavailable: Redis does not answer.
        """
        saved = await self._state.get(*INDEX)
        names = _names(saved.value) if saved else []
        records = await asyncio.gather(*(self._state.get(name, RATES) for name in names))
        return {
            name: WorkflowRates.model_validate(record.value)
            for name, record in zip(names, records, strict=True)
            if record is not None
        }

    async def _count(self, workflow: str, step: str | None, message_id: str, outcome: str, seconds: float) -> None:
        def counted(saved: JSON) -> JSON:
            record = WorkflowRates.model_validate(saved) if saved is not None else WorkflowRates()
            return record.model_dump(mode="json") if record.add(step, message_id, outcome, seconds) else None

        try:
            await update(self._state, workflow, RATES, counted)
        except ValueError as error:  # The state refuses the name: no workflow of the stack has such a one.
            raise Reject("workflow: not the name of a workflow") from error
        await self._list(workflow)

    async def _list(self, workflow: str) -> None:
        """Put `workflow` into the index; its own record is there already, so that nobody looks in vain."""
        if time.monotonic() - self._touched.get(workflow, -TOUCH) < TOUCH:
            return
        await update(self._state, *INDEX, lambda saved: sorted({*_names(saved), workflow}))
        self._touched[workflow] = time.monotonic()


def _names(saved: JSON) -> list[str]:
    return sorted(map(str, saved)) if isinstance(saved, list) else []
