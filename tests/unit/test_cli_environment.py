"""The files of an environment: found, read strictly, merged."""

from __future__ import annotations

import pathlib

import pytest

from agentstack.rendering.environment import Environment, find_project
from settings import SettingsError

from .cli_program import project, write_project

__all__ = ["project"]


def test_the_project_is_found_from_below(project: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_project(pathlib.Path()) == pathlib.Path()
    monkeypatch.chdir(project / "agents")
    assert find_project(pathlib.Path()) == project


def test_without_a_project(tmp_path: pathlib.Path) -> None:
    with pytest.raises(SettingsError, match=r"no Pulumi\.yaml here or above"):
        find_project(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("confg: {}\n", r"Pulumi\.dev\.yaml:1: unknown key `confg`, did you mean `config`\?"),
        ("config: [a]\n", r"Pulumi\.dev\.yaml: config: must be a group"),
        ("config: {}\nconfig: {}\n", r"Pulumi\.dev\.yaml:2: malformed YAML: the key `config` stands twice"),
        ("", r"Pulumi\.dev\.yaml: is empty"),
        ("a: [\n", r"Pulumi\.dev\.yaml:2: malformed YAML"),
    ],
)
def test_a_stack_file_is_read_strictly(project: pathlib.Path, text: str, message: str) -> None:
    (project / "Pulumi.dev.yaml").write_text(text)
    with pytest.raises(SettingsError, match=message):
        Environment.find(pathlib.Path(), "dev").runtime_config()


def test_keys_that_only_the_engine_needs_are_accepted(project: pathlib.Path) -> None:
    (project / "Pulumi.dev.yaml").write_text("secretsprovider: passphrase\nencryptionsalt: v1:x\nconfig: {}\n")
    assert Environment.find(pathlib.Path(), "dev").config == {}


def test_configuration_as_the_engine_hands_it_over(project: pathlib.Path) -> None:
    write_project(
        project, config="{short: text, 'agentstack:n': 3, 'x:y': [{secure: v1:c}, a], 'agentstack:g': {b: true}}"
    )
    config, secret = Environment.find(pathlib.Path(), "dev").runtime_config()
    assert config == {
        "preview:agentsFolder": "agents",
        "preview:workflowsFolder": "workflows",
        "preview:settingsFile": "Pulumi.dev.yaml",
        "agentstack:short": "text",
        "agentstack:n": "3",
        "x:y": '["<withheld>", "a"]',
        "agentstack:g": '{"b": true}',
    }
    assert secret == ["x:y"]


def test_an_unknown_environment(project: pathlib.Path) -> None:
    with pytest.raises(SettingsError, match="unknown environment `deb`, did you mean `dev`"):
        Environment.find(pathlib.Path(), "deb")


def test_another_file_gives_a_name_of_ones_own(project: pathlib.Path) -> None:
    file = pathlib.Path("Pulumi.dev.yaml")
    assert Environment.find(pathlib.Path(), "deb", file=file).name == "deb"
    with pytest.raises(SettingsError, match="is not a stack name"):
        Environment.find(pathlib.Path(), "../deb", file=file)


def test_an_agent_as_the_environment_has_it(project: pathlib.Path) -> None:
    write_project(project, config="{'agentstack:agents': {one: {env: {LEVEL: debug}, replicas: 2}}}")
    agent = Environment.find(pathlib.Path(), "dev").agent("one")
    assert (agent.env, agent.replicas, agent.port) == ({"LEVEL": "debug", "MODE": "fast"}, 2, 8080)


def test_an_agent_that_is_not_there(project: pathlib.Path) -> None:
    write_project(project, config="{'agentstack:agents': {one: {enabled: false}}}")
    (project / "agents" / "two.yaml").write_text("name: two\nimage: x/two:1\n")
    environment = Environment.find(pathlib.Path(), "dev")
    with pytest.raises(SettingsError, match="unknown agent `tow`, did you mean `two`"):
        environment.agent("tow")
    with pytest.raises(SettingsError, match=r"agents/one\.yaml: agent `one` is not enabled in dev"):
        environment.agent("one")
