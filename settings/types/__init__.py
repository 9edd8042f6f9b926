"""The named types of every value that a person can write.

Each type accepts the text that Kubernetes (or Kafka, or Redis) itself accepts and refuses the rest with a
message that says what to write instead.
"""

from .cloud import GcpServiceAccount, IamRole, Uuid
from .data import ConsumerGroup, RedisKey, RedisKeys, TopicName
from .matching import OneOf
from .names import (
    AgentName,
    DnsLabel,
    DnsSubdomain,
    EnvName,
    GpuResource,
    ImageRef,
    LabelKey,
    LabelValue,
    NamespaceName,
    PoolName,
    image_tag,
)
from .network import HOST_PATTERN, Cidr, Host, HostName, HttpPath, Port, Route, UnprivilegedPort
from .quantities import Cpu, Memory, Percent
from .times import Duration, Schedule, duration, duration_text

__all__ = [
    "AgentName",
    "Cidr",
    "ConsumerGroup",
    "Cpu",
    "DnsLabel",
    "DnsSubdomain",
    "Duration",
    "EnvName",
    "GcpServiceAccount",
    "GpuResource",
    "HOST_PATTERN",
    "Host",
    "HostName",
    "HttpPath",
    "IamRole",
    "ImageRef",
    "LabelKey",
    "LabelValue",
    "Memory",
    "NamespaceName",
    "OneOf",
    "Percent",
    "PoolName",
    "Port",
    "RedisKey",
    "RedisKeys",
    "Route",
    "Schedule",
    "TopicName",
    "UnprivilegedPort",
    "Uuid",
    "duration",
    "duration_text",
    "image_tag",
]
