"""Images, resources and probes.

Requests for CPU and memory place a pod and feed its autoscaler; a memory limit keeps a leak from taking the
node down. Both are errors. A missing CPU limit costs others no more than spare CPU time, and a limit throttles:
a warning. See https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/.

A rollout waits for readiness and Services send traffic by it, so a missing readiness probe is an error. A
missing liveness probe only leaves a hanging process alone: a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

from manifests.fields import get, text
from manifests.manifest import Manifest
from manifests.workloads import containers, effective_request, is_long_running, running_containers, where
from policies.findings import Finding
from policies.model import Rule, manifest_rule


@manifest_rule(
    "image-tag",
    "error",
    "Images are pinned to a tag other than `latest`, or to a digest.",
    remedy="name a version (image:1.2.3) or a digest (image@sha256:...)",
)
def image_tag(manifest: Manifest) -> Iterator[Finding]:
    """Fires on an image without tag, with the tag `latest`, and on a container without image."""
    for container in containers(manifest):
        image = text(container, "image")
        _, _, tag = image.rpartition("/")[2].partition(":")
        if "@" in image or (tag and tag != "latest"):
            continue
        problem = f'has the image "{image}", which can change at any restart' if image else "has no image"
        yield Finding(f"{where(container)} {problem}", container.at("image"))


@manifest_rule(
    "resource-requests",
    "error",
    "Containers request CPU and memory.",
    remedy="set resources.requests.cpu and resources.requests.memory",
)
def resource_requests(manifest: Manifest) -> Iterator[Finding]:
    """Fires on each of cpu and memory that is neither requested nor limited."""
    for container in containers(manifest):
        for resource in ("cpu", "memory"):
            if effective_request(container, resource) is None:
                path = container.at("resources", "requests", resource)
                remedy = f"set resources.requests.{resource}"
                yield Finding(f"{where(container)} requests no {resource}", path, remedy)


@manifest_rule("memory-limit", "error", "Containers have a memory limit.", remedy="set resources.limits.memory")
def memory_limit(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a missing memory limit."""
    for container in containers(manifest):
        if get(container, "resources", "limits", "memory") is None:
            path = container.at("resources", "limits", "memory")
            yield Finding(f"{where(container)} may use all memory of its node", path)


@manifest_rule("cpu-limit", "warning", "Containers have a CPU limit.", remedy="set resources.limits.cpu")
def cpu_limit(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a missing CPU limit."""
    for container in containers(manifest):
        if get(container, "resources", "limits", "cpu") is None:
            path = container.at("resources", "limits", "cpu")
            yield Finding(f"{where(container)} may use all CPU time of its node", path)


@manifest_rule(
    "readiness-probe", "error", "Long-running containers have a readiness probe.", remedy="set readinessProbe"
)
def readiness_probe(manifest: Manifest) -> Iterator[Finding]:
    """Fires on regular containers and sidecars, except in Jobs and in Pods that end by themselves."""
    for container in running_containers(manifest) if is_long_running(manifest) else ():
        if not get(container, "readinessProbe"):
            what = f"{where(container)} counts as ready as soon as it starts"
            yield Finding(what, container.at("readinessProbe"))


@manifest_rule(
    "liveness-probe", "warning", "Long-running containers have a liveness probe.", remedy="set livenessProbe"
)
def liveness_probe(manifest: Manifest) -> Iterator[Finding]:
    """Fires where `readiness-probe` would."""
    for container in running_containers(manifest) if is_long_running(manifest) else ():
        if not get(container, "livenessProbe"):
            yield Finding(f"{where(container)} is not restarted when it hangs", container.at("livenessProbe"))


RULES: tuple[Rule, ...] = (
    image_tag,
    resource_requests,
    memory_limit,
    cpu_limit,
    readiness_probe,
    liveness_probe,
)
