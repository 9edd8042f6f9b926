"""The SDK's own client, over both bindings."""

from __future__ import annotations

import asyncio

import pytest
from a2a.client.errors import A2AClientError
from a2a.types.a2a_pb2 import (
    CancelTaskRequest,
    GetExtendedAgentCardRequest,
    GetTaskRequest,
    ListTasksRequest,
    SubscribeToTaskRequest,
    TaskPushNotificationConfig,
    TaskState,
)
from a2a.utils.errors import (
    InvalidParamsError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)

from .conftest import connected, request, served


async def first(stream):
    async for event in stream:
        return event
    raise AssertionError("nothing came")


async def ended(client, task):
    while True:
        found = await client.get_task(GetTaskRequest(id=task))
        if found.status.state not in (TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING):
            return found
        await asyncio.sleep(0.01)


def texts(events):
    said = []
    for event in events:
        kind = event.WhichOneof("payload")
        if kind == "status_update":
            parts = event.status_update.status.message.parts
            said.append(parts[0].text if parts else TaskState.Name(event.status_update.status.state))
        else:
            said.append(kind)
    return said


async def test_a_task_is_sent_and_got(world, binding):
    async with world.working(), served(world.app()) as url, connected(url, binding, streaming=False) as client:
        task = (await first(client.send_message(request("hello", context_id="c1")))).task
        assert task.status.state == TaskState.TASK_STATE_SUBMITTED
        assert task.context_id == "c1"
        task = await ended(client, task.id)
    assert task.status.state == TaskState.TASK_STATE_COMPLETED
    assert [part.text for part in task.artifacts[0].parts] == ["say None"]
    assert [message.parts[0].text for message in task.history] == ["hello", "say None"]
    assert task.metadata["workflow"] == "echo"
    step = task.metadata["steps"][0]
    assert (step["name"], step["state"], step["durationSeconds"], step["inputTokens"]) == ("say", "completed", 0.5, 3)
    assert task.status.HasField("timestamp")


async def test_a_fanned_out_answer_has_a_part_an_item(world, binding):
    async with world.working(), served(world.app()) as url, connected(url, binding, streaming=False) as client:
        task = (await first(client.send_message(request(workflow="fan")))).task
        task = await ended(client, task.id)
    assert [part.text for part in task.artifacts[0].parts] == ["look 0", "look 1"]


async def test_history_length_is_honoured(world, binding):
    async with world.working(), served(world.app()) as url, connected(url, binding, streaming=False) as client:
        task = (await first(client.send_message(request(history_length=0)))).task
        assert not task.history
        await ended(client, task.id)
        assert not (await client.get_task(GetTaskRequest(id=task.id, history_length=0))).history
        one = (await client.get_task(GetTaskRequest(id=task.id, history_length=1))).history
        assert [message.parts[0].text for message in one] == ["say None"]


async def test_a_stream_tells_each_step_and_ends_with_the_answer(world, binding):
    async with world.working(), served(world.app()) as url, connected(url, binding) as client:
        events = [event async for event in client.send_message(request(workflow="research"))]
    said = texts(events)
    assert said[0] == "task"
    assert said[1:-2] == [
        "workflow research began",
        "step plan began",
        "step plan completed after 0.5 s",
        "step look began: 2 items",
        "step look completed after 0.5 s",
        "step sum began",
        "step sum completed after 0.5 s",
    ]
    assert said[-2:] == ["artifact_update", "TASK_STATE_COMPLETED"]
    assert [part.text for part in events[-2].artifact_update.artifact.parts] == ["sum None"]


async def test_a_failed_task_says_why(world, binding):
    world.executor.failing["say"] = "the model is gone"
    async with world.working(), served(world.app()) as url, connected(url, binding) as client:
        events = [event async for event in client.send_message(request())]
    last = events[-1].status_update.status
    assert last.state == TaskState.TASK_STATE_FAILED
    assert last.message.parts[0].text == "step say: the model is gone"
    assert "artifact_update" not in texts(events)


async def test_a_stream_goes_on_at_another_replica(world, binding):
    look, one, two = world.executor.hold("look"), world.handler(), world.handler()
    async with world.working(), served(world.app(two)) as other:
        async with served(world.app(one)) as url, connected(url, binding) as client:
            stream, before = client.send_message(request(workflow="research")), []
            async for event in stream:
                before.append(event)
                if texts([event]) == ["step look began: 2 items"]:
                    await one.stop(5)  # As at SIGTERM.
            assert texts(before)[-1] == "step look began: 2 items"  # It ended, cleanly, and not with the task.
        task = before[0].task.id
        async with connected(other, binding) as client:
            after = []
            async for event in client.subscribe(SubscribeToTaskRequest(id=task)):
                after.append(event)
                look.set()
    assert after[0].task.status.state == TaskState.TASK_STATE_WORKING
    assert after[0].task.metadata["steps"][0]["state"] == "completed"
    assert texts(after)[1:] == [
        "step look completed after 0.5 s",
        "step sum began",
        "step sum completed after 0.5 s",
        "artifact_update",
        "TASK_STATE_COMPLETED",
    ]


