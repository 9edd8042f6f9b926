"""The workflows of GitHub Actions and GitLab: sound by their linters, and least in what they may do."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent  # the linters are development requirements
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.y*ml"))
ACTIONS = sorted((ROOT / ".github/actions").glob("*/action.y*ml"))
GITLAB = ROOT / ".gitlab-ci.yml"
ENVIRONMENTS = {path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml")}
OWN_BRANCH = "github.event.pull_request.head.repo.full_name == github.repository"


def load(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["on"] = content.pop(True, None)  # YAML 1.1 reads `on` as a boolean
    return dict(content)


def named(name: str) -> dict[str, Any]:
    return load(ROOT / f".github/workflows/{name}.yaml")


def triggers(workflow: dict[str, Any]) -> set[str]:
    return {workflow["on"]} if isinstance(workflow["on"], str) else set(workflow["on"])


def jobs() -> list[Any]:
    found = []
    for path in WORKFLOWS:
        workflow = load(path)
        for name, job in workflow["jobs"].items():
            found.append(pytest.param(workflow, job, id=f"{path.stem}-{name}"))
    return found


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every step, and where it stands."""
    for path in WORKFLOWS:
        for name, job in load(path)["jobs"].items():
            yield from ((f"{path.name}: {name}", step) for step in job["steps"])
    for path in ACTIONS:
        yield from ((str(path.relative_to(ROOT)), step) for step in load(path)["runs"]["steps"])


def writes(job: dict[str, Any]) -> set[str]:
    return {scope for scope, level in job["permissions"].items() if level == "write"}


def gitlab_scripts() -> Iterator[tuple[str, str]]:
    for name, job in yaml.safe_load(GITLAB.read_text(encoding="utf-8")).items():
        if isinstance(job, dict):
            for key in ("before_script", "script"):
                if key in job:
                    yield f"{GITLAB.name}: {name}", "\n".join(job[key])


def scripts() -> list[tuple[str, str]]:
    return [(where, step["run"]) for where, step in steps() if "run" in step] + list(gitlab_scripts())


