"""What runs pods, and what stands around them, with the defaults of the stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from components.context import Namespace


def metadata(
    name: pulumi.Input[str],
    namespace: Namespace,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, pulumi.Input[str]] | None = None,
) -> k8s.meta.v1.ObjectMetaArgs:
    """The metadata of an object in `namespace`."""
    return k8s.meta.v1.ObjectMetaArgs(name=name, namespace=namespace.ref, labels=labels, annotations=annotations)


def selecting(pod_labels: Mapping[str, str]) -> k8s.meta.v1.LabelSelectorArgs:
    """Select the pods with these labels."""
    return k8s.meta.v1.LabelSelectorArgs(match_labels=dict(pod_labels))


def template(
    pod: k8s.core.v1.PodSpecArgs,
    labels: Mapping[str, str],
    annotations: Mapping[str, pulumi.Input[str]] | None = None,
) -> k8s.core.v1.PodTemplateSpecArgs:
    """The template of a workload's pods."""
    return k8s.core.v1.PodTemplateSpecArgs(
        metadata=k8s.meta.v1.ObjectMetaArgs(labels=labels, annotations=annotations), spec=pod
    )


def service(
    name: str,
    metadata: k8s.meta.v1.ObjectMetaArgs,
    selector: Mapping[str, str],
    ports: Mapping[str, int],
    *,
    headless: bool = False,
    opts: pulumi.ResourceOptions,
) -> k8s.core.v1.Service:
    """Create a Service whose `ports`, by name, lead to the containers' ports of the same names.

    With `headless`, every pod has a host name of its own, before it is ready as well: nodes find each other by it.
    """
    return k8s.core.v1.Service(
        name,
        metadata=metadata,
        spec=k8s.core.v1.ServiceSpecArgs(
            cluster_ip="None" if headless else None,
            publish_not_ready_addresses=headless or None,
            selector=selector,
            ports=[
                k8s.core.v1.ServicePortArgs(name=target, port=port, target_port=target)
                for target, port in ports.items()
            ],
        ),
        opts=opts,
    )


def deployment(
    name: str,
    metadata: k8s.meta.v1.ObjectMetaArgs,
    selector: Mapping[str, str],
    template: k8s.core.v1.PodTemplateSpecArgs,
    *,
    alone: bool = False,
    progress_deadline_seconds: int | None = None,
    opts: pulumi.ResourceOptions,
) -> k8s.apps.v1.Deployment:
    """Create a Deployment of one pod; with `alone`, an update ends the old one before it starts the new one."""
    return k8s.apps.v1.Deployment(
        name,
        metadata=metadata,
        spec=k8s.apps.v1.DeploymentSpecArgs(
            replicas=1,
            strategy=k8s.apps.v1.DeploymentStrategyArgs(type="Recreate") if alone else None,
            progress_deadline_seconds=progress_deadline_seconds,
            selector=selecting(selector),
            template=template,
        ),
        opts=opts,
    )


def stateful_set(
    name: str,
    metadata: k8s.meta.v1.ObjectMetaArgs,
    selector: Mapping[str, str],
    template: k8s.core.v1.PodTemplateSpecArgs,
    *,
    replicas: int,
    service: k8s.core.v1.Service,
    storage: str,
    storage_class: str | None,
    protect: bool,
    claim_labels: Mapping[str, str] | None = None,
    claim_retention: k8s.apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicyArgs | None = None,
    parallel: bool = False,
    update_strategy: k8s.apps.v1.StatefulSetUpdateStrategyArgs | None = None,
    min_ready_seconds: int | None = None,
    resizable: bool = True,
    timeouts: pulumi.CustomTimeouts,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource] = (),
) -> k8s.apps.v1.StatefulSet:
    """Create a StatefulSet with a claim `data` of `storage` for each pod; `name` is its name in the cluster as well.

    With `protect`, the engine refuses to delete it, and leaves it in the cluster where it is taken out of the program.
    Its pods start one after the other unless `parallel`. With `resizable`, another `storage` makes the claims larger in
    place; the API server refuses that for a class that cannot grow.
    """
    made = k8s.apps.v1.StatefulSet(
        name,
        metadata=metadata,
        spec=k8s.apps.v1.StatefulSetSpecArgs(
            replicas=replicas,
            service_name=service.metadata.name,
            pod_management_policy="Parallel" if parallel else None,
            update_strategy=update_strategy,
            min_ready_seconds=min_ready_seconds,
            selector=selecting(selector),
            template=template,
            volume_claim_templates=[_claim(storage, storage_class, claim_labels)],
            persistent_volume_claim_retention_policy=claim_retention,
        ),
        opts=pulumi.ResourceOptions(
            parent=parent,
            protect=protect,
            retain_on_delete=protect,
            depends_on=list(depends_on),
            # Only another StatefulSet could have other templates.
            ignore_changes=["spec.volumeClaimTemplates"],
            custom_timeouts=timeouts,
        ),
    )
    if resizable:
        _sized_claims(made, replicas, storage, parent=parent)
    return made


def _claim(
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


def _sized_claims(nodes: k8s.apps.v1.StatefulSet, replicas: int, size: str, *, parent: pulumi.Resource) -> None:
    """Give the claim of each of `nodes` this size; a new claim has it already, or that of an old template."""
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


def claim_retention(*, deleted: bool, scaled: bool) -> k8s.apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicyArgs:
    """Whether claims outlive their StatefulSet when it is `deleted`, and its pods when it is `scaled` down."""
    return k8s.apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicyArgs(
        when_deleted="Retain" if deleted else "Delete", when_scaled="Retain" if scaled else "Delete"
    )


def disruption_budget(
    name: str, metadata: k8s.meta.v1.ObjectMetaArgs, selector: Mapping[str, str], opts: pulumi.ResourceOptions
) -> None:
    """Let drains take one pod at a time: where there is one, `minAvailable: 1` would block a node's drain for ever."""
    k8s.policy.v1.PodDisruptionBudget(
        name,
        metadata=metadata,
        spec=k8s.policy.v1.PodDisruptionBudgetSpecArgs(max_unavailable=1, selector=selecting(selector)),
        opts=opts,
    )
