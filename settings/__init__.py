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
from .batch import Cron, Job
from .errors import SettingsError
from .fleet import DeviceRange, Fleet
from .kafka import ExternalKafka, KafkaSettings, SaslLogin, TopicSettings
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
from .redis_backup import BackupBucket, BackupClaim, RedisBackup
from .root import Settings
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
    "Cron",
    "Demand",
    "DeviceRange",
    "Egress",
    "ExternalKafka",
    "ExternalRedis",
    "ExternalTls",
    "Fleet",
    "GatewayController",
    "GatewaySettings",
    "GatewayTls",
    "GrafanaSettings",
    "Job",
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
