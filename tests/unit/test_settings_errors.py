"""Every mistake gives one message with path, mistake and remedy, and never repeats a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from settings import SettingsError
from settings.files import environment_file, read_agents, read_yaml
from settings.stack import load

AGENT: dict[str, Any] = {"name": "researcher", "image": "example.com/researcher:1.0.0"}
TOPICS: dict[str, Any] = {"topics": {"tasks": {}}}


def messages(tmp_path: Path, config: dict[str, Any] | None = None, *agents: dict[str, Any] | str) -> str:
    """Load a project made of the given pieces and return what it refuses it with, without the folder's name."""
    folder = tmp_path / "agents"
    folder.mkdir()
    for number, agent in enumerate(agents or [AGENT]):
        text = agent if isinstance(agent, str) else yaml.safe_dump(agent)
        (folder / f"a{number}.yaml").write_text(text)
    stack_file = tmp_path / "Pulumi.test.yaml"
    sections = config or {}
    stack_file.write_text(yaml.safe_dump({"config": {f"agentstack:{k}": v for k, v in sections.items()}}))
    with pytest.raises(SettingsError) as caught:
        load(sections, stack_file=stack_file, agents_folder=folder)
    return str(caught.value).replace(f"{tmp_path}/", "")


def agent(**changes: Any) -> dict[str, Any]:
    return AGENT | changes


