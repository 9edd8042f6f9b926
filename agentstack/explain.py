"""`agentstack explain`: what an agent's declaration becomes, and where each value in it comes from."""

from __future__ import annotations

import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

# Only what `--help` needs is imported here: see cli.py.
if TYPE_CHECKING:
    from rich.table import Table

    from agentstack.rendering.environment import Environment
    from agentstack.rendering.manifests import Manifest
    from agentstack.rendering.registration import Registration

_AGENT = "agentstack:agents:Agent"
_ROLE = "app.kubernetes.io/component"
_PARTS = {"fleet": "Fleet", "agent-canary": "Candidate", "agent-green": "Candidate"}
"""What of an agent has objects of the kinds that the agent itself has, by their label `_ROLE`."""
_FILES = "/etc/agent/"
"""Where an agent with `reload: file` finds its variables."""
_PLAIN_WIDTH = 100
"""Characters a line in a pipe."""

PURPOSES: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    ("Agent", "Deployment"): (
        "runs its pods; one has {spec.template.spec.terminationGracePeriodSeconds} s to end: "
        "preStop + longestTask + 10",
        (),
    ),
    ("Agent", "PodTemplate"): (
        "what the pod of each device is made from; one has {template.spec.terminationGracePeriodSeconds} s to end: "
        "preStop + longestTask + 10",
        ("kind", "fleet"),
    ),
    ("Agent", "Job"): (
        "runs it once, for {spec.activeDeadlineSeconds} s at most; another declaration makes another Job",
        ("kind", "job"),
    ),
    ("Agent", "CronJob"): (
        "runs it at `{spec.schedule}` in {spec.timeZone}, for {spec.jobTemplate.spec.activeDeadlineSeconds} s at most",
        ("kind", "cron", "job"),
    ),
    ("Agent", "HorizontalPodAutoscaler"): (
        "alone sets the number of pods, {spec.minReplicas} to {spec.maxReplicas}: up at once, down after "
        "{spec.behavior.scaleDown.stabilizationWindowSeconds} s of less load",
        ("scaling", "consumes"),
    ),
    ("Agent", "ScaledObject"): (
        "alone sets the number of pods, {spec.minReplicaCount} to {spec.maxReplicaCount}, by what waits in its queue",
        ("scaling",),
    ),
    ("Agent", "TriggerAuthentication"): ("lets KEDA ask for the length of its queue, with its own login", ("scaling",)),
    ("Agent", "PodDisruptionBudget"): (
        "lets node drains take {spec.maxUnavailable} pod at a time | has node drains leave {spec.minAvailable} pods",
        (),
    ),
    ("Agent", "Service"): ("its address in the cluster: http://{metadata.name}", ()),
    ("Agent", "NetworkPolicy"): (
        "who may open connections to it, and it to whom",
        ("port", "metrics", "uses", "consumes", "produces", "calls", "egress", "public", "inference", "identity"),
    ),
    ("Agent", "CiliumNetworkPolicy"): ("the hosts outside that it may open connections to", ("egress", "inference")),
    ("Agent", "ConfigMap"): (
        "its plain variables",
        ("port", "uses", "consumes", "produces", "calls", "env", "inference", "resilience", "shutdown"),
    ),
    ("Agent", "Secret"): ("its secret variables", ("secrets", "inference")),
    ("Agent", "ExternalSecret"): ("fetches its secrets from a store outside", ("secrets", "inference")),
    ("Agent", "ServiceAccount"): ("its identity", ("identity",)),
    ("Candidate", "Deployment"): ("runs the pods of the candidate, the version that is being released", ("release",)),
    ("Candidate", "HorizontalPodAutoscaler"): (
        "alone sets the number of the candidate's pods, {spec.minReplicas} to {spec.maxReplicas}",
        ("scaling", "release"),
    ),
    ("Candidate", "ScaledObject"): (
        "alone sets the number of the candidate's pods, {spec.minReplicaCount} to {spec.maxReplicaCount}, by what "
        "waits in the queue",
        ("scaling", "release"),
    ),
    ("Candidate", "TriggerAuthentication"): (
        "lets KEDA ask for the length of the queue for the candidate",
        ("scaling", "release"),
    ),
    ("Candidate", "PodDisruptionBudget"): (
        "lets node drains take {spec.maxUnavailable} of the candidate's pods at a time",
        ("release",),
    ),
    ("Candidate", "Service"): ("where the gateway sends the candidate's share of the requests", ("public", "release")),
    ("Fleet", "Deployment"): ("the fleet's controller: keeps one pod for each device", ("kind",)),
    ("Fleet", "NetworkPolicy"): ("who may open connections to the controller, and it to whom", ("kind",)),
    ("Fleet", "ConfigMap"): ("the list of the devices, and the controller's program", ("fleet",)),
    ("Fleet", "ServiceAccount"): ("the controller's identity", ("kind",)),
    ("Fleet", "Role"): ("what the controller may do: make and delete pods, read the list and the template", ("kind",)),
    ("Fleet", "RoleBinding"): ("gives the controller these rights", ("kind",)),
    ("Fleet", "ValidatingAdmissionPolicy"): (
        "holds the controller to pods of the fleet, as the template has them",
        ("kind",),
    ),
    ("Fleet", "ValidatingAdmissionPolicyBinding"): ("puts that in force in the agents' namespace", ("kind",)),
    ("ModelServer", "Secret"): ("the key of the stack's model server", ("inference",)),
    ("RedisCluster", "Secret"): ("its own user of Redis", ("uses: redis", "redisKeys")),
    ("KafkaCluster", "Secret"): ("its own user of Kafka", ("uses: kafka", "consumes", "produces")),
    ("Gateway", "Ingress"): ("routes requests from outside to all public agents", ("public",)),
    ("Gateway", "HTTPRoute"): ("routes requests from outside to it", ("public", "release")),
}
"""By component (or the agent's part, see `_PARTS`) and kind, in the order of showing: what an object is for, and what
of the declaration shapes it.

No fields: every agent has one. Nearly every field shapes the object that runs the pods, so it names at most its kind's.
`field: item` stands for a list with that item; a path in braces, for what the object has there. Of texts with ` | `
between them, the first counts whose paths the object has.
"""


