"""Services, ports, routes and NetworkPolicies: what is meant to connect can, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from manifests.fields import get, mapping, objects, path_to, placed, strings, text, whole
from manifests.manifest import Manifest
from manifests.mentions import incomplete, mentions, targets
from manifests.network import Network, directions, opens
from manifests.scraping import annotated_port, scraped_ports, scrapers
from manifests.stack import Stack, pod_labels, selects
from manifests.workloads import (
    WORKLOAD_KINDS,
    container_ports,
    containers,
    kind_of,
    namespace_of,
    template_path,
    where,
)
from policies.findings import Finding
from policies.model import Rule, manifest_rule, stack_rule

_MADE_LATER: Final = frozenset({"acme.cert-manager.io/http01-solver", "batch.kubernetes.io/job-name", "job-name"})
"""Labels of pods that operators and Jobs make."""
_LOCAL: Final = ("localhost", ".localhost", ".local", ".test", ".internal", ".example")
_ANYWHERE: Final = frozenset({"0.0.0.0/0", "::/0"})


@stack_rule(
    "service-target-port",
    "error",
    "Services lead to ports that their pods have.",
    subjects=lambda stack: stack.of_kind("Service"),
    remedy="correct its targetPort",
    source="kube-linter `invalid-target-ports`",
)
def service_target_port(service: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a `targetPort` by a name that a selected pod lacks, or by a number that is not among those it declares.

    Silent on a number where the pods declare no ports at all: they need not.
    """
    selector = mapping(service, "spec", "selector")
    if not selector or get(service, "spec", "type") == "ExternalName":
        return
    for workload in stack.selected(namespace_of(service), {"matchLabels": selector}):
        declared = list(container_ports(workload))
        names, numbers = {name for name, _ in declared}, {number for _, number in declared}
        who = f'{kind_of(workload)} "{text(workload, "metadata", "name")}"'
        for port in placed(service, "spec", "ports"):
            target = text(port, "targetPort")
            number = int(target) if target.isdecimal() and len(target) < 6 else whole(port, "targetPort")
            if number is None and not target:
                number = whole(port, "port")
            if number is None and target and target not in names:
                yield Finding(f'leads to the port "{target}", which {who} does not name', port.at("targetPort"))
            elif number is not None and numbers and number not in numbers:
                what = f"leads to the port {number}, and {who} declares {_listed(numbers)}"
                yield Finding(what, port.at("targetPort"))


@manifest_rule(
    "probe-port",
    "error",
    "Probes ask ports that their container has.",
    remedy="add or correct it",
    source="kube-linter `liveness-port`, `readiness-port`, `startup-port`",
)
def probe_port(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a probe or a hook by the name of a port that the container does not declare: it always fails."""
    for container in containers(manifest):
        names = {text(port, "name") for port in objects(container, "ports")}
        for path in (("livenessProbe",), ("readinessProbe",), ("startupProbe",), ("lifecycle", "preStop")):
            for handler in ("httpGet", "tcpSocket"):
                port = text(container, *path, handler, "port")
                if port and not port.isdecimal() and port not in names:
                    what = f'{where(container)}: {path[-1]} asks the port "{port}", which it does not declare'
                    yield Finding(what, container.at(*path, handler, "port"))


@stack_rule(
    "scrape-port",
    "error",
    "What is scraped has the port that is named.",
    subjects=lambda stack: stack.of_kind(*WORKLOAD_KINDS, "ServiceMonitor", "PodMonitor"),
    remedy="correct the port, or declare it on the containers",
    source="kube-linter `dangling-servicemonitor`",
)
def scrape_port(manifest: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a port in the annotations, or in a ServiceMonitor or PodMonitor, that the pods or Services lack.

    Silent on a monitor that selects nothing of the stack.
    """
    kind = kind_of(manifest)
    if kind in WORKLOAD_KINDS:
        port = annotated_port(manifest)
        numbers = {number for _, number in container_ports(manifest)}
        if port is not None and (not port.isdecimal() or int(port[:6]) not in numbers):
            yield Finding(
                f"asks to be scraped at the port {port or '(none)'}, and declares {_listed(numbers)}",
                path_to(template_path(manifest), "metadata", "annotations", "prometheus.io/port"),
                "correct the annotation prometheus.io/port, or the ports of the containers",
            )
        return
    wanted = mapping(manifest, "spec", "selector")
    field, which = ("endpoints", "Service") if kind == "ServiceMonitor" else ("podMetricsEndpoints", "pod")
    selected = _monitored(manifest, stack, wanted)
    for endpoint in placed(manifest, "spec", field):
        name = text(endpoint, "port")
        lacking = [who for who, names in selected if name and name not in names]
        if selected and len(lacking) == len(selected):
            what = f'scrapes the port "{name}", which no {which} it selects names ({", ".join(lacking)})'
            yield Finding(what, endpoint.at("port"), "correct it")


def _monitored(monitor: Manifest, stack: Stack, selector: Manifest) -> list[tuple[str, set[str]]]:
    names = strings(monitor, "spec", "namespaceSelector", "matchNames") or [namespace_of(monitor)]
    everywhere = get(monitor, "spec", "namespaceSelector", "any") is True
    if kind_of(monitor) == "ServiceMonitor":
        return [
            (text(service, "metadata", "name"), {text(port, "name") for port in objects(service, "spec", "ports")})
            for service in stack.of_kind("Service")
            if (everywhere or namespace_of(service) in names)
            and selects(selector, mapping(service, "metadata", "labels"))
        ]
    return [
        (text(workload, "metadata", "name"), {name for name, _ in container_ports(workload)})
        for namespace in names
        for workload in stack.selected(namespace, selector)
    ]


def _listed(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers))) or "no port"


