"""Settings of the backups of Redis: when, where to, and how many."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from policies.rules.words import quoted

from .model import Model, Resources
from .types import Cidr, DnsSubdomain, Memory

# The fields of a schedule as Kubernetes reads it: their names, least and greatest values, and words for values.
_CRON = (
    ("minute", 0, 59, ""),
    ("hour", 0, 23, ""),
    ("day of the month", 1, 31, ""),
    ("month", 1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"),
    ("day of the week", 0, 6, "sun mon tue wed thu fri sat"),
)


def _schedule(text: str) -> str:
    fields = text.split()
    if len(fields) != len(_CRON):
        raise ValueError(
            f"{quoted(text)} is not a schedule: write the five fields minute, hour, day of the month, month and day of "
            "the week, such as `0 2 * * *`"
        )
    for field, (name, least, greatest, words) in zip(fields, _CRON, strict=True):
        if not all(_fits(part, least, greatest, words.split()) for part in field.split(",")):
            raise ValueError(
                f"{quoted(text)} is not a schedule: {quoted(field)} is no {name}: write `*`, `*/2`, or numbers from "
                f"{least} to {greatest} such as `{least}`, `{least}-{least + 2}` or `{least},{least + 2}`"
            )
    return " ".join(fields)


def _fits(part: str, least: int, greatest: int, words: list[str]) -> bool:
    span, slash, step = part.partition("/")
    if slash and not re.fullmatch(r"[1-9][0-9]?", step):
        return False
    if span == "*":
        return True
    numbers = {word: str(number) for number, word in enumerate(words, start=least)}
    ends = [numbers.get(end.lower(), end) for end in span.split("-")]
    if len(ends) > 2 or not all(re.fullmatch(r"[0-9]{1,2}", end) for end in ends):
        return False
    return least <= int(ends[0]) <= int(ends[-1]) <= greatest


Schedule = Annotated[
    str, AfterValidator(_schedule), Field(json_schema_extra={"examples": ["0 2 * * *", "*/30 * * * *"]})
]
"""When a CronJob runs, in UTC: minute, hour, day of the month, month, day of the week."""

_ENDPOINT = re.compile(r"(?P<scheme>https?)://[a-z0-9]([-.a-z0-9]*[a-z0-9])?(:(?P<port>[0-9]{1,5}))?/?")


def _endpoint(text: str) -> str:
    match = _ENDPOINT.fullmatch(text)
    if match is None or not 0 < int(match["port"] or 443) < 65536:
        raise ValueError(
            f"{quoted(text)} is not the address of an S3 service: write `https://HOST` or `https://HOST:PORT`, without "
            "the bucket"
        )
    return text.rstrip("/")


def _bucket(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][-.a-z0-9]{1,61}[a-z0-9]", text):
        raise ValueError(f"{quoted(text)} is not a bucket: use 3 to 63 lower-case letters, digits, dots and hyphens")
    return text


def _prefix(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*", text) or {".", ".."} & set(text.split("/")):
        raise ValueError(f"{quoted(text)} is not a prefix: write folders such as `prod/redis`, without outer slashes")
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

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if self.claim is not None and self.s3 is not None:
            raise ValueError("s3: give either `claim` or `s3`")
        return self
