"""Destinations outside the cluster, and how the cluster can be told of those that have only a name."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import ConfigDict, model_validator

from manifests.problems import Problem, ProblemError
from manifests.text import quoted

from .model import Model
from .types import Cidr, HostName, Port


def _or_text(schema: dict[str, Any]) -> None:
    schema["type"] = ["string", "object"]
    schema["examples"] = ["api.openai.com:443", "203.0.113.0/24:5432", "[2001:db8::/32]:443"]


class Egress(Model):
    """A destination outside the cluster that the agent may open connections to.

    In one line: `api.openai.com:443`, `203.0.113.0/24:5432`, `[2001:db8::/32]:443`; without a port 443.
    """

    model_config = ConfigDict(json_schema_extra=_or_text)

    host: HostName | None = None
    """A host name. NetworkPolicies know addresses only: the port opens to every public address, unless
    `platform.network.fqdnPolicies` says what knows names."""
    cidr: Cidr | None = None
    """A network; the port opens to its addresses only."""
    port: Port = 443

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: object) -> object:
        return _parsed(data) if isinstance(data, str) else data

    def problems(self) -> Iterator[Problem]:
        """It is one destination."""
        if (self.host is None) == (self.cidr is None):
            yield Problem(("host",), "give either `host` or `cidr`")


def _parsed(text: str) -> Mapping[str, object]:
    if text.startswith("["):
        place, bracket, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        whole = bool(bracket) and colon in ("", ":")
    else:
        place, colon, port = text.rpartition(":") if text.count(":") == 1 else (text, "", "")
        whole = True
    if not whole or not place or (colon and not re.fullmatch("[0-9]{1,5}", port)):
        remedy = "write `HOST:PORT`, `CIDR:PORT` or, of IPv6, `[CIDR]:PORT`"
        raise ProblemError.of(f"{quoted(text)} is no destination", remedy)
    given: dict[str, object] = {"port": int(port)} if colon else {}
    try:
        ipaddress.ip_network(place, strict=False)
    except ValueError:
        # A slash is in no host name: the message about a network says more.
        return given | {"cidr" if "/" in place else "host": place}
    return given | {"cidr": place}


class NetworkSettings(Model):
    """What the cluster's network can enforce beyond NetworkPolicies."""

    fqdn_policies: Literal["none", "cilium", "calicoEnterprise"] = "none"
    """What limits egress by host name. `none`: every public address on that port is open. `cilium`: a
    CiliumNetworkPolicy, for clusters with Cilium and its DNS proxy. `calicoEnterprise`: a NetworkPolicy of
    projectcalico.org/v3 with `domains`, which Calico Enterprise and Calico Cloud know, and open-source Calico does
    not."""
