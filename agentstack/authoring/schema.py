"""JSON Schemas of the files that people write and of what commands print; and the other generated files."""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import json
import pathlib
import textwrap
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from agentstack.check.report import CheckReport
from agentstack.explain.model import Explanation
from agentstack.live.drift import DriftReport
from agentstack.preview.published import PreviewReport
from agentstack.rendering.environment import STACK_FILE_KEYS
from agentstack.review.published import DiffReport
from settings.agents import AgentFile, AgentSettings
from settings.model import Model
from settings.root import Settings
from settings.sections import SECTIONS
from settings.workflows import WorkflowFile

from .policy_docs import MARKS, between

Schema = dict[str, Any]

_REF: Final = "#/$defs/"
_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_PRINTED: Final[Mapping[str, Any]] = {
    "check": CheckReport,
    "diff": DiffReport,
    "drift": DriftReport,
    "explain": Explanation,
    "preview": PreviewReport,
}
"""What commands print with --json."""


def schemas() -> dict[str, Schema]:
    """Return the schemas by file name: of the files that people write, and of what each command prints with --json."""
    printed = {f"{command}.schema.json": _printed(command, content) for command, content in _PRINTED.items()}
    written = {
        "agent.schema.json": _file("AgentFile", "One agent of Agent Stack"),
        "environment.schema.json": _environment(),
        "workflow.schema.json": _file("WorkflowFile", "One workflow of Agent Stack"),
    }
    return written | printed


def generated(project: pathlib.Path) -> dict[pathlib.Path, str]:
    """Return what stands in each file of a project that is written by a program: the schemas, and what documents rules.

    Of the documentation only where it is there, with the marks between which it is written.
    """
    files = {project / "schemas" / name: _text(schema) for name, schema in schemas().items()}
    docs = project / "docs" / "policies.md"
    if docs.is_file() and all(mark in (text := docs.read_text(encoding="utf-8")) for mark in MARKS):
        files[docs] = between(text)
    return files


def write(project: pathlib.Path) -> None:
    """Write the generated files of a project."""
    for path, text in generated(project).items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def outdated(project: pathlib.Path) -> list[pathlib.Path]:
    """Return the generated files of a project that `write` would change."""
    files = generated(project).items()
    return [path for path, text in files if not path.is_file() or path.read_text(encoding="utf-8") != text]


def _text(schema: Schema) -> str:
    return json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _printed(command: str, content: Any) -> Schema:
    schema = TypeAdapter(content).json_schema(mode="serialization")
    return {**schema, "$schema": _DRAFT, "title": f"What `agentstack {command} --json` prints"}


def _file(model: str, title: str) -> Schema:
    definitions = _Definitions()
    return definitions.document(title, {"$ref": definitions.completed(model, None)})


def _environment() -> Schema:
    definitions = _Definitions()
    settings = definitions.all["Settings"]
    sections = {
        f"agentstack:{name}": {
            "$ref": definitions.completed(_target(section), section["default"]),
            "description": section.get("description", definitions.all[_target(section)].get("description", "")),
        }
        for name, section in settings["properties"].items()
        if name in SECTIONS
    }
    overrides = copy.deepcopy(settings["properties"]["agents"])
    _redirect(overrides, definitions.override)
    overrides["description"] = "What this environment has different: any field of an agent, by the agent's name."
    sections["agentstack:agents"] = overrides
    secure = {"type": "object", "properties": {"secure": {"type": "string"}}, "additionalProperties": False}
    sections["agentstack:secrets"] = {
        "type": "object",
        "description": "Secrets by environment variable; written by `pulumi config set --secret`.",
        "additionalProperties": {**secure, "required": ["secure"]},
    }
    config = {
        "type": "object",
        "properties": sections,
        # Other namespaces belong to providers; in ours, an unknown key is a mistake.
        "patternProperties": {rf"^agentstack:(?!({'|'.join(key.partition(':')[2] for key in sections)})$)": False},
    }
    properties = {
        **{key: {"type": "string"} for key in STACK_FILE_KEYS},
        "config": config,
        "environment": {"description": "Pulumi ESC environments."},
    }
    return definitions.document(
        "One environment of Agent Stack: a Pulumi stack file",
        {"type": "object", "properties": properties, "additionalProperties": False},
    )


