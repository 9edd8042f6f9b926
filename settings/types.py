"""The named types of every value that a person can write.

Each type accepts the text that Kubernetes (or Kafka, or Redis) itself accepts and refuses the rest with a
message that says what to write instead.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from manifests.cron import FIELDS, numbers
from manifests.quantities import quantity
from manifests.text import quoted


class _Quantity(str):
    """A Kubernetes quantity, kept as written; `amount` is its value in the base unit.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """

    amount: Decimal
    pattern: ClassVar[str]
    examples: ClassVar[list[str]]

    def __new__(cls, text: str | float) -> Self:
        text = str(text)
        if not re.fullmatch(cls.pattern, text):
            raise ValueError(cls.explain(text))
        written = super().__new__(cls, text)
        written.amount = quantity(text)
        return written

    @classmethod
    def explain(cls, text: str) -> str:
        """Say what is wrong with `text` and what to write instead."""
        raise NotImplementedError

    @classmethod
    def _parse(cls, value: Any) -> Self:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"a quantity such as {cls.examples[0]} is needed")
        return cls(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        text: dict[str, Any] = {"type": "string", "pattern": cls.pattern, "examples": cls.examples}
        # A bare number is a number of cores; of bytes nobody writes one without a unit on purpose.
        kinds = [text, {"type": "number", "minimum": 0}] if re.match(cls.pattern, "1") else [text]
        return {"anyOf": kinds, "description": cls.__doc__}


class Cpu(_Quantity):
    """CPU in cores: `0.5`, `2`, or millicores: `500m`."""

    pattern = r"^[0-9]+(\.[0-9]{1,3})?$|^[0-9]+m$"
    examples: ClassVar[list[str]] = ["500m", "0.5", "2"]

    @classmethod
    def explain(cls, text: str) -> str:
        """Say what is wrong with `text` and what to write instead."""
        number = re.match(r"^([0-9]+(?:\.[0-9]{1,3})?)\s*(?:c|cpus?|v?cores?|vcpus?)$", text.strip(), re.IGNORECASE)
        mend = f"write `{number[1]}`" if number else "write cores such as `0.5` or millicores such as `500m`"
        return f"{quoted(text)} is not a CPU quantity: {mend}"


class Memory(_Quantity):
    """Memory or storage in bytes with a unit: `512Mi`, `2Gi` (powers of 1024) or `512M` (powers of 1000)."""

    pattern = r"^[0-9]+(\.[0-9]+)?([kMGTPE]|[KMGTPE]i)$"
    examples: ClassVar[list[str]] = ["512Mi", "2Gi"]

    @classmethod
    def explain(cls, text: str) -> str:
        """Say what is wrong with `text` and what to write instead."""
        number = re.match(r"^([0-9]+(?:\.[0-9]+)?)\s*([kmgtpe])i?b?$", text.strip(), re.IGNORECASE)
        if number:
            return f"{quoted(text)} is not a memory quantity: write `{number[1]}{number[2].upper()}i`"
        return f"{quoted(text)} is not a memory quantity: write a number with a unit such as `512Mi` or `2Gi`"


_DURATION = r"^([0-9]{1,8})([smhd])$"
_DURATION_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(value: Any) -> timedelta:
    """Read a duration as `Duration` does; raises ValueError for anything else."""
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(_DURATION, value) if isinstance(value, str) else None
    if match is None:
        shown = quoted(str(value)) if isinstance(value, str | int | float) else "the given value"
        raise ValueError(f"{shown} is not a duration: write a whole number with a unit (s, m, h or d) such as `30s`")
    return timedelta(seconds=int(match[1]) * _DURATION_UNITS[match[2]])


def duration_text(value: timedelta) -> str:
    """Write a duration in its largest whole unit: `90s`, `36h`, `7d`."""
    seconds = int(value.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


Duration = Annotated[
    timedelta,
    BeforeValidator(duration),
    PlainSerializer(duration_text),
    WithJsonSchema({"type": "string", "pattern": _DURATION, "examples": ["30s", "5m", "24h", "7d"]}),
]
"""A span of whole seconds, minutes, hours or days: `30s`, `5m`, `24h`, `7d`."""


def _schedule(text: str) -> str:
    fields = text.split()
    if len(fields) != len(FIELDS):
        raise ValueError(
            f"{quoted(text)} is not a schedule: write the five fields minute, hour, day of the month, month and day of "
            "the week, such as `0 2 * * *`"
        )
    for field, kind in zip(fields, FIELDS, strict=True):
        try:
            numbers(field, kind)
        except ValueError:
            least = kind.least
            raise ValueError(
                f"{quoted(text)} is not a schedule: {quoted(field)} is no {kind.name}: write `*`, `*/2`, or numbers "
                f"from {least} to {kind.greatest} such as `{least}`, `{least}-{least + 2}` or `{least},{least + 2}`"
            ) from None
    return " ".join(fields)


Schedule = Annotated[
    str, AfterValidator(_schedule), Field(json_schema_extra={"examples": ["0 2 * * *", "*/30 * * * *"]})
]
"""When a CronJob runs: minute, hour, day of the month, month, day of the week.

