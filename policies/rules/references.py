"""What objects say of each other by name: it exists, and has the key or the port that is meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from manifests.fields import Placed, mapping, objects, path_to, placed, text, whole
from manifests.manifest import Manifest, identity
from manifests.references import Reference, keys_of, references
from manifests.stack import Stack
from manifests.workloads import WORKLOAD_KINDS, containers, kind_of, namespace_of, pod_spec, where
from policies.findings import Finding
from policies.model import Config, Rule, manifest_rule, stack_rule

_OF_THE_CLUSTER: Final = "kube-root-ca.crt"
"""The ConfigMap that Kubernetes puts into every namespace."""


@stack_rule(
    "config-map-exists",
    "error",
    "ConfigMaps that pods read exist, with the keys that are read.",
    subjects=lambda stack: stack.of_kind(*WORKLOAD_KINDS),
    remedy="add or correct it",
    complete=True,
)
def config_map_exists(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a reference that is not optional to a ConfigMap, or a key of one, that the stack does not have."""
    missing: dict[str, Reference] = {}
    for reference in dict.fromkeys(references(workload)):
        if reference.kind != "ConfigMap" or reference.name == _OF_THE_CLUSTER:
            continue
        found = stack.named("ConfigMap", namespace_of(workload), reference.name)
        if found is None:
            missing.setdefault(reference.name, reference)
            continue
        keys = keys_of(found)
        if reference.key and keys is not None and reference.key not in keys:
            yield Finding(
                f'{reference.where} reads the key "{reference.key}" of the ConfigMap "{reference.name}", which does '
                "not have it",
                reference.path,
            )
    for name, reference in missing.items():
        yield Finding(f'{reference.where} reads the ConfigMap "{name}", which does not exist', reference.path)


@stack_rule(
    "secret-exists",
    "warning",
    "Secrets that pods read are made by the stack, or known to be made beside it.",
    subjects=lambda stack: stack.of_kind(*WORKLOAD_KINDS),
    remedy="make it and list it under existing of this rule in policies/config, or declare an ExternalSecret",
    config_schema={
        "existing": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Secrets that are made beside the stack, before it is deployed, as `namespace/name`.",
        }
    },
    complete=True,
)
def secret_exists(workload: Manifest, stack: Stack, config: Config) -> Iterator[Finding]:
    """Fires once for each Secret that neither the stack, an operator by an object of the stack, nor the configuration
    promises. A warning: the cluster may have it all the same.
    """
    namespace, existing = namespace_of(workload), config.get("existing") or ()
    first: dict[str, Reference] = {}
    for reference in references(workload):
        if reference.kind == "Secret":
            first.setdefault(reference.name, reference)
    for name, reference in first.items():
        if f"{namespace}/{name}" in existing or (namespace, name) in stack.promised_secrets:
            continue
        if stack.named("Secret", namespace, name) is None:
            what = f'the pods do not start before somebody makes the Secret "{name}" in the namespace "{namespace}"'
            yield Finding(what, reference.path)


