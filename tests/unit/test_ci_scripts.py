"""The scripts that CI and people run, each beside stand-ins for the programs that it calls."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
MARKER = "<!-- agentstack diff -->"


class Checkout:
    """A project with `.ci`, where every program writes down its arguments and ends as it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "HOME": str(folder)}
        shutil.copytree(ROOT / ".ci", folder / ".ci")
        for environment in ("dev", "prod"):
            (folder / f"Pulumi.{environment}.yaml").touch()
        (folder / "Makefile").write_text(".venv/runtime:\n\t@true\n")
        self.program(".venv/bin/agentstack")
        self.program("bin/pulumi")

    def program(self, path: str, *, code: int = 0, does: str = "") -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'#!/bin/sh\necho "$@" >>"{self.folder}/{file.name}.calls"\n{does}\nexit {code}\n')
        file.chmod(0o755)

    def calls(self, name: str) -> list[str]:
        file = self.folder / f"{name}.calls"
        return file.read_text().splitlines() if file.exists() else []

    def run(self, script: str, *arguments: str, code: int = 0, **environment: str) -> str:
        command = [self.folder / ".ci" / script, *arguments]
        done = subprocess.run(
            command, cwd="/", env=self.environment | environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_diff_takes_every_environment_there_is(checkout: Checkout) -> None:
    checkout.run("diff")
    assert checkout.calls("agentstack") == ["diff --base origin/main --out build/diff dev prod"]


def test_diff_passes_on_what_it_is_given(checkout: Checkout) -> None:
    checkout.run("diff", "v1; id", "dev", "--live")
    assert checkout.calls("agentstack") == ["diff --base v1; id --out build/diff dev --live"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1, "policy is violated"), (2, "bad input"), (3, "destroyed that nobody approved"), (70, "bug")],
)
def test_diff_ends_as_agentstack_ends_and_says_why(checkout: Checkout, code: int, reason: str) -> None:
    checkout.program(".venv/bin/agentstack", code=code)
    assert reason in checkout.run("diff", code=code)
    assert checkout.run("diff", code=code, GITHUB_ACTIONS="true").startswith("::error title=agentstack diff::")


def test_diff_is_the_summary_of_the_run_even_if_it_refuses(checkout: Checkout) -> None:
    summary = checkout.folder / "summary"
    checkout.program(".venv/bin/agentstack", code=3, does="mkdir -p build/diff; echo report >build/diff/comment.md")
    checkout.run("diff", code=3, GITHUB_STEP_SUMMARY=str(summary))
    assert summary.read_text() == "report\n"


def test_diff_never_shows_the_report_of_another_run(checkout: Checkout) -> None:
    summary = checkout.folder / "summary"
    checkout.program(".venv/bin/agentstack", does="mkdir -p build/diff; echo report >build/diff/comment.md")
    checkout.run("diff")
    checkout.program(".venv/bin/agentstack", code=2)
    checkout.run("diff", code=2, GITHUB_STEP_SUMMARY=str(summary))
    assert not summary.exists()
    assert not (checkout.folder / "build/diff").exists()


def test_up_deploys_with_the_policies_and_then_expects_nothing_more(checkout: Checkout) -> None:
    (checkout.folder / "policies/config").mkdir(parents=True)
    (checkout.folder / "policies/config/prod.json").touch()
    checkout.run("stack", "up", "prod")
    options = "--stack prod --non-interactive --color never --policy-pack policies"
    options += " --policy-pack-config policies/config/prod.json"
    assert checkout.calls("pulumi") == [
        f"up --yes --diff {options}",
        f"preview --expect-no-changes {options}",
    ]


def test_preview_changes_nothing(checkout: Checkout) -> None:
    checkout.run("stack", "preview", "dev")
    assert checkout.calls("pulumi") == [
        "preview --diff --stack dev --non-interactive --color never --policy-pack policies"
    ]


def test_what_the_engine_says_is_the_summary_and_its_failure_is_ours(checkout: Checkout) -> None:
    summary = checkout.folder / "summary"
    checkout.program("bin/pulumi", code=5, does="echo a mandatory policy failed >&2")
    checkout.run("stack", "up", "dev", code=5, GITHUB_STEP_SUMMARY=str(summary))
    assert len(checkout.calls("pulumi")) == 1
    assert "### dev: `pulumi up`\n~~~~~~~~\na mandatory policy failed\n" in summary.read_text()


