"""The base of a change: where it branched off, checked out beside the project and rendered by its own code."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

from agentstack.engine.processes import is_running
from manifests.text import cut, escaped, nearest
from settings.errors import SettingsError
from settings.files import environments

from .snapshot import Snapshot

# Hooks get some of these: they would lead git, called for a folder, to another repository or index.
# https://git-scm.com/docs/githooks#_description
_LOCATION = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
)
_PREFIX = "agentstack-diff-"
"""Of temporary folders; the number of the process that made them follows."""
_PACKAGES = ("agentstack", "settings", "components", "policies")
_JUDGES = (
    ".ci",
    ".github",
    ".gitlab-ci.yml",
    "agentstack",
    "policies/**/*.py",
    "policies/*.py",
    "costs",
    "manifests",
    "settings",
)
"""What says what a change does, and whether it may be; the settings hold what is refused."""
_LONGEST_REASON = 300


@dataclass(frozen=True)
class Base:
    """The base of a change, checked out in a temporary folder."""

    revision: str
    """What was asked for, such as `main`."""
    commit: str
    """The commit from which the working tree's branch went off there."""
    project: pathlib.Path
    """The project in it; it does not exist where the base has no such folder."""
    scratch: pathlib.Path
    """A folder that goes with it, for what is rendered."""
    other_packages: bool
    """Whether the base asks for other packages than those its code is run with, which are the working tree's."""
    missing: str | None = None
    """A package that the project's own code has, and the base has not."""
    programs: tuple[str, ...] = ()
    """The files that differ of the programs that compare and judge, from the project's folder, sorted."""
    gone: tuple[str, ...] = ()
    """The environments that the base has, and the working tree has no more."""

    @property
    def title(self) -> str:
        """How people call it: `main at 8d6b66c`."""
        short = self.commit[:7]
        return short if self.commit.startswith(self.revision) else f"{self.revision} at {short}"

    def has(self, environment: str) -> bool:
        """Return whether the base has the environment's file."""
        return all((self.project / name).is_file() for name in ("Pulumi.yaml", f"Pulumi.{environment}.yaml"))

    @contextlib.contextmanager
    def rendering(self, environment: str, folder: pathlib.Path) -> Iterator[Rendering]:
        """Start to render an environment by the base's own code, into `folder`; what is not awaited is ended.

        Raises `SettingsError` where the base has no code to do so.
        """
        if self.missing is not None:  # an editable installation would lend the working tree's instead
            raise self.refusal(environment, f"it has no folder {self.missing}/")
        log = folder / "log"
        command = [sys.executable, "-m", "agentstack", "preview", environment, "--json", "--out", str(folder / "files")]
        with (folder / "report").open("wb") as output, log.open("wb") as errors:
            process = subprocess.Popen(
                command,
                cwd=self.project,
                env=_environment(self.project),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )
        try:
            yield Rendering(self, environment, folder, process)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def refusal(self, environment: str, reason: str) -> SettingsError:
        """Return the error that says why the base cannot be rendered."""
        packages = (
            "; its requirements.txt differs, and its code ran with the working tree's packages"
            if self.other_packages
            else ""
        )
        return SettingsError(
            f"{environment}: the base, {self.title}, cannot be rendered: {reason}{packages}: "
            "take a base that `agentstack preview` can render"
        )