@manifest_rule(
    "no-external-ips",
    "error",
    "Services claim no addresses.",
    remedy="remove spec.externalIPs",
    source="[CVE-2020-8554](https://github.com/kubernetes/kubernetes/issues/97076)",
)
def no_external_ips(manifest: Manifest) -> Iterator[Finding]:
    """Fires on `externalIPs`, which take the traffic of the whole cluster to an address (CVE-2020-8554)."""
    if kind_of(manifest) == "Service" and strings(manifest, "spec", "externalIPs"):
        yield Finding("takes what the cluster sends to other addresses", "spec.externalIPs")


@manifest_rule(
    "service-cluster-only",
    "warning",
    "Services are reached from outside through a gateway only.",
    remedy="set spec.type: ClusterIP and make a route",
    source="kube-linter `exposed-services`; kube-score `service-type`",
)
def service_cluster_only(manifest: Manifest) -> Iterator[Finding]:
    """Fires on the types NodePort and LoadBalancer, which pass by the TLS and the routes of a gateway."""
    if kind_of(manifest) == "Service" and text(manifest, "spec", "type") in ("NodePort", "LoadBalancer"):
        yield Finding(f"is open to whoever reaches the {_way(manifest)}", "spec.type")


def _way(service: Manifest) -> str:
    return "nodes" if text(service, "spec", "type") == "NodePort" else "load balancer"


