"""Kubernetes objects as files: without secrets, in an order that an empty cluster accepts, and stable."""

from __future__ import annotations

import base64
import binascii
import itertools
import pathlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import yaml

from components.parts import PARTS
from manifests.labels import SECRET_KEYS
from settings.errors import SettingsError

from .environment import WITHHELD
from .registration import Registration, Secret

INDEX = ".agentstack"
"""The file that marks a folder as written by this tool, and lists what is in it."""

# kubectl walks a folder in lexical order, and what comes first must stand when the rest is made: a namespace before
# what is in it, quota and limits before pods, what a pod mounts before the pod.
_FOLDERS: Final[Mapping[str, Collection[str]]] = {
    "00-namespaces": {"Namespace"},
    "05-definitions": {"CustomResourceDefinition", "PriorityClass", "StorageClass", "IngressClass"},
    "10-limits": {"ResourceQuota", "LimitRange"},
    "15-network-policies": {"NetworkPolicy"},
    "20-access": {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"},
    "25-admission": {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"},
    "30-configuration": {"ConfigMap", "Secret", "PodTemplate", "PersistentVolume", "PersistentVolumeClaim"},
    "40-services": {"Service"},
    "50-workloads": {"Deployment", "StatefulSet", "DaemonSet", "Pod"},
    "60-jobs": {"Job", "CronJob"},
    "70-scaling": {"HorizontalPodAutoscaler", "PodDisruptionBudget"},
    "80-routes": {"Ingress"},
}
"""By folder, the kinds of Kubernetes' own in it; those of custom resources are the parts' to say."""
_OWN: Final = {kind: folder for folder, kinds in _FOLDERS.items() for kind in kinds}
_FOLDER_OF: Final = _OWN | {kind: _OWN[like] for part in PARTS for kind, like in part.custom_kinds.items()}
_OTHERS: Final = "90-others"
_FIRST_KEYS = {key: rank for rank, key in enumerate(("apiVersion", "kind", "metadata", "name", "namespace"))}


@dataclass(frozen=True)
class RenderedObject:
    """One Kubernetes object, ready to be written."""

    object: dict[str, Any]
    registration: Registration
    """What the program asked the engine for."""
    withheld: bool = False
    """Whether values are left out, so that what is in the cluster must not be taken from this file alone."""
    secret: bool = False
    """Whether there are secrets in it."""

    @property
    def kind(self) -> str:
        """The object's kind."""
        return str(self.object["kind"])

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.object["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """The object's namespace; empty if it has none."""
        return str(self.object["metadata"].get("namespace", ""))

    @cached_property
    def path(self) -> str:
        """Where the object's file lies in the folder of all manifests."""
        folder = _FOLDER_OF.get(self.kind, _OTHERS)
        words = [word for word in (self.namespace, self.kind.lower(), self.name) if word]
        # Names of roles may hold a colon.
        return f"{folder}/{re.sub(r'[^A-Za-z0-9._-]', '_', '.'.join(words))}.yaml"


@dataclass
class Manifests:
    """All objects of a stack, in the order of their files."""

    items: list[RenderedObject]
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, registrations: Iterable[Registration], *, with_secrets: bool = False) -> Manifests:
        """Make the manifests of what a program registered; `with_secrets` fills in those that are known.

        Raises `SettingsError` where two resources describe the same object.
        """
        items, warnings = [], []
        for registration in registrations:
            if registration.is_kubernetes_object:
                manifest, warning = _manifest(registration, with_secrets=with_secrets)
                items.append(manifest)
                warnings += warning
        items.sort(key=lambda manifest: manifest.path)
        for one, other in itertools.pairwise(items):
            if one.path == other.path:
                where = f" in namespace {one.namespace}" if one.namespace else ""
                raise SettingsError(f"two resources describe {one.kind} {one.name}{where}: rename one of them")
        return cls(items, sorted(warnings))


@dataclass(frozen=True)
class Written:
    """What writing changed: numbers of files."""

    written: int
    unchanged: int
    removed: int


def _manifest(registration: Registration, *, with_secrets: bool) -> tuple[RenderedObject, list[str]]:
    content = dict(registration.inputs)
    metadata = dict(content.get("metadata") or {})
    metadata.setdefault("name", registration.name)
    content["metadata"] = metadata
    title = f"{content.get('kind')} {metadata.get('namespace', '')}/{metadata['name']}"
    if content.get("kind") != "Secret":
        found: list[str] = []
        content = {key: _without_secrets(value, key, found) for key, value in content.items()}
        warnings = [f"{title}: {path} is a secret, and left out: let it be read from a Secret" for path in found]
        return RenderedObject(content, registration, withheld=bool(found)), warnings

    withheld: list[str] = []
    for section in ("data", "stringData"):
        values = _revealed(content.pop(section, None)) or {}
        known = {key: value for key, value in values.items() if with_secrets and _is_known(value, section)}
        withheld += set(values) - set(known)
        if known:
            content[section] = known
    if withheld:
        keys = ",".join(sorted(withheld))
        content["metadata"] = {**metadata, "annotations": {**metadata.get("annotations", {}), SECRET_KEYS: keys}}
    warnings = (
        [f"{title}: {','.join(sorted(withheld))} not known here: add by hand"] if withheld and with_secrets else []
    )
    secret = "data" in content or "stringData" in content
    content = {key: _revealed(value) for key, value in content.items()}
    return RenderedObject(content, registration, withheld=bool(withheld), secret=secret), warnings


def _revealed(value: Any) -> Any:
    """Return the value with the secrets in it in plain text."""
    if isinstance(value, Secret):
        return _revealed(value.value)
    if isinstance(value, dict):
        return {key: _revealed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_revealed(item) for item in value]
    return value


def _without_secrets(value: Any, path: str, found: list[str]) -> Any:
    """Return the value with `WITHHELD` in the place of each secret, and add their paths to `found`."""
    if isinstance(value, Secret):
        found.append(path)
        return WITHHELD
    if isinstance(value, dict):
        return {key: _without_secrets(item, f"{path}.{key}", found) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item, f"{path}.{index}", found) for index, item in enumerate(value)]
    return value


def _is_known(value: str, section: str) -> bool:
    if section == "data":
        try:
            return WITHHELD.encode() not in base64.b64decode(value)
        except binascii.Error:
            return True
    return WITHHELD not in value


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes text of several lines as a literal block, and never an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, text: str) -> yaml.ScalarNode:
    node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)
    return node


