"""A `gh` that answers from a folder and writes down how it was called."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def answered(folder: Path, arguments: list[str], given: bytes) -> tuple[int, bytes, str]:
    """Answer a call of `gh` from a folder, and write the call down; return exit code, output and error output."""
    api, option, method, path, *rest = arguments
    assert (api, option) == ("api", "--method"), arguments
    call = {"method": method, "path": path, "query": {}, "body": None}
    while rest:
        word, value, *rest = rest
        if word == "--raw-field":
            key, _, value = value.partition("=")
            call["query"][key] = value
        else:
            assert (word, value) == ("--input", "-"), arguments
            call["body"] = json.loads(given)
    with (folder / "calls").open("a") as calls:
        print(json.dumps(call), file=calls)
    name = path.removeprefix("repos/acme/stack/").replace("/", "+")
    refused, answer = folder / f"{name}.refused", folder / name
    if refused.exists():
        return 1, b"", f"gh: {refused.read_text()}\n"
    if method != "GET":
        return 0, b"{}", ""
    if not answer.exists():
        return 1, b"", "gh: HTTP 404: Not Found\n"
    if int(call["query"].get("page", 1)) > 1:
        return 0, b"[]", ""
    return 0, answer.read_bytes(), ""


# Isolated, without site-packages: it starts faster.
PROGRAM = f"""#!{sys.executable} -IS
from __future__ import annotations
import json, sys
from pathlib import Path
{inspect.getsource(answered)}
code, output, error = answered(Path(__file__).parent, sys.argv[1:], sys.stdin.buffer.read() if "-" in sys.argv else b"")
sys.stdout.buffer.write(output)
sys.stderr.write(error)
sys.exit(code)
"""


class FakeGh:
    """GitHub's API for the repository acme/stack, as a program `gh` in front of PATH, and as `run` in its place."""

    def __init__(self, base: Path) -> None:
        self.folder = base / "work"
        self._bin = base / "bin"
        self.folder.mkdir()
        self._bin.mkdir()
        program = self._bin / "gh"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        self.environment = os.environ | {"PATH": f"{self._bin}:{os.environ['PATH']}"}

    def answer(self, path: str, content: Any) -> None:
        """Answer a GET of `path` with bytes, or with JSON."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (self._bin / path.replace("/", "+")).write_bytes(data)

    def refuse(self, path: str, message: str) -> None:
        """Fail for `path`, with what `gh` prints."""
        (self._bin / f"{path.replace('/', '+')}.refused").write_text(message)

    def run(self, command: list[str], *, input: bytes, **_: object) -> subprocess.CompletedProcess[bytes]:
        """Answer as the program does, in the place of `subprocess.run`."""
        assert command[0] == "gh"
        code, output, error = answered(self._bin, command[1:], input)
        return subprocess.CompletedProcess(command, code, output, error.encode())

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
