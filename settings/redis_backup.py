"""Settings of the backups of Redis: when, where to, and how many."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field

from manifests.problems import Problem, ProblemError
from manifests.text import quoted

from .model import Model, Resources
from .types import Cidr, DnsSubdomain, Memory, Schedule

_ENDPOINT = re.compile(r"(?P<scheme>https?)://[a-z0-9]([-.a-z0-9]*[a-z0-9])?(:(?P<port>[0-9]{1,5}))?/?")


def _endpoint(text: str) -> str:
    match = _ENDPOINT.fullmatch(text)
    if match is None or not 0 < int(match["port"] or 443) < 65536:
        what = f"{quoted(text)} is not the address of an S3 service"
        raise ProblemError.of(what, "write `https://HOST` or `https://HOST:PORT`, without the bucket")
    return text.rstrip("/")


def _bucket(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][-.a-z0-9]{1,61}[a-z0-9]", text):
        remedy = "use 3 to 63 lower-case letters, digits, dots and hyphens"
        raise ProblemError.of(f"{quoted(text)} is not a bucket", remedy)
    return text


def _prefix(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*", text) or {".", ".."} & set(text.split("/")):
        remedy = "write folders such as `prod/redis`, without outer slashes"
        raise ProblemError.of(f"{quoted(text)} is not a prefix", remedy)
    return text


class BackupClaim(Model):
    """The PersistentVolumeClaim of the snapshots."""

    storage: Memory = Memory("32Gi")
    """Room for one snapshot more than are kept; each is at most as large as the memory of all masters."""
    storage_class: DnsSubdomain | None = None
    """Its StorageClass, best one in another failure domain than the nodes' own; absent: that of the platform."""


class BackupBucket(Model):
    """A bucket of an S3-compatible service. It must exist; encryption and life cycle are its own."""

    endpoint: Annotated[str, AfterValidator(_endpoint)]
    """The address of the service, such as `https://s3.eu-central-1.amazonaws.com`."""
    bucket: Annotated[str, AfterValidator(_bucket)]
    prefix: Annotated[str, AfterValidator(_prefix)]
    """The folder in the bucket, of this environment alone: old snapshots in it are deleted."""
    region: str = Field(default="us-east-1", pattern=r"^[a-z0-9-]+$", max_length=63)
    """The region that requests are signed for."""
    credentials: DnsSubdomain
    """An existing Secret in the data namespace with the keys `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`."""
    network: Cidr | None = None
    """The network of its addresses; absent: the pods may reach any address on that port."""

    @property
    def port(self) -> int:
        """The TCP port of the endpoint."""
        match = _ENDPOINT.fullmatch(self.endpoint)
        assert match is not None
        return int(match["port"] or (443 if match["scheme"] == "https" else 80))


class RedisBackup(Model):
    """Snapshots of every shard, to a claim or to a bucket."""

    schedule: Schedule = "0 2 * * *"
    """When, in UTC, as a cron expression."""
    keep: int = Field(default=7, ge=1, le=1000)
    """How many snapshots stay: older ones are deleted once a new one is whole, so that failures delete none."""
    claim: BackupClaim | None = None
    """Where they go; absent, and without `s3`: a claim of the default size."""
    s3: BackupBucket | None = None
    """Where they go instead of a claim."""
    resources: Resources = Resources.of("50m", "128Mi", "1", "512Mi")
    """Of the containers that copy, check and upload, one after the other; checking needs the size of the largest key.

    A restore takes the resources of a node instead, since it holds one shard at a time in its memory.
    """

    @property
    def volume(self) -> BackupClaim | None:
        """The claim, or None where snapshots go to a bucket."""
        return None if self.s3 else self.claim or BackupClaim()

    def problems(self) -> Iterator[Problem]:
        """They have one target."""
        if self.claim is not None and self.s3 is not None:
            yield Problem(("s3",), "give either `claim` or `s3`")
