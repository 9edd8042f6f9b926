"""What runs a fleet: a template, a list of devices, and a controller that keeps one pod for each (docs/adr/0013)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.labels import labels, selector
from components.network import API_SERVER, edges_from, network_policy
from components.pods import (
    config_hash,
    resource_requirements,
    scrape_annotations,
    secure_pod,
    variables,
)
from components.versions import PYTHON
from components.workloads import deployment, metadata, selecting, template
from manifests.labels import CONFIG_HASH, DEVICES
from settings import Fleet
from settings.fleet import CONTROLLER_RESOURCES

from .controller import DEVICE
from .declaration import Declaration
from .pod import declared_hash, pod_template, resolved

COMPONENT = "fleet"
"""The value of the label `app.kubernetes.io/component` of a fleet's controller."""

_SCRIPT = Path(__file__).with_name("controller.py")
_FOLDER = "/etc/fleet"
_PORT = 8080


def fleet(agent: Declaration, *, needs: Iterable[pulumi.Resource], parent: pulumi.Resource) -> None:
    """Keep one pod for each device; the engine waits until all have one, but those that may be without.

    The objects are as many for ten devices as for ten thousand; the pods are the controller's.
    """
    if agent.settings.fleet is None:
        raise ValueError(f"agent {agent.name} is of kind fleet: give fleet=Fleet(devices=...)")
    _Fleet(agent, agent.settings.fleet, parent).make(list(needs))


