"""What every object is: of a version that is served, of a kind that is known, named and labelled as others are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from manifests.fields import mapping, path_to, placed, text
from manifests.images import qualified
from manifests.manifest import Manifest
from manifests.stack import Stack
from manifests.workloads import WORKLOAD_KINDS, containers, kind_of, where
from policies.findings import Finding
from policies.model import Config, Rule, manifest_rule, stack_rule

# https://kubernetes.io/docs/reference/using-api/deprecation-guide/, to Kubernetes 1.36. An asterisk: every kind.
_REMOVED: Final = {
    ("extensions/v1beta1", "NetworkPolicy"): ("1.16", "networking.k8s.io/v1"),
    ("extensions/v1beta1", "PodSecurityPolicy"): ("1.16", "a Pod Security label on the namespace"),
    ("extensions/v1beta1", "Ingress"): ("1.22", "networking.k8s.io/v1"),
    ("extensions/v1beta1", "*"): ("1.16", "apps/v1"),
    ("apps/v1beta1", "*"): ("1.16", "apps/v1"),
    ("apps/v1beta2", "*"): ("1.16", "apps/v1"),
    ("admissionregistration.k8s.io/v1beta1", "MutatingWebhookConfiguration"): (
        "1.22",
        "admissionregistration.k8s.io/v1",
    ),
    ("admissionregistration.k8s.io/v1beta1", "ValidatingWebhookConfiguration"): (
        "1.22",
        "admissionregistration.k8s.io/v1",
    ),
    ("apiextensions.k8s.io/v1beta1", "*"): ("1.22", "apiextensions.k8s.io/v1"),
    ("apiregistration.k8s.io/v1beta1", "*"): ("1.22", "apiregistration.k8s.io/v1"),
    ("authentication.k8s.io/v1beta1", "TokenReview"): ("1.22", "authentication.k8s.io/v1"),
    ("authorization.k8s.io/v1beta1", "*"): ("1.22", "authorization.k8s.io/v1"),
    ("certificates.k8s.io/v1beta1", "CertificateSigningRequest"): ("1.22", "certificates.k8s.io/v1"),
    ("coordination.k8s.io/v1beta1", "Lease"): ("1.22", "coordination.k8s.io/v1"),
    ("networking.k8s.io/v1beta1", "Ingress"): ("1.22", "networking.k8s.io/v1"),
    ("networking.k8s.io/v1beta1", "IngressClass"): ("1.22", "networking.k8s.io/v1"),
    ("rbac.authorization.k8s.io/v1beta1", "*"): ("1.22", "rbac.authorization.k8s.io/v1"),
    ("scheduling.k8s.io/v1beta1", "PriorityClass"): ("1.22", "scheduling.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "CSIDriver"): ("1.22", "storage.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "CSINode"): ("1.22", "storage.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "StorageClass"): ("1.22", "storage.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "VolumeAttachment"): ("1.22", "storage.k8s.io/v1"),
    ("batch/v1beta1", "CronJob"): ("1.25", "batch/v1"),
    ("discovery.k8s.io/v1beta1", "EndpointSlice"): ("1.25", "discovery.k8s.io/v1"),
    ("events.k8s.io/v1beta1", "Event"): ("1.25", "events.k8s.io/v1"),
    ("autoscaling/v2beta1", "HorizontalPodAutoscaler"): ("1.25", "autoscaling/v2"),
    ("policy/v1beta1", "PodDisruptionBudget"): ("1.25", "policy/v1"),
    ("policy/v1beta1", "PodSecurityPolicy"): ("1.25", "a Pod Security label on the namespace"),
    ("node.k8s.io/v1beta1", "RuntimeClass"): ("1.25", "node.k8s.io/v1"),
    ("autoscaling/v2beta2", "HorizontalPodAutoscaler"): ("1.26", "autoscaling/v2"),
    ("flowcontrol.apiserver.k8s.io/v1beta1", "*"): ("1.26", "flowcontrol.apiserver.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "CSIStorageCapacity"): ("1.27", "storage.k8s.io/v1"),
    ("flowcontrol.apiserver.k8s.io/v1beta2", "*"): ("1.29", "flowcontrol.apiserver.k8s.io/v1"),
    ("flowcontrol.apiserver.k8s.io/v1beta3", "*"): ("1.32", "flowcontrol.apiserver.k8s.io/v1"),
}

_OPERATORS: Final = [
    "bitnami.com",
    "cert-manager.io",
    "cilium.io",
    "external-secrets.io",
    "gateway.networking.k8s.io",
    "keda.sh",
    "monitoring.coreos.com",
]
_NAMES: Final = ["app.kubernetes.io/name"]


@manifest_rule(
    "served-api-version",
    "error",
    "Objects are of API versions that Kubernetes still serves.",
    remedy="use the version that took its place",
    source="[deprecation guide](https://kubernetes.io/docs/reference/using-api/deprecation-guide/)",
)
def served_api_version(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a version that a release up to 1.36 has removed."""
    version, kind = text(manifest, "apiVersion"), text(manifest, "kind")
    removed = _REMOVED.get((version, kind)) or _REMOVED.get((version, "*"))
    if removed:
        yield Finding(f"{version} is gone since Kubernetes {removed[0]}", "apiVersion", f"use {removed[1]}")


