"""Workflows: what is written in `workflows/*.yaml`, what is refused there, and what becomes of the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from agentstack.rendering.environment import Environment
from settings import Settings, SettingsError, Workflow
from settings.errors import problems
from settings.stack import load
from settings.workflows import WorkflowFile
from settings.workflows.compiled import compiled, document
from settings.workflows.references import filled, references

ROOT = Path(__file__).parents[2]
ASK = {"model": {"prompt": "${input}"}}


def mistakes(content: dict[str, Any]) -> list[str]:
    try:
        Workflow.model_validate(content)
    except ValidationError as error:
        return [str(problem) for problem in problems(error, Workflow)]
    return []


def of_steps(**steps: Any) -> list[str]:
    return mistakes({"timeout": "1d", "steps": {name.replace("_", "-"): step for name, step in steps.items()}})


def project(tmp_path: Path, workflow: str, **executor: Any) -> Environment:
    """An environment with the orchestrator, an executor and one workflow."""
    agents = {
        "orchestrator": {"uses": ["redis", "workflows"], "consumes": ["results"], "produces": ["tasks"]},
        "executor": {
            "consumes": ["tasks"],
            "produces": ["results"],
            "inference": {},
            "shutdown": {"longestTask": "10m"},
            **executor,
        },
        "helper": {},
    }
    files = {f"agents/{name}.yaml": {"name": name, "image": "x/y:1", **agent} for name, agent in agents.items()}
    config = {
        "agentstack:platform": {"safeguards": {"requireSecrets": False}},
        "agentstack:kafka": {"topics": {"tasks": {}, "results": {}, "slow-tasks": {}}},
        "agentstack:inference": {"backend": "echo"},
    }
    files |= {"Pulumi.yaml": {"name": "agentstack"}, "Pulumi.test.yaml": {"config": config}}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(yaml.safe_dump(content))
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows" / "w.yaml").write_text(workflow)
    return Environment.find(tmp_path, "test")


def refused(environment: Environment, **sections: Any) -> list[str]:
    with pytest.raises(SettingsError) as error:
        environment.settings(**sections)
    return str(error.value).replace(f"{environment.project}/", "").splitlines()


# Texts and references


def test_references_are_found_and_escaped_ones_are_not() -> None:
    text = "a ${input}, ${look-up} and ${input}; $${item} stays, as do $x, {y} and $"
    assert list(references(text)) == ["input", "look-up", "input"]
    assert filled(text, "*") == "a *, * and *; ${item} stays, as do $x, {y} and $"


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a ${input", "a reference is not closed: write `${NAME}`, or `$${` for a plain `${`"),
        ("${ input }", "a reference has spaces within: write `${input}`"),
        ("use sk-abcdefghijklmnopqrstuvwxyz", "looks like a secret in plain text: remove it"),
        ("", "string should have at least 1 character"),
        (3, "must be text"),
    ],
)
def test_a_text_is_well_formed(prompt: Any, message: str) -> None:
    (found,) = of_steps(a={"model": {"prompt": prompt}})
    assert found.startswith(f"steps.a.model.prompt: {message}")
    assert "abcdefgh" not in found


# One step


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({}, "steps.a: nothing does it: write one of `model`, `agent`, `http` and `code`"),
        (
            ASK | {"code": {"function": "f"}},
            "steps.a.code: `model` does the step already: remove it, or make it a step of its own",
        ),
        (ASK | {"limit": 3}, "steps.a.limit: a text is no list: write `output: lines`, or remove it"),
        ({"model": {"prompt": "${item}"}}, "steps.a.model.prompt: there is no `${item}` without `forEach`"),
        (ASK | {"otput": "json"}, "steps.a.otput: unknown key `otput`, did you mean `output`?"),
        (ASK | {"output": "line"}, "steps.a.output: unknown value `line`, did you mean `lines`?"),
        (ASK | {"timeout": "1"}, "steps.a.timeout: `1` is not a duration"),
        (ASK | {"retries": {"max": 30}}, "steps.a.retries.max: 30 is above the maximum of 20"),
        (ASK | {"output": "lines", "limit": 101}, "steps.a.limit: 101 is above the maximum of 100"),
        ({"code": {"function": "rm -rf"}}, "steps.a.code.function: `rm -rf` is not the name of a function"),
        ({"agent": {"name": "b"}}, "steps.a.agent.message: is missing: add it"),
        ({"http": {"url": "ftp://x"}}, "steps.a.http.url: the given text is not a URL"),
        ({"http": {"url": "https://${input}/x"}}, "steps.a.http.url: the host comes from a reference"),
        ({"http": {"url": "https://x.${input}.example.com"}}, "steps.a.http.url: the host comes from a reference"),
        ({"http": {"url": "${input}"}}, "steps.a.http.url: `${input}` is not a URL"),
        ({"http": {"url": "https://me:you@x.example.com"}}, "steps.a.http.url: "),
        ({"http": {"url": "https://x.example.com", "body": "b"}}, "steps.a.http.body: GET has none"),
        (
            {"http": {"url": "https://x.example.com", "headers": {"Authorization": "let me in"}}},
            "steps.a.http.headers.Authorization: looks like a secret in plain text",
        ),
        (
            {"http": {"url": "https://x.example.com", "headers": {"X-Api-Key": "let me in"}}},
            "steps.a.http.headers.X-Api-Key: looks like a secret in plain text",
        ),
        (
            {"http": {"url": "https://x.example.com", "headers": {"Idempotency-Key": "1"}}},
            "steps.a.http.headers.Idempotency-Key: is set by the executor",
        ),
        (
            {"http": {"url": "https://x.example.com", "headers": {"X-A": "b\nc"}}},
            "steps.a.http.headers.X-A: has a line break",
        ),
    ],
)
def test_a_step_that_cannot_be_done_is_refused(step: dict[str, Any], message: str) -> None:
    (found,) = of_steps(a=step)
    assert found.startswith(message)
    assert "let me in" not in found
    assert "me:you" not in found


def test_references_may_stand_in_the_path_of_a_url() -> None:
    assert of_steps(a={"http": {"url": "https://x.example.com/${input}?q=${input}"}}) == []


# The steps together


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        (
            {"plan": ASK, "answer": {"model": {"prompt": "${plna}"}}},
            ["steps.answer.model.prompt: unknown step `plna`, did you mean `plan`?"],
        ),
        (
            {"answer": {"model": {"prompt": "${inptu}"}}},
            ["steps.answer.model.prompt: unknown step `inptu`, did you mean `input`?"],
        ),
        (
            {"plan": ASK, "answer": {"model": {"prompt": "${item} ${plan}"}, "forEach": "${pan}"}},
            ["steps.answer.forEach: unknown step `pan`, did you mean `plan`?"],
        ),
        (
            {"plan": ASK, "answer": {"model": {"prompt": "${plan}"}, "needs": ["plan", "plam"]}},
            ["steps.answer.needs.1: unknown step `plam`, did you mean `plan`?"],
        ),
        ({"a": {"model": {"prompt": "${a}"}}}, ["steps.a.model.prompt: a step does not wait for itself"]),
        (
            {"a": {"model": {"prompt": "${b}"}}, "b": {"model": {"prompt": "${a}"}}},
            ["waits for itself: "],
        ),
        (
            {"plan": ASK, "each": {"model": {"prompt": "${item}"}, "forEach": "${plan}"}},
            ["steps.each.forEach: the output of `plan` is a text, and no list: give that step `output: lines`"],
        ),
        (
            {"plan": ASK | {"output": "lines"}, "each": ASK | {"forEach": "${plan}"}},
            ["steps.each.forEach: nothing refers to `${item}`"],
        ),
        (
            {"plan": ASK | {"output": "lines"}, "each": {"model": {"prompt": "${item}"}, "forEach": "plan"}},
            ["steps.each.forEach: `plan` is not one reference: write `${STEP}`"],
        ),
        (
            {"plan": ASK, "answer": ASK},
            ["steps.plan: nothing refers to its answer: write `${plan}` where it belongs, or remove the step"],
        ),
        ({"input": ASK}, ["steps.input: `${input}` means something else already: rename it"]),
        ({"Plan": ASK}, ["steps.Plan: `Plan` is not a DNS label"]),
        ({}, ["steps: dictionary should have at least 1 item"]),
    ],
)
def test_steps_that_do_not_fit_each_other_are_refused(steps: dict[str, Any], found: list[str]) -> None:
    said = mistakes({"steps": steps})
    assert len(said) == len(found)
    assert all(begin in line for begin, line in zip(found, said, strict=True)), said


def test_every_mistake_is_named_at_once() -> None:
    said = of_steps(
        a={"model": {"prompt": "${x"}}, b={"http": {"url": "nowhere"}}, c={"code": {"function": "f", "args": {}}}
    )
    assert [line.partition(":")[0] for line in said] == [
        "steps.a.model.prompt",
        "steps.b.http.url",
        "steps.c.code.args",
    ]


def test_a_fan_out_over_a_fan_out_has_a_list() -> None:
    steps: dict[str, Any] = {
        "plan": ASK | {"output": "json"},
        "each": {"model": {"prompt": "${item}"}, "forEach": "${plan}"},
        "again": {"model": {"prompt": "${item}"}, "forEach": "${each}"},
    }
    assert mistakes({"steps": steps}) == []


def test_a_step_that_only_acts_needs_no_reader() -> None:
    assert of_steps(log={"http": {"url": "https://x.example.com/", "method": "POST"}}, answer=ASK) == []


def test_the_output_is_a_step() -> None:
    assert mistakes({"steps": {"a": ASK}, "output": "${b}"}) == ["output: unknown step `b`: known are a"]
    assert mistakes({"steps": {"a": ASK}, "output": "It is ${a}"}) == [
        "output: `It is ${a}` is not one reference: write `${STEP}`, and nothing around it"
    ]


def test_a_step_fits_into_its_workflow() -> None:
    # 4 attempts of a minute, and waits of 1, 2 and 4 s between them.
    step = ASK | {"timeout": "1m", "retries": {"max": 3}}
    assert mistakes({"timeout": "247s", "steps": {"a": step}}) == []
    assert mistakes({"timeout": "246s", "steps": {"a": step}}) == [
        "steps.a.timeout: with its retries the step may take 247s, and the workflow has 246s: raise the workflow's "
        "`timeout`, or lower the step's timeout or retries"
    ]


# The form in which services get them


def test_the_compiled_form_has_everything_filled_in() -> None:
    workflow = Workflow.model_validate(
        {
            "timeout": "1h",
            "steps": {
                "answer": {"model": {"prompt": "${each} $${x}"}, "needs": ["note"]},
                "each": {
                    "forEach": "${plan}",
                    "agent": {"name": "helper", "message": "${item}"},
                    "retries": {"backoff": "2s"},
                },
                "note": {"http": {"method": "POST", "url": "https://x.example.com/${plan}", "headers": {"A": "b"}}},
                "plan": {"code": {"function": "f", "arguments": {"n": "3"}}, "output": "lines", "limit": 3},
            },
            "output": "${answer}",
        }
    )
    whole = compiled("w", workflow)
    default = {"forEach": None, "output": "text", "limit": 10, "timeout": 60, "topic": "tasks"}
    retries = {"max": 2, "backoff": 1, "maxBackoff": 30}
    assert whole == {
        "name": "w",
        "description": "",
        "timeout": 3600,
        "output": "answer",
        "steps": {
            "plan": {
                **default,
                "code": {"function": "f", "arguments": {"n": "3"}},
                "needs": [],
                "output": "lines",
                "limit": 3,
                "retries": retries,
            },
            "each": {
                **default,
                "agent": {"name": "helper", "message": "${item}"},
                "forEach": "plan",
                "needs": ["plan"],
                "retries": retries | {"backoff": 2},
            },
            "note": {
                **default,
                "http": {"method": "POST", "url": "https://x.example.com/${plan}", "headers": {"A": "b"}},
                "needs": ["plan"],
                "retries": retries,
            },
            "answer": {
                **default,
                "model": {"prompt": "${each} $${x}"},
                "needs": ["each", "note"],
                "retries": retries,
            },
        },
    }
    order = list(whole["steps"])
    assert all(order.index(need) < order.index(name) for name, step in whole["steps"].items() for need in step["needs"])
    assert json.loads(document("w", workflow)) == whole


def test_the_last_step_is_the_answer_where_nothing_is_said() -> None:
    assert compiled("w", Workflow.model_validate({"steps": {"b": ASK}}))["output"] == "b"


@pytest.mark.parametrize("file", sorted((ROOT / "workflows").glob("*.yaml")), ids=lambda file: file.stem)
def test_what_is_shipped_is_named_as_its_file(file: Path) -> None:
    assert WorkflowFile.model_validate(yaml.safe_load(file.read_text()), by_name=False).name == file.stem


# Files and the environment


def test_mistakes_are_named_with_file_and_line(tmp_path: Path) -> None:
    environment = project(tmp_path, "name: w\nsteps:\n  a:\n    model: {prompt: '${input'}\n  b:\n    modle: {}\n")
    (tmp_path / "workflows" / "v.yaml").write_text("name: v\nsteps:\n  a: {model: {prompt: '${inptu}'}}\n")
    assert refused(environment, redis={"shard": 3}) == [
        "workflows/v.yaml:3: workflows.v.steps.a.model.prompt: unknown step `inptu`, did you mean `input`?",
        "workflows/w.yaml:4: workflows.w.steps.a.model.prompt: a reference is not closed: write `${NAME}`, or `$${` "
        "for a plain `${`",
        "workflows/w.yaml:6: workflows.w.steps.b.modle: unknown key `modle`, did you mean `model`?",
        "Pulumi.test.yaml:1: agentstack:redis.shard: unknown key `shard`, did you mean `shards`?",
    ]


def test_files_that_cannot_be_read_are_mistakes_like_others(tmp_path: Path) -> None:
    environment = project(tmp_path, "steps: {}\n")
    (tmp_path / "workflows" / "x.yaml").write_text("name: x\nname: x\n")
    for name in ("y", "z"):
        (tmp_path / "workflows" / f"{name}.yaml").write_text("name: y\nsteps: {a: {model: {prompt: x}}}\n")
    found = refused(environment)
    assert "workflows/w.yaml: name: is missing: write `name: w`" in found
    assert any(line.startswith("workflows/x.yaml:2:") for line in found)
    assert "workflows/z.yaml:1: name: workflows/y.yaml has the workflow `y` already: rename one" in found


def test_without_the_folder_there_are_no_workflows(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    found = load(
        {}, stack_file=tmp_path / "P.yaml", agents_folder=tmp_path / "agents", workflows_folder=tmp_path / "workflows"
    )
    assert found.workflows == {}


@pytest.mark.parametrize(
    ("step", "executor", "message"),
    [
        ("{model: {prompt: x}, topic: taks}", {}, "4: workflows.w.steps.a.topic: unknown topic `taks`, did you mean"),
        (
            "{model: {prompt: x}, topic: slow-tasks}",
            {"consumes": ["tasks", "slow-tasks"]},
            "topic: no agent produces `slow-tasks`, so that nobody would give the step out",
        ),
        ("{model: {prompt: x}, timeout: 4m}", {}, "timeout: with its retries the step may take 723s, and `shutdown"),
        (
            "{model: {prompt: x}}",
            {"inference": None},
            "model: `executor` does the step, and has no `inference`: write `inference: {}` there",
        ),
        (
            "{model: {prompt: x, name: m}}",
            {"inference": {"backend": "onnx", "model": "/m"}},
            "model.name: `executor` does the step, whose onnx model is the only one that it has",
        ),
        ("{agent: {name: hepler, message: x}}", {}, "agent.name: unknown agent `hepler`, did you mean `helper`?"),
        ("{agent: {name: helper, message: x}}", {}, "agent.name: `executor` does the step, and does not call `helper`"),
        (
            "{agent: {name: orchestrator, message: x, workflow: ww}}",
            {"calls": ["orchestrator"]},
            "agent.workflow: unknown workflow `ww`, did you mean `w`?",
        ),
        (
            "{http: {url: 'https://api.example.com/x'}}",
            {"egress": ["api.example.com:80", "example.com:443"]},
            "http.url: `executor` does the step, and may not connect to api.example.com:443: add that to `egress`",
        ),
        (
            "{http: {url: 'http://203.0.113.9/'}}",
            {"egress": ["203.0.113.0/29:80"]},
            "may not connect to 203.0.113.9:80",
        ),
        ("{http: {url: 'http://helper/x'}}", {}, "http.url: `executor` does the step, and does not call `helper`"),
        (
            "{http: {url: 'https://helper.agents.svc/x'}}",
            {"calls": ["helper"]},
            "http.url: `helper` serves plain HTTP on port 80: write `http://helper/...`",
        ),
    ],
)
def test_what_the_environment_does_not_have_is_refused(
    tmp_path: Path, step: str, executor: dict[str, Any], message: str
) -> None:
    environment = project(tmp_path, f"name: w\ntimeout: 1h\nsteps:\n  a: {step}\n", **executor)
    (found,) = refused(environment)
    assert found.startswith("workflows/w.yaml:4: workflows.w.steps.a")
    assert message in found


@pytest.mark.parametrize(
    ("step", "executor"),
    [
        ("{model: {prompt: x, name: whatever}}", {}),
        ("{agent: {name: helper, message: x}}", {"calls": ["helper"]}),
        ("{http: {url: 'http://helper/x'}}", {"calls": ["helper"]}),
        ("{http: {url: 'http://helper.agents.svc.cluster.local/x'}}", {"calls": ["helper"]}),
        ("{http: {url: 'https://api.example.com/x'}}", {"egress": ["api.example.com:443"]}),
        ("{http: {url: 'https://api.example.com:8443/x'}}", {"egress": ["203.0.113.0/24:8443"]}),
        ("{http: {url: 'http://203.0.113.9/'}}", {"egress": ["203.0.113.0/24:80"]}),
        ("{model: {prompt: x}, timeout: 3m}", {}),
    ],
)
def test_what_the_environment_has_is_not(tmp_path: Path, step: str, executor: dict[str, Any]) -> None:
    assert project(tmp_path, f"name: w\ntimeout: 1h\nsteps:\n  a: {step}\n", **executor).settings().workflows


def test_a_topic_that_nobody_consumes_is_refused(tmp_path: Path) -> None:
    environment = project(tmp_path, "name: w\nsteps:\n  a: {model: {prompt: x}, topic: slow-tasks}\n")
    agents = {"orchestrator": {"produces": ["tasks", "slow-tasks"]}}
    assert refused(environment, agents=agents) == [
        "workflows/w.yaml:3: workflows.w.steps.a.topic: no agent consumes `slow-tasks`, did you mean `tasks`?"
    ]


def test_the_stacks_own_server_has_one_model(tmp_path: Path) -> None:
    environment = project(tmp_path, "name: w\nsteps:\n  a: {model: {prompt: x, name: other}}\n")
    inference = {"backend": "ollama", "model": "qwen3", "server": {"gpus": 0}}
    assert refused(environment, inference=inference) == [
        "workflows/w.yaml:3: workflows.w.steps.a.model.name: the stack's ollama serves `qwen3` alone: remove it, or "
        "write another `topic`"
    ]


def test_a_task_does_not_outlive_its_checkpoint(tmp_path: Path) -> None:
    environment = project(tmp_path, "name: w\ntimeout: 2h\nsteps:\n  a: {model: {prompt: x}}\n")
    assert refused(environment, redis={"checkpointTtl": "1h"}) == [
        "workflows/w.yaml:2: workflows.w.timeout: 2h is above `redis.checkpointTtl` of 1h, after which nobody knows "
        "how far the task is: lower it, or raise that"
    ]


def test_an_agent_that_is_not_enabled_does_nothing(tmp_path: Path) -> None:
    environment = project(tmp_path, "name: w\nsteps:\n  a: {agent: {name: helper, message: x}}\n")
    (found,) = refused(environment, agents={"helper": {"enabled": False}})
    assert found.endswith("steps.a.agent.name: `helper` is not enabled here: enable it, or drop the step")


@pytest.mark.parametrize(
    ("files", "steps", "message"),
    [
        (1, 5, "workflows.long0: has 301,"),
        (5, 4, "and a ConfigMap holds 1,048,576: shorten this one, which is the largest"),
    ],
)
def test_they_fit_into_an_event_and_a_config_map(tmp_path: Path, files: int, steps: int, message: str) -> None:
    environment = project(tmp_path, "name: w\nsteps:\n  a: {model: {prompt: x}}\n")
    for file in range(files):
        long = {
            f"a{number}": {"http": {"url": "http://helper/", "method": "POST", "body": "x" * 60_000}}
            for number in range(steps)
        }
        content = {"name": f"long{file}", "timeout": "1d", "steps": long}
        (tmp_path / "workflows" / f"long{file}.yaml").write_text(yaml.safe_dump(content))
    (found,) = refused(environment, agents={"executor": {"calls": ["helper"]}})
    assert found.startswith("workflows/long")
    assert message in found


def test_using_workflows_needs_some(tmp_path: Path) -> None:
    environment = project(tmp_path, "")
    (tmp_path / "workflows" / "w.yaml").unlink()
    assert refused(environment) == [
        "agents/orchestrator.yaml:9: agents.orchestrator.uses.1: there are no workflows: write `workflows/NAME.yaml`, "
        "or remove it"
    ]


def test_nothing_is_asked_of_an_environment_whose_agents_use_none(tmp_path: Path) -> None:
    environment = project(tmp_path, "name: w\nsteps:\n  a: {agent: {name: nobody, message: x}, topic: none}\n")
    assert environment.settings(agents={"orchestrator": {"uses": []}}).workflows


def test_an_agent_cannot_have_the_name_of_the_object() -> None:
    agent = {"image": "x/y:1", "uses": ["workflows"]}
    with pytest.raises(ValidationError) as error:
        Settings.model_validate({"agents": {"workflows": agent}, "workflows": {}})
    found = [str(problem) for problem in problems(error.value, Settings)]
    assert "agents.workflows: is the name of the ConfigMap with the workflows: choose another" in found
