"""One revision of an environment: its objects, and what the engine knows of each."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentstack.preview.published import (
    PreviewReport,
    Registered,
    ResourceEntry,
    Summary,
    engine_fields,
    resources,
    summary,
)
from agentstack.preview.report import Preview
from agentstack.preview.run import compute
from agentstack.rendering.environment import Environment
from manifests.loader import load
from manifests.manifest import object_title

Key = tuple[str, str, str]
"""Kind, namespace (empty if it has none) and name of an object."""


@dataclass(frozen=True, kw_only=True)
class Known:
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
class Object(Known):
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
class Resource(Known):
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
    summary: Summary = field(default_factory=Summary)
    """What its own code says of it; empty as far as that is too old to say it."""
    resources: tuple[Resource, ...] = ()
    """Empty for a revision too old to say it."""

    @property
    def facts(self) -> Mapping[str, str]:
        """What decides where data is, by the path of the setting (`components.platform.guard`)."""
        return self.summary.facts

    @classmethod
    def rendered(cls, environment: Environment, *, revision: str = "working tree") -> Snapshot:
        """Render an environment, as `agentstack preview` does, and return what it is.

        Raises `SettingsError` or `pulumi.RunError` for bad input.
        """
        return cls.of(compute(environment), revision=revision)

    @classmethod
    def of(cls, preview: Preview, *, revision: str) -> Snapshot:
        """Return a preview as a revision."""
        by_urn = {registration.urn: registration for registration in preview.rendered.registrations}
        objects = (
            Object(manifest.object, **_known(Registered(**engine_fields(manifest.registration, by_urn))))
            for manifest in preview.manifests.items
        )
        return cls(
            preview.environment,
            revision,
            {known.key: known for known in objects},
            summary(preview),
            tuple(map(_resource, resources(preview.rendered.registrations))),
        )

    @classmethod
    def read(cls, text: str, folder: pathlib.Path, *, revision: str) -> Snapshot:
        """Read what `agentstack preview --json --out FOLDER` left behind, of this version or an older one.

        Raises `ValueError` or `OSError` where it is of a form that is not known.
        """
        report = PreviewReport.model_validate_json(text)
        objects = (
            Object(load((folder / entry.file).read_text(encoding="utf-8")), **_known(entry)) for entry in report.objects
        )
        return cls(
            report.environment,
            revision,
            {known.key: known for known in objects},
            report,
            tuple(map(_resource, report.resources)),
        )


def _resource(entry: ResourceEntry) -> Resource:
    return Resource(entry.type, entry.name, entry.inputs, **_known(entry))


def _known(entry: Registered) -> dict[str, Any]:
    """Return what the engine knows of a resource, as far as the revision says it."""
    return {name: getattr(entry, name) for name in Registered.model_fields if name != "within"} | {
        "within": tuple((component.type, component.name) for component in entry.within)
    }
