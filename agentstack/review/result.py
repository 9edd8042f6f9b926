"""The command `diff`."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from agentstack.output.exits import BAD_INPUT, INTERRUPTED, is_bad_input

# Only what `--help` needs is imported here, as in agentstack/cli.py.
if TYPE_CHECKING:
    from agentstack.compare.base import Base
    from agentstack.compare.changes import Change
    from agentstack.compare.snapshot import Snapshot
    from agentstack.output.document import Chapter, Document, Mark, Section

POLICIES: Final = 1
DESTROYS: Final = 3
_PRECEDENCE: Final = (BAD_INPUT, DESTROYS, POLICIES, 0)
_VERSION: Final = 1
"""Of the form of diff.json; keys may be added without another."""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(
        epilog="Exit codes: 0 fine, 1 policy errors, 2 bad input (also where a revision cannot be rendered, or with "
        "--live the engine refuses the change or cannot be asked), "
        "3 something is destroyed that nobody approved, 130 interrupted; of several, 2 before 3 before 1."
    )(diff)


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
    from agentstack.rendering.environment import find_project
    from settings.errors import SettingsError

    if as_json and as_markdown:
        raise SettingsError("--json: cannot be printed with --markdown: take one, or --out FOLDER for both")
    environments = list(dict.fromkeys(environments))
    with _told_to(out):
        try:
            found, results = _compare(find_project(pathlib.Path()), environments, base, live=live)
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None
        _report(found, results, out, as_json=as_json, as_markdown=as_markdown)
    code = _exit_code(results)
    if code:
        raise typer.Exit(code)


@dataclass(frozen=True)
class Part:
    """One part of what there is to say of an environment."""

    key: str
    """In diff.json."""
    json: Any
    sections: tuple[Section, ...] = ()
    cell: tuple[str, str] | None = None
    """Its column in the table of verdicts, and what stands there."""
    exit_code: int = 0


@dataclass(frozen=True)
class Result:
    """What was found for one environment."""

    environment: str
    error: str | None = None
    """Why it cannot be rendered; what follows is empty then."""
    new: bool = False
    """Whether the base does not have it."""
    before: Snapshot | None = None
    after: Snapshot | None = None
    changes: tuple[Change, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def exit_code(self) -> int:
        """The exit code for this environment alone."""
        if self.error is not None:
            return BAD_INPUT
        return next(code for code in _PRECEDENCE if code == 0 or code in {part.exit_code for part in self.parts})

    def verdict(self) -> tuple[str, Mark]:
        """Say in a few words what is to be thought of it."""
        match self.exit_code:
            case 2:
                return "cannot be rendered" if self.error is not None else "the engine cannot do it, or tell", "bad"
            case 3:
                return "destroys, not approved", "bad"
            case 1:
                return "policy errors", "bad"
        marked = [section for part in self.parts for section in part.sections if section.mark in ("bad", "warn")]
        if marked:
            return f"worth a look: {marked[0].title.partition(':')[0].lower()}", "warn"
        return ("fine" if self.changes else "nothing changes"), "good"


def _compare(project: pathlib.Path, environments: list[str], revision: str, *, live: bool) -> tuple[Base, list[Result]]:
    from agentstack.compare.base import checked_out
    from agentstack.rendering.environment import Environment
    from settings.errors import SettingsError

    with checked_out(project, revision) as base:
        results = []
        for number, name in enumerate(environments):
            try:
                try:
                    environment = Environment.find(project, name)
                except SettingsError as error:
                    if not base.has(name):
                        raise
                    mend = f"run `pulumi destroy --stack {shlex.quote(name)}` first"
                    raise SettingsError(f"{error}; the base, {base.title}, has it: {mend}") from None
                results.append(_result(base, environment, base.scratch / str(number), live=live))
            except Exception as error:
                if not is_bad_input(error):
                    raise
                results.append(Result(name, error=str(error)))
        return base, results


def _result(base: Base, environment: Any, folder: pathlib.Path, *, live: bool) -> Result:
    from agentstack.compare.changes import compare
    from agentstack.compare.snapshot import Snapshot

    name = environment.name
    (folder / "base").mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        # Both at the same time: the base in a process of its own.
        rendering = stack.enter_context(base.rendering(name, folder / "base")) if base.has(name) else None
        after = Snapshot.rendered(environment, folder / "head")
        before = Snapshot(name, base.title, {}, {}, {}) if rendering is None else rendering.snapshot()
    changes = compare(before, after)
    parts = tuple(_parts(before, after, changes))
    if rendering is not None:
        parts = (parts[0], _steering(base, environment, before, after), *parts[1:])
    if live:
        parts = (_live(environment, before, after, changes), *parts)
    return Result(name, None, rendering is None, before, after, tuple(changes), parts)


def _parts(before: Snapshot, after: Snapshot, changes: list[Change]) -> Iterator[Part]:
    """Yield the parts, the most important ones first."""
    from agentstack.compare import cost
    from agentstack.compare.sections import Findings, capacity_json, capacity_section, changes_json, changes_sections
    from agentstack.drawing import mermaid
    from agentstack.drawing.difference import as_json as graph_json
    from agentstack.drawing.difference import difference
    from agentstack.impact import destructive as losses
    from agentstack.impact import rollouts

    lost = losses.losses(before, after, today=datetime.now(UTC).date())
    serious = [loss for loss in lost if loss.severity != "harmless"]
    refused = sum(not loss.approved for loss in lost)
    yield Part(
        "losses",
        losses.as_json(lost),
        (losses.section(lost, [*losses.unused(lost, before, after), *losses.unjudged(before)]),),
        ("destroys", ", ".join([str(len(serious)), *([f"{refused} not approved"] if refused else [])])),
        DESTROYS if refused else 0,
    )
    findings = Findings.of(before, after, changes)
    yield Part(
        "policies",
        findings.as_json(),
        _present(findings.section()),
        ("findings", findings.summary()),
        POLICIES if after.report["failed"] else 0,
    )
    rolled = rollouts.rollouts(before, after, changes)
    restarts = sum(rollout.action in ("restarts", "interrupts") for rollout in rolled)
    yield Part("rollouts", rollouts.as_json(rolled), (rollouts.section(rolled),), ("restarts", str(restarts)))
    costs = cost.compare(before, after)
    yield Part(
        "cost",
        cost.as_json(costs),
        _present(cost.section(costs)),
        ("a month", cost.cell(costs)),
    )
    yield Part("capacity", capacity_json(before, after), _present(capacity_section(before, after)))
    number = Counter(change.action for change in changes)
    objects = f"+{number['added']} -{number['removed']} ~{number['changed'] + number['renamed']}"
    picture = mermaid.section(before, after, changes)
    yield Part("graph", graph_json(difference(before, after, changes)), _present(picture))
    yield Part("changes", changes_json(changes), tuple(changes_sections(changes)), ("objects", objects))


def _steering(base: Base, environment: Any, before: Snapshot, after: Snapshot) -> Part:
    from agentstack.impact.gates import as_json, section, steered

    found = steered(before, after, base.project, environment.project)
    return Part("steering", as_json(found), _present(section(found, base.programs)))


def _live(environment: Any, before: Snapshot, after: Snapshot, changes: list[Change]) -> Part:
    from agentstack.engine import plan as engine
    from agentstack.impact.destructive import losses
    from agentstack.live.reconcile import as_json, reconcile, section, summary, unknown
    from settings.errors import SettingsError

    today = datetime.now(UTC).date()
    try:
        answer = engine.preview(environment)
    except SettingsError as error:
        return Part("live", {"error": str(error)}, (unknown(str(error)),), ("live", "unknown"), BAD_INPUT)
    found = reconcile(answer, after, changes, losses(before, after, today=today), today=today)
    code = BAD_INPUT if found.refusals else DESTROYS if found.needs_approval else 0
    return Part("live", as_json(found), (section(found),), ("live", summary(found)), code)


def _present(section: Section | None) -> tuple[Section, ...]:
    return () if section is None else (section,)


def _exit_code(results: list[Result]) -> int:
    codes = {result.exit_code for result in results}
    return next(code for code in _PRECEDENCE if code in codes)


# --- what is said ---


def _report(base: Base, results: list[Result], out: pathlib.Path | None, *, as_json: bool, as_markdown: bool) -> None:
    from agentstack.drawing.page import page
    from agentstack.judging.sarif import sarif
    from agentstack.output.markdown import comment
    from agentstack.output.terminal import show

    document = _document(base, results)
    if out is not None:
        _write(out / "comment.md", comment(document))
        _write(out / "diff.json", _json(base, results))
        judged = {result.environment: result.after.report["policies"] for result in results if result.after}
        _write(out / "findings.sarif", sarif(judged))
        for result in results:
            if result.after is not None:
                _write(out / f"{result.environment}.html", page(result.after, result.before, result.changes))
    if as_json:
        typer.echo(_json(base, results), nl=False)
    elif as_markdown:
        typer.echo(comment(document), nl=False)
    else:
        show(document)
    for result in results:
        if result.error is not None:
            typer.echo(result.error, err=True)


def _document(base: Base, results: list[Result]) -> Document:
    from agentstack.output.document import Code, Document, Line, Lines, Table

    headers = list(dict.fromkeys(part.cell[0] for result in results for part in result.parts if part.cell))
    rows: list[tuple[Line, ...]] = []
    for result in results:
        cells = dict(part.cell for part in result.parts if part.cell)
        verdict, _ = result.verdict()
        rows.append((Code(result.environment), verdict, *(cells.get(header, "-") for header in headers)))
    notes: list[Line] = [
        (Code(result.environment), ": is new, the base has no file of it: everything is added")
        for result in results
        if result.new
    ]
    asked = {result.environment for result in results}
    notes += [
        (
            Code(name),
            ": its file is gone. Nothing above says what that destroys: ",
            Code(f"pulumi destroy --stack {shlex.quote(name)}"),
        )
        for name in base.gone
        if name not in asked
    ]
    if base.other_packages:
        notes.append(
            ("The base's ", Code("requirements.txt"), " differs; its code ran with the working tree's packages.")
        )
    return Document(
        ("Agent Stack: what changes since ", Code(base.title)),
        Table(("environment", "verdict", *headers), tuple(rows)),
        Lines(tuple(notes), "warn" if base.gone else "none"),
        tuple(_chapter(base, result) for result in results),
        (
            "Both revisions are rendered from their files, without a cluster. The same on a terminal: ",
            Code(_command(base, *(result.environment for result in results))),
        ),
    )


def _chapter(base: Base, result: Result) -> Chapter:
    from agentstack.output.document import Chapter, Fenced, Section

    verdict, mark = result.verdict()
    sections = tuple(section for part in result.parts for section in part.sections)
    if result.error is not None:
        sections = (Section("It cannot be rendered", (Fenced(result.error),), "bad"),)
    return Chapter(result.environment, verdict, mark, sections, _command(base, result.environment))


def _command(base: Base, *environments: str) -> str:
    """Return what people paste into a shell: file names, and so environments, may hold anything."""
    return shlex.join(("agentstack", "diff", *environments, "--base", base.revision))


def _json(base: Base, results: list[Result]) -> str:
    """Return diff.json.

    Keys, which stay: `version` (1); `base` (`revision` as asked for, `commit`, `otherPackages`: whether its
    requirements.txt differs); `gone`, the environments whose file the change removes; `programs`, the files that differ
    of the programs that judge; `exitCode`; `environments`, a list of `environment`, `verdict`, `exitCode`, `error`
    (null if it can be rendered), `new` (whether the base does not have it), and, if it can be rendered, the parts:
    `losses`, `rollouts` and `cost` (see `as_json` of these modules), `policies` (see `Findings.as_json`), `capacity`
    (see `capacity_json`), `graph` (see `agentstack.drawing.difference.as_json`), `steering` (see its `as_json`; not of
    what is new) and `changes` (see `changes_json`); with --live, `live` (see `agentstack.live.reconcile.as_json`).
    """
    content = {
        "version": _VERSION,
        "base": {"revision": base.revision, "commit": base.commit, "otherPackages": base.other_packages},
        "gone": list(base.gone),
        "programs": list(base.programs),
        "exitCode": _exit_code(results),
        "environments": [
            {
                "environment": result.environment,
                "verdict": result.verdict()[0],
                "exitCode": result.exit_code,
                "error": result.error,
                "new": result.new,
                **{part.key: part.json for part in result.parts},
            }
            for result in results
        ],
    }
    return json.dumps(content, indent=2) + "\n"


@contextlib.contextmanager
def _told_to(out: pathlib.Path | None) -> Iterator[None]:
    """Have the comment hold the message where nothing can be compared."""
    from agentstack.output.markdown import failure
    from settings.errors import SettingsError

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
    from settings.errors import SettingsError

    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{file}: cannot be written: {error.strerror}: name another folder with --out") from None
