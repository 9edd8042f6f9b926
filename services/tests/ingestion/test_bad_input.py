"""What comes in wrong: the right status, one line in the log, and nothing of the content in it."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from structlog.testing import capture_logs

from agentstack_services.domain.ids import conversation_of_message, task_of_message

from .conftest import served

HEADERS = {"A2A-Version": "1.0", "Content-Type": "application/json"}
SECRET = "zebra-9431"
"""Stands in whatever is sent, and must never be logged."""


@pytest.fixture(autouse=True)
def nothing_else_is_logged(caplog):
    """Neither the SDK nor the server writes of it."""
    yield
    assert not [record for record in caplog.get_records("call") if record.exc_info or SECRET in record.getMessage()]


def message(**changes):
    content = {"messageId": "m1", "role": "ROLE_USER", "parts": [{"text": SECRET}]}
    return {"message": {**content, **changes}}


def rpc(params, method="SendMessage", **changes):
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params, **changes}


def http(app) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url="http://agent", headers=HEADERS)


async def post(world, path, content, headers=None, **options):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    with capture_logs() as lines:
        async with http(world.app(world.handler(**options.pop("handler", {})), **options)) as client:
            response = await client.post(path, content=body, headers=headers)
    return response, [line for line in lines if line["event"] != "workflows loaded"]


def refused(lines):
    """One line, and nothing of what was sent."""
    assert len(lines) == 1, lines
    assert lines[0]["event"] == "request refused"
    assert SECRET not in json.dumps(lines)


DEEP = b'{"message": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}"
RECURSIVE = b"[" * 100_000


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        pytest.param(b"", 400, "INVALID_REQUEST", id="empty"),
        pytest.param(SECRET.encode(), 400, "INVALID_REQUEST", id="no-json"),
        pytest.param(b'{"message": {', 400, "INVALID_REQUEST", id="half-json"),
        pytest.param(b"[]", 400, "INVALID_PARAMS", id="list"),
        pytest.param(b"7", 400, "INVALID_REQUEST", id="number"),
        pytest.param(b"null", 400, "INVALID_REQUEST", id="null"),
        pytest.param({"message": SECRET}, 400, "INVALID_PARAMS", id="text-for-message"),
        pytest.param({"message": [1]}, 400, "INVALID_REQUEST", id="list-for-message"),
        pytest.param(message(parts=SECRET), 400, "INVALID_REQUEST", id="text-for-parts"),
        pytest.param(message(parts=[{"text": {"a": SECRET}}]), 400, "INVALID_REQUEST", id="object-for-text"),
        pytest.param(message(parts=[{"text": "\ud800"}]), 400, "INVALID_REQUEST", id="surrogate"),
        pytest.param(message(messageId=7), 400, "INVALID_REQUEST", id="number-for-id"),
        pytest.param(message(role="ROLE_AGENT"), 400, "INVALID_PARAMS", id="agent"),
        pytest.param(message(role=SECRET), 400, "INVALID_PARAMS", id="no-role"),
        pytest.param(message(parts=[]), 400, "INVALID_PARAMS", id="no-parts"),
        pytest.param(message(parts=[{"text": " \n"}]), 400, "INVALID_PARAMS", id="blank"),
        pytest.param(message(messageId=""), 400, "INVALID_PARAMS", id="no-id"),
        pytest.param(message(messageId="x" * 201), 400, "INVALID_PARAMS", id="long-id"),
        pytest.param(message(messageId="a\x00b"), 400, "INVALID_PARAMS", id="nul-in-id"),
        pytest.param(message(contextId="../" + SECRET), 400, "INVALID_PARAMS", id="path-for-context"),
        pytest.param(message(contextId="c" * 101), 400, "INVALID_PARAMS", id="long-context"),
        pytest.param(message(contextId="c\n"), 400, "INVALID_PARAMS", id="newline-in-context"),
        pytest.param(message(parts=[{"url": "http://x/" + SECRET}]), 400, "CONTENT_TYPE_NOT_SUPPORTED", id="url"),
        pytest.param(message(parts=[{"raw": "AAAA"}]), 400, "CONTENT_TYPE_NOT_SUPPORTED", id="raw"),
        pytest.param(message(parts=[{"data": {"a": 1}}]), 400, "CONTENT_TYPE_NOT_SUPPORTED", id="data"),
        pytest.param(message(metadata={"workflow": "ehco"}), 400, "INVALID_PARAMS", id="unknown-workflow"),
        pytest.param(message(metadata={"workflow": 7}), 400, "INVALID_PARAMS", id="number-for-workflow"),
        pytest.param(message(metadata={"workflow": None}), 400, "INVALID_PARAMS", id="null-for-workflow"),
        pytest.param(message(parts=[{"text": "x" * 300_000}]), 400, "INVALID_PARAMS", id="long-text"),
        pytest.param(message(parts=[{"text": "x" + "\x01" * 50_000}]), 400, "INVALID_PARAMS", id="long-when-escaped"),
        pytest.param(message(taskId=SECRET), 404, "TASK_NOT_FOUND", id="unknown-task"),
        pytest.param(
            {**message(), "configuration": {"historyLength": -1}}, 400, "INVALID_PARAMS", id="negative-history"
        ),
        pytest.param(
            {**message(), "configuration": {"taskPushNotificationConfig": {"url": "http://x"}}},
            400,
            "PUSH_NOTIFICATION_NOT_SUPPORTED",
            id="push",
        ),
    ],
)
@pytest.mark.parametrize("path", ["/message:send", "/message:stream"])
async def test_a_message_that_a2a_refuses(world, path, content, status, reason):
    response, lines = await post(world, path, content)
    error = response.json()["error"]
    assert (response.status_code, error["details"][0]["reason"]) == (status, reason)
    refused(lines)
    assert not await world.state.messages(conversation_of_message("m1"))


@pytest.mark.parametrize(
    ("content", "status"),
    [
        pytest.param(DEEP, 400, id="deep"),
        pytest.param(RECURSIVE, 400, id="recursive"),
        pytest.param(message(metadata={"a": json.loads("[" * 70 + "]" * 70)}), 400, id="a-little-deep"),
        pytest.param(b'{"message": "\xff\xfe"}', 400, id="not-utf-8"),
        pytest.param(b'{"id": ' + b"7" * 5000 + b"}", 400, id="long-number"),
        pytest.param(b" " * (1024 * 1024 + 1), 413, id="oversized"),
    ],
)
@pytest.mark.parametrize("path", ["/message:send", "/message:stream", "/rpc"])
async def test_a_body_that_nobody_reads(world, path, content, status):
    response, lines = await post(world, path, content)
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, response.json()["status"]) == (status, status)
    refused(lines)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
@pytest.mark.parametrize("path", ["/message:send", "/rpc"])
async def test_another_content_type(world, path, media_type):
    response, lines = await post(world, path, message(), {"Content-Type": media_type})
    assert response.status_code == 415
    refused(lines)


@pytest.mark.parametrize("version", ["", "0.3", "2.0", SECRET])
async def test_another_version(world, version):
    response, lines = await post(world, "/message:send", message(), {"A2A-Version": version})
    assert response.json()["error"]["details"][0]["reason"] == "VERSION_NOT_SUPPORTED"
    refused(lines)
    response, lines = await post(world, "/rpc", rpc(message()), {"A2A-Version": version})
    assert response.json()["error"]["code"] == -32009
    refused(lines)


@pytest.mark.parametrize("version", ["", "0.3", "2.0", "%E2%88%9E", "1.0%0D%0AX-Other: 1", SECRET])
async def test_another_version_in_the_query(world, version):
    async with http(world.app()) as client:
        del client.headers["A2A-Version"]
        response = await client.get(f"/tasks?contextId=c1&A2A-Version={version}")
        assert response.json()["error"]["details"][0]["reason"] == "VERSION_NOT_SUPPORTED"
        response = await client.post(f"/rpc?A2A-Version={version}", json=rpc({"contextId": "c1"}, "ListTasks"))
        assert response.json()["error"]["code"] == -32009


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(b"", -32700, id="empty"),
        pytest.param(SECRET.encode(), -32700, id="no-json"),
        pytest.param([], -32600, id="no-requests"),
        pytest.param([rpc(message())], -32600, id="batch"),
        pytest.param(SECRET, -32600, id="text"),
        pytest.param(7, -32600, id="number"),
        pytest.param(rpc(message(), jsonrpc="1.0"), -32600, id="version"),
        pytest.param(rpc(message(), id=True), -32600, id="truth-for-id"),
        pytest.param(rpc(message(), method=7), -32600, id="number-for-method"),
        pytest.param(rpc(message(), method=SECRET), -32601, id="unknown-method"),
        pytest.param(rpc(SECRET), -32600, id="text-for-params"),
        pytest.param(rpc([SECRET]), -32602, id="list-for-params"),
        pytest.param(rpc({"message": SECRET}), -32602, id="text-for-message"),
        pytest.param(rpc(message(metadata={"workflow": SECRET})), -32602, id="unknown-workflow"),
        pytest.param(rpc({"id": SECRET}, "GetTask"), -32001, id="unknown-task"),
        pytest.param(rpc({"id": SECRET}, "SubscribeToTask"), -32001, id="unknown-task-to-subscribe"),
        pytest.param(rpc({"contextId": "../" + SECRET}, "ListTasks"), -32602, id="path-for-context"),
    ],
)
async def test_json_rpc_that_is_refused(world, content, code):
    response, lines = await post(world, "/rpc", content)
    assert response.json()["error"]["code"] == code
    refused(lines)


async def test_an_unknown_workflow_is_answered_with_the_nearest_and_the_list(world):
    response, _ = await post(world, "/message:send", message(metadata={"workflow": "ehco"}))
    assert "did you mean echo? known are: echo, fan, research" in response.json()["error"]["message"]


async def test_without_a_default_the_workflow_has_to_be_named(world):
    response, _ = await post(world, "/message:send", message(), handler={"default_workflow": None})
    assert response.status_code == 400
    assert "known are: echo, fan, research" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/tasks/", 404),
        ("GET", "/tasks/../etc/passwd", 404),
        ("GET", "/tasks/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/tenant/tasks/x", 404),
        ("GET", "//tasks/x", 404),
        ("GET", "/tasks/%00", 404),
        ("GET", "/tasks/c1%00." + "0" * 20, 404),
        ("GET", "/tasks/c1%0a." + "0" * 20, 404),
        ("GET", "/tasks/%2e%2e." + "0" * 20, 404),
        ("GET", "/tasks/" + "x" * 8000, 404),
        ("GET", "/tasks/" + "x" * 8000 + "." + "0" * 20, 404),
        ("GET", "/tasks/{a}:*." + "0" * 20, 404),
        ("POST", "/tasks/x:cancel", 404),
        ("POST", "/tasks/x:explode", 405),
        ("POST", "/tasks/..:subscribe", 404),
        ("GET", "/message:send", 405),
        ("DELETE", "/tasks/x", 405),
        ("PUT", "/rpc", 405),
        ("GET", "/tasks", 400),
        ("GET", "/tasks?contextId=../x", 400),
        ("GET", "/tasks?contextId=c1&pageSize=many", 400),
        ("GET", "/tasks?contextId=c1&pageSize=0", 400),
        ("GET", "/tasks?contextId=c1&pageSize=99999999999999999999", 400),
        ("GET", "/tasks?contextId=c1&statusTimestampAfter=yesterday", 400),
        ("GET", "/tasks/x?historyLength=-1", 400),
        ("GET", "/tasks/x/pushNotificationConfigs/y", 400),
        ("GET", "/extendedAgentCard", 400),
    ],
)
async def test_a_path_that_leads_nowhere(world, method, path, status):
    with capture_logs() as lines:
        async with served(world.app()) as url:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            # By hand: httpx puts paths in order before it sends them.
            head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nA2A-Version: 1.0\r\nConnection: close\r\n\r\n"
            writer.write(head.encode())
            answer, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
    assert int(answer.split()[1]) == status
    assert b"problem+json" in answer or "error" in json.loads(body)
    refused(lines)


async def test_the_same_message_many_times_at_once_is_one_task(world):
    app = world.app()
    async with world.working(), http(app) as client:
        sent = [client.post("/message:send", json=message(contextId="c1")) for _ in range(20)]
        answers = await asyncio.gather(*sent)
        assert {answer.json()["task"]["id"] for answer in answers} == {task_of_message("c1", "m1")}
        for _ in range(500):
            task = (await client.get(f"/tasks/{task_of_message('c1', 'm1')}")).json()
            if task["status"]["state"] == "TASK_STATE_COMPLETED":
                break
            await asyncio.sleep(0.01)
        again = (await client.post("/message:send", json=message(contextId="c1"))).json()["task"]
    assert again["status"]["state"] == "TASK_STATE_COMPLETED"
    assert again["artifacts"]
    said = await world.state.messages("c1")
    assert [entry["role"] for entry in said] == ["user", "agent"]


@pytest.mark.parametrize("host", ["", "a b", "x/../y", "x@y", "<script>", "x:port"])
async def test_a_host_that_is_none_gets_no_card(world, host):
    async with http(world.app()) as client:
        response = await client.get("/.well-known/agent-card.json", headers={"Host": host})
    assert response.status_code == 400


async def test_the_card_names_the_public_url(world):
    async with http(world.app(public_url="https://agents.example/")) as client:
        card = (await client.get("/.well-known/agent-card.json")).json()
    assert card["supportedInterfaces"][1]["url"] == "https://agents.example/rpc"
    async with http(world.app()) as client:
        forwarded = {"X-Forwarded-Proto": "https", "Host": "gate:8443"}
        card = (await client.get("/.well-known/agent-card.json", headers=forwarded)).json()
    assert card["supportedInterfaces"][0]["url"] == "https://gate:8443"
