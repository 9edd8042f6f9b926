"""What the Pod Security Standards forbid pods, beside containers: the node's namespaces, ports, files and knobs.

They hold in every namespace, whatever level it enforces, but for `volume-types`, which says what the API server of
the namespace will say. See https://kubernetes.io/docs/concepts/security/pod-security-standards/.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from manifests.fields import get, mapping, path_to, placed, text, whole
from manifests.manifest import Manifest
from manifests.stack import Stack
from manifests.workloads import (
    WORKLOAD_KINDS,
    containers,
    namespace_of,
    pod_spec,
    pod_template,
    template_path,
    where,
)
from policies.findings import Finding
from policies.model import Rule, manifest_rule, stack_rule

_SAFE_SYSCTLS: Final = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
_SELINUX_TYPES: Final = frozenset(
    {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}  # the last since Kubernetes 1.31
)
_RESTRICTED_VOLUMES: Final = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)


@manifest_rule(
    "no-host-namespaces",
    "error",
    "Pods share no namespace of their node.",
    remedy="remove hostNetwork, hostPID and hostIPC",
    source="[Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/): baseline; "
    "kube-linter `host-network`, `host-pid`, `host-ipc`; NSA C-0038, C-0041",
)
def no_host_namespaces(manifest: Manifest) -> Iterator[Finding]:
    """Fires on `hostNetwork`, `hostPID` and `hostIPC`."""
    shared = {
        "hostNetwork": "share the network of their node, past every NetworkPolicy",
        "hostPID": "see and stop every process of their node",
        "hostIPC": "share memory with every process of their node",
    }
    pod = pod_spec(manifest)
    for field, what in shared.items():
        if get(pod, field) is True:
            yield Finding(f"the pods {what}", pod.at(field), f"remove {field}")


@manifest_rule(
    "no-host-ports",
    "error",
    "Containers take no port of their node.",
    remedy="remove hostPort and make a Service",
    source="[Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/): baseline; "
    "polaris `hostPortSet`; NSA C-0044",
)
def no_host_ports(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a `hostPort` other than 0."""
    for container in containers(manifest):
        for port in placed(container, "ports"):
            if number := whole(port, "hostPort"):
                what = f"{where(container)} takes port {number} of its node, so one node runs one such pod"
                yield Finding(what, port.at("hostPort"))


