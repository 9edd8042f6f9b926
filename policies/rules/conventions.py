"""What every object is: of a version that is served, of a kind that is known, named and labelled as others are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from manifests.fields import mapping, objects, text
from manifests.manifest import Manifest
from manifests.stack import Stack
from manifests.workloads import WORKLOAD_KINDS, containers, kind_of, where

from .model import Config, Rule, manifest_rule, stack_rule

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
    source="[deprecation guide](https://kubernetes.io/docs/reference/using-api/deprecation-guide/)",
)
def served_api_version(manifest: Manifest) -> Iterator[str]:
    """Fires on a version that a release up to 1.36 has removed."""
    version, kind = text(manifest, "apiVersion"), text(manifest, "kind")
    removed = _REMOVED.get((version, kind)) or _REMOVED.get((version, "*"))
    if removed:
        yield f"{version} is gone since Kubernetes {removed[0]}; use {removed[1]}"


@stack_rule(
    "custom-resource-definition",
    "error",
    "Custom resources are of kinds that the stack or the cluster defines.",
    subjects=lambda stack: stack.manifests,
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
def custom_resource_definition(manifest: Manifest, stack: Stack, config: Config) -> Iterator[str]:
    """Fires on a kind of a group that is not Kubernetes's own, without a CustomResourceDefinition in the stack.

    Groups of operators that the cluster is expected to have are configured.
    """
    group, kind = text(manifest, "apiVersion").rpartition("/")[0], text(manifest, "kind")
    if "." not in group or (group.endswith(".k8s.io") and group != "gateway.networking.k8s.io"):
        return
    if (group, kind) not in stack.defined_kinds and group not in config["groups"]:
        yield (
            f"nothing defines {kind} of {group}, so the API server refuses it; add its CustomResourceDefinition, or "
            "the group to the property groups of this rule if the cluster has it"
        )


@manifest_rule(
    "standard-labels",
    "warning",
    "Workloads say what they are with the recommended labels.",
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
def standard_labels(manifest: Manifest, config: Config) -> Iterator[str]:
    """Fires on a workload without one of the labels; a PodTemplate is no workload of its own."""
    if kind_of(manifest) not in WORKLOAD_KINDS or kind_of(manifest) == "PodTemplate":
        return
    labels = mapping(manifest, "metadata", "labels")
    missing = [label for label in config["labels"] if label not in labels]
    if missing:
        yield f"has no label {' and '.join(missing)}, by which people and tools find it; add it to metadata.labels"


@manifest_rule(
    "no-default-namespace",
    "warning",
    "Nothing runs in the namespace `default`.",
    source="kube-linter `use-namespace`; checkov CKV_K8S_21; kubescape C-0061",
)
def no_default_namespace(manifest: Manifest) -> Iterator[str]:
    """Fires on a workload that says `default`; one that names no namespace goes into that of whoever applies it."""
    if kind_of(manifest) in WORKLOAD_KINDS and text(manifest, "metadata", "namespace") == "default":
        yield "runs in the namespace default, where nothing is limited or isolated; set metadata.namespace"


@manifest_rule(
    "image-registry",
    "error",
    "Images come from the registries that are allowed.",
    config_schema={
        "registries": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Beginnings of allowed images, such as `ghcr.io/acme`; `docker.io/library` for plain names.",
        }
    },
    source="kubescape C-0078",
)
def image_registry(manifest: Manifest, config: Config) -> Iterator[str]:
    """Fires on an image from elsewhere. Silent until registries are configured."""
    allowed = config.get("registries")
    for container in containers(manifest) if allowed else ():
        image = qualified(text(container, "image"))
        if not any(image.startswith(f"{registry.rstrip('/')}/") for registry in allowed or ()):
            yield f"{where(container)} comes from {image.rpartition('/')[0]}, which is not allowed; copy the image"


def qualified(image: str) -> str:
    """Write out what the container runtime adds to an image's name: the registry, and its folder."""
    first, slash, _ = image.partition("/")
    if not slash:
        return f"docker.io/library/{image}"
    return image if "." in first or ":" in first or first == "localhost" else f"docker.io/{image}"


@manifest_rule(
    "unique-variables",
    "error",
    "A container's environment variables have different names.",
    source="kube-linter `duplicate-env-var`; kube-score `environment-variable-key-duplication`",
)
def unique_variables(manifest: Manifest) -> Iterator[str]:
    """Fires on a name that stands twice in `env`: the last one counts."""
    for container in containers(manifest):
        names = [text(variable, "name") for variable in objects(container, "env")]
        for name in dict.fromkeys(name for name in names if name and names.count(name) > 1):
            yield f"{where(container)} sets {name} {names.count(name)} times, and only the last counts; keep one"


RULES: tuple[Rule, ...] = (
    served_api_version,
    custom_resource_definition,
    standard_labels,
    no_default_namespace,
    image_registry,
    unique_variables,
)
