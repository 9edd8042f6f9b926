"""The operations of A2A on tasks that other services work off."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from typing import Final, NoReturn

from a2a.server.context import ServerCallContext
from a2a.server.request_handlers.request_handler import RequestHandler
from a2a.types.a2a_pb2 import (
    AgentCard,
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTaskPushNotificationConfigsResponse,
    ListTasksRequest,
    ListTasksResponse,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskArtifactUpdateEvent,
    TaskPushNotificationConfig,
    TaskStatusUpdateEvent,
)
from a2a.utils.constants import DEFAULT_LIST_TASKS_PAGE_SIZE
from a2a.utils.errors import (
    InvalidParamsError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from a2a.utils.proto_utils import validate_proto_required_fields
from a2a.utils.task import (
    HistoryLengthConfig,
    ListTasksCursor,
    apply_history_length,
    decode_list_tasks_cursor,
    encode_list_tasks_cursor,
    validate_history_length,
    validate_page_size,
)

from agentstack_runtime.bus import Bus, Message, Reject, Unavailable
from agentstack_runtime.state import Conflict, State
from agentstack_runtime.telemetry import get_logger
from agentstack_services.domain.ids import task_name
from agentstack_services.domain.messages import (
    EVENTS,
    CancelRequested,
    Payload,
    TaskExpired,
    TaskSubmitted,
    now,
)
from agentstack_services.state_manager.projection import TaskView, submitted
from agentstack_services.workflows.catalogue import Catalogue

from . import view as words
from .exchange import current, refuse
from .submission import CONVERSATION, TEXT_BYTES, Rules, submission
from .tasks import Tasks

SOURCE: Final = "ingestion"
LOOK: Final = 2.0
"""Seconds after which a stream looks for changes by itself: a notification may be lost."""
CANCEL_WAIT: Final = 2.0
"""Seconds that a cancel request waits for the end of the task."""
GRACE: Final = timedelta(seconds=30)
"""Time after a task's deadline in which the orchestrator's own end of it may still be on its way."""
REQUEST_TIMEOUT: Final = 10.0
"""Seconds in which Kafka has to take a message."""
STREAMS: Final = 200
"""Streams that a pod serves at a time."""

log = get_logger(__name__)

Update = Task | TaskStatusUpdateEvent | TaskArtifactUpdateEvent


class Ingestion(RequestHandler):
    """Takes tasks in, and tells how they stand. It keeps nothing: every replica answers for every task.

    A message is accepted when the event of it is in the log of all in-sync replicas; what Redis shows of it may follow.

    `message:send` without `returnImmediately` waits for the end of the task, but no longer than `wait` seconds, and by
    default not at all. A2A (section 3.2.2) would have it wait without a bound; a task may take minutes here, longer
    than gateways hold a request, and each call that waits takes one of the pod's places. Clients poll, subscribe, or
    use `message:stream`.
    """

    def __init__(
        self,
        state: State,
        bus: Bus,
        catalogue: Catalogue,
        *,
        default_workflow: str | None = None,
        text_bytes: int = TEXT_BYTES,
        streams: int = STREAMS,
        wait: float = 0.0,
        request_timeout: float = REQUEST_TIMEOUT,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._state, self._bus, self._catalogue, self._clock = state, bus, catalogue, clock
        self._tasks = Tasks(state)
        self._default_workflow, self._text_bytes = default_workflow, text_bytes
        self._free_streams, self._wait, self._request_timeout = streams, wait, request_timeout
        self._stopping = asyncio.Event()

    async def stop(self, seconds: float) -> None:
        """End all streams: their clients subscribe again, at a replica that stays."""
        self._stopping.set()

    async def on_message_send(self, params: SendMessageRequest, context: ServerCallContext) -> Task:
        """Begin a task, and return it as it stands: see the class."""
        view = await self._submit(params)
        if self._wait and not params.configuration.return_immediately:
            view = await self._after(view, self._wait)
        return await self._answer(view, params.configuration)

    async def on_message_send_stream(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Update]:
        """Begin a task, and yield it and what happens to it until its end."""
        with self._stream():
            view = await self._submit(params)
            async with contextlib.aclosing(self._follow(view, params.configuration)) as updates:
                async for update in updates:
                    yield update

    async def on_subscribe_to_task(
        self, params: SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[Update]:
        """Yield an unfinished task and what happens to it until its end."""
        with self._stream():
            view = await self._find(params.id)
            if view.ended:
                raise UnsupportedOperationError(f"the task is {view.state} already: get it")
            async with contextlib.aclosing(self._follow(view, None)) as updates:
                async for update in updates:
                    yield update

    async def on_get_task(self, params: GetTaskRequest, context: ServerCallContext) -> Task:
        """Return a task as it stands."""
        validate_history_length(params)
        view = await self._find(params.id)
        await self._expire(view)
        return await self._answer(view, params)

    async def on_list_tasks(self, params: ListTasksRequest, context: ServerCallContext) -> ListTasksResponse:
        """Return a page of a conversation's tasks, those that changed last first."""
        if not CONVERSATION.fullmatch(params.context_id):
            raise InvalidParamsError(
                "contextId: required: tasks are found by their conversation, there is no index of all"
            )
        validate_history_length(params)
        page_size = params.page_size if params.HasField("page_size") else DEFAULT_LIST_TASKS_PAGE_SIZE
        validate_page_size(page_size)
        cursor = decode_list_tasks_cursor(params.page_token) if params.page_token else None
        if params.page_token and cursor is None:
            raise InvalidParamsError("pageToken: is none that a page before this one gave")
        with self._redis():
            found = [_Listed(view) for view in await self._tasks.of_conversation(params.context_id)]
        found = [listed for listed in found if listed.matches(params)]
        found.sort(key=lambda listed: listed.cursor.sort_key(), reverse=True)
        rest = [listed for listed in found if cursor is None or listed.cursor.sort_key() < cursor.sort_key()]
        page = rest[:page_size]
        return ListTasksResponse(
            tasks=[await self._list_entry(listed.view, params) for listed in page],
            next_page_token=encode_list_tasks_cursor(page[-1].cursor) if len(rest) > page_size else "",
            page_size=page_size,
            total_size=len(found),
        )

    async def on_cancel_task(self, params: CancelTaskRequest, context: ServerCallContext) -> Task:
        """Ask for the end of a task; return it canceled, or as it stands if that takes longer."""
        view = await self._find(params.id)
        if view.ended:
            raise TaskNotCancelableError(f"the task is {view.state} already")
        await self._publish(CancelRequested(conversation=view.conversation, task=view.task))
        return await self._answer(await self._after(view, CANCEL_WAIT), None)

    async def on_create_task_push_notification_config(
        self, params: TaskPushNotificationConfig, context: ServerCallContext
    ) -> NoReturn:
        """Refuse."""
        raise PushNotificationNotSupportedError

    async def on_get_task_push_notification_config(
        self, params: GetTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> NoReturn:
        """Refuse."""
        raise PushNotificationNotSupportedError

    async def on_list_task_push_notification_configs(
        self, params: ListTaskPushNotificationConfigsRequest, context: ServerCallContext
    ) -> ListTaskPushNotificationConfigsResponse:
        """Refuse."""
        raise PushNotificationNotSupportedError

    async def on_delete_task_push_notification_config(
        self, params: DeleteTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> None:
        """Refuse."""
        raise PushNotificationNotSupportedError

    async def on_get_extended_agent_card(
        self, params: GetExtendedAgentCardRequest, context: ServerCallContext
    ) -> AgentCard:
        """Refuse: there is one card, for everybody, and it says so (A2A, section 3.3.4)."""
        raise UnsupportedOperationError("there is one card, for everybody: /.well-known/agent-card.json")

    async def _submit(self, params: SendMessageRequest) -> TaskView:
        """Take a message in, unless it was before; return its task."""
        validate_proto_required_fields(params)
        validate_history_length(params.configuration)
        if params.configuration.HasField("task_push_notification_config"):
            raise PushNotificationNotSupportedError
        if params.message.task_id:
            await self._refuse_more(params.message.task_id)
        rules = Rules(self._catalogue.workflows, self._default_workflow, self._text_bytes)
        event = submission(params.message, rules)
        known = await self._peek(event.task)
        if known is not None and known.state != "submitted":
            return known
        await self._publish(event)
        view = known or submitted(event, self._clock())
        await self._keep(event, view)
        return view

    async def _keep(self, event: TaskSubmitted, view: TaskView) -> None:
        """Show the task at once. It is accepted already: the orchestrator and the state-manager do the same later."""
        said = {"role": "user", "task": event.task, "text": event.text}
        try:
            await self._state.append(event.conversation, event.client_message_id, said)
            await self._state.put(event.conversation, task_name(event.task), view.model_dump(mode="json"), expected=0)
        except Conflict:
            pass  # It is there, by the same message or by the state-manager.
        except Unavailable as error:
            log.warning("task accepted, but not shown yet", task_id=event.task, reason=str(error))

    async def _refuse_more(self, task: str) -> NoReturn:
        view = await self._find(task)
        if view.ended:
            raise UnsupportedOperationError(f"message.taskId: the task is {view.state}; leave it out to begin another")
        raise UnsupportedOperationError(
            "message.taskId: workflows ask nothing back yet; leave it out, and the task that the message begins waits "
            "for this one if it has its contextId"
        )

    async def _find(self, task: str) -> TaskView:
        with self._redis():
            view = await self._tasks.view(task)
        if view is None:
            raise TaskNotFoundError("there is no such task, or its conversation is too old")
        return view

    async def _peek(self, task: str) -> TaskView | None:
        """Return the projection, if there is one and Redis answers."""
        try:
            return await self._tasks.view(task)
        except Unavailable:
            return None

    async def _answer(self, view: TaskView, limits: HistoryLengthConfig | None) -> Task:
        """Return the task with its answer, and with its history unless `limits` forbids it."""
        wants_history = limits is None or not limits.HasField("history_length") or limits.history_length > 0
        try:
            output = await self._tasks.output(view)
            history = await self._tasks.history(view) if wants_history else []
        except Unavailable:
            if view.ended:
                raise refuse("Redis does not answer", retry_after=5) from None
            output, history = [], []
        return apply_history_length(words.task(view, output=output, history=history), limits)

    async def _list_entry(self, view: TaskView, params: ListTasksRequest) -> Task:
        with self._redis():
            output = await self._tasks.output(view) if params.include_artifacts else []
            # Only on demand: a page of whole conversations is nobody's default.
            history = await self._tasks.history(view) if params.history_length else []
        return apply_history_length(words.task(view, output=output, history=history), params)

    async def _follow(self, view: TaskView, limits: HistoryLengthConfig | None) -> AsyncGenerator[Update]:
        yield await self._answer(view, limits)
        if view.ended:
            return
        async with contextlib.aclosing(self._changes(view)) as changes:
            async for after in changes:
                for update in words.progress(view, after):
                    yield update
                view = after
        if not view.ended or self._stopping.is_set():
            return
        try:
            output = await self._tasks.output(view)
        except Unavailable:
            return  # Without the end of the task, so that the client asks again.
        for last in words.end(view, output):
            yield last

    async def _after(self, view: TaskView, seconds: float) -> TaskView:
        """Return the task as it ended, or as it stands after `seconds` or when the process stops."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), contextlib.aclosing(self._changes(view)) as changes:
                async for after in changes:
                    view = after
        return view

    async def _changes(self, view: TaskView) -> AsyncGenerator[TaskView]:
        """Yield the task after each change until it ended, or until this process does."""
        asked_to_end = False
        while not view.ended and not self._stopping.is_set():
            try:
                async with self._state.changes(view.conversation) as changes:
                    while not view.ended and not self._stopping.is_set():
                        after = await self._tasks.view(view.task)
                        if after is not None and after != view:
                            view = after
                            yield view
                            continue
                        if not asked_to_end:
                            asked_to_end = await self._expire(view)
                        await self._until_stopped(changes.wait(LOOK))
            except Unavailable:
                await self._until_stopped(asyncio.sleep(LOOK))

    async def _until_stopped(self, waiting: Awaitable[object]) -> None:
        """Await `waiting`, but no longer than the process runs."""
        both = [asyncio.ensure_future(waiting), asyncio.ensure_future(self._stopping.wait())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _expire(self, view: TaskView) -> bool:
        """Say that the time of a task is over, if it is; return whether that was said."""
        if view.ended or view.deadline is None or self._clock() < view.deadline + GRACE:
            return False
        try:
            await self._bus.publish(EVENTS, self._message(TaskExpired(conversation=view.conversation, task=view.task)))
        except Unavailable:
            return False  # Whoever looks next says it.
        return True

    async def _publish(self, event: Payload) -> None:
        try:
            async with asyncio.timeout(self._request_timeout):
                await self._bus.publish(EVENTS, self._message(event))
        except (Unavailable, TimeoutError):
            # Perhaps it has it after all. The same id again is the same task.
            raise refuse("Kafka does not answer; send the same again, with the same messageId", retry_after=5) from None
        except Reject:
            raise InvalidParamsError("message.parts: too large for the bus") from None

    def _message(self, event: Payload) -> Message:
        return event.to_message(source=SOURCE, trail=current().trail)

    @contextlib.contextmanager
    def _redis(self) -> Iterator[None]:
        try:
            yield
        except Unavailable:
            raise refuse("Redis does not answer", retry_after=5) from None

    @contextlib.contextmanager
    def _stream(self) -> Iterator[None]:
        if self._stopping.is_set() or self._free_streams <= 0:
            raise refuse("this pod can serve no further stream", retry_after=1)
        self._free_streams -= 1
        try:
            yield
        finally:
            self._free_streams += 1


class _Listed:
    """A task in a list, and its place there."""

    def __init__(self, view: TaskView) -> None:
        self.view = view
        self.updated = words.status(view).timestamp.ToNanoseconds()
        self.cursor = ListTasksCursor(self.updated, view.task)

    def matches(self, params: ListTasksRequest) -> bool:
        """Return whether the filters of `params` let it through."""
        after = params.status_timestamp_after.ToNanoseconds() if params.HasField("status_timestamp_after") else 0
        return self.updated >= after and params.status in (0, words.STATES[self.view.state])
