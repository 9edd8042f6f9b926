"""What is refused though nothing is wrong with it, and what goes on while something is down."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import timedelta

import httpx
import pytest
from a2a.types.a2a_pb2 import GetTaskRequest, TaskState
from structlog.testing import capture_logs

from agentstack_runtime.bus import Reject
from agentstack_runtime.bus import Unavailable as BusUnavailable
from agentstack_runtime.lifecycle import edge as around
from agentstack_runtime.state import Unavailable as StateUnavailable
from agentstack_services.domain.ids import task_name, task_of_message
from agentstack_services.domain.messages import now
from agentstack_services.state_manager.projection import TaskView

from .conftest import connected, request, served
from .test_bad_input import http, message, rpc
from .test_client import first, texts

TASK = task_of_message("c1", "m1")


def break_down(monkeypatch, thing, error, *names):
    async def down(*args, **options):
        raise error("down")

    for name in names:
        monkeypatch.setattr(thing, name, down)


def kafka_down(world, monkeypatch):
    break_down(monkeypatch, world.bus, BusUnavailable, "publish")


def redis_down(world, monkeypatch, *names):
    break_down(monkeypatch, world.state, StateUnavailable, *names or ("append", "get", "put", "messages"))


def published(world, monkeypatch):
    """All that is published from now on."""
    sent, publish = [], world.bus.publish

    async def note(topic, *messages):
        sent.extend((topic, message) for message in messages)
        await publish(topic, *messages)

    monkeypatch.setattr(world.bus, "publish", note)
    return sent


@pytest.mark.parametrize("path", ["/message:send", "/message:stream"])
async def test_nothing_is_accepted_while_kafka_is_down(world, monkeypatch, path):
    kafka_down(world, monkeypatch)
    async with http(world.app()) as client:
        response = await client.post(path, json=message(contextId="c1"))
    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    assert response.headers["content-type"] == "application/problem+json"
    assert not await world.state.messages("c1")
    assert await world.state.get("c1", task_name(TASK)) is None


@pytest.mark.parametrize("method", ["SendMessage", "SendStreamingMessage"])
async def test_json_rpc_says_so_in_its_own_way(world, monkeypatch, method):
    kafka_down(world, monkeypatch)
    async with http(world.app()) as client:
        response = await client.post("/rpc", json=rpc(message(), method))
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert response.json()["error"]["message"] == "Kafka does not answer; send the same again, with the same messageId"
    assert response.json()["id"] == 1


async def test_a_bus_that_hangs_is_waited_for_no_longer_than_a_request_may_take(world, monkeypatch):
    async def hang(*args):
        await asyncio.Event().wait()

    monkeypatch.setattr(world.bus, "publish", hang)
    async with http(world.app(world.handler(request_timeout=0.05))) as client:
        response = await client.post("/message:send", json=message())
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")


async def test_a_message_is_accepted_while_redis_is_down(world, monkeypatch):
    sent = published(world, monkeypatch)
    redis_down(world, monkeypatch)
    async with http(world.app()) as client:
        response = await client.post("/message:send", json=message(contextId="c1"))
        assert response.json()["task"]["status"]["state"] == "TASK_STATE_SUBMITTED"
        assert [event.id for _, event in sent] == [f"{TASK}:submitted"]
        for path in (f"/tasks/{TASK}", "/tasks?contextId=c1"):
            response = await client.get(path)
            assert (response.status_code, response.headers["retry-after"]) == (503, "5")


class Unreachable:
    """The state, as one pod sees it that cannot reach Redis while `down`."""

    def __init__(self, state) -> None:
        self.state, self.down = state, True

    def __getattr__(self, name):
        if self.down:
            raise StateUnavailable("down")
        return getattr(self.state, name)


async def test_a_stream_outlives_redis(world):
    """Its task is taken in while Redis is down; it goes on as soon as that is back, whatever was missed."""
    state = Unreachable(world.state)
    async with (
        world.working(),
        served(world.app(world.handler(state))) as url,
        connected(url, "HTTP+JSON") as client,
    ):
        stream = client.send_message(request())
        events = [await anext(stream)]
        state.down = False
        events += [event async for event in stream]
    assert texts(events) == [
        "task",
        "workflow echo began",
        "step say began",
        "step say completed after 0.5 s",
        "artifact_update",
        "TASK_STATE_COMPLETED",
    ]


async def test_a_message_is_published_before_it_is_shown(world, monkeypatch):
    order, publish, append = [], world.bus.publish, world.state.append

    async def note_publish(*args):
        order.append("publish")
        await publish(*args)

    async def note_append(*args, **options):
        order.append("append")
        return await append(*args, **options)

    monkeypatch.setattr(world.bus, "publish", note_publish)
    monkeypatch.setattr(world.state, "append", note_append)
    async with http(world.app()) as client:
        await client.post("/message:send", json=message())
    assert order == ["publish", "append"]


async def test_a_repeated_message_is_published_again_only_while_nobody_took_it(world, monkeypatch):
    sent = published(world, monkeypatch)
    async with http(world.app()) as client:
        for _ in range(2):
            await client.post("/message:send", json=message(contextId="c1"))
        assert [event.id for _, event in sent] == [f"{TASK}:submitted"] * 2
        working = TaskView(task=TASK, conversation="c1", state="working")
        saved = await world.state.get("c1", task_name(TASK))
        await world.state.put("c1", task_name(TASK), working.model_dump(mode="json"), expected=saved.version)
        response = await client.post("/message:send", json=message(contextId="c1"))
    assert response.json()["task"]["status"]["state"] == "TASK_STATE_WORKING"
    assert len(sent) == 2


async def test_the_trail_of_a_request_goes_on_in_its_event(world, monkeypatch):
    sent = published(world, monkeypatch)
    traceparent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"

    async def ready():
        return {}

    async with http(around.Edge(world.app(), ready)) as client:
        headers = {"X-Request-Id": "r-1", "traceparent": traceparent}
        await client.post("/message:send", json=message(), headers=headers)
        await client.post("/message:send", json=message(messageId="m2"), headers={"X-Request-Id": "\x00 " * 99})
    assert (sent[0][1].correlation_id, sent[0][1].traceparent, sent[0][1].source) == ("r-1", traceparent, "ingestion")
    assert len(sent[1][1].correlation_id) == 36


async def test_a_task_whose_time_is_over_is_said_to_be(world, monkeypatch):
    sent = published(world, monkeypatch)
    times = {"late": now() - timedelta(seconds=31), "soon": now() - timedelta(seconds=29)}
    tasks = {name: task_of_message("c1", name) for name in times}
    for name, task in tasks.items():
        view = TaskView(task=task, conversation="c1", state="working", deadline=times[name])
        await world.state.put("c1", task_name(task), view.model_dump(mode="json"))
    async with http(world.app()) as client:
        for task in tasks.values():
            assert (await client.get(f"/tasks/{task}")).status_code == 200
    assert [(topic, event.id) for topic, event in sent] == [("events", f"{tasks['late']}:expired")]


async def test_a_stream_of_a_task_whose_time_is_over_ends(world):
    world.executor.hold("say")
    handler = world.handler(clock=lambda: now() + timedelta(hours=1))
    async with world.working(), served(world.app(handler)) as url, connected(url, "HTTP+JSON") as client:
        events = [event async for event in client.send_message(request())]
    last = events[-1].status_update.status
    assert (last.state, last.message.parts[0].text) == (
        TaskState.TASK_STATE_FAILED,
        "the workflow's time is over",
    )


async def test_beyond_the_bound_requests_are_refused(world, monkeypatch):
    go, publish = asyncio.Event(), world.bus.publish

    async def wait(*args):
        await go.wait()
        await publish(*args)

    monkeypatch.setattr(world.bus, "publish", wait)
    with capture_logs() as lines:
        async with http(world.app(queue_bound=2)) as client:
            sent = [client.post("/message:send", json=message(messageId=f"m{number}")) for number in (1, 2)]
            held = [asyncio.ensure_future(one) for one in sent]
            await asyncio.sleep(0.05)
            rest = await client.post("/message:send", json=message(messageId="m3"))
            json_rpc = await client.post("/rpc", json=rpc(message(messageId="m4")))
            go.set()
            assert [answer.status_code for answer in await asyncio.gather(*held)] == [200, 200]
            assert (await client.post("/message:send", json=message(messageId="m3"))).status_code == 200
    assert (rest.status_code, rest.headers["retry-after"]) == (503, "1")
    assert rest.headers["content-type"] == "application/problem+json"
    assert (json_rpc.status_code, json_rpc.headers["retry-after"]) == (503, "1")
    assert json_rpc.json()["error"]["code"] == -32603
    assert [line["status"] for line in lines if line["event"] == "request refused"] == [503, 503]


async def test_streams_are_bounded_and_count_no_longer_than_they_last(world):
    world.executor.hold("say")
    handler = world.handler(streams=1)
    async with world.working(), served(world.app(handler, queue_bound=1)) as url, httpx.AsyncClient() as client:
        headers = {"A2A-Version": "1.0"}

        async def open_stream(stack, number):
            sent = message(messageId=f"m{number}", contextId=f"c{number}")
            return await stack.enter_async_context(
                client.stream("POST", f"{url}/message:stream", json=sent, headers=headers)
            )

        async with contextlib.AsyncExitStack() as stack:
            assert (await open_stream(stack, 1)).status_code == 200
            second = await open_stream(stack, 2)
            assert (second.status_code, second.headers["retry-after"]) == (503, "1")
            await second.aread()
            assert await world.state.get("c2", task_name(task_of_message("c2", "m2"))) is None
        async with contextlib.AsyncExitStack() as stack:  # The first client went away.
            for _ in range(100):
                third = await open_stream(stack, 3)
                if third.status_code == 200:
                    break
                await asyncio.sleep(0.02)
            assert third.status_code == 200


async def test_no_stream_begins_in_a_process_that_stops(world):
    handler = world.handler()
    await handler.stop(1)
    async with http(world.app(handler)) as client:
        assert (await client.post("/message:stream", json=message())).status_code == 503
        assert (await client.post("/message:send", json=message())).status_code == 200


async def test_a_mistake_of_ours_is_logged_in_one_line_without_content(world, monkeypatch):
    async def broken(*args, **options):
        raise KeyError("zebra-9431")

    monkeypatch.setattr(world.bus, "publish", broken)
    for path, content in (("/message:send", message()), ("/rpc", rpc(message()))):
        with capture_logs() as lines:
            async with http(world.app()) as client:
                response = await client.post(path, json=content)
        assert "zebra" not in response.text
        failed = [line for line in lines if line["event"] == "request failed"]
        assert [(line["error"], line["where"].partition(":")[0]) for line in failed] == [
            ("KeyError", "test_refusals.py")
        ]
        assert "zebra" not in json.dumps(lines)


async def test_a_message_that_the_bus_never_takes(world, monkeypatch):
    break_down(monkeypatch, world.bus, Reject, "publish")
    async with http(world.app()) as client:
        response = await client.post("/message:send", json=message())
    assert response.json()["error"]["details"][0]["reason"] == "INVALID_PARAMS"


async def test_cancel_answers_with_the_task_as_it_stands_where_nobody_works(world, monkeypatch):
    monkeypatch.setattr("agentstack_services.ingestion.handler.CANCEL_WAIT", 0.1)
    sent = published(world, monkeypatch)
    async with http(world.app()) as client:
        await client.post("/message:send", json=message(contextId="c1"))
        response = await client.post(f"/tasks/{TASK}:cancel")
    assert response.json()["status"]["state"] == "TASK_STATE_SUBMITTED"
    assert sent[-1][1].id == f"{TASK}:cancel-requested"


async def test_a_client_that_polls_sees_the_end(world):
    async with world.working(), served(world.app()) as url, connected(url, "JSONRPC", streaming=False) as client:
        task = (await first(client.send_message(request(workflow="research")))).task
        while task.status.state != TaskState.TASK_STATE_COMPLETED:
            await asyncio.sleep(0.01)
            task = await client.get_task(GetTaskRequest(id=task.id))
    assert [step["state"] for step in task.metadata["steps"]] == ["completed"] * 3
