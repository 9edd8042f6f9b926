"""The pods of an agent: whatever starts them, they are made here."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.connection import mounted_files
from components.pods import (
    config_hash,
    empty_dir,
    field_variable,
    resource_requirements,
    scrape_annotations,
    secure_pod,
    spread,
)
from components.workloads import template
from settings import Probe

from .declaration import Declaration, caller_label
from .placement import affinity, pool_label, tolerations
from .reload import inputs


def pod_template(agent: Declaration) -> k8s.core.v1.PodTemplateSpecArgs:
    """Return the template of an agent's pods; `reload` says whether changed configuration makes it another."""
    settings, environment = agent.settings, agent.environment
    pod_labels = agent.pod_labels | pool_label(agent)
    for connection in agent.connections:
        pod_labels |= connection.pod_labels
    pod_labels |= settings.identity.pod_labels()
    for called in settings.calls:
        pod_labels |= caller_label(called)
    given = inputs(agent)
    annotations = given.annotations
    if settings.metrics is not None and settings.metrics_port is not None:
        annotations |= scrape_annotations(settings.metrics_port, settings.metrics.path)
    ports = [k8s.core.v1.ContainerPortArgs(name="http", container_port=settings.port)]
    if settings.metrics_port not in (None, settings.port):
        ports.append(k8s.core.v1.ContainerPortArgs(name="metrics", container_port=settings.metrics_port))
    files = mounted_files(agent.connections)
    pause = int(settings.shutdown.pre_stop.total_seconds())
    container = k8s.core.v1.ContainerArgs(
        name=agent.name,
        image=settings.image,
        args=list(settings.args) or None,
        ports=ports,
        env_from=given.env_from or None,
        env=[
            *given.env,
            field_variable("POD_NAME", "metadata.name"),
            *(field_variable(key, path) for uses in agent.connections for key, path in uses.fields.items()),
        ],
        resources=resource_requirements(settings.resources, agent.devices),
        startup_probe=_probe(settings.probes.startup) if settings.probes else None,
        liveness_probe=_probe(settings.probes.liveness) if settings.probes else None,
        readiness_probe=_probe(settings.probes.readiness) if settings.probes else None,
        # The endpoints still list a pod for a moment after its end began. `sleep` needs no shell in the image;
        # on by default since Kubernetes 1.30.
        lifecycle=k8s.core.v1.LifecycleArgs(
            pre_stop=k8s.core.v1.LifecycleHandlerArgs(sleep=k8s.core.v1.SleepActionArgs(seconds=pause))
        )
        if pause
        else None,
        volume_mounts=[k8s.core.v1.VolumeMountArgs(name="scratch", mount_path="/tmp"), *files.mounts, *given.mounts],
    )
    pod = secure_pod(
        [container],
        user=settings.user,
        account=agent.name,
        token=settings.identity.token,
        image_pull_secret=environment.image_pull_secret,
        # Of pods that end, the Job makes others: they are counted, and their logs stay.
        restart_policy="Never" if settings.kind in ("job", "cron") else None,
        grace_seconds=settings.shutdown.grace_seconds,
        spread_constraints=spread(agent.selector),
        affinity=affinity(agent),
        tolerations=tolerations(agent),
        priority_class=settings.placement.priority_class,
        volumes=[
            empty_dir("scratch", str(settings.scratch)),
            *files.volumes,
            *given.volumes,
        ],
    )
    return template(pod, pod_labels, annotations)


def resolved(args: object) -> pulumi.Output[Any]:
    """What an object is declared with as plain data, with Pulumi's names in snake_case."""
    # Pulumi's input types keep their values in `__dict__`.
    return pulumi.Output.from_input(args).apply(lambda known: json.loads(json.dumps(known, default=vars)))


def declared_hash(args: object) -> pulumi.Output[str]:
    """A short hash of what an object is declared with, for what must be recreated, or waited for, when that changes."""
    return resolved(args).apply(lambda known: config_hash({"declared": json.dumps(known, sort_keys=True)}))


def _probe(probe: Probe) -> k8s.core.v1.ProbeArgs:
    return k8s.core.v1.ProbeArgs(
        http_get=k8s.core.v1.HTTPGetActionArgs(path=probe.path, port="http"),
        initial_delay_seconds=int(probe.initial_delay.total_seconds()) or None,
        period_seconds=int(probe.period.total_seconds()),
        timeout_seconds=int(probe.timeout.total_seconds()),
        failure_threshold=probe.failures,
    )
