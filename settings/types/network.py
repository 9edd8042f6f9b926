"""Hosts, networks, ports and paths."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, Field

from manifests.problems import ProblemError
from manifests.text import quoted

from .matching import Matching
from .names import LABEL, LABEL_REMEDY


def _no_address(host: str) -> str:
    if host.rpartition(".")[2].isdigit():
        raise ProblemError.of(f"`{host}` is an address, and a host name is needed", "write its DNS name")
    return host


HOST_PATTERN = rf"^{LABEL}(\.{LABEL})*$"

Host = Annotated[
    str,
    Matching(
        HOST_PATTERN,
        253,
        "a host name",
        f"{LABEL_REMEDY}, separated by dots, without scheme or port",
    ),
    Field(json_schema_extra={"format": "hostname"}),
]
"""A DNS name as in RFC 1123, or an IPv4 address, without scheme and port."""

HostName = Annotated[Host, AfterValidator(_no_address)]
"""A DNS name as in RFC 1123, without scheme and port."""


def _cidr(text: str) -> str:
    try:
        if "%" in text:  # a zone, which is a node's own affair
            raise ValueError
        return str(ipaddress.ip_network(text))
    except ValueError:
        what = f"{quoted(text)} is not a network in CIDR notation"
        raise ProblemError.of(what, "write for example `203.0.113.0/24`") from None


Cidr = Annotated[str, AfterValidator(_cidr), Field(json_schema_extra={"examples": ["203.0.113.0/24"]})]
"""An IPv4 or IPv6 network in CIDR notation."""

HttpPath = Annotated[
    str,
    Matching(r"^/[^\s?#]*$", 1024, "an HTTP path", "begin it with `/`, without query"),
]
"""An HTTP path that begins with `/`."""


def _route(path: str) -> str:
    # What an Ingress refuses in a path of the type Prefix.
    if "//" in path or {".", ".."} & set(path.split("/")):
        raise ProblemError.of(f"`{path}` is not a route", "write it without `//`, `.` and `..`")
    return path.rstrip("/") or "/"


Route = Annotated[HttpPath, AfterValidator(_route)]
"""The beginning of the HTTP paths that lead somewhere; a slash at its end means nothing."""


Port = Annotated[int, Field(ge=1, le=65535)]
"""A TCP port."""

UnprivilegedPort = Annotated[int, Field(ge=1024, le=65535)]
"""A TCP port that a process without privileges may listen on."""
