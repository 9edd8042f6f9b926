"""The parts made of both reports: findings and capacity; and the words of a change."""

from __future__ import annotations

from typing import Any

from agentstack.compare import capacity, described
from agentstack.compare.changes import compare
from agentstack.compare.findings import Findings
from agentstack.compare.snapshot import Object, Snapshot
from agentstack.output.document import Code, Fenced, Fold, Table
from agentstack.preview.published import Summary


def snapshot(*objects: Object, **report: Any) -> Snapshot:
    return Snapshot("dev", "a revision", {known.key: known for known in objects}, Summary.model_validate(report))


def finding(name: str, rule: str = "r", severity: str = "error", message: str = "m", **more: Any) -> dict[str, Any]:
    found = {"rule": rule, "severity": severity, "outcome": "violation", "kind": "Pod", "namespace": "n", "name": name}
    return {**found, "message": message, **more}


def test_findings_are_matched_by_rule_and_object() -> None:
    before = snapshot(policies=[finding("a"), finding("b", message="5 too many"), finding("c"), finding("c")])
    after = snapshot(policies=[finding("b", message="6 too many"), finding("c"), finding("d"), finding("b", "other")])
    found = Findings.of(before, after)
    assert [(one.name, one.rule) for one in found.new] == [("d", "r"), ("b", "other")]
    assert [one.name for one in found.solved] == ["a", "c"]
    assert [one.name for one in found.left] == ["b", "c"]
    assert found.summary() == "4, 2 new, 2 solved"
    section = found.section()
    assert section is not None
    assert section.mark == "bad"


def test_a_finding_goes_with_its_object_under_another_name() -> None:
    pods = [
        Object({"kind": "Pod", "metadata": {"namespace": "n", "name": name}}, urn="same") for name in ("old", "new")
    ]
    before, after = (snapshot(pod, policies=[finding(pod.key[2])]) for pod in pods)
    assert Findings.of(before, after, compare(before, after)).summary() == "1"
    assert Findings.of(before, after).summary() == "1, 1 new, 1 solved"


def test_warnings_and_waived_findings_do_not_fail() -> None:
    waived = finding("a", waived={"owner": "o", "reason": "r", "until": "2027-01-01"})
    marks = []
    for one in (finding("a", severity="warning"), waived, finding("a", outcome="not evaluated")):
        section = Findings.of(snapshot(), snapshot(policies=[one])).section()
        assert section is not None
        marks.append(section.mark)
    assert marks == ["warn", "none", "bad"]
    assert Findings.of(snapshot(), snapshot(policies=[waived])).summary() == "1, 1 new, 1 waived"
    assert Findings.of(snapshot(), snapshot()).section() is None


def namespace(name: str, low: float, high: float, quota: float | None) -> dict[str, Any]:
    amount = {"min": low, "max": high, "quota": quota}
    return {
        "name": name,
        "pods": {**amount, "jobs": 0},
        "requests.memory": {key: v and v * 2**30 for key, v in amount.items()},
    }


def test_capacity_shows_what_differs_and_what_does_not_fit() -> None:
    before = snapshot(
        namespaces=[namespace("same", 1, 1, None), namespace("grows", 1, 2, 4), namespace("goes", 1, 1, 4)]
    )
    after = snapshot(
        namespaces=[namespace("same", 1, 1, None), namespace("grows", 1, 5, 4), namespace("comes", 2, 2, None)]
    )
    section = capacity.section(before, after)
    assert section is not None
    assert section.mark == "warn"
    assert section.title == "Capacity: 3 to 4 pods before, 4 to 8 after"
    [table] = section.blocks
    assert isinstance(table, Table)
    assert table.rows == (
        (Code("comes"), "pods", "none", "2"),
        (Code("comes"), "memory requested", "none", "2Gi"),
        (Code("goes"), "pods", "1 of 4", "none"),
        (Code("goes"), "memory requested", "1Gi of 4Gi", "none"),
        (Code("grows"), "pods", "1 to 2 of 4", "1 to 5 of 4 (more than the quota)"),
        (Code("grows"), "memory requested", "1Gi to 2Gi of 4Gi", "1Gi to 5Gi of 4Gi (more than the quota)"),
    )
    assert capacity.section(before, before) is None


def known(kind: str, name: str, *, agent: str = "a", **content: Any) -> Object:
    manifest = {"kind": kind, "metadata": {"name": name, "namespace": "n"}, **content}
    within = (("agentstack:platform:Platform", "platform"), ("agentstack:agents:Agent", agent))
    return Object(manifest, within=within)


def fences(before: Snapshot, after: Snapshot) -> list[str]:
    section = described.sections(compare(before, after))[0]
    return [
        block.text
        for fold in section.blocks
        if isinstance(fold, Fold)
        for block in fold.blocks
        if isinstance(block, Fenced)
    ]


def test_changes_read_as_a_diff() -> None:
    def script(text: str, **data: str) -> Snapshot:
        hashed = dict.fromkeys(("agentstack.dev/config-hash", "agentstack.dev/secret-hash"), text.encode().hex()[:8])
        content = {"data": {"a.sh": text, **data}, "spec": {"annotations": hashed}}
        return snapshot(known("ConfigMap", "x", **content))

    [text] = fences(script("one\nsame\n", A="1", API_KEY="x"), script("two\nsame\nmore\n", A="2", API_KEY="y"))
    assert text.split("\n") == [
        "~ ConfigMap/n/x",
        "-   data.A: '1'",
        "+   data.A: '2'",
        "!   data.API_KEY: changed (secret)",
        '    data["a.sh"]:',
        "@@ -1,2 +1,3 @@",
        "-     one",
        "+     two",
        "      same",
        "+     more",
        '!   spec.annotations["agentstack.dev/config-hash"]: restarts because its configuration changed',
        '!   spec.annotations["agentstack.dev/secret-hash"]: restarts because a secret changed',
    ]


def test_the_same_change_of_several_objects_is_told_once() -> None:
    before = snapshot(*(known(kind, "x", spec={"v": 1}) for kind in "ABC"), known("D", "x", spec={"v": 1}, agent="b"))
    after = snapshot(*(known(kind, "x", spec={"v": 2}) for kind in "ABC"), known("D", "x", spec={"v": 2}, agent="b"))
    assert fences(before, after) == [
        "~ A/n/x\n~ B/n/x\n~ C/n/x\n-   spec.v: 1\n+   spec.v: 2",
        "~ D/n/x\n-   spec.v: 1\n+   spec.v: 2",
    ]


def test_new_objects_come_with_their_manifests_without_secrets() -> None:
    container = {"name": "c", "env": [{"name": "PASSWORD", "value": "hunter2"}]}
    changes = compare(snapshot(), snapshot(known("Pod", "x", spec={"containers": [container]})))
    sections = described.sections(changes)
    assert [section.title for section in sections] == ["Changes: 1 added", "New objects: 1"]
    many = [known("Pod", f"x{number}", spec={}) for number in range(21)]
    last = described.sections(compare(snapshot(), snapshot(*many)))[-1]
    assert "What is in the 21 new objects is not shown" in str(last.blocks)
    assert "value: (secret)" in repr(sections[1])
    assert "hunter2" not in repr(sections)
    assert described.published(changes)[0].action == "added"


def test_no_changes_say_so() -> None:
    [section] = described.sections([])
    assert "0 objects change." in repr(section)
