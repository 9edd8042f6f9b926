"""Where commands print what people read."""

from __future__ import annotations

from typing import IO, Final

from rich.console import Console

_PLAIN_WIDTH: Final = 120
"""Characters a line in a pipe, which has no width: the same everywhere, so that outputs can be compared."""


def new_console(file: IO[str] | None = None, *, plain_width: int = _PLAIN_WIDTH) -> Console:
    """Return the console for `file`, stdout by default: as wide as a terminal, and `plain_width` in a pipe.

    Text is shown as it is: what stands in brackets or between colons is no markup.
    """
    found = Console(highlight=False, markup=False, emoji=False, file=file)
    if not found.is_terminal:
        found = Console(highlight=False, markup=False, emoji=False, file=file, width=plain_width)
    return found
