"""The HorizontalPodAutoscaler of an agent."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s

from settings import Scaling


def autoscaler(
    name: str,
    scaling: Scaling,
    *,
    metadata: k8s.meta.v1.ObjectMetaArgs,
    target: k8s.apps.v1.Deployment,
    opts: pulumi.ResourceOptions,
) -> k8s.autoscaling.v2.HorizontalPodAutoscaler:
    """Scale `target` on the used share of its requests: up at once, down slowly."""
    targets = (("cpu", scaling.cpu), ("memory", scaling.memory))
    return k8s.autoscaling.v2.HorizontalPodAutoscaler(
        name,
        metadata=metadata,
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
                for resource, percent in targets
                if percent is not None
            ],
            behavior=k8s.autoscaling.v2.HorizontalPodAutoscalerBehaviorArgs(
                scale_up=k8s.autoscaling.v2.HPAScalingRulesArgs(
                    stabilization_window_seconds=0,
                    select_policy="Max",
                    policies=[
                        k8s.autoscaling.v2.HPAScalingPolicyArgs(type="Percent", value=100, period_seconds=15),
                        k8s.autoscaling.v2.HPAScalingPolicyArgs(type="Pods", value=4, period_seconds=15),
                    ],
                ),
                scale_down=k8s.autoscaling.v2.HPAScalingRulesArgs(
                    stabilization_window_seconds=int(scaling.scale_down_after.total_seconds()),
                    policies=[k8s.autoscaling.v2.HPAScalingPolicyArgs(type="Percent", value=20, period_seconds=60)],
                ),
            ),
        ),
        opts=opts,
    )
