"""What the engine, its Kubernetes provider and the API server make of each object: replaced, deleted, refused, kept.

- which fields make the provider replace an object, and when it deletes the old one first: `forceNewProperties`,
  https://github.com/pulumi/pulumi-kubernetes/blob/v4.34.2/provider/pkg/provider/diff.go
- that it does not take over an object that exists under another URN: `Creation`,
  https://github.com/pulumi/pulumi-kubernetes/blob/v4.34.2/provider/pkg/await/await.go
- what `protect` and `retainOnDelete` keep it from:
  https://github.com/pulumi/pulumi/blob/v3.259.0/pkg/resource/deploy/step_generator.go and step.go
- what becomes of a StatefulSet's claims:
  https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#persistentvolumeclaim-retention

What a revision is too old to say is not judged.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from agentstack.compare.changes import ABSENT, Change, FieldChange, fields, is_at
from agentstack.compare.snapshot import Object, Resource, Snapshot
from components.platform.guard import destructive_changes
from manifests.fields import get, mapping, objects, strings, text
from manifests.labels import TRACK
from manifests.quantities import quantity
from manifests.stack import Stack

from .model import Loss, Severity

PROTECT_DATA: Final = "platform.safeguards.protectData"


def unprotected_by_setting(before: Snapshot, after: Snapshot) -> bool:
    """Whether the setting that protects data is turned off, of which all that is unprotected then follows."""
    return (before.facts.get(PROTECT_DATA), after.facts.get(PROTECT_DATA)) == ("on", "off")


# https://github.com/pulumi/pulumi-kubernetes/blob/v4.34.2/provider/pkg/provider/diff.go
_VOLUMES: Final = (
    "awsElasticBlockStore azureDisk azureFile cephfs cinder csi fc flexVolume flocker gcePersistentDisk glusterfs "
    "hostPath iscsi local nfs photonPersistentDisk portworxVolume quobyte rbd scaleIO storageos vsphereVolume"
)
_FORCE_NEW: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("apps", "DaemonSet"): ("spec.selector",),
    ("apps", "Deployment"): ("spec.selector",),
    ("apps", "StatefulSet"): (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    ("batch", "Job"): ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    ("", "PersistentVolume"): tuple(f"spec.{source}" for source in _VOLUMES.split()),
    ("", "PersistentVolumeClaim"): (
        "spec.accessModes",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeName",
    ),
    ("", "ResourceQuota"): ("spec.scopes",),
    ("", "Secret"): ("type",),
    ("", "Service"): ("spec.clusterIP",),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io", "RoleBinding"): ("roleRef",),
    ("storage.k8s.io", "StorageClass"): ("parameters", "provisioner"),
}
_IDENTITY: Final = ("metadata.name", "metadata.namespace")
_CONTENT: Final = ("binaryData", "data", "stringData")
# What the API server does not change, and the provider does not know of.
_IMMUTABLE: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("", "PersistentVolumeClaim"): ("spec.dataSource", "spec.dataSourceRef", "spec.volumeMode"),
    ("storage.k8s.io", "StorageClass"): ("reclaimPolicy", "volumeBindingMode"),
}
# Of these settings the guard says it, by the path below the component's name.
_COUNTED: Final = ("brokers", "controllers", "mode", "replicasPerShard", "shards")
DESTINATION: Final = ("cluster", "context", "kubeconfig")
"""By which inputs a provider finds its cluster."""


def _group(known: Object) -> tuple[str, str]:
    return text(known.manifest, "apiVersion").rpartition("/")[0], text(known.manifest, "kind")


def _covers(root: str, path: str) -> bool:
    """Whether an option's property path covers a field; the positions and wildcards in it cover whatever there is."""
    root = re.split(r"\[[\d*]|\*", root)[0].rstrip(".")
    return not root or is_at(path, root)


