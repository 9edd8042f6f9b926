"""A fleet costs the same objects for any number of devices, and its controller touches only what differs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from components.agent.component import Agent
from components.agent.controller import Plan, Pod, plan, pod_name, pod_of
from manifests.capacity import capacity
from settings import AgentSettings, DeviceRange, Fleet, Scaling
from settings.fleet import MAX_DEVICES

from .conftest import Recorder
from .test_settings_errors import agent as agent_file
from .test_settings_errors import messages

Render = Callable[[Callable[[], object]], Recorder]


def fleet(**given: Any) -> AgentSettings:
    return AgentSettings(image="x/y:1", kind="fleet", fleet=Fleet(**given))


def watch(render: Render, **given: Any) -> Recorder:
    return render(lambda: Agent("watchdog", fleet(**given)))


def test_ten_thousand_devices_cost_the_objects_of_one(render: Render) -> None:
    few, many = watch(render, devices=("a",)), watch(render, range=DeviceRange(prefix="d-", last=9999))
    assert few.kinds() == many.kinds()
    assert len(many.seen["ConfigMap", "watchdog-fleet"]["data"]["devices"].splitlines()) == 10_000
    assert many.seen["PodDisruptionBudget", "watchdog"]["spec"]["minAvailable"] == 9000
    assert few.seen["PodDisruptionBudget", "watchdog"]["spec"]["minAvailable"] == 0
    assert "Service" not in many.kinds()


def test_the_list_is_no_part_of_the_pods(render: Render) -> None:
    few, many = watch(render, devices=("a",)), watch(render, devices=("b", "c"))
    assert few.seen["PodTemplate", "watchdog"]["template"] == many.seen["PodTemplate", "watchdog"]["template"]
    for name in ("watchdog",):  # what the pods read
        assert few.seen["ConfigMap", name] == many.seen["ConfigMap", name]

    def restarted(recorder: Recorder) -> str:
        template = recorder.seen["Deployment", "watchdog-fleet"]["spec"]["template"]
        found: str = template["metadata"]["annotations"]["agentstack.dev/config-hash"]
        return found

    # The engine waits for a controller that knows the new list.
    assert restarted(few) != restarted(many)
    assert restarted(few) == restarted(watch(render, devices=("a",)))
    other = render(lambda: Agent("watchdog", fleet(devices=("a",)).model_copy(update={"image": "x/y:2"})))
    assert restarted(few) != restarted(other)


def test_a_fleet_has_the_defaults_of_a_watchdog(render: Render) -> None:
    (container,) = watch(render, devices=("a",)).seen["PodTemplate", "watchdog"]["template"]["spec"]["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "100m", "memory": "64Mi"},
        "limits": {"cpu": "200m", "memory": "128Mi"},
    }
    paths = {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/ready"}
    settings = AgentSettings.model_validate(
        {
            "image": "x/y:1",
            "kind": "fleet",
            "fleet": {"devices": ["a"]},
            "resources": {"requests": {"cpu": "5m"}},
            "probes": {"readiness": {"path": "/up"}},
            "metrics": {"path": "/m"},
        }
    )
    assert (settings.resources.requests.cpu, settings.resources.requests.memory) == ("5m", "64Mi")
    assert settings.probes is not None
    assert (settings.probes.readiness.path, settings.probes.liveness.path) == ("/up", "/healthz")
    assert settings.metrics_port == 8080


def test_nobody_may_open_connections_to_a_fleet(render: Render) -> None:
    assert "ingress" not in watch(render, devices=("a",)).seen["NetworkPolicy", "watchdog"]["spec"]


def test_the_controllers_rights_are_no_more_than_it_needs(render: Render) -> None:
    recorder = watch(render, devices=("a",))
    rules = recorder.seen["Role", "watchdog-fleet"]["rules"]
    assert {rule["resources"][0]: rule["verbs"] for rule in rules} == {
        "pods": ["create", "delete", "list", "watch"],
        "configmaps": ["get"],
        "podtemplates": ["get"],
    }
    assert [rule.get("resourceNames") for rule in rules] == [None, ["watchdog-fleet"], ["watchdog"]]
    binding = recorder.seen["ValidatingAdmissionPolicyBinding", "watchdog-fleet"]["spec"]
    assert binding["validationActions"] == ["Deny"]
    policy = recorder.seen["ValidatingAdmissionPolicy", "watchdog-fleet"]["spec"]
    assert "paramKind" not in policy, "a parameter that is not found stops the pods of everybody"
    (condition,) = policy["matchConditions"]
    assert condition["expression"] == "request.userInfo.username == 'system:serviceaccount:agents:watchdog-fleet'"


def test_capacity_counts_the_devices(render: Render) -> None:
    content = watch(render, devices=("a", "b", "c")).seen["PodTemplate", "watchdog"]
    (namespace,) = capacity([{"kind": "PodTemplate", **content}])
    assert namespace.pods() == (3, 3)
    assert namespace.asked("requests.memory")[1] == 3 * 64 * 1024**2
    demand = fleet(devices=("a", "b", "c")).demand("watchdog")
    assert (demand.minimum, demand.maximum, demand.surge) == (3, 3, 0)


# The settings


def test_devices_come_from_a_range() -> None:
    assert DeviceRange(prefix="s-", first=8, last=11, digits=4).ids == ("s-0008", "s-0009", "s-0010", "s-0011")
    assert DeviceRange(last=1).ids == ("0", "1")


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("deviceId\na\nb\n", ("a", "b")),
        ("site, deviceId ,x\nhere, a,1\n\nthere,b,2\n", ("a", "b")),
        ("a,\nb,\n", ("a", "b")),
        ("\ufeffa\r\nb\r\n", ("a", "b")),
        ('"a"\n', ("a",)),
    ],
)
def test_devices_come_from_a_file(tmp_path: Path, text: str, ids: tuple[str, ...]) -> None:
    path = tmp_path / "devices.csv"
    path.write_text(text, encoding="utf-8")
    assert Fleet(file=str(path)).ids == ids


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("deviceId\na\nb c\n", "devices.csv:3: `b c` is not a device id: use 1 to 63 letters"),
        ("site,deviceId\nhere\n", "devices.csv:2: `` is not a device id"),
        ("a\nb\na\n", "devices.csv:3: `a` stands twice, first at agents/devices.csv:1: remove one of them"),
        ("id,site\na,here\n", "devices.csv:1: `id` looks like a header: name the column of the ids `deviceId`"),
        *(
            (f"{header}\na\n", f"devices.csv:1: `{header}` looks like a header: name the column")
            for header in ("hostname", "Host", "mac", "MAC Address", "sensor", "serial", "uuid")
        ),
        ("rack,sensor\n1,a\n", "devices.csv:1: `sensor` looks like a header: name the column"),
        ("site,deviceid\nhere,a\n", "devices.csv:1: `deviceid` looks like a header: name the column"),
        ("a,here\nb,there\n", "devices.csv:1: several columns, and none is `deviceId`: write a header"),
        ("a\nb,there\n", "devices.csv:2: several columns, and none is `deviceId`: write a header"),
        ("deviceId\n" + "\n" * 16 * 1024**2, "devices.csv: 16,777,225 bytes are above the 16,777,216 of a list"),
        ("deviceId\n", "devices.csv: no devices: name at least one"),
        ("", "devices.csv: no devices"),
        ("ä" * 3, "is not a device id"),
        ("x" * 64, "is not a device id: use 1 to 63 letters"),
        ("\n".join(f"{n} {n}" for n in range(20)), "devices.csv: 15 mistakes more like these"),
        ("\n".join(str(n) for n in range(MAX_DEVICES + 1)), "devices.csv: 16,001 devices are above the 16,000"),
    ],
)
def test_mistakes_in_a_file_are_found_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "devices.csv").write_text(text, encoding="utf-8")
    (tmp_path / "agents" / "watchdog.yaml").write_text(
        "name: w\nimage: a/b:1\nkind: fleet\nfleet:\n  file: devices.csv\n"
    )
    found = loading(tmp_path)
    assert message in found
    assert all(line.startswith("agents/watchdog.yaml:5: agents.w.fleet.file: ") for line in found.splitlines())
    assert len(found.splitlines()) <= 6


def test_a_list_is_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")  # reading it would wait for ever
    for file in (str(tmp_path / "fifo"), "/dev/zero", str(tmp_path)):
        with pytest.raises(ValidationError, match=r"file: .*: is not a regular file: correct the path"):
            Fleet(file=file)


def loading(folder: Path) -> str:
    from settings import SettingsError
    from settings.stack import load

    (folder / "s.yaml").write_text("config: {}\n")
    with pytest.raises(SettingsError) as caught:
        load({}, stack_file=folder / "s.yaml", agents_folder=folder / "agents")
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "fleet: is missing: `kind: fleet` needs it, for example `fleet: {devices: [a, b]}`"),
        ({"fleet": {}}, "fleet.devices: no devices: give one of `devices`, `file` and `range`"),
        ({"fleet": {"devices": []}}, "fleet.devices: no devices: name at least one"),
        ({"fleet": {"devices": ["a", "a"]}}, "fleet.devices.1: `a` stands twice, first at 0"),
        ({"fleet": {"devices": ["a/b"]}}, "fleet.devices.0: `a/b` is not a device id"),
        ({"fleet": {"devices": [1]}}, "fleet.devices.0: must be text: put it in quotes"),
        ({"fleet": {"devices": ["a"], "file": "b.csv"}}, "fleet.file: `devices` and `file` are given"),
        ({"fleet": {"file": "none.csv"}}, "none.csv: cannot be read: No such file or directory: correct the path"),
        ({"fleet": {"file": "a\0b"}}, "fleet.file: a path has no control characters: correct the path"),
        ({"fleet": {"file": "a" * 300}}, "cannot be read: File name too long: correct the path"),
        ({"fleet": {"range": {"first": 5, "last": 4}}}, "fleet.range.last: 4 is below first 5"),
        ({"fleet": {"range": {"last": 99_999}}}, "fleet.range.last: 100,000 devices are above the 16,000"),
        ({"fleet": {"range": {"prefix": "-", "last": 3}}}, "fleet.range.prefix: `-0` is not a device id"),
        ({"fleet": {"devices": ["a"]}, "replicas": 0}, "replicas: the devices are the number of pods: remove it"),
        ({"fleet": {"devices": ["a"]}, "scaling": {"min": 1, "max": 2}}, "scaling: the devices are the number"),
        ({"fleet": {"devices": ["a"]}, "public": {}}, "public: a fleet has no Service to route to: remove it"),
        ({"fleet": {"devices": ["a"]}, "consumes": ["tasks"]}, "consumes: pods of one agent share the messages"),
        ({"fleet": {"devices": ["a"]}, "probes": None}, "probes: pods that do not end need them"),
        ({"fleet": {"devices": ["a"]}, "env": {"DEVICE_ID": "b"}}, "env.DEVICE_ID: is set by the stack: remove it"),
        ({"kind": "service", "fleet": {"devices": ["a"]}}, "fleet: is for `kind: fleet`: set that, or remove it"),
    ],
)
def test_what_does_not_go_with_a_fleet(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    found = messages(tmp_path, {"kafka": {"topics": {"tasks": {}}}}, agent_file(**{"kind": "fleet"} | changes))
    assert message in found
    assert found.count("\n") == 0


def test_a_fleet_cannot_be_called_and_keeps_the_name_of_its_controller(tmp_path: Path) -> None:
    watchdog = agent_file(name="watchdog", kind="fleet", fleet={"devices": ["a"]})
    caller = agent_file(name="watchdog-fleet", calls=["watchdog"])
    found = messages(tmp_path, {}, watchdog, caller).splitlines()
    assert "calls.0: `watchdog` is of `kind: fleet`, which has no Service" in found[0]
    assert "agents.watchdog-fleet: is the name of the controller of the fleet `watchdog`" in found[1]


def test_the_quota_must_hold_the_fleet_and_its_controller(tmp_path: Path) -> None:
    room = {"cpu": "1000", "memory": "1000Gi"}
    quota = {"quota": {"requests": room, "limits": room, "pods": 500}}
    watchdog = agent_file(kind="fleet", fleet={"range": {"first": 1, "last": 500}})
    assert "namespaces.agents.quota.pods: 500 is below the 501 pods" in messages(
        tmp_path, {"namespaces": {"agents": quota}}, watchdog
    )


def test_an_autoscaler_cannot_be_given_in_python_either() -> None:
    with pytest.raises(ValidationError, match="the devices are the number of pods"):
        AgentSettings(image="x/y:1", kind="fleet", fleet=Fleet(devices=("a",)), scaling=Scaling(min=1, max=2))


# The controller


def pods(*devices: str, generation: str = "1", **state: bool) -> list[Pod]:
    flags = {"ready": True, "ended": False, "leaving": False} | state
    return [Pod(pod_name("w", device), generation, **flags) for device in devices]


def names(*devices: str) -> list[str]:
    return [pod_name("w", device) for device in devices]


@pytest.mark.parametrize(
    ("devices", "there", "create", "delete"),
    [
        pytest.param("abc", [], "abc", "", id="nothing yet"),
        pytest.param("abc", pods(*"abc"), "", "", id="as it should be"),
        pytest.param("ac", pods(*"abc"), "", "b", id="one less, in the middle"),
        pytest.param("cdba", pods(*"abc"), "d", "", id="one more, in another order"),
        pytest.param("axc", pods(*"abc"), "x", "b", id="one instead of another"),
        pytest.param("abc", [*pods(*"ab"), *pods("c", ready=False, ended=True)], "", "c", id="an evicted pod"),
        pytest.param("abc", [*pods(*"ab"), *pods("c", leaving=True)], "", "", id="its name is taken until it is gone"),
        pytest.param("ab", [*pods(*"ab"), *pods("c", leaving=True)], "", "", id="told to end already"),
    ],
)
def test_only_what_differs_is_touched(devices: str, there: list[Pod], create: str, delete: str) -> None:
    result = plan("w", devices, there, "1", 1)
    assert (result.create, sorted(result.delete)) == (list(create), sorted(names(*delete)))


def test_an_update_leaves_no_more_devices_alone_than_may_be() -> None:
    devices = [str(number) for number in range(10)]
    assert len(plan("w", devices, pods(*devices), "2", 3).delete) == 3
    broken = [*pods(*devices[:2], generation="2", ready=False), *pods(*devices[2:])]
    assert len(plan("w", devices, broken, "2", 3).delete) == 1
    assert plan("w", devices, broken, "2", 2).delete == []
    # Nobody misses an outdated pod that is not ready, however many there are.
    stuck = [*pods(*devices[:5], ready=False), *pods(*devices[5:])]
    assert sorted(plan("w", devices, stuck, "2", 3).delete) == sorted(names(*devices[:5]))


def test_an_update_ends() -> None:
    devices = [str(number) for number in range(20)]
    there = {pod.name: pod for pod in pods(*devices)}
    for _ in range(10):
        now = plan("w", devices, there.values(), "2", 2)
        assert now.ready >= 18
        for name in now.delete:
            there[name] = Pod(name, "2", ready=True, ended=False, leaving=False)
    assert plan("w", devices, there.values(), "2", 2) == Plan(wanted=20, ready=20, max_unavailable=2)


def test_names_of_pods_are_names() -> None:
    assert len(pod_name("w" * 42, "x" * 63)) <= 63
    assert pod_name("w", "A") != pod_name("w", "a")
    assert len({pod_name("w", str(number)) for number in range(10_000)}) == 10_000


def test_a_pod_is_the_templates_with_the_device_first() -> None:
    container = {"name": "w", "image": "x/y:1", "args": ["$(DEVICE_ID)"], "env": [{"name": "POD_NAME"}]}
    template = {
        "metadata": {"name": "w", "uid": "u", "generation": 3},
        "template": {
            "metadata": {"creationTimestamp": None, "labels": {"l": "m"}, "annotations": {"a": "b"}},
            "spec": {"containers": [container], "volumes": []},
        },
    }
    pod = pod_of("w", "dev.1", template)
    assert pod["metadata"]["labels"] == {"l": "m", "agentstack.dev/device": "dev.1"}
    assert pod["metadata"]["annotations"] == {"a": "b", "agentstack.dev/template-generation": "3"}
    assert pod["metadata"]["ownerReferences"][0]["uid"] == "u"
    assert pod["spec"]["containers"][0]["env"][0] == {"name": "DEVICE_ID", "value": "dev.1"}
    assert template["template"]["spec"]["containers"][0] == container, "the template stays as it is"  # type: ignore[index]
    made = json.loads(json.dumps(pod))
    made["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    assert Pod.of(made) == Pod(pod_name("w", "dev.1"), "3", ready=True, ended=False, leaving=False)