@stack_rule(
    "secret-key-exists",
    "error",
    "Secrets of the stack have the keys that pods read.",
    subjects=lambda stack: stack.of_kind(*WORKLOAD_KINDS),
    remedy="add or correct it",
)
def secret_key_exists(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a key that a Secret of the stack lacks; silent on a Secret whose keys are not known yet."""
    for reference in dict.fromkeys(references(workload)):
        if reference.kind != "Secret" or not reference.key:
            continue
        found = stack.named("Secret", namespace_of(workload), reference.name)
        keys = None if found is None else keys_of(found)
        if keys is not None and reference.key not in keys:
            yield Finding(
                f'{reference.where} reads the key "{reference.key}" of the Secret "{reference.name}", which does not '
                "have it",
                reference.path,
            )


@stack_rule(
    "service-account-exists",
    "error",
    "Service accounts of pods exist.",
    subjects=lambda stack: stack.of_kind(*WORKLOAD_KINDS),
    remedy="add or correct it",
    source="kube-linter `non-existent-service-account`",
    complete=True,
)
def service_account_exists(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a service account that the stack does not declare: no pod is made without it."""
    pod = pod_spec(workload)
    name = text(pod, "serviceAccountName")
    if name and name != "default" and stack.named("ServiceAccount", namespace_of(workload), name) is None:
        what = f'no pod is made without the ServiceAccount "{name}", which does not exist'
        yield Finding(what, pod.at("serviceAccountName"))


@stack_rule(
    "claim-exists",
    "warning",
    "PersistentVolumeClaims of pods exist.",
    subjects=lambda stack: stack.of_kind(*WORKLOAD_KINDS),
    remedy="add or correct it",
    complete=True,
)
def claim_exists(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a claim that the stack does not declare: the pods wait until somebody makes it."""
    for volume in placed(pod_spec(workload), "volumes"):
        name = text(volume, "persistentVolumeClaim", "claimName")
        if name and stack.named("PersistentVolumeClaim", namespace_of(workload), name) is None:
            what = f'the pods wait for the PersistentVolumeClaim "{name}", which does not exist'
            yield Finding(what, volume.at("persistentVolumeClaim", "claimName"))


@manifest_rule(
    "volume-exists",
    "error",
    "Mounts name volumes of their pod, each at a place of its own.",
    remedy="add or correct the volume, and mount one volume at each path",
)
def volume_exists(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a mount of no volume, and on two at one path: the API server refuses both."""
    declared = {text(volume, "name") for volume in objects(pod_spec(manifest), "volumes")}
    if kind_of(manifest) == "StatefulSet":
        declared |= {text(claim, "metadata", "name") for claim in objects(manifest, "spec", "volumeClaimTemplates")}
    for container in containers(manifest):
        taken: set[str] = set()
        for mount in placed(container, "volumeMounts"):
            name, path = text(mount, "name"), text(mount, "mountPath")
            if name not in declared:
                what = f'{where(container)} mounts the volume "{name}", which the pod does not have'
                yield Finding(what, mount.at("name"), "add or correct it")
            if path in taken:
                yield Finding(f"{where(container)} mounts two volumes at {path}", mount.at("mountPath"), "remove one")
            taken.add(path)


@stack_rule(
    "backend-exists",
    "error",
    "Ingresses and HTTPRoutes lead to Services and ports that exist.",
    subjects=lambda stack: stack.of_kind("Ingress", "HTTPRoute"),
    remedy="add or correct the Service or its port",
    source="kube-linter `dangling-ingress`; kube-score `ingress-targets-service`",
    complete=True,
)
def backend_exists(route: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a backend that is no Service of the stack, and on a port that its Service does not have."""
    for namespace, name, port, path in _backends(route):
        service = stack.named("Service", namespace, name)
        if service is None:
            what = f'leads to the Service "{name}", which the namespace "{namespace}" does not have'
            yield Finding(what, path_to(path, "name"), "add or correct it")
        elif port != "" and not any(
            port in (text(p, "name"), whole(p, "port")) for p in objects(service, "spec", "ports")
        ):
            what = f'leads to the port {port} of the Service "{name}", which does not have it'
            yield Finding(what, path_to(path, "port"), "correct the port")


def _backends(route: Manifest) -> Iterator[tuple[str, str, str | int, str]]:
    """The namespace, name, port (a number or a name; empty: any) and place of each Service that a route leads to."""
    own = namespace_of(route)
    if kind_of(route) == "Ingress":
        paths = [path for rule in placed(route, "spec", "rules") for path in placed(rule, "http", "paths")]
        default = Placed(mapping(route, "spec", "defaultBackend"), None, "spec", "defaultBackend")
        for backend in (default, *(Placed(mapping(path, "backend"), path, "backend") for path in paths)):
            service = mapping(backend, "service")
            if service:
                port = mapping(service, "port")
                number = whole(port, "number") or text(port, "name")
                yield own, text(service, "name"), number, backend.at("service")
        return
    for rule in placed(route, "spec", "rules"):
        for backend in placed(rule, "backendRefs"):
            if text(backend, "kind") in ("", "Service") and not text(backend, "group"):
                namespace = text(backend, "namespace") or own
                yield namespace, text(backend, "name"), whole(backend, "port") or "", backend.path


@stack_rule(
    "unique-objects",
    "error",
    "Every object is declared once.",
    subjects=lambda stack: stack.repeated,
    remedy="rename or remove one",
)
def unique_objects(manifest: Manifest, _: Stack) -> Iterator[Finding]:
    """Fires on the second object of the same group, kind, namespace and name: one overwrites the other."""
    remedy = f"rename or remove one {identity(manifest)[0]}"
    yield Finding("is declared twice, and one overwrites the other", "metadata.name", remedy)


RULES: tuple[Rule, ...] = (
    config_map_exists,
    secret_exists,
    secret_key_exists,
    service_account_exists,
    claim_exists,
    volume_exists,
    backend_exists,
    unique_objects,
)
