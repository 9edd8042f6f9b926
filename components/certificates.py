"""Certificates of a server in the stack: from cert-manager, or from Secrets that exist already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.context import Namespace
from components.labels import labels
from components.workloads import metadata
from settings import Certificates


class CertificateSecret(NamedTuple):
    """Where the certificates are."""

    name: str
    """The Secret in the server's namespace, with `tls.crt`, `tls.key` and `ca.crt`, and the one of the same name in the
    agents', of which they read `ca.crt` alone."""
    resources: tuple[pulumi.Resource, ...]
    """What makes those Secrets; empty where they exist already."""


def certificates(
    name: str,
    spec: Certificates,
    *,
    namespace: Namespace,
    agents: Namespace,
    dns_names: Sequence[str],
    opts: pulumi.ResourceOptions,
) -> CertificateSecret:
    """Certify the server `name`, such as `redis`, for `dns_names` (a wildcard stands for one label).

    With an issuer, cert-manager writes the Secrets `NAME-tls` and renews them, each time with a new key; `opts` are
    those of the Certificates. https://cert-manager.io/docs/usage/certificate/
    """
    if spec.existing_secret is not None:
        return CertificateSecret(spec.existing_secret, ())
    secret = f"{name}-tls"

    def certificate(resource: str, where: Namespace, names: Sequence[str], usages: Sequence[str]) -> CustomResource:
        return CustomResource(
            resource,
            api_version="cert-manager.io/v1",
            kind="Certificate",
            metadata=metadata(
                secret,
                where,
                labels(name, "certificate"),
                # Pods that mount the Secret hang without it; an issuer's error shows here instead.
                {"pulumi.com/waitFor": "condition=Ready"},
            ),
            spec={
                "secretName": secret,
                "issuerRef": {"group": "cert-manager.io", "kind": "ClusterIssuer", "name": spec.cluster_issuer},
                "dnsNames": list(names),
                "usages": ["digital signature", *usages],
                # PKCS8 is the only form that Kafka reads, and OpenSSL reads it as well.
                "privateKey": {"algorithm": "ECDSA", "size": 256, "encoding": "PKCS8", "rotationPolicy": "Always"},
            },
            opts=opts,
        )

    return CertificateSecret(
        secret,
        (
            # Nodes are each other's clients as well.
            certificate(f"{name}-tls", namespace, dns_names, ("server auth", "client auth")),
            # Agents need the authority alone, and cert-manager gives it with a certificate only: one that is good for
            # no server.
            certificate(f"{name}-tls-agents", agents, [f"{name}-client"], ("client auth",)),
        ),
    )
