"""What of a revision holds data, and what becomes of it.

What becomes of a StatefulSet's claims:
https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#persistentvolumeclaim-retention
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from agentstack.compare.snapshot import Object, Snapshot
from manifests.fields import get, mapping, objects, strings, text
from manifests.stack import Stack

from .provider import group


class Data:
    """The objects of one revision, and what of them holds data."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @cached_property
    def _stack(self) -> Stack:
        return Stack(known.manifest for known in self._snapshot.objects.values())

    def is_held_by(self, known: Object) -> bool:
        """Whether it is a claim or what uses one, a namespace with some, or the way to their pods.

        A StatefulSet whose claims go when it is scaled down (`whenScaled: Delete`) holds what can be had again.
        """
        manifest = known.manifest
        match known.key[0]:
            case "PersistentVolumeClaim" | "PersistentVolume" | "CustomResourceDefinition":
                return True
            case "StatefulSet" if objects(manifest, "spec", "volumeClaimTemplates"):
                return text(manifest, "spec", "persistentVolumeClaimRetentionPolicy", "whenScaled") != "Delete"
            case "Namespace":
                inside = (other for other in self._snapshot.objects.values() if other.key[1] == known.key[2])
                return any(self.is_held_by(other) for other in inside)
            case "Service" | "PodDisruptionBudget":
                return any(self.is_held_by(Object(pods)) for pods in self.selected(known))
            case "VolumeSnapshot" | "VolumeSnapshotContent":
                return True
            case _ if _asks_for_storage(known):
                return True
            case _:
                volumes = objects(manifest, "spec", "template", "spec", "volumes")
                return any("persistentVolumeClaim" in volume for volume in volumes)

    def selected(self, known: Object) -> list[Mapping[str, Any]]:
        """Return the workloads that a Service or a budget selects."""
        selector = mapping(known.manifest, "spec", "selector")
        if known.key[0] == "Service":
            selector = {"matchLabels": selector} if selector else {}
        return list(self._stack.selected(known.key[1], selector)) if selector else []


def claims_go(known: Object, policy: str = "whenDeleted") -> bool:
    """Whether a StatefulSet's claims are deleted with it; Kubernetes keeps them by default."""
    policies = mapping(known.manifest, "spec", "persistentVolumeClaimRetentionPolicy")
    return known.key[0] == "StatefulSet" and get(policies, policy) == "Delete"


def is_custom(known: Object) -> bool:
    """Whether a controller of somebody else's decides what becomes of it, as of a database that an operator runs."""
    api, _ = group(known)
    return "." in api and (not api.endswith(".k8s.io") or api.startswith("snapshot."))


def _asks_for_storage(known: Object) -> bool:
    """Whether a custom resource asks for storage."""

    def asks(value: Any) -> bool:
        if isinstance(value, Mapping):
            return any(re.search("storage|volume|persisten", str(key), re.I) or asks(value[key]) for key in value)
        return isinstance(value, list) and any(map(asks, value))

    return is_custom(known) and asks(known.manifest.get("spec"))


def keeps_namespaces(known: Object, snapshot: Snapshot) -> bool:
    """Whether an admission policy, or the one that a binding names, refuses to delete namespaces."""
    if known.key[0] == "ValidatingAdmissionPolicyBinding":
        name = text(known.manifest, "spec", "policyName")
        policy = snapshot.objects.get(("ValidatingAdmissionPolicy", "", name))
        return policy is not None and keeps_namespaces(policy, snapshot)
    rules = objects(known.manifest, "spec", "matchConstraints", "resourceRules")
    return any("DELETE" in strings(rule, "operations") and "namespaces" in strings(rule, "resources") for rule in rules)
