"""The command `preview`."""

from __future__ import annotations

import pathlib
import shutil
import sys
from typing import Annotated

import typer

from agentstack.preview.run import run
from agentstack.preview.screen import show
from agentstack.rendering.environment import Environment, find_project
from agentstack.rendering.manifests import to_yaml
from settings.errors import SettingsError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def preview(
    env: Annotated[str, typer.Argument(metavar="[ENV]", help="The environment: reads Pulumi.ENV.yaml.")] = "dev",
    agents: Annotated[pathlib.Path | None, typer.Option(help="Read agents from this folder.")] = None,
    settings: Annotated[pathlib.Path | None, typer.Option(help="Read this file instead of Pulumi.ENV.yaml.")] = None,
    out: Annotated[pathlib.Path | None, typer.Option(help="Write manifests here instead of build/ENV.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    sarif: Annotated[pathlib.Path | None, typer.Option(metavar="FILE", help="Write the findings as SARIF.")] = None,
    with_dev_secrets: Annotated[
        bool,
        typer.Option(
            "--with-dev-secrets",
            help="Fill Secrets with random values, kept in .dev-secrets/; for throw-away clusters only.",
        ),
    ] = False,
    declared: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--show", metavar="agent NAME", help="Only print the agent's declaration as this environment has it."
        ),
    ] = None,
) -> None:
    """Compute the whole stack without engine, cluster or account: check it, sum it up, write its manifests.

    Exit codes: 0 fine, 1 policy violations, 2 bad input (nothing is written then).
    """
    project = find_project(pathlib.Path())
    environment = Environment.find(project, env, file=settings, agents=agents)
    if declared is not None:
        typer.echo(_declaration(environment, *declared), nl=False)
        return
    given = (("--agents", agents), ("--settings", settings), ("--out", out))
    command = [*_program(), "preview", env]
    command += [word for option, path in given if path is not None for word in (option, str(path))]
    folder = project / "build" / env if out is None else out
    report = run(environment, folder, command=command, with_dev_secrets=with_dev_secrets)
    if sarif is not None or as_json:
        # What is printed on a screen needs none of the published models, which take a while to be built.
        from agentstack.judging import sarif as sarif_log
        from agentstack.preview.published import findings, published

        if sarif is not None:
            sarif_log.write(sarif, {env: findings(report.preview)})
        if as_json:
            typer.echo(published(report).text())
    if not as_json:
        show(report)
    if report.preview.failed:
        raise typer.Exit(1)


def _program() -> list[str]:
    """How a person calls this program, judging by how it was called."""
    called = sys.argv[0]
    if pathlib.Path(called).name == "__main__.py":
        return ["python", "-m", "agentstack"]
    return ["agentstack" if shutil.which("agentstack") == called else called]


def _declaration(environment: Environment, kind: str, name: str) -> str:
    if kind != "agent":
        raise SettingsError(f"--show: unknown kind `{kind}`: write `--show agent {name}`")
    declaration = environment.agent(name).model_dump(mode="json", by_alias=True)
    return to_yaml({"name": declaration.pop("name"), **declaration})
