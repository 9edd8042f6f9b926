"""Redis and Kafka in namespaces that are protected, small, and what an edit does to them by the setting `edit`."""

import pulumi

from components.context import Context, Namespace, StackNamespaces
from components.kafka.component import KafkaCluster
from components.namespaces.component import Namespaces
from components.network import Peer
from components.redis.component import RedisCluster
from settings import KafkaSettings, NamespacesSettings, RedisSettings

config = pulumi.Config()
edit, protect = config.get("edit"), config.get_bool("protect") is not False

QUOTA = {"requests": {"cpu": "1", "memory": "3Gi"}, "limits": {"cpu": "8", "memory": "6Gi"}}
NAMES = ("agents", "data", "observability", "collectors")
NODE = {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"}}
REDIS = {"replicasPerShard": 0, "backup": None, "storage": config.get("storage") or "1Gi", "resources": NODE}
KAFKA = {
    **dict.fromkeys(("brokers", "controllers", "replicationFactor", "minInsyncReplicas"), 1),
    "mode": "combined",
    "brokerStorage": "1Gi",
    "brokerResources": {"requests": {"cpu": "200m", "memory": "768Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}},
    "topics": {"events": {"partitions": 1}},
}

settings = NamespacesSettings.model_validate({name: {"name": f"kept-{name}", "quota": QUOTA} for name in NAMES})
if edit == "remove namespaces":
    namespaces = StackNamespaces(*(Namespace.existing(f"kept-{name}") for name in NAMES))
else:
    name = "other" if edit == "rename namespaces" else "namespaces"
    namespaces = Namespaces(name, settings, protect=protect).namespaces
context = Context(namespaces=namespaces, prometheus=Peer("kept-observability"), protect=protect)
if edit != "remove redis":
    RedisCluster("other" if edit == "rename redis" else "redis", RedisSettings.model_validate(REDIS), context)
if edit != "remove kafka":
    KafkaCluster("other" if edit == "rename kafka" else "kafka", KafkaSettings.model_validate(KAFKA), context)