def pairs(before: Snapshot, after: Snapshot) -> Iterator[tuple[Object, Object | None]]:
    """Yield each object of `before` with what the engine takes for the same resource in `after`."""
    by_urn = {known.urn: known for known in after.objects.values() if known.urn}
    by_alias = {alias: known for known in after.objects.values() for alias in known.aliases}
    for key, old in before.objects.items():
        if old.urn and by_urn:
            yield old, by_urn.get(old.urn) or by_alias.get(old.urn)
        else:
            yield old, after.objects.get(key)


def of_objects(before: Snapshot, after: Snapshot) -> Iterator[Loss]:
    """Yield what becomes of Kubernetes objects, without approvals."""
    judge = _Judge(before, after)
    folded = unprotected_by_setting(before, after)
    told = {change.path for change in destructive_changes(before.facts, after.facts)}
    for old, new in pairs(before, after):
        if new is None:
            loss = judge.moved(old, after.objects[old.key]) if old.key in after.objects else judge.removed(old)
            yield from [loss] if loss else []
            continue
        changed = list(fields(old.manifest, new.manifest))
        forced = [change for change in changed if judge.is_forced(change.path, new)]
        if judge.leaves_cluster(old, new):
            forced.append(FieldChange("provider", old.provider or "the default", new.provider or "the default"))
        if forced or old.key[0] != new.key[0]:
            yield judge.replaced(old, new, tuple(forced) or (FieldChange("kind", old.key[0], new.key[0]),))
        elif (refused := _refused(old, new, changed)) is not None:
            yield refused
        elif judge.holds_data(old):
            yield from _emptied(old, new, told)
        lifted = tuple(lifts(old, new))
        if lifted and not folded:
            yield unprotected(old.title, lifted)


def lifts(old: Object | Resource, new: Object | Resource) -> Iterator[FieldChange]:
    """Yield what held on to the object, and does no more."""
    if old.protected and not new.protected:
        yield FieldChange("protect", True, False)
    if old.retained and not new.retained:
        yield FieldChange("retainOnDelete", True, False)
    if isinstance(old, Object) and isinstance(new, Object):
        for policy in ("whenDeleted", "whenScaled"):
            if not _claims_go(old, policy) and _claims_go(new, policy):
                yield FieldChange(f"spec.persistentVolumeClaimRetentionPolicy.{policy}", "Retain", "Delete")
        policies = [text(side.manifest, "spec", "persistentVolumeReclaimPolicy") for side in (old, new)]
        if old.key[0] == "PersistentVolume" and policies[0] == "Retain" != policies[1]:
            yield FieldChange("spec.persistentVolumeReclaimPolicy", policies[0], policies[1])


def unprotected(resource: str, what: tuple[FieldChange, ...]) -> Loss:
    """Return the loss of what held on to a resource."""
    return Loss(
        resource,
        "protection lost",
        what,
        "nothing is deleted by this change; from then on the engine deletes it, claims included, where a later one "
        "removes or replaces it",
        "leave the protection on but to delete it",
        "deleting-deliberately",
        needs_approval=True,
    )


def _refused(old: Object, new: Object, changed: Iterable[FieldChange]) -> Loss | None:
    """Return what the API server refuses, so that the update stops where it is."""
    immutable = _IMMUTABLE.get(_group(new), ())
    what = [change for change in changed if is_at(change.path, *immutable)]
    if old.key[0] in ("ConfigMap", "Secret"):
        what += [change for change in changed if change.path == "immutable" and change.before is True]
    section = ""
    if old.key[0] == "PersistentVolumeClaim":
        what += [change for change in changed if _shrinks(change)]
        section = "smaller-volumes-another-class"
    if not what:
        return None
    return Loss(
        old.title,
        "refused",
        tuple(what),
        "the API server refuses it, so `up` fails there; nothing is lost",
        "make another one beside it, and copy what is in it" if section else "give it another name",
        section,
    )


