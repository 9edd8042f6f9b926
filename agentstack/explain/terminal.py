"""An explanation on the terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from agentstack.output.console import new_console
from agentstack.preview.screen import SHORT_KINDS

from .model import Explanation, Setting

_PLAIN_WIDTH: Final = 100
"""Characters a line in a pipe."""


def show(explanation: Explanation) -> None:
    """Print an explanation as tables."""
    console = new_console(plain_width=_PLAIN_WIDTH)
    console.print(Text(f"{explanation.agent} in {explanation.environment}", "bold"))

    console.print()
    console.print(_settings_table(explanation.settings))
    if unset := [item.path for item in explanation.settings if _is_unset(item)]:
        console.print(Text.assemble(("not set  ", "bold"), (", ".join(unset), "dim")))

    objects = _table("object", "what for", "shaped by")
    for thing in explanation.objects:
        because = ", ".join(thing.because) or "every agent"
        objects.add_row(Text(f"{SHORT_KINDS.get(thing.kind, thing.kind)} {thing.name}", "cyan"), thing.purpose, because)
    console.print()
    console.print(objects)

    variables = _table("variable", "value", "in")
    for variable in explanation.variables:
        variables.add_row(Text(variable.name, "cyan"), variable.value or "", variable.source)
    console.print()
    console.print(variables)


def _settings_table(settings: Sequence[Setting]) -> Table:
    overridden = any(item.overrides for item in settings)
    table = _table("setting", "value", "from", *(["instead of"] if overridden else []))
    for item in sorted(settings, key=lambda item: item.origin is None):
        if _is_unset(item):
            continue
        hidden = f"{_text(item.overrides.value)}, line {item.overrides.line}" if item.overrides else ""
        style = "" if item.origin else "dim"
        origin = str(item.origin or "default")
        cells = [_text(item.value), origin, *([hidden] if overridden else [])]
        table.add_row(Text(item.path, "cyan" if item.origin else ""), *cells, style=style)
    return table


def _is_unset(setting: Setting) -> bool:
    return setting.origin is None and setting.value in (None, [], {})


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold", no_wrap=header in ("setting", "from", "variable"))
    return table


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value) or "[]"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
