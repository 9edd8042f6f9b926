"""The command `diff`."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from agentstack.compare.base import Base
from agentstack.drawing.page import page
from agentstack.judging.sarif import sarif
from agentstack.output.exits import INTERRUPTED
from agentstack.output.markdown import comment, failure
from agentstack.output.terminal import show
from agentstack.rendering.environment import find_project
from agentstack.review.document import document as document_of
from agentstack.review.published import published
from agentstack.review.result import Result, exit_code, review
from settings.errors import SettingsError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    epilog="Exit codes: 0 fine, 1 policy errors, 2 bad input (also where a revision cannot be rendered, or with "
    "--live the engine refuses the change or cannot be asked), "
    "3 something is destroyed that nobody approved, 130 interrupted; of several, 2 before 3 before 1."
)
def diff(
    environments: Annotated[list[str], typer.Argument(metavar="ENV", help="Environments: reads Pulumi.ENV.yaml.")],
    base: Annotated[
        str,
        typer.Option(
            metavar="REF", help="What the change is for, such as `origin/main`; compared is where HEAD left it."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print diff.json.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the comment for a pull request.")] = False,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write comment.md, diff.json, findings.sarif and a page ENV.html of each environment here.",
        ),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Ask the engine as well, which needs its credentials and the cluster's.")
    ] = False,
) -> None:
    """Show what the working tree changes: object by object, with what it destroys, restarts and costs.

    Both revisions are computed without engine, cluster or account, each by its own code.
    """
    if as_json and as_markdown:
        raise SettingsError("--json: cannot be printed with --markdown: take one, or --out FOLDER for both")
    environments = list(dict.fromkeys(environments))
    with _reported_to(out):
        try:
            found, results = review(find_project(pathlib.Path()), environments, base, live=live)
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None
        _report(found, results, out, as_json=as_json, as_markdown=as_markdown)
    if code := exit_code(results):
        raise typer.Exit(code)


def _report(
    base: Base, results: Sequence[Result], out: pathlib.Path | None, *, as_json: bool, as_markdown: bool
) -> None:
    document = document_of(base, results)
    report = published(base, results).text()
    if out is not None:
        _write(out / "comment.md", comment(document))
        _write(out / "diff.json", f"{report}\n")
        judged = {result.environment: result.after.summary.policies for result in results if result.after}
        _write(out / "findings.sarif", sarif(judged))
        for result in results:
            if result.after is not None:
                _write(out / f"{result.environment}.html", page(result.after, result.before, result.changes))
    if as_json:
        typer.echo(report)
    elif as_markdown:
        typer.echo(comment(document), nl=False)
    else:
        show(document)
    for result in results:
        if result.error is not None:
            typer.echo(result.error, err=True)


@contextlib.contextmanager
def _reported_to(out: pathlib.Path | None) -> Iterator[None]:
    """Have the comment hold the message where nothing can be compared."""
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"{out}: cannot be used: {error.strerror}: name another folder with --out") from None
    try:
        yield
    except SettingsError as error:
        if out is not None:
            _write(out / "comment.md", failure(str(error)))
        raise
    except Exception as error:
        if out is not None and not isinstance(error, typer.Exit):  # not its text: it may hold anything
            _write(out / "comment.md", failure(f"agentstack diff failed with {type(error).__name__}: see the log"))
        raise


def _write(file: pathlib.Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{file}: cannot be written: {error.strerror}: name another folder with --out") from None
