"""What every namespace needs in which workloads of the stack run."""

from __future__ import annotations

from collections.abc import Iterator

from manifests.fields import get, mapping, objects, path_to, text
from manifests.manifest import Manifest
from manifests.network import Direction, directions
from manifests.stack import Stack
from policies.findings import Finding
from policies.model import Rule, stack_rule

_LEVELS = ("restricted", "baseline", "privileged")
_ENFORCE = "pod-security.kubernetes.io/enforce"


@stack_rule(
    "namespace-quota",
    "error",
    "Namespaces with workloads have a ResourceQuota.",
    subjects=Stack.namespaces_with_workloads,
    remedy="add a ResourceQuota with spec.hard",
)
def namespace_quota(namespace: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires without a ResourceQuota that limits anything."""
    name = text(namespace, "metadata", "name")
    if not any(mapping(quota, "spec", "hard") for quota in stack.in_namespace("ResourceQuota", name)):
        yield Finding(f'the workloads in the namespace "{name}" may use the whole cluster')


@stack_rule(
    "namespace-limit-range",
    "error",
    "Namespaces with workloads have a LimitRange.",
    subjects=Stack.namespaces_with_workloads,
    remedy="add a LimitRange with spec.limits",
)
def namespace_limit_range(namespace: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires without a LimitRange that limits anything: a quota refuses pods that nothing gives a default."""
    name = text(namespace, "metadata", "name")
    if not any(objects(limits, "spec", "limits") for limits in stack.in_namespace("LimitRange", name)):
        yield Finding(f'the namespace "{name}" gives containers no default requests and limits')


@stack_rule(
    "namespace-default-deny",
    "error",
    "Namespaces with workloads deny network traffic by default, in both directions.",
    subjects=Stack.namespaces_with_workloads,
    remedy="add a NetworkPolicy with podSelector: {} and policyTypes: [Ingress, Egress], and give each rule of it "
    "peers or ports",
)
def namespace_default_deny(namespace: Manifest, stack: Stack) -> Iterator[Finding]:
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
    sides: tuple[Direction, ...] = ("Ingress", "Egress")
    for direction in sides:
        policies = [policy for policy in for_all_pods if direction in directions(policy)]
        if not policies:
            yield Finding(
                f'the namespace "{name}" allows all {direction.lower()} traffic',
                remedy=f"add a NetworkPolicy with podSelector: {{}} and policyTypes: [{direction}]",
            )
        for policy in policies:
            if _allows_all(policy, direction):
                yield Finding(
                    f'the NetworkPolicy "{text(policy, "metadata", "name")}" allows all pods in the namespace '
                    f'"{name}" all {direction.lower()} traffic',
                    remedy="give its rule peers or ports, or remove it",
                )


def _allows_all(policy: Manifest, direction: Direction) -> bool:
    peers = "from" if direction == "Ingress" else "to"
    return any(not get(rule, peers) and not get(rule, "ports") for rule in objects(policy, "spec", direction.lower()))


@stack_rule(
    "namespace-pod-security",
    "error",
    "Namespaces with workloads enforce a Pod Security Standard.",
    subjects=Stack.namespaces_with_workloads,
    remedy=f"label its Namespace in this stack {_ENFORCE} with one of {', '.join(_LEVELS)}",
)
def namespace_pod_security(namespace: Manifest, _: Stack) -> Iterator[Finding]:
    """Fires without a valid `enforce` label, and where the stack does not declare the Namespace."""
    if get(namespace, "metadata", "labels", _ENFORCE) not in _LEVELS:
        what = f'the namespace "{text(namespace, "metadata", "name")}" admits any pod'
        yield Finding(what, path_to("metadata.labels", _ENFORCE))


RULES: tuple[Rule, ...] = (
    namespace_quota,
    namespace_limit_range,
    namespace_default_deny,
    namespace_pod_security,
)
