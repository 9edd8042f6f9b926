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
    Shutdown,
)
from .errors import SettingsError
from .kafka import ExternalKafka, KafkaSettings, SaslLogin, TopicSettings
from .model import Amounts, Demand, Resources, SecretKey
from .observability import AlertmanagerSettings, GrafanaSettings, ObservabilitySettings, PrometheusSettings
from .platform import (
    GatewayController,
    GatewaySettings,
    GatewayTls,
    Keda,
    NamespaceSettings,
    NamespacesSettings,
    PlatformSettings,
    Quota,
    Safeguards,
)
from .redis import ExternalRedis, RedisSettings
from .redis_backup import BackupBucket, BackupClaim, RedisBackup
from .root import Settings
from .scaling import Fallback, Queue, Scaling
from .tls import Certificates, ExternalTls
from .types import Cpu, Memory

__all__ = [
    "AgentFile",
    "AgentSecret",
    "AgentSettings",
    "AlertmanagerSettings",
    "Amounts",
    "BackupBucket",
    "BackupClaim",
    "Certificates",
    "Cpu",
    "Demand",
    "Egress",
    "ExternalKafka",
    "ExternalRedis",
    "ExternalTls",
    "Fallback",
    "GatewayController",
    "GatewaySettings",
    "GatewayTls",
    "GrafanaSettings",
    "KafkaSettings",
    "Keda",
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
    "Queue",
    "Quota",
    "RedisBackup",
    "RedisSettings",
    "Resources",
    "Safeguards",
    "SaslLogin",
    "Scaling",
    "SecretKey",
    "Settings",
    "SettingsError",
    "Shutdown",
    "TopicSettings",
]