def _shrinks(change: FieldChange) -> bool:
    if change.path != "spec.resources.requests.storage" or ABSENT in (change.before, change.after):
        return False
    return quantity(change.after) < quantity(change.before)


def _claims_go(known: Object, policy: str = "whenDeleted") -> bool:
    """Whether a StatefulSet's claims are deleted with it; Kubernetes keeps them by default."""
    policies = mapping(known.manifest, "spec", "persistentVolumeClaimRetentionPolicy")
    return known.key[0] == "StatefulSet" and get(policies, policy) == "Delete"


def _replicas(known: Object) -> int:
    number = get(known.manifest, "spec", "replicas")
    return number if isinstance(number, int) else 1


def _emptied(old: Object, new: Object, told: Collection[str]) -> Iterator[Loss]:
    """What pods with data no longer have; `told` are the paths of the settings that say so themselves."""
    before, after = _replicas(old), _replicas(new)
    said = any(f"{part}.{setting}" in told for _, part in new.within for setting in _COUNTED)
    if old.key[0] == "StatefulSet" and after < before and not said and not is_at("spec.replicas", *new.ignored):
        claims = "; their claims stay, and nothing uses them"
        if _claims_go(new, "whenScaled"):
            claims = ", and their claims are deleted (`whenScaled: Delete`)"
        yield Loss(
            old.title,
            "data lost",
            (FieldChange("spec.replicas", before, after),),
            f"its pods with the highest numbers end, whatever they hold{claims}",
            "move away what is on them first",
            needs_approval=True,
        )
    lost = () if is_at("spec.template", *new.ignored) else tuple(_unmounted(_mounted(old), _mounted(new)))
    if lost:
        yield Loss(
            old.title,
            "data lost",
            lost,
            "its pods start without what is on the claim, which stays",
            "mount the same claim at the same path; to move it, copy what is on it",
            needs_approval=True,
        )


def _unmounted(
    before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]
) -> Iterator[FieldChange]:
    """Yield where a container has another claim than before; one that goes counts if no other has its claims."""
    left = {claim for claims in after.values() for claim in claims.values()}
    for name, claims in before.items():
        for path, claim in claims.items():
            there = after[name].get(path) if name in after else claim if claim in left else None
            if there != claim:
                yield FieldChange(f"{name} at {path}", claim, there or "nothing")


def _mounted(known: Object) -> dict[str, dict[str, str]]:
    """Return for each container the claim that is mounted at each path, `data` of a template or `claim backup`."""
    spec = mapping(known.manifest, "spec", "template", "spec")
    claims = {
        name: name
        for template in objects(known.manifest, "spec", "volumeClaimTemplates")
        if (name := text(template, "metadata", "name"))
    }
    for source in objects(spec, "volumes"):
        if claim := text(source, "persistentVolumeClaim", "claimName"):
            claims[text(source, "name")] = f"claim {claim}"
    return {
        text(container, "name"): {
            text(mount, "mountPath"): "/".join(filter(None, (claims[volume], text(mount, "subPath"))))
            for mount in objects(container, "volumeMounts")
            if (volume := text(mount, "name")) in claims
        }
        for container in objects(spec, "containers")
    }


def is_replaced(change: Change, after: Snapshot) -> bool:
    """Whether the engine makes another object for a change of one, instead of changing it in place."""
    judge = _Judge(after, after)
    return change.after is not None and any(judge.is_forced(field.path, change.after) for field in change.fields)


def replacement(old: Object, new: Object, what: Sequence[FieldChange], before: Snapshot, after: Snapshot) -> Loss:
    """Return what it costs that the engine replaces `old` with `new`, for whatever reason."""
    return _Judge(before, after).replaced(old, new, tuple(what))


