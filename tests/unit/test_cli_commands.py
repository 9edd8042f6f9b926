"""The commands from outside: what they print, write, and end with."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import typer
import yaml

from agentstack.commands.cli import SUMMARIES, app, main

from .cli_program import project, write_project

__all__ = ["project"]

ROOT = pathlib.Path(__file__).parents[2]
Call = Callable[..., tuple[int, str, str]]
SETTINGS_PROGRAM = """
import pathlib
import pulumi
from settings import SettingsError
from settings.engine import load_stack
try:
    settings = load_stack(pathlib.Path(__file__).parent)
except SettingsError as error:
    raise pulumi.RunError(str(error)) from None
pulumi.export("agents", sorted(settings.agents))
"""
VIOLATION = """
import pulumi_kubernetes as k8s
container = {"name": "c", "image": "x:latest"}
k8s.core.v1.Pod("pod", metadata={"name": "pod", "namespace": "space"}, spec={"containers": [container]})
"""
DEV = "{'agentstack:platform': {safeguards: {requireSecrets: false}}}"


def written(folder: pathlib.Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_a_preview(project: pathlib.Path, call: Call) -> None:
    code, out, err = call("preview")
    assert (code, err) == (0, "")
    assert "└── " not in out.splitlines()[1]
    assert out.startswith("Agent Stack · dev   4 objects in 1 namespace\npart Part")
    assert "pulumi stack select --create dev && pulumi up" in out
    assert sorted(written(project / "build" / "dev")) == [
        ".agentstack",
        "00-namespaces/namespace.space.yaml",
        "30-configuration/space.configmap.config.yaml",
        "30-configuration/space.secret.auth.yaml",
        "40-services/space.service.service.yaml",
    ]
    again = written(project / "build" / "dev")
    assert "0 written, 4 unchanged, 0 removed" in call("preview", "dev")[1]
    assert written(project / "build" / "dev") == again


def test_json(project: pathlib.Path, call: Call) -> None:
    code, out, _ = call("preview", "--json", "--out", "elsewhere")
    assert code == 0
    content = json.loads(out)
    assert (content["folder"], content["outputs"]) == ("elsewhere", {"where": "here"})
    assert content["components"][0]["objects"] == {"ConfigMap": 1, "Namespace": 1, "Secret": 1, "Service": 1}
    assert not (project / "build").exists()


def test_from_a_folder_of_the_project(project: pathlib.Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "agents")
    assert call("preview")[0] == 0
    assert (project / "build" / "dev" / "00-namespaces").is_dir()


def test_policy_violations(project: pathlib.Path, call: Call) -> None:
    write_project(project, VIOLATION)
    code, out, _ = call("preview", "--out", "a b")
    assert code == 1
    assert "error " in out
    assert "next      agentstack preview dev --out 'a b'   # again" in out
    assert (project / "a b" / "50-workloads" / "space.pod.pod.yaml").exists()


@pytest.mark.parametrize(
    ("program", "config", "arguments", "message"),
    [
        (
            SETTINGS_PROGRAM,
            "{redis: {shard: 3}}",
            [],
            r"Pulumi.dev.yaml:1: agentstack:redis.shard: unknown key `shard`",
        ),
        (SETTINGS_PROGRAM, "{secrets: {KEY: plain}}", [], "a secret in plain text"),
        (SETTINGS_PROGRAM, "{}", ["--agents", "nowhere"], "nowhere: is not a folder"),
        (SETTINGS_PROGRAM, "{}", ["--settings", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        ("import pulumi\nraise pulumi.RunError('not so')\n", "{}", [], "not so"),
        ("", "[a]", [], "must be a group"),
        ("", "{}", ["prd"], "unknown environment `prd`"),
        ("", "{}", ["--out", "agents"], "agents: is not empty, and not written by this tool"),
        ("", "{}", ["--show", "agent", "oen"], "unknown agent `oen`, did you mean `one`"),
        ("", "{}", ["--show", "topic", "x"], "unknown kind `topic`"),
        ("", "{}", ["--with-dev-secrets"], "agentstack:platform.safeguards.requireSecrets: is on"),
        ("", "{}", ["--no-such-option"], "No such option"),
    ],
)
def test_bad_input(
    project: pathlib.Path, call: Call, program: str, config: str, arguments: list[str], message: str
) -> None:
    write_project(project, program, config)
    before = written(project)
    code, out, err = call("preview", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert written(project) == before


def test_a_bug_shows_itself(
    project: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(project, "1 / 0\n")
    monkeypatch.setattr(sys, "argv", ["agentstack", "preview"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 70  # not 1, which says that a policy is violated
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_other_agents_and_settings(project: pathlib.Path, call: Call) -> None:
    write_project(project, SETTINGS_PROGRAM)
    (project / "others").mkdir()
    (project / "others" / "two.yaml").write_text("name: two\nimage: x/two:1\n")
    (project / "other.yaml").write_text("config: {'agentstack:agents': {two: {replicas: 3}}}\n")
    code, out, _ = call("preview", "dev", "--json", "--agents", "others", "--settings", "other.yaml")
    assert (code, json.loads(out)["outputs"]) == (0, {"agents": ["two"]})


def test_show_an_agent(project: pathlib.Path, call: Call) -> None:
    write_project(project, config="{'agentstack:agents': {one: {env: {LEVEL: debug}}}}")
    code, out, _ = call("preview", "--show", "agent", "one")
    content = yaml.safe_load(out)
    assert code == 0
    assert next(iter(content)) == "name"
    assert (content["env"], content["shutdown"]["preStop"]) == ({"LEVEL": "debug", "MODE": "fast"}, "5s")
    assert not (project / "build").exists()


def test_dev_secrets(project: pathlib.Path, call: Call) -> None:
    write_project(project, config=DEV)
    _, out, _ = call("preview", "--out", "built")
    assert "agentstack preview dev --out built --with-dev-secrets && kubectl apply --server-side -f built -R" in out
    path = project / "built" / "30-configuration" / "space.secret.auth.yaml"
    assert "stringData" not in yaml.safe_load(path.read_text())
    code, out, _ = call("preview", "--out", "built", "--with-dev-secrets")
    assert code == 0
    filled = path.read_text()
    password = yaml.safe_load(filled)["stringData"]["password"]
    assert (len(password), yaml.safe_load(filled)["stringData"]["url"]) == (24, f"x://:{password}@h")
    assert password not in out
    assert "0 written, 4 unchanged" in call("preview", "--out", "built", "--with-dev-secrets")[1]
    assert path.read_text() == filled
    assert list(json.loads((project / ".dev-secrets" / "dev.json").read_text()).values()) == [password]


def test_schema(project: pathlib.Path, call: Call) -> None:
    code, _, err = call("schema", "--check")
    assert (code, err.startswith("not current: schemas/agent.schema.json, schemas/environment")) == (1, True)
    assert call("schema")[0] == 0
    assert call("schema", "--check")[0] == 0


def test_help_needs_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['agentstack', '--help']\n"
        "import atexit; atexit.register(lambda: print(sorted({'pulumi', 'pydantic', 'rich'} & set(sys.modules))))\n"
        "from agentstack.commands.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    output, _, heavy = done.stdout.rstrip("\n").rpartition("\n")
    assert heavy == "[]"
    assert [line.split()[0] for line in output.partition("Commands:\n")[2].splitlines()] == list(SUMMARIES)


def test_the_help_of_a_command_needs_no_engines_sdk() -> None:
    # One process for all: what one command imports, another may.
    program = (
        "import sys, typer\n"
        "from agentstack.commands.cli import SUMMARIES, app\n"
        "group = typer.main.get_command(app)\n"
        "for name in SUMMARIES:\n"
        "    group.main([name, '--help'], prog_name='agentstack', standalone_mode=False)\n"
        "print('pulumi' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert done.stdout.count("Usage: agentstack ") == len(SUMMARIES)


def test_each_command_is_summed_up_as_it_says_itself() -> None:
    group: Any = typer.main.get_command(app)
    for name, summary in SUMMARIES.items():
        context = group.make_context("agentstack", [name, "--help"], resilient_parsing=True)
        _, command, _ = group.resolve_command(context, [name])
        assert " ".join(command.help.partition("\n\n")[0].split()) == summary


def test_the_kubeconfig_of_this_machine_is_no_part_of_what_is_declared(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.chdir(ROOT)
    found = []
    for path in ("/one/config", "/another/config"):
        monkeypatch.setenv("KUBECONFIG", path)
        code, output, _ = call("preview", "prod", "--json", "--out", str(tmp_path / "out"))
        assert code == 0
        found.append(json.loads(output)["resources"])
    assert found[0] == found[1] != []
