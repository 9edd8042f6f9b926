"""`.ci/drift.py`: one issue per environment, open as long as the cluster differs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .fake_gh import FakeGh

ROOT = Path(__file__).parents[2]
MARKER = "<!-- agentstack drift prod -->"
BOT = {"login": "github-actions[bot]"}


@pytest.fixture
def gh(tmp_path: Path) -> FakeGh:
    """GitHub, and a project whose `agentstack drift` finds drift."""
    fake = FakeGh(tmp_path)
    fake.answer("issues", [])
    shutil.copytree(ROOT / ".ci", fake.folder / ".ci")
    (fake.folder / "Makefile").write_text(".venv/runtime: ;\n")
    cluster(fake, code=7, says=f"{MARKER}\\nDeployment/agents/executor: replicas\\n")
    return fake


def cluster(gh: FakeGh, *, code: int, says: str = "") -> None:
    program = gh.folder / ".venv/bin/agentstack"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f'#!/bin/sh\n[ "$*" = "drift prod --markdown" ] || exit 64\nprintf "{says}"\nexit {code}\n')
    program.chmod(0o755)


def drift(gh: FakeGh, *arguments: str, code: int = 0) -> str:
    run = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/stack", "GITHUB_RUN_ID": "7"}
    run["GITHUB_STEP_SUMMARY"] = str(gh.folder / "summary")
    done = subprocess.run(
        [sys.executable, gh.folder / ".ci/drift.py", *(arguments or ("acme/stack", "prod"))],
        env=gh.environment | run,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def issue(number: int, **facts: Any) -> dict[str, Any]:
    return {"number": number, "user": BOT, "body": f"{MARKER}\nyesterday's", **facts}


NOT_OURS = [
    issue(1, user={"login": "mallory"}),
    issue(2, user=None),
    issue(3, body=None),
    issue(4, body="<!-- agentstack drift dev -->"),
    issue(5, pull_request={}),
]


def test_first_drift_opens_an_issue(gh: FakeGh) -> None:
    gh.answer("issues", NOT_OURS)
    drift(gh)
    (call,) = gh.writes
    assert (call["method"], call["path"]) == ("POST", "repos/acme/stack/issues")
    assert call["body"]["title"] == "Drift: prod"
    assert call["body"]["body"].startswith(f"{MARKER}\nDeployment/agents/executor: replicas\n")
    assert "https://github.com/acme/stack/actions/runs/7" in call["body"]["body"]
    assert "executor" in (gh.folder / "summary").read_text()


def test_drift_that_stays_changes_the_issue(gh: FakeGh) -> None:
    gh.answer("issues", [*NOT_OURS, issue(6)])
    drift(gh)
    (call,) = gh.writes
    assert (call["method"], call["path"]) == ("PATCH", "repos/acme/stack/issues/6")
    assert set(call["body"]) == {"body"}


def test_issue_is_closed_once_nothing_differs(gh: FakeGh) -> None:
    cluster(gh, code=0)
    gh.answer("issues", [*NOT_OURS, issue(6)])
    assert drift(gh) == "prod: no drift\n"
    assert [(call["method"], call["path"]) for call in gh.writes] == [
        ("POST", "repos/acme/stack/issues/6/comments"),
        ("PATCH", "repos/acme/stack/issues/6"),
    ]
    assert gh.writes[1]["body"] == {"state": "closed", "state_reason": "completed"}


def test_nothing_is_said_where_nothing_ever_differed(gh: FakeGh) -> None:
    cluster(gh, code=0)
    gh.answer("issues", NOT_OURS)
    drift(gh)
    assert gh.writes == []


@pytest.mark.parametrize("code", [1, 2, 70])
def test_issue_stays_as_it_is_where_nobody_can_tell(gh: FakeGh, code: int) -> None:
    cluster(gh, code=code)
    drift(gh, code=code)
    assert gh.calls == []


@pytest.mark.parametrize("says", ["", "no marker", MARKER + "x" * 65_000])
def test_only_a_report_becomes_an_issue(gh: FakeGh, says: str) -> None:
    cluster(gh, code=7, says=says)
    assert "its report" in drift(gh, code=1)
    assert gh.writes == []


@pytest.mark.parametrize("arguments", [("acme/stack",), ("acme", "prod"), ("acme/stack", "prod --live")])
def test_arguments_are_checked(gh: FakeGh, arguments: tuple[str, ...]) -> None:
    assert "usage" in drift(gh, *arguments, code=2)
    assert gh.calls == []
