#!/usr/bin/env python3
"""Bring a report to a merge request of GitLab, as one note that later runs change: `.ci/note.py FILE`.

Reads what GitLab sets in the pipeline of a merge request (CI_API_V4_URL, CI_PROJECT_ID, CI_MERGE_REQUEST_IID), and
NOTES_TOKEN: a project access token with the role Reporter and the scope `api`.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import urllib.error
import urllib.request
from typing import Any

MARKER = "<!-- agentstack diff -->"
LIMIT = 60_000
"""Characters, as `agentstack diff` keeps them."""


def main(arguments: list[str]) -> None:
    """Do what the module says."""
    if len(arguments) != 1:
        sys.exit("usage: .ci/note.py FILE")
    text = pathlib.Path(arguments[0]).read_text(encoding="utf-8")
    if not text.startswith(MARKER) or len(text) > LIMIT:
        sys.exit(f"{arguments[0]}: no report of `agentstack diff`")
    me = call("GET", "user")["id"]
    notes = f"projects/{os.environ['CI_PROJECT_ID']}/merge_requests/{os.environ['CI_MERGE_REQUEST_IID']}/notes"
    for page in range(1, 31):
        found = call("GET", f"{notes}?per_page=100&page={page}")
        for note in found:
            if note["author"]["id"] == me and note["body"].startswith(MARKER):
                call("PUT", f"{notes}/{note['id']}", {"body": text})
                return
        if len(found) < 100:
            break
    call("POST", notes, {"body": text})


def call(method: str, path: str, body: dict[str, str] | None = None) -> Any:
    """Call GitLab's API and return its answer. https://docs.gitlab.com/api/notes/#merge-requests"""
    request = urllib.request.Request(
        f"{os.environ['CI_API_V4_URL']}/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"PRIVATE-TOKEN": os.environ["NOTES_TOKEN"], "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyError as error:
        sys.exit(f"{error.args[0]} is not set: this runs in the pipeline of a merge request (docs/ci.md)")
    except (OSError, urllib.error.URLError) as error:
        sys.exit(f".ci/note.py: {error}")
