"""Steps that another agent does, asked by A2A 1.0."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import httpx
from a2a.client import A2ACardResolver, Client, ClientCallContext, ClientConfig, ClientFactory
from a2a.client.errors import A2AClientError
from a2a.types.a2a_pb2 import (
    AgentCard,
    CancelTaskRequest,
    GetTaskRequest,
    Message,
    Part,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    Task,
    TaskState,
)
from a2a.utils.constants import TransportProtocol
from a2a.utils.errors import A2AError
from google.protobuf.json_format import MessageToDict
from pydantic import JsonValue

from agentstack_services.workflows.model import AgentCall, render

from .work import StepFailed, Work

LOOK: Final = 2.0
"""Seconds between two looks at a task whose stream ended before it did."""
CANCEL_WAIT: Final = 5.0
"""Seconds in which an agent can take a cancellation."""
_AGAIN: Final = frozenset({408, 429})
_UNFINISHED: Final = frozenset(
    {TaskState.TASK_STATE_UNSPECIFIED, TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING}
)


class AgentStep:
    """Sends a message to an agent, and waits for the end of its task.

    The message's id is the command's, so that a repetition, by this executor or another, is the same task. Only where
    that task failed, the next attempt asks under another id: the same one would be told of the same failure.
    """

    def __init__(self, agents: Mapping[str, str], client: httpx.AsyncClient | None = None) -> None:
        """Ask `agents`: their URLs by their names."""
        self._agents = agents
        # A stream is silent while the agent works: time is bounded by the step's own time-out.
        self._http = client or httpx.AsyncClient(timeout=httpx.Timeout(None, connect=10), follow_redirects=False)
        bindings = [TransportProtocol.HTTP_JSON, TransportProtocol.JSONRPC]
        self._factory = ClientFactory(
            ClientConfig(
                httpx_client=self._http, supported_protocol_bindings=[str(binding.value) for binding in bindings]
            )
        )

    async def run(self, call: AgentCall, work: Work) -> JsonValue:
        """Return the text of the answer."""
        url = self._agents.get(call.name)
        if url is None:
            raise StepFailed(
                f"agent {call.name}: unknown: say `calls: [{call.name}]` in the executor's file", retryable=False
            )
        context = ClientCallContext(service_parameters={"traceparent": work.traceparent} if work.traceparent else None)
        with _errors(call.name):
            client = self._factory.create(await self._card(url))
            task = await self._ask(client, _request(call, work), context, work)
            if isinstance(task, Message):
                return _text(task.parts)
            while task.status.state in _UNFINISHED:
                await asyncio.sleep(LOOK)
                task = await client.get_task(GetTaskRequest(id=task.id), context=context)
        return _answer(call.name, task, work)

    async def close(self, seconds: float) -> None:
        """Give back connections; a step of the shutdown."""
        await self._http.aclose()

    async def _card(self, url: str) -> AgentCard:
        card = await A2ACardResolver(self._http, url).get_agent_card()
        # The stack says where the agent is. Its card says where others find it, which may be outside the cluster.
        there = urlsplit(url)
        for interface in card.supported_interfaces:
            path = urlsplit(interface.url).path
            interface.url = urlunsplit((there.scheme, there.netloc, path, "", ""))
        return card

    async def _ask(
        self, client: Client, request: SendMessageRequest, context: ClientCallContext, work: Work
    ) -> Task | Message:
        """Return the task when its stream is over, or the message that was answered instead of one."""
        task_id = ""
        try:
            async for event in client.send_message(request, context=context):
                if event.HasField("message"):
                    return event.message
                task_id = task_id or event.task.id or event.status_update.task_id or event.artifact_update.task_id
                if task_id:
                    work.undo = _Cancel(client, task_id)
        except A2AClientError:
            if not task_id:
                raise
            # The stream broke, the task did not.
        if not task_id:
            raise A2AClientError("neither a task nor a message")
        return await client.get_task(GetTaskRequest(id=task_id), context=context)


class _Cancel:
    """Ends the agent's task, if it can still be reached."""

    def __init__(self, client: Client, task: str) -> None:
        self._client, self._task = client, task

    async def __call__(self) -> None:
        with contextlib.suppress(A2AError, TimeoutError):
            async with asyncio.timeout(CANCEL_WAIT):
                await self._client.cancel_task(CancelTaskRequest(id=self._task))


def _request(call: AgentCall, work: Work) -> SendMessageRequest:
    message = Message(
        message_id=f"{work.id}#{work.failures}" if work.failures else work.id,
        role=Role.ROLE_USER,
        parts=[Part(text=render(call.message, work.values), media_type="text/plain")],
    )
    if call.workflow is not None:
        message.metadata["workflow"] = call.workflow
    configuration = SendMessageConfiguration(accepted_output_modes=["text/plain", "application/json"])
    return SendMessageRequest(message=message, configuration=configuration)


def _answer(name: str, task: Task, work: Work) -> JsonValue:
    state = task.status.state
    if state == TaskState.TASK_STATE_COMPLETED:
        work.undo = None
        parts = [part for artifact in task.artifacts for part in artifact.parts]
        return _text(parts or task.status.message.parts)
    if state in (TaskState.TASK_STATE_INPUT_REQUIRED, TaskState.TASK_STATE_AUTH_REQUIRED):
        raise StepFailed(f"agent {name}: asks for more, which a step cannot give", retryable=False)
    work.undo = None
    # Its own words stay with it: they may hold what was said.
    ended = TaskState.Name(state).removeprefix("TASK_STATE_").lower()
    if state == TaskState.TASK_STATE_FAILED:
        work.failures += 1
        raise StepFailed(f"agent {name}: its task {task.id} failed", retryable=True)
    raise StepFailed(f"agent {name}: its task {task.id} ended as {ended}", retryable=False)


def _text(parts: Sequence[Part]) -> str:
    return "\n".join(_part(part) for part in parts if part.WhichOneof("content") in ("text", "data"))


def _part(part: Part) -> str:
    if part.WhichOneof("content") == "text":
        return str(part.text)
    return json.dumps(MessageToDict(part.data), ensure_ascii=False)


@contextlib.contextmanager
def _errors(name: str) -> Iterator[None]:
    """Turn the client's errors into the step's; their texts have URLs and bodies in them, and stay out."""
    try:
        yield
    except A2AError as error:
        cause = error.__cause__
        if isinstance(cause, httpx.HTTPStatusError):
            status = cause.response.status_code
            raise StepFailed(f"agent {name}: {status}", retryable=status >= 500 or status in _AGAIN) from error
        # The client's own are about the connection; the others are what the agent said to this message.
        retryable = isinstance(error, A2AClientError)
        raise StepFailed(f"agent {name}: {type(error).__name__}", retryable=retryable) from error
    except (httpx.HTTPError, ValueError) as error:
        raise StepFailed(f"agent {name}: no answer by A2A ({type(error).__name__})", retryable=True) from error
