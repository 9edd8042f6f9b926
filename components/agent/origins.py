"""Which field of an agent's declaration decides a field of its objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ORIGINS: Final[Mapping[str, tuple[str, ...]]] = {
    "template.metadata.annotations": ("metrics",),
    "template.spec.containers.image": ("image",),
    "template.spec.containers.args": ("args",),
    "template.spec.containers.env": ("env",),
    "template.spec.containers.ports": ("port",),
    "template.spec.containers.resources": ("resources",),
    "template.spec.containers.lifecycle": ("shutdown.preStop",),
    "template.spec.containers.startupProbe": ("probes.startup",),
    "template.spec.containers.livenessProbe": ("probes.liveness",),
    "template.spec.containers.readinessProbe": ("probes.readiness",),
    "template.spec.containers.securityContext.runAsUser": ("user",),
    "template.spec.securityContext.runAsUser": ("user",),
    "template.spec.terminationGracePeriodSeconds": ("shutdown.longestTask",),
    "template.spec.volumes.emptyDir": ("scratch",),
    "template.spec.nodeSelector": ("placement",),
    "template.spec.affinity": ("placement",),
    "template.spec.tolerations": ("placement",),
    "template.spec.topologySpreadConstraints": ("placement",),
    "spec.replicas": ("replicas", "scaling"),
    "spec.strategy": ("rollout",),
    "spec.minReplicas": ("scaling.min",),
    "spec.maxReplicas": ("scaling.max",),
    "spec.behavior": ("scaling.scaleDownAfter",),
    "spec.metrics": ("scaling",),
    "spec.minReplicaCount": ("scaling.min",),
    "spec.maxReplicaCount": ("scaling.max",),
    "spec.triggers": ("scaling.queue",),
    "spec.schedule": ("cron.schedule",),
    "spec.timeZone": ("cron.timeZone",),
    "spec.activeDeadlineSeconds": ("job.deadline",),
    "spec.backoffLimit": ("job.retries",),
    "spec.completions": ("job.completions",),
    "spec.parallelism": ("job.parallelism",),
    "spec.ttlSecondsAfterFinished": ("job.ttlAfterFinished",),
    "spec.minAvailable": ("replicas", "scaling"),
    "spec.maxUnavailable": ("replicas", "scaling"),
    "spec.egress": ("egress",),
    "data": ("env",),
    "spec.data": ("secrets",),
}
"""As `Part.origins` describes it; what a CronJob has for its Jobs stands here as it does in a Job."""
