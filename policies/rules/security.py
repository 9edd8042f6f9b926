"""What the Pod Security Standard `restricted` asks of containers, and a read-only root file system.

They hold in every namespace, whatever Pod Security level it enforces: a collector that must read the node's
files needs none of what these rules refuse.

See https://kubernetes.io/docs/concepts/security/pod-security-standards/.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from manifests.fields import Placed, get, strings
from manifests.manifest import Manifest
from manifests.workloads import containers, pod_spec, where
from policies.findings import Finding
from policies.model import Rule, manifest_rule


def _effective(manifest: Manifest, container: Placed, *path: str) -> tuple[Any, str]:
    """Return a field of the container's security context, which overrides the pod's, and the place that decides it."""
    pod = pod_spec(manifest)
    own, shared = (get(place, "securityContext", *path) for place in (container, pod))
    if own is None:
        return shared, pod.at("securityContext", *path)
    return own, container.at("securityContext", *path)


@manifest_rule(
    "no-privileged-container",
    "error",
    "Containers are not privileged.",
    remedy="remove securityContext.privileged",
)
def no_privileged_container(manifest: Manifest) -> Iterator[Finding]:
    """Fires on `privileged: true`."""
    for container in containers(manifest):
        if get(container, "securityContext", "privileged") is True:
            path = container.at("securityContext", "privileged")
            yield Finding(f"{where(container)} is privileged and owns the node", path)


@manifest_rule(
    "no-privilege-escalation",
    "error",
    "Containers cannot gain privileges.",
    remedy="set securityContext.allowPrivilegeEscalation: false",
)
def no_privilege_escalation(manifest: Manifest) -> Iterator[Finding]:
    """Fires unless `allowPrivilegeEscalation` is false: the default is true."""
    for container in containers(manifest):
        if get(container, "securityContext", "allowPrivilegeEscalation") is not False:
            path = container.at("securityContext", "allowPrivilegeEscalation")
            yield Finding(f"{where(container)} may gain privileges (setuid binaries)", path)


@manifest_rule(
    "run-as-non-root",
    "error",
    "Containers do not run as root.",
    remedy="set securityContext.runAsNonRoot: true, and runAsUser to the image's own user id",
)
def run_as_non_root(manifest: Manifest) -> Iterator[Finding]:
    """Fires unless `runAsNonRoot` is true, and on `runAsUser: 0`."""
    for container in containers(manifest):
        non_root, path = _effective(manifest, container, "runAsNonRoot")
        if non_root is not True:
            yield Finding(f"{where(container)} may run as root", path, "set securityContext.runAsNonRoot: true")
        user, path = _effective(manifest, container, "runAsUser")
        if user == 0:
            remedy = "set securityContext.runAsUser to the image's own user id"
            yield Finding(f"{where(container)} runs as root", path, remedy)


@manifest_rule(
    "drop-all-capabilities",
    "error",
    "Containers drop all Linux capabilities.",
    remedy="set securityContext.capabilities.drop: [ALL], and add none but NET_BIND_SERVICE",
)
def drop_all_capabilities(manifest: Manifest) -> Iterator[Finding]:
    """Fires unless ALL is dropped, and on any added capability but NET_BIND_SERVICE."""
    for container in containers(manifest):
        if "ALL" not in strings(container, "securityContext", "capabilities", "drop"):
            yield Finding(
                f"{where(container)} keeps Linux capabilities",
                container.at("securityContext", "capabilities", "drop"),
                "set securityContext.capabilities.drop: [ALL]",
            )
        added = set(strings(container, "securityContext", "capabilities", "add")) - {"NET_BIND_SERVICE"}
        if added:
            yield Finding(
                f"{where(container)} adds the capabilities {', '.join(sorted(added))}",
                container.at("securityContext", "capabilities", "add"),
                "remove them from securityContext.capabilities.add (only NET_BIND_SERVICE may be added)",
            )


@manifest_rule(
    "seccomp-profile",
    "error",
    "Containers run under a seccomp profile.",
    remedy="set securityContext.seccompProfile.type: RuntimeDefault on the pod",
)
def seccomp_profile(manifest: Manifest) -> Iterator[Finding]:
    """Fires unless the profile is RuntimeDefault or Localhost: the default is Unconfined."""
    for container in containers(manifest):
        profile, path = _effective(manifest, container, "seccompProfile", "type")
        if profile not in ("RuntimeDefault", "Localhost"):
            yield Finding(f"{where(container)} may make any system call", path)


@manifest_rule(
    "read-only-root-filesystem",
    "error",
    "Containers cannot write to their image's files.",
    remedy="set securityContext.readOnlyRootFilesystem: true and mount an emptyDir where it must write",
)
def read_only_root_filesystem(manifest: Manifest) -> Iterator[Finding]:
    """Fires unless `readOnlyRootFilesystem` is true."""
    for container in containers(manifest):
        if get(container, "securityContext", "readOnlyRootFilesystem") is not True:
            path = container.at("securityContext", "readOnlyRootFilesystem")
            yield Finding(f"{where(container)} has a writable root file system", path)


RULES: tuple[Rule, ...] = (
    no_privileged_container,
    no_privilege_escalation,
    run_as_non_root,
    drop_all_capabilities,
    seccomp_profile,
    read_only_root_filesystem,
)