@pytest.mark.parametrize(
    ("changes", "place", "remedy"),
    [
        pytest.param(
            {"replicas": "three"}, "agents.researcher.replicas: must be a whole number", "`3`", id="wrong type"
        ),
        pytest.param({"replica": 3}, "unknown key `replica`", "did you mean `replicas`?", id="unknown key"),
        pytest.param(
            {"scaling": {"min": 1, "max": 2, "cpus": 50}},
            "agents.researcher.scaling.cpus: unknown key `cpus`",
            "did you mean `cpu`?",
            id="unknown inner key",
        ),
        pytest.param(
            {"resources": {"requests": {"memory": "512MB"}}}, "`512MB` is not a memory", "`512Mi`", id="512MB"
        ),
        pytest.param(
            {"resources": {"requests": {"cpu": "0.5 core"}}}, "`0.5 core` is not a CPU", "`0.5`", id="0.5 core"
        ),
        pytest.param(
            {"resources": {"requests": {"cpu": "2"}}},
            "agents.researcher.resources.limits.cpu: 1 is below the request of 2",
            "raise the limit",
            id="limit below request",
        ),
        pytest.param(
            {"scaling": {"min": 5, "max": 3}},
            "agents.researcher.scaling.max: 3 is below min 5",
            "raise `max`",
            id="min above max",
        ),
        pytest.param(
            {"replicas": 2, "scaling": {"min": 1, "max": 2}},
            "agents.researcher.replicas: the autoscaler owns",
            "remove `replicas`",
            id="two owners of replicas",
        ),
        pytest.param({"name": "My_Agent"}, "`My_Agent` is not an agent name", "lower-case", id="illegal name"),
        pytest.param({"name": "a" * 43}, "has 43 characters", "at most 42: shorten it", id="over-long name"),
        pytest.param({"consumes": ["taks"]}, "consumes.0: unknown topic `taks`", "did you mean `tasks`?", id="topic"),
        pytest.param({"uses": ["reddis"]}, "uses.0: unknown value `reddis`", "did you mean `redis`?", id="uses"),
        pytest.param({"calls": ["nobody"]}, "calls.0: unknown agent `nobody`", "agent", id="calls"),
        pytest.param(
            {"image": "x/y"},
            "agents.researcher.image: `x/y` has no tag, which means `latest`",
            "`x/y:VERSION`",
            id="no tag",
        ),
        pytest.param({"image": "x/y:latest"}, "has the tag `latest`", "write `x/y:VERSION`", id="latest"),
        pytest.param(
            {"secrets": {"OPENAI_API_KEY": {}}},
            "agents.researcher.secrets.OPENAI_API_KEY: required and not given",
            "pulumi config set --secret",
            id="missing secret",
        ),
        pytest.param(
            {"env": {"DATABASE": "postgres://user:hunter2@db/x"}},
            "agents.researcher.env.DATABASE: looks like a secret",
            "under `secrets`",
            id="secret in a value",
        ),
        pytest.param(
            {"env": {"OPENAI_API_KEY": "hunter2"}},
            "agents.researcher.env.OPENAI_API_KEY: looks like a secret",
            "under `secrets`",
            id="secret by name",
        ),
        pytest.param(
            {"args": ["--quiet", "--token=hunter2"]},
            "agents.researcher.args.1: looks like a secret",
            "under `secrets` and write `$(NAME)`",
            id="secret in an argument",
        ),
        pytest.param({"env": {"N": 1.10}}, "agents.researcher.env.N: must be text", "in quotes", id="number in env"),
        pytest.param({"env": {"POD_NAME": "x"}}, "env.POD_NAME: is set by the stack", "remove it", id="taken variable"),
        pytest.param({"image": "a:1:2"}, "`a:1:2` is not an image reference", "`registry/name:tag`", id="image"),
        pytest.param({"name": "default"}, "`default` is taken by Kubernetes", "another name", id="taken name"),
        pytest.param(
            {"public": {"host": "h.example", "path": "/a//b"}}, "`/a//b` is not a route", "without", id="route"
        ),
        pytest.param({"shutdown": {"longestTask": "99999999d"}}, "longestTask: ", "lower it", id="longest task"),
        pytest.param({"port": 80}, "agents.researcher.port: 80 is below the minimum of 1024", "raise it", id="port"),
        pytest.param({"egress": [{"port": 443}]}, "egress.0.host: give either", "`cidr`", id="egress"),
        pytest.param(
            {"shutdown": {"longestTask": "2 minutes"}}, "`2 minutes` is not a duration", "`30s`", id="duration"
        ),
        pytest.param(
            {"probes": {"readiness": {"period": "0s"}}},
            "period: 0s is below the minimum of 1s",
            "raise it",
            id="period",
        ),
        pytest.param(
            {"scaling": {"min": 1, "max": 2, "scaleDownAfter": "99999999d"}},
            "99999999d is above the maximum of 1h:",
            "lower it",
            id="duration or nothing",
        ),
        pytest.param({"kind": {"secure": "hunter2"}}, "kind: must be one of service", "cron", id="group as a choice"),
        pytest.param(
            {"shutdown": {"longestTask": {"secure": "hunter2"}}},
            "the given value is not a duration",
            "`30s`",
            id="group as a duration",
        ),
        pytest.param({"kind": ["hunter2"]}, "kind: must be one of service", "cron", id="list as a choice"),
        pytest.param({"kind": None}, "kind: must be one of service", "cron", id="no choice"),
        pytest.param({"uses": ["a\nb\u2028c"]}, r"unknown value `a\nb\u2028c`", "redis", id="line breaks in a value"),
        pytest.param({"a\nb": 1}, r"agents.researcher.a\nb: unknown key `a\nb`", "", id="line break in a key"),
        pytest.param(
            {"resources": {"requests": {"cpu": "50m\n"}}},
            r"`50m\n` is not a CPU quantity",
            "`500m`",
            id="cpu and newline",
        ),
        pytest.param(
            {"resources": {"requests": {"memory": "\uff164Mi"}}},
            "is not a memory quantity",
            "`512Mi`",
            id="other digits",
        ),
        pytest.param({"egress": [{"cidr": "fe80::%eth0/128"}]}, "is not a network", "write", id="zone in a network"),
        pytest.param({"egress": ["a.example:" + "9" * 5000]}, "is no destination", "write", id="long port"),
        pytest.param({"public": {"path": "/"}}, "agents.researcher.public.host: no host", "gateway.host", id="no host"),
    ],
)
def test_agent_mistakes(tmp_path: Path, changes: dict[str, Any], place: str, remedy: str) -> None:
    said = messages(tmp_path, {"kafka": TOPICS}, agent(**changes))
    assert place in said
    assert remedy in said
    assert said.startswith("agents/a0.yaml:")
    assert "hunter2" not in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("config", "place", "remedy"),
    [
        pytest.param({"redis": {"shards": 2}}, "agentstack:redis.shards: ", "at least 3 shards, not 2", id="shards"),
        pytest.param(
            {"kafka": {"replicationFactor": 4}},
            "agentstack:kafka.replicationFactor: 4 copies",
            "raise `brokers`",
            id="rf",
        ),
        pytest.param(
            {"kafka": {"minInsyncReplicas": 3}},
            "agentstack:kafka.minInsyncReplicas: 3 is not below",
            "write 2",
            id="isr",
        ),
        pytest.param(
            {"kafka": {"controllers": 4}}, "agentstack:kafka.controllers: 4 is even", "write 3 or 5", id="even"
        ),
        pytest.param({"rediss": {}}, "agentstack:rediss: unknown key", "did you mean `redis`?", id="section"),
        pytest.param({"redis": 3}, "agentstack:redis: must be a group", "`key: value`", id="section type"),
        pytest.param(
            {"agents": {1: {"a": "b"}}}, "agentstack:agents.1: unknown agent `1`", "known are researcher", id="number"
        ),
        pytest.param(
            {"agents": {True: {"a": "b"}}}, "agentstack:agents.True: unknown agent `True`", "known are", id="boolean"
        ),
        pytest.param(
            {"agents": {"researcher": {1: {"a": "hunter2"}}}},
            "agents.researcher.1: keys should be",
            "",
            id="inner number",
        ),
        pytest.param(
            {"agents": {"researcher": {"args": ["--token=hunter2"]}}},
            "agents.researcher.args.0: looks like",
            "under `secrets`",
            id="in a list of an override",
        ),
        pytest.param({"secrets": {1: {"secure": "hunter2"}}}, "agentstack:secrets", "", id="number of a secret"),
        pytest.param(
            {"agents": {"researcer": {}}}, "unknown agent `researcer`", "did you mean `researcher`?", id="override"
        ),
        pytest.param(
            {"agents": {"researcher": {"scaling": {"min": 1, "max": 0}}}},
            "scaling.max: 0 is below",
            "raise",
            id="in override",
        ),
        pytest.param(
            {"secrets": {"OPENAI_API_KEY": "hunter2"}},
            "agentstack:secrets.OPENAI_API_KEY: a secret in plain text",
            "pulumi config set --secret",
            id="plain secret",
        ),
        pytest.param({"secrets": {5: "x"}}, "agentstack:secrets.5: a secret in plain text", "secrets.5'", id="no name"),
        pytest.param(
            {"secrets": {"A\nB": "x"}}, "agentstack:secrets.A\\nB: a secret in", "secrets.A\\nB'", id="two lines"
        ),
        pytest.param({"sk-0123456789abcdefghij": {}}, "agentstack:the given text: unknown key", "known are", id="key"),
        pytest.param(
            {"secrets": {"UNUSED": {"secure": "v1:x"}}},
            "agentstack:secrets.UNUSED: no agent declares",
            "remove",
            id="unused",
        ),
        pytest.param(
            {"namespaces": {"agents": {"quota": {"requests": {"cpu": "50m"}}}}},
            "agentstack:namespaces.agents.quota.requests.cpu: 50m is below the 0.2 cores",
            "raise it or lower",
            id="quota",
        ),
        pytest.param(
            {"observability": {"prometheus": {"storage": "10Gi"}}},
            "agentstack:observability.prometheus.retentionSize: 40Gi does not fit",
            "80 %",
            id="retention",
        ),
        pytest.param(
            {"redis": {"mode": "external"}}, "agentstack:redis.external: set it", "mode: external", id="external"
        ),
    ],
)
def test_environment_mistakes(tmp_path: Path, config: dict[str, Any], place: str, remedy: str) -> None:
    said = messages(tmp_path, config)
    assert place in said
    assert remedy in said
    assert said.startswith("Pulumi.test.yaml:")
    assert "hunter2" not in said
    assert len(said.splitlines()) == 1


