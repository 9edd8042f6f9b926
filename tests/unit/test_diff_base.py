"""The base of a change: found by git, rendered by its own code, and nothing left behind."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

from agentstack.compare.base import checked_out
from settings.errors import SettingsError

from .cli_program import write_project

ROOT = pathlib.Path(__file__).parents[2]


def git(folder: pathlib.Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: pathlib.Path, message: str = "change") -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A repository with a project in it, on a branch `change` one commit after `main`."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    folder = write_project(tmp_path / "repository")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / "requirements.txt").write_text("a==1\n")
    commit(folder)
    git(folder, "checkout", "--quiet", "-b", "change")
    commit(folder)
    return folder


def left_behind(repository: pathlib.Path) -> list[str]:
    trees = git(repository, "worktree", "list").splitlines()[1:]
    return [*trees, *map(str, (repository.parent / "temporary").iterdir())]


def refusal(project: pathlib.Path, revision: str = "main") -> str:
    with pytest.raises(SettingsError) as caught, checked_out(project, revision):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rendered(project: pathlib.Path, folder: pathlib.Path, revision: str = "main") -> set[str]:
    folder.mkdir()
    with checked_out(project, revision) as base, base.rendering("dev", folder) as rendering:
        return {known.title for known in rendering.snapshot().objects.values()}


# --- which commit ---


def test_the_base_is_where_the_branch_went_off(repository: pathlib.Path) -> None:
    went_off = git(repository, "rev-parse", "main")
    git(repository, "checkout", "--quiet", "main")
    (repository / "later").touch()
    commit(repository, "main goes on")
    git(repository, "checkout", "--quiet", "change")
    with checked_out(repository, "main") as base:
        assert base.commit == went_off
        assert base.title == f"main at {went_off[:7]}"
        assert not (base.project / "later").exists()
        assert base.has("dev")
        assert not base.has("prod")
    assert left_behind(repository) == []


def test_a_project_in_a_folder_of_the_repository(tmp_path: pathlib.Path, repository: pathlib.Path) -> None:
    inner = write_project(repository / "deep" / "inside")
    git(repository, "checkout", "--quiet", "main")
    commit(repository)
    assert "Service/space/service" in rendered(inner, tmp_path / "out")


def test_without_git(repository: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert refusal(repository) == "--base: git is not on PATH: install it"


def test_outside_of_a_repository(tmp_path: pathlib.Path) -> None:
    assert "is in no git repository" in refusal(write_project(tmp_path / "alone"))


def test_a_repository_without_a_commit(tmp_path: pathlib.Path) -> None:
    folder = write_project(tmp_path / "fresh")
    git(folder, "init", "--quiet")
    assert "no commit yet" in refusal(folder)


@pytest.mark.parametrize("revision", ["nowhere", "--help", "-q", "", "main\nx", "main^{tree}", "\x1b[31m"])
def test_an_unknown_revision(repository: pathlib.Path, revision: str) -> None:
    assert "is not known to git" in refusal(repository, revision)


def test_an_unknown_revision_that_a_remote_knows(tmp_path: pathlib.Path, repository: pathlib.Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(repository), str(clone))
    assert refusal(clone) == "--base: `main` is not known to git, did you mean `origin/main`?"


def test_a_shallow_clone(tmp_path: pathlib.Path, repository: pathlib.Path) -> None:
    for number in range(3):
        commit(repository, str(number))
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", "--no-single-branch", f"file://{repository}", str(clone))
    message = refusal(clone, "origin/main")
    assert "git fetch --deepen=100" in message
    assert "fetch-depth: 0" in message
    git(clone, "fetch", "--quiet", "--deepen=100")
    with checked_out(clone, "origin/main") as base:
        assert base.commit == git(repository, "rev-parse", "main")
    single = tmp_path / "single"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repository}", str(single))
    assert "this clone is shallow: fetch it with" in refusal(single, "main")


def test_nothing_in_common(repository: pathlib.Path) -> None:
    git(repository, "checkout", "--quiet", "--orphan", "other")
    commit(repository, "another beginning")
    assert "have no commit in common" in refusal(repository)


# --- what is left behind ---


def test_the_project_stays_as_it_is(tmp_path: pathlib.Path, repository: pathlib.Path) -> None:
    (repository / "untracked").write_text("x")
    (repository / "__main__.py").write_text("broken(")
    before = git(repository, "status", "--porcelain", "--ignored")
    assert "Service/space/service" in rendered(repository, tmp_path / "out")
    assert git(repository, "status", "--porcelain", "--ignored") == before
    assert left_behind(repository) == []


def test_hooks_do_not_run(repository: pathlib.Path, tmp_path: pathlib.Path) -> None:
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    with checked_out(repository, "main"):
        pass
    assert not (tmp_path / "ran").exists()


def test_the_variables_of_a_hook_do_not_confuse_it(
    tmp_path: pathlib.Path, repository: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_project(tmp_path / "other")
    git(other, "init", "--quiet")
    commit(other)
    index = (other / ".git" / "index").read_bytes()
    main = git(repository, "rev-parse", "main")
    with monkeypatch.context() as hook:
        hook.setenv("GIT_DIR", str(other / ".git"))
        hook.setenv("GIT_WORK_TREE", str(other))
        hook.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
        with checked_out(repository, "main") as base:
            assert base.commit == main
    assert (other / ".git" / "index").read_bytes() == index
    assert left_behind(repository) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_it_is_removed_whatever_happens(repository: pathlib.Path, error: type[BaseException]) -> None:
    with pytest.raises(error), checked_out(repository, "main"):
        raise error
    assert left_behind(repository) == []


HOLD = "import pathlib, sys, time\nfrom agentstack.compare.base import checked_out\n" + (
    "with checked_out(pathlib.Path(sys.argv[1]), 'main'):\n    print('ready', flush=True)\n    time.sleep(60)\n"
)


def hold(repository: pathlib.Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(repository)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # A test run in the background may have been started with SIGINT ignored, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_removes_it(repository: pathlib.Path, number: signal.Signals) -> None:
    process = hold(repository)
    process.send_signal(number)
    process.wait()
    assert left_behind(repository) == []


@pytest.mark.parametrize("folder_is_gone", [False, True])
def test_what_a_killed_run_left_is_removed_by_the_next(repository: pathlib.Path, folder_is_gone: bool) -> None:
    running, killed = hold(repository), hold(repository)
    killed.kill()
    killed.wait()
    if folder_is_gone:
        for folder in (repository.parent / "temporary").glob(f"*-{killed.pid}-*"):
            shutil.rmtree(folder)
    with checked_out(repository, "main"):
        trees = git(repository, "worktree", "list")
        assert f"-{killed.pid}-" not in trees
        assert f"-{running.pid}-" in trees, "that of a run under way stays"
    running.terminate()
    running.wait()
    assert left_behind(repository) == []


# --- its own code ---


def test_the_base_is_rendered_by_its_own_code(tmp_path: pathlib.Path, repository: pathlib.Path) -> None:
    program = (repository / "__main__.py").read_text()
    (repository / "__main__.py").write_text(program.replace('"service"', '"other"'))
    assert "Service/space/service" in rendered(repository, tmp_path / "out")


def own_package(folder: pathlib.Path, name: str) -> None:
    """A package `agentstack` that stands for the project's own command line."""
    package = folder / "agentstack"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import json, pathlib, sys\n"
        "out = pathlib.Path(sys.argv[sys.argv.index('--out') + 1])\n"
        "out.mkdir(parents=True)\n"
        f"(out / 'a.yaml').write_text('kind: A\\nmetadata: {{name: {name}}}\\n')\n"
        "print(json.dumps({'environment': 'dev', 'objects': [{'file': 'a.yaml'}]}))\n"
    )


