"""What pods read from ConfigMaps and Secrets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .fields import Placed, get, mapping, placed, text
from .labels import SECRET_KEYS
from .manifest import Manifest
from .workloads import containers, kind_of, pod_spec, where


@dataclass(frozen=True)
class Reference:
    """What a pod reads from a ConfigMap or Secret; no key means all of it."""

    kind: str
    name: str
    key: str
    where: str
    path: str = dataclasses.field(compare=False)
    """The place in the workload of what names it."""
    volume: str = ""
    """The name of the volume that shows it as files; empty for a variable."""
    optional: bool = False
    """Whether the pod starts without it."""


def reads(workload: Manifest) -> Iterator[Reference]:
    """What the pods of `workload` read from ConfigMaps and Secrets."""
    for container in containers(workload):
        for variable in placed(container, "env"):
            place = f"{where(container)}: the variable {text(variable, 'name')}"
            for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
                if source := mapping(variable, "valueFrom", field):
                    key, path = text(source, "key"), variable.at("valueFrom", field)
                    yield Reference(kind, text(source, "name"), key, place, path, optional=_is_optional(source))
        for entry in placed(container, "envFrom"):
            for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
                if source := mapping(entry, field):
                    place = f"{where(container)}: envFrom"
                    path = entry.at(field)
                    yield Reference(kind, text(source, "name"), "", place, path, optional=_is_optional(source))
    for volume in placed(pod_spec(workload), "volumes"):
        yield from _of_volume(volume)


def _of_volume(volume: Placed) -> Iterator[Reference]:
    name = text(volume, "name")
    for part in (volume, *placed(volume, "projected", "sources")):
        for kind, field, key_of_name in (
            ("ConfigMap", "configMap", "name"),
            ("Secret", "secret", "name" if part is not volume else "secretName"),
        ):
            if source := mapping(part, field):
                optional = _is_optional(source)
                keys = [(text(item, "key"), item.path) for item in placed(part, field, "items")]
                for key, path in keys or [("", part.at(field))]:
                    named = text(source, key_of_name)
                    yield Reference(kind, named, key, f'the volume "{name}"', path, name, optional)


def _is_optional(source: Manifest) -> bool:
    return get(source, "optional") is True


def references(workload: Manifest) -> Iterator[Reference]:
    """What the pods of `workload` read from ConfigMaps and Secrets and cannot start without."""
    return (reference for reference in reads(workload) if not reference.optional)


def keys_of(manifest: Manifest) -> frozenset[str] | None:
    """The keys of a ConfigMap or Secret, or None where they are not known before deployment."""
    sections = [manifest.get(section) for section in ("data", "binaryData", "stringData")]
    if all(section is None for section in sections):
        written = text(manifest, "metadata", "annotations", SECRET_KEYS)
        if written or kind_of(manifest) == "Secret":
            return frozenset(written.split(",")) if written else None
    if any(section is not None and not isinstance(section, Mapping) for section in sections):
        return None
    return frozenset(key for section in sections if isinstance(section, Mapping) for key in section)
