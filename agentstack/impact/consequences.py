"""What becomes of one object that the engine replaces, deletes, or takes for another one.

- that the provider does not take over an object that exists under another URN: `Creation`,
  https://github.com/pulumi/pulumi-kubernetes/blob/v4.34.2/provider/pkg/await/await.go
- what `protect` and `retainOnDelete` keep the engine from:
  https://github.com/pulumi/pulumi/blob/v3.259.0/pkg/resource/deploy/step_generator.go and step.go
"""

from __future__ import annotations

from typing import Final

from agentstack.compare.model import FieldChange
from agentstack.compare.snapshot import Object, Snapshot
from manifests.fields import get, mapping, objects, text
from manifests.labels import TRACK

from .data import Data, claims_go, is_custom, keeps_namespaces
from .model import DestructiveChange, Severity

PROTECT_DATA: Final = "platform.safeguards.protectData"


def unprotected_by_setting(before: Snapshot, after: Snapshot) -> bool:
    """Whether the setting that protects data is turned off, of which all that is unprotected then follows."""
    return (before.facts.get(PROTECT_DATA), after.facts.get(PROTECT_DATA)) == ("on", "off")


_KEEP: Final = "keep the field as it is, or make another one beside it and move over"
_CONTROLLED: Final = "its controller deletes what it made for it, volumes perhaps included"