Keys = tuple[str | int, ...]
Source = Literal["agent", "environment"]


@dataclass(frozen=True)
class Origin:
    """Where a value is written."""

    source: Source
    """Whether it is the agent's own file or the environment's."""
    file: str
    line: int | None
    value: Any

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Setting:
    """One value that the agent ends up with."""

    path: str
    """Dotted, as it would be written in the agent's file."""
    value: Any
    origin: Origin | None
    """None: nobody wrote it, it is the default."""
    overrides: Origin | None = None
    """What the agent's file says, where the environment says something else."""


@dataclass(frozen=True)
class Object:
    """One Kubernetes object that is there for the agent."""

    kind: str
    name: str
    component: str
    """The type of the component that makes it: `Agent`, or what the agent uses or is reached through."""
    purpose: str
    """Empty where `PURPOSES` has none."""
    because: tuple[str, ...]
    """The fields that somebody wrote and that shape it; empty: every agent has one."""
    file: str
    """Its manifest in the folder that `agentstack preview` writes."""


@dataclass(frozen=True)
class Variable:
    """One environment variable of the agent's container, or the file of its name."""

    name: str
    value: str | None
    """None for one that is read elsewhere."""
    source: str
    """The object that holds it, or the field of the pod; then the folder, where it comes as a file."""


@dataclass(frozen=True)
class Explanation:
    """What one agent is in one environment."""

    agent: str
    environment: str
    settings: Sequence[Setting]
    objects: Sequence[Object]
    variables: Sequence[Variable]