@manifest_rule(
    "ingress-tls",
    "error",
    "Ingresses take TLS connections.",
    remedy="add it to spec.tls",
    source="polaris `tlsSettingsMissing`; kubescape C-0263",
)
def ingress_tls(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a host without TLS, but for names that only one machine or network knows, such as `*.localhost`."""
    if kind_of(manifest) != "Ingress":
        return
    covered = {host for item in objects(manifest, "spec", "tls") for host in strings(item, "hosts") or [""]}
    for host in dict.fromkeys(text(rule, "host") for rule in objects(manifest, "spec", "rules")):
        wildcard = f"*.{host.partition('.')[2]}"
        if not {host, wildcard, ""} & covered and not f".{host}".endswith(_LOCAL):
            yield Finding(f"sends what {host or 'any host'} gets over the network in plain text", "spec.tls")


@stack_rule(
    "network-policy-selects-pods",
    "warning",
    "NetworkPolicies select pods of the stack.",
    subjects=lambda stack: stack.of_kind("NetworkPolicy"),
    remedy="make spec.podSelector equal to labels of the pod template",
    source="kube-linter `dangling-networkpolicy`; kube-score `networkpolicy-targets-pod`",
    complete=True,
)
def network_policy_selects_pods(policy: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a policy for no pod; not on one for pods that cert-manager or a Job makes."""
    selector = mapping(policy, "spec", "podSelector")
    labels = mapping(selector, "matchLabels")
    if not (labels or objects(selector, "matchExpressions")) or _MADE_LATER & set(labels):
        return
    namespace = namespace_of(policy)
    if not any(stack.selected(namespace, selector)) and not stack.operated(namespace, selector):
        yield Finding("selects no pod of this namespace, so it protects and allows nothing", "spec.podSelector")


@manifest_rule(
    "no-open-network-policy",
    "error",
    "NetworkPolicies open no direction to everybody on every port.",
    remedy="name the peers or the ports",
    source="[network policies](https://kubernetes.io/docs/concepts/services-networking/network-policies/); NSA C-0030",
)
def no_open_network_policy(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a rule for every address without ports, and on one with neither peers nor ports."""
    for direction in directions(manifest) if kind_of(manifest) == "NetworkPolicy" else ():
        for rule in placed(manifest, "spec", direction.lower()):
            peers = objects(rule, "from" if direction == "Ingress" else "to")
            anywhere = not peers or any(text(peer, "ipBlock", "cidr") in _ANYWHERE for peer in peers)
            if anywhere and not objects(rule, "ports"):
                yield Finding(f"{rule.path} allows every address on every port, as if there were no policy", rule.path)


@stack_rule(
    "flows-allowed",
    "error",
    "NetworkPolicies allow the connections that the stack declares.",
    subjects=lambda stack: stack.of_kind(*WORKLOAD_KINDS),
    remedy="allow egress in a NetworkPolicy for the client, and ingress in one for the server",
    source="[network policies](https://kubernetes.io/docs/concepts/services-networking/network-policies/)",
    complete=True,
)
def flows_allowed(client: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires where pods get the name of a Service, or scrape a pod, and a policy of either side lets nothing through.

    They get it in a variable, an argument or a mounted ConfigMap; a name without a port needs any port of the Service.
    """
    network = stack.once(Network)
    for mention in stack.once(mentions)[id(client)]:
        service = stack.named("Service", mention.namespace, mention.service)
        selector = mapping(service, "spec", "selector")
        for server in stack.selected(mention.namespace, {"matchLabels": selector}) if selector else ():
            ports = targets(mapping(service), mention.port, server)
            refusals = [network.allows(client, server, port) for port in ports]
            if ports and all(refusals):
                address = f"{mention.service}.{mention.namespace}" + (f":{mention.port}" if mention.port else "")
                why, remedy = _refused(refusals[0], client, server, ports[0])
                yield Finding(f"{mention.where} names {address}, {why}", mention.path, remedy)
    for scraper in stack.once(scrapers):
        if scraper.workload is not client:
            continue
        for server in stack.of_kind(*WORKLOAD_KINDS):
            for port in scraped_ports(server, scraper):
                refusal = network.allows(client, server, port)
                if refusal:
                    why, remedy = _refused(refusal, client, server, port)
                    yield Finding(f"scrapes {_who(server)}, {why}", remedy=remedy)


def _refused(direction: str | None, client: Manifest, server: Manifest, port: int) -> tuple[str, str]:
    """Return why a connection is refused, and the remedy."""
    if direction == "Egress":
        side, remedy = client, f"allow egress to {_who(server)}, port {port}"
    else:
        side, remedy = server, f"allow ingress at port {port}"
    return f"and no NetworkPolicy for {_who(side)} allows it", remedy


def _who(workload: Manifest) -> str:
    return f'{kind_of(workload)} "{text(workload, "metadata", "name")}" in "{namespace_of(workload)}"'


@stack_rule(
    "no-undeclared-flows",
    "warning",
    "NetworkPolicies allow no connection that nothing in the stack declares.",
    subjects=lambda stack: stack.of_kind("NetworkPolicy"),
    remedy="remove the rule, or name the Service in a variable",
    source="[network policies](https://kubernetes.io/docs/concepts/services-networking/network-policies/)",
    complete=True,
)
def no_undeclared_flows(policy: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on pods that may connect to a declared port of others, though nothing tells them to (see `flows-allowed`).

    Only between pods that policies isolate, the client in egress and the server in ingress, and only where all that the
    client is given is known. Versions of one application, by `app.kubernetes.io/name`, count as one: in a release the
    Service leads to one of them at a time.
    """
    allowed = stack.once(_undeclared).get(id(policy), {})
    for (client, server, path), ports in allowed.items():
        yield Finding(
            f"lets {client} connect to {server} on {'ports' if len(ports) > 1 else 'port'} {_listed(ports)}, and "
            "nothing says that it will",
            path,
        )


def _undeclared(stack: Stack) -> dict[int, dict[tuple[str, str, str], set[int]]]:
    """Return what nothing declares, by the `id` of the policy that lets it in: client, server, its rule, and ports."""
    network = stack.once(Network)
    declared = set()
    for client in stack.of_kind(*WORKLOAD_KINDS):
        for mention in stack.once(mentions)[id(client)]:
            service = mapping(stack.named("Service", mention.namespace, mention.service))
            selector = mapping(service, "spec", "selector")
            for server in stack.selected(mention.namespace, {"matchLabels": selector}) if selector else ():
                declared |= {
                    (id(client), _application(server), port) for port in targets(service, mention.port, server)
                }
    for scraper in stack.once(scrapers):
        for server in stack.of_kind(*WORKLOAD_KINDS):
            scraped = scraped_ports(server, scraper)
            declared |= {(id(scraper.workload), _application(server), port) for port in scraped}
    found: dict[int, dict[tuple[str, str, str], set[int]]] = defaultdict(lambda: defaultdict(set))
    for server in stack.of_kind(*WORKLOAD_KINDS):
        isolation = network.isolation(server, "Ingress")
        numbers = {number for _, number in container_ports(server)}
        for opening in isolation.openings if isolation else ():
            for client in (opening.peers or {}).values():
                if network.isolation(client, "Egress") is None or id(client) in stack.once(incomplete):
                    continue
                for port in numbers:
                    if (
                        (id(client), _application(server), port) not in declared
                        and opens(opening.rule, port, server)
                        and not network.allows(client, server, port)
                    ):
                        found[id(opening.policy)][_who(client), _who(server), opening.rule.path].add(port)
    return found


def _application(workload: Manifest) -> tuple[str, str] | int:
    name = get(pod_labels(workload), "app.kubernetes.io/name")
    return (namespace_of(workload), name) if isinstance(name, str) else id(workload)


RULES: tuple[Rule, ...] = (
    service_target_port,
    probe_port,
    scrape_port,
    no_external_ips,
    service_cluster_only,
    ingress_tls,
    network_policy_selects_pods,
    no_open_network_policy,
    flows_allowed,
    no_undeclared_flows,
)
