"""Observability registers exactly its objects and edges, and asks only for metrics that somebody exports."""

from __future__ import annotations

import functools
import json
import pathlib
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import promql_parser
import pulumi
import pytest
import yaml
from grafana_foundation_sdk.models.dashboard import Dashboard
from pulumi.runtime import mocks

import components
from components import redis
from components.context import Context
from components.namespaces.component import Namespaces
from components.observability import collect, grafana, make_dashboards
from components.observability.component import Observability
from components.part import Exporter, Part
from components.parts import PARTS
from settings import AlertmanagerSettings, NamespacesSettings, ObservabilitySettings, PrometheusSettings, SecretKey

from .conftest import Recorder

FIXTURES = pathlib.Path(__file__).parents[2] / "policies" / "metrics"
RUNBOOK = pathlib.Path(__file__).parents[2] / "docs" / "alerts.md"
REPOSITORY = "https://github.com/agentstack/agentstack"
Object = dict[str, Any]
OTHER_NAMES = NamespacesSettings.model_validate(
    {key: {"name": f"x-{key}"} for key in ("agents", "data", "observability", "collectors")}
)
WEBHOOK = ObservabilitySettings(
    alertmanager=AlertmanagerSettings(webhook_url_secret=SecretKey(name="pager", key="hook"))
)


class Room(Recorder):
    """Answers the password as the random provider does, and keeps the component."""

    component: Observability

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        identity, outputs = super().new_resource(args)
        return identity, {**outputs, "result": "the-password"} if "RandomPassword" in args.typ else outputs

    def objects(self, kind: str) -> list[Object]:
        return [inputs for (found, _), inputs in self.seen.items() if found == kind]


def deploy(
    spec: ObservabilitySettings | None = None,
    namespaces: NamespacesSettings | None = None,
    storage_class: str | None = None,
) -> Room:
    room = Room()
    mocks.set_mocks(room, project="agentstack", stack="test")

    @pulumi.runtime.test
    def program() -> None:
        made = Namespaces("namespaces", namespaces or NamespacesSettings())
        context = Context(namespaces=made.namespaces, storage_class=storage_class)
        room.component = Observability("observability", spec or ObservabilitySettings(), context)

    program()
    # The namespaces' own objects are another room's.
    room.seen = {
        (kind, name): inputs
        for (kind, name), inputs in room.seen.items()
        if kind not in ("Namespace", "Namespaces", "ResourceQuota", "LimitRange")
        and not name.endswith(("-default-deny", "-allow-dns"))
    }
    return room


def workloads(room: Room) -> dict[str, Object]:
    return {
        name: inputs["spec"]["template"]
        for (kind, name), inputs in room.seen.items()
        if kind in ("Deployment", "StatefulSet", "DaemonSet")
    }


def policy(room: Room, name: str) -> Object:
    return room.seen["NetworkPolicy", name]["spec"]


def edges(rules: list[Object], side: str) -> list[tuple[list[str], list[int]]]:
    """Each rule as its peers (`namespace/app` or a network) and ports."""
    found = []
    for rule in rules:
        peers = []
        for peer in rule[side]:
            if "ipBlock" in peer:
                peers.append(peer["ipBlock"]["cidr"])
                continue
            namespace = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
            app = peer.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/name", "*")
            peers.append(f"{namespace}/{app}")
        found.append((peers, [int(port["port"]) for port in rule.get("ports", [])]))
    return found


def scrape_jobs(config: str) -> dict[str, Object]:
    return {job["job_name"]: job for job in yaml.safe_load(config)["scrape_configs"]}


def test_objects() -> None:
    room = deploy()
    assert Counter(kind for kind, _ in room.seen) == {
        "ClusterRole": 3,
        "ClusterRoleBinding": 1,
        "ConfigMap": 4,
        "DaemonSet": 1,
        "Deployment": 2,
        "NetworkPolicy": 5,
        "Observability": 1,
        "PersistentVolumeClaimPatch": 1,
        "RandomPassword": 1,
        "RoleBinding": 8,
        "Secret": 1,
        "Service": 3,
        "ServiceAccount": 2,
        "StatefulSet": 2,
        "ValidatingAdmissionPolicy": 1,
        "ValidatingAdmissionPolicyBinding": 1,
    }
    component = room.component
    services = {service["metadata"]["name"] for service in room.objects("Service")}
    assert {component.prometheus_service, component.grafana_service, component.alertmanager_service} == services
    secret = room.seen["Secret", "grafana-admin"]
    assert secret["metadata"]["name"] == component.grafana_admin_secret
    # Wrapped, so that the engine encrypts it.
    assert set(secret["stringData"]["value"]) == {"admin-user", "admin-password"}