class Consequences:
    """What becomes of the objects of one revision in the next."""

    def __init__(self, before: Snapshot, after: Snapshot) -> None:
        self._before = before
        self._after = after
        self._data = Data(before)

    def replaced(self, old: Object, new: Object, what: tuple[FieldChange, ...]) -> DestructiveChange:
        """The engine deletes `old` and makes `new`; the same name and namespace are free only once `old` is gone."""
        same = old.key == new.key
        first = same or new.deleted_first
        severity, consequence, way, section = self._replacement(old, new, first=first)
        refused = old.protected and new.protected
        if refused:
            consequence = (
                f"the engine refuses to replace what is protected, and changes nothing; without that: {consequence}"
            )
        elif old.retained and same:
            severity, consequence = (
                "refused" if severity == "harmless" else severity,
                "`up` fails: the engine leaves the old one in the cluster (`retainOnDelete`), and the "
                "new one has the same name (`already exists`)",
            )
        elif old.retained:
            consequence = f"the old one stays in the cluster, out of the engine's state; {consequence}"
        interrupts = severity == "downtime" and self._data.is_held_by(old)
        if old.key[0] == "Service":  # of pods that go themselves, they say it
            interrupts = interrupts and self._pods_stay(old)
        needs = refused or severity == "data lost" or interrupts
        return DestructiveChange(old.title, severity, what, consequence, way, section, needs_approval=needs)

    def _replacement(self, old: Object, new: Object, *, first: bool) -> tuple[Severity, str, str, str]:
        """Return severity, consequence, way and section of a replacement."""
        same, data = old.key == new.key, self._data.is_held_by(old)
        gap: Severity = "downtime" if first else "harmless"
        order = "deleted, and then recreated" if first else "recreated under the new name, and then deleted"
        match old.key[0]:
            case "StatefulSet":
                return self._stateful_set(old, new, gap, order)
            case "PersistentVolumeClaim":
                return (
                    "data lost",
                    f"{order}, empty: what is on it goes, unless its volume's reclaim policy is Retain",
                    _KEEP,
                    "smaller-volumes-another-class",
                )
            case "PersistentVolume":
                return "data lost", f"{order}: claims that are bound to it lose it", _KEEP, ""
            case "CustomResourceDefinition":
                return "data lost", f"{order}: all objects of its kind go with the old one", _KEEP, ""
            case "Namespace":
                inside = sum(other.key[1] == old.key[2] for other in self._before.objects.values())
                claims = ", claims included" if data else ""
                text_ = f"{order}: all that is in it goes with it ({inside} objects{claims})"
                return "data lost" if data else "downtime", text_, _KEEP, "a-new-stack"
            case "Service":
                if same:
                    return "downtime", f"{order}, with another address: connections fail for a moment", _KEEP, ""
                return "downtime", f"{order}: its old name leads nowhere", _KEEP, ""
            case "Deployment" | "DaemonSet" | "Pod":
                wait = ": no pod runs until the new ones are ready" if first else " once the new pods are ready"
                return gap, f"{order}{wait}", _KEEP if first else "", ""
            case "Job":
                return "harmless", "it runs again", "", ""
            case "ConfigMap" | "Secret" if first:
                return "harmless", f"{order}: pods that start meanwhile wait for it", "", ""
            case "RoleBinding" | "ClusterRoleBinding" if first:
                return "harmless", f"{order}: its rights are missing for a moment", "", ""
            case _ if self._data.is_held_by(old) and is_custom(old):
                return "data lost", f"{order}: {_CONTROLLED}", _KEEP, ""
            case _:
                return "harmless", order, "", ""

    def _stateful_set(self, old: Object, new: Object, gap: Severity, order: str) -> tuple[Severity, str, str, str]:
        """Return severity, consequence, way and section of the replacement of a StatefulSet."""
        names = [
            [text(template, "metadata", "name") for template in objects(side.manifest, "spec", "volumeClaimTemplates")]
            for side in (old, new)
        ]
        if not names[0]:
            return gap, f"{order}, with all its pods", _KEEP, ""
        if not self._data.is_held_by(old):
            return gap, f"{order}, with all its pods; what is on its claims can be had again", _KEEP, ""
        if claims_go(old):
            claims = "its claims are deleted with it (`whenDeleted: Delete`)"
            return "data lost", f"{order}, with all its pods; {claims}", _KEEP, "smaller-volumes-another-class"
        if old.key == new.key and set(names[0]) <= set(names[1]):
            return (
                "downtime",
                "deleted with all its pods, and then recreated: none runs meanwhile; the claims stay as they "
                "are, and the new pods find them by name",
                "orphan its pods: `kubectl delete statefulset --cascade=orphan`",
                "smaller-volumes-another-class",
            )
        claims = "the new pods get new, empty claims; the old ones stay, and nothing uses them"
        return "data lost", f"{order}, with all its pods; {claims}", _KEEP, "a-new-stack"

    def moved(self, old: Object, new: Object) -> DestructiveChange:
        """Another resource describes the same object: to the engine a new one, made before the old is deleted."""
        data = self._data.is_held_by(old)
        if old.protected:
            consequence = "the engine refuses to delete what is protected, and changes nothing"
        elif old.retained:
            consequence = (
                "`up` fails: to the engine it is a new object, and the cluster has it already (`already exists`)"
            )
        else:
            consequence = (
                "`up` fails: to the engine it is a new object, and the cluster has it already (`already exists`). With "
                "PULUMI_K8S_UPSERT_EXISTING_OBJECTS=true the engine takes it over, and then deletes it as the old one"
            )
        return DestructiveChange(
            old.title,
            "data lost" if data or old.protected else "refused",
            (FieldChange("urn", old.urn, new.urn),),
            consequence,
            "give the resource an alias of its old name, type or parent",
            needs_approval=data or old.protected,
        )

    def removed(self, old: Object) -> DestructiveChange | None:
        """The engine deletes it, last of all; None for what nobody misses by itself."""
        found = self._deletion(old)
        if found is None and old.protected:
            found = "downtime", "it is deleted", ""
        if found is None:
            return None
        severity, consequence, section = found
        needs = old.protected or severity in ("data lost", "protection lost")
        needs = needs or (severity == "downtime" and self._data.is_held_by(old))
        if old.protected:
            consequence = f"the engine refuses to delete what is protected, so `up` fails; without that: {consequence}"
        elif old.retained:
            severity, needs = "harmless", False
            consequence = "it stays in the cluster (`retainOnDelete`), out of the engine's state"
        way = "keep it declared; or delete it deliberately" if needs else ""
        return DestructiveChange(
            old.title, severity, (), consequence, way, section if needs else "", needs_approval=needs
        )

    def _deletion(self, old: Object) -> tuple[Severity, str, str] | None:
        deliberately = "deleting-deliberately"
        match old.key[0]:
            case "StatefulSet":
                if not objects(old.manifest, "spec", "volumeClaimTemplates") or not self._data.is_held_by(old):
                    return "downtime", "its pods end", ""
                if claims_go(old):
                    return "data lost", "its pods end, and its claims go with it (`whenDeleted: Delete`)", deliberately
                return "downtime", "its pods end; its claims stay, and nothing uses them", deliberately
            case "PersistentVolumeClaim":
                return "data lost", "what is on it goes, unless its volume's reclaim policy is Retain", deliberately
            case "PersistentVolume":
                return "data lost", "claims that are bound to it lose it", deliberately
            case "CustomResourceDefinition":
                return "data lost", "all objects of its kind go with it", deliberately
            case "Namespace":
                claims = ", claims included" if self._data.is_held_by(old) else ""
                severity: Severity = "data lost" if claims else "downtime"
                return severity, f"all that is in it goes with it{claims}", deliberately
            case "Deployment" | "DaemonSet" | "PodTemplate":
                labels = mapping(old.manifest, "spec", "template", "metadata", "labels")
                if get(labels, TRACK) in ("canary", "green"):
                    return "harmless", "the release is over: the candidate's pods end", ""
                return "downtime", "its pods end", ""
            case "Service" | "PodDisruptionBudget" if self._data.is_held_by(old) and self._pods_stay(old):
                if old.key[0] == "Service":
                    return "downtime", "its name leads nowhere, and its pods stay", ""
                return "protection lost", "drains of nodes may end all of its pods at once", ""
            case "ValidatingAdmissionPolicy" | "ValidatingAdmissionPolicyBinding" if keeps_namespaces(
                old, self._before
            ):
                if not unprotected_by_setting(self._before, self._after):
                    return "protection lost", "`kubectl delete namespace` deletes namespaces with volumes", ""
                return None
            case _ if self._data.is_held_by(old) and is_custom(old):
                return "data lost", _CONTROLLED, deliberately
            case _:
                return None

    def _pods_stay(self, old: Object) -> bool:
        kept = {(known.key[1], known.key[0], known.key[2]) for known in self._after.objects.values()}
        return any(
            (old.key[1], text(pods, "kind"), text(pods, "metadata", "name")) in kept
            for pods in self._data.selected(old)
        )