@stack_rule(
    "custom-resource-definition",
    "error",
    "Custom resources are of kinds that the stack or the cluster defines.",
    subjects=lambda stack: stack.manifests,
    remedy="add its CustomResourceDefinition, or the group to the property groups of this rule if the cluster has it",
    config_schema={
        "groups": {
            "type": "array",
            "items": {"type": "string"},
            "default": _OPERATORS,
            "description": "API groups whose definitions the cluster has before the stack is deployed.",
        }
    },
    complete=True,
)
def custom_resource_definition(manifest: Manifest, stack: Stack, config: Config) -> Iterator[Finding]:
    """Fires on a kind of a group that is not Kubernetes's own, without a CustomResourceDefinition in the stack.

    Groups of operators that the cluster is expected to have are configured.
    """
    group, kind = text(manifest, "apiVersion").rpartition("/")[0], text(manifest, "kind")
    if "." not in group or (group.endswith(".k8s.io") and group != "gateway.networking.k8s.io"):
        return
    if (group, kind) not in stack.defined_kinds and group not in config["groups"]:
        yield Finding(f"nothing defines {kind} of {group}, so the API server refuses it", "apiVersion")


@manifest_rule(
    "standard-labels",
    "warning",
    "Workloads say what they are with the recommended labels.",
    remedy="add it to metadata.labels",
    config_schema={
        "labels": {
            "type": "array",
            "items": {"type": "string"},
            "default": _NAMES,
            "description": "Labels that every workload has.",
        }
    },
    source="[recommended labels](https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/); "
    "kubescape C-0077",
)
def standard_labels(manifest: Manifest, config: Config) -> Iterator[Finding]:
    """Fires on a workload without one of the labels; a PodTemplate is no workload of its own."""
    if kind_of(manifest) not in WORKLOAD_KINDS or kind_of(manifest) == "PodTemplate":
        return
    labels = mapping(manifest, "metadata", "labels")
    missing = [label for label in config["labels"] if label not in labels]
    if missing:
        what = f"has no label {' and '.join(missing)}, by which people and tools find it"
        yield Finding(what, path_to("metadata.labels", missing[0]))


@manifest_rule(
    "no-default-namespace",
    "warning",
    "Nothing runs in the namespace `default`.",
    remedy="set metadata.namespace",
    source="kube-linter `use-namespace`; checkov CKV_K8S_21; kubescape C-0061",
)
def no_default_namespace(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a workload that says `default`; one that names no namespace goes into that of whoever applies it."""
    if kind_of(manifest) in WORKLOAD_KINDS and text(manifest, "metadata", "namespace") == "default":
        yield Finding("runs in the namespace default, where nothing is limited or isolated", "metadata.namespace")


@manifest_rule(
    "image-registry",
    "error",
    "Images come from the registries that are allowed.",
    remedy="copy the image to a registry that is allowed",
    config_schema={
        "registries": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Beginnings of allowed images, such as `ghcr.io/acme`; `docker.io/library` for plain names.",
        }
    },
    source="kubescape C-0078",
)
def image_registry(manifest: Manifest, config: Config) -> Iterator[Finding]:
    """Fires on an image from elsewhere. Silent until registries are configured."""
    allowed = config.get("registries")
    for container in containers(manifest) if allowed else ():
        image = qualified(text(container, "image"))
        if not any(image.startswith(f"{registry.rstrip('/')}/") for registry in allowed or ()):
            what = f"{where(container)} comes from {image.rpartition('/')[0]}, which is not allowed"
            yield Finding(what, container.at("image"))


@manifest_rule(
    "unique-variables",
    "error",
    "A container's environment variables have different names.",
    remedy="keep one",
    source="kube-linter `duplicate-env-var`; kube-score `environment-variable-key-duplication`",
)
def unique_variables(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a name that stands twice in `env`: the last one counts."""
    for container in containers(manifest):
        named: dict[str, list[str]] = {}
        for variable in placed(container, "env"):
            named.setdefault(text(variable, "name"), []).append(variable.path)
        for name, paths in named.items():
            if name and len(paths) > 1:
                what = f"{where(container)} sets {name} {len(paths)} times, and only the last counts"
                yield Finding(what, paths[1])


RULES: tuple[Rule, ...] = (
    served_api_version,
    custom_resource_definition,
    standard_labels,
    no_default_namespace,
    image_registry,
    unique_variables,
)
