"""What the parts of the room share: names, ports, labels, and how a Kafka container is set up."""

from __future__ import annotations

import pathlib

import pulumi
import pulumi_kubernetes as k8s

from components.context import Namespace
from components.labels import selector
from components.network import Peer
from components.pods import empty_dir, read_only_mount
from components.versions import KAFKA
from settings import KafkaSettings, Resources
from settings.types import image_tag

FILES = pathlib.Path(__file__).parent / "files"
KAFKA_HOME = "/opt/kafka"
# Not below /etc/kafka: the image has a VOLUME in there, which needs a folder to be made in a read-only mount.
CONFIG_DIR = "/etc/agentstack"

BOOTSTRAP = "kafka"
"""The Service that clients begin with."""
BROKER_PORT = 9092
CONTROLLER_PORT = 9093

BROKER = selector("kafka", "broker")
CONTROLLER = selector("kafka", "controller")
TOPICS = selector("kafka", "topics")
EXPORTER = selector("kafka-exporter", "metrics")
CLIENT_LABELS = {"agentstack.dev/kafka": "true"}
"""The labels that let an agent's pod through to the brokers."""

ZONE_FIELD = "metadata.labels['topology.kubernetes.io/zone']"
"""Since Kubernetes 1.35 a pod has its node's zone as a label; before that, or on a node without a zone, it is empty.
https://www.kubernetes.dev/resources/keps/4742/"""

# A fresh node pulls an image of some hundred MiB; brokers are rolled one after another.
TIMEOUTS = pulumi.CustomTimeouts(create="10m", update="30m", delete="10m")


def image(spec: KafkaSettings) -> str:
    """The image that brokers, controllers and tools run from."""
    return spec.image or KAFKA.reference


def version(spec: KafkaSettings) -> str | None:
    """The tag of that image, for the version label."""
    return image_tag(image(spec))


def brokers(namespace: Namespace) -> Peer:
    """The broker pods as one side of a connection."""
    return Peer(namespace.name, BROKER)


_LARGEST_HEAP = 6 * 1024
"""In mebibytes: what Kafka's authors recommend. https://kafka.apache.org/41/operations/java-version/"""


def heap(resources: Resources) -> str:
    """`KAFKA_HEAP_OPTS`: give the JVM half of the container's memory, at once; a broker's other half is page cache."""
    mebibytes = min(int(resources.limits.memory.amount // 2 // 1024**2), _LARGEST_HEAP)
    return f"-Xms{mebibytes}m -Xmx{mebibytes}m"


def scratch() -> tuple[k8s.core.v1.VolumeArgs, k8s.core.v1.VolumeMountArgs]:
    """A writable /tmp: for the rendered configuration, and for the compression libraries, which unpack into it."""
    return empty_dir("tmp", "128Mi"), k8s.core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp")


def config(name: pulumi.Input[str]) -> tuple[k8s.core.v1.VolumeArgs, k8s.core.v1.VolumeMountArgs]:
    """A ConfigMap's files in `CONFIG_DIR`."""
    return (
        k8s.core.v1.VolumeArgs(name="config", config_map=k8s.core.v1.ConfigMapVolumeSourceArgs(name=name)),
        read_only_mount("config", CONFIG_DIR),
    )
