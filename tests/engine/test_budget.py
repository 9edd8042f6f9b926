"""The budget under the engine: the same figures as in the preview, from the same configuration."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from .conftest import Project


@pytest.mark.usefixtures("kubeconfig")
def test_the_engine_counts_what_the_preview_counts(project: Project, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agentstack", "preview", "dev", "--json", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=True)
    most = Decimal(json.loads(done.stdout)["cost"]["max"])

    def says(config: Path, code: int | None) -> str:
        arguments = ("--policy-pack", "policies", "--policy-pack-config", str(config))
        return " ".join(project.pulumi("preview", *arguments, code=code).split())

    assert "monthly-budget" not in says(project.folder / "policies" / "config" / "dev.json", 0)
    small = tmp_path / "small.json"
    small.write_text(json.dumps({"monthly-budget": {"monthly": 10}}))
    said = says(small, None)  # 1 or 255, by the release
    assert "error: preview failed" in said
    assert "[mandatory] monthly-budget" in said
    assert f"the stack costs at most {most:,.2f} USD a month, {most - 10:,.2f} more than its budget of 10.00;" in said