def test_duplicate_agent(tmp_path: Path) -> None:
    said = messages(tmp_path, None, AGENT, AGENT)
    assert said == ("agents/a1.yaml:2: name: agents/a0.yaml has the agent `researcher` already: rename one")


def test_duplicate_host_and_path(tmp_path: Path) -> None:
    public = {"public": {"host": "h.example", "path": "/x"}}
    said = messages(tmp_path, None, agent(**public), agent(name="writer", **public))
    assert "agents.writer.public.path: h.example/x belongs to agent `researcher` already: give one" in said


def test_a_call_to_an_agent_that_is_off(tmp_path: Path) -> None:
    said = messages(tmp_path, {"agents": {"writer": {"enabled": False}}}, agent(calls=["writer"]), agent(name="writer"))
    assert "agents.researcher.calls.0: `writer` is not enabled here: enable it, or drop the call" in said


def test_the_same_route_with_a_slash_at_its_end(tmp_path: Path) -> None:
    first, second = ({"public": {"host": "h.example", "path": path}} for path in ("/x", "/x/"))
    assert "belongs to agent `researcher` already" in messages(
        tmp_path, None, agent(**first), agent(name="w", **second)
    )


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    said = messages(tmp_path, {"redis": {"shards": 1}}, agent(replicas="x", prot=1))
    assert len(said.splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "agents/a0.yaml: is empty"),
        ("# only a comment\n", "agents/a0.yaml: is empty"),
        ("name: x\nname: y\n", "agents/a0.yaml:2: malformed YAML: the key `name` stands twice"),
        ("name: [x\n", "agents/a0.yaml:2: malformed YAML"),
        ("name: x\nimage: {{ image }}\n", "agents/a0.yaml:2: malformed YAML: a key must be text"),
        (
            "name: x\nuser: !hunter2\n",
            "agents/a0.yaml:2: malformed YAML: unknown tag, or one that does not fit: put",
        ),
        ("name: x\nuser: !<hunter2> 1\n", "agents/a0.yaml:2: malformed YAML: unknown tag"),
        ("name: x\nuser: !!binary Zm9v\n", "agents/a0.yaml:2: malformed YAML: unknown tag"),
        ("name: x\nuses: !!set {a}\n", "agents/a0.yaml:2: malformed YAML: unknown tag"),
        ("name: x\nuser: !!timestamp 2020-01-01\n", "agents/a0.yaml:2: malformed YAML: unknown tag"),
        ("name: x\nuser: !!python/name:os.system 1\n", "agents/a0.yaml:2: malformed YAML: unknown tag"),
        ("name: x\nuser: !!int hunter2\n", "agents/a0.yaml:2: malformed YAML: neither a number nor a switch"),
        ("name: x\nuser: !!bool hunter2\n", "agents/a0.yaml:2: malformed YAML: neither a number nor a switch"),
        (f"name: x\nuser: {'9' * 5000}\n", "agents/a0.yaml:2: malformed YAML: a number of more than 40 characters"),
        ("- name: x\n", "must hold `key: value` lines, not a list"),
        ("image: x/y:1\n", "agents/a0.yaml: name: is missing: write `name: a0`"),
    ],
)
def test_malformed_files(tmp_path: Path, text: str, expected: str) -> None:
    said = messages(tmp_path, None, text)
    assert expected in said
    assert "hunter2" not in said
    assert len(said.splitlines()) == 1


def test_line_of_the_mistake(tmp_path: Path) -> None:
    said = messages(tmp_path, None, "name: x\nimage: x/y:1\nscaling:\n  min: 5\n  max: 3\n")
    assert said.startswith("agents/a0.yaml:5: agents.x.scaling.max: 3 is below min 5")


def test_unknown_environment(tmp_path: Path) -> None:
    for name in ("dev", "prod"):
        (tmp_path / f"Pulumi.{name}.yaml").write_text("config: {}\n")
    with pytest.raises(SettingsError, match="unknown environment `prd`, did you mean `prod`"):
        environment_file(tmp_path, "prd")


def test_missing_folder_and_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not a folder"):
        read_agents(tmp_path / "nowhere")
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_yaml(tmp_path / "nothing.yaml")
