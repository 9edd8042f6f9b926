"""How the workflows reach the agents that use them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pulumi

from components.agent.component import build as build_agents
from components.context import Context
from components.workflows.component import build
from settings import AgentSettings, Fleet, InferenceSettings, KafkaSettings, Settings, TopicSettings, Workflow

from .conftest import Recorder

Render = Callable[[Callable[[], object]], Recorder]


def settings(prompt: str = "${input}", uses: tuple[str, ...] = ("workflows",), **other: AgentSettings) -> Settings:
    reader = AgentSettings(image="x/y:1", uses=uses, produces=("tasks",))
    doer = AgentSettings.model_validate(
        {"image": "x/y:1", "consumes": ["tasks"], "inference": {}, "shutdown": {"longestTask": "5m"}}
    )
    workflow = Workflow.model_validate({"steps": {"a": {"model": {"prompt": prompt}}}})
    return Settings(
        agents={"reader": reader, "doer": doer, **other},
        workflows={"w": workflow},
        inference=InferenceSettings(backend="echo"),
        kafka=KafkaSettings(topics={"tasks": TopicSettings()}),
    )


def built(render: Render, given: Settings) -> dict[tuple[str, str], dict[str, Any]]:
    """The workflows and the agents, in an environment where everything else is there."""

    def program() -> None:
        from components.connection import Connection

        context = Context(agents=given.agents)
        opts = pulumi.ResourceOptions()
        offer = build(given, context, opts)
        context = context.extended("workflows", offer)
        others = {part: dict.fromkeys(given.agents, Connection()) for part in ("kafka", "inference")}
        context = Context(agents=given.agents, connections={**others, **context.connections})
        build_agents(given, context, opts)

    return render(program).seen


def test_they_are_files_of_the_agents_that_use_them(render: Render) -> None:
    seen = built(render, settings())
    held = seen["ConfigMap", "workflows"]
    assert held["metadata"]["namespace"] == "agents"
    assert json.loads(held["data"]["w.json"])["steps"]["a"]["model"] == {"prompt": "${input}"}
    assert seen["ConfigMap", "reader"]["data"]["WORKFLOWS_DIR"] == "/etc/agent/workflows"
    assert "WORKFLOWS_DIR" not in seen["ConfigMap", "doer"]["data"]
    pod = seen["Deployment", "reader"]["spec"]["template"]["spec"]
    assert {"name": "workflows", "configMap": {"name": "workflows"}} in pod["volumes"]
    assert {"name": "workflows", "mountPath": "/etc/agent/workflows", "readOnly": True} in (
        pod["containers"][0]["volumeMounts"]
    )
    others = seen["Deployment", "doer"]["spec"]["template"]["spec"]["volumes"]
    assert [volume["name"] for volume in others] == ["scratch"]


def test_a_changed_one_replaces_no_pod(render: Render) -> None:
    before, after = built(render, settings()), built(render, settings("Say it again: ${input}"))
    assert before["ConfigMap", "workflows"] != after["ConfigMap", "workflows"]
    assert before["Deployment", "reader"] == after["Deployment", "reader"]


def test_without_a_user_there_is_no_object(render: Render) -> None:
    assert ("ConfigMap", "workflows") not in built(render, settings(uses=()))


def test_the_pods_of_a_fleet_may_mount_them(render: Render) -> None:
    fleet = AgentSettings(image="x/y:1", kind="fleet", fleet=Fleet(devices=("a",)), uses=("workflows",))
    seen = built(render, settings(devices=fleet))
    rules = json.dumps(seen["ValidatingAdmissionPolicy", "devices-fleet"])
    assert 'one.configMap.name in [\\"workflows\\"]' in rules


def test_with_reload_file_the_folder_is_named_in_a_file(render: Render) -> None:
    given = settings(watcher=AgentSettings(image="x/y:1", uses=("workflows",), reload="file"))
    seen = built(render, given)
    assert seen["ConfigMap", "watcher"]["data"]["WORKFLOWS_DIR"] == "/etc/agent/workflows"
    mounts = seen["Deployment", "watcher"]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert [mount["mountPath"] for mount in mounts] == ["/tmp", "/etc/agent/workflows", "/etc/agent/config"]
