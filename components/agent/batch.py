"""What runs an agent that ends: a Job, or a CronJob that makes one at every tick."""

from __future__ import annotations

from collections.abc import Iterable

import pulumi
import pulumi_kubernetes as k8s

from components.jobs import drains_ignored
from components.workloads import metadata

from .declaration import Declaration
from .pod import declared_hash, pod_template

_SKIP_AWAIT = {"pulumi.com/skipAwait": "true"}
"""A run may take days: the engine goes on at once, and what becomes of the run is the Job's to say."""


def job(agent: Declaration, *, needs: Iterable[pulumi.Resource], parent: pulumi.Resource) -> None:
    """Run the agent once: the Job `NAME-HASH`, with a hash of all that it was declared with.

    Another declaration makes another Job, since the template of a Job cannot change.
    """
    spec = _job_spec(agent)
    k8s.batch.v1.Job(
        agent.name,
        metadata=metadata(
            pulumi.Output.concat(agent.name, "-", declared_hash(spec)),
            agent.environment.namespace,
            agent.labels,
            _SKIP_AWAIT,
        ),
        spec=spec,
        opts=pulumi.ResourceOptions(
            parent=parent,
            depends_on=list(needs),
            # Or two versions of the agent would run side by side.
            delete_before_replace=True,
            custom_timeouts=_delete_timeout(agent),
        ),
    )


def cron(agent: Declaration, *, needs: Iterable[pulumi.Resource], parent: pulumi.Resource) -> None:
    """Run the agent by its schedule; another declaration counts from the next run on."""
    settings = agent.settings.cron
    if settings is None:
        raise ValueError(f"agent {agent.name} is of kind cron: give cron=Cron(schedule=...)")
    k8s.batch.v1.CronJob(
        agent.name,
        metadata=agent.metadata,
        spec=k8s.batch.v1.CronJobSpecArgs(
            schedule=settings.schedule,
            time_zone=settings.time_zone,
            concurrency_policy=settings.concurrency,
            starting_deadline_seconds=int(settings.starting_deadline.total_seconds()),
            suspend=settings.suspend,
            successful_jobs_history_limit=settings.successful_history,
            failed_jobs_history_limit=settings.failed_history,
            job_template=k8s.batch.v1.JobTemplateSpecArgs(
                metadata=k8s.meta.v1.ObjectMetaArgs(labels=agent.labels), spec=_job_spec(agent)
            ),
        ),
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(needs), custom_timeouts=_delete_timeout(agent)),
    )


def _job_spec(agent: Declaration) -> k8s.batch.v1.JobSpecArgs:
    run = agent.settings.run
    return k8s.batch.v1.JobSpecArgs(
        completions=run.completions,
        parallelism=run.parallelism,
        completion_mode="Indexed" if run.completions > 1 else "NonIndexed",
        backoff_limit=run.retries,
        active_deadline_seconds=int(run.deadline.total_seconds()),
        ttl_seconds_after_finished=None
        if run.ttl_after_finished is None
        else int(run.ttl_after_finished.total_seconds()),
        pod_failure_policy=drains_ignored(),
        template=pod_template(agent),
    )


def _delete_timeout(agent: Declaration) -> pulumi.CustomTimeouts:
    return pulumi.CustomTimeouts(delete=f"{5 * 60 + agent.settings.shutdown.grace_seconds}s")
