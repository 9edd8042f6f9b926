"""Prometheus' own tool computes the very queries that `agentstack release` asks, over the series of releases.yml."""

from __future__ import annotations

import pathlib

import yaml

from agentstack.release.judge import figures
from components import agent

from .test_observability import check, tool


def test_the_queries_give_what_was_seen(tmp_path: pathlib.Path) -> None:
    series = pathlib.Path(agent.__file__).parent / "alerts" / "tests" / "releases.yml"
    content = yaml.safe_load(series.read_text())
    content["rule_files"] = [str((series.parent / path).resolve()) for path in content["rule_files"]]
    # Five minutes: 54 + 6 requests a minute, one restart a minute, no histogram.
    expected = iter([300.0, 30.0, None, 5.0])
    cases = []

    def ask(query: str, at: float | None) -> float | None:
        value = next(expected)
        samples = [] if value is None else [{"labels": "{}", "value": value}]
        cases.append({"expr": query, "eval_time": "10m", "exp_samples": samples})
        return value

    figures(ask, namespace="agents", agent="a", track="canary", seconds=300)
    content["tests"][0]["promql_expr_test"] = cases
    (tmp_path / "test.yml").write_text(yaml.safe_dump(content))
    check(tool("promtool"), "test", "rules", str(tmp_path / "test.yml"))
