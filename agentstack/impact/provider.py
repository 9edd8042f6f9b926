"""For which changes the engine's Kubernetes provider replaces an object.

- which fields it replaces an object for: `forceNewProperties`,
  https://github.com/pulumi/pulumi-kubernetes/blob/v4.34.2/provider/pkg/provider/diff.go
- what another provider of the same program means:
  https://github.com/pulumi/pulumi/blob/v3.259.0/pkg/resource/deploy/step_generator.go (providerChanged)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Final

from agentstack.compare.model import is_at
from agentstack.compare.snapshot import Object, Snapshot
from manifests.fields import get, text

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
DESTINATION: Final = ("cluster", "context", "kubeconfig")
"""By which inputs a provider finds its cluster."""


def group(known: Object) -> tuple[str, str]:
    """Return the API group (empty for the core) and the kind of an object."""
    return text(known.manifest, "apiVersion").rpartition("/")[0], text(known.manifest, "kind")


def _covers(root: str, path: str) -> bool:
    """Whether an option's property path covers a field; the positions and wildcards in it cover whatever there is."""
    root = re.split(r"\[[\d*]|\*", root)[0].rstrip(".")
    return not root or is_at(path, root)


class Provider:
    """What the providers of two revisions make of their objects."""

    def __init__(self, before: Snapshot, after: Snapshot) -> None:
        self._before = before
        self._after = after

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
        replaced = _FORCE_NEW.get(group(new), ())
        if kind in ("ConfigMap", "Secret") and (
            kind in self._replaces_content or get(new.manifest, "immutable") is True
        ):
            replaced = (*replaced, *_CONTENT)
        return is_at(path, *_IDENTITY, *replaced)

    def leaves_cluster(self, old: Object, new: Object) -> bool:
        """Whether another provider takes an object over, and it is not known to be the same cluster's."""
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
