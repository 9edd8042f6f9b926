"""What the Pod Security Standard `restricted` asks of containers, and a read-only root file system.

They hold in every namespace, whatever Pod Security level it enforces: a collector that must read the node's
files needs none of what these rules refuse.

See https://kubernetes.io/docs/concepts/security/pod-security-standards/.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from manifests.fields import get, strings
from manifests.manifest import Manifest
from manifests.workloads import containers, pod_spec, where

from .model import Rule, manifest_rule


def _effective(manifest: Manifest, container: Manifest, *path: str) -> Any:
    """Return a field of the container's security context, which overrides the pod's."""
    own = get(container, "securityContext", *path)
    return get(pod_spec(manifest), "securityContext", *path) if own is None else own


@manifest_rule("no-privileged-container", "error", "Containers are not privileged.")
def no_privileged_container(manifest: Manifest) -> Iterator[str]:
    """Fires on `privileged: true`."""
    for container in containers(manifest):
        if get(container, "securityContext", "privileged") is True:
            yield f"{where(container)} is privileged and owns the node; remove securityContext.privileged"


@manifest_rule("no-privilege-escalation", "error", "Containers cannot gain privileges.")
def no_privilege_escalation(manifest: Manifest) -> Iterator[str]:
    """Fires unless `allowPrivilegeEscalation` is false: the default is true."""
    for container in containers(manifest):
        if get(container, "securityContext", "allowPrivilegeEscalation") is not False:
            yield (
                f"{where(container)} may gain privileges (setuid binaries); "
                "set securityContext.allowPrivilegeEscalation: false"
            )


@manifest_rule("run-as-non-root", "error", "Containers do not run as root.")
def run_as_non_root(manifest: Manifest) -> Iterator[str]:
    """Fires unless `runAsNonRoot` is true, and on `runAsUser: 0`."""
    for container in containers(manifest):
        if _effective(manifest, container, "runAsNonRoot") is not True:
            yield f"{where(container)} may run as root; set securityContext.runAsNonRoot: true"
        if _effective(manifest, container, "runAsUser") == 0:
            yield f"{where(container)} runs as root; set securityContext.runAsUser to the image's own user id"


@manifest_rule("drop-all-capabilities", "error", "Containers drop all Linux capabilities.")
def drop_all_capabilities(manifest: Manifest) -> Iterator[str]:
    """Fires unless ALL is dropped, and on any added capability but NET_BIND_SERVICE."""
    for container in containers(manifest):
        if "ALL" not in strings(container, "securityContext", "capabilities", "drop"):
            yield f"{where(container)} keeps Linux capabilities; set securityContext.capabilities.drop: [ALL]"
        added = set(strings(container, "securityContext", "capabilities", "add")) - {"NET_BIND_SERVICE"}
        if added:
            yield (
                f"{where(container)} adds the capabilities {', '.join(sorted(added))}; "
                "remove them from securityContext.capabilities.add (only NET_BIND_SERVICE may be added)"
            )


@manifest_rule("seccomp-profile", "error", "Containers run under a seccomp profile.")
def seccomp_profile(manifest: Manifest) -> Iterator[str]:
    """Fires unless the profile is RuntimeDefault or Localhost: the default is Unconfined."""
    for container in containers(manifest):
        if _effective(manifest, container, "seccompProfile", "type") not in ("RuntimeDefault", "Localhost"):
            yield (
                f"{where(container)} may make any system call; "
                "set securityContext.seccompProfile.type: RuntimeDefault on the pod"
            )


@manifest_rule("read-only-root-filesystem", "error", "Containers cannot write to their image's files.")
def read_only_root_filesystem(manifest: Manifest) -> Iterator[str]:
    """Fires unless `readOnlyRootFilesystem` is true."""
    for container in containers(manifest):
        if get(container, "securityContext", "readOnlyRootFilesystem") is not True:
            yield (
                f"{where(container)} has a writable root file system; set "
                "securityContext.readOnlyRootFilesystem: true and mount an emptyDir where it must write"
            )


RULES: tuple[Rule, ...] = (
    no_privileged_container,
    no_privilege_escalation,
    run_as_non_root,
    drop_all_capabilities,
    seccomp_profile,
    read_only_root_filesystem,
)
