"""`.ci/stack` with the real engine: it takes the options, and stops where something is left to do."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from .conftest import ROOT, Project


@pytest.fixture(scope="module")
def stack(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    other = project.beside(tmp_path_factory.mktemp("ci"), "ci_program.py", stack="dev")
    for folder in (".ci", "policies"):
        shutil.copytree(ROOT / folder, other.folder / folder)
    (other.folder / "Makefile").write_text(".venv/runtime: ;\n")
    return other


def ci(stack: Project, command: str) -> subprocess.CompletedProcess[str]:
    environment = stack.environment | {"GITHUB_STEP_SUMMARY": str(stack.folder / "summary.md")}
    return subprocess.run(
        [stack.folder / ".ci/stack", command, "dev"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_stack_is_previewed_deployed_and_done(stack: Project) -> None:
    previewed = ci(stack, "preview")
    assert previewed.returncode == 0, previewed.stdout
    assert "+ 2 to create" in previewed.stdout
    assert "policies" in previewed.stdout  # the pack has run
    assert "### dev: `pulumi preview`" in (stack.folder / "summary.md").read_text()
    deployed = ci(stack, "up")
    assert deployed.returncode == 0, deployed.stdout
    assert "2 unchanged" in deployed.stdout


def test_stack_that_is_never_done_fails(stack: Project) -> None:
    stack.pulumi("config", "set", "always", "true")
    done = ci(stack, "up")
    assert done.returncode == 7
    assert "no changes were expected" in done.stdout


def test_missing_stack_is_said(stack: Project) -> None:
    (stack.folder / "Pulumi.prod.yaml").touch()
    done = subprocess.run(
        [stack.folder / ".ci/stack", "preview", "prod"],
        env=stack.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "no stack named 'prod' found" in done.stdout + done.stderr
