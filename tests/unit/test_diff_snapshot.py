"""A revision is the same whether it is rendered in this process or read from what another one wrote."""

from __future__ import annotations

import pathlib

from agentstack.compare.changes import compare
from agentstack.compare.snapshot import Snapshot
from agentstack.preview.published import published
from agentstack.preview.run import run
from agentstack.rendering.environment import Environment

ROOT = pathlib.Path(__file__).parents[2]


def test_what_is_rendered_is_what_is_read_back(tmp_path: pathlib.Path) -> None:
    environment = Environment.find(ROOT, "dev")
    report = run(environment, tmp_path / "files", command=())
    rendered = Snapshot.of(report.preview, revision="a revision")
    read = Snapshot.read(published(report).text(), tmp_path / "files", revision="a revision")
    assert rendered.objects == read.objects != {}
    assert rendered.resources == read.resources != ()
    assert rendered.facts == read.facts != {}
    assert compare(read, rendered) == []
    for field in type(rendered.summary).model_fields:
        assert getattr(rendered.summary, field) == getattr(read.summary, field), field


def test_a_revision_too_old_to_say_something_can_still_be_read(tmp_path: pathlib.Path) -> None:
    snapshot = Snapshot.read('{"environment": "dev", "objects": [], "later": 1}', tmp_path, revision="an old one")
    assert (snapshot.objects, snapshot.facts, snapshot.summary.cost, snapshot.summary.graph) == ({}, {}, None, None)