def succeeds(*command: str | Path, given: str = "") -> None:
    done = subprocess.run(command, cwd=ROOT, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_they_meet_the_schemas() -> None:
    check = BIN / "check-jsonschema"
    succeeds(check, "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)
    succeeds(check, "--builtin-schema", "custom.github-workflows-require-timeout", *WORKFLOWS)
    succeeds(check, "--builtin-schema", "vendor.github-actions", *ACTIONS)
    succeeds(check, "--builtin-schema", "vendor.dependabot", ROOT / ".github/dependabot.yml")
    succeeds(check, "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci", GITLAB)


def test_zizmor_finds_nothing_even_if_pedantic() -> None:
    succeeds(BIN / "zizmor", "--quiet", "--offline", "--persona=pedantic", "--strict-collection", ".github")


def test_zizmor_is_told_to_look_away_once() -> None:
    ignored = [line for path in [*WORKFLOWS, *ACTIONS] for line in path.read_text().splitlines() if "zizmor:" in line]
    assert len(ignored) == 1
    assert "workflow_run: # zizmor: ignore[dangerous-triggers]" in ignored[0]


@pytest.mark.parametrize(("where", "script"), scripts())
def test_what_they_run_passes_shellcheck(where: str, script: str) -> None:
    succeeds(BIN / "shellcheck", "--shell=bash", "-", given=script)
    assert len(script.splitlines()) <= 3, f"{where}: more than three lines belong into .ci, where people can run them"
    assert "${{" not in script, f"{where}: values reach scripts by env, where they cannot become commands"


@pytest.mark.parametrize(
    ("where", "script"),
    [*scripts(), *((f".ci/{name}", (ROOT / ".ci" / name).read_text()) for name in ("diff", "stack"))],
)
def test_what_they_run_exists(where: str, script: str) -> None:
    makefile = (ROOT / "Makefile").read_text().replace("$(VENV)", ".venv")
    targets = re.findall(r"^([\w./-]+):", makefile, re.MULTILINE)
    for target in re.findall(r"\bmake (?:--silent )?([\w./-]+)", script):
        assert target in targets, where
    for path in re.findall(r"(?<!\S)(\.ci/[\w./-]+)", script):
        assert (ROOT / path).stat().st_mode & 0o111, f"{where}: {path} is not executable"


def test_agentstack_knows_the_commands_and_options() -> None:
    """Those that the workflows and their scripts give it."""
    for command, options in {"diff": ("--base", "--out", "--live"), "drift": ("--markdown",)}.items():
        done = subprocess.run(
            [sys.executable, "-m", "agentstack", command, "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert all(option in done.stdout for option in options), done.stdout


def test_actions_are_pinned_by_commit_and_say_their_version() -> None:
    lines = [line for path in [*WORKFLOWS, *ACTIONS] for line in path.read_text().splitlines() if "uses:" in line]
    assert len(lines) > 10
    pins: dict[str, set[str]] = {}
    for line in lines:
        if "uses: $/" in line:  # this repository, at the commit that runs
            assert (ROOT / line.split("$/")[1].strip() / "action.yaml").is_file(), line
            continue
        found = re.search(r"uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+$", line)
        assert found, line
        pins.setdefault(found[1], set()).add(line.split("@")[1])
    assert all(len(versions) == 1 for versions in pins.values()), pins


@pytest.mark.parametrize(("workflow", "job"), jobs())
def test_jobs_may_do_nothing_that_they_do_not_name(workflow: dict[str, Any], job: dict[str, Any]) -> None:
    assert workflow["permissions"] == {}
    assert job["permissions"]["contents"] == "read"


@pytest.mark.parametrize(("workflow", "job"), jobs())
def test_credentials_stay_behind_environments(workflow: dict[str, Any], job: dict[str, Any]) -> None:
    """A workflow that anyone's pull request can change has nothing to give away."""
    assert "pull_request_target" not in triggers(workflow)
    assert "secrets: inherit" not in str(job)
    credentials = "secrets." in str(job) or "id-token" in writes(job)
    if not credentials:
        assert "environment" not in job
        return
    assert not triggers(workflow) & {"workflow_run", "issue_comment"}
    assert re.search(r"vars\.(DEPLOYMENTS|RELEASES) == 'on'", job.get("if", "")) or "needs" in job
    if "pull_request" in triggers(workflow):
        assert job["environment"].startswith("preview-")
        assert OWN_BRANCH in job["if"]
        assert writes(job) == {"id-token"}
    else:
        assert triggers(workflow) <= {"push", "schedule", "workflow_dispatch"}


@pytest.mark.parametrize(("workflow", "job"), jobs())
def test_nothing_of_a_pull_request_runs_where_something_may_be_written(
    workflow: dict[str, Any], job: dict[str, Any]
) -> None:
    if not writes(job) - {"id-token"}:
        return
    assert not any(name.startswith("pull_request") for name in triggers(workflow))
    for step in job["steps"]:
        # The default branch as it is, a sparse part of it, and no program that would install or run a change.
        given = step.get("with", {})
        assert not {"ref", "repository", "allow-unsafe-pr-checkout"} & set(given)
        if "workflow_run" in triggers(workflow):
            assert step.get("uses", "actions/checkout@").startswith("actions/checkout@")
            assert given.get("sparse-checkout", ".ci") == ".ci"
            assert not re.search(r"\b(make|pip|python|npm|unzip|eval|source)\b", step.get("run", ""))


@pytest.mark.parametrize(("where", "step"), [item for item in steps() if "checkout@" in item[1].get("uses", "")])
def test_checkouts_leave_no_token_behind(where: str, step: dict[str, Any]) -> None:
    assert step["with"]["persist-credentials"] is False, where


def test_comment_follows_the_report() -> None:
    report, comment = named("pull-request"), named("pull-request-comment")
    assert comment["on"]["workflow_run"] == {"workflows": [report["name"]], "types": ["completed"]}
    (upload,) = [step for step in report["jobs"]["diff"]["steps"] if "upload-artifact" in step.get("uses", "")]
    assert upload["with"]["name"] == "diff"
    assert upload["if"] == "always()"  # the report of a refused change is the one that people need
    assert 'ARTIFACT = "diff"' in (ROOT / ".ci/comment.py").read_text()


def test_every_environment_has_its_place() -> None:
    for path in WORKFLOWS:
        for job in load(path)["jobs"].values():
            matrix = job.get("strategy", {}).get("matrix", {})
            if "environment" in matrix:
                assert set(matrix["environment"]) == ENVIRONMENTS, path.name
    gitlab = yaml.safe_load(GITLAB.read_text(encoding="utf-8"))
    assert {*gitlab} >= ENVIRONMENTS
    for job in gitlab.values():
        if isinstance(job, dict) and "parallel" in job:
            assert set(job["parallel"]["matrix"][0]["ENVIRONMENT"]) == ENVIRONMENTS


def test_main_is_promoted_from_one_environment_to_the_next() -> None:
    deploy = named("deploy")["jobs"]
    order = ["preview", "dev", "staging", "prod"]
    assert list(deploy) == order
    for before, name in itertools.pairwise(order):
        job = deploy[name]
        assert job["needs"] == before
        assert "if" not in job, "a condition of its own would run it although the one before has failed"
        assert job["environment"] == name
        assert job["concurrency"] == {"group": f"stack-{name}", "cancel-in-progress": False}
        assert job["steps"][-1]["run"] == f".ci/stack up {name}"
    gitlab = yaml.safe_load(GITLAB.read_text(encoding="utf-8"))
    assert [stage for stage in gitlab["stages"] if stage in ENVIRONMENTS] == order[1:]
    for name in ("staging", "prod"):
        assert gitlab[name]["rules"][0]["when"] == "manual"
        assert gitlab[name]["rules"][0]["allow_failure"] is False


def test_engine_has_the_version_of_its_sdk() -> None:
    (version,) = re.findall(r"^pulumi==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    (installs,) = [step for _, step in steps() if step.get("uses", "").startswith("pulumi/actions@")]
    assert installs["with"]["pulumi-version"] == version
    gitlab = yaml.safe_load(GITLAB.read_text(encoding="utf-8"))
    assert gitlab[".engine"]["variables"]["PULUMI_VERSION"] == version
