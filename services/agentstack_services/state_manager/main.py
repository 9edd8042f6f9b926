"""The state-manager's process: the projections are kept, and read by HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Final

from agentstack_runtime.bus import Message
from agentstack_runtime.bus import Unavailable as BusUnavailable
from agentstack_runtime.contract import Contract
from agentstack_runtime.lifecycle import Process
from agentstack_runtime.state import State
from agentstack_runtime.state import Unavailable as StateUnavailable
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from agentstack_services.assembly import Service
from agentstack_services.domain.ids import conversation_of_task, task_name
from agentstack_services.problems import HANDLERS, Problem, busy

from .archive import Archive, LogArchive
from .service import StateManager

READERS: Final = 2
"""Readings of the archive at a time, in a pod: each goes through the whole log."""


def build(contract: Contract, service: Service | None = None) -> Process:
    """Return the process; `service` has other connections than the contract's.

    Raises:
        ContractError: something that it needs is missing.
    """
    service = service or Service.connect(contract)
    consumer = service.consumer(StateManager(service.state, service.bus).handle)
    return service.process(app=application(service.state, LogArchive(service.bus)), consumers=[consumer])


def application(state: State, archive: Archive) -> Starlette:
    """Return the HTTP side: `GET /tasks/{id}` and `GET /tasks/{id}/events`, nothing else."""
    reader = _Reader(state, archive)
    routes = [
        Route("/tasks/{id}", reader.task, methods=["GET"]),
        Route("/tasks/{id}/events", reader.events, methods=["GET"]),
    ]
    return Starlette(routes=routes, exception_handlers=dict(HANDLERS))


class _Reader:
    def __init__(self, state: State, archive: Archive) -> None:
        self._state, self._archive = state, archive
        self._readers = asyncio.Semaphore(READERS)

    async def task(self, request: Request) -> Response:
        """Answer with the projection."""
        task = request.path_params["id"]
        try:
            saved = await self._state.get(conversation_of_task(task), task_name(task))
        except ValueError:
            saved = None
        except StateUnavailable:
            return busy("Redis does not answer", retry_after=5)
        return JSONResponse(saved.value) if saved else Problem(404, "no such task, or not any more")

    async def events(self, request: Request) -> Response:
        """Answer with all events of the task, a line each, the oldest first."""
        if self._readers.locked():
            return busy("the archive is being read by others", retry_after=10)
        await self._readers.acquire()
        events = self._archive.events(request.path_params["id"])
        try:
            first = await anext(events, None)
        except BusUnavailable:
            self._readers.release()
            return busy("Kafka does not answer", retry_after=5)
        except BaseException:
            self._readers.release()
            raise
        if first is None:
            self._readers.release()
            return Problem(404, "the archive has no event of such a task")
        return StreamingResponse(self._lines(first, events), media_type="application/x-ndjson")

    async def _lines(self, first: Message, events: AsyncIterator[Message]) -> AsyncIterator[str]:
        try:
            yield _line(first)
            async for event in events:
                yield _line(event)
        finally:
            self._readers.release()


def _line(event: Message) -> str:
    """Return the event as a CloudEvent in JSON."""
    content = {
        "specversion": "1.0",
        "id": event.id,
        "type": event.type,
        "source": event.source,
        "subject": event.subject,
        "time": event.time.isoformat(),
        "data": dict(event.data),
    }
    return json.dumps(content, ensure_ascii=False) + "\n"
