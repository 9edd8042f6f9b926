"""The Ingress follows from the agents that are public."""

from __future__ import annotations

from collections.abc import Callable

from components.context import Context
from components.gateway.component import Gateway
from settings import AgentSettings, GatewaySettings, GatewayTls, Public

from .conftest import Recorder

Render = Callable[[Callable[[], object]], Recorder]
AGENTS = {
    "ingestion": AgentSettings(image="x/y:1", public=Public(path="/ingest")),
    "chat": AgentSettings(image="x/y:1", public=Public(host="chat.example.com")),
    "worker": AgentSettings(image="x/y:1"),
}


def gateway(spec: GatewaySettings, agents: dict[str, AgentSettings] = AGENTS) -> Gateway:
    return Gateway("gateway", spec, Context(agents=agents))


def test_rules_come_from_public_agents(render: Render) -> None:
    made: list[Gateway] = []
    seen = render(lambda: made.append(gateway(GatewaySettings(host="h.example", ingress_class="nginx"))))
    spec = seen.seen["Ingress", "gateway"]["spec"]
    assert spec["ingressClassName"] == "nginx"
    backends = {
        (rule["host"], path["path"]): path["backend"]["service"]["name"]
        for rule in spec["rules"]
        for path in rule["http"]["paths"]
    }
    assert backends == {("h.example", "/ingest"): "ingestion", ("chat.example.com", "/"): "chat"}
    assert "tls" not in spec
    assert made[0].urls == {"ingestion": "http://h.example/ingest", "chat": "http://chat.example.com/"}


def test_tls_by_certificate_manager(render: Render) -> None:
    spec = GatewaySettings(host="h.example", tls=GatewayTls(cluster_issuer="letsencrypt"), annotations={"a/b": "c"})
    seen = render(lambda: gateway(spec))
    ingress = seen.seen["Ingress", "gateway"]
    assert ingress["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] == "letsencrypt"
    assert ingress["metadata"]["annotations"]["a/b"] == "c"
    assert ingress["spec"]["tls"] == [{"hosts": ["chat.example.com", "h.example"], "secretName": "gateway-tls"}]


def test_tls_by_existing_secret_asks_no_issuer(render: Render) -> None:
    seen = render(lambda: gateway(GatewaySettings(host="h.example", tls=GatewayTls(secret_name="mine"))))
    ingress = seen.seen["Ingress", "gateway"]
    assert "cert-manager.io/cluster-issuer" not in ingress["metadata"]["annotations"]
    assert ingress["spec"]["tls"][0]["secretName"] == "mine"


def test_no_public_agent_no_ingress(render: Render) -> None:
    seen = render(lambda: gateway(GatewaySettings(), {"worker": AGENTS["worker"]}))
    assert seen.kinds() == ["Gateway"]
