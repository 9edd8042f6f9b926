"""The files in `policies/` as a preview reads them, from outside."""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Callable

import pytest

from settings import files

from .cli_program import write_project

Call = Callable[..., tuple[int, str, str]]
PROGRAM = """
import pulumi_kubernetes as k8s
container = {"name": "c", "image": "x:latest"}
k8s.core.v1.Pod("pod", metadata={"name": "pod", "namespace": "space"}, spec={"containers": [container]})
"""
ONE = {"all": "disabled", "image-tag": "mandatory", "waiver-unused": "mandatory", "waiver-expired": "mandatory"}
WAIVER = {"rule": "image-tag", "resource": "Pod/space/*", "reason": "moved", "owner": "me", "until": "9999-12-31"}


@pytest.fixture
def policies(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The current folder is a project with one bad pod; write its policies."""
    files._composed.cache_clear()  # by relative path: of the project of another test
    monkeypatch.chdir(write_project(tmp_path, PROGRAM))
    (tmp_path / "policies" / "config").mkdir(parents=True)

    def write(config: object = ONE, *waivers: object) -> None:
        (tmp_path / "policies" / "config" / "dev.json").write_text(json.dumps(config))
        (tmp_path / "policies" / "waivers.yaml").write_text(json.dumps(waivers, indent=1))

    return write


@pytest.fixture
def preview(call: Call) -> Call:
    """Run `agentstack preview dev`; return exit code, output and error output."""
    return functools.partial(call, "preview", "dev")


def test_a_finding_fails_unless_it_is_advisory_disabled_or_waived(policies: Callable[..., None], preview: Call) -> None:
    policies()
    code, output, _ = preview()
    assert (code, output.count("image-tag")) == (1, 1)
    policies(ONE | {"image-tag": "advisory"})
    code, output, _ = preview()
    assert code == 0
    assert "warning image-tag: Pod/space/pod" in output
    policies(ONE | {"image-tag": "disabled"})
    code, output, _ = preview()
    assert code == 0
    assert "policies  0 rules, nothing found" in output
    policies(ONE, WAIVER)
    code, output, _ = preview()
    assert code == 0
    assert "waived image-tag: Pod/space/pod" in output
    assert "(until 9999-12-31, me: moved)" in output
    assert "pulumi up" in output  # among the next steps


def test_waivers_that_are_expired_or_unused_fail(policies: Callable[..., None], preview: Call) -> None:
    policies(ONE, WAIVER | {"until": "2020-01-01"}, WAIVER | {"resource": "Pod/space/x"})
    code, output, _ = preview("--json")
    found = {entry["rule"]: entry for entry in json.loads(output)["policies"]}
    assert code == 1
    assert set(found) == {"image-tag", "waiver-expired", "waiver-unused"}
    assert found["waiver-expired"]["place"] == {"file": "policies/waivers.yaml", "line": 2}
    assert found["waiver-unused"]["place"] == {"file": "policies/waivers.yaml", "line": 9}
    assert found["image-tag"]["place"] == {"file": "Pulumi.dev.yaml", "line": 1}


def test_sarif_is_written_where_findings_fail_the_preview(
    policies: Callable[..., None], preview: Call, tmp_path: pathlib.Path
) -> None:
    policies()
    assert preview("--sarif", "findings.sarif")[0] == 1
    [result] = json.loads((tmp_path / "findings.sarif").read_text())["runs"][0]["results"]
    assert result["ruleId"] == "image-tag"
    assert result["properties"] == {
        "environments": ["dev"],
        "path": "spec.containers[0].image",
        "what": 'container "c" has the image "x:latest", which can change at any restart',
        "remedy": "name a version (image:1.2.3) or a digest (image@sha256:...)",
    }


@pytest.mark.parametrize(
    ("config", "waiver", "message"),
    [
        ({"image-tags": "disabled"}, WAIVER, "policies/config/dev.json:1: unknown rule `image-tags`, did you mean"),
        (ONE, WAIVER | {"rule": "image-tags"}, "policies/waivers.yaml:3: rule: unknown rule `image-tags`, did you"),
        (ONE, WAIVER | {"environments": ["prod"]}, "policies/waivers.yaml:2: environments: unknown environment `prod`"),
    ],
)
def test_bad_files_are_bad_input_and_nothing_is_written(
    policies: Callable[..., None], preview: Call, tmp_path: pathlib.Path, config: object, waiver: object, message: str
) -> None:
    policies(config, waiver)
    code, output, error = preview()
    assert (code, output) == (2, "")
    assert error.startswith(message)
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "build").exists()
