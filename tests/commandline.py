"""The command line in this process, for what a process of its own would prove nothing more about."""

from __future__ import annotations

import contextlib
import gc
import io
import runpy
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from settings import files

ROOT = Path(__file__).parents[1]


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


def agentstack(*arguments: str, folder: Path = ROOT) -> Done:
    """Do as `python -m agentstack` does in a folder, except that the program is the one of this checkout."""
    out, err = io.StringIO(), io.StringIO()
    thresholds = gc.get_threshold()  # which the command line sets for a whole process
    files._composed.cache_clear()  # by relative path: of the project of another test
    try:
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["agentstack", *arguments])
            with pytest.raises(SystemExit) as ended:
                runpy.run_module("agentstack", run_name="__main__")
    finally:
        gc.set_threshold(*thresholds)
        files._composed.cache_clear()
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())
