"""The command `explain`."""

from __future__ import annotations

import typer

from agentstack.explain import explain

app = typer.Typer(add_completion=False, rich_markup_mode=None)
app.command()(explain)