class _Judge:
    """Knows both revisions, and what in them holds data."""

    def __init__(self, before: Snapshot, after: Snapshot) -> None:
        self._before = before
        self._after = after

    @cached_property
    def _stack(self) -> Stack:
        return Stack(known.manifest for known in self._before.objects.values())

    @cached_property
    def _replaces_content(self) -> frozenset[str]:
        """The kinds whose content a provider replaces instead of changing it, which is its default."""
        providers = [r for r in self._after.resources if r.type == "pulumi:providers:kubernetes"]
        return frozenset(
            kind
            for kind in ("ConfigMap", "Secret")
            if any(str(provider.inputs.get(f"enable{kind}Mutable")).lower() != "true" for provider in providers)
        )

    def is_forced(self, path: str, new: Object) -> bool:
        """Whether the provider replaces the object for a change at `path`."""
        if is_at(path, *new.ignored):
            return False
        if any(_covers(root, path) for root in new.replaced):
            return True
        kind = new.key[0]
        replaced = _FORCE_NEW.get(_group(new), ())
        if kind in ("ConfigMap", "Secret") and (
            kind in self._replaces_content or get(new.manifest, "immutable") is True
        ):
            replaced = (*replaced, *_CONTENT)
        return is_at(path, *_IDENTITY, *replaced)

    def leaves_cluster(self, old: Object, new: Object) -> bool:
        """Whether another provider takes an object over, and it is not known to be the same cluster's.

        https://github.com/pulumi/pulumi/blob/v3.259.0/pkg/resource/deploy/step_generator.go (providerChanged)
        """
        if old.provider is None or new.provider is None or old.provider == new.provider:
            return False
        providers = {known.urn: known for known in (*self._before.resources, *self._after.resources)}
        one, other = providers.get(old.provider), providers.get(new.provider)
        if one is not None and other is not None:
            if one.urn in other.aliases:
                return False
            keys = ("clusterIdentifier", *DESTINATION)
            same = all(one.inputs.get(key) == other.inputs.get(key) for key in keys)
            return not (same and "clusterIdentifier" in one.inputs)
        return True

    def holds_data(self, known: Object) -> bool:
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
                inside = (other for other in self._before.objects.values() if other.key[1] == known.key[2])
                return any(self.holds_data(other) for other in inside)
            case "Service" | "PodDisruptionBudget":
                return any(self.holds_data(Object(pods)) for pods in self._selected(known))
            case "VolumeSnapshot" | "VolumeSnapshotContent":
                return True
            case _ if _keeps_storage(known):
                return True
            case _:
                volumes = objects(manifest, "spec", "template", "spec", "volumes")
                return any("persistentVolumeClaim" in volume for volume in volumes)

    def _selected(self, known: Object) -> list[Mapping[str, Any]]:
        """The workloads that a Service or a budget selects."""
        selector = mapping(known.manifest, "spec", "selector")
        if known.key[0] == "Service":
            selector = {"matchLabels": selector} if selector else {}
        return list(self._stack.selected(known.key[1], selector)) if selector else []

    # --- fates ---

    def replaced(self, old: Object, new: Object, what: tuple[FieldChange, ...]) -> Loss:
        """The engine deletes `old` and makes `new`; the same name and namespace are free only once `old` is gone."""
        same = old.key == new.key
        first = same or new.deleted_first
        severity, consequence, way, section = self._cost(old, new, first=first)
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
        interrupts = severity == "downtime" and self.holds_data(old)
        if old.key[0] == "Service":  # of pods that go themselves, they say it
            interrupts = interrupts and self._pods_stay(old)
        needs = refused or severity == "data lost" or interrupts
        return Loss(old.title, severity, what, consequence, way, section, needs_approval=needs)

    def _cost(self, old: Object, new: Object, *, first: bool) -> tuple[Severity, str, str, str]:
        """Return severity, consequence, way and section of a replacement."""
        same, data = old.key == new.key, self.holds_data(old)
        gap: Severity = "downtime" if first else "harmless"
        order = "deleted, and then made anew" if first else "made anew under the new name, and then deleted"
        keep = "keep the field as it is, or make another one beside it and move over"
        match old.key[0]:
            case "StatefulSet":
                names = [
                    [
                        text(template, "metadata", "name")
                        for template in objects(side.manifest, "spec", "volumeClaimTemplates")
                    ]
                    for side in (old, new)
                ]
                if not names[0]:
                    return gap, f"{order}, with all its pods", keep, ""
                if not data:
                    return gap, f"{order}, with all its pods; what is on its claims can be had again", keep, ""
                if _claims_go(old):
                    claims = "its claims are deleted with it (`whenDeleted: Delete`)"
                    return "data lost", f"{order}, with all its pods; {claims}", keep, "smaller-volumes-another-class"
                if same and set(names[0]) <= set(names[1]):
                    return (
                        "downtime",
                        "deleted with all its pods, and then made anew: none runs meanwhile; the claims stay as they "
                        "are, and the new pods find them by name",
                        "orphan its pods: `kubectl delete statefulset --cascade=orphan`",
                        "smaller-volumes-another-class",
                    )
                claims = "the new pods get new, empty claims; the old ones stay, and nothing uses them"
                return "data lost", f"{order}, with all its pods; {claims}", keep, "a-new-stack"
            case "PersistentVolumeClaim":
                return (
                    "data lost",
                    f"{order}, empty: what is on it goes, unless its volume's reclaim policy is Retain",
                    keep,
                    "smaller-volumes-another-class",
                )
            case "PersistentVolume":
                return "data lost", f"{order}: claims that are bound to it lose it", keep, ""
            case "CustomResourceDefinition":
                return "data lost", f"{order}: all objects of its kind go with the old one", keep, ""
            case "Namespace":
                inside = sum(other.key[1] == old.key[2] for other in self._before.objects.values())
                claims = ", claims included" if data else ""
                text_ = f"{order}: all that is in it goes with it ({inside} objects{claims})"
                return "data lost" if data else "downtime", text_, keep, "a-new-stack"
            case "Service":
                if same:
                    return "downtime", f"{order}, with another address: connections fail for a moment", keep, ""
                return "downtime", f"{order}: its old name leads nowhere", keep, ""
            case "Deployment" | "DaemonSet" | "Pod":
                wait = ": no pod runs until the new ones are ready" if first else " once the new pods are ready"
                return gap, f"{order}{wait}", keep if first else "", ""
            case "Job":
                return "harmless", "it runs again", "", ""
            case "ConfigMap" | "Secret" if first:
                return "harmless", f"{order}: pods that start meanwhile wait for it", "", ""
            case "RoleBinding" | "ClusterRoleBinding" if first:
                return "harmless", f"{order}: its rights are missing for a moment", "", ""
            case _ if self.holds_data(old) and _is_custom(old):
                return "data lost", f"{order}: {_CONTROLLED}", keep, ""
            case _:
                return "harmless", order, "", ""

    def moved(self, old: Object, new: Object) -> Loss:
        """Another resource describes the same object: to the engine a new one, made before the old is deleted."""
        data = self.holds_data(old)
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
        return Loss(
            old.title,
            "data lost" if data or old.protected else "refused",
            (FieldChange("urn", old.urn, new.urn),),
            consequence,
            "give the resource an alias of its old name, type or parent",
            needs_approval=data or old.protected,
        )

    def removed(self, old: Object) -> Loss | None:
        """The engine deletes it, last of all; None for what nobody misses by itself."""
        found = self._deletion(old)
        if found is None and old.protected:
            found = "downtime", "it is deleted", ""
        if found is None:
            return None
        severity, consequence, section = found
        needs = old.protected or severity in ("data lost", "protection lost")
        needs = needs or (severity == "downtime" and self.holds_data(old))
        if old.protected:
            consequence = f"the engine refuses to delete what is protected, so `up` fails; without that: {consequence}"
        elif old.retained:
            severity, needs = "harmless", False
            consequence = "it stays in the cluster (`retainOnDelete`), out of the engine's state"
        way = "keep it declared; or delete it deliberately" if needs else ""
        return Loss(old.title, severity, (), consequence, way, section if needs else "", needs_approval=needs)

    def _deletion(self, old: Object) -> tuple[Severity, str, str] | None:
        deliberately = "deleting-deliberately"
        match old.key[0]:
            case "StatefulSet":
                if not objects(old.manifest, "spec", "volumeClaimTemplates") or not self.holds_data(old):
                    return "downtime", "its pods end", ""
                if _claims_go(old):
                    return "data lost", "its pods end, and its claims go with it (`whenDeleted: Delete`)", deliberately
                return "downtime", "its pods end; its claims stay, and nothing uses them", deliberately
            case "PersistentVolumeClaim":
                return "data lost", "what is on it goes, unless its volume's reclaim policy is Retain", deliberately
            case "PersistentVolume":
                return "data lost", "claims that are bound to it lose it", deliberately
            case "CustomResourceDefinition":
                return "data lost", "all objects of its kind go with it", deliberately
            case "Namespace":
                claims = ", claims included" if self.holds_data(old) else ""
                severity: Severity = "data lost" if claims else "downtime"
                return severity, f"all that is in it goes with it{claims}", deliberately
            case "Deployment" | "DaemonSet" | "PodTemplate":
                labels = mapping(old.manifest, "spec", "template", "metadata", "labels")
                if get(labels, TRACK) in ("canary", "green"):
                    return "harmless", "the release is over: the candidate's pods end", ""
                return "downtime", "its pods end", ""
            case "Service" | "PodDisruptionBudget" if self.holds_data(old) and self._pods_stay(old):
                if old.key[0] == "Service":
                    return "downtime", "its name leads nowhere, and its pods stay", ""
                return "protection lost", "drains of nodes may end all of its pods at once", ""
            case "ValidatingAdmissionPolicy" | "ValidatingAdmissionPolicyBinding" if _keeps_namespaces(
                old, self._before
            ):
                if not unprotected_by_setting(self._before, self._after):
                    return "protection lost", "`kubectl delete namespace` deletes namespaces with volumes", ""
                return None
            case _ if self.holds_data(old) and _is_custom(old):
                return "data lost", _CONTROLLED, deliberately
            case _:
                return None

    def _pods_stay(self, old: Object) -> bool:
        kept = {(known.key[1], known.key[0], known.key[2]) for known in self._after.objects.values()}
        return any(
            (old.key[1], text(pods, "kind"), text(pods, "metadata", "name")) in kept for pods in self._selected(old)
        )


