"""What all pods of the stack share: the restricted pod, resources, probes, volumes, and the roll on changed config."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from settings import Resources


def secure_pod(
    containers: Sequence[k8s.core.v1.ContainerArgs],
    *,
    user: int,
    owns_volumes: bool = False,
    init_containers: Sequence[k8s.core.v1.ContainerArgs] = (),
    volumes: Sequence[k8s.core.v1.VolumeArgs] = (),
    account: pulumi.Input[str] | None = None,
    token: bool = False,
    grace_seconds: int | None = None,
    restart_policy: str | None = None,
    spread_constraints: Sequence[k8s.core.v1.TopologySpreadConstraintArgs] = (),
    affinity: k8s.core.v1.AffinityArgs | None = None,
    tolerations: Sequence[k8s.core.v1.TolerationArgs] = (),
    image_pull_secret: str | None = None,
    priority_class: str | None = None,
) -> k8s.core.v1.PodSpecArgs:
    """Return a pod that meets the Pod Security Standard `restricted`, its containers included; it runs as `user`.

    Its claims belong to the user with `owns_volumes`. It may call the API server, as `account`, only with `token`. No
    Service of the namespace becomes an environment variable: one named `kafka` would set KAFKA_PORT.
    """
    for container in (*init_containers, *containers):
        container.security_context = _container_security()
    return k8s.core.v1.PodSpecArgs(
        service_account_name=account,
        automount_service_account_token=token,
        enable_service_links=False,
        image_pull_secrets=[k8s.core.v1.LocalObjectReferenceArgs(name=image_pull_secret)]
        if image_pull_secret
        else None,
        security_context=_pod_security(user, owns_volumes=owns_volumes),
        restart_policy=restart_policy,
        termination_grace_period_seconds=grace_seconds,
        topology_spread_constraints=list(spread_constraints) or None,
        affinity=affinity,
        tolerations=list(tolerations) or None,
        priority_class_name=priority_class,
        init_containers=list(init_containers) or None,
        containers=list(containers),
        volumes=list(volumes) or None,
    )


def _pod_security(user: int, *, owns_volumes: bool = False) -> k8s.core.v1.PodSecurityContextArgs:
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


def _container_security() -> k8s.core.v1.SecurityContextArgs:
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


def config_hash(data: Mapping[str, str]) -> str:
    """A short hash of configuration; in a pod's annotation or a Job's name it makes a change roll or run again."""
    return hashlib.sha256(json.dumps(dict(data), sort_keys=True).encode()).hexdigest()[:10]
