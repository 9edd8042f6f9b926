"""Reading `waivers.yaml`, for the policy pack and for everything that judges without the engine."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Collection, Iterator
from datetime import date

import yaml

from manifests.loader import MalformedError, compose
from manifests.problems import Problem
from manifests.text import closest, quoted, suggestion

from .findings import Waiver

_FIELDS = ("rule", "resource", "environments", "reason", "owner", "until")
_OPTIONAL = ("environments",)


class WaiverFileError(ValueError):
    """The file cannot be used; the text has one line per mistake: `path:line: mistake: remedy`."""


def read_waivers(file: pathlib.Path, rules: Collection[str]) -> tuple[Waiver, ...]:
    """Read the waivers of findings of `rules`, by their ids; none where there is no file.

    Each has `rule`, `resource` (`Kind/namespace/name`, or `Kind/name` outside of namespaces; the name may hold `*`),
    `reason`, `owner`, `until` (the last day in UTC on which it holds, as `2026-12-31`), and for some environments
    only, `environments`.

    Raises:
        WaiverFileError: It cannot be read, or a waiver in it is incomplete or names no rule.
    """
    try:
        root = compose(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise WaiverFileError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise WaiverFileError(f"{file}: is not UTF-8 text: save it as UTF-8") from None
    except MalformedError as error:
        raise WaiverFileError(f"{file}{error.place}: {error}") from None
    if root is None:
        return ()
    if not isinstance(root, yaml.SequenceNode):
        raise WaiverFileError(f"{file}:{_line(root)}: must be a list: write one `- rule: ...` for each waiver")
    entries = [_Entry(node, rules) for node in root.value]
    if mistakes := [f"{file}:{line}: {problem}" for entry in entries for line, problem in entry.problems()]:
        raise WaiverFileError("\n".join(mistakes))
    return tuple(entry.waiver() for entry in entries)


class _Entry:
    def __init__(self, node: yaml.Node, rules: Collection[str]) -> None:
        self._node = node
        self._rules = rules
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        self._keys = [(str(key.value) if isinstance(key, yaml.ScalarNode) else "", key) for key, _ in pairs]
        self._values = {name: value for (name, _), (_, value) in zip(self._keys, pairs, strict=True)}

    def problems(self) -> Iterator[tuple[int, Problem]]:
        """Return what is wrong with the entry, each with its line."""
        if not isinstance(self._node, yaml.MappingNode):
            yield _line(self._node), Problem((), f"must have the keys {', '.join(_FIELDS)}")
            return
        names = [name for name, _ in self._keys]
        meant = {closest(name, _FIELDS) for name in names if name not in _FIELDS}
        for index, (name, key) in enumerate(self._keys):
            if name not in _FIELDS:
                yield _line(key), Problem((), f"unknown key {quoted(name)}", suggestion(name, _FIELDS))
            elif name in names[:index]:
                yield _line(key), Problem((), f"the key `{name}` stands twice", "remove one of them")
        for name in _FIELDS:
            value = self._values.get(name)
            if value is None:
                if name not in _OPTIONAL and name not in meant:
                    yield _line(self._node), Problem((name,), "is missing", "add it")
            elif problem := self._problem(name, value):
                yield _line(value), problem.below(name)

    def _problem(self, name: str, value: yaml.Node) -> Problem | None:
        if name == "environments":
            listed = value.value if isinstance(value, yaml.SequenceNode) else []
            if not listed or not all(_text(item) for item in listed):
                return Problem((), "must be a list of names such as `[prod]`", "leave it out for all environments")
            return None
        text = _text(value)
        if not text:
            return Problem((), "must be text", "say it in a few words")
        if name == "rule" and text not in self._rules:
            known = suggestion(text, self._rules, "docs/policies.md lists all")
            return Problem((), f"unknown rule {quoted(text)}", known)
        if name == "resource" and not re.fullmatch(r"[A-Za-z0-9]+(/[a-z0-9.-]+)?/[^/]+", text):
            return Problem(
                (), f"{quoted(text)} names no object", "write `Kind/namespace/name`; only the name may hold `*`"
            )
        if name == "until" and _day(text) is None:
            return Problem((), f"{quoted(text)} is no date", "write the last day as `2026-12-31`")
        return None

    def waiver(self) -> Waiver:
        """Return what the entry says, if it has no mistakes."""
        texts = {name: _text(value) for name, value in self._values.items()}
        kind, *namespace, name = texts["resource"].split("/")
        listed = self._values.get("environments")
        until = _day(texts["until"])
        assert until is not None
        return Waiver(
            rule=texts["rule"],
            kind=kind,
            namespace="".join(namespace),
            name=name,
            reason=texts["reason"],
            owner=texts["owner"],
            until=until,
            environments=tuple(_text(item) for item in listed.value) if listed else (),
            line=_line(self._node),
        )


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _text(node: yaml.Node) -> str:
    plain = isinstance(node, yaml.ScalarNode) and not node.tag.endswith((":null", ":bool"))
    return " ".join(node.value.split()) if plain else ""


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) else None
    except ValueError:
        return None
