"""Objects without pods, one for each rule of `agentstack.impact`; the setting `edit` changes all that it names."""

import signal

import pulumi
import pulumi_kubernetes as k8s

signal.signal(signal.SIGINT, signal.SIG_DFL)
config = pulumi.Config()
edit = config.get("edit") or ""

NAMESPACE = "losses"
provider = k8s.Provider("cluster", enable_config_map_mutable=True, enable_secret_mutable=True)
namespace = k8s.core.v1.Namespace(
    NAMESPACE, metadata={"name": NAMESPACE}, opts=pulumi.ResourceOptions(provider=provider)
).metadata.name


def opts(**more: object) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(provider=provider, **more)


def metadata(name: str) -> dict[str, object]:
    # Nobody uses the claim, and the Job is suspended: there is nothing to wait for.
    return {"name": name, "namespace": namespace, "annotations": {"pulumi.com/skipAwait": "true"}}


def pods(name: str, **more: object) -> dict[str, object]:
    container = {"name": "main", "image": "registry.k8s.io/pause:3.10", **more}
    return {"metadata": {"labels": {"app": name, "tier": "new"}}, "spec": {"containers": [container]}}


def stateful(name: str, options: pulumi.ResourceOptions | None = None, **more: object) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    spec = {
        "replicas": 0,
        "serviceName": "pods",
        "selector": {"matchLabels": {"app": name}},
        "template": pods(name),
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
    }
    k8s.apps.v1.StatefulSet(name, metadata=metadata(name), spec=spec | more, opts=options or opts())


new = edit == "fields"
stateful("management", podManagementPolicy="Parallel" if new else "OrderedReady")
stateful("history", revisionHistoryLimit=3 if new else 5)
stateful("service", serviceName="others" if new else "pods")
stateful("selector", selector={"matchLabels": {"app": "selector"} | ({"tier": "new"} if new else {})})
stateful("scaled", template=pods("scaled", image="registry.k8s.io/pause:3.9" if new else "registry.k8s.io/pause:3.10"))
larger = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi" if new else "1Gi"}}}
stateful("claims", volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": larger}])
stateful(
    "ignored",
    opts(ignore_changes=["spec.volumeClaimTemplates"]),
    volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": larger}],
)
stateful("kept", opts(protect=edit != "unprotect"), serviceName="others" if edit == "replace protected" else "pods")
stateful("retained", opts(retain_on_delete=True), serviceName="others" if edit == "replace retained" else "pods")
if edit != "remove protected":
    stateful("guarded", opts(protect=True))

labels = {"app": "stateless"} | ({"tier": "new"} if new else {})
k8s.apps.v1.Deployment(
    "stateless",
    metadata=metadata("stateless"),
    spec={"replicas": 0, "selector": {"matchLabels": labels}, "template": pods("stateless")},
    opts=opts(),
)
k8s.apps.v1.Deployment(
    "renamed",
    metadata=metadata("renamed-2" if new else "renamed"),
    spec={"replicas": 0, "selector": {"matchLabels": {"app": "renamed"}}, "template": pods("renamed")},
    opts=opts(),
)
k8s.core.v1.Service(
    "address",
    metadata=metadata("address"),
    spec={"selector": {"app": "x"}, "ports": [{"port": 80}]} | ({} if new else {"clusterIP": "None"}),
    opts=opts(),
)
k8s.core.v1.Service(
    "selected",
    metadata=metadata("selected"),
    spec={"selector": {"app": "y" if new else "x"}, "ports": [{"port": 80}]},
    opts=opts(),
)
for name, change in {
    "class": {"storageClassName": "other" if new else "none"},
    "modes": {"accessModes": ["ReadWriteMany" if new else "ReadWriteOnce"]},
}.items():
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "none",
    }
    k8s.core.v1.PersistentVolumeClaim(name, metadata=metadata(name), spec=claim | change, opts=opts())
k8s.batch.v1.Job(
    "job",
    metadata=metadata("job"),
    spec={
        "suspend": True,
        "template": {"spec": {**pods("job", args=["b" if new else "a"])["spec"], "restartPolicy": "Never"}},
    },
    opts=opts(),
)
k8s.core.v1.Secret("type", metadata=metadata("type"), type="example.com/b" if new else "example.com/a", opts=opts())
data = {"word": "new" if new else "old"}
k8s.core.v1.ConfigMap("mutable", metadata=metadata("mutable"), data=data, opts=opts())
k8s.core.v1.ConfigMap("immutable", metadata=metadata("immutable"), data=data, immutable=True, opts=opts())
k8s.rbac.v1.RoleBinding(
    "rights",
    metadata=metadata("rights"),
    role_ref={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit" if new else "view"},
    subjects=[{"kind": "ServiceAccount", "name": "default", "namespace": NAMESPACE}],
    opts=opts(),
)
# Another name in the program, the same one in the cluster.
moved = "moved-2" if edit.startswith("move") else "moved"
aliases = [pulumi.Alias(name="moved")] if edit == "move with alias" else None
k8s.core.v1.ConfigMap(moved, metadata=metadata("moved"), data={"word": "kept"}, opts=opts(aliases=aliases))