def test_pods_are_hardened() -> None:
    templates = workloads(deploy())
    assert set(templates) == {"prometheus", "alertmanager", "grafana", "kube-state-metrics", "node-exporter"}
    for name, template in templates.items():
        pod = template["spec"]
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert container["readinessProbe"]
        assert container["livenessProbe"]
        assert set(container["resources"]["requests"]) == set(container["resources"]["limits"]) == {"cpu", "memory"}
        needs_token = name in ("prometheus", "kube-state-metrics")
        assert pod["automountServiceAccountToken"] is needs_token
        assert ("hostPath" in json.dumps(pod)) is (name == "node-exporter")


def test_the_node_is_read_only() -> None:
    (container,) = workloads(deploy())["node-exporter"]["spec"]["containers"]
    assert [mount["name"] for mount in container["volumeMounts"]] == ["proc", "sys", "root"]
    assert all(m["readOnly"] and m["recursiveReadOnly"] == "IfPossible" for m in container["volumeMounts"])


def test_prometheus_keeps_as_much_as_the_settings_say() -> None:
    spec = ObservabilitySettings(
        prometheus=PrometheusSettings.model_validate(
            {"retention": "36h", "retentionSize": "1Gi", "storage": "2Gi", "scrapeInterval": "15s"}
        )
    )
    room = deploy(spec, storage_class="fast")
    stateful = room.seen["StatefulSet", "prometheus"]["spec"]
    args = stateful["template"]["spec"]["containers"][0]["args"]
    assert "--storage.tsdb.retention.time=36h" in args
    assert f"--storage.tsdb.retention.size={1024**3}B" in args
    assert not any("lifecycle" in arg for arg in args)
    (claim,) = stateful["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"] == {"storage": "2Gi"}
    assert claim["spec"]["storageClassName"] == "fast"
    config = yaml.safe_load(room.seen["ConfigMap", "prometheus"]["data"]["prometheus.yml"])
    assert (config["global"]["scrape_interval"], config["global"]["scrape_timeout"]) == ("15s", "15s")
    (variable,) = workloads(room)["grafana"]["spec"]["containers"][0]["env"]
    assert variable == {"name": "SCRAPE_INTERVAL", "value": "15s"}


def test_only_the_stacks_namespaces_are_looked_at() -> None:
    room = deploy(namespaces=OTHER_NAMES)
    names = ["x-agents", "x-data", "x-observability", "x-collectors"]
    jobs = scrape_jobs(room.seen["ConfigMap", "prometheus"]["data"]["prometheus.yml"])
    assert jobs["pods"]["kubernetes_sd_configs"] == [{"role": "pod", "namespaces": {"names": names}}]
    assert jobs["kube-state-metrics"]["kubernetes_sd_configs"][0]["namespaces"] == {"own_namespace": True}
    for job in ("cadvisor", "kubelet"):
        keeps = [r["regex"] for r in jobs[job]["metric_relabel_configs"] if r["source_labels"] == ["namespace"]]
        assert keeps == ["|".join(names)]
    (container,) = workloads(room)["kube-state-metrics"]["spec"]["containers"]
    assert f"--namespaces={','.join(names)}" in container["args"]
    bindings = Counter(binding["metadata"]["namespace"] for binding in room.objects("RoleBinding"))
    assert bindings == dict.fromkeys(names, 2)
    cluster_wide = [o["metadata"]["name"] for o in [*room.objects("ClusterRole"), *room.objects("ClusterRoleBinding")]]
    assert all(name.startswith("agentstack-x-observability-") for name in cluster_wide)


def test_rights_are_to_read_and_cluster_wide_ones_are_on_nodes_only() -> None:
    room = deploy()
    rules = {role["metadata"]["name"]: role["rules"] for role in room.objects("ClusterRole")}
    assert {verb for found in rules.values() for rule in found for verb in rule["verbs"]} == {"get", "list", "watch"}
    (binding,) = room.objects("ClusterRoleBinding")
    granted = {resource for rule in rules[binding["roleRef"]["name"]] for resource in rule["resources"]}
    assert granted == {"nodes", "nodes/metrics"}
    assert "secrets" not in json.dumps(rules)


def test_kube_state_metrics_may_list_what_it_watches() -> None:
    room = deploy()
    (container,) = workloads(room)["kube-state-metrics"]["spec"]["containers"]
    (watched,) = [arg.partition("=")[2].split(",") for arg in container["args"] if arg.startswith("--resources=")]
    role = room.seen["ClusterRole", "kube-state-metrics"]
    assert sorted(kind for rule in role["rules"] for kind in rule["resources"]) == watched


