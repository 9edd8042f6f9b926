"""Services, ports, routes and NetworkPolicies: what is meant to connect can, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from manifests.fields import get, mapping, objects, strings, text, whole
from manifests.manifest import Manifest
from manifests.stack import Stack, pod_labels, selects
from manifests.workloads import WORKLOAD_KINDS, container_ports, containers, kind_of, namespace_of, where

from .flows import Network, annotated_port, directions, mentions, opens, scraped_ports, scrapers, targets, unsure
from .model import Rule, manifest_rule, stack_rule

_MADE_LATER: Final = frozenset({"acme.cert-manager.io/http01-solver", "batch.kubernetes.io/job-name", "job-name"})
"""Labels of pods that operators and Jobs make."""
_LOCAL: Final = ("localhost", ".localhost", ".local", ".test", ".internal", ".example")
_ANYWHERE: Final = frozenset({"0.0.0.0/0", "::/0"})


@stack_rule(
    "service-target-port",
    "error",
    "Services lead to ports that their pods have.",
    subjects=lambda stack: stack.of_kind("Service"),
    source="kube-linter `invalid-target-ports`",
)
def service_target_port(service: Manifest, stack: Stack) -> Iterator[str]:
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
        for port in objects(service, "spec", "ports"):
            target = text(port, "targetPort")
            number = int(target) if target.isdecimal() and len(target) < 6 else whole(port, "targetPort")
            if number is None and not target:
                number = whole(port, "port")
            if number is None and target and target not in names:
                yield f'leads to the port "{target}", which {who} does not name; correct spec.ports[].targetPort'
            elif number is not None and numbers and number not in numbers:
                yield (f"leads to the port {number}, and {who} declares {_listed(numbers)}; correct its targetPort")


@manifest_rule(
    "probe-port",
    "error",
    "Probes ask ports that their container has.",
    source="kube-linter `liveness-port`, `readiness-port`, `startup-port`",
)
def probe_port(manifest: Manifest) -> Iterator[str]:
    """Fires on a probe or a hook by the name of a port that the container does not declare: it always fails."""
    for container in containers(manifest):
        names = {text(port, "name") for port in objects(container, "ports")}
        for path in (("livenessProbe",), ("readinessProbe",), ("startupProbe",), ("lifecycle", "preStop")):
            for handler in ("httpGet", "tcpSocket"):
                port = text(container, *path, handler, "port")
                if port and not port.isdecimal() and port not in names:
                    yield f'{where(container)}: {path[-1]} asks the port "{port}", which it has not; add or correct it'


@stack_rule(
    "scrape-port",
    "error",
    "What is scraped has the port that is named.",
    subjects=lambda stack: stack.of_kind(*WORKLOAD_KINDS, "ServiceMonitor", "PodMonitor"),
    source="kube-linter `dangling-servicemonitor`",
)
def scrape_port(manifest: Manifest, stack: Stack) -> Iterator[str]:
    """Fires on a port in the annotations, or in a ServiceMonitor or PodMonitor, that the pods or Services lack.

    Silent on a monitor that selects nothing of the stack.
    """
    kind = kind_of(manifest)
    if kind in WORKLOAD_KINDS:
        port = annotated_port(manifest)
        numbers = {number for _, number in container_ports(manifest)}
        if port is not None and (not port.isdecimal() or int(port[:6]) not in numbers):
            yield (
                f"asks to be scraped at the port {port or '(none)'}, and declares {_listed(numbers)}; correct the "
                "annotation prometheus.io/port, or the ports of the containers"
            )
        return
    wanted = mapping(manifest, "spec", "selector")
    field, path = ("endpoints", "Service") if kind == "ServiceMonitor" else ("podMetricsEndpoints", "pod")
    selected = _monitored(manifest, stack, wanted)
    for endpoint in objects(manifest, "spec", field):
        name = text(endpoint, "port")
        lacking = [who for who, names in selected if name and name not in names]
        if selected and len(lacking) == len(selected):
            yield f'scrapes the port "{name}", which no {path} it selects names ({", ".join(lacking)}); correct it'


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
    source="[CVE-2020-8554](https://github.com/kubernetes/kubernetes/issues/97076)",
)
def no_external_ips(manifest: Manifest) -> Iterator[str]:
    """Fires on `externalIPs`, which take the traffic of the whole cluster to an address (CVE-2020-8554)."""
    if kind_of(manifest) == "Service" and strings(manifest, "spec", "externalIPs"):
        yield "takes what the cluster sends to other addresses; remove spec.externalIPs"


@manifest_rule(
    "service-cluster-only",
    "warning",
    "Services are reached from outside through a gateway only.",
    source="kube-linter `exposed-services`; kube-score `service-type`",
)
def service_cluster_only(manifest: Manifest) -> Iterator[str]:
    """Fires on the types NodePort and LoadBalancer, which pass by the TLS and the routes of a gateway."""
    if kind_of(manifest) == "Service" and text(manifest, "spec", "type") in ("NodePort", "LoadBalancer"):
        yield f"is open to whoever reaches the {_way(manifest)}; set spec.type: ClusterIP and make a route"


def _way(service: Manifest) -> str:
    return "nodes" if text(service, "spec", "type") == "NodePort" else "load balancer"


@manifest_rule(
    "ingress-tls",
    "error",
    "Ingresses take TLS connections.",
    source="polaris `tlsSettingsMissing`; kubescape C-0263",
)
def ingress_tls(manifest: Manifest) -> Iterator[str]:
    """Fires on a host without TLS, but for names that only one machine or network knows, such as `*.localhost`."""
    if kind_of(manifest) != "Ingress":
        return
    covered = {host for item in objects(manifest, "spec", "tls") for host in strings(item, "hosts") or [""]}
    for host in dict.fromkeys(text(rule, "host") for rule in objects(manifest, "spec", "rules")):
        wildcard = f"*.{host.partition('.')[2]}"
        if not {host, wildcard, ""} & covered and not f".{host}".endswith(_LOCAL):
            yield f"sends what {host or 'any host'} gets over the network in plain text; add it to spec.tls"


@stack_rule(
    "network-policy-selects-pods",
    "warning",
    "NetworkPolicies select pods of the stack.",
    subjects=lambda stack: stack.of_kind("NetworkPolicy"),
    source="kube-linter `dangling-networkpolicy`; kube-score `networkpolicy-targets-pod`",
    complete=True,
)
def network_policy_selects_pods(policy: Manifest, stack: Stack) -> Iterator[str]:
    """Fires on a policy for no pod; not on one for pods that cert-manager or a Job makes."""
    selector = mapping(policy, "spec", "podSelector")
    labels = mapping(selector, "matchLabels")
    if not (labels or objects(selector, "matchExpressions")) or _MADE_LATER & set(labels):
        return
    namespace = namespace_of(policy)
    if not any(stack.selected(namespace, selector)) and not stack.operated(namespace, selector):
        yield (
            "selects no pod of this namespace, so it protects and allows nothing; make spec.podSelector equal to "
            "labels of the pod template"
        )


@manifest_rule(
    "no-open-network-policy",
    "error",
    "NetworkPolicies open no direction to everybody on every port.",
    source="[network policies](https://kubernetes.io/docs/concepts/services-networking/network-policies/); NSA C-0030",
)
def no_open_network_policy(manifest: Manifest) -> Iterator[str]:
    """Fires on a rule for every address without ports, and on one with neither peers nor ports."""
    for direction in directions(manifest) if kind_of(manifest) == "NetworkPolicy" else ():
        for number, rule in enumerate(objects(manifest, "spec", direction.lower())):
            peers = objects(rule, "from" if direction == "Ingress" else "to")
            anywhere = not peers or any(text(peer, "ipBlock", "cidr") in _ANYWHERE for peer in peers)
            if anywhere and not objects(rule, "ports"):
                yield (
                    f"{direction.lower()}[{number}] allows every address on every port, as if there were no policy; "
                    "name the peers or the ports"
                )


@stack_rule(
    "flows-allowed",
    "error",
    "NetworkPolicies allow the connections that the stack declares.",
    subjects=lambda stack: stack.of_kind(*WORKLOAD_KINDS),
    source="[network policies](https://kubernetes.io/docs/concepts/services-networking/network-policies/)",
    complete=True,
)
def flows_allowed(client: Manifest, stack: Stack) -> Iterator[str]:
    """Fires where pods are told of a Service, or scrape a pod, and a policy of either side lets nothing through.

    Told by a variable, an argument or a mounted ConfigMap with the name of the Service; one without a port needs any
    port of the Service.
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
                yield f"{mention.where} says to connect to {address}, {_refused(refusals[0], client, server, ports[0])}"
    for scraper in stack.once(scrapers):
        if scraper.workload is not client:
            continue
        for server in stack.of_kind(*WORKLOAD_KINDS):
            for port in scraped_ports(server, scraper):
                refusal = network.allows(client, server, port)
                if refusal:
                    yield f"scrapes {_who(server)}, {_refused(refusal, client, server, port)}"


