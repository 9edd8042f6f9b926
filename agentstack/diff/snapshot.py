"""One revision of an environment: its objects, and what the engine knows of each."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Key = tuple[str, str, str]
"""Kind, namespace (empty if it has none) and name of an object."""


@dataclass(frozen=True)
class Object:
    """One Kubernetes object of a revision."""

    manifest: Mapping[str, Any]
    """Plain data; `<withheld>` or nothing stands for a secret."""
    urn: str = ""
    """Its name in the engine's state; this and everything below is empty for a revision too old to say it."""
    within: tuple[tuple[str, str], ...] = ()
    """The components that it belongs to, type token and name, the outermost first."""
    protected: bool = False
    retained: bool = False
    """Whether the object stays in the cluster when the engine deletes the resource."""
    deleted_first: bool = False
    """Whether a replacement deletes the old object before it makes the new one."""
    aliases: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    """Paths of inputs whose changes the engine passes over."""

    @property
    def key(self) -> Key:
        """Its identity in the cluster."""
        metadata = self.manifest["metadata"]
        return self.manifest["kind"], metadata.get("namespace", ""), metadata["name"]

    @property
    def title(self) -> str:
        """Its identity as people write it: `StatefulSet/data/redis`, or `Namespace/data`."""
        return "/".join(word for word in self.key if word)

    @property
    def agent(self) -> str | None:
        """The agent that it belongs to, if any."""
        return next((name for kind, name in self.within if kind == "agentstack:agents:Agent"), None)


@dataclass(frozen=True)
class Snapshot:
    """One revision of an environment."""

    environment: str
    revision: str
    """How people call it: a commit, or `working tree`."""
    objects: Mapping[Key, Object]
    facts: Mapping[str, str]
    """What decides where data is, by the path of the setting (`components.platform.guard`)."""
    report: Mapping[str, Any]
    """What `agentstack preview --json` says of it."""

    @classmethod
    def read(cls, text: str, folder: pathlib.Path, *, revision: str) -> Snapshot:
        """Read what `agentstack preview --json --out FOLDER` left behind, of this version or an older one."""
        report = json.loads(text)
        objects = {}
        for entry in report["objects"]:
            known = Object(
                yaml.load((folder / entry["file"]).read_text(encoding="utf-8"), _Loader),
                urn=entry.get("urn", ""),
                within=tuple((item["type"], item["name"]) for item in entry.get("within", ())),
                protected=entry.get("protected", False),
                retained=entry.get("retained", False),
                deleted_first=entry.get("deletedFirst", False),
                aliases=tuple(entry.get("aliases", ())),
                ignored=tuple(entry.get("ignored", ())),
            )
            objects[known.key] = known
        return cls(report["environment"], revision, objects, report.get("facts", {}), report)
