"""What the state-manager answers by HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from agentstack_runtime.bus import Message
from agentstack_runtime.bus import Unavailable as BusUnavailable
from agentstack_runtime.state import Unavailable as StateUnavailable
from agentstack_runtime.state.memory import MemoryState
from agentstack_services.domain.ids import task_name, task_of_message
from agentstack_services.domain.messages import TaskSubmitted, Trail
from agentstack_services.state_manager.main import READERS, application
from tests.doubles import RESEARCH

TASK = task_of_message("c1", "m1")


class Kept:
    """An archive of what it is given."""

    def __init__(self, *events: Message, error: Exception | None = None) -> None:
        self.kept, self.error = events, error

    async def events(self, task: str) -> AsyncIterator[Message]:
        if self.error:
            raise self.error
        for event in self.kept:
            if event.subject == task:
                yield event


def event() -> Message:
    submitted = TaskSubmitted(conversation="c1", task=TASK, definition=RESEARCH, client_message_id="m1", text="Grüße")
    return submitted.to_message(source="ingestion", trail=Trail())


def client(state: MemoryState, archive: Kept) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(application(state, archive)), base_url="http://agent")


async def test_a_projection_is_read():
    state = MemoryState()
    await state.put("c1", task_name(TASK), {"task": TASK, "state": "working"})
    async with client(state, Kept()) as http:
        response = await http.get(f"/tasks/{TASK}")
    assert (response.status_code, response.json()["state"]) == (200, "working")


@pytest.mark.parametrize("path", [f"/tasks/{TASK}", "/tasks/x", "/tasks/%00", "/tasks", "/", "/tasks/x/events"])
async def test_what_is_not_there(path):
    async with client(MemoryState(), Kept()) as http:
        response = await http.get(path)
    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")


async def test_nothing_can_be_changed():
    async with client(MemoryState(), Kept()) as http:
        response = await http.post(f"/tasks/{TASK}")
    assert (response.status_code, response.headers["content-type"]) == (405, "application/problem+json")
    assert "GET" in response.headers["allow"]


async def test_the_events_of_a_task_are_lines_of_cloudevents():
    async with client(MemoryState(), Kept(event())) as http:
        response = await http.get(f"/tasks/{TASK}/events")
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert response.headers["content-type"].startswith("application/x-ndjson")
    assert [(line["id"], line["specversion"], line["data"]["text"]) for line in lines] == [
        (f"{TASK}:submitted", "1.0", "Grüße")
    ]


async def test_what_is_down_is_said_to_be(monkeypatch):
    state = MemoryState()

    async def down(*args):
        raise StateUnavailable("down")

    monkeypatch.setattr(state, "get", down)
    async with client(state, Kept(error=BusUnavailable("down"))) as http:
        # More often than there are readers: each gives its place back.
        paths = [f"/tasks/{TASK}", *[f"/tasks/{TASK}/events"] * (READERS + 1)]
        answers = [await http.get(path) for path in paths]
    assert [(answer.status_code, answer.headers["retry-after"]) for answer in answers] == [(503, "5")] * len(answers)
