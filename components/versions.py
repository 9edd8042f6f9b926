"""The images of everything that the stack itself runs, and the user that each runs as: one place for upgrades."""

from __future__ import annotations

from typing import NamedTuple


class Image(NamedTuple):
    """A pinned image and the numeric user that it is built for."""

    reference: str
    user: int

    @property
    def version(self) -> str:
        """The tag."""
        return self.reference.rpartition(":")[2]


REDIS = Image("redis:8.10.2", 999)
VALKEY = Image("valkey/valkey:9.1.4", 999)
REDIS_EXPORTER = Image("oliver006/redis_exporter:v1.89.0", 59000)
# It runs as the user of the Redis pods, whose files it reads.
RCLONE = Image("rclone/rclone:1.76.0", REDIS.user)
# The image's own user has a name, not a number, which runAsNonRoot cannot check: appuser is 1000.
KAFKA = Image("apache/kafka:4.3.1", 1000)
KAFKA_EXPORTER = Image("danielqsj/kafka-exporter:v1.9.0", 65534)
PROMETHEUS = Image("prom/prometheus:v3.13.3", 65534)
ALERTMANAGER = Image("prom/alertmanager:v0.34.0", 65534)
GRAFANA = Image("grafana/grafana:13.2.0", 472)
KUBE_STATE_METRICS = Image("registry.k8s.io/kube-state-metrics/kube-state-metrics:v2.20.0", 65534)
NODE_EXPORTER = Image("prom/node-exporter:v1.12.1", 65534)
# Built for root, but fit for any user with a HOME that it may write to; 2000 is the user of its variant without root.
# https://github.com/vllm-project/vllm/blob/main/docker/entrypoints/vllm-nonroot-entrypoint.sh
VLLM = Image("vllm/vllm-openai:v0.33.0", 2000)
# Built for root; the program needs no more than a HOME that it may write to.
OLLAMA = Image("ollama/ollama:0.17.4", 10001)
# The image's own user is root; it runs a script that needs none.
PYTHON = Image("python:3.13.9-alpine", 65534)