As strict as Kubernetes, and without its `@` words: the five fields say when.
"""


@dataclass(frozen=True)
class _Matching:
    """Accepts what matches `pattern` as a whole; the same in Python and, for the JSON schema, in ECMAScript."""

    pattern: str
    """From `^` to `$`."""
    maximum: int
    """Characters."""
    meaning: str
    mend: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": self.pattern, "maxLength": self.maximum}

    def _check(self, text: str) -> str:
        if len(text) > self.maximum:
            raise ValueError(f"has {len(text)} characters and {self.meaning} has at most {self.maximum}: shorten it")
        if not re.fullmatch(self.pattern, text):
            raise ValueError(f"{quoted(text)} is not {self.meaning}: {self.mend}")
        return text


_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_MEND = "use lower-case letters, digits and inner hyphens"

DnsLabel = Annotated[
    str,
    _Matching(rf"^{_LABEL}$", 63, "a DNS label", _LABEL_MEND),
]
"""A DNS label as in RFC 1123: at most 63 lower-case letters, digits and hyphens."""

DnsSubdomain = Annotated[
    str,
    _Matching(rf"^{_LABEL}(\.{_LABEL})*$", 253, "a DNS subdomain", f"{_LABEL_MEND}, separated by dots"),
]
"""A DNS subdomain as in RFC 1123: the name of a Secret or StorageClass."""


_LABEL_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"

LabelKey = Annotated[
    str,
    _Matching(rf"^({_LABEL}(\.{_LABEL})*/)?{_LABEL_NAME}$", 317, "a label key", "write `name` or `example.com/name`"),
]
"""The key of a label, a taint or an extended resource: at most 63 characters behind an optional DNS prefix.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
"""

LabelValue = Annotated[
    str,
    _Matching(rf"^{_LABEL_NAME}$", 63, "a label value", "use letters, digits and inner hyphens, dots and `_`"),
]
"""The value of a label, not empty."""

PoolName = Annotated[LabelValue, Field(json_schema_extra={"examples": ["spot", "onDemand"]})]
"""What an environment calls a kind of nodes."""


def _not_taken(name: str) -> str:
    # Every namespace has a ServiceAccount `default` already.
    if name == "default":
        raise ValueError("`default` is taken by Kubernetes: choose another name")
    return name


AgentName = Annotated[
    str,
    _Matching(r"^[a-z]([-a-z0-9]*[a-z0-9])?$", 42, "an agent name", f"{_LABEL_MEND}, and begin with a letter"),
    AfterValidator(_not_taken),
]
"""A DNS label of at most 42 characters: the suffixes that Kubernetes gives to pods must fit into 63."""


def _not_the_systems(name: str) -> str:
    if name == "default" or name.startswith("kube-"):
        raise ValueError(f"`{name}` belongs to the cluster itself, which a default deny would stop: choose another")
    return name


NamespaceName = Annotated[DnsLabel, AfterValidator(_not_the_systems)]
"""A namespace that the stack may own: not `default`, and none of the cluster's own."""


def _no_address(host: str) -> str:
    if host.rpartition(".")[2].isdigit():
        raise ValueError(f"`{host}` is an address, and a host name is needed: write its DNS name")
    return host


HOST_PATTERN = rf"^{_LABEL}(\.{_LABEL})*$"

Host = Annotated[
    str,
    _Matching(
        HOST_PATTERN,
        253,
        "a host name",
        f"{_LABEL_MEND}, separated by dots, without scheme or port",
    ),
    Field(json_schema_extra={"format": "hostname"}),
]
"""A DNS name as in RFC 1123, or an IPv4 address, without scheme and port."""

HostName = Annotated[Host, AfterValidator(_no_address)]
"""A DNS name as in RFC 1123, without scheme and port."""

EnvName = Annotated[
    str,
    _Matching(
        r"^[A-Z_][A-Z0-9_]*$",
        128,
        "an environment variable",
        "use upper-case letters, digits and underscores",
    ),
]
"""The name of an environment variable in upper case."""

TopicName = Annotated[
    str,
    _Matching(r"^(?!\.{1,2}$)[a-zA-Z0-9._-]+$", 249, "a topic name", "use letters, digits, dots, `_` and hyphens"),
]
"""A Kafka topic."""


