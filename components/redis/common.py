"""What the parts of the room share: names, ports, labels, and what the pods read and run."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import NamedTuple

import pulumi
import pulumi_kubernetes as k8s

from components.context import Context, Namespace
from components.labels import labels, selector
from components.pods import secret_files, secret_variable, variables
from components.versions import REDIS, VALKEY
from components.workloads import metadata
from settings import RedisSettings
from settings.types import image_tag

from .users import OPERATOR

FILES = pathlib.Path(__file__).parent / "files"
CONFIG_DIR, TLS_DIR = "/etc/redis", "/etc/redis-tls"

PORT, BUS_PORT = 6379, 16379

NODE = selector("redis", "state")
KEEPER = selector("redis", "keeper")
CLIENT_LABELS = {"agentstack.dev/redis": "true"}
"""The labels that let an agent's pod through to the nodes."""

ENGINES = {"redis": REDIS, "valkey": VALKEY}

ACL_FILE, REPLICATION_FILE = "users.acl", "replication.conf"
OPERATOR_PASSWORD, EXPORTER_PASSWORD = "operator-password", "exporter-password"
"""The keys of the Secret `redis-auth`."""

# An update takes the nodes one by one.
TIMEOUTS = pulumi.CustomTimeouts(create="10m", update="30m")


class Sources(NamedTuple):
    """The names of the objects that the pods read."""

    config: pulumi.Input[str]
    """The ConfigMap with the scripts."""
    auth: pulumi.Input[str]
    """The Secret with the ACL file, the configuration of replication, and passwords."""
    certificates: str | None
    """The Secret with `tls.crt`, `tls.key` and `ca.crt`; None without TLS."""


def image(spec: RedisSettings) -> str:
    """The image of all Redis containers."""
    return spec.image or ENGINES[spec.engine].reference


def version(spec: RedisSettings) -> str | None:
    """The tag of that image, for the version label."""
    return image_tag(image(spec))


def domain(context: Context) -> str:
    """The DNS domain of the namespace's Services."""
    return f"{context.namespaces.data.name}.svc.{context.cluster_domain}"


def node_domain(context: Context) -> str:
    """The DNS domain of the nodes, under which they announce themselves."""
    return f"redis-headless.{domain(context)}"


def object_metadata(
    name: str, spec: RedisSettings, namespace: Namespace, component: str = "state"
) -> k8s.meta.v1.ObjectMetaArgs:
    """The metadata of an object that goes with the image's version."""
    return metadata(name, namespace, labels("redis", component, version(spec)))


def read(*names: str) -> dict[str, str]:
    """Read these files of the room, by their names."""
    return {name: (FILES / name).read_text() for name in names}


def client_variables(spec: RedisSettings, sources: Sources) -> list[k8s.core.v1.EnvVarArgs]:
    """What client.sh needs to speak to a node."""
    plain = {
        "REDIS_CLI": f"{spec.engine}-cli",
        "REDIS_USER": OPERATOR,
        **({"REDIS_TLS_DIR": TLS_DIR} if sources.certificates else {}),
    }
    return [*variables(plain), secret_variable("REDISCLI_AUTH", sources.auth, OPERATOR_PASSWORD)]


def probe(command: list[str], *, period: int, failures: int) -> k8s.core.v1.ProbeArgs:
    """A probe by a command, every `period` seconds, which fails after `failures` of them in a row."""
    return k8s.core.v1.ProbeArgs(
        exec_=k8s.core.v1.ExecActionArgs(command=command),
        period_seconds=period,
        timeout_seconds=5,
        failure_threshold=failures,
    )


def authority(sources: Sources) -> list[k8s.core.v1.VolumeArgs]:
    """What clients need of the certificates, which is no secret."""
    return [secret_files("authority", sources.certificates, ("ca.crt",), mode=0o444)] if sources.certificates else []


def config_files(sources: Sources, files: Iterable[str]) -> k8s.core.v1.VolumeArgs:
    """The volume `config` with these keys of the ConfigMap."""
    items = [k8s.core.v1.KeyToPathArgs(key=file, path=file) for file in files]
    source = k8s.core.v1.ConfigMapVolumeSourceArgs(name=sources.config, items=items)
    return k8s.core.v1.VolumeArgs(name="config", config_map=source)