def _refused(direction: str | None, client: Manifest, server: Manifest, port: int) -> str:
    side, word = (client, "egress to") if direction == "Egress" else (server, "ingress at")
    return (
        f"and no NetworkPolicy for {_who(side)} allows it; allow {word} "
        f"{'port' if side is server else f'{_who(server)}, port'} {port}"
    )


def _who(workload: Manifest) -> str:
    return f'{kind_of(workload)} "{text(workload, "metadata", "name")}" in "{namespace_of(workload)}"'


@stack_rule(
    "no-undeclared-flows",
    "warning",
    "NetworkPolicies allow no connection that nothing in the stack declares.",
    subjects=lambda stack: stack.of_kind("NetworkPolicy"),
    source="[network policies](https://kubernetes.io/docs/concepts/services-networking/network-policies/)",
    complete=True,
)
def no_undeclared_flows(policy: Manifest, stack: Stack) -> Iterator[str]:
    """Fires on pods that may connect to a declared port of others, though nothing tells them to (see `flows-allowed`).

    Only between pods that policies isolate, the client in egress and the server in ingress, and only where all that the
    client is told is known. Versions of one application, by `app.kubernetes.io/name`, count as one: in a release the
    Service leads to one of them at a time.
    """
    allowed = stack.once(undeclared).get(id(policy), {})
    for (client, server), ports in allowed.items():
        yield (
            f"lets {client} connect to {server} on {'ports' if len(ports) > 1 else 'port'} {_listed(ports)}, and "
            "nothing says that it will; remove the rule, or name the Service in a variable"
        )


def undeclared(stack: Stack) -> dict[int, dict[tuple[str, str], set[int]]]:
    """Return what nothing declares, by the `id` of the policy that lets it in: client, server and ports."""
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
    found: dict[int, dict[tuple[str, str], set[int]]] = defaultdict(lambda: defaultdict(set))
    for server in stack.of_kind(*WORKLOAD_KINDS):
        isolation = network.isolation(server, "Ingress")
        numbers = {number for _, number in container_ports(server)}
        for opening in isolation.openings if isolation else ():
            for client in (opening.peers or {}).values():
                if network.isolation(client, "Egress") is None or id(client) in stack.once(unsure):
                    continue
                for port in numbers:
                    if (
                        (id(client), _application(server), port) not in declared
                        and opens(opening.rule, port, server)
                        and not network.allows(client, server, port)
                    ):
                        found[id(opening.policy)][_who(client), _who(server)].add(port)
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
