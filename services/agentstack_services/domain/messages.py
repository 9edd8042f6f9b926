"""The typed messages in the topics, and how they become CloudEvents and back.

Topics: `events` (facts about tasks, key: the conversation), `tasks` (commands, key: the command's id, which spreads a
fan-out over the executors), `results` (key: the conversation), `state-changes` (key: the task).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentstack_runtime.bus import Message, Reject
from agentstack_services.workflows.model import Step, Workflow

EVENTS = "events"
TASKS = "tasks"
RESULTS = "results"
STATE_CHANGES = "state-changes"
DEAD_LETTERS = "dead-letters"

Outcome = Literal["completed", "failed"]
EndState = Literal["completed", "failed", "canceled"]


class Trail(BaseModel):
    """What ties all that happens for one request together, in logs and traces."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    correlation_id: str = ""
    traceparent: str = ""

    @classmethod
    def of(cls, message: Message) -> Trail:
        """Return the one that `message` came with."""
        return cls(correlation_id=message.correlation_id, traceparent=message.traceparent)


class Payload(BaseModel):
    """The data of one type of message. Unknown fields of a newer version are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    TYPE: ClassVar[str]

    conversation: str
    task: str

    @property
    def message_id(self) -> str:
        """The CloudEvent's id: the same for the same fact, so that what was seen is dropped."""
        raise NotImplementedError

    @property
    def key(self) -> str:
        """What orders it."""
        return self.conversation

    def to_message(self, *, source: str, trail: Trail) -> Message:
        """Return the message; `source` is the service that publishes it."""
        return Message(
            type=self.TYPE,
            data=self.model_dump(mode="json", exclude_none=True),
            key=self.key,
            id=self.message_id,
            subject=self.task,
            source=source,
            correlation_id=trail.correlation_id,
            traceparent=trail.traceparent,
        )

    @classmethod
    def of(cls, message: Message) -> Self:
        """Return the payload of `message`.

        Raises:
            Reject: the data are not what the type promises. The text names the fields, never a value.
        """
        try:
            return cls.model_validate(message.data)
        except ValidationError as error:
            places = sorted({".".join(map(str, mistake["loc"])) or "data" for mistake in error.errors()})
            raise Reject(f"{message.type}: wrong or missing: {', '.join(places)}") from None


class TaskSubmitted(Payload):
    """A client's message was taken in: a task begins, or waits for those of its conversation before it."""

    TYPE: ClassVar[str] = "dev.agentstack.task.submitted"

    definition: Workflow
    """The workflow as it was then. Whoever gives out the steps may not have a new file yet, or has a newer one."""
    client_message_id: str
    text: str
    """What the client asks. It stands in the log, since the log is what a task can be made again from."""

    @property
    def message_id(self) -> str:
        """One a task."""
        return f"{self.task}:submitted"


class CancelRequested(Payload):
    """A client wants the task to end."""

    TYPE: ClassVar[str] = "dev.agentstack.task.cancel-requested"

    @property
    def message_id(self) -> str:
        """One a task: asking twice changes nothing."""
        return f"{self.task}:cancel-requested"


class TaskExpired(Payload):
    """The workflow's time is over. Whoever looks at an unfinished task and sees that says so."""

    TYPE: ClassVar[str] = "dev.agentstack.task.expired"

    @property
    def message_id(self) -> str:
        """One a task."""
        return f"{self.task}:expired"


class TaskStarted(Payload):
    """The orchestrator began the task."""

    TYPE: ClassVar[str] = "dev.agentstack.task.started"

    workflow: str
    steps: tuple[str, ...]
    deadline: datetime

    @property
    def message_id(self) -> str:
        """One a task."""
        return f"{self.task}:started"


class StepStarted(Payload):
    """A step's commands were given out."""

    TYPE: ClassVar[str] = "dev.agentstack.step.started"

    step: str
    items: int | None = None
    """How many commands a step with `forEach` became."""

    @property
    def message_id(self) -> str:
        """One a step."""
        return f"{self.task}:{self.step}:started"


class StepFinished(Payload):
    """All commands of a step have results."""

    TYPE: ClassVar[str] = "dev.agentstack.step.finished"

    step: str
    outcome: Outcome
    reason: str | None = None
    duration_seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def message_id(self) -> str:
        """One a step."""
        return f"{self.task}:{self.step}:finished"


class TaskFinished(Payload):
    """The task ended, and stays so."""

    TYPE: ClassVar[str] = "dev.agentstack.task.finished"

    workflow: str
    state: EndState
    reason: str | None = None
    output: str | None = None
    """The step whose output is the answer."""
    items: int | None = None
    """How many items that output has, where the step had `forEach`."""

    @property
    def message_id(self) -> str:
        """One a task."""
        return f"{self.task}:finished"


class RunStep(Payload):
    """Command: do one step, or one item of it."""

    TYPE: ClassVar[str] = "dev.agentstack.step.run"

    id: str
    workflow: str
    step: str
    item: int | None = None
    definition: Step
    """The step as the task began with it: a workflow that changes meanwhile changes the next task."""
    outputs: dict[str, int | None] = Field(default_factory=dict)
    """The steps it refers to, each with its number of items where it had `forEach`."""
    client_message_id: str
    deadline: datetime

    @property
    def message_id(self) -> str:
        """Command and result carry one id."""
        return self.id

    @property
    def key(self) -> str:
        """Its own: the commands of a fan-out go to many executors."""
        return self.id


class StepResult(Payload):
    """What became of a command. The output itself stays in the conversation's state; this names it."""

    TYPE: ClassVar[str] = "dev.agentstack.step.result"

    id: str
    workflow: str
    step: str
    item: int | None = None
    outcome: Outcome
    reason: str | None = None
    items: int | None = None
    """The length of the output where it is a list."""
    duration_seconds: float = 0.0
    model: str | None = None
    backend: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def message_id(self) -> str:
        """Command and result carry one id."""
        return self.id


class TaskChanged(Payload):
    """The projection of a task changed; the last one of a key says how it stands."""

    TYPE: ClassVar[str] = "dev.agentstack.task.changed"

    workflow: str
    state: str
    version: int
    duration_seconds: float | None = None
    """From the client's message to the end; None until then."""

    @property
    def message_id(self) -> str:
        """One a version."""
        return f"{self.task}:changed:{self.version}"

    @property
    def key(self) -> str:
        """The task: the topic is compacted."""
        return self.task


PAYLOADS: dict[str, type[Payload]] = {
    payload.TYPE: payload
    for payload in (
        TaskSubmitted,
        CancelRequested,
        TaskExpired,
        TaskStarted,
        StepStarted,
        StepFinished,
        TaskFinished,
        RunStep,
        StepResult,
        TaskChanged,
    )
}
"""All of them, by the CloudEvent's type."""


def payload_of(message: Message) -> Payload | None:
    """Return what `message` carries; None for a type that this version does not know.

    Raises:
        Reject: the data are not what the type promises.
    """
    payload = PAYLOADS.get(message.type)
    return payload.of(message) if payload else None


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)
