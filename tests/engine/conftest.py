"""A copy of the project with a stack and a state of its own, where `pulumi` is on PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass
class Project:
    """The copy, and how to run the engine in it."""

    folder: Path
    environment: dict[str, str]

    def pulumi(self, *arguments: str, code: int | None = 0, timeout: float = 1200) -> str:
        """Run pulumi, demand its exit code (any if None), and return all that it prints."""
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert code in (None, done.returncode), f"pulumi {' '.join(arguments)}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def beside(self, folder: Path, program: str, *, stack: str) -> Project:
        """Return another project, in the empty `folder`: a program that lies beside these tests, and a new stack."""
        name = folder.name.rstrip("0123456789")
        (folder / "Pulumi.yaml").write_text(
            f"name: {name}\nruntime: {{name: python, options: {{virtualenv: .venv}}}}\n"
        )
        (folder / "__main__.py").write_text((Path(__file__).parent / program).read_text())
        (folder / ".venv").symlink_to(self.folder / ".venv")
        other = Project(folder, self.environment | {"PYTHONPATH": str(ROOT)})
        other.pulumi("stack", "init", stack)
        return other


@pytest.fixture(scope="session")
def kubeconfig() -> None:
    """Skip what needs a cluster where none is named."""
    if "KUBECONFIG" not in os.environ:
        pytest.skip("KUBECONFIG is not set: export the path of a kubeconfig for a cluster that may be changed")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with a stack `dev` in a file backend, so that nothing of the user's is touched."""
    if shutil.which("pulumi") is None:
        pytest.skip("pulumi is not on PATH: install it and its plugins kubernetes and random")
    base = tmp_path_factory.mktemp("engine")
    folder, state = base / "project", base / "state"
    left_out = shutil.ignore_patterns(".git", ".venv", "build", "tests", "__pycache__", "*.egg-info", ".dev-secrets")
    shutil.copytree(ROOT, folder, ignore=left_out)
    state.mkdir()
    # The project and its policy pack both name `.venv`; the tests run in one that has all that they need.
    (folder / ".venv").symlink_to(sys.prefix)
    environment = os.environ | {
        "PULUMI_BACKEND_URL": state.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "only for tests",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    project = Project(folder, environment)
    project.pulumi("stack", "init", "dev")
    return project
