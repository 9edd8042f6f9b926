"""What `policies/` says about one environment: the rules as its configuration has them, and the waivers."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, NoReturn

from manifests.manifest import Manifest
from manifests.problems import Path, Problem
from manifests.text import nearest, quoted
from policies.rules import LEVELS, RULES, Config, ConfigSchema, Rule, Severity, Violation, Waiver, Waivers, evaluate
from policies.waiver_file import WaiverFileError, read_waivers
from settings.errors import SettingsError
from settings.files import environments, line_of

ENFORCEMENT: Final[Mapping[str, Severity | None]] = {"mandatory": "error", "advisory": "warning", "disabled": None}
"""The enforcement levels of the engine, and the severity that each stands for."""

WAIVERS: Final = "waivers.yaml"

_LEVEL = "enforcementLevel"
_TYPES: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "string": ((str,), "text"),
    "boolean": ((bool,), "`true` or `false`"),
    "integer": ((int,), "a whole number"),
    "number": ((int, float), "a number"),
    "array": ((list,), "a list"),
}


@dataclass(frozen=True)
class Policies:
    """What judges the objects of one environment."""

    rules: tuple[Rule, ...]
    """Those that are not disabled, with their severities and values."""
    levels: Mapping[str, Severity]
    """As `policies.rules.evaluate` takes them."""

    waivers: Waivers

    @classmethod
    def of(cls, project: pathlib.Path, environment: str, *, today: date | None = None) -> Policies:
        """Read what `policies/` in the project's folder says of an environment: both files may be missing.

        `today` is the day in UTC, by which waivers expire. Raises as `read` does.
        """
        folder = project / "policies"
        config = folder / "config" / f"{environment}.json"
        return cls.read(
            config if config.is_file() else None,
            folder / WAIVERS,
            environment=environment,
            known={environment, *environments(project)},
            today=today,
        )

    @classmethod
    def read(
        cls,
        config: pathlib.Path | None,
        waivers: pathlib.Path | None = None,
        *,
        environment: str = "",
        known: Collection[str] = (),
        today: date | None = None,
        rules: Iterable[Rule] = RULES,
    ) -> Policies:
        """Read a configuration as the engine's `--policy-pack-config` does, and the waivers of one environment.

        The configuration has values by the rule's id, or for `all`: an enforcement level, or
        `{"enforcementLevel": ..., "property": ...}`. Without an environment only waivers for all of them count.
        Waivers may name the `known` environments; any, where none is known.

        Raises:
            SettingsError: A file cannot be read, names no rule, or gives a value that the rule's schema refuses.
        """
        rules = tuple(rules)
        content = {} if config is None else _content(config)
        if problems := list(_problems(content, rules)):
            raise SettingsError("\n".join(f"{_place(config, problem.path)}: {problem.message}" for problem in problems))
        severities = {rule.id: rule.severity for rule in rules} | dict(LEVELS)
        chosen = {key: _severity(content, key, severity) for key, severity in severities.items()}
        return cls(
            tuple(
                rule.configured(severity, _values(content.get(rule.id)))
                for rule in rules
                if (severity := chosen[rule.id]) is not None
            ),
            {key: severity for key in LEVELS if (severity := chosen[key]) is not None},
            Waivers.of(_waivers(waivers, rules, known), environment, today or datetime.now(UTC).date()),
        )

    def judge(self, objects: Iterable[Manifest]) -> list[Violation]:
        """Return what the rules find in the objects of the environment, and what is wrong with its waivers."""
        return self.waivers.apply(evaluate(objects, self.rules, levels=self.levels), self.levels)


def _waivers(file: pathlib.Path | None, rules: Iterable[Rule], known: Collection[str]) -> tuple[Waiver, ...]:
    try:
        waivers = () if file is None else read_waivers(file, [rule.id for rule in rules])
    except WaiverFileError as error:
        raise SettingsError(str(error)) from None
    mistakes = [
        f"{file}:{waiver.line}: environments: unknown environment {quoted(name)}{nearest(name, known)}"
        for waiver in waivers
        for name in waiver.environments
        if known and name not in known
    ]
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    return waivers


def _place(file: pathlib.Path | None, path: Path) -> str:
    line = line_of(file, path) if file else None
    return str(file) if line is None else f"{file}:{line}"


def _content(file: pathlib.Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
        # As the engine reads it: nothing at all is no configuration, and NaN is no number.
        content = json.loads(text, parse_constant=_refuse) if text.strip() else {}
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file}: is not UTF-8 text: save it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise SettingsError(f"{file}:{error.lineno}: malformed JSON: {error.msg}") from None
    except ValueError as error:
        raise SettingsError(f"{file}: malformed JSON: {error}") from None
    except RecursionError:
        raise SettingsError(f"{file}: malformed JSON: groups are nested too deeply") from None
    if not isinstance(content, dict):
        raise SettingsError(f'{file}: must be a group: write {{"RULE": "advisory"}}')
    return content


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _problems(content: Mapping[str, Any], rules: Iterable[Rule]) -> Iterator[Problem]:
    """Return what is wrong, each with the path to the line where it is."""
    schemas = {rule.id: rule.config_schema for rule in rules} | {key: {} for key in ("all", *LEVELS)}
    for key, value in content.items():
        if key not in schemas:
            hint = nearest(key, schemas, "docs/policies.md lists all rules")
            yield Problem((key,), f"unknown rule {quoted(key)}{hint}")
        elif not isinstance(value, Mapping):
            yield from _wrong_level((key,), value)
        else:
            for name, item in value.items():
                yield from _wrong_property(key, name, item, schemas[key])


def _wrong_level(path: Path, value: Any) -> Iterator[Problem]:
    where = ".".join(map(str, path))
    if not isinstance(value, str):
        yield Problem(path, f"{where}: must be one of {', '.join(ENFORCEMENT)}")
    elif value not in ENFORCEMENT:
        yield Problem(path, f"{where}: unknown level {quoted(value)}{nearest(value, ENFORCEMENT)}")


def _wrong_property(rule: str, name: str, value: Any, schema: ConfigSchema) -> Iterator[Problem]:
    if name == _LEVEL:
        yield from _wrong_level((rule, name), value)
    elif name not in schema:
        yield Problem((rule, name), f"{rule}: unknown property {quoted(name)}{nearest(name, (_LEVEL, *schema))}")
    else:
        yield from (Problem((rule, name), f"{rule}.{name}: {text}") for text in _mistakes(value, schema[name]))


def _mistakes(value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    """Say what of `policies.model.ConfigSchema` a value does not meet: what the engine would refuse as well."""
    types, name = _TYPES[schema["type"]]
    # In JSON Schema 1.0 is an integer; in Python True is one.
    whole = schema["type"] == "integer" and isinstance(value, float) and value.is_integer()
    endless = isinstance(value, float) and not math.isfinite(value)  # such as 1e400, which is no limit at all
    if not (isinstance(value, types) or whole) or (isinstance(value, bool) and bool not in types) or endless:
        yield f"must be {name}"
    elif "enum" in schema and value not in schema["enum"]:
        yield f"unknown value {quoted(str(value))}{nearest(value, map(str, schema['enum']))}"
    elif "minimum" in schema and value < schema["minimum"]:
        yield f"{value} is below the minimum of {schema['minimum']}: raise it"
    elif "maximum" in schema and value > schema["maximum"]:
        yield f"{value} is above the maximum of {schema['maximum']}: lower it"
    elif isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield f"must have at least {schema['minItems']} of them"
        for number, item in enumerate(value, start=1):
            yield from (f"item {number} {mistake}" for mistake in _mistakes(item, schema["items"]))


def _severity(content: Mapping[str, Any], key: str, default: Severity) -> Severity | None:
    for given in (content.get(key), content.get("all")):
        level = given.get(_LEVEL) if isinstance(given, Mapping) else given
        if level is not None:
            return ENFORCEMENT[level]
    return default


def _values(given: Any) -> Config:
    return {key: value for key, value in given.items() if key != _LEVEL} if isinstance(given, Mapping) else {}
