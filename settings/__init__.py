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
from .kafka import ExternalKafka, KafkaSettings, SaslLogin, TopicSettings
from .model import Amounts, Demand, Resources, SecretKey
from .observability import AlertmanagerSettings, GrafanaSettings, ObservabilitySettings, PrometheusSettings
from .platform import (
    GatewayController,
    GatewayParent,
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
from .rollout import Analysis, Release, Rollout, StateFormats
from .root import Settings
from .tls import Certificates, ExternalTls
from .types import Cpu, Memory

__all__ = [
    "AgentFile",
    "AgentSecret",
    "AgentSettings",
    "AlertmanagerSettings",
    "Amounts",
    "Analysis",
    "BackupBucket",
    "BackupClaim",
    "Certificates",
    "Cpu",
    "Demand",
    "Egress",
    "ExternalKafka",
    "ExternalRedis",
    "ExternalTls",
    "GatewayController",
    "GatewayParent",
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
    "RedisBackup",
    "RedisSettings",
    "Release",
    "Resources",
    "Rollout",
    "Safeguards",
    "SaslLogin",
    "Scaling",
    "SecretKey",
    "Settings",
    "SettingsError",
    "Shutdown",
    "StateFormats",
    "TopicSettings",
]
