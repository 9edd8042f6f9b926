"""What all pods of the stack share: the restricted security context, resources, and the roll on changed config."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

import pulumi
import pulumi_kubernetes as k8s

from settings import Resources

CLAIM_TEMPLATES = "spec.volumeClaimTemplates"
"""For `ignore_changes` of a StatefulSet: only another one could have other templates. Claims grow by `sized_claims`."""


def pod_security(user: int, *, owns_volumes: bool = False) -> k8s.core.v1.PodSecurityContextArgs:
    """A pod's part of the Pod Security Standard `restricted`; with `owns_volumes` its claims belong to the user.

    https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    """
    return k8s.core.v1.PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=user,
        run_as_group=user,
        fs_group=user if owns_volumes else None,
        # Without it the kubelet changes every file's owner at each start: minutes on a large volume.
        fs_group_change_policy="OnRootMismatch" if owns_volumes else None,
        seccomp_profile=k8s.core.v1.SeccompProfileArgs(type="RuntimeDefault"),
    )


def container_security() -> k8s.core.v1.SecurityContextArgs:
    """A container's part of the Pod Security Standard `restricted`, with a read-only root file system on top."""
    return k8s.core.v1.SecurityContextArgs(
        allow_privilege_escalation=False,
        capabilities=k8s.core.v1.CapabilitiesArgs(drop=["ALL"]),
        read_only_root_filesystem=True,
    )


def resource_requirements(
    resources: Resources, devices: Mapping[str, int] | None = None
) -> k8s.core.v1.ResourceRequirementsArgs:
    """The settings' requests and limits as Kubernetes writes them, and `devices` by their extended resource."""
    counts = {name: str(count) for name, count in (devices or {}).items()}
    return k8s.core.v1.ResourceRequirementsArgs(
        requests={"cpu": str(resources.requests.cpu), "memory": str(resources.requests.memory), **counts},
        limits={"cpu": str(resources.limits.cpu), "memory": str(resources.limits.memory), **counts},
    )


def device_tolerations(devices: Mapping[str, int]) -> list[k8s.core.v1.TolerationArgs]:
    """Let pods onto nodes that keep others off by a taint named after the device, as GPU pools do by convention.

    https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#extendedresourcetoleration
    """
    return [k8s.core.v1.TolerationArgs(key=name, operator="Exists", effect="NoSchedule") for name in devices]


def variables(values: Mapping[str, pulumi.Input[str]]) -> list[k8s.core.v1.EnvVarArgs]:
    """Plain environment variables."""
    return [k8s.core.v1.EnvVarArgs(name=name, value=value) for name, value in values.items()]


def secret_variable(
    name: str, secret: pulumi.Input[str], key: str, *, optional: bool = False
) -> k8s.core.v1.EnvVarArgs:
    """An environment variable with a Secret's value; a pod waits for a Secret that is not `optional`."""
    ref = k8s.core.v1.SecretKeySelectorArgs(name=secret, key=key, optional=optional or None)
    return k8s.core.v1.EnvVarArgs(name=name, value_from=k8s.core.v1.EnvVarSourceArgs(secret_key_ref=ref))


def field_variable(name: str, path: str) -> k8s.core.v1.EnvVarArgs:
    """An environment variable with a field of the pod, such as `metadata.name`."""
    field = k8s.core.v1.ObjectFieldSelectorArgs(field_path=path)
    return k8s.core.v1.EnvVarArgs(name=name, value_from=k8s.core.v1.EnvVarSourceArgs(field_ref=field))


def secret_files(
    volume: str, secret: pulumi.Input[str], keys: Iterable[str], mode: int | None = None
) -> k8s.core.v1.VolumeArgs:
    """A volume with these keys of a Secret as files; `mode` is Kubernetes' default, 0644, if None."""
    items = [k8s.core.v1.KeyToPathArgs(key=key, path=key) for key in keys]
    source = k8s.core.v1.SecretVolumeSourceArgs(secret_name=secret, items=items, default_mode=mode)
    return k8s.core.v1.VolumeArgs(name=volume, secret=source)


