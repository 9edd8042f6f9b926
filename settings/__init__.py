"""Plain, frozen, validated values: everything that a person can set. Knows nothing of Kubernetes objects.

From below: `types` and `model`; a module for each part of the stack and each group of an agent's settings, with the
rules within it; `sections`, the list of the parts; `agent_fields`, `agent_rules` and `agents`; `release_rules`,
`demands`, `workflow_rules` and
`stack_rules`, which hold the parts against each other; `root`, all of it; `stack` and `engine`, which
load it.
"""

from .agent_fields import Metrics, Probe, Probes, Public, Shutdown
from .agents import AgentFile, AgentSettings
from .approvals import ApprovedReplacement
from .batch import Cron, Job
from .errors import SettingsError
from .fleet import DeviceRange, Fleet
from .identity import AwsIdentity, AzureIdentity, GcpIdentity, Identity
from .inference import Inference, InferenceServer, InferenceSettings
from .kafka import ExternalKafka, KafkaSettings, SaslLogin, TopicSettings
from .model import Amounts, Demand, Resources, SecretKey
from .network import Egress, NetworkSettings
from .observability import AlertmanagerSettings, GrafanaSettings, ObservabilitySettings, PrometheusSettings
from .placement import PROVIDER_POOLS, Gpu, Placement, Pool, Toleration
from .platform import (
    GatewayController,
    GatewayParent,
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
from .resilience import CircuitBreaker, Resilience, Retries
from .rollout import Analysis, Release, Rollout, StateFormats
from .root import Settings
from .scaling import Fallback, Queue, Scaling
from .secrets import AgentSecret, ExternalKey, ExternalSecrets
from .tls import Certificates, ExternalTls
from .types import Cpu, Memory
from .workflows import AgentStep, CodeStep, HttpStep, ModelStep, Step, Workflow

__all__ = [
    "AgentFile",
    "AgentSecret",
    "AgentSettings",
    "AgentStep",
    "AlertmanagerSettings",
    "Amounts",
    "Analysis",
    "ApprovedReplacement",
    "AwsIdentity",
    "AzureIdentity",
    "BackupBucket",
    "BackupClaim",
    "Certificates",
    "CircuitBreaker",
    "CodeStep",
    "Cpu",
    "Cron",
    "Demand",
    "DeviceRange",
    "Egress",
    "ExternalKafka",
    "ExternalKey",
    "ExternalRedis",
    "ExternalSecrets",
    "ExternalTls",
    "Fallback",
    "Fleet",
    "GatewayController",
    "GatewayParent",
    "GatewaySettings",
    "GatewayTls",
    "GcpIdentity",
    "Gpu",
    "GrafanaSettings",
    "HttpStep",
    "Identity",
    "Inference",
    "InferenceServer",
    "InferenceSettings",
    "Job",
    "KafkaSettings",
    "Keda",
    "Memory",
    "Metrics",
    "ModelStep",
    "NamespaceSettings",
    "NamespacesSettings",
    "NetworkSettings",
    "ObservabilitySettings",
    "PROVIDER_POOLS",
    "Placement",
    "PlatformSettings",
    "Pool",
    "Probe",
    "Probes",
    "PrometheusSettings",
    "Public",
    "Queue",
    "Quota",
    "RedisBackup",
    "RedisSettings",
    "Release",
    "Resilience",
    "Resources",
    "Retries",
    "Rollout",
    "Safeguards",
    "SaslLogin",
    "Scaling",
    "SecretKey",
    "Settings",
    "SettingsError",
    "Shutdown",
    "StateFormats",
    "Step",
    "Toleration",
    "TopicSettings",
    "Workflow",
]
