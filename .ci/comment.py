#!/usr/bin/env python3
"""Bring the report of a pull request's run to the pull request: `.ci/comment.py OWNER/REPO RUN`.

Writes one comment (which later runs change), a check run, and the findings for code scanning. RUN is the id of a run of
`pull-request.yaml`. Everything in its artifact was made by the pull request's own code, so that it is only ever text:
nothing of it is executed or written to disk, and no name or number in it is believed. Needs `gh` with a token that may
read actions, and write checks, pull requests and security events.
"""

from __future__ import annotations

import fnmatch
import io
import re
import sys
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import findings
import gh

MARKER = "<!-- agentstack diff -->"
CHECK = "agentstack report"
"""Not the name of the job, `agentstack diff`, which branch protection asks for."""
ARTIFACT = "diff"
ARTIFACT_LIMIT = 32 * 1024 * 1024
"""Bytes of the whole archive, pictures included."""
FILE_LIMIT = 4 * 1024 * 1024
"""Bytes of one file in it, unpacked."""
FILES_LISTED = 3000
"""https://docs.github.com/en/rest/pulls/pulls#list-pull-requests-files: what comes after these is never seen."""
CONCLUSIONS = {
    "success": "Nothing is refused",
    "failure": "Refused: the report says why",
    "timed_out": "No report: the run took too long",
}
"""What a run ended with, which is GitHub's word and not the artifact's, and what the check says then."""
DECLARATIONS = (
    *("agents/*", "workflows/*", "Pulumi.*.yaml"),
    *("policies/prices.yaml", "policies/waivers.yaml", "policies/config/*.json"),
    *("docs/*", "examples/*", "tests/*", "*.md"),
)
"""What `agentstack diff` only reads, or does not need. A change to anything else may change what the report says."""


def main(arguments: list[str]) -> None:
    """Do what the module says."""
    if len(arguments) != 2 or not re.fullmatch(r"[\w.-]+/[\w.-]+", arguments[0]) or not arguments[1].isdecimal():
        gh.fail("usage: .ci/comment.py OWNER/REPO RUN")
    repository = f"repos/{arguments[0]}"
    run = gh.read(f"{repository}/actions/runs/{arguments[1]}")
    if run["event"] != "pull_request" or run["conclusion"] not in CONCLUSIONS:
        print(f"nothing to say of a run of {run['event']} that ended with {run['conclusion']}")
        return
    pull = pull_request(repository, run)
    if pull is None:
        print("no open pull request has this commit as its head: it is closed, or a newer run will comment")
        return
    files = artifact(repository, run["id"])
    report = usable(files.get("comment.md"))
    changed = gh.pages(f"{repository}/pulls/{pull}/files")
    machinery = changed_machinery(changed)
    text = f"{MARKER}\n{provenance(run, machinery, listed=len(changed))}\n\n{report}"
    comment(repository, pull, text)
    check(repository, run, text)
    if "findings.sarif" in files:
        findings.upload(repository, run["head_sha"], f"refs/pull/{pull}/head", files["findings.sarif"])


def pull_request(repository: str, run: Mapping[str, Any]) -> int | None:
    """Return the number of the open pull request whose head the run tested, if there is exactly one.

    `run.pull_requests` is empty for forks, and the artifact is not to be believed: GitHub is asked by branch.
    """
    head = run["head_repository"]
    if head is None:  # the fork is deleted
        return None
    found = [
        pull["number"]
        for pull in gh.pages(f"{repository}/pulls", state="open", head=f"{head['owner']['login']}:{run['head_branch']}")
        if pull["head"]["sha"] == run["head_sha"] and (pull["head"]["repo"] or {}).get("id") == head["id"]
    ]
    if len(found) > 1:
        # The run does not say which base it compared with.
        gh.fail(f"pull requests {', '.join(map(str, found))} have the same branch: close all but one")
    return int(found[0]) if found else None


