"""What runs on which kind of nodes, read from the objects alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from manifests.capacity import Workload
from manifests.nodes import Where


@dataclass
class NodeGroup:
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


def places(workloads: Iterable[Workload]) -> list[NodeGroup]:
    """Return the kinds of nodes that the workloads ask for, those without any wish last."""
    found: dict[Where, NodeGroup] = {}
    for workload in workloads:
        found.setdefault(workload.where, NodeGroup(workload.where)).workloads.append(workload)
    return sorted(found.values(), key=lambda place: (place.where == Where(), str(place.where)))
