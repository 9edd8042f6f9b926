"""Prometheus' and Alertmanager's own tools accept the configuration, and the rules do what they say."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

from components.context import Namespace
from components.observability import alertmanager, collect, prometheus
from settings import AlertmanagerSettings, PrometheusSettings, SecretKey

RULE_TESTS = sorted(path for _, folder in collect.folders("alerts") for path in folder.glob("tests/*.yml"))


class Names:
    """The four namespaces, under other names than the defaults."""

    all = {key: Namespace.existing(key[0]) for key in ("agents", "data", "observability", "collectors")}


def tool(name: str) -> str:
    found = os.environ.get(name.upper()) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing: put it on PATH or its path into {name.upper()}")
    if name == "amtool":
        version = re.search(r"version (\d+)\.(\d+)", check(found, "--version"))
        if version is None or (int(version[1]), int(version[2])) < (0, 26):  # the first to know `url_file`
            pytest.skip("amtool is older than 0.26: put a newer one on PATH or its path into AMTOOL")
    return found


def check(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def rendered(tmp_path: pathlib.Path) -> pathlib.Path:
    for path, text in prometheus.configuration(PrometheusSettings(), Names()).items():
        target = tmp_path / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(text)
    return tmp_path


def test_prometheus_accepts_its_configuration(rendered: pathlib.Path) -> None:
    # Its syntax only: otherwise promtool looks for the token of the pod's service account on this machine.
    check(tool("promtool"), "check", "config", "--syntax-only", str(rendered / "prometheus.yml"))


def test_prometheus_accepts_the_rules(rendered: pathlib.Path) -> None:
    files = [str(path) for path in sorted((rendered / "rules").iterdir())]
    assert files
    check(tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", *files)


@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_rules_fire_when_they_should_and_only_then(path: pathlib.Path) -> None:
    check(tool("promtool"), "test", "rules", str(path))


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    assert RULE_TESTS
    for path in (path for _, folder in collect.folders("alerts") for path in folder.glob("*.yml")):
        alerts = {r["alert"] for g in yaml.safe_load(path.read_text())["groups"] for r in g["rules"] if "alert" in r}
        tests = path.parent / "tests" / path.name
        missing = {alert for alert in alerts if f'alertname="{alert}"' not in tests.read_text()}
        assert not missing, f"{tests} lacks {missing}"


@pytest.mark.parametrize("secret", [None, SecretKey(name="pager", key="url")], ids=["shown only", "webhook"])
def test_alertmanager_accepts_its_configuration(secret: SecretKey | None, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "alertmanager.yml"
    path.write_text(alertmanager.configuration(AlertmanagerSettings(webhook_url_secret=secret))["alertmanager.yml"])
    check(tool("amtool"), "check-config", str(path))
    critical = check(tool("amtool"), "config", "routes", "test", f"--config.file={path}", "severity=critical")
    assert critical.strip() == "default"