@pytest.mark.parametrize("arguments", [(), ("up",), ("destroy", "dev"), ("up", "production"), ("up", "../dev")])
def test_stack_refuses_what_it_does_not_know(checkout: Checkout, arguments: tuple[str, ...]) -> None:
    checkout.run("stack", *arguments, code=1 if len(arguments) < 2 else 2)
    assert checkout.calls("pulumi") == []


class Api(BaseHTTPRequestHandler):
    """Answers from `answers`, by method and path, and keeps what it was asked in `asked`."""

    answers: dict[str, Any]
    asked: list[tuple[str, str, Any]]

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        asked = f"{self.command} {unquote(self.path)}"
        self.asked.append((asked, str(self.headers["Authorization"]), body))
        answer = self.answers.get(asked)
        self.send_response(403 if answer is None else 200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    do_POST = do_PUT = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(answers: dict[str, Any]) -> Iterator[tuple[str, list[tuple[str, str, Any]]]]:
    handler = type("Handler", (Api,), {"answers": answers, "asked": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.asked  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()


needs_jq = pytest.mark.skipif(
    not (shutil.which("jq") and shutil.which("curl")),
    reason="jq and curl, which GitHub's runners have, are not on PATH",
)


@needs_jq
def test_cluster_gets_the_jobs_own_token_until_it_expires(checkout: Checkout) -> None:
    claims = {"exp": 1767225600, "sub": "repo:acme/stack:environment:prod??>>"}  # with - and _ in base64url
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    token = f"e30.{middle}.sign"
    with serving({"GET /token?v=1&audience=https://k8s.example": {"value": token}}) as (url, asked):
        given = {"ACTIONS_ID_TOKEN_REQUEST_URL": f"{url}/token?v=1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request"}
        credential = json.loads(checkout.run("kube-token", "https://k8s.example", **given))
    assert credential == {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": token, "expirationTimestamp": "2026-01-01T00:00:00Z"},
    }
    assert asked[0][1] == "bearer request"


@needs_jq
def test_cluster_gets_no_token_where_the_job_has_none(checkout: Checkout) -> None:
    assert "id-token: write" in checkout.run("kube-token", "x", code=1)


NOTES = "/projects/5/merge_requests/42/notes"


def note(checkout: Checkout, url: str, text: str, *, code: int = 0) -> str:
    (checkout.folder / "comment.md").write_text(text)
    environment = {"CI_API_V4_URL": url, "CI_PROJECT_ID": "5", "CI_MERGE_REQUEST_IID": "42", "NOTES_TOKEN": "hidden"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{checkout.environment['PATH']}"
    said = checkout.run("note.py", str(checkout.folder / "comment.md"), code=code, **environment)
    assert "hidden" not in said
    return said


def test_merge_request_gets_one_note_that_is_updated(checkout: Checkout) -> None:
    theirs = {"id": 1, "author": {"id": 8}, "body": MARKER}
    answers = {
        "GET /user": {"id": 9},
        f"GET {NOTES}?per_page=100&page=1": [theirs] * 100,
        f"GET {NOTES}?per_page=100&page=2": [theirs],
        f"POST {NOTES}": {},
    }
    with serving(answers) as (url, asked):
        note(checkout, url, f"{MARKER}\nfirst")
        assert asked[-1][0::2] == (f"POST {NOTES}", {"body": f"{MARKER}\nfirst"})
        answers[f"GET {NOTES}?per_page=100&page=2"] = [
            theirs,
            {"id": 3, "author": {"id": 9}, "body": f"{MARKER}\nfirst"},
        ]
        answers[f"PUT {NOTES}/3"] = {}
        note(checkout, url, f"{MARKER}\nsecond")
        assert asked[-1][0::2] == (f"PUT {NOTES}/3", {"body": f"{MARKER}\nsecond"})


@pytest.mark.parametrize("text", ["an advertisement", MARKER + "x" * 60_000])
def test_only_a_report_becomes_a_note(checkout: Checkout, text: str) -> None:
    with serving({}) as (url, asked):
        assert "no report" in note(checkout, url, text, code=1)
    assert asked == []


def test_note_that_is_refused_is_one_line(checkout: Checkout) -> None:
    with serving({}) as (url, _):
        assert note(checkout, url, MARKER, code=1) == ".ci/note.py: HTTP Error 403: Forbidden\n"