class _Fleet:
    def __init__(self, agent: Declaration, spec: Fleet, parent: pulumi.Resource) -> None:
        self._agent, self._spec, self._parent = agent, spec, parent
        self._child = pulumi.ResourceOptions(parent=parent)
        self._controller_name = f"{agent.name}-fleet"
        self._namespace = agent.environment.namespace
        self._labels = labels(agent.name, COMPONENT) | agent.team_label
        self._metadata = metadata(self._controller_name, self._namespace, self._labels)

    def make(self, needs: list[pulumi.Resource]) -> None:
        agent, child = self._agent, self._child
        device_pod = pod_template(agent)
        pods = k8s.core.v1.PodTemplate(
            agent.name,
            metadata=metadata(agent.name, self._namespace, agent.labels, {DEVICES: str(len(self._spec.ids))}),
            template=device_pod,
            opts=pulumi.ResourceOptions(parent=self._parent, depends_on=needs),
        )
        data = {"devices": "".join(f"{device}\n" for device in self._spec.ids), _SCRIPT.name: _SCRIPT.read_text()}
        config = k8s.core.v1.ConfigMap(self._controller_name, metadata=self._metadata, data=data, opts=child)
        k8s.policy.v1.PodDisruptionBudget(
            agent.name,
            metadata=agent.metadata,
            # Not `maxUnavailable`: Kubernetes counts what that is a share of for its own kinds of workload only.
            spec=k8s.policy.v1.PodDisruptionBudgetSpecArgs(
                min_available=len(self._spec.ids) - self._spec.unavailable,
                selector=selecting(agent.selector),
            ),
            opts=child,
        )
        # A hash of all that makes the fleet another: a controller that starts again is what the engine waits for.
        declared = pulumi.Output.all(declared_hash(device_pod), config_hash(data)).apply("-".join)
        self._controller(declared, [pods, config, self._policy(), *self._rights(), *self._guard(device_pod)])

    def _controller(self, declared: pulumi.Input[str], needs: list[pulumi.Resource]) -> None:
        agent, spec = self._agent, self._spec
        pod_labels = selector(agent.name, COMPONENT)
        chosen = ",".join(f"{key}={value}" for key, value in agent.selector.items())
        script = f"{_FOLDER}/{_SCRIPT.name}"
        container = k8s.core.v1.ContainerArgs(
            name="controller",
            image=PYTHON.reference,
            command=["python3", "-B", "-u", script],
            env=variables(
                {
                    "FLEET": agent.name,
                    "SELECTOR": chosen,
                    "MAX_UNAVAILABLE_PERCENT": str(spec.max_unavailable),
                    "PORT": str(_PORT),
                }
            ),
            ports=[k8s.core.v1.ContainerPortArgs(name="http", container_port=_PORT)],
            resources=resource_requirements(CONTROLLER_RESOURCES),
            # Ready is the fleet, not the process alone.
            readiness_probe=_probe("/ready", period=5),
            liveness_probe=_probe("/healthz", period=30),
            volume_mounts=[
                k8s.core.v1.VolumeMountArgs(name="script", mount_path=script, sub_path=_SCRIPT.name, read_only=True)
            ],
        )
        # Round by round a pod may take its whole grace to end; 10,000 devices need some time to get pods at all.
        rounds = -(-100 // spec.max_unavailable)
        seconds = 10 * 60 + len(spec.ids) // 5 + rounds * agent.settings.shutdown.grace_seconds
        script_file = k8s.core.v1.ConfigMapVolumeSourceArgs(
            name=self._controller_name, items=[k8s.core.v1.KeyToPathArgs(key=_SCRIPT.name, path=_SCRIPT.name)]
        )
        pod = secure_pod(
            [container],
            user=PYTHON.user,
            account=self._controller_name,
            token=True,
            volumes=[k8s.core.v1.VolumeArgs(name="script", config_map=script_file)],
        )
        deployment(
            self._controller_name,
            self._metadata,
            pod_labels,
            template(pod, self._labels, {CONFIG_HASH: declared, **scrape_annotations(_PORT)}),
            alone=True,
            progress_deadline_seconds=seconds,
            opts=pulumi.ResourceOptions(
                parent=self._parent,
                depends_on=needs,
                custom_timeouts=pulumi.CustomTimeouts(create=f"{seconds}s", update=f"{seconds}s"),
            ),
        )

    def _policy(self) -> pulumi.Resource:
        return network_policy(
            self._controller_name,
            namespace=self._namespace.ref,
            pod_labels=selector(self._agent.name, COMPONENT),
            ingress=edges_from(self._agent.environment.prometheus, _PORT),
            egress=[API_SERVER],
            opts=self._child,
        )

    def _rights(self) -> list[pulumi.Resource]:
        """The controller may make and delete pods, and read the two objects that say which."""

        def rule(resource: str, verbs: list[str], names: list[str] | None = None) -> k8s.rbac.v1.PolicyRuleArgs:
            return k8s.rbac.v1.PolicyRuleArgs(api_groups=[""], resources=[resource], verbs=verbs, resource_names=names)

        account = k8s.core.v1.ServiceAccount(
            self._controller_name, metadata=self._metadata, automount_service_account_token=False, opts=self._child
        )
        role = k8s.rbac.v1.Role(
            self._controller_name,
            metadata=self._metadata,
            rules=[
                rule("pods", ["create", "delete", "list", "watch"]),
                rule("configmaps", ["get"], [self._controller_name]),
                rule("podtemplates", ["get"], [self._agent.name]),
            ],
            opts=self._child,
        )
        binding = k8s.rbac.v1.RoleBinding(
            self._controller_name,
            metadata=self._metadata,
            role_ref=k8s.rbac.v1.RoleRefArgs(
                api_group="rbac.authorization.k8s.io", kind="Role", name=self._controller_name
            ),
            subjects=[
                k8s.rbac.v1.SubjectArgs(
                    kind="ServiceAccount", name=self._controller_name, namespace=self._namespace.ref
                )
            ],
            opts=self._child,
        )
        return [account, role, binding]

    def _guard(self, device_pod: k8s.core.v1.PodTemplateSpecArgs) -> list[pulumi.Resource]:
        """Have the API server hold the controller to the fleet's pods: who may make any pod can run as any account of
        the namespace, and read all of its Secrets.

        https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
        """
        # Cluster-scoped: other stacks in the cluster have other namespaces.
        name = f"agentstack-{self._namespace.name}-{self._controller_name}"
        named = k8s.meta.v1.ObjectMetaArgs(name=name, labels=self._labels)
        user = f"system:serviceaccount:{self._namespace.name}:{self._controller_name}"
        checks = resolved(device_pod).apply(lambda known: _checks(self._agent, known))
        policy = k8s.admissionregistration.v1.ValidatingAdmissionPolicy(
            self._controller_name,
            metadata=named,
            spec=k8s.admissionregistration.v1.ValidatingAdmissionPolicySpecArgs(
                failure_policy="Fail",
                match_constraints=k8s.admissionregistration.v1.MatchResourcesArgs(
                    resource_rules=[
                        k8s.admissionregistration.v1.NamedRuleWithOperationsArgs(
                            api_groups=[""], api_versions=["v1"], operations=["CREATE", "DELETE"], resources=["pods"]
                        )
                    ]
                ),
                match_conditions=[
                    k8s.admissionregistration.v1.MatchConditionArgs(
                        name="the-controller", expression=f"request.userInfo.username == '{user}'"
                    )
                ],
                validations=checks.apply(
                    lambda known: [
                        k8s.admissionregistration.v1.ValidationArgs(
                            expression=expression, message=f"a fleet's controller {message}", reason="Forbidden"
                        )
                        for message, expression in known.items()
                    ]
                ),
            ),
            opts=self._child,
        )
        binding = k8s.admissionregistration.v1.ValidatingAdmissionPolicyBinding(
            self._controller_name,
            metadata=named,
            spec=k8s.admissionregistration.v1.ValidatingAdmissionPolicyBindingSpecArgs(
                policy_name=policy.metadata.name,
                validation_actions=["Deny"],
                match_resources=k8s.admissionregistration.v1.MatchResourcesArgs(
                    namespace_selector=k8s.meta.v1.LabelSelectorArgs(
                        match_labels={"kubernetes.io/metadata.name": self._namespace.name}
                    )
                ),
            ),
            opts=self._child,
        )
        return [policy, binding]


def _checks(agent: Declaration, template: dict[str, Any]) -> dict[str, str]:
    """What must be true of the pods of `template`, in CEL, by what is said where it is not.

    Not with the PodTemplate as the policy's parameter: while the API server does not find that, it refuses the pods of
    everybody in the namespace.
    """
    name, spec = agent.name, template["spec"]
    projected = [
        source for volume in spec["volumes"] if "projected" in volume for source in volume["projected"]["sources"]
    ]
    kinds = {"containers": spec["containers"], "initContainers": spec.get("init_containers") or []}
    secrets = {volume["secret"]["secret_name"] for volume in spec["volumes"] if "secret" in volume}
    secrets |= {source["secret"]["name"] for source in projected}
    config_maps = {volume["config_map"]["name"] for volume in spec["volumes"] if "config_map" in volume}
    # A token is that of the pod's own account, which is checked. With it comes the authority of the API server.
    token = "has(part.serviceAccountToken) || has(part.downwardAPI) || "
    token += "(has(part.configMap) && part.configMap.name == 'kube-root-ca.crt')"
    expected = _cel(template["metadata"]["labels"])
    made = {
        "runs its pods as the account of the agent": f"object.spec.serviceAccountName == {_cel(name)}",
        "gives its pods the labels of the template and the device": "object.metadata.labels.all(key, "
        f"key == {_cel(DEVICE)} || (key in {expected} && object.metadata.labels[key] == {expected}[key]))",
        "mounts the volumes of the template": "object.spec.?volumes.orValue([]).all(one, has(one.emptyDir) || "
        f"(has(one.secret) && one.secret.secretName in {_cel(secrets)}) || "
        f"(has(one.configMap) && one.configMap.name in {_cel(config_maps)}) || "
        f"(has(one.projected) && one.projected.sources.all(part, {token} || "
        f"(has(part.secret) && part.secret.name in {_cel(secrets)}))))",
        "gives its pods the containers of the template": " && ".join(
            f"object.spec.?{kind}.orValue([]).size() == {len(declared)}" for kind, declared in kinds.items()
        ),
    }
    for kind, declared in kinds.items():
        for index, container in enumerate(declared):
            made |= _container_checks(
                f"object.spec.{kind}[{index}]", container, agent.settings.identity.injected_variables()
            )
    checks = {message: f"request.operation == 'DELETE' || ({expression})" for message, expression in made.items()}
    checks["deletes pods of its fleet only"] = (
        f"request.operation == 'CREATE' || ({_cel(DEVICE)} in oldObject.metadata.labels && "
        f"oldObject.metadata.labels['app.kubernetes.io/name'] == {_cel(name)})"
    )
    return checks


def _container_checks(own: str, container: dict[str, Any], injected: set[str]) -> dict[str, str]:
    variables, groups = container.get("env") or [], container.get("env_from") or []
    sources = [variable.get("value_from") or {} for variable in variables]
    secrets = {source["secret_key_ref"]["name"] for source in sources if "secret_key_ref" in source}
    names = {"DEVICE_ID", *injected, *(variable["name"] for variable in variables)}
    config_maps = {group["config_map_ref"]["name"] for group in groups if "config_map_ref" in group}
    title = container["name"]
    return {
        f"runs the image and arguments of the template in {title}": f"{own}.image == {_cel(container['image'])} && "
        f"{own}.?command.orValue([]) == {_cel(container.get('command') or [])} && "
        f"{own}.?args.orValue([]) == {_cel(container.get('args') or [])}",
        f"gives {title} the variables of the template and DEVICE_ID": f"{own}.?env.orValue([]).all(one, "
        f"one.name in {_cel(names)} && (!has(one.valueFrom) || !has(one.valueFrom.secretKeyRef) || "
        f"one.valueFrom.secretKeyRef.name in {_cel(secrets)})) && {own}.?envFrom.orValue([]).all(one, "
        f"has(one.configMapRef) && one.configMapRef.name in {_cel(config_maps)})",
    }


def _cel(value: object) -> str:
    """Write plain data as CEL, of which JSON is a part."""
    return json.dumps(sorted(value) if isinstance(value, set) else value)


def _probe(path: str, *, period: int) -> k8s.core.v1.ProbeArgs:
    return k8s.core.v1.ProbeArgs(
        http_get=k8s.core.v1.HTTPGetActionArgs(path=path, port="http"), period_seconds=period, timeout_seconds=5
    )
