"""Pulumi's test monitor, recording every registration, and the command line."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks


class Recorder(mocks.Mocks):
    """Answers every registration with its inputs, and keeps them by type and name."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, str], dict[str, Any]] = {}

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        key = (args.typ.rpartition(":")[2], args.name)
        assert key not in self.seen, f"{key} is registered twice"
        self.seen[key] = args.inputs
        return f"{args.name}-id", args.inputs

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], None]:
        return {}, None

    def kinds(self, name: str | None = None) -> list[str]:
        """The kinds of everything registered, or of what has that name, sorted."""
        return sorted(kind for kind, registered in self.seen if name in (None, registered))


@pytest.fixture
def render() -> Callable[[Callable[[], object]], Recorder]:
    """Run a program on a fresh test monitor and return what it registered."""

    def run(program: Callable[[], object]) -> Recorder:
        recorder = Recorder()
        mocks.set_mocks(recorder, project="agentstack", stack="test")
        pulumi.runtime.test(program)()
        return recorder

    return run


@pytest.fixture
def call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Run the command line; return exit code, output and error output."""
    from agentstack.commands.cli import main

    thresholds = gc.get_threshold()  # which the command line sets for a whole process

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["agentstack", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    yield run
    gc.set_threshold(*thresholds)
