"""What the stack of each environment is made of: valid for Kubernetes, whole, and free of secrets."""

from __future__ import annotations

from decimal import Decimal

import jsonschema
import kubernetes_validate
import pytest
from pydantic import ValidationError

from settings import AgentSecret, Cpu, Memory
from settings.errors import problems

from . import custom
from .conftest import Manifest, containers, pod_template, settings_of

VERSIONS = ("1.33", "1.34", "1.35", "1.36")


@pytest.mark.parametrize("version", VERSIONS)
def test_strict_schema(manifests: list[Manifest], version: str) -> None:
    assert len(manifests) > 100
    for manifest in manifests:
        if (schema := custom.SCHEMAS.get((manifest["apiVersion"], manifest["kind"]))) is not None:
            jsonschema.validate(manifest["spec"], schema)
        else:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_a_wrong_manifest_would_be_found(manifests: list[Manifest]) -> None:
    deployment = next(m for m in manifests if m["kind"] == "Deployment")
    wrong = deployment | {"spec": deployment["spec"] | {"replica": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_no_object_twice(manifests: list[Manifest]) -> None:
    keys = [(m["apiVersion"], m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"]) for m in manifests]
    assert len(keys) == len(set(keys))


def test_every_kind_has_its_folder(
    manifests: list[Manifest], environment: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert manifests
    folders = {path.name for path in (tmp_path_factory.getbasetemp() / environment).iterdir() if path.is_dir()}
    assert "15-network-policies" in folders
    assert "90-others" not in folders


def test_secrets_hold_no_values(manifests: list[Manifest]) -> None:
    secrets = [m for m in manifests if m["kind"] == "Secret"]
    assert len(secrets) >= 2
    for secret in secrets:
        assert not secret.keys() & {"data", "stringData"}
        assert secret["metadata"]["annotations"]["agentstack.dev/secret-keys"]


def references(manifest: Manifest) -> list[tuple[str, str, str | None]]:
    """The ConfigMaps and Secrets that a workload's pods cannot start without: kind, name, key."""
    template = pod_template(manifest)
    found: list[tuple[str, str, str | None]] = []
    if template is None:
        return found
    for container in containers(template):
        for variable in container.get("env", []):
            for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
                ref = variable.get("valueFrom", {}).get(field)
                if ref and not ref.get("optional"):
                    found.append((kind, ref["name"], ref["key"]))
        for source in container.get("envFrom", []):
            found += [("ConfigMap", source["configMapRef"]["name"], None)]
    for volume in template["spec"].get("volumes", []):
        if "configMap" in volume:
            found.append(("ConfigMap", volume["configMap"]["name"], None))
        if "secret" in volume and not volume["secret"].get("optional"):
            found.append(("Secret", volume["secret"]["secretName"], None))
    return found


def test_every_reference_leads_somewhere(manifests: list[Manifest], environment: str) -> None:
    keys: dict[tuple[str, str, str], set[str]] = {}
    for m in manifests:
        held = set(m.get("data", {})) | set(
            filter(None, m["metadata"].get("annotations", {}).get("agentstack.dev/secret-keys", "").split(","))
        )
        keys[m["kind"], m["metadata"].get("namespace", ""), m["metadata"]["name"]] = held
        if m["kind"] == "ExternalSecret":
            made = {entry["secretKey"] for entry in m["spec"]["data"]}
            keys["Secret", m["metadata"]["namespace"], m["spec"]["target"]["name"]] = made
    given_by_hand = {"dev": set(), "everything": {"hugging-face"}}.get(environment, {"model-provider"})
    for manifest in manifests:
        for kind, name, key in references(manifest):
            if kind == "Secret" and name in given_by_hand:
                continue
            held = keys[kind, manifest["metadata"]["namespace"], name]
            assert key is None or key in held, f"{manifest['metadata']['name']} needs {key} of {kind} {name}"


def replicas(manifest: Manifest, manifests: list[Manifest]) -> int:
    """The lowest number of pods; a DaemonSet is counted for one node, a Job for its one pod."""
    for scaler in manifests:
        target = scaler.get("spec", {}).get("scaleTargetRef", {})
        if (target.get("kind"), target.get("name")) == (manifest["kind"], manifest["metadata"]["name"]):
            lowest: int = scaler["spec"]["minReplicas" if scaler["kind"] != "ScaledObject" else "minReplicaCount"]
            return lowest
    number: int = manifest["spec"].get("replicas", 1)
    return number


def test_settings_count_what_the_pods_really_ask_for(manifests: list[Manifest], environment: str) -> None:
    for namespace, demands in settings_of(environment).demands().values():
        for resource, parse in (("cpu", Cpu), ("memory", Memory)):
            expected = sum((demand.asked("requests", resource, demand.minimum) for demand in demands), Decimal(0))
            found = Decimal(0)
            for manifest in manifests:
                template = pod_template(manifest)
                if template is None or manifest["metadata"]["namespace"] != namespace.name:
                    continue
                one = max(
                    sum(parse(c["resources"]["requests"][resource]).amount for c in template["spec"]["containers"]),
                    *[
                        parse(c["resources"]["requests"][resource]).amount
                        for c in template["spec"].get("initContainers", [])
                    ],
                    Decimal(0),
                )
                found += replicas(manifest, manifests) * one
            assert found == expected, f"{namespace.name} {resource}"


def test_agents_cannot_declare_what_the_stack_sets(manifests: list[Manifest], environment: str) -> None:
    """The variables that settings reserve, part by part, are those that components set."""
    for name, agent in settings_of(environment).agents.items():
        given = variables(name, manifests) - agent.env.keys() - agent.all_secrets.keys()
        assert given >= {"AGENT_NAME", "POD_NAME", "PORT"}, name
        declared = dict(agent) | {"env": {}, "secrets": dict.fromkeys(given, AgentSecret())}
        with pytest.raises(ValidationError) as caught:
            type(agent).model_validate(declared)
        refused = {problem.path for problem in problems(caught.value, type(agent))}
        assert refused >= {("secrets", variable) for variable in given}, name


def variables(agent: str, manifests: list[Manifest]) -> set[str]:
    """The environment variables of an agent's container."""
    (workload,) = [m for m in manifests if m["metadata"]["name"] == agent and pod_template(m) is not None]
    template = pod_template(workload)
    assert template is not None
    (container,) = [c for c in template["spec"]["containers"] if c["name"] == agent]
    sources = [source["configMapRef"]["name"] for source in container.get("envFrom", []) if "configMapRef" in source]
    data = [m["data"] for m in manifests if m["kind"] == "ConfigMap" and m["metadata"]["name"] in sources]
    return {variable["name"] for variable in container.get("env", [])}.union(*data)


def test_dev_fits_a_small_node() -> None:
    cpu = memory = Decimal(0)
    for _, demands in settings_of("dev").demands().values():
        cpu += sum(demand.asked("requests", "cpu", demand.minimum) for demand in demands)
        memory += sum(demand.asked("requests", "memory", demand.minimum) for demand in demands)
    # kube-system of a small cluster takes up to a quarter of a core and 400 MiB.
    assert cpu <= Decimal("1.75")
    assert memory <= Memory("5600Mi").amount
