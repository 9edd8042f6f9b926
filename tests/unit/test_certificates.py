"""Certificates: what cert-manager is asked for, and nothing where the Secret exists."""

from __future__ import annotations

from collections.abc import Callable

import pulumi

from components.certificates import CertificateSecret, certificates
from components.context import Namespace
from settings import Certificates

from .conftest import Recorder

NAMES = ["redis.the-data.svc.cluster.local", "*.redis-headless.the-data.svc.cluster.local"]
Render = Callable[[Callable[[], object]], Recorder]


def make(render: Render, spec: Certificates) -> tuple[Recorder, CertificateSecret]:
    made: list[CertificateSecret] = []

    def program() -> None:
        made.append(
            certificates(
                "redis",
                spec,
                namespace=Namespace.existing("the-data"),
                agents=Namespace.existing("the-agents"),
                dns_names=NAMES,
                opts=pulumi.ResourceOptions(),
            )
        )

    return render(program), made[0]


def test_an_issuer_signs_one_for_the_servers_and_one_for_the_agents(render: Render) -> None:
    seen, secret = make(render, Certificates(cluster_issuer="internal"))
    assert secret.name == "redis-tls"
    assert len(secret.resources) == 2
    server = seen.seen["Certificate", "redis-tls"]
    agents = seen.seen["Certificate", "redis-tls-agents"]
    assert (server["apiVersion"], server["kind"]) == ("cert-manager.io/v1", "Certificate")
    assert server["metadata"]["namespace"] == "the-data"
    assert server["spec"]["dnsNames"] == NAMES
    # The nodes of a cluster are clients of each other.
    assert {"server auth", "client auth"} <= set(server["spec"]["usages"])
    assert agents["metadata"]["namespace"] == "the-agents"
    # Whoever reads the agents' Secret can pass for no server.
    assert "server auth" not in agents["spec"]["usages"]
    for certificate in (server, agents):
        assert certificate["spec"]["secretName"] == "redis-tls"
        assert certificate["spec"]["issuerRef"]["kind"] == "ClusterIssuer"
        assert certificate["spec"]["issuerRef"]["name"] == "internal"
        assert certificate["spec"]["privateKey"]["rotationPolicy"] == "Always"


def test_an_existing_secret_is_taken_as_it_is(render: Render) -> None:
    seen, secret = make(render, Certificates(existing_secret="from-elsewhere"))
    assert (secret.name, secret.resources) == ("from-elsewhere", ())
    assert seen.seen == {}
