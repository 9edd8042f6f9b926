"""Destinations in one line, and by host name where the cluster's network knows names."""

from __future__ import annotations

import json
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.agent.component import Agent
from components.agent.declaration import AgentEnvironment
from settings import AgentSettings, Egress, NetworkSettings

from .conftest import Recorder

Render = Callable[[Callable[[], object]], Recorder]
AGENT = AgentSettings.model_validate(
    {"image": "x/y:1", "egress": ["api.example.com:8443", "203.0.113.0/24:5432", {"host": "b.example.com"}]}
)


@pytest.mark.parametrize(
    ("text", "host", "cidr", "port"),
    [
        ("api.openai.com:443", "api.openai.com", None, 443),
        ("api.openai.com", "api.openai.com", None, 443),
        ("10.0.0.0/8:5432", None, "10.0.0.0/8", 5432),
        ("10.0.0.0/8", None, "10.0.0.0/8", 443),
        ("203.0.113.7:22", None, "203.0.113.7/32", 22),
        ("[2001:db8::/32]:443", None, "2001:db8::/32", 443),
        ("[2001:db8::1]", None, "2001:db8::1/128", 443),
        ("2001:db8::/32", None, "2001:db8::/32", 443),
    ],
)
def test_one_line(text: str, host: str | None, cidr: str | None, port: int) -> None:
    assert Egress.model_validate(text) == Egress(host=host, cidr=cidr, port=port)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("api.openai.com:https", "is no destination: write `HOST:PORT`"),
        ("api.openai.com:", "is no destination"),
        (":443", "is no destination"),
        ("[2001:db8::/32", "is no destination"),
        ("[2001:db8::/32]443", "is no destination"),
        ("https://api.openai.com", "is no destination"),
        ("api.openai.com:70000", "less than or equal to 65535"),
        ("10.0.0.1/8:443", "is not a network in CIDR notation"),
        ("Api.openai.com:443", "is not a host name"),
    ],
)
def test_what_is_none(text: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Egress.model_validate(text)


@given(st.ip_addresses(), st.integers(0, 128), st.integers(1, 65535))
def test_every_network_is_read(address: IPv4Address | IPv6Address, bits: int, port: int) -> None:
    network = str(ip_network((address, min(bits, address.max_prefixlen)), strict=False))
    place = f"[{network}]" if address.version == 6 else network
    assert Egress.model_validate(f"{place}:{port}") == Egress(cidr=network, port=port)


def test_editors_accept_both_forms() -> None:
    schema = json.loads((Path(__file__).parents[2] / "schemas" / "agent.schema.json").read_text())
    for item in ("api.openai.com:443", {"host": "api.openai.com", "port": 443}):
        jsonschema.validate({"name": "a", "image": "x/y:1", "egress": [item]}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": "a", "image": "x/y:1", "egress": [{"hosts": "x"}]}, schema)


def test_without_names_a_host_opens_every_public_address(render: Render) -> None:
    recorder = render(lambda: Agent("a", AGENT))
    assert recorder.kinds().count("NetworkPolicy") == 1
    rules = recorder.seen["NetworkPolicy", "a"]["spec"]["egress"]
    assert [rule["ports"][0]["port"] for rule in rules] == [8443, 5432, 443]


def test_with_cilium_only_the_host_is_open(render: Render) -> None:
    environment = AgentEnvironment(network=NetworkSettings(fqdn_policies="cilium"))
    seen = render(lambda: Agent("a", AGENT, environment)).seen
    (plain,) = seen["NetworkPolicy", "a"]["spec"]["egress"]
    assert plain["to"] == [{"ipBlock": {"cidr": "203.0.113.0/24"}}]
    named = seen["CiliumNetworkPolicy", "a.fqdn"]
    dns, *hosts = named["spec"]["egress"]
    assert [(rule["toFQDNs"][0]["matchName"], rule["toPorts"][0]["ports"]) for rule in hosts] == [
        ("api.example.com", [{"port": "8443", "protocol": "TCP"}]),
        ("b.example.com", [{"port": "443", "protocol": "TCP"}]),
    ]
    assert dns["toPorts"][0]["rules"] == {"dns": [{"matchPattern": "*"}]}
    labels = seen["Deployment", "a"]["spec"]["template"]["metadata"]["labels"]
    assert named["spec"]["endpointSelector"]["matchLabels"].items() <= labels.items()


def test_with_calico_enterprise_only_the_host_is_open(render: Render) -> None:
    environment = AgentEnvironment(network=NetworkSettings(fqdn_policies="calicoEnterprise"))
    seen = render(lambda: Agent("a", AGENT, environment)).seen
    assert len(seen["NetworkPolicy", "a"]["spec"]["egress"]) == 1
    named = seen["NetworkPolicy", "a.fqdn"]
    assert named["apiVersion"] == "projectcalico.org/v3"
    assert [rule["destination"] for rule in named["spec"]["egress"]] == [
        {"domains": ["api.example.com"], "ports": [8443]},
        {"domains": ["b.example.com"], "ports": [443]},
    ]


def test_no_host_no_policy_by_name(render: Render) -> None:
    environment = AgentEnvironment(network=NetworkSettings(fqdn_policies="cilium"))
    assert "CiliumNetworkPolicy" not in render(lambda: Agent("a", AgentSettings(image="x/y:1"), environment)).kinds()