class _Definitions:
    """The models' schemas, and variants of them that ask for less.

    What a person leaves out of a group may come from the group's default, or from the agent's own file.
    """

    def __init__(self) -> None:
        written = (Settings, AgentSettings, AgentFile, WorkflowFile)
        models = [(model, "validation") for model in written]
        _, top = models_json_schema(models)  # type: ignore[arg-type]
        self.all: dict[str, Schema] = top["$defs"]
        for model in _models(Model):
            for name, text in _field_docs(model) if model.__name__ in self.all else ():
                if (field := model.model_fields.get(name)) is not None:  # the docstring of a class variable is none
                    self.all[model.__name__]["properties"][field.alias or name]["description"] = text
        for schema in self.all.values():
            for item in schema.get("properties", {}).values():
                if "patternProperties" in item:  # the names that the model accepts; it refuses the others
                    item["additionalProperties"] = False
        self._used: dict[str, Schema] = {}

    def document(self, title: str, root: Schema) -> Schema:
        """Return a whole schema with the definitions that were asked for."""
        return {
            "$schema": _DRAFT,
            "title": title,
            **root,
            "$defs": self._used,
        }

    def completed(self, name: str, default: Schema | None) -> str:
        """Return a reference to the definition `name`, where what is left out comes from `default`, if there is one."""
        variant = f"{name}.partial" if default else name
        if variant not in self._used:
            schema = self._used[variant] = copy.deepcopy(self.all[name])
            given = default or {}
            _require(schema, [key for key in schema.get("required", []) if key not in given])
            for key, item in schema.get("properties", {}).items():
                own = given.get(key, item.get("default"))
                _redirect(item, functools.partial(self.completed, default=own if isinstance(own, dict) else None))
        return f"{_REF}{variant}"

    def override(self, name: str) -> str:
        """Return a reference to the definition `name` with nothing required: an override may be any part of it."""
        variant = f"{name}.override"
        if variant not in self._used:
            schema = self._used[variant] = copy.deepcopy(self.all[name])
            _require(schema, [])
            for item in schema.get("properties", {}).values():
                # Lists are replaced, not merged: their items are complete.
                whole = functools.partial(self.completed, default=None)
                _redirect(item, whole if item.get("type") == "array" else self.override)
                if name == "AgentSettings":  # in its own mappings, null takes the entry away
                    for pattern, value in item.get("patternProperties", {}).items():
                        item["patternProperties"][pattern] = {"anyOf": [value, {"type": "null"}]}
        return f"{_REF}{variant}"


def _models(base: type[Model]) -> Iterator[type[Model]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


def _field_docs(model: type[Model]) -> Iterator[tuple[str, str]]:
    """The text below each field that has one. pydantic reads it, too, but whenever the class is made: at each start."""
    for base in reversed(model.__mro__):
        if issubclass(base, Model):
            (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
            assert isinstance(definition, ast.ClassDef)
            for field, below in pairwise(definition.body):
                match field, below:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))) if (
                        name in model.model_fields
                    ):
                        yield name, inspect.cleandoc(text)


def _require(schema: Schema, keys: list[str]) -> None:
    schema.pop("required", None)
    if keys:
        schema["required"] = keys


def _redirect(schema: Any, follow: Callable[[str], str]) -> None:
    """Replace every reference below `schema` by what `follow` returns for its target."""
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            schema["$ref"] = follow(_target(schema))
        for key, item in schema.items():
            if key not in ("default", "examples"):
                _redirect(item, follow)
    elif isinstance(schema, list):
        for item in schema:
            _redirect(item, follow)


def _target(schema: Schema) -> str:
    return str(schema["$ref"]).removeprefix(_REF)