@dataclass(frozen=True)
class Rendering:
    """The base's code at work on one environment."""

    base: Base
    environment: str
    folder: pathlib.Path
    process: subprocess.Popen[bytes]

    def snapshot(self) -> Snapshot:
        """Wait for it, and return what it rendered.

        Raises `SettingsError` with the first thing that it says where it fails.
        """
        code = self.process.wait()
        report = (self.folder / "report").read_text(encoding="utf-8", errors="replace")
        if code in (0, 1):  # 1: its policies found something
            try:
                return Snapshot.read(report, self.folder / "files", revision=self.base.title)
            except (ValueError, KeyError, TypeError, OSError):
                raise self.base.refusal(self.environment, "its report is of a form that is not known here") from None
        raise self.base.refusal(self.environment, self._reason(code))

    def _reason(self, code: int) -> str:
        lines = (self.folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()
        reported = [line for line in lines if line.strip()]
        if not reported:
            return f"its code ended with {code}"
        line = reported[0]
        tracebacks = [number for number, text in enumerate(reported) if text.startswith("Traceback ")]
        if tracebacks:  # what follows the frames, which are indented
            line = next((text for text in reported[tracebacks[-1] + 1 :] if not text[0].isspace()), reported[-1])
        line = escaped(line.replace(f"{self.base.project}{os.sep}", "").strip())
        return cut(line, _LONGEST_REASON)


@contextlib.contextmanager
def checked_out(project: pathlib.Path, revision: str) -> Iterator[Base]:
    """Check out the commit at which HEAD left `revision`, in a temporary git worktree that is removed in every case.

    The project's folder stays as it is. Raises `SettingsError` without git, outside of a repository, for an unknown
    revision, and where the commit is not in the clone.
    """
    git = _Git(project)
    commit = git.merge_base(revision)
    inner = project.resolve().relative_to(git.root)
    git.remove_leftovers()
    parent = pathlib.Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")).resolve()
    with _ended_by_exception():
        try:
            tree = parent / "base"
            git.add_worktree(tree, commit)
            found = tree / inner
            yield Base(
                revision,
                commit,
                found,
                parent,
                other_packages=_content(found / "requirements.txt") != _content(project / "requirements.txt"),
                missing=next(
                    (name for name in _PACKAGES if (project / name).is_dir() and not (found / name).is_dir()), None
                ),
                programs=git.changed(commit, *_JUDGES),
                gone=tuple(sorted(set(environments(found)) - set(environments(project)))),
            )
        finally:
            git.remove_worktree(parent / "base")
            shutil.rmtree(parent, ignore_errors=True)


class _Git:
    """Git for the repository that the project lies in."""

    def __init__(self, project: pathlib.Path) -> None:
        self._project = project
        self._variables = {name: value for name, value in os.environ.items() if name not in _LOCATION}
        if shutil.which("git") is None:
            raise SettingsError("--base: git is not on PATH: install it")
        result = self._run("rev-parse", "--show-toplevel")
        if result.returncode != 0:
            if "dubious ownership" in result.stderr:
                raise SettingsError(
                    f"{project.absolute()}: git refuses this repository since another user owns it: "
                    f"run `git config --global --add safe.directory {project.absolute()}`"
                )
            raise SettingsError(
                f"{project.absolute()}: is in no git repository, so there is no base to compare with: "
                "run this in a clone, or `git init` and commit"
            )
        self.root = pathlib.Path(result.stdout.rstrip("\n")).resolve()

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Of the user's hooks, post-checkout would run in the worktree.
        command = ["git", "-c", f"core.hooksPath={os.devnull}", *arguments]
        return subprocess.run(
            command,
            cwd=self._project,
            env={**self._variables, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )

    def merge_base(self, revision: str) -> str:
        """Return the commit at which HEAD left `revision`."""
        shown = f"`{escaped(revision)}`"
        if self._run("rev-parse", "--verify", "--quiet", "HEAD^{commit}").returncode != 0:
            raise SettingsError("--base: the repository has no commit yet: commit, then change something")
        known = self._run("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        if revision.startswith("-") or known.returncode != 0:
            raise SettingsError(f"--base: {shown} is not known to git{self._fix(revision)}")
        result = self._run("merge-base", revision, "HEAD")
        commits = result.stdout.split()
        if result.returncode == 0 and commits:
            return commits[0]
        if self._is_shallow():
            raise SettingsError(
                f"--base: this clone is too shallow to hold where HEAD left {shown}: fetch more of it with "
                "`git fetch --deepen=100`, or all with `git fetch --unshallow` (in GitHub Actions: `fetch-depth: 0`)"
            )
        raise SettingsError(f"--base: HEAD and {shown} have no commit in common: name a branch that HEAD came from")

    def _fix(self, revision: str) -> str:
        branches = self._run("for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/remotes", "refs/tags")
        names = branches.stdout.split()
        remote = next((name for name in names if name.endswith(f"/{revision}") and name != revision), None)
        if remote is not None:
            return f", did you mean `{remote}`?"
        if self._is_shallow():
            return ": this clone is shallow: fetch it with `git fetch --deepen=100 origin BRANCH`"
        return nearest(revision, names, "fetch it with `git fetch origin BRANCH`, and name it `origin/BRANCH`")

    def _is_shallow(self) -> bool:
        return self._run("rev-parse", "--is-shallow-repository").stdout.strip() == "true"

    def changed(self, commit: str, *paths: str) -> tuple[str, ...]:
        """Return the files that differ from `commit` or are new, relative to the project."""
        names = self._run("diff", "--name-only", "--no-ext-diff", "--relative", "-z", commit, "--", *paths).stdout
        names += self._run("ls-files", "--others", "--exclude-standard", "-z", "--", *paths).stdout
        return tuple(sorted({name for name in names.split("\0") if name}))

    def add_worktree(self, tree: pathlib.Path, commit: str) -> None:
        result = self._run("worktree", "add", "--detach", "--force", str(tree), commit)
        if result.returncode != 0:
            reported = [line for line in result.stderr.splitlines() if line.strip()] or ["no reason given"]
            reason = escaped(next((line for line in reported if line.startswith(("fatal", "error"))), reported[-1]))
            raise SettingsError(f"--base: git cannot check out {commit[:7]}: {reason}: fix it, and try again")

    def remove_worktree(self, tree: pathlib.Path) -> None:
        self._run("worktree", "remove", "--force", "--force", str(tree))

    def remove_leftovers(self) -> None:
        """Remove the worktrees of runs that were killed."""
        for line in self._run("worktree", "list", "--porcelain").stdout.splitlines():
            tree = pathlib.Path(line.removeprefix("worktree "))
            owner = re.match(rf"{_PREFIX}(\d+)-", tree.parent.name)
            if line.startswith("worktree ") and owner and not is_running(int(owner[1])):
                self.remove_worktree(tree)
                shutil.rmtree(tree.parent, ignore_errors=True)


@contextlib.contextmanager
def _ended_by_exception() -> Iterator[None]:
    """Let a polite end, such as that of a job that CI cancels, clean up as Ctrl-C does."""

    def end(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _environment(project: pathlib.Path) -> dict[str, str]:
    """Return the environment in which the base's packages are found, and the working tree's are not."""
    running = pathlib.Path(__file__).resolve().parents[2]
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    paths = [path for path in paths if pathlib.Path(path).resolve() != running]
    if not (project / "agentstack").is_dir():  # a project that only uses the classes
        paths.append(str(running))
    dropped = {*_LOCATION, "PYTHONSAFEPATH", "PYTHONHOME", "PYTHONSTARTUP"}
    return {
        **{name: value for name, value in os.environ.items() if name not in dropped},
        "PYTHONPATH": os.pathsep.join([str(project), *paths]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
    }


def _content(file: pathlib.Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
