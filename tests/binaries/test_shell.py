"""Every shell script passes shellcheck, in the dialect that it is written for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHELLCHECK = Path(sys.executable).parent / "shellcheck"  # from the development requirements


def test_scripts_pass_shellcheck(tmp_path: Path) -> None:
    # Where Redis's scripts say that client.sh is. It has moved into `files`, but to change that comment would change
    # what nodes run, and restart every one of them.
    (tmp_path / "components").mkdir()
    (tmp_path / "components" / "redis").symlink_to(ROOT / "components" / "redis" / "files")
    (tmp_path / "components" / "kafka").symlink_to(ROOT / "components" / "kafka")
    folders = (ROOT / "components", ROOT / "tests")
    scripts = [s for f in folders for s in sorted(f.rglob("*.sh"))]
    scripts += [s for s in sorted((ROOT / ".ci").iterdir()) if not s.suffix and s.is_file()]
    assert len(scripts) >= 10
    done = subprocess.run([SHELLCHECK, *scripts], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_containers_scripts_are_posix() -> None:
    for script in (ROOT / "components").rglob("*.sh"):
        assert script.read_text().startswith("#!/bin/sh\n"), f"{script} must run in the upstream image's sh"
