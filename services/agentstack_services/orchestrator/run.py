"""How far the steps of one task are. Pure: what comes next follows from what happened."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from agentstack_services.domain.ids import command_id
from agentstack_services.domain.messages import Outcome, RunStep, StepFinished, StepResult, StepStarted, Trail
from agentstack_services.workflows.model import Workflow


class _Stored(BaseModel):
    # What a checkpoint holds: another replica, of another version, may read it.
    model_config = ConfigDict(extra="ignore")


class StepRun(_Stored):
    """One step of a task."""

    state: Literal["waiting", "running", "completed", "failed"] = "waiting"
    items: int | None = None
    """How many commands it became, where it has `forEach`."""
    open: list[str] = []
    """The ids of the commands without a result."""
    produced: int | None = None
    """The length of its output, where that is a list."""
    failed: str | None = None
    duration_seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0


class TaskRun(_Stored):
    """One task that is under way."""

    task: str
    client_message_id: str
    workflow: Workflow
    """As it was when the task began: a change of the file is for the tasks after it."""
    deadline: datetime
    steps: dict[str, StepRun]
    trail: Trail = Trail()

    def ready(self, conversation: str) -> tuple[list[RunStep], list[StepStarted], list[StepFinished]]:
        """Begin every step whose turn it is; return commands and what began and, for want of items, at once ended."""
        commands: list[RunStep] = []
        started: list[StepStarted] = []
        finished: list[StepFinished] = []
        begun = True
        while begun:  # A step without items ends at once, which may be what the next one waits for.
            begun = False
            for name, step in self.workflow.steps.items():
                run = self.steps[name]
                if run.state != "waiting" or any(self.steps[need].state != "completed" for need in step.needs):
                    continue
                begun = True
                run.state = "running"
                source = step.for_each
                if source is not None and self.steps[source].produced is None:
                    run.failed = f"the output of step {source} is no list"
                    started.append(StepStarted(conversation=conversation, task=self.task, step=name))
                    finished.append(self._finish(conversation, name))
                    return commands, started, finished
                run.items = None if source is None else self.steps[source].produced
                started.append(StepStarted(conversation=conversation, task=self.task, step=name, items=run.items))
                items = [None] if run.items is None else list(range(run.items))
                commands += (self._command(conversation, name, item) for item in items)
                run.open = [command_id(self.task, name, item) for item in items]
                if not run.open:
                    finished.append(self._finish(conversation, name))
        return commands, started, finished

    def expects(self, result: StepResult) -> bool:
        """Whether `result` is one that the task waits for: one that was seen, or came too late, is not."""
        return result.step in self.steps and result.id in self.steps[result.step].open

    def take(self, result: StepResult) -> StepFinished | None:
        """Fold a result that is expected; return the end of its step, if this was the last one."""
        run = self.steps[result.step]
        run.open.remove(result.id)
        # The steps of a fan-out overlap: the longest is how long they took.
        run.duration_seconds = max(run.duration_seconds, result.duration_seconds)
        run.input_tokens += result.input_tokens or 0
        run.output_tokens += result.output_tokens or 0
        if result.outcome == "failed":
            run.failed = result.reason or "no reason given"
            run.open = []  # What the other items do is of no use any more.
        elif run.items is None:
            run.produced = result.items
        return None if run.open else self._finish(result.conversation, result.step)

    @property
    def failed(self) -> str | None:
        """Why it cannot complete, with the step's name."""
        return next((f"step {name}: {run.failed}" for name, run in self.steps.items() if run.failed), None)

    @property
    def completed(self) -> bool:
        """Whether all steps are."""
        return all(run.state == "completed" for run in self.steps.values())

    def _finish(self, conversation: str, name: str) -> StepFinished:
        run = self.steps[name]
        outcome: Outcome = "failed" if run.failed else "completed"
        run.state = outcome
        if run.items is not None:
            run.produced = run.items
        return StepFinished(
            conversation=conversation,
            task=self.task,
            step=name,
            outcome=outcome,
            reason=run.failed,
            duration_seconds=run.duration_seconds,
            input_tokens=run.input_tokens,
            output_tokens=run.output_tokens,
        )

    def _command(self, conversation: str, name: str, item: int | None) -> RunStep:
        step = self.workflow.steps[name]
        used = {name for name in (*step.references, step.for_each) if name is not None and name in self.steps}
        return RunStep(
            id=command_id(self.task, name, item),
            conversation=conversation,
            task=self.task,
            workflow=self.workflow.name,
            step=name,
            item=item,
            definition=step,
            outputs={source: self.steps[source].items for source in sorted(used)},
            client_message_id=self.client_message_id,
            deadline=self.deadline,
        )


def begin(task: str, client_message_id: str, workflow: Workflow, deadline: datetime, trail: Trail) -> TaskRun:
    """Return a task of which nothing has happened yet."""
    return TaskRun(
        task=task,
        client_message_id=client_message_id,
        workflow=workflow,
        deadline=deadline,
        steps={name: StepRun() for name in workflow.steps},
        trail=trail,
    )
