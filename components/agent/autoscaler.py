"""Who sets the number of an agent's pods: a HorizontalPodAutoscaler of its own, or KEDA with one."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s

from settings import Scaling

from .declaration import Declaration
from .scaled_object import scaled_object

HPA = "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"
SCALED_OBJECT = "kubernetes:keda.sh/v1alpha1:ScaledObject"


def autoscaler(
    agent: Declaration, scaling: Scaling, *, target: k8s.apps.v1.Deployment, parent: pulumi.Resource
) -> pulumi.CustomResource:
    """Scale `target`: up at once, down slowly.

    For the engine, the one kind of object replaces the other, and goes first: KEDA refuses a Deployment that another
    autoscaler has, and two would fight over the number.
    """
    behavior = _behavior(int(agent.settings.scale_down_after.total_seconds()))

    def instead_of(kind: str) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            parent=parent,
            aliases=[pulumi.Alias(type_=kind)],
            replace_on_changes=["kind"],
            delete_before_replace=True,
        )

    if scaling.queue is not None:
        return scaled_object(agent, scaling, scaling.queue, target=target, behavior=behavior, opts=instead_of(HPA))
    return k8s.autoscaling.v2.HorizontalPodAutoscaler(
        agent.object_name,
        metadata=agent.metadata,
        spec=k8s.autoscaling.v2.HorizontalPodAutoscalerSpecArgs(
            scale_target_ref=k8s.autoscaling.v2.CrossVersionObjectReferenceArgs(
                api_version="apps/v1", kind="Deployment", name=target.metadata.name
            ),
            min_replicas=scaling.min,
            max_replicas=scaling.max,
            metrics=[
                k8s.autoscaling.v2.MetricSpecArgs(
                    type="Resource",
                    resource=k8s.autoscaling.v2.ResourceMetricSourceArgs(
                        name=resource,
                        target=k8s.autoscaling.v2.MetricTargetArgs(type="Utilization", average_utilization=percent),
                    ),
                )
                for resource, percent in (("cpu", scaling.cpu), ("memory", scaling.memory))
                if percent is not None
            ],
            behavior=behavior,
        ),
        opts=instead_of(SCALED_OBJECT),
    )


def _behavior(down_after_seconds: int) -> k8s.autoscaling.v2.HorizontalPodAutoscalerBehaviorArgs:
    return k8s.autoscaling.v2.HorizontalPodAutoscalerBehaviorArgs(
        scale_up=k8s.autoscaling.v2.HPAScalingRulesArgs(
            stabilization_window_seconds=0,
            select_policy="Max",
            policies=[
                k8s.autoscaling.v2.HPAScalingPolicyArgs(type="Percent", value=100, period_seconds=15),
                k8s.autoscaling.v2.HPAScalingPolicyArgs(type="Pods", value=4, period_seconds=15),
            ],
        ),
        scale_down=k8s.autoscaling.v2.HPAScalingRulesArgs(
            stabilization_window_seconds=down_after_seconds,
            policies=[k8s.autoscaling.v2.HPAScalingPolicyArgs(type="Percent", value=20, period_seconds=60)],
        ),
    )
