"""The configuration of the policies, as `policies/config/ENV.json` has it."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentstack.judging.policy import Policies
from policies.model import ConfigSchema, manifest_rule, stack_rule
from policies.rules import LEVELS, RULES, Finding, Severity, evaluate
from settings.errors import SettingsError

SCHEMA: ConfigSchema = {
    "ratio": {"type": "number", "minimum": 1, "maximum": 10, "default": 4},
    "names": {"type": "array", "items": {"type": "string"}, "minItems": 1},
    "strict": {"type": "boolean", "default": False},
    "mode": {"type": "string", "enum": ["low", "high"]},
    "count": {"type": "integer"},
}


@manifest_rule("named", "warning", "Objects have the configured names.", config_schema=SCHEMA, remedy="")
def named(manifest, config):
    yield Finding(f"{manifest['metadata']['name']} {dict(config)}")


@stack_rule(
    "counted", "error", "Stacks are counted.", subjects=lambda stack: stack.manifests, config_schema=SCHEMA, remedy=""
)
def counted(manifest, stack, config):
    yield Finding(f"{len(stack.manifests)} {config['ratio']}")


@manifest_rule("plain", "error", "Nothing is found.", remedy="")
def plain(manifest):
    yield Finding("found")


_KEYWORDS = ("type", "enum", "minimum", "maximum", "minItems", "items")
OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
MINE = (named, counted, plain)


def read(folder, content, rules=MINE):
    file = folder / "dev.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
    return Policies.read(file, rules=rules)


def judged(policies):
    found = evaluate([OBJECT], policies.rules, levels=policies.levels)
    return {(violation.rule, violation.severity): violation.message for violation in found}


def test_without_a_file_everything_is_as_the_rules_have_it():
    policies = Policies.read(None)
    assert policies.rules == RULES
    assert policies.levels == LEVELS
    assert judged(Policies.read(None, rules=MINE)) == {
        ("named", "warning"): "c {'ratio': 4, 'strict': False}",
        ("counted", "error"): "1 4",
        ("plain", "error"): "found",
    }


def test_an_empty_file_is_no_configuration(tmp_path):
    assert read(tmp_path, " \n").rules == MINE


def test_a_number_without_end_is_none(tmp_path):
    (tmp_path / "config.json").write_text('{"named": {"ratio": 1e400}}')
    with pytest.raises(SettingsError, match="ratio: must be a number"):
        Policies.read(tmp_path / "config.json", rules=MINE)


def test_properties_replace_defaults_and_reach_the_rule(tmp_path):
    policies = read(tmp_path, {"named": {"ratio": 2.5, "names": ["a"], "mode": "low", "count": 3.0}})
    assert judged(policies)["named", "warning"] == (
        "c {'ratio': 2.5, 'strict': False, 'names': ['a'], 'mode': 'low', 'count': 3.0}"
    )


@pytest.mark.parametrize(
    ("content", "severities"),
    [
        ({"named": "mandatory"}, {"named": "error", "counted": "error", "plain": "error"}),
        ({"plain": "disabled"}, {"named": "warning", "counted": "error"}),
        ({"all": "advisory", "plain": "mandatory"}, {"named": "warning", "counted": "warning", "plain": "error"}),
        (
            {"all": {"enforcementLevel": "disabled"}, "counted": {"enforcementLevel": "advisory"}},
            {"counted": "warning"},
        ),
        ({"all": "advisory", "named": {"ratio": 2}}, {"named": "warning", "counted": "warning", "plain": "warning"}),
    ],
)
def test_levels(tmp_path, content, severities: dict[str, Severity]):
    assert {rule.id: rule.severity for rule in read(tmp_path, content).rules} == severities


@pytest.mark.parametrize(("level", "severity"), [("advisory", "warning"), ("mandatory", "error"), ("disabled", None)])
def test_what_cannot_be_evaluated_has_a_level_of_its_own(tmp_path, level, severity):
    @manifest_rule("broken", "warning", "Fails.", remedy="")
    def broken(manifest):
        raise ValueError

    policies = read(tmp_path, {"not-evaluated": level}, [broken])
    found = evaluate([OBJECT], policies.rules, levels=policies.levels)
    assert [violation.severity for violation in found] == ([] if severity is None else [severity])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"nmed": "advisory"}, ":2: unknown rule `nmed`, did you mean `named`?"),
        ({"xyz": {"ratio": 1}}, ":2: unknown rule `xyz`: docs/policies.md lists all rules"),
        ({"named": "advisori"}, ":2: named: unknown level `advisori`, did you mean `advisory`?"),
        ({"named": 3}, ":2: named: must be one of mandatory, advisory, disabled"),
        ({"all": {"ratio": 3}}, ":3: all: unknown property `ratio`: known are enforcementLevel"),
        ({"plain": {"ratio": 3}}, ":3: plain: unknown property `ratio`: known are enforcementLevel"),
        ({"named": {"rato": 3}}, ":3: named: unknown property `rato`, did you mean `ratio`?"),
        ({"named": {"enforcementLevel": None}}, ":3: named.enforcementLevel: must be one of"),
        ({"named": {"ratio": "4"}}, ":3: named.ratio: must be a number"),
        ({"named": {"ratio": True}}, ":3: named.ratio: must be a number"),
        ({"named": {"ratio": 0.5}}, ":3: named.ratio: 0.5 is below the minimum of 1: raise it"),
        ({"named": {"ratio": 11}}, ":3: named.ratio: 11 is above the maximum of 10: lower it"),
        ({"named": {"strict": 1}}, ":3: named.strict: must be `true` or `false`"),
        ({"named": {"count": 1.5}}, ":3: named.count: must be a whole number"),
        ({"named": {"mode": "hgh"}}, ":3: named.mode: unknown value `hgh`, did you mean `high`?"),
        ({"named": {"names": "a"}}, ":3: named.names: must be a list"),
        ({"named": {"names": []}}, ":3: named.names: must have at least 1 of them"),
        ({"named": {"names": ["a", 1]}}, ":3: named.names: item 2 must be text"),
        ([], ": must be a group"),
        ('{"named": NaN}', ": malformed JSON: NaN is no number"),
        ('{\n"named" "advisory"}', ":2: malformed JSON: Expecting ':' delimiter"),
        ("[" * 100_000, ": malformed JSON"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(tmp_path, content, message):
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, content)
    assert str(caught.value).startswith(f"{tmp_path}/dev.json{message}")
    assert "\n" not in str(caught.value)


def test_what_is_no_text_or_no_file_is_bad_input(tmp_path):
    (tmp_path / "dev.json").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="is not UTF-8 text"):
        Policies.read(tmp_path / "dev.json")
    with pytest.raises(SettingsError, match="cannot be read"):
        Policies.read(tmp_path)


def test_two_mistakes_are_two_lines(tmp_path):
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, {"named": {"ratio": 0, "strict": 0}})
    assert len(str(caught.value).splitlines()) == 2


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 12) | st.floats(-2, 12) | st.sampled_from(["", "a", "low", "high"]),
    lambda children: st.lists(children, max_size=2) | st.dictionaries(st.just("a"), children, max_size=1),
    max_leaves=3,
)


@given(st.sampled_from(sorted(SCHEMA)), VALUES)
def test_what_is_refused_here_is_what_json_schema_refuses(tmp_path_factory, name, value):
    """The engine checks the same schemas as JSON Schema."""
    valid = jsonschema.Draft7Validator({"type": "object", "properties": SCHEMA}).is_valid({name: value})
    try:
        read(tmp_path_factory.getbasetemp(), {"named": {name: value}})
    except SettingsError:
        assert not valid
    else:
        assert valid


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_schemas_say_only_what_is_checked_here_as_well(tmp_path, rule):
    for name, schema in rule.config_schema.items():
        for item in (schema, *([schema["items"]] if schema["type"] == "array" else [])):
            assert set(item) <= {*_KEYWORDS, "description", "default"}, name
        assert schema["description"], name
    assert read(tmp_path, {rule.id: dict(rule.config)}, [rule]).rules == (rule,)
