"""What is installed holds what the program reads: scripts, rules, dashboards, pages and prices beside the Python."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = ("agentstack", "components", "costs", "manifests", "policies", "settings")


def test_a_wheel_has_every_file_of_the_packages(tmp_path: pathlib.Path) -> None:
    source = tmp_path / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    # Tests lie beside the alerts that they are of, and stay there.
    tests = {str(path.relative_to(source)) for path in source.glob("components/*/alerts/tests/*")}
    files = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()} - tests
    command = [sys.executable, "-m", "pip", "--quiet", "wheel", ".", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path)], cwd=source, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packaged = set(archive.namelist())
    assert files - {"pyproject.toml", "README.md"} - packaged == set()
    assert tests
    assert tests & packaged == set()
