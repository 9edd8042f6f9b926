"""What roles allow, and to whom they are bound.

See https://kubernetes.io/docs/concepts/security/rbac-good-practices/.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from manifests.fields import Placed, placed, strings, text
from manifests.manifest import Manifest
from manifests.stack import Stack
from manifests.workloads import kind_of, namespace_of
from policies.findings import Finding
from policies.model import Rule, manifest_rule, stack_rule

_ROLES: Final = ("Role", "ClusterRole")
_BINDINGS: Final = ("RoleBinding", "ClusterRoleBinding")
_EVERYBODY: Final = frozenset({"system:anonymous", "system:unauthenticated", "system:authenticated"})
_RUNNING_CODE: Final = frozenset(
    {"pods/exec", "pods/attach", "pods/portforward", "nodes/proxy", "serviceaccounts/token"}
)
_TAKING: Final = frozenset({"escalate", "bind", "impersonate"})


@manifest_rule(
    "no-rbac-wildcards",
    "error",
    "Roles name what they allow.",
    remedy="name those it needs",
    source="[RBAC good practices](https://kubernetes.io/docs/concepts/security/rbac-good-practices/); "
    "kube-linter `wildcard-in-rules`; checkov CKV_K8S_49",
)
def no_rbac_wildcards(manifest: Manifest) -> Iterator[Finding]:
    """Fires on `*` among the verbs, resources or API groups of a role that is not made of others by aggregation."""
    for rule in _rules(manifest):
        fields = [field for field in ("apiGroups", "resources", "verbs") if "*" in strings(rule, field)]
        if fields:
            path = rule.at(fields[0]) if len(fields) == 1 else rule.path
            yield Finding(f"{rule.path} allows all {' and '.join(fields)}, future ones as well", path)


@manifest_rule(
    "no-rbac-escalation",
    "error",
    "Roles do not let their holder take more rights.",
    remedy="remove the verbs, or give resourceNames",
    source="[RBAC good practices](https://kubernetes.io/docs/concepts/security/rbac-good-practices/); "
    "checkov CKV_K8S_157, CKV_K8S_158; NSA C-0002",
)
def no_rbac_escalation(manifest: Manifest) -> Iterator[Finding]:
    """Fires on escalate, bind and impersonate, and on making tokens or running commands in pods of others."""
    for rule in _rules(manifest):
        verbs, resources = set(strings(rule, "verbs")), set(strings(rule, "resources"))
        taking = sorted(verbs & _TAKING)
        if taking and not strings(rule, "resourceNames"):
            what = f"{rule.path} allows to {' and '.join(taking)}, so everything"
            yield Finding(what, rule.at("verbs"), "remove it or give resourceNames")
        running = sorted(resources & _RUNNING_CODE)
        if running and verbs & {"create", "get", "*"}:
            what = f"{rule.path} gives the rights of other accounts through {' and '.join(running)}"
            yield Finding(what, rule.at("resources"), "remove them")


@manifest_rule(
    "rbac-secrets",
    "warning",
    "Roles that read Secrets name them.",
    remedy="give resourceNames",
    source="[RBAC good practices](https://kubernetes.io/docs/concepts/security/rbac-good-practices/); "
    "kube-linter `access-to-secrets`; kubescape C-0015",
)
def rbac_secrets(manifest: Manifest) -> Iterator[Finding]:
    """Fires on reading all Secrets; `list` and `watch` hand out their content as `get` does."""
    for rule in _rules(manifest):
        verbs = sorted({"get", "list", "watch"} & set(strings(rule, "verbs")))
        if "secrets" in strings(rule, "resources") and verbs and not strings(rule, "resourceNames"):
            reach = "of its namespace" if kind_of(manifest) == "Role" else "of every namespace that it is bound in"
            yield Finding(f"{rule.path} hands out all Secrets {reach} ({', '.join(verbs)})", rule.at("resourceNames"))


def _rules(manifest: Manifest) -> list[Placed]:
    return placed(manifest, "rules") if kind_of(manifest) in _ROLES else []


@manifest_rule(
    "no-cluster-admin",
    "error",
    "Nobody is bound to cluster-admin.",
    remedy="bind a role with the rights that are needed, to a group of your own",
    source="[RBAC good practices](https://kubernetes.io/docs/concepts/security/rbac-good-practices/); "
    "kube-linter `cluster-admin-role-binding`; NSA C-0035",
)
def no_cluster_admin(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a binding to `cluster-admin`, and on one to the group system:masters."""
    if kind_of(manifest) not in _BINDINGS:
        return
    if text(manifest, "roleRef", "name") == "cluster-admin" and text(manifest, "roleRef", "kind") == "ClusterRole":
        remedy = "bind a role with the rights that are needed"
        yield Finding("gives every right there is", "roleRef.name", remedy)
    for subject in placed(manifest, "subjects"):
        if text(subject, "name") == "system:masters":
            what = "binds the group system:masters, which passes over RBAC"
            yield Finding(what, subject.at("name"), "bind a group of your own")


@manifest_rule(
    "rbac-named-subjects",
    "error",
    "Rights go to accounts of their own, not to everybody.",
    remedy="name the accounts that need them",
    source="[RBAC good practices](https://kubernetes.io/docs/concepts/security/rbac-good-practices/); "
    "kube-linter `default-service-account`; checkov CKV_K8S_42",
)
def rbac_named_subjects(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a binding to all users, all service accounts, or a namespace's `default` account."""
    for subject in placed(manifest, "subjects") if kind_of(manifest) in _BINDINGS else ():
        name, kind = text(subject, "name"), text(subject, "kind")
        if name in _EVERYBODY or (kind == "Group" and name.startswith("system:serviceaccounts")):
            yield Finding(f"gives its rights to {name}", subject.at("name"))
        elif kind == "ServiceAccount" and name == "default":
            yield Finding(
                "gives its rights to every pod that names no service account (default)",
                subject.at("name"),
                "make a ServiceAccount for the pods that need them",
            )


@stack_rule(
    "binding-references",
    "error",
    "Role bindings name roles and service accounts that exist.",
    subjects=lambda stack: stack.of_kind(*_BINDINGS),
    remedy="correct roleRef and subjects",
    complete=True,
)
def binding_references(binding: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a Role that the stack lacks, and on a service account that it lacks in a namespace of its own.

    A ClusterRole of another stack is left alone: operators bring theirs.
    """
    kind, name = text(binding, "roleRef", "kind"), text(binding, "roleRef", "name")
    own = namespace_of(binding)
    # Kubernetes puts roles into its own namespaces.
    if kind == "Role" and not own.startswith("kube-") and stack.named("Role", own, name) is None:
        what = f'the Role "{name}" does not exist in this namespace, so the binding gives nothing'
        yield Finding(what, "roleRef.name", "correct roleRef")
    for subject in placed(binding, "subjects"):
        if text(subject, "kind") != "ServiceAccount" or text(subject, "name") == "default":
            continue
        namespace = text(subject, "namespace") or own
        if (
            stack.named("Namespace", "", namespace) is not None
            and stack.named("ServiceAccount", namespace, text(subject, "name")) is None
        ):
            yield Finding(
                f'the ServiceAccount "{text(subject, "name")}" does not exist in the namespace "{namespace}": whoever '
                "makes it gets these rights",
                subject.at("name"),
                "correct subjects",
            )


RULES: tuple[Rule, ...] = (
    no_rbac_wildcards,
    no_rbac_escalation,
    rbac_secrets,
    no_cluster_admin,
    rbac_named_subjects,
    binding_references,
)
