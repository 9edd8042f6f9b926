"""`make chaos`: what the tests found, as a table, and as JSON for `--json FILE`."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from .outcome import Outcome


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--json", metavar="FILE", help="write the table as JSON as well")
    group.addoption("--keep", action="store_true", help="leave the last stack in the cluster")


@pytest.fixture(scope="session")
def cluster() -> None:
    if "KUBECONFIG" not in os.environ:
        pytest.skip("KUBECONFIG is not set: export the path of a kubeconfig for a cluster that may be changed")
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on PATH: install it")


@pytest.fixture
def outcome(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Outcome:
    """The line of this test in the table, named by its docstring."""
    system = request.module.__name__.rpartition("_")[2]
    if "engine" in request.fixturenames:
        system = request.getfixturevalue("engine")
    outcome = Outcome(system, " ".join(request.function.__doc__.split()))
    record_property("outcome", outcome)
    return outcome


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    verdicts: dict[str, bool] = {}
    outcomes: dict[str, Outcome] = {}
    for category in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(category, []):
            for name, value in report.user_properties:
                if name == "outcome":
                    outcomes[report.nodeid] = value
                    verdicts[report.nodeid] = verdicts.get(report.nodeid, True) and report.passed
    if not outcomes:
        return
    table = Table(title="chaos")
    columns = ("recovered", "client waited", "written", "acknowledged", "lost", "twice", "retries")
    for column in ("", "fault", *columns, "OK of a master alone", ""):
        table.add_column(column, justify="right" if column in columns else "left")
    for test, o in outcomes.items():
        times = ("-" if seconds is None else f"{seconds:.1f} s" for seconds in (o.recovered, o.waited))
        counts = (str(count) for count in (o.written, o.acknowledged, o.lost, o.twice, o.retries))
        plain = f"{o.plain_acknowledged}, {o.plain_lost} lost" if o.plain_acknowledged else ""
        table.add_row(o.system, o.fault, *times, *counts, plain, "ok" if verdicts[test] else "FAILED")
    Console(width=max(terminalreporter._tw.fullwidth, 150)).print(table)
    if file := config.getoption("json"):
        lines = [dataclasses.asdict(o) | {"passed": verdicts[test]} for test, o in outcomes.items()]
        Path(file).write_text(json.dumps(lines, indent=1) + "\n")
