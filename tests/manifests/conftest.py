"""The manifests of every environment, as `agentstack preview` writes them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate.utils
import pytest

from agentstack.rendering.environment import Environment
from manifests.loader import load
from settings import Settings
from tests.commandline import ROOT, agentstack

ENVIRONMENTS = ("dev", "staging", "prod", "everything")

Manifest = dict[str, Any]

# It reads all definitions of a version again for every object, which takes fourteen times as long as to validate it.
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)
kubernetes_validate.utils.all_versions = cache(kubernetes_validate.utils.all_versions)


@pytest.fixture(scope="session", params=ENVIRONMENTS)
def environment(request: pytest.FixtureRequest) -> str:
    """Each environment in turn."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def manifests(environment: str, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """All objects of the environment."""
    return rendered(environment, tmp_path_factory.getbasetemp())


def file_of(environment: str) -> Path:
    """The environment's settings: the project's own, or one that is made for these tests."""
    own = Path(__file__).parent / f"{environment}.yaml"
    return own if own.exists() else ROOT / f"Pulumi.{environment}.yaml"


def settings_of(environment: str) -> Settings:
    """The environment's validated settings."""
    return Environment.find(ROOT, environment, file=file_of(environment)).settings()


@cache
def rendered(environment: str, base: Path) -> list[Manifest]:
    """Preview an environment and read the files that it wrote."""
    out = base / environment
    done = agentstack("preview", environment, "--settings", str(file_of(environment)), "--out", str(out))
    assert done.code == 0, done
    return read(out)


def read(folder: Path) -> list[Manifest]:
    """All objects that a preview wrote to a folder."""
    return [load(path.read_text()) for path in sorted(folder.rglob("*.yaml"))]


def pod_template(manifest: Manifest) -> Manifest | None:
    """The pod template of a workload, or None for other objects."""
    if manifest["kind"] == "PodTemplate":
        return dict(manifest["template"])
    if manifest["kind"] == "CronJob":
        manifest = manifest["spec"]["jobTemplate"]
    template: Manifest | None = manifest.get("spec", {}).get("template")
    return template


def containers(template: Manifest) -> list[Manifest]:
    """All containers of a pod, init containers included."""
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]
