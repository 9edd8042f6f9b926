"""Reading the files that people write: strict YAML, with the line of every value at hand for messages."""

from __future__ import annotations

import functools
import pathlib
from typing import Any, Literal

import yaml

from manifests.loader import MalformedError, StrictLoader, compose, load
from manifests.problems import Path
from manifests.text import nearest, quoted

from .errors import SettingsError


def read_yaml(path: pathlib.Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping.

    Raises `SettingsError` if it is missing, empty, malformed, or has a key twice.
    """
    try:
        content = load(path.read_text(encoding="utf-8"), StrictLoader)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8 text: save it as UTF-8") from None
    except MalformedError as error:
        raise SettingsError(f"{path}{error.place}: {error}") from None
    if content is None:
        raise SettingsError(f"{path}: is empty: write at least one `key: value` line, or remove the file")
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: must hold `key: value` lines, not a {type(content).__name__}")
    return content


def line_of(path: pathlib.Path, keys: Path) -> int | None:
    """Return the line, from 1, of the value at `keys` in a YAML file, or of its nearest parent; None without one."""
    try:
        node = _composed(path)
    except (OSError, MalformedError):
        return None
    line = None
    for key in keys:
        children: list[tuple[Any, Any]] = []
        if isinstance(node, yaml.MappingNode):
            children = [(k, v) for k, v in node.value if k.value == str(key)]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            children = [(node.value[key], node.value[key])]
        if not children:
            break
        line, node = children[0][0].start_mark.line + 1, children[0][1]
    return line


@functools.lru_cache(maxsize=64)
def _composed(path: pathlib.Path) -> yaml.Node | None:
    return compose(path.read_text(encoding="utf-8"))


def environments(project: pathlib.Path) -> list[str]:
    """Return the names of the environments that have a `Pulumi.NAME.yaml` in the project's folder."""
    return sorted(path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in project.glob("Pulumi.*.yaml"))


def environment_file(project: pathlib.Path, environment: str) -> pathlib.Path:
    """Return the path of `Pulumi.ENVIRONMENT.yaml`.

    Raises `SettingsError` for an environment without such a file.
    """
    known = environments(project)
    if environment not in known:
        otherwise = f"known are {', '.join(known)}; or write Pulumi.{environment}.yaml"
        raise SettingsError(f"unknown environment `{environment}`{nearest(environment, known, otherwise)}")
    return project / f"Pulumi.{environment}.yaml"


Declarations = dict[str, tuple[pathlib.Path, dict[str, Any]]]
"""The files of a folder that declare one thing each: path and content by the name within."""


def read_agents(folder: pathlib.Path) -> Declarations:
    """Read every `*.yaml` below a folder.

    Raises `SettingsError` if the folder or a file cannot be read, a name is missing, or stands in two files.
    """
    agents, mistakes = scan(folder, "agent")
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    return agents


def scan(folder: pathlib.Path, noun: Literal["agent", "workflow"]) -> tuple[Declarations, list[str]]:
    """Read every `*.yaml` below a folder that can be read; return as well a line for each mistake in the others.

    `noun` is what each of them declares.

    Raises `SettingsError` if there is no such folder.
    """
    if not folder.is_dir():
        raise SettingsError(f"{folder}: is not a folder: name the folder that holds one YAML file per {noun}")
    found: Declarations = {}
    mistakes: list[str] = []
    for path in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")]):
        try:
            content = read_yaml(path)
        except SettingsError as error:
            mistakes.append(str(error))
            continue
        name = content.get("name")
        if not isinstance(name, str):
            mistakes.append(f"{path}: name: is missing: write `name: {path.stem}`")
        elif name in found:
            line = line_of(path, ("name",))
            mistakes.append(f"{path}:{line}: name: {found[name][0]} has the {noun} {quoted(name)} already: rename one")
        else:
            found[name] = path, content
    return found, mistakes
