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
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).parents[2]
TOY = ROOT / "tests" / "toy"
COPIED = ("agents", "agentstack", "components", "costs", "manifests", "policies", "settings", "workflows")
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
def answers(project: pathlib.Path) -> Any:
    """What the rooms of the copy know of the part: see tests/toy/probe.py."""
    environment = {**os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "probe.py"], cwd=project, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def touched(folder: pathlib.Path) -> set[str]:
    """The files that the copy has and the repository has not, or has otherwise."""
    files = {path.relative_to(folder) for name in COPIED for path in (folder / name).rglob("*") if path.is_file()}
    return {
        path.as_posix()
        for path in files
        if not ((ROOT / path).is_file() and filecmp.cmp(ROOT / path, folder / path, shallow=False))
    }


def named(answers: Any, kind: str, namespace: str, name: str) -> Any:
    """One of the rendered objects."""
    (found,) = [
        thing
        for thing in answers["objects"]
        if thing["kind"] == kind and thing["metadata"] | {"namespace": namespace, "name": name} == thing["metadata"]
    ]
    return found


def test_a_part_touches_three_files_outside_its_folder(project: pathlib.Path, answers: Any) -> None:
    # Also after everything has run: its dashboard is written into its own folder.
    outside = {path for path in touched(project) if not path.startswith("components/toy/")}
    assert outside == {"settings/toy.py", *LISTS}


def test_it_is_rendered_with_the_rest_and_no_rule_finds_anything(answers: Any) -> None:
    pod = named(answers, "Deployment", "data", "toy")["spec"]["template"]
    assert pod["spec"]["containers"][0]["env"] == [{"name": "GREETING", "value": "good day"}]
    assert pod["spec"]["automountServiceAccountToken"] is pod["spec"]["enableServiceLinks"] is False
    assert named(answers, "Service", "data", "toy")
    assert answers["findings"] == []


def test_its_settings_are_a_section(answers: Any) -> None:
    assert "toy" in answers["demands"]
    assert "agentstack:toy.greetings: unknown key" in answers["misspelt"]
    assert "did you mean `greeting`?" in answers["misspelt"]


def test_agents_use_it_by_its_name(answers: Any) -> None:
    assert answers["uses"] == ["redis", "kafka", "toy", "workflows"]
    assert answers["unknown"] == ["uses.0: unknown value `toyy`, did you mean `toy`?"]
    assert answers["used"] == ["inference", "kafka", "toy"]
    container = named(answers, "Deployment", "agents", "executor")["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "TOY_KEY", "valueFrom": {"secretKeyRef": {"name": "executor.toy", "key": "TOY_KEY"}}} in (
        container["env"]
    )
    assert named(answers, "ConfigMap", "agents", "executor")["data"]["TOY_HOST"] == "toy.data.svc.cluster.local"


def test_agents_that_use_it_cannot_set_its_variables(answers: Any) -> None:
    assert answers["reserved"] == [
        "env.TOY_HOST: is set by the stack: remove it",
        "secrets.TOY_KEY: is set by the stack: remove it",
    ]
    assert answers["free"] == []


def test_the_guard_refuses_its_destructive_change(answers: Any) -> None:
    assert answers["facts"]["toy.storage"] == "1Gi"
    assert answers["grown"] == []
    (line,) = answers["shrunk"]
    assert line.startswith(
        "toy.storage: 2Gi -> 1Gi: toys do not fit into a smaller box: give some away first, then add"
    )


def test_its_metrics_are_scraped(answers: Any) -> None:
    annotations = named(answers, "Deployment", "data", "toy")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == "9102"
    policy = named(answers, "NetworkPolicy", "observability", "prometheus")["spec"]
    assert any({"port": 9102, "protocol": "TCP"} in edge.get("ports", ()) for edge in policy["egress"])


def test_its_alerts_and_its_dashboard_are_with_the_others(answers: Any, project: pathlib.Path) -> None:
    room = project / "components" / "toy"
    rules = named(answers, "ConfigMap", "observability", "prometheus")["data"]
    assert rules["rules.toy.yml"] == (room / "alerts" / "toy.yml").read_text()
    tests = (room / "alerts" / "tests" / "toy.yml").read_text()
    assert tests not in rules.values(), "tests of alerts are not rendered"
    boards = named(answers, "ConfigMap", "observability", "grafana-dashboards")["data"]
    assert boards["toy.json"] == (room / "dashboards" / "toy.json").read_text()
    assert json.loads(boards["toy.json"])["uid"] == "agentstack-toy"
    volumes = named(answers, "Deployment", "observability", "grafana")["spec"]["template"]["spec"]["volumes"]
    (mounted,) = [volume["configMap"] for volume in volumes if volume["name"] == "dashboards"]
    assert {"key": "toy.json", "path": "toy.json"} in mounted["items"]


def test_it_is_in_the_graph(answers: Any) -> None:
    (node,) = [node for node in answers["graph"]["nodes"] if node["id"] == "toy"]
    assert (node["kind"], node["label"], node["detail"], node["group"]) == ("toy", "Toy", "a box of 1Gi", "data")
    edges = {(edge["source"], edge["target"], edge["kind"]) for edge in answers["graph"]["edges"]}
    assert {("agent/executor", "toy", "uses"), ("prometheus", "toy", "scrapes")} <= edges
    assert "a box of 1Gi" in answers["mermaid"]


def test_its_objects_are_explained(answers: Any) -> None:
    assert ["Secret", "executor.toy", "its own key to the toy box", "uses: toy"] in answers["explained"]


def test_a_finding_on_its_objects_leads_to_its_section(answers: Any, project: pathlib.Path) -> None:
    lines = (project / "Pulumi.toy.yaml").read_text().splitlines()
    assert answers["place"] == ["Pulumi.toy.yaml", lines.index("  agentstack:toy:") + 1]
