"""Plain, frozen, validated values: everything that a person can set. Knows nothing of Kubernetes objects."""

from .agents import (
    AgentFile,
    AgentSecret,
    AgentSettings,
    Egress,
    Metrics,
    Probe,
    Probes,
    Public,
    Scaling,
    Shutdown,
)
from .errors import SettingsError
from .kafka import ExternalKafka, KafkaSettings, TopicSettings
from .model import Amounts, Demand, Resources, SecretKey
from .observability import AlertmanagerSettings, GrafanaSettings, ObservabilitySettings, PrometheusSettings
from .platform import (
    GatewayController,
    GatewaySettings,
    GatewayTls,
    NamespaceSettings,
    NamespacesSettings,
    PlatformSettings,
    Quota,
    Safeguards,
)
from .redis import ExternalRedis, RedisSettings
from .root import Settings
from .types import Cpu, Memory

__all__ = [
    "AgentFile",
    "AgentSecret",
    "AgentSettings",
    "AlertmanagerSettings",
    "Amounts",
    "Cpu",
    "Demand",
    "Egress",
    "ExternalKafka",
    "ExternalRedis",
    "GatewayController",
    "GatewaySettings",
    "GatewayTls",
    "GrafanaSettings",
    "KafkaSettings",
    "Memory",
    "Metrics",
    "NamespaceSettings",
    "NamespacesSettings",
    "ObservabilitySettings",
    "PlatformSettings",
    "Probe",
    "Probes",
    "PrometheusSettings",
    "Public",
    "Quota",
    "RedisSettings",
    "Resources",
    "Safeguards",
    "Scaling",
    "SecretKey",
    "Settings",
    "SettingsError",
    "Shutdown",
    "TopicSettings",
]
