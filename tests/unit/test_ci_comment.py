"""`.ci/comment.py`: a report crosses from a pull request's run to the pull request, and nothing else does."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from .fake_gh import FakeGh

ROOT = Path(__file__).parents[2]
MARKER = "<!-- agentstack diff -->"
REPORT = f"{MARKER}\n## What it changes\nnothing\n"
SHA = "5fda3b95a4ea91299a34e894583c3862153e4b97"
RUN = {
    "id": 7,
    "event": "pull_request",
    "conclusion": "failure",
    "head_sha": SHA,
    "head_branch": "more-agents",
    "head_repository": {"id": 2, "owner": {"login": "someone"}},
    "html_url": "https://github.com/acme/stack/actions/runs/7",
}
PULL = {"number": 42, "head": {"sha": SHA, "repo": {"id": 2}}}
RESULT = {
    "ruleId": "image-tag",
    "level": "error",
    "message": {"text": "agents/x: no tag"},
    "locations": [{"physicalLocation": {"artifactLocation": {"uri": "agents/x.yaml"}, "region": {"startLine": 3}}}],
    "partialFingerprints": {"agentstack/v1": "abc"},
}


def sarif(*results: dict[str, Any], **driver: Any) -> str:
    run = {"tool": {"driver": {"name": "Agent Stack", "rules": [{"id": "image-tag"}], **driver}}, "results": results}
    return json.dumps({"version": "2.1.0", "runs": [run]})


def archive(files: dict[str, str | bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return packed.getvalue()


@pytest.fixture
def gh(tmp_path: Path) -> FakeGh:
    """GitHub with one pull request of a fork, whose run left a report behind."""
    fake = FakeGh(tmp_path)
    fake.answer("actions/runs/7", RUN)
    fake.answer("pulls", [PULL])
    fake.answer("pulls/42/files", [{"filename": "agents/x.yaml"}])
    fake.answer("issues/42/comments", [])
    left_behind(fake, {"comment.md": REPORT})
    return fake


def left_behind(gh: FakeGh, files: dict[str, str | bytes] | bytes, **facts: Any) -> None:
    item = {"id": 9, "expired": False, "size_in_bytes": 1000, **facts}
    gh.answer("actions/runs/7/artifacts", {"artifacts": [item]})
    gh.answer("actions/artifacts/9/zip", files if isinstance(files, bytes) else archive(files))


def program(gh: FakeGh, code: int = 0) -> str:
    """Run the script beside a program `gh`, as the workflow does; return all that it prints."""
    command = [sys.executable, ROOT / ".ci/comment.py", "acme/stack", "7"]
    done = subprocess.run(command, cwd=gh.folder, env=gh.environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def comment(gh: FakeGh, *arguments: str, code: int = 0) -> str:
    """Do the same in this process, which takes a hundredth of the time."""
    script, printed = ROOT / ".ci/comment.py", io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        patch.syspath_prepend(script.parent)
        patch.setattr(sys, "argv", [str(script), *(arguments or ("acme/stack", "7"))])
        patch.setattr(subprocess, "run", gh.run)
        patch.chdir(gh.folder)
        ended: str | int | None = 0
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as end:
            ended = end.code
    assert ended == code, printed.getvalue()
    return printed.getvalue()


def posted(gh: FakeGh) -> str:
    """The text of the one comment that was written."""
    (body,) = [call["body"]["body"] for call in gh.writes if "comments" in call["path"]]
    return str(body)


def test_first_report_is_a_comment_and_a_check(gh: FakeGh) -> None:
    program(gh)
    assert [(call["method"], call["path"]) for call in gh.writes] == [
        ("POST", "repos/acme/stack/issues/42/comments"),
        ("POST", "repos/acme/stack/check-runs"),
    ]
    text = posted(gh)
    assert text.startswith(f"{MARKER}\nCommit 5fda3b95a4ea · [run")
    assert text.endswith("## What it changes\nnothing\n")
    check = gh.writes[1]["body"]
    assert check["name"] not in str(yaml.safe_load((ROOT / ".github/workflows/pull-request.yaml").read_text()))
    assert (check["head_sha"], check["conclusion"], check["status"]) == (SHA, "failure", "completed")
    assert check["output"]["summary"] == text
    # By branch and repository: GitHub names no pull request in the run of a fork.
    assert {"state": "open", "head": "someone:more-agents"}.items() <= gh.called("pulls")[0]["query"].items()


def test_next_report_changes_the_comment(gh: FakeGh) -> None:
    bot = {"login": "github-actions[bot]"}
    gh.answer(
        "issues/42/comments",
        [
            {"id": 1, "user": {"login": "mallory"}, "body": REPORT},
            {"id": 2, "user": bot, "body": f"about {MARKER}"},
            {"id": 3, "user": bot, "body": REPORT},
        ],
    )
    comment(gh)
    assert (gh.writes[0]["method"], gh.writes[0]["path"]) == ("PATCH", "repos/acme/stack/issues/comments/3")


@pytest.mark.parametrize(
    "pulls",
    [
        [],
        [PULL | {"head": {"sha": "0" * 40, "repo": {"id": 2}}}],  # pushed to since
        [PULL | {"head": {"sha": SHA, "repo": {"id": 3}}}],  # the same commit in another fork
        [PULL | {"head": {"sha": SHA, "repo": None}}],  # the fork is deleted
    ],
)
def test_without_its_pull_request_nothing_is_written(gh: FakeGh, pulls: list[Any]) -> None:
    gh.answer("pulls", pulls)
    assert "no open pull request" in comment(gh)
    assert gh.writes == []


def test_two_pull_requests_of_a_branch_are_not_guessed_between(gh: FakeGh) -> None:
    gh.answer("pulls", [PULL, PULL | {"number": 43}])
    assert "42, 43" in comment(gh, code=2)
    assert gh.writes == []


@pytest.mark.parametrize("facts", [{"event": "push"}, {"conclusion": "cancelled"}, {"conclusion": "action_required"}])
def test_other_runs_are_passed_over(gh: FakeGh, facts: dict[str, str]) -> None:
    gh.answer("actions/runs/7", RUN | facts)
    comment(gh)
    assert gh.writes == []


@pytest.mark.parametrize(
    "files",
    [
        {},
        b"no archive",
        {"../comment.md": REPORT},
        {"comment.md": "an advertisement"},
        {"comment.md": REPORT + "x" * 60_001},
        {"comment.md": REPORT.encode() + b"\0" * (5 * 1024 * 1024)},  # small until it is unpacked
    ],
)
def test_hostile_artifacts_are_replaced_by_words(gh: FakeGh, files: dict[str, str | bytes] | bytes) -> None:
    left_behind(gh, files)
    comment(gh)
    text = posted(gh)
    assert text.startswith(f"{MARKER}\nCommit 5fda3b95a4ea")
    assert len(text) < 500
    assert "advertisement" not in text
    assert gh.writes[1]["body"]["conclusion"] == "failure"
    assert list(gh.folder.rglob("comment.md")) == []


@pytest.mark.parametrize("facts", [{"size_in_bytes": 10**9}, {"expired": True}])
def test_artifact_that_is_too_large_or_gone_is_not_fetched(gh: FakeGh, facts: dict[str, Any]) -> None:
    left_behind(gh, {"comment.md": REPORT}, **facts)
    comment(gh)
    assert gh.called("actions/artifacts/9/zip") == []
    assert "left no report" in posted(gh)


def test_conclusion_is_the_runs_and_not_the_reports(gh: FakeGh) -> None:
    left_behind(gh, {"comment.md": REPORT, "diff.json": '{"exitCode": 0, "conclusion": "success", "pullRequest": 1}'})
    comment(gh)
    assert gh.writes[1]["body"]["conclusion"] == "failure"
    assert gh.writes[0]["path"].endswith("/issues/42/comments")


def test_reader_learns_that_the_change_made_its_own_report(gh: FakeGh) -> None:
    hostile = "agentstack/`@all`\n<img\u202esrc=x>.py"
    changed = [{"filename": "agents/x.yaml"}, {"filename": hostile}]
    # A program that is moved away by the change is named by its former path.
    changed.append({"filename": "docs/base.py", "previous_filename": "agentstack/diff/base.py"})
    gh.answer("pulls/42/files", changed)
    comment(gh)
    before, _, after = posted(gh).partition("## What it changes")
    assert "[!WARNING]" in before  # above all that the pull request wrote, so that nothing there can hide it
    assert "`agentstack/?@all??<img?src=x>.py`, `agentstack/diff/base.py`" in before
    assert "agents/x.yaml" not in before
    assert after


def test_reader_learns_that_github_does_not_list_all_files(gh: FakeGh) -> None:
    """Enough harmless files in front of a program, and nobody would see that it changes."""
    gh.answer("pulls/42/files", [{"filename": f"docs/{number}"} for number in range(3000)])
    comment(gh)
    before, _, _ = posted(gh).partition("## What it changes")
    assert "more files than GitHub lists" in before


def test_findings_reach_code_scanning_in_our_name_alone(gh: FakeGh) -> None:
    waived = RESULT | {"suppressions": [{"kind": "external"}]}
    report = sarif(RESULT, waived, name="CodeQL", informationUri="https://evil.example")
    left_behind(gh, {"comment.md": REPORT, "findings.sarif": report})
    comment(gh)
    (call,) = [call for call in gh.writes if call["path"].endswith("/code-scanning/sarifs")]
    assert (call["body"]["commit_sha"], call["body"]["ref"]) == (SHA, "refs/pull/42/head")
    (run,) = json.loads(gzip.decompress(base64.b64decode(call["body"]["sarif"])))["runs"]
    assert run["tool"]["driver"]["name"] == "Agent Stack"
    assert "evil" not in json.dumps(run)
    assert run["results"] == [RESULT]


def place(uri: str) -> dict[str, Any]:
    return RESULT | {"locations": [{"physicalLocation": {"artifactLocation": {"uri": uri}}}]}


@pytest.mark.parametrize(
    "report",
    [
        "no JSON",
        "[" * 100_000,
        "{}",
        json.dumps({"runs": [{}, {}]}),
        sarif({"ruleId": "x"}),
        sarif(place("../../etc/passwd")),
        sarif(place("https://evil.example/x")),
        sarif(place("/etc/passwd")),
        sarif(place("agents/%2e%2e/%2E./x")),
    ],
)
def test_hostile_findings_are_left_out(gh: FakeGh, report: str) -> None:
    left_behind(gh, {"comment.md": REPORT, "findings.sarif": report})
    assert "findings.sarif cannot be read" in comment(gh)
    assert len(gh.writes) == 2


def test_without_code_scanning_the_comment_is_enough(gh: FakeGh) -> None:
    left_behind(gh, {"comment.md": REPORT, "findings.sarif": sarif(RESULT)})
    gh.refuse("code-scanning/sarifs", "HTTP 403: Code scanning is not enabled for this repository.")
    assert "code scanning is not enabled" in comment(gh)
    assert len(gh.writes) == 3


def test_failures_of_github_are_failures(gh: FakeGh) -> None:
    gh.refuse("check-runs", "HTTP 502: Bad gateway")
    assert program(gh, code=1).startswith("gh api --method POST repos/acme/stack/check-runs: gh: HTTP 502")


def test_findings_of_main_go_the_same_way(gh: FakeGh) -> None:
    (gh.folder / "findings.sarif").write_text(sarif(RESULT))
    command = [sys.executable, ROOT / ".ci/findings.py", "acme/stack", SHA, "refs/heads/main", "findings.sarif"]
    subprocess.run(command, cwd=gh.folder, env=gh.environment, check=True)
    (call,) = gh.writes
    assert (call["body"]["commit_sha"], call["body"]["ref"]) == (SHA, "refs/heads/main")
    (run,) = json.loads(gzip.decompress(base64.b64decode(call["body"]["sarif"])))["runs"]
    assert run["results"] == [RESULT]


@pytest.mark.parametrize("arguments", [("acme/stack", "7; id"), ("acme/stack/../x", "7"), ("acme/stack",)])
def test_arguments_are_checked(gh: FakeGh, arguments: tuple[str, ...]) -> None:
    assert "usage" in comment(gh, *arguments, code=2)
    assert gh.calls == []
