"""A pod whose image has no version, written to a folder, so that no cluster is needed."""

import pulumi
import pulumi_kubernetes as k8s

files = k8s.Provider("files", render_yaml_to_directory="rendered")
k8s.core.v1.Pod(
    "web",
    metadata={"name": "web", "namespace": "shop"},
    spec={"containers": [{"name": "web", "image": pulumi.Config().get("image") or "web"}]},
    opts=pulumi.ResourceOptions(provider=files),
)