def test_edges() -> None:
    room = deploy()
    own = "observability/prometheus"
    assert edges(policy(room, "prometheus")["egress"], "to") == [
        (["0.0.0.0/0"], [443, 6443]),
        (["0.0.0.0/0"], [10250]),
        (["agents/*"], []),
        (["data/*"], [9121, 9308]),
        (["observability/alertmanager"], [9093]),
        (["observability/grafana"], [3000]),
        (["observability/kube-state-metrics"], [8080]),
        (["collectors/node-exporter"], [9100]),
    ]
    assert edges(policy(room, "prometheus")["ingress"], "from") == [(["observability/grafana"], [9090])]
    assert edges(policy(room, "grafana")["egress"], "to") == [([own], [9090])]
    assert edges(policy(room, "kube-state-metrics")["egress"], "to") == [(["0.0.0.0/0"], [443, 6443])]
    for name, port in (
        ("alertmanager", 9093),
        ("grafana", 3000),
        ("kube-state-metrics", 8080),
        ("node-exporter", 9100),
    ):
        assert edges(policy(room, name)["ingress"], "from") == [([own], [port])]
    for name in ("alertmanager", "node-exporter"):
        assert policy(room, name)["policyTypes"] == ["Ingress"]


def test_a_webhook_is_read_from_its_secret() -> None:
    room = deploy(WEBHOOK)
    pod = workloads(room)["alertmanager"]["spec"]
    (volume,) = [v for v in pod["volumes"] if v["name"] == "webhook"]
    assert volume["secret"] == {"secretName": "pager", "items": [{"key": "hook", "path": "url"}]}
    (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "webhook"]
    config = yaml.safe_load(room.seen["ConfigMap", "alertmanager"]["data"]["alertmanager.yml"])
    (receiver,) = config["receivers"]
    assert receiver["webhook_configs"] == [{"url_file": f"{mount['mountPath']}/url", "send_resolved": True}]
    assert edges(policy(room, "alertmanager")["egress"], "to") == [(["0.0.0.0/0"], [443])]


def test_changed_configuration_rolls_its_pods_and_no_others() -> None:
    def hashes(room: Room) -> dict[str, str | None]:
        return {
            name: template["metadata"]["annotations"].get("agentstack.dev/config-hash")
            for name, template in workloads(room).items()
        }

    before, after = hashes(deploy()), hashes(deploy(WEBHOOK))
    assert {name for name in before if before[name] != after[name]} == {"alertmanager"}
    assert all(before[name] for name in ("prometheus", "alertmanager", "grafana"))


def test_the_data_source_of_the_dashboards_is_the_provisioned_one() -> None:
    source = yaml.safe_load(grafana.configuration()["datasource.yml"])["datasources"][0]
    texts = collect.dashboards()
    assert set(texts) == {"agents.json", "kafka.json", "platform.json", "redis.json"}
    for text in texts.values():
        used = set(re.findall(r'"uid": "(?!agentstack-)([^"]*)"', text))
        assert used == {source["uid"]}


def test_dashboards_are_current_and_readable() -> None:
    committed = {
        path: path.read_text() for _, folder in collect.folders("dashboards") for path in folder.glob("*.json")
    }
    assert committed == make_dashboards.files(), "run python -m components.observability.make_dashboards"
    for name, text in collect.dashboards().items():
        board = Dashboard.from_json(json.loads(text))
        assert board.uid == f"agentstack-{name.removesuffix('.json')}"
        assert board.panels
        numbers = [panel.id_val for panel in board.panels]
        assert len(set(numbers)) == len(numbers)


