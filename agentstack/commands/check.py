"""The command `check`."""

from __future__ import annotations

import pathlib
import sys
from typing import Annotated

import typer

from agentstack.check.judge import STDIN, STREAM, judge
from agentstack.check.objects import SUFFIXES, Contents
from agentstack.check.report import findings, published, show
from agentstack.judging import sarif as sarif_log
from agentstack.judging.policy import Policies
from agentstack.output.exits import BAD_INPUT
from settings.errors import SettingsError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def check(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="A folder or file of YAML or JSON; `-` reads standard input.")
    ],
    config: Annotated[
        pathlib.Path | None, typer.Option(metavar="FILE", help="Levels and values of rules, as in policies/config.")
    ] = None,
    waivers: Annotated[
        pathlib.Path | None, typer.Option(metavar="FILE", help="Waivers, as in policies/waivers.yaml.")
    ] = None,
    env: Annotated[str, typer.Option(metavar="ENV", help="Whose waivers count besides those for all.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    sarif: Annotated[pathlib.Path | None, typer.Option(metavar="FILE", help="Write the findings as SARIF.")] = None,
) -> None:
    """Judge Kubernetes objects in any folder of YAML by the rules of docs/policies.md.

    Such as `helm template CHART | agentstack check -`, or `kubectl get all --output yaml | agentstack check -`.

    Exit codes: 0 fine, 1 policy violations, 2 bad input (also where only a part could be read, and is judged).
    """
    for option in (config, waivers):
        if option is not None and not option.is_file():
            raise SettingsError(f"{option}: is not a file: name one that is there")
    checked = judge(folder, _read(folder), Policies.read(config, waivers, environment=env), waivers)
    if sarif is not None:
        sarif_log.write(sarif, {env: findings(checked)})
    if as_json:
        typer.echo(published(checked).text())
    else:
        show(checked)
    for mistake in checked.contents.mistakes:
        typer.echo(mistake, err=True)
    if checked.contents.mistakes or checked.failed:
        raise typer.Exit(BAD_INPUT if checked.contents.mistakes else 1)


def _read(source: str) -> Contents:
    contents = Contents()
    if source == STREAM:
        if sys.stdin is None:
            raise SettingsError("-: standard input is closed: pipe YAML into it, or name a folder")
        contents.read_stream(sys.stdin.buffer, STDIN)
    elif not pathlib.Path(source).exists():
        raise SettingsError(f"{source}: is not there: name a folder or file, or `-` for standard input")
    else:
        contents.read(pathlib.Path(source))
    if not contents.objects:
        read = f"{contents.files} file{'' if contents.files == 1 else 's'} ({', '.join(SUFFIXES)})"
        none = f"{source}: holds no Kubernetes objects in {read}: name the folder that does"
        raise SettingsError("\n".join([*contents.mistakes, none]))
    return contents
