"""The command line: `agentstack preview`, `check`, `diff`, `explain`, `graph`, `new`, `release` and the others."""

from __future__ import annotations

import gc
import pathlib
import shutil
import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from agentstack.check.judge import check
from agentstack.explain.command import explain
from agentstack.output.exits import BAD_INPUT, BUG, is_bad_input
from agentstack.review.result import register as register_diff

from . import new
from .drift import register as register_drift
from .graph import graph
from .release import register as register_releases

# Only what `--help` needs is imported here: everything else takes more time than the rest of most commands.
if TYPE_CHECKING:
    from agentstack.rendering.environment import Environment

app = typer.Typer(
    help="AI agents on Kubernetes: the whole platform from typed settings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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
    show: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="agent NAME", help="Only print the agent's declaration as this environment has it."),
    ] = None,
) -> None:
    """Compute the whole stack without engine, cluster or account: check it, sum it up, write its manifests.

    Exit codes: 0 fine, 1 policy violations, 2 bad input (nothing is written then).
    """
    from agentstack.rendering.environment import Environment, find_project

    project = find_project(pathlib.Path())
    environment = Environment.find(project, env, file=settings, agents=agents)
    if show is not None:
        typer.echo(_shown(environment, *show), nl=False)
        return
    from agentstack.preview.run import run

    given = (("--agents", agents), ("--settings", settings), ("--out", out))
    command = [*_program(), "preview", env]
    command += [word for option, path in given if path is not None for word in (option, str(path))]
    folder = project / "build" / env if out is None else out
    report = run(environment, folder, command=command, with_dev_secrets=with_dev_secrets)
    if sarif is not None:
        from agentstack.judging.sarif import write as write_sarif
        from agentstack.preview.report import findings_json

        write_sarif(sarif, {env: findings_json(report)})
    if as_json:
        from agentstack.preview.report import as_json as to_json

        typer.echo(to_json(report))
    else:
        from agentstack.preview.report import show as show_report

        show_report(report)
    if report.failed:
        raise typer.Exit(1)


@app.command()
def schema(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if a file is not current.")
    ] = False,
) -> None:
    """Write all generated files: the JSON Schemas that editors read, and the rules in docs/policies.md."""
    from agentstack.authoring.schema import outdated, write
    from agentstack.rendering.environment import find_project

    project = find_project(pathlib.Path())
    if not check:
        write(project)
    elif stale := outdated(project):
        typer.echo(f"not current: {', '.join(map(str, stale))}: run `agentstack schema`", err=True)
        raise typer.Exit(1)


app.command()(explain)
app.command()(graph)
app.command()(check)
app.add_typer(new.app, name="new")
register_releases(app)
register_diff(app)
register_drift(app)


def _program() -> list[str]:
    """How a person calls this program, judging by how it was called."""
    called = sys.argv[0]
    if pathlib.Path(called).name == "__main__.py":
        return ["python", "-m", "agentstack"]
    return ["agentstack" if shutil.which("agentstack") == called else called]


def _shown(environment: Environment, kind: str, name: str) -> str:
    from settings.errors import SettingsError

    if kind != "agent":
        raise SettingsError(f"--show: unknown kind `{kind}`: write `--show agent {name}`")
    from agentstack.rendering.manifests import to_yaml

    declaration = environment.agent(name).model_dump(mode="json", by_alias=True)
    return to_yaml({"name": declaration.pop("name"), **declaration})


def main() -> NoReturn:
    """Run the command line and exit; bad input gives its message on stderr and the exit code 2."""
    # Nearly everything that a run makes lives until its end: looking for garbage early costs a tenth of the time.
    gc.set_threshold(100_000, 50, 100)
    try:
        app(prog_name="agentstack")
    except Exception as error:
        if not is_bad_input(error):
            sys.excepthook(type(error), error, error.__traceback__)
            sys.exit(BUG)
        typer.echo(str(error), err=True)
    sys.exit(BAD_INPUT)
