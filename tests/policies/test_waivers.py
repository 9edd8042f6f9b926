"""Waivers: what they cover, when they fail, and the file that they are written in."""

from __future__ import annotations

import pathlib
from dataclasses import replace
from datetime import date

import pytest

from agentstack.judging.policy import Policies
from policies.rules import LEVELS, Violation, Waiver, Waivers
from policies.waiver_file import WaiverFileError, read_waivers
from settings.errors import SettingsError

TODAY = date(2026, 11, 21)
FOUND = Violation("cpu-limit", "error", "Deployment", "agents", "executor", "may use all CPU time")


def waiver(name: str = "executor", *, kind: str = "Deployment", namespace: str = "agents", **fields) -> Waiver:
    given = {"rule": "cpu-limit", "reason": "bursts", "owner": "team-a", "until": TODAY, **fields}
    return Waiver(kind=kind, namespace=namespace, name=name, **given)


def applied(*waivers: Waiver, found: Violation = FOUND, environment: str = "prod", **kwargs) -> list[tuple[str, bool]]:
    chosen = Waivers.of(waivers, environment, kwargs.pop("today", TODAY))
    return [(violation.rule, violation.fails) for violation in chosen.apply([found], kwargs.pop("levels", LEVELS))]


@pytest.mark.parametrize("name", ["executor", "exec*", "*", "*tor", "e*c*r"])
def test_a_waiver_covers_the_objects_of_its_name_or_pattern(name):
    assert applied(waiver(name)) == [("cpu-limit", False)]


@pytest.mark.parametrize(
    "other",
    [
        waiver("executo"),
        waiver("exec.tor"),
        waiver("executor*x"),
        waiver(kind="StatefulSet"),
        waiver(namespace="data"),
        waiver(namespace=""),
        waiver(rule="memory-limit"),
    ],
)
def test_a_waiver_for_something_else_covers_nothing_and_is_unused(other):
    assert applied(other) == [("cpu-limit", True), ("waiver-unused", True)]


def test_a_waiver_holds_until_the_end_of_its_last_day():
    assert applied(waiver(until=TODAY)) == [("cpu-limit", False)]
    assert applied(waiver(until=date(2026, 11, 20))) == [("cpu-limit", True), ("waiver-expired", True)]


def test_a_waiver_counts_in_its_environments_alone():
    limited = waiver(environments=("prod", "staging"))
    assert applied(limited) == [("cpu-limit", False)]
    assert applied(limited, environment="dev") == [("cpu-limit", True)]
    assert applied(limited, environment="") == [("cpu-limit", True)]
    assert applied(waiver("x", environments=("dev",))) == [("cpu-limit", True)]


def test_of_two_waivers_for_one_finding_neither_is_unused():
    assert applied(waiver("*"), waiver("executor")) == [("cpu-limit", False)]


def test_what_could_not_be_evaluated_is_not_waived_and_its_waiver_not_called_unused():
    unknown = replace(FOUND, outcome="not evaluated")
    assert applied(waiver(), found=unknown) == [("cpu-limit", True)]


def test_the_findings_about_waivers_have_levels_of_their_own():
    expired = waiver(until=date(2020, 1, 1))
    assert applied(expired, levels={"waiver-expired": "warning"})[1:] == [("waiver-expired", False)]
    assert applied(expired, levels={})[1:] == []


def test_the_messages_say_what_to_do():
    policies = Waivers.of(
        [waiver(until=date(2020, 1, 1)), waiver("x"), waiver("y", environments=("dev",))], "dev", TODAY
    )
    assert [violation.message for violation in policies.apply([], LEVELS)] == [
        "the waiver of cpu-limit expired on 2020-01-01 (team-a); fix the object, or set a later day in `until`",
        "the waiver of cpu-limit waives nothing in dev; remove it, or name the environments that need it",
        "the waiver of cpu-limit waives nothing in dev; remove it",
    ]


# The file

WHOLE = """\
# Comments are fine.
- rule: cpu-limit
  resource: Deployment/agents/exec*
  environments: [prod, staging]
  reason: Bursts at start;
    a limit doubles the time.
  owner: team-a
  until: 2026-12-31

- {rule: image-tag, resource: Namespace/data, reason: r, owner: o, until: "2026-01-01"}
"""


def read(folder: pathlib.Path, text: str | bytes) -> tuple[Waiver, ...]:
    file = folder / "waivers.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_waivers(file, ["cpu-limit", "image-tag"])


def test_a_whole_file(tmp_path):
    first, second = read(tmp_path, WHOLE)
    assert first == Waiver(
        rule="cpu-limit",
        kind="Deployment",
        namespace="agents",
        name="exec*",
        reason="Bursts at start; a limit doubles the time.",
        owner="team-a",
        until=date(2026, 12, 31),
        environments=("prod", "staging"),
        line=2,
    )
    assert (second.kind, second.namespace, second.name, second.environments) == ("Namespace", "", "data", ())
    assert (second.resource, second.line) == ("Namespace/data", 10)


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]\n"])
def test_no_waivers(tmp_path, text):
    assert read(tmp_path, text) == ()


def test_no_file(tmp_path):
    assert read_waivers(tmp_path / "waivers.yaml", []) == ()


