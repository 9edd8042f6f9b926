"""Approvals are read as they are written, and a mistake in one says how to fix it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from settings import ApprovedReplacement, SettingsError
from settings.files import read_yaml
from settings.stack import load

WHOLE = {"resource": "StatefulSet/data/redis", "until": "2026-12-01", "reason": "a backup is there"}


def test_a_date_needs_no_quotes(tmp_path: Path) -> None:
    path = tmp_path / "approval.yaml"
    path.write_text("{resource: StatefulSet/data/redis, until: 2026-12-01, reason: moved}")
    approval = ApprovedReplacement.model_validate(read_yaml(path))
    assert approval.until == date(2026, 12, 1)
    assert approval.model_dump(mode="json")["until"] == "2026-12-01"
    # What the engine makes of it (tests/engine/test_guard.py).
    assert (
        ApprovedReplacement.model_validate(WHOLE | {"until": "2026-12-01 00:00:00 +0000 UTC"}).until == approval.until
    )


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"until": "2026-02-30"}, "until: `2026-02-30` is not a date: write year, month and day such as `2026-12-01`"),
        ({"until": "01.12.2026"}, "until: `01.12.2026` is not a date"),
        ({"until": "2026-12-01T00:00:00Z"}, "until: `2026-12-01T00:00:00Z` is not a date"),
        ({"until": 20261201}, "until: `20261201` is not a date"),
        ({"until": ["hunter2"]}, "until: the given value is not a date"),
        ({"until": None}, "until: the given value is not a date"),
        ({"reason": " "}, "reason: is empty"),
        ({"resource": ""}, "resource: is empty"),
        ({"unitl": "2026-12-01"}, "unitl: unknown key `unitl`, did you mean `until`?"),
    ],
)
def test_mistakes(tmp_path: Path, changes: dict[str, Any], mistake: str) -> None:
    (tmp_path / "agents").mkdir()
    sections = {"platform": {"safeguards": {"approvedReplacements": [WHOLE | changes]}}}
    file = tmp_path / "Pulumi.test.yaml"
    file.write_text(yaml.safe_dump({"config": {f"agentstack:{key}": value for key, value in sections.items()}}))
    with pytest.raises(SettingsError) as caught:
        load(sections, stack_file=file, agents_folder=tmp_path / "agents")
    assert f"agentstack:platform.safeguards.approvedReplacements.0.{mistake}" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("left_out", WHOLE)
def test_nothing_may_be_left_out(tmp_path: Path, left_out: str) -> None:
    (tmp_path / "agents").mkdir()
    entry = {key: value for key, value in WHOLE.items() if key != left_out}
    with pytest.raises(SettingsError, match=f"{left_out}: is missing: add it"):
        load(
            {"platform": {"safeguards": {"approvedReplacements": [entry]}}},
            stack_file=tmp_path / "Pulumi.test.yaml",
            agents_folder=tmp_path / "agents",
        )
