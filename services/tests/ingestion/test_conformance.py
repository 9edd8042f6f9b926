"""Rules of the A2A 1.0 specification that neither its compatibility kit nor the SDK's client looks at, by section."""

from __future__ import annotations

from .test_bad_input import http, message, rpc


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
