"""One revision of an environment: its objects, and what the engine knows of each."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from manifests.loader import load
from manifests.manifest import object_title

if TYPE_CHECKING:
    from agentstack.rendering.environment import Environment


Key = tuple[str, str, str]
"""Kind, namespace (empty if it has none) and name of an object."""


@dataclass(frozen=True, kw_only=True)
class Registered:
    """What the engine knows of a resource; empty as far as a revision is too old to say it."""

    urn: str = ""
    """Its name in the engine's state."""
    within: tuple[tuple[str, str], ...] = ()
    """The components that it belongs to, type token and name, the outermost first."""
    protected: bool = False
    retained: bool = False
    """Whether the object stays in the cluster when the engine deletes the resource."""
    deleted_first: bool = False
    """Whether a replacement deletes the old object before it makes the new one."""
    aliases: tuple[str, ...] = ()
    """URNs that it may have had before."""
    ignored: tuple[str, ...] = ()
    """Paths of inputs whose changes the engine passes over."""
    replaced: tuple[str, ...] = ()
    """Paths of inputs whose changes make the engine replace the object, beside those of its provider."""
    provider: str | None = None
    """The URN of the engine's provider, empty for the default one; None for a revision too old to say it."""


@dataclass(frozen=True)
class Object(Registered):
    """One Kubernetes object of a revision."""

    manifest: Mapping[str, Any]
    """Plain data; `<withheld>` or nothing stands for a secret."""

    @property
    def key(self) -> Key:
        """Its identity in the cluster."""
        metadata = self.manifest["metadata"]
        return self.manifest["kind"], metadata.get("namespace", ""), metadata["name"]

    @property
    def title(self) -> str:
        """Its identity as people write it: `StatefulSet/data/redis`, or `Namespace/data`."""
        return object_title(*self.key)

    @property
    def agent(self) -> str | None:
        """The agent that it belongs to, if any."""
        return next((name for kind, name in self.within if kind == "agentstack:agents:Agent"), None)


@dataclass(frozen=True)
class Resource(Registered):
    """What the engine keeps that is no Kubernetes object: a random value, or a provider."""

    type: str
    name: str
    inputs: Mapping[str, Any]
    """None stands for a secret."""

    @property
    def title(self) -> str:
        """Its identity as people write it: `RandomPassword/redis-operator`."""
        return f"{self.type.rpartition(':')[2]}/{self.name}"


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
    resources: tuple[Resource, ...] = ()
    """Empty for a revision too old to say it."""

    @classmethod
    def rendered(cls, environment: Environment, folder: pathlib.Path, *, revision: str = "working tree") -> Snapshot:
        """Render an environment into `folder`, as `agentstack preview` does, and return what it is.

        Raises `SettingsError` or `pulumi.RunError` for bad input.
        """
        from agentstack.preview.report import as_json
        from agentstack.preview.run import run

        return cls.read(as_json(run(environment, folder, command=())), folder, revision=revision)

    @classmethod
    def read(cls, text: str, folder: pathlib.Path, *, revision: str) -> Snapshot:
        """Read what `agentstack preview --json --out FOLDER` left behind, of this version or an older one."""
        report = json.loads(text)
        objects = {}
        for entry in report["objects"]:
            manifest = load((folder / entry["file"]).read_text(encoding="utf-8"))
            known = Object(manifest, **_engine(entry))
            objects[known.key] = known
        resources = tuple(
            Resource(entry["type"], entry["name"], entry["inputs"], **_engine(entry))
            for entry in report.get("resources", ())
        )
        return cls(report["environment"], revision, objects, report.get("facts", {}), report, resources)


def _engine(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the engine knows of a resource, as far as the revision says it."""
    return {
        "urn": entry.get("urn", ""),
        "within": tuple((item["type"], item["name"]) for item in entry.get("within", ())),
        "protected": entry.get("protected", False),
        "retained": entry.get("retained", False),
        "deleted_first": entry.get("deletedFirst", False),
        "aliases": tuple(entry.get("aliases", ())),
        "ignored": tuple(entry.get("ignored", ())),
        "replaced": tuple(entry.get("replaced", ())),
        "provider": entry.get("provider"),
    }
