"""`agentstack diff` from outside: real repositories, what is printed and written, and exit codes."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.commandline import ROOT, agentstack

from .test_diff_base import commit, git

PARTS = (
    "agentstack",
    "agents",
    "components",
    "costs",
    "manifests",
    "policies",
    "settings",
    "workflows",
    "__main__.py",
    "requirements.txt",
    "Pulumi*.yaml",
)


@pytest.fixture
def project(tmp_path: pathlib.Path) -> pathlib.Path:
    """This project as a repository of its own, with the branch `change` at the same commit as `main`."""
    folder = tmp_path / "project"
    folder.mkdir()
    for pattern in PARTS:
        for path in ROOT.glob(pattern):
            if path.is_dir():
                shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(path, folder)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / ".gitignore").write_text("__pycache__/\n")
    commit(folder, "the project")
    git(folder, "checkout", "--quiet", "-b", "change")
    return folder


def diff(project: pathlib.Path, *arguments: str) -> tuple[int, str, str]:
    """Run the command in this process, where the project's own code is that of this checkout; the base has its own."""
    return agentstack("diff", *arguments, folder=project)


def diff_of_its_own(project: pathlib.Path, *arguments: str) -> tuple[int, str, str]:
    """Run the command in a process of its own, with the project's own code."""
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-m", "agentstack", "diff", *arguments]
    done = subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def as_json(
    project: pathlib.Path, *environments: str, run: Callable[..., tuple[int, str, str]] = diff
) -> tuple[int, dict[str, Any]]:
    code, out, _ = run(project, *environments, "--base", "main", "--json")
    found = json.loads(out)
    assert found["exitCode"] == code
    return code, {environment["environment"]: environment for environment in found["environments"]}


