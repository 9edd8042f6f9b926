"""The CronJobs of backup and restore: where snapshots go, what may be reached, and what a schedule may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pytest
from pydantic import ValidationError

from components.context import Context, Namespace, StackNamespaces
from components.labels import selector
from components.redis.backup import backup
from components.redis.backup.cronjobs import FILES
from components.versions import RCLONE
from settings import BackupBucket, BackupClaim, RedisBackup, RedisSettings, Resources

from .conftest import Recorder

NODE, BACKUP = selector("redis", "state"), selector("redis", "backup")
BUCKET = BackupBucket(
    endpoint="https://s3.example.com:9000", bucket="backups", prefix="prod/redis", credentials="backup-s3"
)
Rendered = Callable[..., Recorder]


@pytest.fixture
def rendered(render: Callable[[Callable[[], object]], Recorder]) -> Rendered:
    def run(target: RedisBackup, *, certificates: str | None = None, **changes: Any) -> Recorder:
        spec = RedisSettings(backup=target, **changes)
        return render(
            lambda: backup(
                spec,
                target,
                Context(
                    namespaces=StackNamespaces(data=Namespace.existing("the-data")), storage_class="usual", protect=True
                ),
                address="redis.the-data:6379",
                auth="redis-auth",
                certificates=certificates,
                parent=pulumi.ComponentResource("test:index:Parent", "parent"),
            )
        )

    return run


def pod(seen: Recorder, cronjob: str) -> dict[str, Any]:
    spec: dict[str, Any] = seen.seen["CronJob", cronjob]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return spec


def containers(seen: Recorder, cronjob: str) -> dict[str, dict[str, Any]]:
    """All containers in their order."""
    spec = pod(seen, cronjob)
    return {c["name"]: c for c in [*spec.get("initContainers", []), *spec["containers"]]}


def environment(container: dict[str, Any]) -> dict[str, Any]:
    """Plain values as text, and references as (Secret, key)."""
    found = {}
    for variable in container["env"]:
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        found[variable["name"]] = (reference["name"], reference["key"]) if reference else variable["value"]
    return found


def egress(seen: Recorder) -> list[tuple[Any, int]]:
    policy = seen.seen["NetworkPolicy", "redis-backup"]["spec"]
    assert policy["podSelector"]["matchLabels"] == BACKUP
    assert policy["policyTypes"] == ["Egress"]
    return [
        (peer.get("ipBlock", {}).get("cidr") or peer["podSelector"]["matchLabels"], port["port"])
        for rule in policy["egress"]
        for peer in rule["to"]
        for port in rule["ports"]
    ]


def test_daily_on_a_claim_is_the_default(rendered: Rendered) -> None:
    seen = rendered(RedisBackup())
    claim = seen.seen["PersistentVolumeClaim", "redis-backup"]
    assert claim["spec"]["resources"]["requests"] == {"storage": "32Gi"}
    assert claim["spec"]["storageClassName"] == "usual"
    cronjob = seen.seen["CronJob", "redis-backup"]["spec"]
    assert (cronjob["schedule"], cronjob["timeZone"], cronjob["concurrencyPolicy"]) == (
        "0 2 * * *",
        "Etc/UTC",
        "Forbid",
    )
    assert not cronjob.get("suspend")
    job = cronjob["jobTemplate"]["spec"]
    assert job["backoffLimit"] > 0
    assert job["activeDeadlineSeconds"] < 24 * 3600
    assert list(containers(seen, "redis-backup")) == ["snapshot"]
    assert environment(containers(seen, "redis-backup")["snapshot"]) == {
        "REDIS_CLI": "redis-cli",
        "REDIS_USER": "_operator",
        "REDISCLI_AUTH": ("redis-auth", "operator-password"),
        "REDIS_ADDRESS": "redis.the-data:6379",
        "BACKUP_DIR": "/backup",
        "WORK_DIR": "/work",
        "KEEP": "7",
    }
    assert egress(seen) == [(NODE, 6379)]
    own = rendered(RedisBackup(claim=BackupClaim(storage_class="elsewhere")))
    assert own.seen["PersistentVolumeClaim", "redis-backup"]["spec"]["storageClassName"] == "elsewhere"


def test_a_restore_never_starts_by_itself_and_is_never_repeated(rendered: Rendered) -> None:
    seen = rendered(RedisBackup(), resources=Resources.of("300m", "3Gi", "1", "3Gi"))
    cronjob = seen.seen["CronJob", "redis-restore"]["spec"]
    assert cronjob["suspend"] is True
    assert cronjob["jobTemplate"]["spec"]["backoffLimit"] == 0
    restore = containers(seen, "redis-restore")["restore"]
    # A shard's keys are in its memory, as in a node's.
    assert restore["resources"]["limits"]["memory"] == "3Gi"
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in restore["volumeMounts"]}
    assert mounts["/backup"] is True


def test_each_container_runs_a_script_that_is_there(rendered: Rendered) -> None:
    for target in (RedisBackup(), RedisBackup(s3=BUCKET)):
        seen = rendered(target)
        assert seen.seen["ConfigMap", "redis-backup"]["data"] == FILES
        for cronjob in ("redis-backup", "redis-restore"):
            for name, container in containers(seen, cronjob).items():
                assert container["command"] == ["sh", f"/etc/redis-backup/{name}.sh"]
                assert f"{name}.sh" in FILES
    assert {"client.sh", "cluster.sh", "move.lua"} <= FILES.keys()


def test_a_bucket_needs_no_claim_and_its_credentials_are_references(rendered: Rendered) -> None:
    seen = rendered(RedisBackup(s3=BUCKET, keep=3))
    assert ("PersistentVolumeClaim", "redis-backup") not in seen.seen
    # First the snapshot is taken, then it is uploaded; first it is downloaded, then restored.
    assert list(containers(seen, "redis-backup")) == ["snapshot", "upload"]
    assert list(containers(seen, "redis-restore")) == ["download", "restore"]
    upload = containers(seen, "redis-backup")["upload"]
    assert upload["image"] == RCLONE.reference
    given = environment(upload)
    assert given["TARGET"] == "s3:backups/prod/redis"
    assert given["KEEP"] == "3"
    assert given["RCLONE_CONFIG_S3_ENDPOINT"] == "https://s3.example.com:9000"
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert given[key] == ("backup-s3", key)
    assert "REDISCLI_AUTH" not in given
    assert egress(seen) == [(NODE, 6379), ("0.0.0.0/0", 9000)]
    narrowed = rendered(RedisBackup(s3=BUCKET.model_copy(update={"network": "10.1.0.0/16"})))
    assert egress(narrowed)[1:] == [("10.1.0.0/16", 9000)]


def test_with_tls_the_pods_have_the_certificates(rendered: Rendered) -> None:
    seen = rendered(RedisBackup(), certificates="redis-tls")
    for cronjob, name in (("redis-backup", "snapshot"), ("redis-restore", "restore")):
        container = containers(seen, cronjob)[name]
        assert environment(container)["REDIS_TLS_DIR"] == "/etc/redis-tls"
        mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}["/etc/redis-tls"]
        secrets = {volume["name"]: volume.get("secret") for volume in pod(seen, cronjob)["volumes"]}
        assert secrets[mounted]["secretName"] == "redis-tls"


def test_valkey_is_asked_by_its_own_client(rendered: Rendered) -> None:
    seen = rendered(RedisBackup(), engine="valkey")
    assert environment(containers(seen, "redis-backup")["snapshot"])["REDIS_CLI"] == "valkey-cli"


def test_the_nodes_let_both_in_on_their_port_only(rendered: Rendered) -> None:
    seen = rendered(RedisBackup())
    admission = seen.seen["NetworkPolicy", "redis-from-backup"]["spec"]
    assert admission["podSelector"]["matchLabels"] == NODE
    (rule,) = admission["ingress"]
    assert [port["port"] for port in rule["ports"]] == [6379]
    assert [peer["podSelector"]["matchLabels"] for peer in rule["from"]] == [BACKUP]
    for cronjob in ("redis-backup", "redis-restore"):
        template = seen.seen["CronJob", cronjob]["spec"]["jobTemplate"]["spec"]["template"]
        assert template["metadata"]["labels"].items() >= BACKUP.items()
        assert not template["metadata"]["labels"].items() >= NODE.items()


def test_the_pods_are_counted() -> None:
    with_, without = RedisSettings(), RedisSettings(backup=None)
    assert {d.source for d in with_.demands()["data"]} - {d.source for d in without.demands()["data"]} == {
        "redis backup",
        "redis restore",
    }


@pytest.mark.parametrize(
    "schedule",
    ["0 2 * * *", "*/15 * * * *", "0 0-6/2 1,15 jan-jun MON-fri", "59 23 31 12 6", "0  2 * * sun", "*/100 5/2 ? * ?"],
)
def test_a_schedule(schedule: str) -> None:
    assert RedisBackup(schedule=schedule).schedule == " ".join(schedule.split())


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ("0 2 * *", "write the five fields minute, hour, day of the month, month and day of the week"),
        ("@daily", "write the five fields"),
        ("60 2 * * *", "`60` is no minute: write .* from 0 to 59"),
        ("0 24 * * *", "`24` is no hour"),
        ("0 2 0 * *", "`0` is no day of the month"),
        ("0 2 * 13 *", "`13` is no month"),
        ("0 2 * * 7", "`7` is no day of the week"),
        ("*/0 * * * *", "is no minute"),
        ("5-1 * * * *", "`5-1` is no minute"),
        ("1-2-3 * * * *", "is no minute"),
        ("0 2 * * fry", "`fry` is no day of the week"),
        ("0, 2 * * *", "`0,` is no minute"),
    ],
)
def test_what_is_no_schedule(schedule: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        RedisBackup(schedule=schedule)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"endpoint": "s3.example.com"}, "is not the address of an S3 service: write `https://HOST`"),
        ({"endpoint": "https://s3.example.com/bucket"}, "without the bucket"),
        ({"endpoint": "https://user:password@s3.example.com"}, "the given text is not the address"),
        ({"endpoint": "https://s3.example.com:99999"}, "is not the address"),
        ({"bucket": "My_Bucket"}, "`My_Bucket` is not a bucket"),
        ({"prefix": "/redis/"}, "`/redis/` is not a prefix"),
        ({"prefix": "redis/../others"}, "is not a prefix"),
    ],
)
def test_what_is_no_bucket(changes: dict[str, str], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        BackupBucket.model_validate(BUCKET.model_dump() | changes)


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [("https://s3.example.com", 443), ("http://s3.example.com/", 80), ("http://10.0.0.1:9000", 9000)],
)
def test_the_port_of_the_service(endpoint: str, port: int) -> None:
    assert BackupBucket.model_validate(BUCKET.model_dump() | {"endpoint": endpoint}).port == port


def test_one_target() -> None:
    with pytest.raises(ValidationError, match="give either `claim` or `s3`"):
        RedisBackup(claim=BackupClaim(), s3=BUCKET)
