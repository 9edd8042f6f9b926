"""One of each kind that drifts in its own way, in a namespace of their own."""

import pulumi
import pulumi_kubernetes as k8s

config = pulumi.Config()
cluster = k8s.Provider("cluster", cluster_identifier="live", enable_config_map_mutable=True, enable_secret_mutable=True)
here = pulumi.ResourceOptions(provider=cluster)


def named(name: str, **more: object) -> dict[str, object]:
    return {"name": name, "namespace": "live-drift", **more}


namespace = k8s.core.v1.Namespace("live-drift", metadata={"name": "live-drift"}, opts=here)
inside = pulumi.ResourceOptions(provider=cluster, depends_on=[namespace])
k8s.core.v1.ConfigMap(
    "settings", metadata=named("settings"), data={"level": config.get("level") or "info"}, opts=inside
)
k8s.core.v1.Secret(
    "password", metadata=named("password"), string_data={"password": pulumi.Output.secret("declared")}, opts=inside
)
service = k8s.core.v1.Service(
    "redis",
    metadata=named("redis", annotations={"pulumi.com/skipAwait": "true"}),
    spec={"clusterIP": "None", "selector": {"app": "redis"}, "ports": [{"name": "redis", "port": 6379}]},
    opts=inside,
)
pods = {
    "metadata": {"labels": {"app": "redis"}},
    "spec": {"containers": [{"name": "redis", "image": "pause:3.10", "env": [{"name": "A", "value": "1"}]}]},
}
# No pod is needed, so none is waited for.
k8s.apps.v1.StatefulSet(
    "redis",
    metadata=named("redis", annotations={"pulumi.com/skipAwait": "true"}),
    spec={
        "replicas": 0,
        "serviceName": service.metadata["name"],
        "selector": {"matchLabels": {"app": "redis"}},
        "template": pods,
    },
    opts=inside,
)
