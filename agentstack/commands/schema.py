"""The command `schema`."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from agentstack.authoring.schema import outdated, write
from agentstack.rendering.environment import find_project

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def schema(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if a file is not current.")
    ] = False,
) -> None:
    """Write all generated files: the JSON Schemas that editors read, and the rules in docs/policies.md."""
    project = find_project(pathlib.Path())
    if not check:
        write(project)
    elif stale := outdated(project):
        typer.echo(f"not current: {', '.join(map(str, stale))}: run `agentstack schema`", err=True)
        raise typer.Exit(1)
