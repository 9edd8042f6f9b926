"""The CronJobs of backup and restore, and what they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components.context import Context, Namespace
from components.labels import labels, selector
from components.network import NetworkEdge, Peer, network_policy, outside
from components.pods import (
    empty_dir,
    resource_requirements,
    secret_variable,
    secure_pod,
    variables,
)
from components.redis.common import (
    NODE,
    PORT,
    TLS_DIR,
    Sources,
    client_variables,
    image,
    object_metadata,
    read,
    version,
)
from components.versions import RCLONE, REDIS
from components.workloads import metadata, template
from settings import BackupBucket, RedisBackup, RedisSettings, Resources

BACKUP = selector("redis", "backup")
"""The pods of both CronJobs."""

FILES = {
    **read("client.sh"),
    **{path.name: path.read_text() for path in sorted((Path(__file__).parent / "files").iterdir())},
}
"""The scripts: the data of the ConfigMap."""
_CONFIG_DIR, _BACKUP_DIR, _WORK_DIR = "/etc/redis-backup", "/backup", "/work"

_HOUR = 3600


def backup(
    spec: RedisSettings,
    target: RedisBackup,
    context: Context,
    *,
    address: str,
    auth: pulumi.Input[str],
    certificates: str | None,
    parent: pulumi.Resource,
) -> None:
    """Back the cluster at `address` (`host:port` of its Service) up to `target`, and make its restore ready to start.

    `auth` names the Secret with `operator-password`, `certificates` the one with `tls.crt`, `tls.key` and `ca.crt`, or
    is None without TLS. Where data is protected, the engine refuses to delete the claim of the snapshots.
    """
    namespace, protect = context.namespaces.data, context.protect
    child = pulumi.ResourceOptions(parent=parent)
    own = object_metadata("redis-backup", spec, namespace, "backup")
    config = k8s.core.v1.ConfigMap("redis-backup", metadata=own, data=FILES, opts=child)
    if target.volume is not None:
        k8s.core.v1.PersistentVolumeClaim(
            "redis-backup",
            metadata=metadata(
                "redis-backup",
                namespace,
                labels("redis", "backup"),
                # Many a class binds a claim only to its first pod, which comes at night.
                {"pulumi.com/skipAwait": "true"},
            ),
            spec=k8s.core.v1.PersistentVolumeClaimSpecArgs(
                access_modes=["ReadWriteOnce"],
                storage_class_name=target.volume.storage_class or context.storage_class,
                resources=k8s.core.v1.VolumeResourceRequirementsArgs(requests={"storage": str(target.volume.storage)}),
            ),
            opts=pulumi.ResourceOptions(parent=parent, protect=protect, retain_on_delete=protect),
        )
    _policies(target, namespace, child)

    pods = _Pods(spec, target, Sources(config.metadata.name, auth, certificates), address)
    k8s.batch.v1.CronJob(
        "redis-backup",
        metadata=own,
        spec=k8s.batch.v1.CronJobSpecArgs(
            schedule=target.schedule,
            time_zone="Etc/UTC",
            concurrency_policy="Forbid",
            starting_deadline_seconds=_HOUR,
            successful_jobs_history_limit=3,
            failed_jobs_history_limit=3,
            job_template=k8s.batch.v1.JobTemplateSpecArgs(
                metadata=k8s.meta.v1.ObjectMetaArgs(labels=BACKUP),
                spec=k8s.batch.v1.JobSpecArgs(
                    # A failover or a moving slot makes it fail: the next try finds the cluster at rest.
                    backoff_limit=5,
                    active_deadline_seconds=6 * _HOUR,
                    template=pods.backup(),
                ),
            ),
        ),
        opts=child,
    )
    k8s.batch.v1.CronJob(
        "redis-restore",
        metadata=object_metadata("redis-restore", spec, namespace, "backup"),
        spec=k8s.batch.v1.CronJobSpecArgs(
            # Never by itself: it is what `kubectl create job --from=cronjob/redis-restore` starts from.
            schedule="0 0 1 1 *",
            suspend=True,
            concurrency_policy="Forbid",
            job_template=k8s.batch.v1.JobTemplateSpecArgs(
                metadata=k8s.meta.v1.ObjectMetaArgs(labels=BACKUP),
                spec=k8s.batch.v1.JobSpecArgs(
                    # The second try would find keys, and refuse.
                    backoff_limit=0,
                    template=pods.restore(),
                ),
            ),
        ),
        opts=child,
    )


def _policies(target: RedisBackup, namespace: Namespace, child: pulumi.ResourceOptions) -> None:
    to_bucket = [NetworkEdge((outside(target.s3.network),), (target.s3.port,))] if target.s3 is not None else []
    network_policy(
        "redis-backup",
        namespace=namespace.ref,
        pod_labels=BACKUP,
        egress=[NetworkEdge((Peer(namespace.name, NODE),), (PORT,)), *to_bucket],
        opts=child,
    )
    network_policy(
        "redis-from-backup",
        namespace=namespace.ref,
        pod_labels=NODE,
        ingress=[NetworkEdge((Peer(namespace.name, BACKUP),), (PORT,))],
        opts=child,
    )


def rclone_environment(bucket: BackupBucket) -> dict[str, str]:
    """Return what makes `s3:` of rclone the service of this bucket; it reads the credentials by itself."""
    remote = {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "ENV_AUTH": "true",
        "ENDPOINT": bucket.endpoint,
        "REGION": bucket.region,
        # It exists; asking for it, or making it, is a right that the credentials need not have.
        "NO_CHECK_BUCKET": "true",
    }
    return {
        "TARGET": f"s3:{bucket.bucket}/{bucket.prefix}",
        # There is no file: these variables are all.
        "RCLONE_CONFIG": "/dev/null",
        **{f"RCLONE_CONFIG_S3_{key}": value for key, value in remote.items()},
    }


class _Pods:
    """The pods of both CronJobs.

    With a claim they have one container. With a bucket there is rclone beside it: behind it for a backup, and before
    it for a restore; in between the snapshot lies in a volume of the pod's own.
    """

    def __init__(self, spec: RedisSettings, target: RedisBackup, sources: Sources, address: str) -> None:
        self._spec = spec
        self._target = target
        self._sources = sources
        self._address = address

    def backup(self) -> k8s.core.v1.PodTemplateSpecArgs:
        """The pod that takes a snapshot."""
        keep = {"KEEP": str(self._target.keep)}
        snapshot = self._redis("snapshot", self._target.resources, keep)
        if self._target.s3 is None:
            return self._template([snapshot])
        upload = self._rclone("upload", self._target.s3, self._target.resources, keep)
        return self._template([upload], before=[snapshot])

    def restore(self) -> k8s.core.v1.PodTemplateSpecArgs:
        """The pod that restores a snapshot: its latest, unless `SNAPSHOT` is set."""
        restore = self._redis("restore", self._spec.resources, {}, read_only=self._target.s3 is None)
        if self._target.s3 is None:
            return self._template([restore])
        return self._template([restore], before=[self._rclone("download", self._target.s3, self._spec.resources, {})])

    def _template(
        self, containers: Sequence[k8s.core.v1.ContainerArgs], *, before: Sequence[k8s.core.v1.ContainerArgs] = ()
    ) -> k8s.core.v1.PodTemplateSpecArgs:
        volumes = [
            k8s.core.v1.VolumeArgs(
                name="config", config_map=k8s.core.v1.ConfigMapVolumeSourceArgs(name=self._sources.config)
            ),
            # Pieces of one shard.
            empty_dir("work", str(int(self._spec.storage.amount))),
            self._snapshots(),
        ]
        if self._sources.certificates:
            source = k8s.core.v1.SecretVolumeSourceArgs(secret_name=self._sources.certificates, default_mode=0o440)
            volumes.append(k8s.core.v1.VolumeArgs(name="certificates", secret=source))
        pod = secure_pod(
            containers,
            user=REDIS.user,
            owns_volumes=True,
            restart_policy="Never",
            # It may be killed at any point.
            grace_seconds=5,
            init_containers=before,
            volumes=volumes,
        )
        return template(pod, labels("redis", "backup", version(self._spec)))

    def _snapshots(self) -> k8s.core.v1.VolumeArgs:
        if self._target.s3 is None:
            claim = k8s.core.v1.PersistentVolumeClaimVolumeSourceArgs(claim_name="redis-backup")
            return k8s.core.v1.VolumeArgs(name="snapshots", persistent_volume_claim=claim)
        return empty_dir("snapshots", str(self._spec.shards * int(self._spec.storage.amount)))

    def _redis(
        self, name: str, resources: Resources, own: Mapping[str, str], *, read_only: bool = False
    ) -> k8s.core.v1.ContainerArgs:
        own = {**own, "REDIS_ADDRESS": self._address, "WORK_DIR": _WORK_DIR}
        env = client_variables(self._spec, self._sources)
        mounts = [k8s.core.v1.VolumeMountArgs(name="work", mount_path=_WORK_DIR)]
        if self._sources.certificates:
            mounts.append(k8s.core.v1.VolumeMountArgs(name="certificates", mount_path=TLS_DIR, read_only=True))
        return self._container(name, image(self._spec), resources, own, env, mounts, read_only=read_only)

    def _rclone(
        self, name: str, bucket: BackupBucket, resources: Resources, own: Mapping[str, str]
    ) -> k8s.core.v1.ContainerArgs:
        credentials = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        env = [
            *variables(rclone_environment(bucket)),
            *(secret_variable(key, bucket.credentials, key) for key in credentials),
        ]
        return self._container(name, RCLONE.reference, resources, own, env, [])

    def _container(
        self,
        name: str,
        image: str,
        resources: Resources,
        own: Mapping[str, str],
        env: Sequence[k8s.core.v1.EnvVarArgs],
        mounts: Sequence[k8s.core.v1.VolumeMountArgs],
        *,
        read_only: bool = False,
    ) -> k8s.core.v1.ContainerArgs:
        """A container that runs the script of its name."""
        return k8s.core.v1.ContainerArgs(
            name=name,
            image=image,
            command=["sh", f"{_CONFIG_DIR}/{name}.sh"],
            env=[*variables({"BACKUP_DIR": _BACKUP_DIR, **own}), *env],
            resources=resource_requirements(resources),
            volume_mounts=[
                k8s.core.v1.VolumeMountArgs(name="config", mount_path=_CONFIG_DIR, read_only=True),
                k8s.core.v1.VolumeMountArgs(name="snapshots", mount_path=_BACKUP_DIR, read_only=read_only),
                *mounts,
            ],
        )
