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
    "settings/sections.py": (
        ("from .redis import RedisSettings\n", "from .redis import RedisSettings\nfrom .toy import ToySettings\n"),
        (
            "    inference: InferenceSettings = InferenceSettings()\n",
            "    inference: InferenceSettings = InferenceSettings()\n    toy: ToySettings = ToySettings()\n",
        ),
    ),
    "components/parts.py": (('    "inference",\n', '    "inference",\n    "toy",\n'),),
}
AGENT = """\
name: child
image: ghcr.io/acme/child:1.0.0
uses: [toy]
"""
PROBE = """
import json, runpy, sys
from pydantic import ValidationError
from components.platform.guard import facts, refusals
from settings import AgentSettings, Settings

def toy(storage):
    return facts(Settings.model_validate({"toy": {"storage": storage}}))

def mistake(**fields):
    try:
        AgentSettings(image="ghcr.io/acme/child:1.0.0", **fields)
    except ValidationError as error:
        return str(error)

small, large = toy("1Gi"), toy("2Gi")
reported = {
    "shrunk": list(refusals(large, small)),
    "grown": list(refusals(small, large)),
    "reserved": mistake(uses=["toy"], env={"TOY_URL": "http://elsewhere"}),
    "free": mistake(env={"TOY_URL": "http://elsewhere"}),
    "unknown": mistake(uses=["toys"]),
}
print(json.dumps(reported), file=sys.stderr)
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
    (folder / "agents" / "child.yaml").write_text(AGENT)
    return folder


@pytest.fixture(scope="module")
def ran(project: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """What the guard and the settings report (standard error), and the preview of dev, all in one process."""
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
    outside = {path for path in touched(project) if not path.startswith(("components/toy/", "agents/"))}
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
    reported = json.loads(ran.stderr.splitlines()[0])
    assert reported["grown"] == []
    (line,) = reported["shrunk"]
    assert line.startswith(
        "toy.storage: 2Gi -> 1Gi: toys do not fit into a smaller box: give some away first, then add"
    )


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


def test_an_agent_uses_it_and_its_variables_are_reserved(
    project: pathlib.Path, ran: subprocess.CompletedProcess[str]
) -> None:
    reported = json.loads(ran.stderr.splitlines()[0])
    assert "env.TOY_URL: is set by the stack: remove it" in reported["reserved"]
    assert reported["free"] is None
    assert "'redis', 'kafka' or 'toy'" in reported["unknown"]
    report = json.loads(ran.stdout)
    (variables,) = [
        yaml.safe_load((project / "build" / "dev" / entry["file"]).read_text())["data"]
        for entry in report["objects"]
        if (entry["kind"], entry["name"]) == ("ConfigMap", "child")
    ]
    assert variables["TOY_URL"] == "http://toy.data.svc.cluster.local:8080"


def test_the_picture_shows_it_and_who_uses_it(ran: subprocess.CompletedProcess[str]) -> None:
    graph = json.loads(ran.stdout)["graph"]
    assert [(node["kind"], node["label"], node["group"]) for node in graph["nodes"] if node["id"] == "toy"] == [
        ("toy", "Toy", "data")
    ]
    edges = {(edge["source"], edge["target"], edge["kind"]) for edge in graph["edges"]}
    assert {("agent/child", "toy", "uses"), ("prometheus", "toy", "scrapes")} <= edges


def test_a_finding_on_it_is_reported_at_its_section(project: pathlib.Path) -> None:
    """A rule that its Deployment breaks is reported at its section of Pulumi.dev.yaml."""
    stack = project / "Pulumi.dev.yaml"
    whole = stack.read_text()
    component = project / "components" / "toy" / "component.py"
    code = component.read_text()
    try:
        stack.write_text(f"{whole}  agentstack:toy: {{greeting: good morning}}\n")
        component.write_text(code.replace("ghcr.io/acme/toy:1.0.0", "ghcr.io/acme/toy"))
        environment = {**os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "agentstack", "preview", "dev", "--json"]
        done = subprocess.run(command, cwd=project, env=environment, check=False, capture_output=True, text=True)
    finally:
        stack.write_text(whole)
        component.write_text(code)
    (finding,) = [entry for entry in json.loads(done.stdout)["policies"] if entry["rule"] == "image-tag"]
    assert (finding["name"], finding["path"]) == ("toy", "spec.template.spec.containers[0].image")
    assert finding["place"] == {"file": "Pulumi.dev.yaml", "line": len(whole.splitlines()) + 1}
