"""GitHub's REST API through `gh`, which has the token; nothing here goes through a shell."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

BOT = "github-actions[bot]"
"""Who writes with the token of a workflow."""
TEXT_LIMIT = 65_000
"""Characters; GitHub takes 65,536 in a comment, an issue or a check run's summary."""


class GhError(Exception):
    """`gh` failed; the message is what it printed."""


def call(
    path: str, *, method: str = "GET", query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
) -> bytes:
    """Call the API at `path`, with `query` as parameters or `body` as JSON, and return the answer as it is.

    Raises `GhError`.
    """
    command = ["gh", "api", "--method", method, path]
    for key, value in (query or {}).items():
        command += ["--raw-field", f"{key}={value}"]
    if body is not None:
        command += ["--input", "-"]
    given = b"" if body is None else json.dumps(body).encode()
    done = subprocess.run(command, input=given, capture_output=True, timeout=120, check=False)
    if done.returncode:
        raise GhError(f"gh api --method {method} {path}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def read(path: str, **query: str) -> Any:
    """Return what the API says at `path`. Raises `GhError`."""
    return json.loads(call(path, query=query))


def pages(path: str, **query: str) -> list[Any]:
    """Return the items of all pages of a list, at most 3,000. Raises `GhError`."""
    items: list[Any] = []
    for page in range(1, 31):
        found = read(path, **query, per_page="100", page=str(page))
        items += found
        if len(found) < 100:
            break
    return items


def send(method: str, path: str, body: Mapping[str, Any]) -> None:
    """Create or change something. Raises `GhError`."""
    call(path, method=method, body=body)


def fail(message: str) -> NoReturn:
    """End with the exit code 2 and a message."""
    print(message, file=sys.stderr)
    sys.exit(2)
