"""What the commands have in common when they end: exit codes, and which errors are the user's to fix."""

from __future__ import annotations

import sys
from typing import Final

BAD_INPUT: Final = 2
"""The input cannot be used; stderr has a line per mistake."""
BUG: Final = 70
"""An error of this program: EX_SOFTWARE of sysexits.h. Python's own, 1, would pass for a policy violation."""
INTERRUPTED: Final = 130
"""Ended by Ctrl-C: 128 and the number of SIGINT, as shells have it."""

_INPUT_ERRORS: Final = (("settings.errors", "SettingsError"), ("pulumi", "RunError"))
"""Module and name. Neither is imported for this alone: whatever raises one has imported it."""


def is_bad_input(error: Exception) -> bool:
    """Return whether the user's files caused an error, and its text says how to fix it."""
    modules = ((sys.modules.get(module), name) for module, name in _INPUT_ERRORS)
    return any(module is not None and isinstance(error, getattr(module, name)) for module, name in modules)
