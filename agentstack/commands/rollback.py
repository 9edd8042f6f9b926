"""The command `rollback`."""

from __future__ import annotations

from typing import Annotated

import typer

from settings.errors import SettingsError

from .driving import EXIT_CODES, Env, Verbose, driver, end

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog=EXIT_CODES)
def rollback(
    agent: Annotated[str | None, typer.Argument(metavar="[AGENT]", help="All agents if absent.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="VERSION", help="The one before if absent.")] = None,
    env: Env = "dev",
    verbose: Verbose = False,
) -> None:
    """Take a release in progress back, or restore an agent's former version and settings from the stack's history."""
    if to is not None and agent is None:
        raise SettingsError("--to: belongs to one agent: write `agentstack rollback AGENT --to VERSION`")
    with driver(env, None, verbose) as run:
        end(run.rollback(agent, to))
