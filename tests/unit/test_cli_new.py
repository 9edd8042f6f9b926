"""`agentstack new agent`: writes what fits into the environment, minimal, and nothing else."""

from __future__ import annotations

import io
import pathlib
import sys
from collections.abc import Callable

import pytest
import yaml

from agentstack.commands.cli import main
from settings import AgentFile

from .cli_program import project, write_project

__all__ = ["project"]

Call = Callable[..., tuple[int, str, str]]
CONFIG = """config:
  agentstack:platform: {safeguards: {requireSecrets: false, protectData: false}}
  agentstack:gateway: {host: h.example.com}
  agentstack:kafka: {topics: {tasks: {partitions: 3}, results: {partitions: 3}}}
"""
QUESTIONS = 10


class Terminal(io.StringIO):
    """Somebody who types these lines."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def new(
    project: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run `agentstack new agent`; `typed` is what a person answers. Return exit code, output and error output."""
    write_project(project)
    (project / "Pulumi.dev.yaml").write_text(CONFIG)
    (project / "Pulumi.prod.yaml").write_text(CONFIG.replace("requireSecrets: false, ", ""))

    def run(*arguments: str, typed: list[str] | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["agentstack", "new", "agent", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO() if typed is None else Terminal("\n".join([*typed, ""])))
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def test_options_alone(new: Call, project: pathlib.Path) -> None:
    code, out, err = new(
        *("two", "--image", "x/two:1", "--pods", "2-8", "--consumes", "tasks", "--produces", "results,tasks"),
        *(
            "--calls",
            "one",
            "--redis",
            "--public",
            "/two",
            "--egress",
            "api.example.com,10.0.0.0/8:5432,[2001:db8::/32]:443",
        ),
        *("--secrets", "KEY", "--longest-task", "10m"),
    )
    assert (code, err) == (0, "")
    text = (project / "agents" / "two.yaml").read_text()
    assert text == (
        "# yaml-language-server: $schema=../schemas/agent.schema.json\n"
        "name: two\n"
        "image: x/two:1\n"
        "scaling: {min: 2, max: 8}\n"
        "consumes: [tasks]\n"
        "produces: [results, tasks]\n"
        "calls: [one]\n"
        "uses: [redis]\n"
        "public: {path: /two}\n"
        "egress: [api.example.com, '10.0.0.0/8:5432', '[2001:db8::/32]:443']\n"
        "secrets:\n"
        "  KEY: {required: true}\n"
        "shutdown: {longestTask: 10m}\n"
    )
    assert text in out
    assert "next  agentstack explain two --env dev" in out
    assert "then  for prod: agents/two.yaml:12: agents.two.secrets.KEY: required and not given" in out
    AgentFile.model_validate(yaml.safe_load(text), by_name=False)


def test_defaults_leave_no_trace(new: Call, project: pathlib.Path) -> None:
    assert new("two", "--image", "x/two:1", "--pods", "1", "--longest-task", "30s", "--yes")[0] == 0
    assert (project / "agents" / "two.yaml").read_text() == (
        "# yaml-language-server: $schema=../schemas/agent.schema.json\nname: two\nimage: x/two:1\n"
    )


def test_a_person_is_asked_until_the_answer_fits(new: Call, project: pathlib.Path) -> None:
    typed = ["x/two", "x/two:1", "9-2", "2-9", "taks", "tasks", "", "", "y", "", "http://h", "", "", "10 min", "10m"]
    code, out, err = new("two", typed=typed)
    assert (code, err) == (0, "")
    assert "Topics it reads (tasks, results) [none]: Error: consumes.0: unknown topic `taks`, did you mean" in out
    assert "Error: scaling.max: 2 is below min 9: raise `max` or lower `min`" in out
    assert "Error: egress.0: the given text is no destination: write `HOST:PORT`" in out
    assert yaml.safe_load((project / "agents" / "two.yaml").read_text()) == {
        "name": "two",
        "image": "x/two:1",
        "scaling": {"min": 2, "max": 9},
        "consumes": ["tasks"],
        "uses": ["redis"],
        "shutdown": {"longestTask": "10m"},
    }


def test_what_is_given_is_not_asked(new: Call, project: pathlib.Path) -> None:
    code, out, _ = new("two", "--image", "x/two:1", "--no-redis", typed=[""] * (QUESTIONS - 2))
    assert (code, "Container image" in out, "Redis" in out) == (0, False, False)
    assert (project / "agents" / "two.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["one", "--image", "x/one:1", "--yes"], "agents/one.yaml: is there already: choose another name"),
        (["Two", "--image", "x/y:1", "--yes"], "name: `Two` is not an agent name"),
        (["../two", "--image", "x/y:1", "--yes"], "name: `../two` is not an agent name"),
        (["a" * 300, "--image", "x/y:1", "--yes"], "name: has 300 characters and an agent name has at most 42"),
        (["two", "--yes"], "--image: is missing: add it"),
        (["two", "--image", "x/y", "--yes"], "--image: image: `x/y` has no tag"),
        (["two", "--image", "x/y:1", "--pods", "many", "--yes"], "--pods: must be a number such as `3`"),
        (["two", "--image", "x/y:1", "--consumes", "taks", "--yes"], "did you mean `tasks`?"),
        (["two", "--image", "x/y:1", "--pods", "5000", "--yes"], "--pods: replicas: 5000 is above the maximum of 1000"),
        (["two", "--image", "x/y:1", "--calls", "three", "--yes"], "--calls: calls.0: unknown agent `three`"),
        (["two", "--image", "x/y:1", "--env", "prod", "--secrets", "K", "--yes"], "required and not given"),
        (["two", "--image", "x/y:1", "--env", "pord", "--yes"], "unknown environment `pord`, did you mean `prod`?"),
        (["two", "--image", "x/y:1", "--pods", "2"], "no terminal to ask in: give --consumes, --produces, --calls, "),
    ],
)
def test_bad_input_writes_nothing(new: Call, project: pathlib.Path, arguments: list[str], message: str) -> None:
    before = sorted(project.rglob("*"))
    code, out, err = new(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "/tmp" not in err
    assert len(err.splitlines()) == 1
    assert sorted(project.rglob("*")) == before


def test_a_name_that_another_file_declares(new: Call, project: pathlib.Path) -> None:
    (project / "agents" / "one.yaml").rename(project / "agents" / "first.yaml")
    assert "agents/first.yaml: is there already" in new("one", "--image", "x/y:1", "--yes")[2]


def test_giving_up_writes_nothing(new: Call, project: pathlib.Path) -> None:
    assert new("two", typed=["x/two:1"])[0] == 1  # the end of the input
    assert not (project / "agents" / "two.yaml").exists()