def edit(file: pathlib.Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def test_nothing_changes(project: pathlib.Path) -> None:
    code, out, _ = diff(project, "dev", "--base", "main")
    assert code == 0
    assert "nothing changes" in out
    assert "0 objects change." in out


def test_a_change_in_all_environments(project: pathlib.Path, tmp_path: pathlib.Path) -> None:
    edit(project / "agents/executor.yaml", "services:1.0.0", "services:1.1.0")
    edit(project / "Pulumi.prod.yaml", "storage: 20Gi", "storage: 40Gi")
    (project / "notes.txt").write_text("untracked")
    status = git(project, "status", "--porcelain")
    out = tmp_path / "out" / "deep"
    code, text, errors = diff_of_its_own(project, "dev", "staging", "prod", "--base", "main", "--out", str(out))
    assert (code, errors) == (0, "")
    for name in ("dev", "staging", "prod"):
        assert name in text
    assert "-   spec.template.spec.containers[executor].image: ghcr.io/agentstack/services:1.0.0" in text
    assert "+   spec.template.spec.containers[executor].image: ghcr.io/agentstack/services:1.1.0" in text

    found = json.loads((out / "diff.json").read_text())
    assert found["base"] == {
        "revision": "main",
        "commit": git(project, "rev-parse", "main"),
        "otherPackages": False,
    }
    by_name = {environment["environment"]: environment for environment in found["environments"]}
    titles = {name: {change["name"] for change in known["changes"]} for name, known in by_name.items()}
    assert titles["dev"] == titles["staging"] == {"executor"}
    assert titles["prod"] >= {"executor", "redis"}
    fields = {
        field["path"]: (field["before"], field["after"])
        for change in by_name["prod"]["changes"]
        if change["kind"] == "StatefulSet"
        for field in change["fields"]
    }
    assert fields == {"spec.volumeClaimTemplates[data].spec.resources.requests.storage": ("20Gi", "40Gi")}
    assert [one["workload"] for one in by_name["dev"]["rollouts"]] == ["Deployment/agents/executor"]
    assert by_name["prod"]["cost"]["after"] != by_name["prod"]["cost"]["before"]
    assert {"losses", "policies", "rollouts", "cost", "capacity", "graph", "changes"} <= set(by_name["dev"])

    written = {file.name for file in out.iterdir()}
    assert written == {"comment.md", "diff.json", "findings.sarif", "dev.html", "staging.html", "prod.html"}
    assert json.loads((out / "findings.sarif").read_text())["version"] == "2.1.0"

    comment = (out / "comment.md").read_text()
    assert comment.startswith("<!-- agentstack diff -->\n")
    assert "ghcr.io/agentstack/services:1.1.0" in comment
    assert git(project, "status", "--porcelain") == status, "the project is not written to"
    assert not (project / "build").exists()
    assert len(git(project, "worktree", "list").splitlines()) == 1


def test_each_revision_is_rendered_by_its_own_code(project: pathlib.Path) -> None:
    """The base's component makes another object than the working tree's."""
    edit(project / "components/namespaces/component.py", 'metadata("default-deny"', 'metadata("deny-all"')
    code, found = as_json(project, "dev", run=diff_of_its_own)
    actions = {(change["action"], change["kind"]) for change in found["dev"]["changes"]}
    assert code == 0
    assert actions == {("renamed", "NetworkPolicy")}
    assert all(change["name"] == "deny-all" for change in found["dev"]["changes"])


def test_what_a_change_does_to_its_own_judgement_is_seen(project: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Each of these makes something go that a reviewer would have seen."""
    (project / "policies/config/prod.json").write_text(
        '{\n\t"monthly-budget": {"monthly": 99999}, "secret-exists": "disabled"}'
    )
    (project / "policies/waivers.yaml").write_text(
        "- {rule: cpu-limit, resource: Deployment/agents/none, owner: me, reason: later, until: 2999-01-01}\n"
    )
    with (project / "policies/rules/pods.py").open("a") as file:
        file.write("# softer\n")
    edit(project / "policies/prices.yaml", "vcpuHour:", "vcpuHour: 0 #")
    edit(project / "Pulumi.yaml", "name: agentstack\n", "name: agentstack\nmain: elsewhere/\n")
    edit(project / "Pulumi.prod.yaml", "config:\n", "encryptionsalt: v1:salt\nconfig:\n  kubernetes:context: other\n")
    (project / "Pulumi.staging.yaml").unlink()
    _, found = as_json(project, "prod", run=diff_of_its_own)  # prices lie with the code
    gates = {(one["file"], one["path"]): (one["before"], one["after"]) for one in found["prod"]["steering"]}
    assert gates[("policies/config/prod.json", "monthly-budget.monthly")] == (1200, 99999)
    assert gates[("policies/config/prod.json", "secret-exists")] == (
        {"existing": ["agents/model-provider"]},
        "disabled",
    )
    waiver = "waiver of cpu-limit for Deployment/agents/none"
    assert gates[("policies/waivers.yaml", waiver)] == (None, "until 2999-01-01, me: later")
    assert gates[("prices", "vcpuHour")][1] == "0"
    assert gates[("Pulumi.yaml", "main")] == (None, "elsewhere/")
    assert gates[("Pulumi.prod.yaml", "encryptionsalt")] == (None, "(secret)")
    assert gates[("Pulumi.prod.yaml", '["kubernetes:context"]')] == (None, "other")
    _, text, _ = diff(project, "prod", "--base", "main", "--out", str(tmp_path / "out"))
    comment = (tmp_path / "out/comment.md").read_text()
    for shown in (text, comment.replace("`", "")):
        assert "policies/rules/pods.py" in shown
        assert "staging: its file is gone" in shown
        assert waiver in shown
    assert "policy errors" in text


def test_commands_to_paste_are_quoted(project: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (project / "Pulumi.$(id).yaml").write_text("config: 3\n")
    commit(project)
    git(project, "branch", "--force", "main")
    (project / "Pulumi.$(id).yaml").unlink()
    _, text, _ = diff(project, "dev", "; x", "--base", "main")
    assert "pulumi destroy --stack '$(id)'" in text
    assert "agentstack diff dev '; x' --base main" in text


def test_a_new_environment_and_one_that_is_gone(project: pathlib.Path) -> None:
    shutil.copy(project / "Pulumi.dev.yaml", project / "Pulumi.trial.yaml")
    (project / "Pulumi.staging.yaml").unlink()
    code, found = as_json(project, "trial", "staging", "dev")
    assert code == 2
    assert found["trial"]["new"]
    assert {change["action"] for change in found["trial"]["changes"]} == {"added"}
    assert found["staging"]["exitCode"] == 2
    assert "unknown environment `staging`" in found["staging"]["error"]
    assert "the base, main at " in found["staging"]["error"]
    assert "pulumi destroy --stack staging" in found["staging"]["error"]
    assert (found["dev"]["exitCode"], found["dev"]["verdict"]) == (0, "nothing changes")


def test_what_is_destroyed_needs_an_approval(project: pathlib.Path) -> None:
    edit(project / "Pulumi.prod.yaml", "events: {partitions: 12", "events: {partitions: 10")
    code, found = as_json(project, "prod", "dev")
    assert code == 3
    assert (found["prod"]["exitCode"], found["dev"]["exitCode"]) == (3, 0)
    assert found["prod"]["verdict"] == "destroys, not approved"
    [change] = [change for change in found["prod"]["losses"] if not change["approved"]]
    assert change["resource"] == "kafka.topics.events.partitions"
    safeguards = (
        '{approvedReplacements: [{resource: kafka.topics.events.partitions, until: "2999-01-01", reason: unused}]}'
    )
    edit(project / "Pulumi.prod.yaml", "config:\n", f"config:\n  agentstack:platform: {{safeguards: {safeguards}}}\n")
    code, found = as_json(project, "prod")
    assert code == 0
    assert found["prod"]["verdict"] == "worth a look: what it destroys"


def test_findings_are_new_solved_or_were_there(project: pathlib.Path) -> None:
    edit(project / "components/pods.py", 'drop=["ALL"]', 'drop=["NET_RAW"]')
    commit(project)
    git(project, "branch", "--force", "main")
    edit(project / "components/pods.py", "read_only_root_filesystem=True", "read_only_root_filesystem=False")
    code, found = as_json(project, "dev", run=diff_of_its_own)
    policies = found["dev"]["policies"]
    assert code == 1
    assert found["dev"]["verdict"] == "policy errors"
    assert {finding["rule"] for finding in policies["new"]} == {"read-only-root-filesystem"}
    assert "drop-all-capabilities" in {finding["rule"] for finding in policies["left"]}
    assert policies["solved"] == []
    edit(project / "components/pods.py", 'drop=["NET_RAW"]', 'drop=["ALL"]')
    edit(project / "components/pods.py", "read_only_root_filesystem=False", "read_only_root_filesystem=True")
    code, found = as_json(project, "dev", run=diff_of_its_own)
    assert code == 0
    assert "drop-all-capabilities" in {finding["rule"] for finding in found["dev"]["policies"]["solved"]}


def test_bad_input_in_the_working_tree(project: pathlib.Path, tmp_path: pathlib.Path) -> None:
    edit(project / "Pulumi.prod.yaml", "shards: 3", "shards: many")
    out = tmp_path / "out"
    code, text, errors = diff(project, "dev", "prod", "--base", "main", "--out", str(out))
    assert code == 2
    assert errors.startswith("Pulumi.prod.yaml:7: agentstack:redis.shards: must be a whole number")
    assert "nothing changes" in text, "dev is judged all the same"
    assert "must be a whole number" in (out / "comment.md").read_text()


def test_bad_input_in_the_base(project: pathlib.Path) -> None:
    edit(project / "Pulumi.dev.yaml", "cpu: 50m", "cpu: lots")
    commit(project)
    git(project, "branch", "--force", "main")
    edit(project / "Pulumi.dev.yaml", "cpu: lots", "cpu: 50m")
    (project / "requirements.txt").write_text("other==1\n")
    code, text, errors = diff(project, "dev", "--base", "main")
    assert code == 2
    [line] = errors.splitlines()
    assert line.startswith("dev: the base, main at ")
    assert "cannot be rendered: Pulumi.dev.yaml:" in line
    assert "its requirements.txt differs" in line
    assert "cannot be rendered" in text


def test_an_unknown_base_is_one_line_and_in_the_comment(project: pathlib.Path, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "out"
    code, text, errors = diff(project, "dev", "--base", "mian", "--out", str(out))
    assert (code, text) == (2, "")
    assert errors == "--base: `mian` is not known to git, did you mean `main`?\n"
    comment = (out / "comment.md").read_text()
    assert comment.startswith("<!-- agentstack diff -->\n")
    assert "did you mean `main`?" in comment


def test_a_bug_is_not_bad_input_and_the_comment_says_so(project: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (project / "__main__.py").write_text("raise TypeError('hunter2')")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "agentstack", "diff", "dev", "--base", "main", "--out", str(out)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 70
    comment = (out / "comment.md").read_text()
    assert "agentstack diff failed with TypeError: see the log" in comment
    assert "hunter2" not in comment
    assert len(git(project, "worktree", "list").splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dev", "--base", "main", "--json", "--markdown"), "cannot be printed with --markdown"),
        (("dev", "--base", "main", "--out", "Pulumi.yaml"), "Pulumi.yaml: cannot be used: File exists"),
        (("../dev", "--base", "main"), "unknown environment `../dev`"),
        (("dev",), "Missing option '--base'"),
    ],
)
def test_arguments(project: pathlib.Path, arguments: tuple[str, ...], message: str) -> None:
    code, _, errors = diff(project, *arguments)
    assert code == 2
    assert message in errors


def test_ctrl_c_leaves_nothing_behind(project: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "temporary").mkdir()
    mark = tmp_path / "mark"
    # Both revisions are under way: the base in a process of its own.
    (project / "__main__.py").write_text(
        f"import pathlib, time\npathlib.Path({str(mark)!r}).touch()\ntime.sleep(120)\n"
    )
    commit(project)
    git(project, "branch", "--force", "main")
    process = subprocess.Popen(
        [sys.executable, "-m", "agentstack", "diff", "dev", "--base", "main"],
        cwd=project,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background may have been started with SIGINT ignored, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not mark.exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate()
    assert (process.returncode, out, errors) == (130, "", "interrupted\n")
    assert len(git(project, "worktree", "list").splitlines()) == 1
    assert list((tmp_path / "temporary").iterdir()) == []


def test_markdown_is_what_out_writes(project: pathlib.Path, tmp_path: pathlib.Path) -> None:
    edit(project / "agents/executor.yaml", "services:1.0.0", "services:1.1.0")
    _, text, _ = diff(project, "dev", "--base", "main", "--markdown", "--out", str(tmp_path))
    assert text == (tmp_path / "comment.md").read_text()
