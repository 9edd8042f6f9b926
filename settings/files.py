"""Reading the files that people write: strict YAML, with the line of every value at hand for messages."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Hashable
from typing import Any, ClassVar, NoReturn

import yaml

from .errors import Path, SettingsError, nearest
from .types import quoted

FastLoader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""In C where PyYAML was built so: ten times as fast."""
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null", "merge")}


class _StrictLoader(FastLoader):  # type: ignore[misc]
    """Refuses all tags but plain YAML's, and a key that stands twice in one mapping, of which YAML keeps the last."""

    # What looks like a date stays text, as in the JSON that the engine makes of the file.
    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in FastLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        # A secret in plain text may begin with `!`: neither message repeats it.
        if node.tag not in _PLAIN_TAGS:
            self._refuse(node, "unknown tag: put the text in quotes")
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError):  # a number too long for Python, or a tag that its text does not fit
            self._refuse(node, "neither a number nor a switch: put the text in quotes")

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(key_node, "a key must be text: put `{{ ... }}` and the like in quotes")
            if key_node.value in seen:
                self._refuse(key_node, f"the key {quoted(key_node.value)} stands twice: remove one of them")
            seen.add(key_node.value)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping

    def _refuse(self, node: yaml.Node, why: str) -> NoReturn:
        raise yaml.constructor.ConstructorError(None, None, why, node.start_mark)


def read_yaml(path: pathlib.Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping.

    Raises `SettingsError` if it is missing, empty, malformed, or has a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.load(text, _StrictLoader)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8 text: save it as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SettingsError(f"{path}{line}: malformed YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: malformed YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise SettingsError(f"{path}: malformed YAML: groups are nested too deeply") from None
    if content is None:
        raise SettingsError(f"{path}: is empty: write at least one `key: value` line, or remove the file")
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: must hold `key: value` lines, not a {type(content).__name__}")
    return content


def line_of(path: pathlib.Path, keys: Path) -> int | None:
    """Return the line, from 1, of the value at `keys` in a YAML file, or of its nearest parent; None without one."""
    try:
        node = _composed(path)
    except (OSError, yaml.YAMLError):
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
    return yaml.compose(path.read_text(encoding="utf-8"), FastLoader)


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


def read_agents(folder: pathlib.Path) -> dict[str, tuple[pathlib.Path, dict[str, Any]]]:
    """Read every `*.yaml` below a folder; return path and content by the agent's name.

    Raises `SettingsError` if the folder or a file cannot be read, a name is missing, or stands in two files.
    """
    if not folder.is_dir():
        raise SettingsError(f"{folder}: is not a folder: name the folder that holds one YAML file per agent")
    agents: dict[str, tuple[pathlib.Path, dict[str, Any]]] = {}
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
        elif name in agents:
            line = line_of(path, ("name",))
            mistakes.append(f"{path}:{line}: name: {agents[name][0]} declares the agent `{name}` already: rename one")
        else:
            agents[name] = path, content
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    return agents
