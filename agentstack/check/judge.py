"""`agentstack check`: all rules on any folder of YAML, with nothing of this project in it."""

from __future__ import annotations

import json
import pathlib
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from agentstack.output.exits import BAD_INPUT

# Only what `--help` needs is imported here: see cli.py.
if TYPE_CHECKING:
    from agentstack.judging.policy import Policies
    from manifests.manifest import Manifest
    from policies.rules import Rule, Violation

    from .objects import Contents, Object

STDIN: Final = "stdin"
"""What standard input, `-`, is called where a file would stand."""
_STDIN: Final = "-"
_MOST_NAMES: Final = 5
_KUSTOMIZE: Final = "`kubectl kustomize DIR | agentstack check -`"
_INDENT: Final = "    "
_MANY: Final = 10
"""With more findings, those of each rule are counted."""


@dataclass(frozen=True)
class Finding:
    """What a rule found, and where."""

    violation: Violation
    file: str
    """As the user would write it."""
    line: int


@dataclass(frozen=True)
class Checked:
    """What was judged, by what, and what came of it."""

    source: str
    contents: Contents
    objects: Sequence[Object]
    """Those that were judged."""
    rules: Sequence[Rule]
    not_applied: Sequence[str]
    """The ids of the rules that need more than a part of the objects."""
    findings: Sequence[Finding]
    notes: Sequence[str]

    @property
    def failed(self) -> bool:
        """Whether a rule of severity `error` is violated, or could not be evaluated, and nobody waives it."""
        return any(finding.violation.fails for finding in self.findings)


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
    from agentstack.judging.policy import Policies
    from settings.errors import SettingsError

    for option in (config, waivers):
        if option is not None and not option.is_file():
            raise SettingsError(f"{option}: is not a file: name one that is there")
    checked = judge(folder, _read(folder), Policies.read(config, waivers, environment=env), waivers)
    if sarif is not None:
        from agentstack.judging.sarif import write

        write(sarif, {env: findings_json(checked)})
    if as_json:
        typer.echo(_as_json(checked))
    else:
        _show(checked)
    for mistake in checked.contents.mistakes:
        typer.echo(mistake, err=True)
    if checked.contents.mistakes or checked.failed:
        raise typer.Exit(BAD_INPUT if checked.contents.mistakes else 1)


def _read(source: str) -> Contents:
    from settings.errors import SettingsError

    from .objects import SUFFIXES, Contents

    contents = Contents()
    if source == _STDIN:
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


def judge(source: str, contents: Contents, policies: Policies, waivers: pathlib.Path | None) -> Checked:
    """Judge what was read, which may be a part of a greater whole.

    Left out are rules that need all objects, findings on objects that are not there, such as the Namespace of a
    workload, and objects that others in the cluster make, such as the pods of a Deployment.
    """
    from manifests.stack import WHOLE
    from policies.rules import evaluate

    objects = [found for found in contents.objects if not found.is_owned]
    manifests = _declared(objects)
    rules = tuple(rule for rule in policies.rules if not rule.complete)
    read = {id(manifest): found for found, manifest in zip(objects, manifests, strict=True)}
    violations, elsewhere = [], set()
    for violation in evaluate(manifests, rules, levels=policies.levels):
        if violation.kind and violation.subject is not WHOLE and id(violation.subject) not in read:
            elsewhere.add(violation.title)
        else:
            violations.append(violation)
    findings = []
    for violation in policies.waivers.about(rule.id for rule in rules).apply(violations, policies.levels):
        judged = read.get(id(violation.subject))
        if violation.waiver and not violation.waived:
            findings.append(Finding(violation, str(waivers), violation.waiver.line))
        elif judged:
            findings.append(Finding(violation, judged.file, judged.line(violation.message)))
        else:
            findings.append(Finding(violation, source, 1))
    findings.sort(key=lambda finding: (finding.violation.waived, finding.file, finding.line))
    not_applied = [rule.id for rule in policies.rules if rule.complete]
    return Checked(source, contents, objects, rules, not_applied, findings, list(_notes(contents, objects, elsewhere)))


def _declared(objects: Sequence[Object]) -> list[Manifest]:
    """Return the manifests; those of live objects without the replicas that an autoscaler has set."""
    from manifests.stack import Stack
    from manifests.workloads import SCALED_KINDS, kind_of

    stack = Stack(found.manifest for found in objects)
    manifests = []
    for found in objects:
        manifest = found.manifest
        spec = manifest.get("spec")
        if (
            found.is_live
            and kind_of(manifest) in SCALED_KINDS
            and isinstance(spec, dict)
            and stack.autoscalers(manifest)
        ):
            manifest = {**manifest, "spec": {key: value for key, value in spec.items() if key != "replicas"}}
        manifests.append(manifest)
    return manifests


