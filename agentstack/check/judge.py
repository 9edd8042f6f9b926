"""All rules that do without the rest of a stack, on objects that others wrote."""

from __future__ import annotations

import pathlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from agentstack.judging.policy import Policies
from manifests.manifest import Manifest
from manifests.stack import WHOLE, Stack
from manifests.workloads import SCALED_KINDS, kind_of
from policies.rules import Rule, Violation, evaluate

from .objects import CheckedObject, Contents

STREAM: Final = "-"
"""The argument that stands for standard input."""
STDIN: Final = "stdin"
"""What standard input is called where a file would stand."""
_MOST_NAMES: Final = 5
_KUSTOMIZE: Final = "`kubectl kustomize DIR | agentstack check -`"


@dataclass(frozen=True)
class LocatedFinding:
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
    objects: Sequence[CheckedObject]
    """Those that were judged."""
    rules: Sequence[Rule]
    not_applied: Sequence[str]
    """The ids of the rules that need more than a part of the objects."""
    findings: Sequence[LocatedFinding]
    notes: Sequence[str]

    @property
    def failed(self) -> bool:
        """Whether a rule of severity `error` is violated, or could not be evaluated, and nobody waives it."""
        return any(finding.violation.fails for finding in self.findings)


def judge(source: str, contents: Contents, policies: Policies, waivers: pathlib.Path | None) -> Checked:
    """Judge what was read, which may be a part of a greater whole.

    Left out are rules that need all objects, findings on objects that are not there, such as the Namespace of a
    workload, and objects that others in the cluster make, such as the pods of a Deployment.
    """
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
            findings.append(LocatedFinding(violation, str(waivers), violation.waiver.line))
        elif judged:
            findings.append(LocatedFinding(violation, judged.file, judged.line(violation.path)))
        else:
            findings.append(LocatedFinding(violation, source, 1))
    findings.sort(key=lambda finding: (finding.violation.waived, finding.file, finding.line))
    not_applied = [rule.id for rule in policies.rules if rule.complete]
    return Checked(source, contents, objects, rules, not_applied, findings, list(_notes(contents, objects, elsewhere)))


def _declared(objects: Sequence[CheckedObject]) -> list[Manifest]:
    """Return the manifests; those of live objects without the replicas that an autoscaler has set."""
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


def _notes(contents: Contents, objects: Sequence[CheckedObject], elsewhere: Collection[str]) -> Iterator[str]:
    yield from contents.notes
    if contents.others:
        yield f"{number_of(contents.others, 'document')} that {_are(contents.others)} no Kubernetes object: passed over"
    if owned := len(contents.objects) - len(objects):
        yield f"{number_of(owned, 'object')} that others make, as a Deployment makes pods: passed over"
    if elsewhere:
        yield f"not part of this, so not judged: {', '.join(sorted(elsewhere))}"
    if contents.kustomizations:
        yield f"kustomize adds to what is here: {_some(contents.kustomizations)}; judge the result: {_KUSTOMIZE}"
    counted = Counter("/".join(map(str, found.key)) for found in objects)
    if twice := sorted(title for title, number in counted.items() if number > 1):
        yield f"there more than once: {_some(twice)}; of overlays judge the result: {_KUSTOMIZE}"


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:_MOST_NAMES], *(["..."] if len(names) > _MOST_NAMES else [])])


def number_of(number: int, noun: str) -> str:
    """Write a number of things: `1 object`, `2 objects`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