def artifact(repository: str, run: int) -> dict[str, bytes]:
    """Return the files of the run's artifact that the report needs, by name; those that are too large are left out."""
    found = gh.read(f"{repository}/actions/runs/{run}/artifacts", name=ARTIFACT)["artifacts"]
    if not found:
        return {}
    newest = max(found, key=lambda item: int(item["id"]))  # a run that was started again has several
    if newest["expired"] or newest["size_in_bytes"] > ARTIFACT_LIMIT:
        return {}
    files = {}
    try:
        with zipfile.ZipFile(io.BytesIO(gh.call(f"{repository}/actions/artifacts/{newest['id']}/zip"))) as archive:
            for name in {"comment.md", "findings.sarif"}.intersection(archive.namelist()):
                with archive.open(name) as file:
                    content = file.read(FILE_LIMIT + 1)  # whatever size the archive claims
                if len(content) <= FILE_LIMIT:
                    files[name] = content
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        print(f"the artifact cannot be read: {type(error).__name__}")  # its words could be commands to the runner
    return files


def usable(content: bytes | None) -> str:
    """Return the report without its marker, or words in its place."""
    if content is None:
        return "The run left no report behind. Its log says why."
    text = content.decode("utf-8", errors="replace").replace("\0", "")
    if not text.startswith(MARKER):
        return "What the run left behind is no report of `agentstack diff`. Its log says why."
    if len(text) > 60_000:
        return "The report is longer than `agentstack diff` makes them. It is in the run's artifact."
    return text.removeprefix(MARKER).lstrip("\n")


def provenance(run: Mapping[str, Any], machinery: list[str], *, listed: int = 0) -> str:
    """Return what the pull request cannot influence, to stand above what it can."""
    said = f"Commit {run['head_sha'][:12]} · [run, graphs and JSON]({run['html_url']})"
    if not machinery and listed < FILES_LISTED:
        return said
    if not machinery:
        return (
            f"{said}\n\n> [!WARNING]\n> This change is of more files than GitHub lists. Programs may be among them, "
            "and the report below is then made by them."
        )
    named = ", ".join(code(name) for name in machinery[:5])
    more = f" and {len(machinery) - 5} more" if len(machinery) > 5 else ""
    return (
        f"{said}\n\n> [!WARNING]\n> This change touches programs, and the report below was made by them: "
        f"{named}{more}. Read them before you rely on it."
    )


def code(text: str) -> str:
    """Return hostile text as a code span that it cannot leave."""
    return "`" + re.sub(r"[^!-_a-~]", "?", text)[:120] + "`"


def changed_machinery(files: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the paths that a pull request changes and that are not declarations, sorted."""
    names = {name for file in files for name in (file["filename"], file.get("previous_filename")) if name}
    return sorted(name for name in names if not any(fnmatch.fnmatchcase(name, kind) for kind in DECLARATIONS))


def comment(repository: str, pull: int, text: str) -> None:
    """Change the comment that there is, or write the first one."""
    for existing in gh.pages(f"{repository}/issues/{pull}/comments"):
        if (existing["user"] or {}).get("login") == gh.BOT and (existing["body"] or "").startswith(MARKER):
            gh.send("PATCH", f"{repository}/issues/comments/{existing['id']}", {"body": text})
            return
    gh.send("POST", f"{repository}/issues/{pull}/comments", {"body": text})


def check(repository: str, run: Mapping[str, Any], text: str) -> None:
    """Write a check run on the pull request's head; its conclusion is the run's."""
    body = {
        "name": CHECK,
        "head_sha": run["head_sha"],
        "status": "completed",
        "conclusion": run["conclusion"],
        "details_url": run["html_url"],
        "output": {"title": CONCLUSIONS[run["conclusion"]], "summary": text},
    }
    gh.send("POST", f"{repository}/check-runs", body)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except gh.GhError as error:
        sys.exit(str(error))
