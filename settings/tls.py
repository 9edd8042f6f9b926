"""Where the certificates of a server come from, and whose certificates clients trust."""

from __future__ import annotations

from collections.abc import Iterator

from manifests.problems import Problem

from .model import Model, SecretKey
from .types import DnsLabel, DnsSubdomain


class Certificates(Model):
    """TLS with certificates from cert-manager or from Secrets that exist already: give one of the two."""

    cluster_issuer: DnsLabel | None = None
    """The cert-manager ClusterIssuer that signs them: one with a CA of its own, since no public CA signs the names of
    Services."""
    existing_secret: DnsSubdomain | None = None
    """A Secret with the keys `tls.crt`, `tls.key` and `ca.crt` in the data namespace, and one of the same name in the
    agents' namespace, of which agents read `ca.crt` alone."""

    def problems(self) -> Iterator[Problem]:
        """They have one source."""
        if (self.cluster_issuer is None) == (self.existing_secret is None):
            yield Problem(("clusterIssuer",), "give either `clusterIssuer` or `existingSecret`")


class ExternalTls(Model):
    """TLS to a service that is not part of the stack: `{}` where a public authority signed its certificate."""

    ca: SecretKey | None = None
    """The certificate of the authority that signed the service's, in PEM, in the agents' namespace; reaches agents as a
    file. Absent: a public authority, one of those that the agent's image knows."""
