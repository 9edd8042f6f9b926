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

from .model import Rule, manifest_rule


@manifest_rule("image-tag", "error", "Images are pinned to a tag other than `latest`, or to a digest.")
def image_tag(manifest: Manifest) -> Iterator[str]:
    """Fires on an image without tag, with the tag `latest`, and on a container without image."""
    for container in containers(manifest):
        image = text(container, "image")
        _, _, tag = image.rpartition("/")[2].partition(":")
        if "@" in image or (tag and tag != "latest"):
            continue
        problem = f'has the image "{image}", which can change at any restart' if image else "has no image"
        yield f"{where(container)} {problem}; name a version (image:1.2.3) or a digest (image@sha256:...)"


@manifest_rule("resource-requests", "error", "Containers request CPU and memory.")
def resource_requests(manifest: Manifest) -> Iterator[str]:
    """Fires on each of cpu and memory that is neither requested nor limited."""
    for container in containers(manifest):
        for resource in ("cpu", "memory"):
            if effective_request(container, resource) is None:
                yield f"{where(container)} requests no {resource}; set resources.requests.{resource}"


@manifest_rule("memory-limit", "error", "Containers have a memory limit.")
def memory_limit(manifest: Manifest) -> Iterator[str]:
    """Fires on a missing memory limit."""
    for container in containers(manifest):
        if get(container, "resources", "limits", "memory") is None:
            yield f"{where(container)} may use all memory of its node; set resources.limits.memory"


@manifest_rule("cpu-limit", "warning", "Containers have a CPU limit.")
def cpu_limit(manifest: Manifest) -> Iterator[str]:
    """Fires on a missing CPU limit."""
    for container in containers(manifest):
        if get(container, "resources", "limits", "cpu") is None:
            yield f"{where(container)} may use all CPU time of its node; set resources.limits.cpu"


@manifest_rule("readiness-probe", "error", "Long-running containers have a readiness probe.")
def readiness_probe(manifest: Manifest) -> Iterator[str]:
    """Fires on regular containers and sidecars, except in Jobs and in Pods that end by themselves."""
    for container in running_containers(manifest) if is_long_running(manifest) else ():
        if not get(container, "readinessProbe"):
            yield f"{where(container)} counts as ready as soon as it starts; set readinessProbe"


@manifest_rule("liveness-probe", "warning", "Long-running containers have a liveness probe.")
def liveness_probe(manifest: Manifest) -> Iterator[str]:
    """Fires where `readiness-probe` would."""
    for container in running_containers(manifest) if is_long_running(manifest) else ():
        if not get(container, "livenessProbe"):
            yield f"{where(container)} is not restarted when it hangs; set livenessProbe"


RULES: tuple[Rule, ...] = (
    image_tag,
    resource_requests,
    memory_limit,
    cpu_limit,
    readiness_probe,
    liveness_probe,
)
