"""The tokenizer of the rules against a real parser of PromQL, on every expression that is shipped."""

import json

import promql_parser
import pytest
import yaml

from components.observability import collect
from manifests.promql import metric_names


def shipped() -> list[str]:
    found = []
    for text in collect.alerts().values():
        found += [r["expr"] for group in yaml.safe_load(text)["groups"] for r in group["rules"]]
    for text in collect.dashboards().values():
        panels = json.loads(text)["panels"]
        found += [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return found


def parsed(expression: str) -> set[str]:
    names: set[str] = set()

    def visit(node: object) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            names.add(str(node.name))
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    return names


def test_shipped_expressions_are_read_as_the_parser_reads_them():
    expressions = shipped()
    assert len(expressions) > 100
    for expression in expressions:
        plain = expression.replace("$__rate_interval", "5m").replace("$agent", "executor")
        assert metric_names(expression) == parsed(plain), expression


@pytest.mark.parametrize(
    "expression",
    [
        'sum by (a, b) (rate(x_total{c="by (y)",d=~"{.+}"}[5m])) / ignoring(a) group_left(b) y offset 5m',
        "topk without (a) (3, x) or count_values('v', y) > bool 1e3",
        "max_over_time(x:y:z[1h:5m] @ 1700000000) unless on () up # a comment with z_total",
        "count(x) by (pod) > Inf and absent(y{a!='b'})",
        "histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m]))) - -y",
        "quantile(0.9, x) atan2 stddev by (a) (y @ end())",
        'label_replace(x, "a", "$1", "b", "(.*)") * on (a) group_right () y',
    ],
)
def test_expressions_are_read_as_the_parser_reads_them(expression):
    assert metric_names(expression) == parsed(expression)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('{__name__="x_total",a="b"}', {"x_total"}),
        ('sum(rate(x{a=~"$b"}[$__rate_interval])) / ${scale}', {"x"}),
        ("x[[interval]] + y[${range:raw}]", {"x", "y"}),
        ("", set()),
        ("{{{((", set()),
    ],
)
def test_what_no_parser_reads(expression, expected):
    assert metric_names(expression) == expected
