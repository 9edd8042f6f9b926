"""Rules of the A2A 1.0 specification that neither its compatibility kit nor the SDK's client looks at, by section."""

from __future__ import annotations

import asyncio
import time

import pytest
from a2a.types.a2a_pb2 import GetTaskRequest, TaskState

from .conftest import connected, request, served
from .test_bad_input import http, message, rpc
from .test_client import first

WAIT = 10.0
"""Seconds: far more than an answer takes, so that whoever waits for it in vain is seen."""


async def send(client, **configuration):
    request_ = request()
    for name, value in configuration.items():
        setattr(request_.configuration, name, value)
    return (await first(client.send_message(request_))).task


async def test_3_2_2_a_call_waits_for_the_end_where_it_may(world, binding):
    gate = world.executor.hold("say")
    handler = world.handler(wait=WAIT)
    async with (
        world.working(),
        served(world.app(handler)) as url,
        connected(url, binding, streaming=False) as client,
    ):
        sent = asyncio.ensure_future(send(client))
        await asyncio.sleep(0.1)
        assert not sent.done()
        gate.set()
        task = await asyncio.wait_for(sent, WAIT / 2)
    assert task.status.state == TaskState.TASK_STATE_COMPLETED
    assert [part.text for part in task.artifacts[0].parts] == ["say None"]
    assert [said.parts[0].text for said in task.history] == ["hello", "say None"]


async def test_3_2_2_a_call_that_asks_for_it_returns_at_once(world):
    world.executor.hold("say")
    handler = world.handler(wait=WAIT)
    async with (
        world.working(),
        served(world.app(handler)) as url,
        connected(url, "JSONRPC", streaming=False) as client,
    ):
        began = time.monotonic()
        task = await send(client, return_immediately=True)
        assert time.monotonic() - began < WAIT / 2
    assert task.status.state in (TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING)


@pytest.mark.parametrize("wait", [0.0, 0.3])
async def test_3_2_2_no_call_waits_longer_than_the_bound(world, wait):
    """The deviation: the task as it stands, not an error, and it goes on. Zero is the default."""
    gate = world.executor.hold("say")
    handler = world.handler(wait=wait) if wait else world.handler()
    async with (
        world.working(),
        served(world.app(handler)) as url,
        connected(url, "HTTP+JSON", streaming=False) as client,
    ):
        began = time.monotonic()
        task = await send(client)
        assert wait <= time.monotonic() - began < wait + 2
        assert task.status.state in (TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING)
        gate.set()
        while task.status.state != TaskState.TASK_STATE_COMPLETED:
            await asyncio.sleep(0.01)
            task = await client.get_task(GetTaskRequest(id=task.id))


async def test_3_2_2_a_process_that_stops_lets_waiting_calls_go(world):
    world.executor.hold("say")
    handler = world.handler(wait=WAIT)
    async with world.working(), http(world.app(handler)) as client:
        sent = asyncio.ensure_future(client.post("/message:send", json=message()))
        await asyncio.sleep(0.1)
        await handler.stop(1)
        response = await asyncio.wait_for(sent, WAIT / 2)
    assert response.status_code == 200
    assert response.json()["task"]["status"]["state"] in ("TASK_STATE_SUBMITTED", "TASK_STATE_WORKING")


async def test_3_1_1_a_part_that_is_no_text_is_no_supported_content(world):
    """The kit sends one, but takes the refusal that the section wants for a failure."""
    content = message(parts=[{"raw": "dGNr", "mediaType": "application/x-other"}])
    async with http(world.app()) as client:
        response = await client.post("/message:send", json=content)
        assert response.status_code == 400
        assert response.json()["error"]["details"][0]["reason"] == "CONTENT_TYPE_NOT_SUPPORTED"
        response = await client.post("/rpc", json=rpc(content))
        assert response.json()["error"]["code"] == -32005


async def test_3_3_4_an_extended_card_that_the_card_does_not_promise_is_unsupported(world):
    """Not ExtendedAgentCardNotConfiguredError, which is for an agent that promised one."""
    async with http(world.app()) as client:
        response = await client.get("/extendedAgentCard")
        assert response.status_code == 400
        assert response.json()["error"]["details"][0]["reason"] == "UNSUPPORTED_OPERATION"
        response = await client.post("/rpc", json=rpc({}, "GetExtendedAgentCard"))
        assert response.json()["error"]["code"] == -32004


async def test_3_4_3_a_context_that_is_not_the_tasks_is_refused(world):
    async with http(world.app()) as client:
        task = (await client.post("/message:send", json=message(contextId="c1"))).json()["task"]["id"]
        content = message(messageId="m2", taskId=task, contextId="c2")
        assert (await client.post("/message:send", json=content)).status_code == 400
        assert not (await client.get("/tasks?contextId=c2")).json()["tasks"]


async def test_3_6_1_the_version_may_be_a_request_parameter(world):
    async with http(world.app()) as client:
        del client.headers["A2A-Version"]
        response = await client.post("/message:send?A2A-Version=1.0", json=message(contextId="c1"))
        assert response.status_code == 200
        response = await client.get("/tasks", params={"contextId": "c1", "A2A-Version": "1.0"})
        assert len(response.json()["tasks"]) == 1
        response = await client.post("/rpc?A2A-Version=1.0", json=rpc({"contextId": "c1"}, "ListTasks"))
        assert len(response.json()["result"]["tasks"]) == 1
        # The header is what counts where both are there.
        response = await client.get("/tasks?contextId=c1&A2A-Version=1.0", headers={"A2A-Version": "0.3"})
        assert response.status_code == 400


async def test_3_6_a_patch_version_makes_no_difference(world):
    async with http(world.app()) as client:
        assert (await client.get("/tasks?contextId=c1", headers={"A2A-Version": "1.0.1"})).status_code == 200


async def test_8_6_1_the_card_may_be_kept_and_asked_for_again(world):
    path = "/.well-known/agent-card.json"
    async with http(world.app()) as client:
        response = await client.get(path)
        assert response.headers["cache-control"] == "private, max-age=60"
        again = await client.get(path, headers={"If-None-Match": response.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        other = await client.get(path, headers={"If-None-Match": response.headers["etag"], "Host": "other"})
        assert other.status_code == 200