def test_the_shipped_file_is_valid(request):
    Policies.of(request.config.rootpath, "dev")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rule: cpu-limit", "rule: cpu-limt", "2: rule: unknown rule `cpu-limt`, did you mean `cpu-limit`?"),
        ("rule: cpu-limit", "rule: not-evaluated", "2: rule: unknown rule `not-evaluated`: docs/policies.md lists all"),
        ("rule: cpu-limit", "rule: [cpu-limit]", "2: rule: must be text"),
        ("  owner: team-a\n", "", "2: owner: is missing: add it"),
        ("owner: team-a", "owner: ' '", "7: owner: must be text"),
        ("owner: team-a", "owner:", "7: owner: must be text"),
        ("owner: team-a", "ownr: team-a", "7: unknown key `ownr`, did you mean `owner`?"),
        ("owner: team-a", "reason: again", "7: the key `reason` stands twice"),
        ("owner: team-a", "? [a]\n  : b", "7: unknown key ``"),
        ("2026-12-31", "2026-02-30", "8: until: `2026-02-30` is no date"),
        ("2026-12-31", "tomorrow", "8: until: `tomorrow` is no date"),
        ("2026-12-31", "2026-W01-1", "8: until: `2026-W01-1` is no date"),
        ("[prod, staging]", "prod", "4: environments: must be a list of names"),
        ("[prod, staging]", "[]", "4: environments: must be a list of names"),
        ("Deployment/agents/exec*", "exec*", "3: resource: `exec*` names no object: write `Kind/namespace/name`"),
        ("Deployment/agents/exec*", "'*/agents/x'", "3: resource: `*/agents/x` names no object"),
        ("Deployment/agents/exec*", "Deployment/*/x", "3: resource: `Deployment/*/x` names no object"),
        ("- {rule", "- text\n- {rule", "10: must have the keys rule, resource"),
        ("[prod, staging]", "[prod", "5: malformed YAML"),
    ],
)
def test_a_mistake_has_its_file_and_line(tmp_path, old, new, message):
    assert old in WHOLE
    text = WHOLE.replace(old, new, 1)
    with pytest.raises(WaiverFileError) as caught:
        read(tmp_path, text)
    assert str(caught.value).splitlines()[0].startswith(f"{tmp_path}/waivers.yaml:{message}")


def test_all_mistakes_at_once(tmp_path):
    text = WHOLE.replace("owner: team-a", "ownr: team-a").replace("[prod, staging]", "[]").replace("image-tag", "x")
    with pytest.raises(WaiverFileError) as caught:
        read(tmp_path, text)
    lines = str(caught.value).replace(f"{tmp_path}/waivers.yaml:", "").splitlines()
    # Not: that the owner is missing, who is there with a typing error.
    assert [line.split(" ")[:3] for line in lines] == [
        ["7:", "unknown", "key"],
        ["4:", "environments:", "must"],
        ["10:", "rule:", "unknown"],
    ]


def test_a_file_that_is_no_list(tmp_path):
    with pytest.raises(WaiverFileError, match=r"waivers.yaml:2: must be a list: write one `- rule: ...` for each"):
        read(tmp_path, "# Waivers\nrule: cpu-limit\n")


@pytest.mark.parametrize(
    "text",
    [b"\xff", "- " * 100_000, "- &a [*a]", '- rule: "\\u001b[31m\\n"', "- {rule: x" + "y" * 999 + "}", "- 1\n--- 2"],
)
def test_hostile_files_give_short_lines(tmp_path, text):
    with pytest.raises(WaiverFileError) as caught:
        read(tmp_path, text)
    assert all(line.startswith(str(tmp_path)) and line.isprintable() for line in str(caught.value).splitlines())
    assert max(map(len, str(caught.value).splitlines())) < len(str(tmp_path)) + 200


def test_bad_files_are_bad_input_without_the_engine(tmp_path):
    folder = tmp_path / "policies"
    folder.mkdir()
    (tmp_path / "Pulumi.prod.yaml").touch()
    (folder / "waivers.yaml").write_text("- rule: cpu-limt")
    with pytest.raises(SettingsError, match="unknown rule"):
        Policies.of(tmp_path, "prod")
    (folder / "waivers.yaml").write_text(WHOLE)
    with pytest.raises(SettingsError, match=r"yaml:2: environments: unknown environment `staging`"):
        Policies.of(tmp_path, "dev")


def test_judging_applies_configuration_and_waivers(tmp_path):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}}
    config, waivers = tmp_path / "c.json", tmp_path / "w.yaml"
    config.write_text(
        '{"all": "disabled", "image-tag": "mandatory", "cpu-limit": "advisory", "waiver-unused": "advisory"}'
    )
    waivers.write_text(
        "- {rule: image-tag, resource: Pod/p, reason: r, owner: o, until: 2026-12-31}\n"
        "- {rule: image-tag, resource: Pod/q, reason: r, owner: o, until: 2026-12-31}\n"
    )
    found = Policies.read(config, waivers, today=TODAY).judge([pod])
    assert [(violation.rule, violation.severity, violation.waived) for violation in found] == [
        ("image-tag", "error", True),
        ("cpu-limit", "warning", False),
        ("waiver-unused", "warning", False),
    ]