async def test_a_lost_notification_only_delays_a_stream(world, binding, monkeypatch):
    put = world.state.put

    async def silent(*args, **options):
        return await put(*args, **{**options, "notify": False})

    monkeypatch.setattr(world.state, "put", silent)
    async with world.working(), served(world.app()) as url, connected(url, binding) as client:
        events = [event async for event in client.send_message(request())]
    assert texts(events)[-1] == "TASK_STATE_COMPLETED"


async def test_a_task_that_ended_cannot_be_subscribed_to_continued_or_canceled(world, binding):
    async with world.working(), served(world.app()) as url, connected(url, binding) as client:
        task = (await first(client.send_message(request()))).task.id
        await ended(client, task)
        with pytest.raises(UnsupportedOperationError):
            await first(client.subscribe(SubscribeToTaskRequest(id=task)))
        with pytest.raises(UnsupportedOperationError):
            await first(client.send_message(request(message_id="m2", task_id=task)))
        with pytest.raises(TaskNotCancelableError):
            await client.cancel_task(CancelTaskRequest(id=task))


async def test_a_running_task_takes_no_further_message(world, binding):
    world.executor.hold("say")
    async with world.working(), served(world.app()) as url, connected(url, binding, streaming=False) as client:
        task = (await first(client.send_message(request()))).task.id
        with pytest.raises(UnsupportedOperationError, match="ask nothing back"):
            await first(client.send_message(request(message_id="m2", task_id=task)))


async def test_a_task_is_canceled(world, binding):
    world.executor.hold("say")
    async with world.working(), served(world.app()) as url, connected(url, binding, streaming=False) as client:
        task = (await first(client.send_message(request()))).task.id
        canceled = await client.cancel_task(CancelTaskRequest(id=task))
    assert canceled.status.state == TaskState.TASK_STATE_CANCELED


async def test_an_unknown_task(world, binding):
    async with served(world.app()) as url, connected(url, binding) as client:
        for task in ("nope", "c1." + "0" * 20):
            with pytest.raises(TaskNotFoundError):
                await client.get_task(GetTaskRequest(id=task))
            with pytest.raises(TaskNotFoundError):
                await client.cancel_task(CancelTaskRequest(id=task))
            with pytest.raises(TaskNotFoundError):
                await first(client.subscribe(SubscribeToTaskRequest(id=task)))
            with pytest.raises(TaskNotFoundError):
                await first(client.send_message(request(task_id=task)))


async def test_the_tasks_of_a_conversation_are_listed_in_pages(world, binding):
    async with world.working(), served(world.app()) as url, connected(url, binding, streaming=False) as client:
        tasks = []
        for number in range(5):
            sent = request(f"number {number}", f"m{number}", context_id="c1")
            tasks.append((await first(client.send_message(sent))).task.id)
            await ended(client, tasks[-1])
        pages, token = [], ""
        while True:
            page = await client.list_tasks(ListTasksRequest(context_id="c1", page_size=2, page_token=token))
            pages.append([task.id for task in page.tasks])
            assert page.total_size == 5
            assert not any(task.artifacts or task.history for task in page.tasks)
            token = page.next_page_token
            if not token:
                break
        full = await client.list_tasks(ListTasksRequest(context_id="c1", include_artifacts=True, history_length=1))
        none = await client.list_tasks(ListTasksRequest(context_id="c1", status=TaskState.TASK_STATE_FAILED))
        other = await client.list_tasks(ListTasksRequest(context_id="c2"))
        with pytest.raises(InvalidParamsError, match="contextId"):
            await client.list_tasks(ListTasksRequest())
        with pytest.raises(InvalidParamsError, match="pageToken"):
            await client.list_tasks(ListTasksRequest(context_id="c1", page_token="x"))
        with pytest.raises(InvalidParamsError):
            await client.list_tasks(ListTasksRequest(context_id="c1", page_size=101))
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [task for page in pages for task in page] == tasks[::-1]
    assert all(task.artifacts and len(task.history) == 1 for task in full.tasks)
    assert not none.tasks
    assert not other.tasks


async def test_the_card(world, binding):
    async with served(world.app()) as url, connected(url, binding) as client:
        card = await client.get_extended_agent_card(GetExtendedAgentCardRequest())
        assert {skill.id for skill in card.skills} == {"echo", "fan", "research"}
        assert [interface.url for interface in card.supported_interfaces] == [url, f"{url}/rpc"]
        assert card.capabilities.streaming
        with pytest.raises((PushNotificationNotSupportedError, A2AClientError)):
            await client.create_task_push_notification_config(TaskPushNotificationConfig(task_id="t", url="http://x"))
