"""What runs on which kind of nodes, read from the objects alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from components.labels import POOL

if TYPE_CHECKING:
    from .capacity import Workload

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
    def of(cls, template: Mapping[str, Any]) -> Where:
        """Read a pod template: its label for the pool, its required affinity, and what its containers ask for."""
        spec = template["spec"]
        selector = spec.get("nodeSelector", {})
        required = {key: (value,) for key, value in selector.items()} | dict(_required(spec.get("affinity", {})))
        devices: dict[str, int] = {}
        for container in spec.get("containers", []):
            for resource, amount in container.get("resources", {}).get("limits", {}).items():
                if "/" in resource:
                    devices[resource] = devices.get(resource, 0) + int(amount)
        return cls(
            pool=template.get("metadata", {}).get("labels", {}).get(POOL),
            architecture=next(iter(required.get(_ARCHITECTURE, ())), None),
            zones=tuple(required.get(_ZONE, ())),
            devices=tuple(sorted(devices.items())),
        )


def _required(affinity: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    required = affinity.get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", {})
    for term in required.get("nodeSelectorTerms", []):
        for item in term.get("matchExpressions", []):
            if item["operator"] == "In":
                yield item["key"], tuple(item["values"])


@dataclass
class Place:
    """A kind of nodes, and everything that runs there."""

    where: Where
    workloads: list[Workload] = field(default_factory=list)

    def pods(self) -> tuple[int, int]:
        """Return the number of pods, at least and at most; those of Jobs as well."""
        return sum(w.minimum for w in self.workloads), sum(w.maximum for w in self.workloads)

    def asked(self, resource: str) -> tuple[Decimal, Decimal]:
        """Return what all of its pods ask for of `resource` at least and at most."""
        zero = Decimal(0)
        amounts = [(w, w.pod.get(resource, zero)) for w in self.workloads]
        return sum((w.minimum * each for w, each in amounts), zero), sum(
            (w.maximum * each for w, each in amounts), zero
        )


def places(workloads: Iterable[Workload]) -> list[Place]:
    """Return the kinds of nodes that the workloads ask for, those without any wish last."""
    found: dict[Where, Place] = {}
    for workload in workloads:
        found.setdefault(workload.where, Place(workload.where)).workloads.append(workload)
    return sorted(found.values(), key=lambda place: (place.where == Where(), str(place.where)))
