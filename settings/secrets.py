"""Where an agent's secrets come from: the stack's encrypted configuration, an existing Secret, or a store outside."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

from pydantic import Field

from manifests.problems import Problem

from .model import Model, SecretKey
from .types import DnsSubdomain, Duration


class ExternalKey(Model):
    """A value in the store that the External Secrets operator reads: `remoteRef` of an ExternalSecret."""

    key: str = Field(min_length=1, max_length=1024)
    """The entry, as the store names it: `prod/model-provider`."""
    property: str | None = Field(default=None, min_length=1, max_length=1024)
    """The field of an entry that holds several."""


class ExternalSecrets(Model):
    """The External Secrets operator of the cluster, and the store that agents' secrets are read from."""

    store: DnsSubdomain
    """The name of the store."""
    kind: Literal["ClusterSecretStore", "SecretStore"] = "ClusterSecretStore"
    """`SecretStore`: one in the agents' namespace."""
    refresh_interval: Duration = Field(default=timedelta(hours=1), ge=timedelta(minutes=1))
    """How often the operator reads the store again, at least a minute; pods see a new value when they start,
    with `reload: file` within about a minute."""


class AgentSecret(Model):
    """A secret that the agent reads from an environment variable.

    With neither `existingSecret` nor `external` the value comes from `agentstack:secrets` in the environment's
    configuration.
    """

    required: bool = True
    """Whether the agent cannot work without it."""
    existing_secret: SecretKey | None = None
    """A Secret in the agents' namespace that something else makes."""
    external: ExternalKey | None = None
    """A value in the store of `platform.externalSecrets`."""

    def problems(self) -> Iterator[Problem]:
        """It has one source, which gives what is required."""
        if self.existing_secret and self.external:
            what = "the value comes from `existingSecret` already"
            yield Problem(("external",), what, "set one of them to `null`")
        if self.external and not self.required:
            what = "the operator makes all of an agent's external secrets or none"
            yield Problem(("required",), what, "remove `required: false`")

    @property
    def configured(self) -> bool:
        """Whether the value comes from the environment's configuration."""
        return self.existing_secret is None and self.external is None