def explain(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.")],
    env: Annotated[str, typer.Option(metavar="ENV", help="The environment: reads Pulumi.ENV.yaml.")] = "dev",
    agents: Annotated[pathlib.Path | None, typer.Option(help="Read agents from this folder.")] = None,
    settings: Annotated[pathlib.Path | None, typer.Option(help="Read this file instead of Pulumi.ENV.yaml.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show what an agent's declaration becomes, and why: each value with its origin, each object with its purpose.

    Exit codes: 0 fine, 2 bad input.
    """
    from agentstack.rendering.environment import Environment, find_project

    environment = Environment.find(find_project(pathlib.Path()), env, file=settings, agents=agents)
    found = explained(environment, agent)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        _show(found)


def explained(environment: Environment, agent: str) -> Explanation:
    """Run the program for `environment`, and explain one of its agents.

    Raises `SettingsError` for bad input, or an agent that is unknown or not enabled there.
    """
    from agentstack.rendering.render import render

    settings = list(_settings(environment, agent))
    return explanation(environment.name, agent, settings, render(environment).registrations)


def explanation(
    environment: str, agent: str, settings: Sequence[Setting], registrations: Sequence[Registration]
) -> Explanation:
    """Explain an agent with these `settings` by what the program registered."""
    from agentstack.rendering.manifests import Manifests

    by_urn = {registration.urn: registration for registration in registrations}
    manifests = Manifests.of(registrations).items
    own = [manifest for manifest in manifests if _belongs(manifest, agent, by_urn)]
    others = [manifest for manifest in manifests if manifest not in own and _serves(manifest, own)]
    written = [setting for setting in settings if setting.origin]
    given = {setting.path.partition(".")[0] for setting in written}
    given |= {
        f"{setting.path}: {item}" for setting in written if isinstance(setting.value, list) for item in setting.value
    }
    order = {key: rank for rank, key in enumerate(PURPOSES)}

    def rank(manifest: Manifest) -> tuple[int, str, str]:
        key = (_part(manifest, _component(manifest, by_urn)), manifest.kind)
        return order.get(key, len(order)), manifest.kind, manifest.name

    objects = [_object(manifest, by_urn, given) for manifest in sorted((*own, *others), key=rank)]
    return Explanation(agent, environment, settings, objects, _variables(agent, own))


def _settings(environment: Environment, agent: str) -> Iterator[Setting]:
    from settings.files import read_agents
    from settings.model import overrides

    values = environment.agent(agent).model_dump(mode="json", by_alias=True, exclude={"name", "enabled"})
    file, content = read_agents(environment.agents_folder)[agent]
    changes = (environment.config.get("agentstack:agents") or {}).get(agent, {})
    for keys, value in _leaves(values):
        path = ".".join(map(str, keys))
        declared = _origin("agent", file, content, keys)
        if overrides(changes, keys):
            override = _origin("environment", environment.file, changes, keys, ("config", "agentstack:agents", agent))
            hidden = declared if override and declared and declared.value != override.value else None
            yield Setting(path, value, override, hidden)
        else:
            yield Setting(path, value, declared)


def _leaves(value: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Return what stands at the ends of nested groups; a list of plain values is one value."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*keys, key))
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, (*keys, index))
    else:
        yield keys, value


def _origin(source: Source, file: pathlib.Path, content: Any, keys: Keys, prefix: Keys = ()) -> Origin | None:
    from settings.files import line_of

    for key in keys:
        if isinstance(content, Mapping):
            if key not in content:
                return None
            content = content[key]
        elif isinstance(content, list):
            content = content[int(key)]
        else:
            break  # one value stands for a whole group
    # From a folder of the project, the way from there is the shorter one.
    shown = min(str(file), os.path.relpath(file), key=len)
    return Origin(source, shown, line_of(file, (*prefix, *keys)), content)


def _belongs(manifest: Manifest, agent: str, registrations: Mapping[str, Registration]) -> bool:
    from agentstack.rendering.registration import owners

    return any((owner.type, owner.name) == (_AGENT, agent) for owner in owners(manifest.registration, registrations))


def _serves(manifest: Manifest, own: Sequence[Manifest]) -> bool:
    """Whether the object of another part routes to the agent, or its pods read it; references are by name."""
    if manifest.namespace not in {item.namespace for item in own}:
        return False
    if manifest.kind in ("Secret", "ConfigMap"):
        return any(manifest.name in _referred(item) for item in own)
    services = {item.name for item in own if item.kind == "Service"}
    return manifest.kind in ("Ingress", "HTTPRoute") and bool(services & set(_referred(manifest)))


def _referred(manifest: Manifest) -> Iterator[str]:
    """Return the names that an object refers to: not all kinds have a `spec`."""
    return _named({key: value for key, value in manifest.object.items() if key != "metadata"})


def _named(value: Any, key: str = "") -> Iterator[str]:
    """Return the names of objects that a specification refers to."""
    if isinstance(value, dict):
        for inner, item in value.items():
            yield from _named(item, inner)
    elif isinstance(value, list):
        for item in value:
            yield from _named(item)
    elif key in ("name", "secretName"):
        yield str(value)


def _component(manifest: Manifest, registrations: Mapping[str, Registration]) -> str:
    from agentstack.rendering.registration import owners

    components = (owner for owner in owners(manifest.registration, registrations) if owner.component)
    return next((owner.type.rpartition(":")[2] for owner in components), "")


def _part(manifest: Manifest, component: str) -> str:
    # NetworkPolicies have no labels: theirs are those of the pods.
    for path in (("metadata", "labels"), ("spec", "podSelector", "matchLabels")):
        role = _value(manifest.object, (*path, _ROLE))
        if role in _PARTS:
            return _PARTS[role]
    return component


def _object(manifest: Manifest, registrations: Mapping[str, Registration], given: set[str]) -> Object:
    component = _component(manifest, registrations)
    purpose, fields = PURPOSES.get((_part(manifest, component), manifest.kind), ("", ()))
    texts = [
        re.sub(r"\{([\w.]+)\}", lambda path: str(_value(manifest.object, path[1].split("."))), text)
        for text in purpose.split(" | ")
    ]
    filled = next((text for text in texts if "?" not in text), texts[0])
    because = tuple(field for field in fields if field in given)
    return Object(manifest.kind, manifest.name, component, filled, because, manifest.path)


def _value(content: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        content = content.get(key, "?") if isinstance(content, Mapping) else "?"
    return content


def _variables(agent: str, own: Sequence[Manifest]) -> list[Variable]:
    """Return the variables of the agent's container, as it finds them: in its environment, or else as files."""
    data = {item.name: item.object.get("data", {}) for item in own if item.kind == "ConfigMap"}
    # Of an agent's versions, any: they find the same.
    container: Mapping[str, Any] = {}
    volumes: dict[str, Any] = {}
    for pod in _pods([item.object for item in own]):
        for one in pod["containers"]:
            if one["name"] == agent:
                container, volumes = one, {volume["name"]: volume for volume in pod.get("volumes", [])}
    found = [
        Variable(key, value, f"ConfigMap {source['configMapRef']['name']}")
        for source in container.get("envFrom", [])
        if "configMapRef" in source
        for key, value in data.get(source["configMapRef"]["name"], {}).items()
    ]
    for variable in container.get("env", []):
        origin = variable.get("valueFrom", {})
        if "secretKeyRef" in origin:
            source = _key_of(origin["secretKeyRef"], variable["name"])
        else:
            source = f"the pod's {origin.get('fieldRef', {}).get('fieldPath', 'template')}"
        found.append(Variable(variable["name"], variable.get("value"), source))
    # The controller adds it to each pod that it makes from the template.
    lists = (item.name for item in own if item.kind == "ConfigMap" and _part(item, "") == "Fleet")
    found += [Variable("DEVICE_ID", None, f"ConfigMap {name}, a line of devices") for name in lists]
    names = {variable.name for variable in found}
    found += [variable for variable in _files(container, volumes, data) if variable.name not in names]
    return sorted(found, key=lambda variable: variable.name)


def _files(container: Mapping[str, Any], volumes: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[Variable]:
    for mount in container.get("volumeMounts", []):
        folder, volume = mount["mountPath"], volumes[mount["name"]]
        if not folder.startswith(_FILES):
            continue
        if "configMap" in volume:
            name = volume["configMap"]["name"]
            for key, value in data.get(name, {}).items():
                yield Variable(key, value, f"ConfigMap {name}, in {folder}")
        for source in volume.get("projected", {}).get("sources", []):
            for item in source.get("secret", {}).get("items", []):
                held = _key_of({**source["secret"], "key": item["key"]}, item["path"])
                yield Variable(item["path"], None, f"{held}, in {folder}")


def _key_of(reference: Mapping[str, Any], variable: str) -> str:
    key = f", key {reference['key']}" if reference["key"] != variable else ""
    return f"Secret {reference['name']}{key}{', if there' if reference.get('optional') else ''}"


def _pods(value: Any) -> Iterator[Mapping[str, Any]]:
    """Return the specifications of pods in an object."""
    if isinstance(value, dict):
        if "containers" in value:
            yield value
        for item in value.values():
            yield from _pods(item)
    elif isinstance(value, list):
        for item in value:
            yield from _pods(item)


def _show(explanation: Explanation) -> None:
    from rich.text import Text

    from agentstack.output.console import new_console
    from agentstack.preview.screen import SHORT_KINDS

    console = new_console(plain_width=_PLAIN_WIDTH)
    console.print(Text(f"{explanation.agent} in {explanation.environment}", "bold"))

    console.print()
    console.print(_settings_table(explanation.settings))
    if unset := [item.path for item in explanation.settings if _is_unset(item)]:
        console.print(Text.assemble(("not set  ", "bold"), (", ".join(unset), "dim")))

    objects = _table("object", "what for", "shaped by")
    for thing in explanation.objects:
        because = ", ".join(thing.because) or "every agent"
        objects.add_row(Text(f"{SHORT_KINDS.get(thing.kind, thing.kind)} {thing.name}", "cyan"), thing.purpose, because)
    console.print()
    console.print(objects)

    variables = _table("variable", "value", "in")
    for variable in explanation.variables:
        variables.add_row(Text(variable.name, "cyan"), variable.value or "", variable.source)
    console.print()
    console.print(variables)


def _settings_table(settings: Sequence[Setting]) -> Table:
    from rich.text import Text

    overridden = any(item.overrides for item in settings)
    table = _table("setting", "value", "from", *(["instead of"] if overridden else []))
    for item in sorted(settings, key=lambda item: item.origin is None):
        if _is_unset(item):
            continue
        hidden = f"{_text(item.overrides.value)}, line {item.overrides.line}" if item.overrides else ""
        style = "" if item.origin else "dim"
        origin = str(item.origin or "default")
        cells = [_text(item.value), origin, *([hidden] if overridden else [])]
        table.add_row(Text(item.path, "cyan" if item.origin else ""), *cells, style=style)
    return table


def _is_unset(setting: Setting) -> bool:
    return setting.origin is None and setting.value in (None, [], {})


def _table(*headers: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold", no_wrap=header in ("setting", "from", "variable"))
    return table


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value) or "[]"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