def empty_dir(name: str, size: str) -> k8s.core.v1.VolumeArgs:
    """Scratch space that goes with the pod, of `size` at most: a quantity such as `64Mi`, or bytes."""
    return k8s.core.v1.VolumeArgs(name=name, empty_dir=k8s.core.v1.EmptyDirVolumeSourceArgs(size_limit=size))


def read_only_mount(volume: str, path: str) -> k8s.core.v1.VolumeMountArgs:
    """A volume at `path`, where the container can only read it."""
    return k8s.core.v1.VolumeMountArgs(name=volume, mount_path=path, read_only=True)


def http_probe(path: str, *, failures: int = 3) -> k8s.core.v1.ProbeArgs:
    """An HTTP probe of the port `http` every 10 seconds, which fails after `failures` of them in a row."""
    return k8s.core.v1.ProbeArgs(
        http_get=k8s.core.v1.HTTPGetActionArgs(path=path, port="http"),
        period_seconds=10,
        timeout_seconds=5,
        failure_threshold=failures,
    )


def scrape_annotations(port: int, path: str = "/metrics") -> dict[str, str]:
    """The annotations by which Prometheus finds a pod's metrics."""
    return {"prometheus.io/scrape": "true", "prometheus.io/port": str(port), "prometheus.io/path": path}


def spread(pod_labels: Mapping[str, str]) -> list[k8s.core.v1.TopologySpreadConstraintArgs]:
    """Spread the pods with these labels over zones and nodes as far as there are any: one node schedules all."""
    return [
        k8s.core.v1.TopologySpreadConstraintArgs(
            max_skew=1,
            topology_key=key,
            when_unsatisfiable="ScheduleAnyway",
            label_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=dict(pod_labels)),
        )
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]


def claim(
    size: str, storage_class: str | None, pod_labels: Mapping[str, str] | None = None
) -> k8s.core.v1.PersistentVolumeClaimArgs:
    """A claim template named `data`. Its labels hold no version: claim templates can never change."""
    return k8s.core.v1.PersistentVolumeClaimArgs(
        metadata=k8s.meta.v1.ObjectMetaArgs(name="data", labels=dict(pod_labels) if pod_labels else None),
        spec=k8s.core.v1.PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=storage_class,
            resources=k8s.core.v1.VolumeResourceRequirementsArgs(requests={"storage": size}),
        ),
    )


def sized_claims(nodes: k8s.apps.v1.StatefulSet, replicas: int, size: str, *, parent: pulumi.Resource) -> None:
    """Give the claim of each of `nodes` this size, in place; a new claim has it already, or that of an old template.

    `nodes` must have the same name in the program as in the cluster. The API server refuses a class that cannot grow.
    """
    for ordinal in range(replicas):
        name = f"data-{nodes.pulumi_resource_name}-{ordinal}"
        k8s.core.v1.PersistentVolumeClaimPatch(
            name,
            metadata=k8s.meta.v1.ObjectMetaPatchArgs(
                name=name,
                namespace=nodes.metadata.namespace,
                annotations={
                    # The StatefulSet's controller wrote the first size, and does not touch it again.
                    "pulumi.com/patchForce": "true",
                    # The provider waits for a claim to become bound, which these are: it would wait until it gives up.
                    "pulumi.com/skipAwait": "true",
                },
            ),
            spec=k8s.core.v1.PersistentVolumeClaimSpecPatchArgs(
                resources=k8s.core.v1.VolumeResourceRequirementsPatchArgs(requests={"storage": size})
            ),
            # Without `retain_on_delete`, `destroy` would take the size away from a claim that stays.
            opts=pulumi.ResourceOptions(parent=parent, depends_on=[nodes], retain_on_delete=True),
        )


def config_hash(data: Mapping[str, str]) -> str:
    """A short hash of configuration; in a pod's annotation or a Job's name it makes a change roll or run again."""
    return hashlib.sha256(json.dumps(dict(data), sort_keys=True).encode()).hexdigest()[:10]