@manifest_rule(
    "host-path-read-only",
    "error",
    "The node's files are mounted read-only, and its sockets not at all.",
    remedy="set readOnly: true on the mount, and remove mounts of sockets",
    source="[Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/): baseline; "
    "kube-linter `writable-host-mount`, `docker-sock`; NSA C-0045, C-0048",
)
def host_path_read_only(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a writable mount of a `hostPath`, and on any mount of a socket, which no mode protects.

    The standards forbid every `hostPath`; a collector that reads the node's files is let through here, and refused by
    `volume-types` in a namespace that forbids it.
    """
    paths = {
        text(volume, "name"): text(volume, "hostPath", "path")
        for volume in placed(pod_spec(manifest), "volumes")
        if get(volume, "hostPath") is not None
    }
    for container in containers(manifest):
        for mount in placed(container, "volumeMounts"):
            path = paths.get(text(mount, "name"))
            if path is None:
                continue
            if path.endswith(".sock"):
                yield Finding(f"{where(container)} may command its node through {path}", mount.path, "remove the mount")
            elif get(mount, "readOnly") is not True:
                what = f"{where(container)} may change {path} of its node"
                yield Finding(what, mount.at("readOnly"), "set readOnly: true on the mount")


@stack_rule(
    "volume-types",
    "error",
    "Pods use only the types of volumes that the Pod Security level of their namespace allows.",
    subjects=lambda stack: stack.of_kind(*WORKLOAD_KINDS),
    remedy="use a persistentVolumeClaim, or a namespace for collectors",
    source="[Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/): restricted",
)
def volume_types(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a `hostPath` under `baseline`, and under `restricted` on anything but the standard types."""
    namespace = stack.named("Namespace", "", namespace_of(workload))
    level = get(namespace, "metadata", "labels", "pod-security.kubernetes.io/enforce")
    for volume in placed(pod_spec(workload), "volumes"):
        types = set(volume) - {"name"}
        refused = types - _RESTRICTED_VOLUMES if level == "restricted" else types & {"hostPath"}
        if level in ("restricted", "baseline") and refused:
            yield Finding(
                f'the namespace "{namespace_of(workload)}" enforces {level} and refuses these pods: volume '
                f'"{text(volume, "name")}" is of the type {", ".join(sorted(refused))}',
                volume.at(min(refused)),
            )


@manifest_rule(
    "default-proc-mount",
    "error",
    "Containers see a masked /proc.",
    remedy="remove securityContext.procMount",
    source="[Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/): baseline; "
    "kube-linter `unsafe-proc-mount`",
)
def default_proc_mount(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a `procMount` other than Default."""
    for container in containers(manifest):
        if get(container, "securityContext", "procMount") not in (None, "Default"):
            yield Finding(f"{where(container)} sees all of /proc", container.at("securityContext", "procMount"))


@manifest_rule(
    "safe-sysctls",
    "error",
    "Pods set only sysctls that concern nothing but themselves.",
    remedy="remove it from securityContext.sysctls",
    source="[Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/): baseline; "
    "kube-linter `unsafe-sysctls`",
)
def safe_sysctls(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a sysctl that is not in the list of the baseline standard."""
    for sysctl in placed(pod_spec(manifest), "securityContext", "sysctls"):
        name = text(sysctl, "name")
        if name not in _SAFE_SYSCTLS:
            yield Finding(f"the sysctl {name} changes more than the pod", sysctl.path)


@manifest_rule(
    "mandatory-access-control",
    "error",
    "AppArmor and SELinux stay as the container runtime sets them.",
    remedy="set securityContext.appArmorProfile.type: RuntimeDefault, and remove securityContext.seLinuxOptions",
    source="[Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/): baseline; "
    "NSA C-0055",
)
def mandatory_access_control(manifest: Manifest) -> Iterator[Finding]:
    """Fires on an unconfined AppArmor profile, a custom SELinux user or role, and an SELinux type of no container."""
    pod = pod_spec(manifest)
    for context, owner in ((pod, "the pod"), *((c, where(c)) for c in containers(manifest))):
        if get(context, "securityContext", "appArmorProfile", "type") == "Unconfined":
            yield Finding(
                f"{owner} runs without AppArmor",
                context.at("securityContext", "appArmorProfile", "type"),
                "set securityContext.appArmorProfile.type: RuntimeDefault",
            )
        options = mapping(context, "securityContext", "seLinuxOptions")
        if text(options, "user") or text(options, "role") or text(options, "type") not in _SELINUX_TYPES:
            yield Finding(
                f"{owner} chooses its own SELinux rights",
                context.at("securityContext", "seLinuxOptions"),
                "remove securityContext.seLinuxOptions",
            )
    annotations = mapping(pod_template(manifest), "metadata", "annotations")
    for key in annotations:
        if key.startswith("container.apparmor.security.beta.kubernetes.io/") and get(annotations, key) == "unconfined":
            yield Finding(
                f'container "{key.partition("/")[2]}" runs without AppArmor',
                path_to(template_path(manifest), "metadata", "annotations", key),
                "remove the annotation",
            )


@manifest_rule(
    "no-host-process",
    "error",
    "Windows pods are no processes of their node.",
    remedy="remove securityContext.windowsOptions.hostProcess",
    source="[Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/): baseline; "
    "polaris `hostProcess`",
)
def no_host_process(manifest: Manifest) -> Iterator[Finding]:
    """Fires on `windowsOptions.hostProcess`."""
    for context, owner in ((pod_spec(manifest), "the pod"), *((c, where(c)) for c in containers(manifest))):
        if get(context, "securityContext", "windowsOptions", "hostProcess") is True:
            path = context.at("securityContext", "windowsOptions", "hostProcess")
            yield Finding(f"{owner} owns its node", path)


@manifest_rule(
    "no-host-in-probes",
    "error",
    "Probes and lifecycle hooks ask the pod itself.",
    remedy="remove the host of the probe or hook",
    source="[Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/): "
    "baseline since Kubernetes 1.34",
)
def no_host_in_probes(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a `host` in a probe or a hook: the kubelet, which no NetworkPolicy holds, would ask any address."""
    fields = (
        ("livenessProbe",),
        ("readinessProbe",),
        ("startupProbe",),
        ("lifecycle", "postStart"),
        ("lifecycle", "preStop"),
    )
    for container in containers(manifest):
        for path in fields:
            for handler in ("httpGet", "tcpSocket"):
                if text(container, *path, handler, "host"):
                    yield Finding(
                        f"{where(container)} sends the kubelet elsewhere",
                        container.at(*path, handler, "host"),
                        f"remove {'.'.join(path)}.{handler}.host",
                    )


@stack_rule(
    "no-unused-token",
    "warning",
    "Only pods whose service account has rights get its token.",
    subjects=lambda stack: stack.of_kind(*WORKLOAD_KINDS),
    remedy="set automountServiceAccountToken: false",
    source="polaris `automountServiceAccountToken`; checkov CKV_K8S_38; NSA C-0034",
    complete=True,
)
def no_unused_token(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires where the token is mounted by default and no binding of the stack gives the service account anything.

    Silent where pod or account asks for it, and on an account that the stack does not declare: it may have rights
    elsewhere.
    """
    name = text(pod_spec(workload), "serviceAccountName") or "default"
    account = stack.named("ServiceAccount", namespace_of(workload), name)
    asked = [get(place, "automountServiceAccountToken") for place in (pod_spec(workload), account)]
    if any(isinstance(answer, bool) for answer in asked) or (account is None and name != "default"):
        return
    if not stack.has_rights(namespace_of(workload), name):
        what = f'every container gets a token of the service account "{name}", which has no rights to use it for'
        yield Finding(what, pod_spec(workload).at("automountServiceAccountToken"))


RULES: tuple[Rule, ...] = (
    no_host_namespaces,
    no_host_ports,
    host_path_read_only,
    volume_types,
    default_proc_mount,
    safe_sysctls,
    mandatory_access_control,
    no_host_process,
    no_host_in_probes,
    no_unused_token,
)
