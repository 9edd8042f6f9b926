"""The command `graph`."""

from __future__ import annotations

import pathlib
from typing import Annotated, Final

import typer

from agentstack.compare.snapshot import Snapshot
from agentstack.drawing.difference import unchanged
from agentstack.drawing.mermaid import mermaid
from agentstack.drawing.page import page
from agentstack.drawing.svg import svg
from agentstack.graph.declared import declared
from agentstack.rendering.environment import Environment, find_project
from settings.errors import SettingsError

_FORMATS: Final = {".mmd": "Mermaid", ".svg": "SVG", ".html": "a page"}

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def graph(
    env: Annotated[str, typer.Argument(metavar="[ENV]", help="The environment: reads Pulumi.ENV.yaml.")] = "dev",
    out: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="FILE",
            help="Write it there, by the ending of the name: .mmd (Mermaid), .svg, or .html, a page on which each part "
            "opens. Mermaid on the terminal if absent.",
        ),
    ] = None,
    agents: Annotated[pathlib.Path | None, typer.Option(help="Read agents from this folder.")] = None,
    settings: Annotated[pathlib.Path | None, typer.Option(help="Read this file instead of Pulumi.ENV.yaml.")] = None,
) -> None:
    """Draw what is declared: agents, topics, stores, models, the gateway, and the flows between them.

    Exit codes: 0 fine, 2 bad input (nothing is written then).
    """
    suffix = ".mmd" if out is None else out.suffix
    if suffix not in _FORMATS:
        endings = ", ".join(f"{ending} ({what})" for ending, what in _FORMATS.items())
        raise SettingsError(f"--out: {out} has none of the endings {endings}: choose one of them")
    content = _content(Environment.find(find_project(pathlib.Path()), env, file=settings, agents=agents), suffix)
    if out is None:
        typer.echo(content, nl=False)
        return
    try:
        out.write_text(content, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{out}: cannot be written: {error.strerror}: name another file with --out") from None


def _content(environment: Environment, suffix: str) -> str:
    if suffix == ".html":
        return page(Snapshot.rendered(environment))
    found = unchanged(declared(environment.settings()))
    return svg(found, f"Agent Stack · {environment.name}") if suffix == ".svg" else mermaid(found)
