"""What adding a part takes: its own folder, its settings, and a line in two lists.

The part lies in tests/toy as it would in the repository; the tests run in a copy that has it.
"""

from __future__ import annotations

import filecmp
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
TOY = ROOT / "tests" / "toy"
COPIED = ("agents", "agentstack", "components", "costs", "manifests", "policies", "settings")
LISTS = {
    "settings/root.py": (
        ("from .redis import RedisSettings\n", "from .redis import RedisSettings\nfrom .toy import ToySettings\n"),
        (
            "    inference: InferenceSettings = InferenceSettings()\n",
            "    inference: InferenceSettings = InferenceSettings()\n    toy: ToySettings = ToySettings()\n",
        ),
    ),
    "components/parts.py": (('    "inference",\n', '    "inference",\n    "toy",\n'),),
}
PROBE = """
import json, runpy, sys
from components.platform.guard import facts, refusals
from settings import Settings

def toy(storage):
    return facts(Settings.model_validate({"toy": {"storage": storage}}))

small, large = toy("1Gi"), toy("2Gi")
print(json.dumps({"shrunk": list(refusals(large, small)), "grown": list(refusals(small, large))}), file=sys.stderr)
sys.argv = ["agentstack", "preview", "dev", "--json"]
runpy.run_module("agentstack", run_name="__main__")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A copy of the repository with the part."""
    folder = tmp_path_factory.mktemp("toy") / "project"
    folder.mkdir()
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*ROOT.glob("Pulumi*.yaml"), ROOT / "__main__.py"):
        shutil.copy(path, folder)
    shutil.copytree(TOY, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name, edits in LISTS.items():
        text = (folder / name).read_text()
        for old, new in edits:
            assert text.count(old) == 1, f"{name}: {old}"
            text = text.replace(old, new)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def ran(project: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """What the guard says of two changes (standard error), and the preview of dev, both in one process."""
    environment = {**os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", PROBE]
    return subprocess.run(command, cwd=project, env=environment, check=False, capture_output=True, text=True)


def touched(folder: pathlib.Path) -> set[str]:
    """The files that the copy has and the repository has not, or has otherwise."""
    files = {path.relative_to(folder) for name in COPIED for path in (folder / name).rglob("*") if path.is_file()}
    return {
        path.as_posix()
        for path in files
        if not ((ROOT / path).is_file() and filecmp.cmp(ROOT / path, folder / path, shallow=False))
    }


def test_a_part_touches_three_files_outside_its_folder(project: pathlib.Path) -> None:
    outside = {path for path in touched(project) if not path.startswith("components/toy/")}
    assert outside == {"settings/toy.py", *LISTS}
    assert len(outside) <= 3


def test_it_is_rendered_with_the_rest(project: pathlib.Path, ran: subprocess.CompletedProcess[str]) -> None:
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report = json.loads(ran.stdout)
    toy = {"type": "agentstack:toy:Toy", "name": "toy"}
    mine = [entry for entry in report["objects"] if toy in entry["within"]]
    assert {entry["kind"] for entry in mine} == {"Deployment", "NetworkPolicy", "Service"}
    assert report["facts"]["toy.storage"] == "1Gi"
    (file,) = [entry["file"] for entry in mine if entry["kind"] == "Deployment"]
    pod = yaml.safe_load((project / "build" / "dev" / file).read_text())["spec"]["template"]["spec"]
    assert pod["containers"][0]["env"] == [{"name": "GREETING", "value": "hello"}]
    assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
    assert report["policies"] == []


def test_the_guard_refuses_its_destructive_change(ran: subprocess.CompletedProcess[str]) -> None:
    said = json.loads(ran.stderr.splitlines()[0])
    assert said["grown"] == []
    (line,) = said["shrunk"]
    assert line.startswith(
        "toy.storage: 2Gi -> 1Gi: toys do not fit into a smaller box: give some away first, then add"
    )


@pytest.mark.skipif(not (ROOT / "components/redis/alerts").is_dir(), reason="alerts do not lie with the parts yet")
def test_its_alerts_and_dashboard_are_with_the_others(
    ran: subprocess.CompletedProcess[str], project: pathlib.Path
) -> None:
    files = [project / "build" / "dev" / entry["file"] for entry in json.loads(ran.stdout)["objects"]]
    data = {}
    for file in files:
        manifest = yaml.safe_load(file.read_text())
        if manifest["kind"] == "ConfigMap" and manifest["metadata"]["namespace"] == "observability":
            data |= manifest["data"]
    assert "ToyMissing" in data["rules.toy.yml"]
    assert json.loads(data["toy.json"])["title"] == "Toy"
