"""The command `explain`."""

from __future__ import annotations

import json
import pathlib
from dataclasses import asdict
from typing import Annotated

import typer

from agentstack.explain.explanation import explained
from agentstack.explain.terminal import show
from agentstack.rendering.environment import Environment, find_project

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def explain(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.")],
    env: Annotated[str, typer.Option(metavar="ENV", help="The environment: reads Pulumi.ENV.yaml.")] = "dev",
    agents: Annotated[pathlib.Path | None, typer.Option(help="Read agents from this folder.")] = None,
    settings: Annotated[pathlib.Path | None, typer.Option(help="Read this file instead of Pulumi.ENV.yaml.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show what an agent's declaration becomes, and why: each value with its origin, each object with its purpose.

    Exit codes: 0 fine, 2 bad input.
    """
    environment = Environment.find(find_project(pathlib.Path()), env, file=settings, agents=agents)
    found = explained(environment, agent)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        show(found)
