"""A `gh` that answers from a folder and writes down how it was called."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

PROGRAM = """
import json, pathlib, sys
folder = pathlib.Path(__file__).parent
api, option, method, path, *rest = sys.argv[1:]
assert (api, option) == ("api", "--method"), sys.argv
call = {"method": method, "path": path, "query": {}, "body": None}
while rest:
    word, value, *rest = rest
    if word == "--raw-field":
        key, _, value = value.partition("=")
        call["query"][key] = value
    else:
        assert (word, value) == ("--input", "-"), sys.argv
        call["body"] = json.load(sys.stdin)
with (folder / "calls").open("a") as calls:
    print(json.dumps(call), file=calls)
name = path.removeprefix("repos/acme/stack/").replace("/", "+")
refused, answer = folder / f"{name}.refused", folder / name
if refused.exists():
    sys.exit(f"gh: {refused.read_text()}")
if method != "GET":
    print("{}")
elif not answer.exists():
    sys.exit("gh: HTTP 404: Not Found")
elif int(call["query"].get("page", 1)) > 1:
    print("[]")
else:
    sys.stdout.buffer.write(answer.read_bytes())
"""


class FakeGh:
    """GitHub's API for the repository acme/stack, as a program `gh` in front of PATH."""

    def __init__(self, base: Path) -> None:
        self.folder = base / "work"
        self._bin = base / "bin"
        self.folder.mkdir()
        self._bin.mkdir()
        program = self._bin / "gh"
        program.write_text(f"#!{sys.executable} -IS\n{PROGRAM}")
        program.chmod(0o755)
        self.environment = os.environ | {"PATH": f"{self._bin}:{os.environ['PATH']}"}

    def answer(self, path: str, content: Any) -> None:
        """Answer a GET of `path` with bytes, or with JSON."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (self._bin / path.replace("/", "+")).write_bytes(data)

    def refuse(self, path: str, message: str) -> None:
        """Fail for `path`, with what `gh` prints."""
        (self._bin / f"{path.replace('/', '+')}.refused").write_text(message)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """All calls, in their order."""
        calls = self._bin / "calls"
        return [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []

    @property
    def writes(self) -> list[dict[str, Any]]:
        """The calls that change something."""
        return [call for call in self.calls if call["method"] != "GET"]

    def called(self, path: str) -> list[dict[str, Any]]:
        """The calls of `path`."""
        return [call for call in self.calls if call["path"] == f"repos/acme/stack/{path}"]
