"""Who may do what: users, passwords, ACLs and certificates, and how each part of the room logs in with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

from components.certificates import CertificateSecret, certificates
from components.connection import SecretRef
from components.context import Context, Namespace
from components.labels import labels
from components.pods import config_hash, read_only_mount, secret_files, secret_variable, variables
from components.workloads import metadata
from settings import AgentSettings, KafkaSettings

AUTH_SECRET = "kafka-auth"
USERS_KEY = "users"
EXPORTER_ARGUMENTS = "exporter-arguments"
AUTH_DIR = "/etc/kafka-auth"
TLS_DIR = "/etc/kafka-tls"
EXPORTER_USER = "_exporter"
"""With an underscore, which no agent's name has."""

# Listing topics, groups and offsets asks for no more.
_EXPORTER_ACLS = tuple(
    f"{EXPORTER_USER} DESCRIBE LITERAL {resource}" for resource in ("TOPIC *", "GROUP *", "CLUSTER kafka-cluster")
)

_Mounted = tuple[list[k8s.core.v1.VolumeArgs], list[k8s.core.v1.VolumeMountArgs]]


@dataclass(frozen=True)
class Login:
    """An agent's user and password."""

    values: Mapping[str, pulumi.Input[str]]
    """By environment variable, which is the key in the Secret as well."""
    secret: k8s.core.v1.Secret

    @property
    def references(self) -> dict[str, SecretRef]:
        """The same by reference."""
        return {key: SecretRef(self.secret.pulumi_resource_name, key) for key in self.values}


@dataclass(frozen=True)
class Access:
    """How a pod of the room is let in."""

    protocol: str
    """Kafka's `security.protocol`."""
    secret: pulumi.Input[str] | None = None
    """The Secret with the stack's own passwords, where clients must log in."""
    users_hash: pulumi.Input[str] | None = None
    """Changes with every user and password."""
    exporter_hash: pulumi.Input[str] | None = None
    """Changes with the exporter's password."""
    certificates: CertificateSecret | None = None
    logins: Mapping[str, Login] = field(default_factory=dict)
    """Each agent's, by its name."""

    def variables(self, **passwords: str) -> list[k8s.core.v1.EnvVarArgs]:
        """What the scripts read, with passwords by the name of their variable, given as keys of the Secret."""
        found = variables({"SECURITY_PROTOCOL": self.protocol})
        if self.certificates is not None:
            found += variables({"TLS_DIR": TLS_DIR})
        if self.secret is not None:
            found += [secret_variable(name, self.secret, key) for name, key in passwords.items()]
        return found

    def auth_files(self, *keys: str) -> _Mounted:
        """The stack's own Secret as files in `AUTH_DIR`, where clients must log in: the given keys alone."""
        return _mounted("auth", self.secret, keys, AUTH_DIR)

    def tls_files(self, *keys: str) -> _Mounted:
        """The certificates' files in `TLS_DIR`, where there are any: the given keys alone."""
        return _mounted("tls", self.certificates.name if self.certificates else None, keys, TLS_DIR)

    @property
    def resources(self) -> list[pulumi.Resource]:
        """What must be there before a pod can start."""
        return list(self.certificates.resources) if self.certificates is not None else []


def _mounted(volume: str, secret: pulumi.Input[str] | None, keys: Sequence[str], folder: str) -> _Mounted:
    if secret is None:
        return [], []
    return [secret_files(volume, secret, keys)], [read_only_mount(volume, folder)]


def acls(clients: Mapping[str, AgentSettings]) -> str:
    """What each user may do, as users.awk reads it, a line each: user, operation, pattern type, resource.

    Reading and writing include describing; writing to a topic includes idempotence (KIP-679).
    """
    return "\n".join([*_EXPORTER_ACLS, *(acl for name, agent in sorted(clients.items()) for acl in _acls(name, agent))])


def _acls(name: str, agent: AgentSettings) -> Iterator[str]:
    for topic in sorted(set(agent.consumes)):
        yield f"{name} READ LITERAL TOPIC {topic}"
    for topic in sorted(set(agent.produces)):
        yield f"{name} WRITE LITERAL TOPIC {topic}"
    if agent.consumes:
        yield f"{name} READ LITERAL GROUP {name}"
    if agent.produces:
        # The dot keeps `researcher-2` out of what begins with `researcher`.
        yield f"{name} WRITE PREFIXED TRANSACTIONAL_ID {name}."


def access(
    spec: KafkaSettings,
    context: Context,
    *,
    clients: Mapping[str, AgentSettings],
    dns_names: Sequence[str],
    parent: pulumi.Resource,
) -> Access:
    """Create users' passwords and Secrets, and certificates, as far as the settings want them.

    `clients` are the agents that use Kafka. Where data is protected, the engine refuses to delete the passwords of the
    stack's own users: the brokers' volumes know them.
    """
    namespace, agents = context.namespaces.data, context.namespaces.agents
    child = pulumi.ResourceOptions(parent=parent)
    certified = None
    if spec.tls is not None:
        certified = certificates("kafka", spec.tls, namespace=namespace, agents=agents, dns_names=dns_names, opts=child)
    if not spec.secured:
        return Access(spec.security_protocol, certificates=certified)

    kept = pulumi.ResourceOptions(parent=parent, protect=context.protect, retain_on_delete=context.protect)

    def password(name: str, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
        # Letters and digits: it is written into files of several syntaxes.
        return random.RandomPassword(name, length=32, special=False, opts=opts).result

    def secret(name: str, where: Namespace, data: Mapping[str, pulumi.Input[str]]) -> k8s.core.v1.Secret:
        return k8s.core.v1.Secret(
            name,
            metadata=metadata(name, where, labels("kafka", "users")),
            string_data=data,
            opts=child,
        )

    own = {name: password(f"kafka-{name}-password", kept) for name in ("broker", "operator", "exporter")}
    users = {EXPORTER_USER: own["exporter"], **{agent: password(f"{agent}.kafka", child) for agent in sorted(clients)}}
    logins = {}
    for agent in sorted(clients):
        values: dict[str, pulumi.Input[str]] = {"KAFKA_USERNAME": agent, "KAFKA_PASSWORD": users[agent]}
        # A dot, since no agent's name has one.
        logins[agent] = Login(values, secret(f"{agent}.kafka", agents, values))
    lines = pulumi.Output.all(**users).apply(lambda known: "".join(f"{u} {p}\n" for u, p in known.items()))
    auth = secret(
        AUTH_SECRET,
        namespace,
        {
            "broker-password": own["broker"],
            "operator-password": own["operator"],
            EXPORTER_ARGUMENTS: pulumi.Output.concat("--sasl.password=", own["exporter"], "\n"),
            USERS_KEY: lines,
        },
    )

    def hashed(**passwords: pulumi.Output[str]) -> pulumi.Output[str]:
        # A shortened hash of random characters gives nothing away.
        return pulumi.Output.unsecret(pulumi.Output.all(**passwords).apply(config_hash))

    return Access(
        spec.security_protocol,
        auth.metadata.name,
        hashed(**users, operator=own["operator"]),
        hashed(exporter=own["exporter"]),
        certified,
        logins,
    )
