"""What every namespace needs in which workloads of the stack run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from manifests.fields import get, mapping, objects, text
from manifests.manifest import Manifest
from manifests.stack import Stack

from .flows import directions
from .model import Rule, stack_rule

_LEVELS = ("restricted", "baseline", "privileged")


@stack_rule(
    "namespace-quota",
    "error",
    "Namespaces with workloads have a ResourceQuota.",
    subjects=Stack.namespaces_with_workloads,
)
def namespace_quota(namespace: Manifest, stack: Stack) -> Iterator[str]:
    """Fires without a ResourceQuota that limits anything."""
    name = text(namespace, "metadata", "name")
    if not any(mapping(quota, "spec", "hard") for quota in stack.in_namespace("ResourceQuota", name)):
        yield (f'the workloads in the namespace "{name}" may use the whole cluster; add a ResourceQuota with spec.hard')


@stack_rule(
    "namespace-limit-range",
    "error",
    "Namespaces with workloads have a LimitRange.",
    subjects=Stack.namespaces_with_workloads,
)
def namespace_limit_range(namespace: Manifest, stack: Stack) -> Iterator[str]:
    """Fires without a LimitRange that limits anything: a quota refuses pods that nothing gives a default."""
    name = text(namespace, "metadata", "name")
    if not any(objects(limits, "spec", "limits") for limits in stack.in_namespace("LimitRange", name)):
        yield (
            f'the namespace "{name}" gives containers no default requests and limits; add a LimitRange with spec.limits'
        )


@stack_rule(
    "namespace-default-deny",
    "error",
    "Namespaces with workloads deny network traffic by default, in both directions.",
    subjects=Stack.namespaces_with_workloads,
)
def namespace_default_deny(namespace: Manifest, stack: Stack) -> Iterator[str]:
    """Fires without a NetworkPolicy for all pods, and on one that allows all pods everything.

    The policy for all pods may allow something, such as DNS: what it does not allow is denied.
    """
    name = text(namespace, "metadata", "name")
    for_all_pods = [
        policy
        for policy in stack.in_namespace("NetworkPolicy", name)
        if not mapping(policy, "spec", "podSelector", "matchLabels")
        and not objects(policy, "spec", "podSelector", "matchExpressions")
    ]
    for direction in ("Ingress", "Egress"):
        policies = [policy for policy in for_all_pods if direction in directions(policy)]
        if not policies:
            yield (
                f'the namespace "{name}" allows all {direction.lower()} traffic; add a NetworkPolicy with '
                f"podSelector: {{}} and policyTypes: [{direction}]"
            )
        for policy in policies:
            if _allows_all(policy, direction):
                yield (
                    f'the NetworkPolicy "{text(policy, "metadata", "name")}" allows all pods in the namespace '
                    f'"{name}" all {direction.lower()} traffic; give its rule peers or ports, or remove it'
                )


def _allows_all(policy: Manifest, direction: Literal["Ingress", "Egress"]) -> bool:
    peers = "from" if direction == "Ingress" else "to"
    return any(not get(rule, peers) and not get(rule, "ports") for rule in objects(policy, "spec", direction.lower()))


@stack_rule(
    "namespace-pod-security",
    "error",
    "Namespaces with workloads enforce a Pod Security Standard.",
    subjects=Stack.namespaces_with_workloads,
)
def namespace_pod_security(namespace: Manifest, _: Stack) -> Iterator[str]:
    """Fires without a valid `enforce` label, and where the stack does not declare the Namespace."""
    if get(namespace, "metadata", "labels", "pod-security.kubernetes.io/enforce") not in _LEVELS:
        yield (
            f'the namespace "{text(namespace, "metadata", "name")}" admits any pod; label its Namespace in this '
            f"stack pod-security.kubernetes.io/enforce with one of {', '.join(_LEVELS)}"
        )


RULES: tuple[Rule, ...] = (
    namespace_quota,
    namespace_limit_range,
    namespace_default_deny,
    namespace_pod_security,
)
