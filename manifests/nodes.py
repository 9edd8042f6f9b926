"""The kind of nodes that a pod can run on, read from its template alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .fields import get, mapping, objects, strings, text
from .labels import POOL
from .manifest import Manifest

_ARCHITECTURE = "kubernetes.io/arch"
_ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True)
class Where:
    """The kind of nodes that a pod can run on; the default is any."""

    pool: str | None = None
    """The pool by its name in the settings."""
    architecture: str | None = None
    zones: tuple[str, ...] = ()
    devices: tuple[tuple[str, int], ...] = ()
    """Extended resources, such as GPUs, with the number that each pod takes."""

    def __str__(self) -> str:
        zones = f"zone {' or '.join(self.zones)}" if self.zones else None
        devices = (f"{number} {resource}" for resource, number in self.devices)
        words = [word for word in (self.pool, self.architecture, zones, *devices) if word]
        return ", ".join(words) or "any node"

    @classmethod
    def of(cls, template: Manifest, devices: Mapping[str, int]) -> Where:
        """Read a pod template: its label for the pool, and its required affinity. `devices` are what each pod takes.

        Raises `UnknownValueError` where one of them is unknown.
        """
        selector = mapping(template, "spec", "nodeSelector")
        required: dict[str, tuple[str, ...]] = {key: (text(selector, key),) for key in selector} | dict(
            _required(mapping(template, "spec", "affinity"))
        )
        return cls(
            pool=text(template, "metadata", "labels", POOL) or None,
            architecture=next(iter(required.get(_ARCHITECTURE, ())), None),
            zones=tuple(required.get(_ZONE, ())),
            devices=tuple(sorted(devices.items())),
        )


def _required(affinity: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    required = mapping(affinity, "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    for term in objects(required, "nodeSelectorTerms"):
        for item in objects(term, "matchExpressions"):
            if get(item, "operator") == "In":
                yield text(item, "key"), tuple(strings(item, "values"))