@pytest.fixture
def toy(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The room of a part that only the list of parts names, with an alert and a dashboard."""
    room = tmp_path / "toy"
    shutil.copytree(pathlib.Path(redis.__file__).parent / "dashboards", room / "dashboards")
    (room / "dashboards" / "redis.py").rename(room / "dashboards" / "toy.py")
    (room / "dashboards" / "redis.json").rename(room / "dashboards" / "toy.json")
    (room / "alerts" / "tests").mkdir(parents=True)
    (room / "alerts" / "toy.yml").write_text("groups: [{name: toy, rules: [{alert: ToyBroken, expr: up == 2}]}]")
    (room / "alerts" / "tests" / "toy.yml").write_text("rule_files: [../toy.yml]")
    (room / "__init__.py").touch()
    part = Part("toy", section="toy", types=(), exporters=(Exporter("collectors", 9999),))
    monkeypatch.setattr(components, "__path__", [*components.__path__, str(tmp_path)])
    monkeypatch.setattr("components.observability.collect.PARTS", (*PARTS, part))
    monkeypatch.setattr("components.observability.prometheus.PARTS", (*PARTS, part))
    yield room
    for name in [name for name in sys.modules if name.startswith("components.toy")]:
        del sys.modules[name]


def test_a_new_part_brings_its_alerts_its_dashboards_and_its_port(toy: pathlib.Path) -> None:
    room = deploy()
    config = room.seen["ConfigMap", "prometheus"]["data"]
    assert config["rules.toy.yml"] == (toy / "alerts" / "toy.yml").read_text()
    assert not any("rule_files: [../toy.yml]" in text for text in config.values()), "tests of alerts are not rendered"
    boards = room.seen["ConfigMap", "grafana-dashboards"]["data"]
    assert boards["toy.json"] == (toy / "dashboards" / "toy.json").read_text()
    mounted = {volume["name"]: volume for volume in workloads(room)["grafana"]["spec"]["volumes"]}["dashboards"]
    assert {"key": "toy.json", "path": "toy.json"} in mounted["configMap"]["items"]
    assert json.loads(make_dashboards.files()[toy / "dashboards" / "toy.json"])["uid"] == "agentstack-toy"
    assert (["collectors/*"], [9999]) in edges(policy(room, "prometheus")["egress"], "to")


def test_two_parts_may_not_have_files_of_one_name(toy: pathlib.Path) -> None:
    (toy / "alerts" / "toy.yml").rename(toy / "alerts" / "redis.yml")
    with pytest.raises(ValueError, match=r"redis/alerts/redis.yml and .*toy/alerts/redis.yml have the same name"):
        collect.alerts()


def test_what_the_parts_bring_can_be_applied() -> None:
    # `kubectl apply` keeps an object in an annotation of it, and annotations hold 256 KiB.
    for config_map in deploy().objects("ConfigMap"):
        assert len(json.dumps(config_map)) < 256 * 1024, config_map["metadata"]["name"]


def rules() -> Iterator[Object]:
    for text in collect.alerts().values():
        for group in yaml.safe_load(text)["groups"]:
            yield from group["rules"]


def test_every_alert_tells_what_it_means_and_what_to_do() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len(alerts) > 30
    for alert in alerts:
        assert alert["labels"]["severity"] in ("warning", "critical"), alert["alert"]
        assert set(alert["annotations"]) - {"runbook_url"} == {"summary", "description", "runbook"}, alert["alert"]


def test_the_runbook_has_every_alert_on_data_and_no_other() -> None:
    page = RUNBOOK.read_text()
    sections = {heading.lower(): heading for heading in re.findall(r"^### (\w+)$", page, re.MULTILINE)}
    linked = set()
    for name, text in collect.alerts().items():
        for group in yaml.safe_load(text)["groups"]:
            for alert in (rule for rule in group["rules"] if "alert" in rule):
                address = alert["annotations"].get("runbook_url")
                assert address or name not in ("redis.yml", "kafka.yml"), alert["alert"]
                if address:
                    assert address == f"{REPOSITORY}/blob/main/docs/alerts.md#{alert['alert'].lower()}"
                    linked.add(alert["alert"])
    assert linked == set(sections.values())
    assert set(re.findall(r"\]\(#(\w+)\)", page)) <= set(sections), "a link within the page leads nowhere"


def expressions() -> Iterator[tuple[str, str]]:
    """All PromQL of rules and dashboards, with where it is."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for file, text in collect.dashboards().items():
        board = json.loads(text)
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield f"{file}: {panel['title']}", target["expr"]
        for variable in board["templating"].get("list", []):
            label_values = re.fullmatch(r"label_values\((.+), \w+\)", variable["query"])
            assert label_values, variable["query"]
            yield f"{file}: ${variable['name']}", label_values[1]


def metrics(expression: str) -> set[str]:
    """The names of the metrics that an expression reads."""
    names: set[str] = set()

    def visit(node: object) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name, expression
            names.add(node.name)
        return True

    parsed = promql_parser.parse(expression.replace("$__rate_interval", "5m").replace("$agent", "executor"))
    promql_parser.walk(parsed, visit)
    return names


@functools.cache
def recorded() -> set[str]:
    """The metrics that rules record."""
    return {rule["record"] for rule in rules() if "record" in rule}


@functools.cache
def exported() -> set[str]:
    found: set[str] = set()
    for path in FIXTURES.glob("*.txt"):
        names = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        assert names, path
        found |= set(names)
    return found


@pytest.mark.parametrize(("where", "expression"), [pytest.param(w, e, id=w) for w, e in expressions()])
def test_every_query_reads_metrics_that_are_exported(where: str, expression: str) -> None:
    read = metrics(expression)
    assert read, f"{where} reads no metric"
    known = exported() | recorded()
    assert read <= known, f"{where} reads {read - known}"


def test_a_query_of_an_unknown_metric_is_noticed() -> None:
    assert metrics('sum(rate(nobody_exports_this[$__rate_interval])) / on () up{a="b"}') - exported() == {
        "nobody_exports_this"
    }
