"""Kubernetes objects in YAML that others wrote, each with the lines of its fields; nothing in it is trusted."""

from __future__ import annotations

import os
import pathlib
import re
import stat
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, BinaryIO, Final, TypeAlias

import yaml

from manifests.fields import keys_of_path
from manifests.loader import BoundedLoader, MalformedError, load_all
from manifests.text import escaped

SUFFIXES: Final = (".yaml", ".yml", ".json")
LARGEST_FILE: Final = 16 * 1024**2
"""Bytes of a file; longer ones are refused."""

_Key: TypeAlias = str | int
_TEMPLATE: Final = re.compile(r"\{\{|\{%")


class UnreadableError(Exception):
    """A file, or what is left of it, cannot be read; the text is `mistake: fix` on one line."""

    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text)
        self.line = line


@dataclass(frozen=True)
class LineTree:
    """The lines of a value, and of what is in it."""

    line: int
    """From 1: of its key, or of the value itself in a list."""
    node: yaml.Node = field(repr=False)

    @cached_property
    def inner(self) -> Mapping[_Key, LineTree]:
        """Those of what is in a group, by key or index."""
        match self.node:
            case yaml.MappingNode(value=pairs):
                return {key.value: LineTree(_line(key), value) for key, value in pairs}
            case yaml.SequenceNode(value=values):
                return {index: LineTree(_line(value), value) for index, value in enumerate(values)}
        return {}

    def at(self, *keys: _Key) -> LineTree:
        """Return those of the value at `keys`, or of the nearest group around it that is there."""
        found = self
        for key in keys:
            if key not in found.inner:
                break
            found = found.inner[key]
        return found


@dataclass(frozen=True)
class CheckedObject:
    """One Kubernetes object."""

    manifest: Mapping[str, Any]
    file: str
    lines: LineTree

    @property
    def key(self) -> tuple[Any, ...]:
        """What a cluster has only once; names may be anything in a file."""
        metadata = self.manifest["metadata"]
        words = (self.manifest["kind"], metadata.get("namespace"), metadata.get("name"))
        return tuple(word for word in words if word)

    @property
    def is_live(self) -> bool:
        """Whether it was read from a cluster, which has filled in defaults."""
        return "uid" in self.manifest["metadata"]

    @property
    def is_owned(self) -> bool:
        """Whether another object in the cluster makes it; what was not read from a cluster cannot say so."""
        owners = self.manifest["metadata"].get("ownerReferences")
        return self.is_live and any(isinstance(o, Mapping) and o.get("controller") is True for o in _items(owners))

    def line(self, path: str) -> int:
        """Return the line of the field at a path, or of the nearest group around it that is there."""
        return self.lines.at(*keys_of_path(path)).line


@dataclass
class Contents:
    """What was found in files."""

    objects: list[CheckedObject] = field(default_factory=list)
    files: int = 0
    others: int = 0
    """Documents that are no Kubernetes object."""
    kustomizations: list[str] = field(default_factory=list)
    """Files that tell kustomize what to do with the others."""
    notes: list[str] = field(default_factory=list)
    """What was left out on purpose."""
    mistakes: list[str] = field(default_factory=list)
    """What could not be read: `path:line: mistake: fix`."""

    def read(self, path: pathlib.Path) -> None:
        """Read a file, or all YAML and JSON below a folder: no hidden folders, and no links that lead out of it."""
        if not path.is_dir():
            self._read_file(path, str(path))
            return
        root = path.resolve()
        seen: set[pathlib.Path] = set()
        for parent, folders, names in os.walk(path, onerror=self._unreadable):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                file = pathlib.Path(parent, name)
                if file.suffix.lower() not in SUFFIXES:
                    continue
                target = file.resolve()
                if not target.is_relative_to(root):
                    self.notes.append(f"{escaped(str(file))}: leads out of the folder, and is left out")
                elif target not in seen:
                    seen.add(target)
                    self._read_file(target, str(file))

    def _unreadable(self, error: OSError) -> None:
        self.mistakes.append(f"{escaped(str(error.filename))}: cannot be read: {error.strerror}")

    def _read_file(self, path: pathlib.Path, name: str) -> None:
        try:
            # Neither waiting for a pipe nor following a link that was put there meanwhile.
            with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as stream:  # noqa: PTH123
                if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                    self.notes.append(f"{escaped(name)}: is no file, and is left out")
                    return
                self.read_stream(stream, name)
        except OSError as error:
            self.mistakes.append(f"{escaped(name)}: cannot be read: {error.strerror}")

    def read_stream(self, stream: BinaryIO, name: str) -> None:
        """Read one file, called `name`, as far as it can be read."""
        self.files += 1
        if pathlib.PurePath(name).stem == "kustomization":
            self.kustomizations.append(name)
        content = stream.read(LARGEST_FILE + 1)
        try:
            if len(content) > LARGEST_FILE:
                raise UnreadableError(f"is larger than {LARGEST_FILE // 1024**2} MiB: split it")
            for value, lines in documents(content):
                self._add(value, lines, name)
        except UnreadableError as error:
            place = f"{name}:{error.line}" if error.line else name
            self.mistakes.append(f"{escaped(place)}: {error}")

    def _add(self, value: Any, lines: LineTree, name: str, kind: str = "") -> None:
        """Add an object, or the objects in a list; those of a list of `kind` may leave out their own."""
        if not isinstance(value, dict):
            self.others += 1
            return
        if kind:
            value = {"apiVersion": value.get("apiVersion"), "kind": kind, **value}
        kind, version = value.get("kind"), value.get("apiVersion")
        items = value.get("items")
        if isinstance(kind, str) and kind.endswith("List") and isinstance(items, list):
            for index, item in enumerate(items):
                if isinstance(item, dict) and "apiVersion" not in item:
                    item = {"apiVersion": version, **item}
                self._add(item, lines.inner["items"].inner[index], name, kind.removesuffix("List"))
        elif isinstance(kind, str) and isinstance(version, str) and isinstance(value.get("metadata"), dict):
            self.objects.append(CheckedObject(value, name, lines))
        else:
            self.others += 1


def documents(content: bytes) -> Iterator[tuple[Any, LineTree]]:
    """Return the documents in a text, as plain data with the lines of everything in it; empty ones are left out.

    As Kubernetes reads them: keys are text, of two equal keys the last one counts, dates are text. The parts of a value
    that an alias repeats are the same in memory.

    Raises:
        UnreadableError: It is not YAML in UTF-8, nested too deeply, or has too many values.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableError("is not UTF-8 text: save it as UTF-8, or leave it out") from None
    hint = ": a template? Render it first: `helm template CHART | agentstack check -`" if _TEMPLATE.search(text) else ""
    try:
        # Tabs are space in JSON, where a text cannot hold one.
        spaced = text.replace("\t", " ") if text.lstrip()[:1] in ("{", "[") else text
        for value, node in load_all(spaced, _Loader):
            if value is not None:
                yield value, LineTree(_line(node), node)
    except MalformedError as error:
        raise UnreadableError(f"{error}{hint}", error.line) from None


class _Loader(BoundedLoader):
    """Takes for text what it knows no better: keys, and scalars that their tags do not fit; passes over other tags."""

    def inspect(self, node: yaml.Node) -> None:
        try:
            super().inspect(node)
        except yaml.MarkedYAMLError:
            node.tag = self.resolve(type(node), None, (False, False))
        self.text_keys(node)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except yaml.MarkedYAMLError:
            if isinstance(node, yaml.ScalarNode):
                return node.value
            raise

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        self.flatten_mapping(node)
        return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