@pytest.mark.parametrize("variable", ["PYTHONSAFEPATH", None])
def test_its_own_package_wins_over_an_installed_one(
    tmp_path: pathlib.Path, repository: pathlib.Path, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    """As in an editable installation, the working tree's package is on the path of the interpreter."""
    git(repository, "checkout", "--quiet", "main")
    own_package(repository, "base")
    commit(repository)
    git(repository, "checkout", "--quiet", "-b", "next")
    own_package(repository, "head")
    commit(repository)
    monkeypatch.setenv("PYTHONPATH", str(repository))
    if variable is not None:
        monkeypatch.setenv(variable, "1")
    assert rendered(repository, tmp_path / "out") == {"A/base"}


def test_a_base_without_the_package_does_not_borrow_the_working_trees(
    tmp_path: pathlib.Path, repository: pathlib.Path
) -> None:
    own_package(repository, "head")
    with pytest.raises(SettingsError, match="cannot be rendered: it has no folder agentstack/"):
        rendered(repository, tmp_path / "out")


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("def broken(:\n", "SyntaxError: invalid syntax"),
        ("raise ValueError('first line\\nsecond')", "ValueError: first line"),
        ("import nowhere\n", "ModuleNotFoundError: No module named 'nowhere'"),
        ("import sys; sys.exit(9)", "its code ended with 9"),
    ],
)
def test_a_base_that_cannot_be_rendered(
    tmp_path: pathlib.Path, repository: pathlib.Path, program: str, reason: str
) -> None:
    fine = (repository / "__main__.py").read_text()
    (repository / "__main__.py").write_text(program)
    commit(repository, "broken")
    git(repository, "branch", "--force", "main")
    (repository / "__main__.py").write_text(fine)
    with pytest.raises(SettingsError) as caught:
        rendered(repository, tmp_path / "out")
    message = str(caught.value)
    assert message.startswith("dev: the base, main at ")
    assert reason in message
    assert "requirements.txt" not in message
    assert "\n" not in message
    assert left_behind(repository) == []


def test_a_base_with_bad_input_says_its_first_line(tmp_path: pathlib.Path, repository: pathlib.Path) -> None:
    (repository / "Pulumi.dev.yaml").write_text("config: {}\nconfg: 1\n")
    (repository / "requirements.txt").write_text("a==2\n")
    commit(repository)
    git(repository, "branch", "--force", "main")
    (repository / "Pulumi.dev.yaml").write_text("config: {}\n")
    (repository / "requirements.txt").write_text("a==1\n")
    with pytest.raises(SettingsError) as caught:
        rendered(repository, tmp_path / "out")
    assert "cannot be rendered: Pulumi.dev.yaml:2: unknown key `confg`" in str(caught.value)
    assert "its requirements.txt differs" in str(caught.value)


def test_a_rendering_that_is_not_awaited_is_ended(tmp_path: pathlib.Path, repository: pathlib.Path) -> None:
    (repository / "__main__.py").write_text("import time; time.sleep(600)")
    commit(repository)
    git(repository, "branch", "--force", "main")
    (tmp_path / "out").mkdir()
    began = time.monotonic()
    with (
        pytest.raises(KeyError),
        checked_out(repository, "main") as base,
        base.rendering("dev", tmp_path / "out") as it,
    ):
        raise KeyError
    assert it.process.returncode is not None
    assert time.monotonic() - began < 60
