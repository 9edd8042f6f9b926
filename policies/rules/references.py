"""What objects say of each other by name: it exists, and has the key or the port that is meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from manifests.fields import get, mapping, objects, text, whole
from manifests.labels import SECRET_KEYS
from manifests.manifest import Manifest, identity
from manifests.stack import Stack
from manifests.workloads import WORKLOAD_KINDS, containers, kind_of, namespace_of, pod_spec, where

from .model import Config, Rule, manifest_rule, stack_rule

_OF_THE_CLUSTER: Final = "kube-root-ca.crt"
"""The ConfigMap that Kubernetes puts into every namespace."""


@dataclass(frozen=True)
class Reference:
    """What a pod reads from a ConfigMap or Secret; no key means all of it."""

    kind: str
    name: str
    key: str
    where: str
    volume: str = ""
    """The name of the volume that shows it as files; empty for a variable."""
    optional: bool = False
    """Whether the pod starts without it."""


def reads(workload: Manifest) -> Iterator[Reference]:
    """What the pods of `workload` read from ConfigMaps and Secrets."""
    for container in containers(workload):
        for variable in objects(container, "env"):
            place = f"{where(container)}: the variable {text(variable, 'name')}"
            for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
                if source := mapping(variable, "valueFrom", field):
                    key = text(source, "key")
                    yield Reference(kind, text(source, "name"), key, place, optional=_is_optional(source))
        for entry in objects(container, "envFrom"):
            for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
                if source := mapping(entry, field):
                    place = f"{where(container)}: envFrom"
                    yield Reference(kind, text(source, "name"), "", place, optional=_is_optional(source))
    for volume in objects(pod_spec(workload), "volumes"):
        yield from _of_volume(volume)


def _of_volume(volume: Manifest) -> Iterator[Reference]:
    name = text(volume, "name")
    for part in (volume, *objects(volume, "projected", "sources")):
        for kind, field, path in (
            ("ConfigMap", "configMap", "name"),
            ("Secret", "secret", "name" if part is not volume else "secretName"),
        ):
            if source := mapping(part, field):
                for key in [text(item, "key") for item in objects(source, "items")] or [""]:
                    yield Reference(
                        kind, text(source, path), key, f'the volume "{name}"', name, optional=_is_optional(source)
                    )


def _is_optional(source: Manifest) -> bool:
    return get(source, "optional") is True


def references(workload: Manifest) -> Iterator[Reference]:
    """What the pods of `workload` read from ConfigMaps and Secrets and cannot start without."""
    return (reference for reference in reads(workload) if not reference.optional)


def keys_of(manifest: Manifest) -> frozenset[str] | None:
    """The keys of a ConfigMap or Secret, or None where they are not known before deployment."""
    sections = [manifest.get(section) for section in ("data", "binaryData", "stringData")]
    if all(section is None for section in sections):
        written = text(manifest, "metadata", "annotations", SECRET_KEYS)
        if written or kind_of(manifest) == "Secret":
            return frozenset(written.split(",")) if written else None
    if any(section is not None and not isinstance(section, Mapping) for section in sections):
        return None
    return frozenset(key for section in sections if isinstance(section, Mapping) for key in section)


@stack_rule(
    "config-map-exists",
    "error",
    "ConfigMaps that pods read exist, with the keys that are read.",
    subjects=lambda stack: stack.of_kind(*WORKLOAD_KINDS),
    complete=True,
)
def config_map_exists(workload: Manifest, stack: Stack) -> Iterator[str]:
    """Fires on a reference that is not optional to a ConfigMap, or a key of one, that the stack does not have."""
    missing: dict[str, str] = {}
    for reference in dict.fromkeys(references(workload)):
        if reference.kind != "ConfigMap" or reference.name == _OF_THE_CLUSTER:
            continue
        found = stack.named("ConfigMap", namespace_of(workload), reference.name)
        if found is None:
            missing.setdefault(reference.name, reference.where)
            continue
        keys = keys_of(found)
        if reference.key and keys is not None and reference.key not in keys:
            yield (
                f'{reference.where} reads the key "{reference.key}" of the ConfigMap "{reference.name}", which does '
                "not have it; add or correct it"
            )
    for name, place in missing.items():
        yield f'{place} reads the ConfigMap "{name}", which does not exist; add or correct it'


@stack_rule(
    "secret-exists",
    "warning",
    "Secrets that pods read are made by the stack, or known to be made beside it.",
    subjects=lambda stack: stack.of_kind(*WORKLOAD_KINDS),
    config_schema={
        "existing": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Secrets that are made beside the stack, before it is deployed, as `namespace/name`.",
        }
    },
    complete=True,
)
def secret_exists(workload: Manifest, stack: Stack, config: Config) -> Iterator[str]:
    """Fires once for each Secret that neither the stack, an operator by an object of the stack, nor the configuration
    promises. A warning: the cluster may have it all the same.
    """
    namespace, existing = namespace_of(workload), config.get("existing") or ()
    for name in dict.fromkeys(r.name for r in references(workload) if r.kind == "Secret"):
        if f"{namespace}/{name}" in existing or (namespace, name) in stack.promised_secrets:
            continue
        if stack.named("Secret", namespace, name) is None:
            yield (
                f'the pods do not start before somebody makes the Secret "{name}" in the namespace "{namespace}"; '
                "make it and list it under existing of this rule in policies/config, or declare an ExternalSecret"
            )


@stack_rule(
    "secret-key-exists",
    "error",
    "Secrets of the stack have the keys that pods read.",
    subjects=lambda stack: stack.of_kind(*WORKLOAD_KINDS),
)
def secret_key_exists(workload: Manifest, stack: Stack) -> Iterator[str]:
    """Fires on a key that a Secret of the stack lacks; silent on a Secret whose keys are not known yet."""
    for reference in dict.fromkeys(references(workload)):
        if reference.kind != "Secret" or not reference.key:
            continue
        found = stack.named("Secret", namespace_of(workload), reference.name)
        keys = None if found is None else keys_of(found)
        if keys is not None and reference.key not in keys:
            yield (
                f'{reference.where} reads the key "{reference.key}" of the Secret "{reference.name}", which does not '
                "have it; add or correct it"
            )


@stack_rule(
    "service-account-exists",
    "error",
    "Service accounts of pods exist.",
    subjects=lambda stack: stack.of_kind(*WORKLOAD_KINDS),
    source="kube-linter `non-existent-service-account`",
    complete=True,
)
def service_account_exists(workload: Manifest, stack: Stack) -> Iterator[str]:
    """Fires on a service account that the stack does not declare: no pod is made without it."""
    name = text(pod_spec(workload), "serviceAccountName")
    if name and name != "default" and stack.named("ServiceAccount", namespace_of(workload), name) is None:
        yield f'no pod is made without the ServiceAccount "{name}", which does not exist; add or correct it'


@stack_rule(
    "claim-exists",
    "warning",
    "PersistentVolumeClaims of pods exist.",
    subjects=lambda stack: stack.of_kind(*WORKLOAD_KINDS),
    complete=True,
)
def claim_exists(workload: Manifest, stack: Stack) -> Iterator[str]:
    """Fires on a claim that the stack does not declare: the pods wait until somebody makes it."""
    for volume in objects(pod_spec(workload), "volumes"):
        name = text(volume, "persistentVolumeClaim", "claimName")
        if name and stack.named("PersistentVolumeClaim", namespace_of(workload), name) is None:
            yield f'the pods wait for the PersistentVolumeClaim "{name}", which does not exist; add or correct it'


@manifest_rule("volume-exists", "error", "Mounts name volumes of their pod, each at a place of its own.")
def volume_exists(manifest: Manifest) -> Iterator[str]:
    """Fires on a mount of no volume, and on two at one path: the API server refuses both."""
    declared = {text(volume, "name") for volume in objects(pod_spec(manifest), "volumes")}
    if kind_of(manifest) == "StatefulSet":
        declared |= {text(claim, "metadata", "name") for claim in objects(manifest, "spec", "volumeClaimTemplates")}
    for container in containers(manifest):
        taken: set[str] = set()
        for mount in objects(container, "volumeMounts"):
            name, path = text(mount, "name"), text(mount, "mountPath")
            if name not in declared:
                yield f'{where(container)} mounts the volume "{name}", which the pod does not have; add or correct it'
            if path in taken:
                yield f"{where(container)} mounts two volumes at {path}; remove one"
            taken.add(path)


@stack_rule(
    "backend-exists",
    "error",
    "Ingresses and HTTPRoutes lead to Services and ports that exist.",
    subjects=lambda stack: stack.of_kind("Ingress", "HTTPRoute"),
    source="kube-linter `dangling-ingress`; kube-score `ingress-targets-service`",
    complete=True,
)
def backend_exists(route: Manifest, stack: Stack) -> Iterator[str]:
    """Fires on a backend that is no Service of the stack, and on a port that its Service does not have."""
    for namespace, name, port in backends(route):
        service = stack.named("Service", namespace, name)
        if service is None:
            yield f'leads to the Service "{name}", which the namespace "{namespace}" does not have; add or correct it'
        elif port != "" and not any(
            port in (text(p, "name"), whole(p, "port")) for p in objects(service, "spec", "ports")
        ):
            yield f'leads to the port {port} of the Service "{name}", which does not have it; correct the port'


def backends(route: Manifest) -> Iterator[tuple[str, str, str | int]]:
    """The namespace, name and port, a number or a name (empty: any), of each Service that a route leads to."""
    own = namespace_of(route)
    if kind_of(route) == "Ingress":
        rules = objects(route, "spec", "rules")
        found = [mapping(path, "backend") for rule in rules for path in objects(rule, "http", "paths")]
        for backend in (mapping(route, "spec", "defaultBackend"), *found):
            service = mapping(backend, "service")
            if service:
                port = mapping(service, "port")
                yield own, text(service, "name"), whole(port, "number") or text(port, "name")
        return
    for rule in objects(route, "spec", "rules"):
        for backend in objects(rule, "backendRefs"):
            if text(backend, "kind") in ("", "Service") and not text(backend, "group"):
                yield text(backend, "namespace") or own, text(backend, "name"), whole(backend, "port") or ""


@stack_rule(
    "unique-objects",
    "error",
    "Every object is declared once.",
    subjects=lambda stack: stack.repeated,
)
def unique_objects(manifest: Manifest, _: Stack) -> Iterator[str]:
    """Fires on the second object of the same group, kind, namespace and name: one overwrites the other."""
    yield f"is declared twice, and one overwrites the other; rename or remove one {identity(manifest)[0]}"


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