# https://github.com/distribution/reference: [host[:port]/]path[:tag][@digest]
_IMAGE = re.compile(
    r"([a-zA-Z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)


def _image(text: str) -> str:
    if not _IMAGE.fullmatch(text):
        raise ValueError(f"{quoted(text)} is not an image reference: write `registry/name:tag`")
    if "@" not in text and image_tag(text) in (None, "latest"):
        said = "has no tag, which means `latest`" if image_tag(text) is None else "has the tag `latest`"
        raise ValueError(
            f"`{text}` {said} and changes under a running release: write `{text.split(':latest')[0]}:VERSION`"
        )
    return text


def image_tag(image: str) -> str | None:
    """Return the tag of an image reference, or None where it has none (a digest is not a tag)."""
    _, _, last = image.split("@")[0].rpartition("/")
    return last.partition(":")[2] or None


ImageRef = Annotated[str, AfterValidator(_image), Field(json_schema_extra={"examples": ["ghcr.io/acme/agent:1.4.2"]})]
"""A container image reference with a tag other than `latest`, or with a digest."""


def _cidr(text: str) -> str:
    try:
        if "%" in text:  # a zone, which is a node's own affair
            raise ValueError
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise ValueError(
            f"{quoted(text)} is not a network in CIDR notation: write for example `203.0.113.0/24`"
        ) from None


Cidr = Annotated[str, AfterValidator(_cidr), Field(json_schema_extra={"examples": ["203.0.113.0/24"]})]
"""An IPv4 or IPv6 network in CIDR notation."""

HttpPath = Annotated[
    str,
    _Matching(r"^/[^\s?#]*$", 1024, "an HTTP path", "begin it with `/`, without query"),
]
"""An HTTP path that begins with `/`."""


def _route(path: str) -> str:
    # What an Ingress refuses in a path of the type Prefix.
    if "//" in path or {".", ".."} & set(path.split("/")):
        raise ValueError(f"`{path}` is not a route: write it without `//`, `.` and `..`")
    return path.rstrip("/") or "/"


Route = Annotated[HttpPath, AfterValidator(_route)]
"""The beginning of the HTTP paths that lead somewhere; a slash at its end means nothing."""

RedisKeys = Annotated[
    str,
    _Matching(r"^[A-Za-z0-9_.:{}*?\[\]-]+$", 128, "a pattern of Redis keys", "write a prefix such as `conversation:*`"),
]
"""A glob-style pattern of Redis keys, such as `conversation:*`. https://redis.io/docs/latest/commands/keys/"""

RedisKey = Annotated[
    str,
    _Matching(r"^[A-Za-z0-9_.:{}-]+$", 128, "a Redis key", "use letters, digits, `_`, `.`, `:`, `-` and braces"),
]
"""One key in Redis, such as `tasks:open`."""

ConsumerGroup = Annotated[
    str,
    _Matching(r"^[A-Za-z0-9_.:-]+$", 128, "a consumer group", "use letters, digits, `_`, `.`, `:` and `-`"),
]
"""A consumer group of a Redis stream."""

Port = Annotated[int, Field(ge=1, le=65535)]
"""A TCP port."""

UnprivilegedPort = Annotated[int, Field(ge=1024, le=65535)]
"""A TCP port that a process without privileges may listen on."""

Percent = Annotated[int, Field(ge=1, le=100)]
"""A share in percent, 1 to 100."""

IamRole = Annotated[
    str,
    _Matching(
        r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$",
        2048,
        "the ARN of an IAM role",
        "write `arn:aws:iam::ACCOUNT:role/NAME`",
    ),
    Field(json_schema_extra={"examples": ["arn:aws:iam::111122223333:role/researcher"]}),
]
"""The ARN of a role of AWS IAM."""

GcpServiceAccount = Annotated[
    str,
    _Matching(
        r"^[a-z][a-z0-9-]{4,28}[a-z0-9]@[a-z0-9.:-]+\.iam\.gserviceaccount\.com$",
        253,
        "an IAM service account",
        "write `NAME@PROJECT.iam.gserviceaccount.com`",
    ),
    Field(json_schema_extra={"examples": ["researcher@project.iam.gserviceaccount.com"]}),
]
"""The e-mail address of an IAM service account of Google Cloud."""

Uuid = Annotated[
    str,
    _Matching(
        r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
        36,
        "a UUID",
        "write 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12",
    ),
    Field(json_schema_extra={"format": "uuid"}),
]
"""A UUID in its usual form."""

GpuResource = Annotated[
    str,
    _Matching(rf"^{_LABEL}(\.{_LABEL})+/[A-Za-z0-9._-]+$", 253, "an extended resource", "write it as `nvidia.com/gpu`"),
    Field(json_schema_extra={"examples": ["nvidia.com/gpu", "amd.com/gpu"]}),
]
"""The extended resource by which a device plugin offers GPUs, also the key of the taint that keeps other pods off such
nodes by convention."""
