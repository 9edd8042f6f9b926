"""Jobs that the engine waits for: run once for whatever they do, and again by the next `up` where they failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from components.context import Namespace
from components.workloads import metadata, template


def drains_ignored() -> k8s.batch.v1.PodFailurePolicyArgs:
    """Count no pod that a drained node took: it says nothing about what the Job does."""
    return k8s.batch.v1.PodFailurePolicyArgs(
        rules=[
            k8s.batch.v1.PodFailurePolicyRuleArgs(
                action="Ignore",
                on_pod_conditions=[
                    k8s.batch.v1.PodFailurePolicyOnPodConditionsPatternArgs(type="DisruptionTarget", status="True")
                ],
            )
        ]
    )


def job(
    name: str,
    *,
    namespace: Namespace,
    labels: Mapping[str, str],
    identity: pulumi.Input[str],
    pod: k8s.core.v1.PodSpecArgs,
    deadline_minutes: int,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource],
) -> k8s.batch.v1.Job:
    """Create the Job `NAME-IDENTITY`. `identity` is a hash of all that its result depends on: a change of that makes
    another Job, since a Job's template cannot change.

    Its script itself tries again what may pass, and its first failure is the end, as is the deadline.
    """
    return k8s.batch.v1.Job(
        name,
        metadata=metadata(
            pulumi.Output.concat(name, "-", identity),
            namespace,
            labels,
            # Of a failed Job the engine would otherwise only ask again whether it has succeeded by now.
            {"pulumi.com/replaceUnready": "true"},
        ),
        spec=k8s.batch.v1.JobSpecArgs(
            # Not by a policy that fails a Job on some exit codes: the engine goes on waiting for one that failed so.
            backoff_limit=0,
            pod_failure_policy=drains_ignored(),
            # A Secret that does not exist keeps the pod from starting.
            active_deadline_seconds=deadline_minutes * 60,
            template=template(pod, labels),
        ),
        opts=pulumi.ResourceOptions(
            parent=parent,
            depends_on=depends_on,
            # Or the last good Job would stay while its successor fails, and be in the way of going back to it.
            delete_before_replace=True,
            # Longer than the Job itself, so that its own words are the ones that are shown.
            custom_timeouts=pulumi.CustomTimeouts(create=f"{deadline_minutes + 5}m"),
        ),
    )