def _notes(contents: Contents, objects: Sequence[Object], elsewhere: Collection[str]) -> Iterator[str]:
    yield from contents.notes
    if contents.others:
        yield f"{_number(contents.others, 'document')} that {_are(contents.others)} no Kubernetes object: passed over"
    if owned := len(contents.objects) - len(objects):
        yield f"{_number(owned, 'object')} that others make, as a Deployment makes pods: passed over"
    if elsewhere:
        yield f"not part of this, so not judged: {', '.join(sorted(elsewhere))}"
    if contents.kustomizations:
        yield f"kustomize adds to what is here: {_some(contents.kustomizations)}; judge the result: {_KUSTOMIZE}"
    counted = Counter("/".join(map(str, found.key)) for found in objects)
    if twice := sorted(title for title, number in counted.items() if number > 1):
        yield f"there more than once: {_some(twice)}; of overlays judge the result: {_KUSTOMIZE}"


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:_MOST_NAMES], *(["..."] if len(names) > _MOST_NAMES else [])])


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def findings_json(checked: Checked) -> list[dict[str, Any]]:
    """Return the findings as `agentstack preview --json` has them; files from the root of their repository."""
    from agentstack.judging.locate import relative, repository
    from agentstack.judging.policy import finding_json

    folder = pathlib.Path() if checked.source == _STDIN else pathlib.Path(checked.source)
    root = repository(folder if folder.is_dir() else folder.parent)
    return [
        finding_json(
            finding.violation,
            STDIN if finding.file == STDIN else relative(pathlib.Path(finding.file), root),
            finding.line,
        )
        for finding in checked.findings
    ]


def _as_json(checked: Checked) -> str:
    """Return all of it as JSON.

    Keys, which stay: `failed`; `files`, `objects` and `rules` (numbers); `notApplied` (the ids of rules that need all
    objects of a stack); `findings` (as `policies` in that of a preview); `notes`; `mistakes` (what could not be read).
    """
    content = {
        "failed": checked.failed,
        "files": checked.contents.files,
        "objects": len(checked.objects),
        "rules": len(checked.rules),
        "notApplied": checked.not_applied,
        "findings": findings_json(checked),
        "notes": checked.notes,
        "mistakes": checked.contents.mistakes,
    }
    return json.dumps(content, indent=2)


def _show(checked: Checked) -> None:
    from rich.text import Text

    from agentstack.output.console import new_console
    from manifests.text import escaped

    console = new_console()
    counts = f"{_number(len(checked.objects), 'object')} in {_number(checked.contents.files, 'file')}"
    title = Text.assemble((f"Agent Stack · check {escaped(checked.source)}", "bold"))
    console.print(title, Text(f"  {counts}, {_number(len(checked.rules), 'rule')}"))
    for finding in checked.findings:
        violation = finding.violation
        word = "waived" if violation.waived else violation.severity
        style = {"error": "red", "warning": "yellow"}.get(word, "dim")
        where = escaped(f"{finding.file}:{finding.line}")
        console.print(Text.assemble(where, "  ", (f"{word}  {violation.rule}", style)), soft_wrap=True)
        what = f"{violation.title}: {violation.message}" if violation.kind else violation.message
        if violation.waived and (waiver := violation.waiver):
            what += f" (waived until {waiver.until}, {waiver.owner}: {waiver.reason})"
        for line in Text(escaped(what)).wrap(console, max(20, console.width - len(_INDENT))):
            line.rstrip()
            console.print(Text.assemble(_INDENT, line))
    console.print(Text.assemble(("found  ", "bold"), _summary(checked.findings)))
    by_rule = Counter(finding.violation.rule for finding in checked.findings)
    if len(checked.findings) > _MANY:
        counts = ", ".join(f"{rule} {number:,}" for rule, number in by_rule.most_common())
        console.print(Text.assemble(("rules  ", "bold"), counts))
    for note in checked.notes:
        console.print(Text.assemble(("note   ", "bold"), (escaped(note), "dim")))
    if checked.not_applied:
        why = f"not applied, since they need all objects of a stack: {', '.join(checked.not_applied)}"
        console.print(Text.assemble(("note   ", "bold"), (why, "dim")))


def _summary(findings: Sequence[Finding]) -> str:
    counted = Counter("waived" if f.violation.waived else f.violation.severity for f in findings)
    parts = [_number(counted[word], word) for word in ("error", "warning") if counted[word]]
    parts += [f"{counted['waived']} waived"] if counted["waived"] else []
    return ", ".join(parts) or "nothing"
