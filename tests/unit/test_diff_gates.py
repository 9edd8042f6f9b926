"""Changes to the gates that judge a change: rules, waivers, prices."""

from __future__ import annotations

import pathlib
from typing import Any

from agentstack.compare.model import ABSENT
from agentstack.compare.snapshot import Object, Snapshot
from agentstack.impact.gates import gate_changes, section


def differing(tmp_path: pathlib.Path, name: str, before: str, after: str) -> dict[tuple[str, str], tuple[Any, Any]]:
    for side, text in (("old", before), ("new", after)):
        file = tmp_path / side / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    empty = Snapshot("prod", "a revision", {})
    found = gate_changes(empty, empty, tmp_path / "old", tmp_path / "new")
    return {(each.file, each.change.path): (each.change.before, each.change.after) for each in found}


def test_another_secret_is_named_and_not_shown(tmp_path: pathlib.Path) -> None:
    content = "config:\n  agentstack:secrets:\n    db: {{secure: {}}}\n  agentstack:redis: {{shards: {}}}\n"
    found = differing(tmp_path, "Pulumi.prod.yaml", content.format("v1:one", 3), content.format("v1:two", 4))
    assert found == {("Pulumi.prod.yaml", "agentstack:secrets.db"): ("(secret)", "(secret)")}


def test_what_people_write_for_people_is_no_matter(tmp_path: pathlib.Path) -> None:
    assert differing(tmp_path, "Pulumi.yaml", "name: a\ndescription: one\n", "name: a\ndescription: two\n") == {}


def test_waivers_of_other_environments_are_theirs(tmp_path: pathlib.Path) -> None:
    waiver = "- {{rule: r, resource: Pod/n/p, environments: [{}], owner: me, reason: why, until: 2027-01-01}}\n"
    assert differing(tmp_path, "policies/waivers.yaml", "[]", waiver.format("dev")) == {}
    two = waiver.format("prod") + waiver.format("prod").replace("why", "more")
    [(place, values)] = differing(tmp_path, "policies/waivers.yaml", "[]", two).items()
    assert place == ("policies/waivers.yaml", "waiver of r for Pod/n/p")
    assert values == (ABSENT, "until 2027-01-01, me: why; until 2027-01-01, me: more")


def test_files_of_any_form_are_read(tmp_path: pathlib.Path) -> None:
    for name in ("policies/waivers.yaml", "policies/config/prod.json", "Pulumi.yaml", "Pulumi.prod.yaml"):
        for text in ("", "[", "3", "[3, {}]", "config: 3", "\x00", "[" * 20_000):
            differing(tmp_path, name, text, "{}")


def test_what_the_engine_passes_over_from_now_on_is_named(tmp_path: pathlib.Path) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}}
    sides = [
        Snapshot("prod", "a revision", {known.key: known})
        for known in (Object(manifest, urn="u"), Object(manifest, urn="u", ignored=("data", "metadata")))
    ]
    [each] = gate_changes(sides[0], sides[1], tmp_path, tmp_path)
    assert (each.change.path, each.change.after) == ("ignoreChanges of ConfigMap/n/c", "data, metadata")


def test_nothing_is_said_where_nothing_differs() -> None:
    assert section([]) is None
    named = section([], ["policies/rules/a.py"])
    assert named is not None
    assert named.mark == "warn"