_Dumper.add_representer(str, _text)


def to_yaml(value: Any) -> str:
    """Write plain data as YAML; text of several lines as a literal block."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=1_000_000
    )
    return text


def _ordered(value: Any) -> Any:
    """Sort the keys of every mapping, the conventional first ones first."""
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda key: (_FIRST_KEYS.get(key, len(_FIRST_KEYS)), key))
        return {key: _ordered(value[key]) for key in keys}
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    return value


def write(manifests: Manifests, folder: pathlib.Path) -> Written:
    """Write one file per object, change only what differs, and remove what an earlier run wrote and is gone.

    Files with secrets get the mode 0600. Raises `SettingsError` for a folder that holds something else.
    """
    before = _written_before(folder)
    files = {manifest.path: manifest for manifest in manifests.items}
    index = folder / INDEX
    # First of all, and with the old files in it: a run that is killed half way leaves nothing that no run removes.
    try:
        _write_index(index, {*before, *files})
    except OSError as error:
        raise SettingsError(f"{folder}: cannot be written: {error.strerror}: name another folder with --out") from None
    written = 0
    for path, manifest in files.items():
        written += _write_file(folder / path, to_yaml(_ordered(manifest.object)).encode(), secret=manifest.secret)
    removed = [folder / path for path in before if path not in files]
    for path_removed in removed:
        path_removed.unlink(missing_ok=True)
    for parent in {path_removed.parent for path_removed in removed}:
        if parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()
    _write_index(index, set(files))
    return Written(written, len(files) - written, len(removed))


def check_folder(folder: pathlib.Path) -> None:
    """Raise `SettingsError` if `write` would refuse the folder."""
    _written_before(folder)


def _written_before(folder: pathlib.Path) -> list[str]:
    try:
        lines = (folder / INDEX).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        if folder.is_dir() and any(folder.iterdir()):
            raise SettingsError(
                f"{folder}: is not empty, and not written by this tool: name another folder with --out"
            ) from None
        return []
    except OSError as error:
        raise SettingsError(f"{folder}: cannot be used: {error.strerror}: name another folder with --out") from None
    # Whoever can write the index must not make us remove files elsewhere.
    return [line for line in lines if line and ".." not in line.split("/") and not line.startswith("/")]


def _write_index(index: pathlib.Path, files: set[str]) -> None:
    index.parent.mkdir(parents=True, exist_ok=True)
    _write_file(index, "".join(f"{path}\n" for path in sorted(files)).encode())


def _write_file(path: pathlib.Path, content: bytes, *, secret: bool = False) -> bool:
    """Write a file if its content differs, or others can read it and must not; say whether it was written."""
    try:
        if path.read_bytes() == content and not (secret and path.stat().st_mode & 0o077):
            return False
        path.unlink()  # a mode is given to a new file only
    except FileNotFoundError:
        path.parent.mkdir(exist_ok=True)
    if secret:
        path.touch(mode=0o600)
    path.write_bytes(content)
    return True
