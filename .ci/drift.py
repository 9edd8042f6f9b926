#!/usr/bin/env python3
"""Keep one issue for an environment open as long as its cluster differs from its state: `.ci/drift.py OWNER/REPO ENV`.

Runs `agentstack drift ENV --markdown`, which only reads. Where it cannot tell, the issue stays as it is, and this ends
with its exit code. Needs `gh` with a token that may write issues, and what the engine needs.
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
from typing import Any

import gh

DRIFT = 7
"""The exit code of `agentstack drift` where something differs; 0 where nothing does."""


def main(arguments: list[str]) -> None:
    """Do what the module says."""
    if len(arguments) != 2 or not all(map(re.fullmatch, (r"[\w.-]+/[\w.-]+", r"[\w.-]+"), arguments)):
        gh.fail("usage: .ci/drift.py OWNER/REPO ENV")
    repository, environment = f"repos/{arguments[0]}", arguments[1]
    project = pathlib.Path(__file__).parent.parent
    subprocess.run(["make", "--silent", ".venv/runtime"], cwd=project, check=True)
    looked = subprocess.run(
        [".venv/bin/agentstack", "drift", environment, "--markdown"],
        cwd=project,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if looked.returncode not in (0, DRIFT):
        sys.exit(looked.returncode)
    marker = f"<!-- agentstack drift {environment} -->"
    issues = [issue for issue in gh.pages(f"{repository}/issues", state="open") if is_ours(issue, marker)]
    if looked.returncode == 0:
        print(f"{environment}: no drift")
        close(repository, issues)
        return
    report = looked.stdout
    if not report.startswith(marker) or len(report) > gh.TEXT_LIMIT:
        sys.exit(f"agentstack drift {environment}: its report has no marker, or {len(report)} characters")
    summarize(report)
    body = f"{report}\n\n{run_link()}"
    if issues:
        gh.send("PATCH", f"{repository}/issues/{issues[0]['number']}", {"body": body})
    else:
        gh.send("POST", f"{repository}/issues", {"title": f"Drift: {environment}", "body": body})


def is_ours(issue: dict[str, Any], marker: str) -> bool:
    """Tell whether this made an issue; anybody can write the marker into one of their own."""
    author = (issue["user"] or {}).get("login")
    return author == gh.BOT and "pull_request" not in issue and (issue["body"] or "").startswith(marker)


def close(repository: str, issues: list[dict[str, Any]]) -> None:
    """Close the issues, and say why."""
    for issue in issues:
        path = f"{repository}/issues/{issue['number']}"
        gh.send("POST", f"{path}/comments", {"body": f"The cluster is as the state says again. {run_link()}"})
        gh.send("PATCH", path, {"state": "closed", "state_reason": "completed"})


def summarize(report: str) -> None:
    """Show the report in the run's summary, where there is one."""
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with pathlib.Path(summary).open("a", encoding="utf-8") as file:
            file.write(report)


def run_link() -> str:
    """Return a link to this run of a workflow; nothing where people run this."""
    if "GITHUB_RUN_ID" not in os.environ:
        return ""
    server, repository, run = (os.environ[f"GITHUB_{name}"] for name in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    return f"[Run]({server}/{repository}/actions/runs/{run})"


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except gh.GhError as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