_CONTROLLED: Final = "its controller deletes what it made for it, volumes perhaps included"


def _is_custom(known: Object) -> bool:
    """Whether a controller of somebody else's decides what becomes of it, as of a database that an operator runs."""
    group, _ = _group(known)
    return "." in group and (not group.endswith(".k8s.io") or group.startswith("snapshot."))


def _keeps_storage(known: Object) -> bool:
    """Whether a custom resource asks for storage."""

    def asks(value: Any) -> bool:
        if isinstance(value, Mapping):
            return any(re.search("storage|volume|persisten", str(key), re.I) or asks(value[key]) for key in value)
        return isinstance(value, list) and any(map(asks, value))

    return _is_custom(known) and asks(known.manifest.get("spec"))


def _keeps_namespaces(known: Object, snapshot: Snapshot) -> bool:
    """Whether an admission policy, or the one that a binding names, refuses to delete namespaces."""
    if known.key[0] == "ValidatingAdmissionPolicyBinding":
        name = text(known.manifest, "spec", "policyName")
        policy = snapshot.objects.get(("ValidatingAdmissionPolicy", "", name))
        return policy is not None and _keeps_namespaces(policy, snapshot)
    rules = objects(known.manifest, "spec", "matchConstraints", "resourceRules")
    return any("DELETE" in strings(rule, "operations") and "namespaces" in strings(rule, "resources") for rule in rules)
