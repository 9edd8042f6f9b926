"""The command `drift`."""

from __future__ import annotations

import pathlib
from typing import Annotated, Final

import typer

from agentstack.engine import plan
from agentstack.live.drift import DriftReport, drifts, published, section, verdict
from agentstack.output.document import Chapter, Code, Document, Lines, Table
from agentstack.output.exits import INTERRUPTED
from agentstack.output.markdown import comment
from agentstack.output.terminal import show
from agentstack.rendering.environment import Environment, find_project
from settings.errors import SettingsError

DRIFT: Final = 7
"""The exit code where something drifted; that of the engine's own `--expect-no-changes`."""


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Exit codes: 0 no drift, 7 drift, 2 it cannot be told (stderr says why), 130 interrupted.")
def drift(
    env: Annotated[str, typer.Argument(metavar="ENV", help="The environment, which is also the stack's name.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print it as the body of an issue.")] = False,
) -> None:
    """Show what in the cluster is not as it was deployed, field by field, and who set it.

    Asks the engine, by `pulumi refresh --preview-only`; changes neither its state nor the cluster.
    """
    if as_json and as_markdown:
        raise SettingsError("--json: cannot be printed with --markdown: take one")
    try:
        answer = plan.refresh(Environment.find(find_project(pathlib.Path()), env))
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    for refusal in answer.refusals:
        raise SettingsError(f"{env}: {refusal.title}: cannot be read: {refusal.message}")
    found = drifts(answer.refreshed)
    if as_json:
        typer.echo(DriftReport(environment=env, drift=published(found)).text())
    else:
        document = Document(
            ("Agent Stack: drift of ", Code(env)),
            Table(
                ("environment", "verdict", ">objects", ">fields"),
                ((Code(env), verdict(found), str(len(found)), str(sum(len(each.fields) for each in found))),),
            ),
            Lines(()),
            (Chapter(env, verdict(found), "warn" if found else "good", (section(found),), f"agentstack drift {env}"),),
            ("Made by ", Code(f"agentstack drift {env}"), ", which changes neither the stack's state nor the cluster."),
        )
        if as_markdown:
            typer.echo(comment(document, marker=f"<!-- agentstack drift {env} -->"), nl=False)
        else:
            show(document)
    if found:
        raise typer.Exit(DRIFT)
