"""A fleet of 200 devices and two agents that end, in namespaces of their own, on the cluster of KUBECONFIG."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import ROOT, Cluster, eventually

DEVICES = 200
NAMESPACE = "fleets-agents"
# The entry point of the redis image runs what it is told to, and it has a shell.
ENDS = "redis:8.10.2"
SMALL = {"requests": {"cpu": "1m", "memory": "16Mi"}, "limits": {"cpu": "200m", "memory": "128Mi"}}


class Fleet(Cluster):
    """The agents' namespace of a stack, with what this file declares in it."""

    def declare(self, devices: list[str], *, word: str = "first", version: str = "1.0.0") -> list[Path]:
        """Write the files of people, preview them, and return the manifests of the agents' namespace."""
        folder = self.manifests.parent / "agents"
        folder.mkdir(exist_ok=True)
        (folder / "devices.csv").write_text("site,deviceId\n" + "".join(f"here,{device}\n" for device in devices))
        quick = {"probes": {"startup": {"period": "5s"}}, "resources": SMALL, "shutdown": {"longestTask": "0s"}}
        watchdog = {
            "kind": "fleet",
            "image": f"ghcr.io/agentstack/stand-in:{version}",
            "fleet": {"file": "devices.csv"},
            # Volumes that the controller's admission policy must let through.
            "identity": {"token": True},
            "reload": "file",
            "secrets": {"KEY": {"required": False}},
        }
        command = {"image": ENDS, "resources": SMALL, "args": ["sh", "-c", f'echo {word}; test "$AGENT_NAME" = "$0"']}
        for name, agent in {
            "watchdog": watchdog | quick,
            "once": {"kind": "job", **command, "args": [*command["args"], "once"]},
            "ticks": {
                "kind": "cron",
                "cron": {"schedule": "* * * * *"},
                **command,
                "args": [*command["args"], "ticks"],
            },
        }.items():
            (folder / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, **agent}))
        stack = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
        stack["config"]["agentstack:agents"] = {}
        room = {"cpu": "10000", "memory": "10000Gi"}
        names = {key: {"name": f"fleets-{key}"} for key in ("agents", "data", "observability", "collectors")}
        names["agents"]["quota"] = {"requests": room, "limits": room, "pods": 20_000}  # type: ignore[assignment]
        for key, section in stack["config"]["agentstack:namespaces"].items():
            names[key] = section | names[key]
        stack["config"]["agentstack:namespaces"] = names
        (folder.parent / "stack.yaml").write_text(yaml.safe_dump(stack))
        command_line = [sys.executable, "-m", "agentstack", "preview", "fleets", "--out", str(self.manifests)]
        options = ["--agents", str(folder), "--settings", str(folder.parent / "stack.yaml")]
        subprocess.run([*command_line, *options], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return [path for path in sorted(self.manifests.rglob("*.yaml")) if NAMESPACE in path.name]

    def apply(self, files: list[Path], *options: str) -> str:
        """Apply these manifests."""
        chosen = [f"--filename={path}" for path in files]
        return self.kubectl("apply", "--server-side", "--force-conflicts", *options, *chosen)

    def pods(self) -> dict[str, dict[str, Any]]:
        """The fleet's pods that are not about to end, by device."""
        pods = self.get("pods", "--namespace", NAMESPACE, "--selector=agentstack.dev/device")
        return {
            p["metadata"]["labels"]["agentstack.dev/device"]: p
            for p in pods
            if "deletionTimestamp" not in p["metadata"]
        }

    def ready(self) -> dict[str, str]:
        """The uids of the ready pods, by device."""
        return {
            device: pod["metadata"]["uid"]
            for device, pod in self.pods().items()
            if {"type": "Ready", "status": "True"}.items()
            <= next((c for c in pod["status"].get("conditions", []) if c["type"] == "Ready"), {}).items()
        }

    def watches(self, devices: list[str], seconds: float) -> dict[str, str]:
        """Wait until exactly these devices have a ready pod, and the controller says so; return the pods' uids."""

        def whole() -> dict[str, str] | None:
            ready = self.ready()
            return ready if set(ready) == set(devices) == set(self.pods()) else None

        found: dict[str, str] = eventually(whole, seconds, f"{len(devices)} devices have a ready pod")
        arguments = ("rollout", "status", "deployment/watchdog-fleet", "--namespace", NAMESPACE, "--timeout=60s")
        self.kubectl(*arguments)
        return found


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The namespace with a fleet of 200 devices, a job and a cron agent; removed afterwards."""
    if "KUBECONFIG" not in os.environ or shutil.which("kubectl") is None:
        pytest.skip("KUBECONFIG is not set, or kubectl not on PATH: name a cluster that may be changed")
    fleet = Fleet(tmp_path_factory.mktemp("fleet") / "build")
    room = sum(int(node["status"]["allocatable"]["pods"]) for node in fleet.get("nodes"))
    if room < DEVICES + 20:
        pytest.skip(f"the nodes hold {room} pods: raise the kubelets' maxPods, or add nodes, for {DEVICES} devices")
    files = fleet.declare(devices())
    try:
        start = time.monotonic()
        fleet.apply(files)
        fleet.watches(devices(), 360)
        print(f"\n{DEVICES} devices watched {time.monotonic() - start:.0f} s after the apply")
        yield fleet
    finally:
        files = [path for path in fleet.manifests.rglob("*.yaml") if NAMESPACE in path.name]
        chosen = [f"--filename={path}" for path in files]
        fleet.kubectl("delete", "--ignore-not-found", "--wait=false", *chosen, timeout=300)
        fleet.kubectl("wait", "--for=delete", f"namespace/{NAMESPACE}", "--timeout=240s", timeout=250)


def devices() -> list[str]:
    return [f"sensor_{number}.A" for number in range(DEVICES)]


ENVIRONMENT = 'printf \'%s %s\' "$DEVICE_ID" "$POD_NAME"'


def test_every_pod_knows_its_device(fleet: Fleet) -> None:
    pods = fleet.pods()
    declared = {
        device: next(v["value"] for v in pod["spec"]["containers"][0]["env"] if v["name"] == "DEVICE_ID")
        for device, pod in pods.items()
    }
    assert declared == {device: device for device in devices()}
    for device in devices()[:: DEVICES // 5]:
        name = pods[device]["metadata"]["name"]
        assert fleet.run(NAMESPACE, f"pod/{name}", "sh", "-c", ENVIRONMENT) == f"{device} {name}"


def test_the_controller_may_make_no_other_pod(fleet: Fleet) -> None:
    pod = next(iter(fleet.pods().values()))
    # Without what the cluster itself adds, such as the zone.
    labels = {key: value for key, value in pod["metadata"]["labels"].items() if not key.startswith("topology.")}
    metadata = {"name": "other", "namespace": NAMESPACE, "labels": labels}
    spec = {key: value for key, value in pod["spec"].items() if key not in ("nodeName", "tolerations")}
    first = spec["containers"][0]
    another = {**spec, "containers": [{**first, "image": "redis:8.10.2"}]}
    variable = {"name": "STOLEN", "valueFrom": {"secretKeyRef": {"name": "any", "key": "any"}}}
    stolen = {**spec, "containers": [{**first, "env": [*first["env"], variable]}]}
    mounted = {**spec, "volumes": [*spec["volumes"], {"name": "any", "secret": {"secretName": "any"}}]}
    projection = {"name": "any", "projected": {"sources": [{"secret": {"name": "any"}}]}}
    projected = {**spec, "volumes": [*spec["volumes"], projection]}
    account = {**spec, "serviceAccountName": "watchdog-fleet", "serviceAccount": "watchdog-fleet"}
    command = {**spec, "containers": [{**first, "command": ["sh"]}]}
    label = metadata | {"labels": labels | {"agentstack.dev/redis": "true"}}
    tried = [
        (metadata, another),
        (metadata, stolen),
        (metadata, mounted),
        (metadata, projected),
        (metadata, account),
        (metadata, command),
    ]

    def make(metadata: dict[str, Any], spec: dict[str, Any]) -> str:
        body = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        as_controller = f"--as=system:serviceaccount:{NAMESPACE}:watchdog-fleet"
        arguments = ["kubectl", "create", "--dry-run=server", "--filename=-", as_controller]
        return subprocess.run(arguments, input=body, capture_output=True, text=True, timeout=60, check=False).stderr

    assert make(metadata, spec) == ""
    for its_metadata, its_spec in [*tried, (label, spec)]:
        assert "agentstack-fleets-agents-watchdog-fleet" in make(its_metadata, its_spec)
    controller = fleet.get("pods", "--namespace", NAMESPACE, "--selector=app.kubernetes.io/component=fleet")[0]
    refused = fleet.kubectl(
        "auth", "can-i", "get", "secrets", "--namespace", NAMESPACE, "--as",
        f"system:serviceaccount:{NAMESPACE}:watchdog-fleet", check=False,
    )  # fmt: skip
    assert refused.strip() == "no"
    done = subprocess.run(
        ["kubectl", "delete", "pod", controller["metadata"]["name"], "--namespace", NAMESPACE, "--dry-run=server",
         f"--as=system:serviceaccount:{NAMESPACE}:watchdog-fleet"], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "of its fleet only" in done.stderr


def test_a_changed_list_touches_only_the_pods_of_changed_devices(fleet: Fleet) -> None:
    before = fleet.ready()
    removed, added = {"sensor_3.A", "sensor_100.A", "sensor_199.A"}, ["new-1", "new-2"]
    changed = [*added, *reversed([device for device in devices() if device not in removed])]
    start = time.monotonic()
    fleet.apply(fleet.declare(changed))
    after = fleet.watches(changed, 120)
    print(f"\n3 devices less and 2 more, {time.monotonic() - start:.0f} s after the apply")
    assert {device: uid for device, uid in after.items() if device in before} == {
        device: uid for device, uid in before.items() if device not in removed
    }
    restarts = {device: pod["status"]["containerStatuses"][0]["restartCount"] for device, pod in fleet.pods().items()}
    assert set(restarts.values()) == {0}
    fleet.apply(fleet.declare(devices()))  # and back
    again = fleet.watches(devices(), 120)
    assert {device: uid for device, uid in again.items() if device not in removed} == {
        device: uid for device, uid in before.items() if device not in removed
    }


def test_a_deleted_pod_comes_back_for_the_same_device(fleet: Fleet) -> None:
    before = fleet.pods()["sensor_7.A"]["metadata"]
    fleet.kubectl("delete", "pod", before["name"], "--namespace", NAMESPACE)
    after = fleet.watches(devices(), 60)
    assert after["sensor_7.A"] != before["uid"]
    assert fleet.pods()["sensor_7.A"]["metadata"]["name"] == before["name"]


def test_the_api_server_accepts_ten_thousand_devices(fleet: Fleet) -> None:
    here = len([line for line in fleet.apply(fleet.declare(devices()), "--dry-run=server").splitlines() if line])
    many = fleet.declare([f"sensor-{number}" for number in range(10_000)])
    assert len(fleet.apply(many, "--dry-run=server").splitlines()) == here
    fleet.declare(devices())


def test_a_job_runs_once_and_again_when_its_declaration_changes(fleet: Fleet) -> None:
    def jobs() -> dict[str, bool]:
        found = fleet.get("jobs", "--namespace", NAMESPACE, "--selector=app.kubernetes.io/name=once")
        return {job["metadata"]["name"]: bool(job["status"].get("succeeded")) for job in found}

    eventually(lambda: all(jobs().values()), 60, "the first Job succeeds")
    (first,) = jobs()
    fleet.apply(fleet.declare(devices()))
    assert list(jobs()) == [first]
    fleet.apply(fleet.declare(devices(), word="second"))
    eventually(lambda: len(jobs()) == 2 and all(jobs().values()), 60, "another Job succeeds")
    (second,) = set(jobs()) - {first}
    assert fleet.kubectl("logs", f"job/{second}", "--namespace", NAMESPACE).strip() == "second"


def test_a_cron_agent_runs_at_its_tick(fleet: Fleet) -> None:
    def succeeded() -> bool:
        found = fleet.get("jobs", "--namespace", NAMESPACE, "--selector=app.kubernetes.io/name=ticks")
        return any(job["status"].get("succeeded") for job in found)

    eventually(succeeded, 90, "a Job of the CronJob succeeds")


def test_the_pods_go_with_the_fleet(fleet: Fleet) -> None:
    assert len(fleet.pods()) == DEVICES
    fleet.kubectl("delete", "deployment/watchdog-fleet", "podtemplate/watchdog", "--namespace", NAMESPACE)
    eventually(lambda: not fleet.pods(), 60, "no pod is left")
