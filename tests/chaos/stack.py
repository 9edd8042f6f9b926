"""A stack in namespaces of its own, the load on it, and the ways to break it: all that needs kubectl."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
import yaml
from cryptography.hazmat.primitives import serialization

from .outcome import Outcome

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
DATA, AGENTS, COLLECTORS, _ = NAMESPACES = (
    "chaos-data",
    "chaos-agents",
    "chaos-collectors",
    "chaos-observability",
)


TLS = "chaos-tls"
"""The Secrets with certificates that the settings files name."""


def kubectl(*arguments: str, given: str | None = None, check: bool = True, timeout: float = 300) -> str:
    """Run kubectl and return what it prints; AssertionError if it fails, unless `check` is False."""
    command = ["kubectl", *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"kubectl {' '.join(arguments)[:200]} exited with {done.returncode}: {done.stderr}")
    return done.stdout


def get(kind: str, namespace: str, *arguments: str) -> list[dict[str, Any]]:
    """Return the objects of a kind."""
    said = kubectl("get", kind, "--namespace", namespace, *arguments, "--output=json")
    items: list[dict[str, Any]] = json.loads(said)["items"]
    return items


def eventually(condition: Callable[[], Any], seconds: float, what: str) -> float:
    """Return the seconds until the condition held; AssertionError if it did not in time."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.5)
    return time.monotonic() - start


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the leaves of `changes`."""
    both = {**base, **changes}
    for key in base.keys() & changes.keys():
        if isinstance(base[key], Mapping) and isinstance(changes[key], Mapping):
            both[key] = merged(base[key], changes[key])
    return both


@dataclass
class Stack:
    """A stack from one of the settings files here, in the namespaces `chaos-*`."""

    settings: dict[str, Any]
    load: str
    """The agent whose Deployment, with other commands, makes the load."""
    build: Path
    """Where its manifests are written."""
    certified: tuple[str, ...]
    """The names that its server's certificate is for."""

    def apply(self, changes: Mapping[str, Any] | None = None) -> None:
        """Deploy the settings, with `changes` below `agentstack:`; only data and load, nothing that is cluster-wide."""
        changed = {f"agentstack:{section}": values for section, values in (changes or {}).items()}
        self.settings = {"config": merged(self.settings["config"], changed)}
        file = self.build.with_suffix(".yaml")
        file.write_text(yaml.safe_dump(self.settings))
        arguments = ["--settings", file, "--agents", HERE / "agents", "--out", self.build, "--with-dev-secrets"]
        command = [sys.executable, "-m", "agentstack", "preview", "chaos", *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        files = sorted(self.build.rglob("*.yaml"))
        objects = [item for file in files for item in yaml.safe_load_all(file.read_text())]
        chosen = [o for o in objects if o["kind"] == "Namespace" or o["metadata"].get("namespace") in (DATA, AGENTS)]
        if TLS not in {secret["metadata"]["name"] for secret in get("secrets", DATA)}:
            chosen[len(NAMESPACES) : len(NAMESPACES)] = certificates(self.certified)
        kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", given=yaml.safe_dump_all(chosen))

    @contextmanager
    def under_load(self, outcome: Outcome, *arguments: str) -> Iterator[None]:
        """Write while the body breaks things; then count what was acknowledged and what of it is there."""
        pod = self._load_pod(*arguments)
        name = pod["metadata"]["name"]
        here = (f"--namespace={AGENTS}", f"pod/{name}")
        kubectl("delete", *here, "--ignore-not-found", "--grace-period=1")
        kubectl("create", "--filename=-", given=json.dumps(pod))
        try:
            kubectl("wait", *here, "--for=condition=Ready", "--timeout=120s")
            yield
            time.sleep(5)  # the load goes on a little in calm weather
            kubectl("exec", *here[:1], name, "--", "touch", "/tmp/stop", "/tmp/read")
            kubectl("wait", *here, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=240s")
        except BaseException:
            print(kubectl("logs", *here, "--tail=50", check=False))
            raise
        outcome.read(kubectl("logs", *here))

    def _load_pod(self, *arguments: str) -> dict[str, Any]:
        """The load's agent as deployed (its labels, environment, Secrets), with another command and no probes."""
        deployment = json.loads(kubectl("get", f"deployment/{self.load}", f"--namespace={AGENTS}", "--output=json"))
        template = deployment["spec"]["template"]
        spec = template["spec"]
        container = spec["containers"][0]
        for key in ("startupProbe", "livenessProbe", "lifecycle"):
            container.pop(key, None)
        container["image"] = self.image
        container["command"] = ["sh", "-c", (HERE / f"{self.load}.sh").read_text(), self.load]
        container["args"] = list(arguments)
        container["readinessProbe"] = {"exec": {"command": ["test", "-e", "/tmp/started"]}, "periodSeconds": 1}
        spec |= {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1}
        metadata = {
            "name": self.load,
            "namespace": AGENTS,
            "labels": template["metadata"]["labels"],
        }
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    @property
    def image(self) -> str:
        """The image of the data pods: the only one that is needed."""
        images = [s["spec"]["template"]["spec"]["containers"][0]["image"] for s in get("statefulsets", DATA)]
        return str(images[0])


def certificates(names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Secrets with a certificate for these names in the data namespace, and the authority's alone in the agents'."""
    authority = trustme.CA()
    issued = authority.issue_cert(*names)
    trust = {"ca.crt": authority.cert_pem.bytes().decode()}
    chain = "".join(part.bytes().decode() for part in issued.cert_chain_pems)
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), password=None)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    own = trust | {"tls.crt": chain, "tls.key": key.private_bytes(*form).decode()}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": TLS, "namespace": namespace}, "stringData": data}
        for namespace, data in ((DATA, own), (AGENTS, trust))
    ]


def ready(workload: str) -> bool:
    """Whether all pods of a StatefulSet or Deployment such as `statefulset/redis` are there, current and ready."""
    found = json.loads(kubectl("get", workload, f"--namespace={DATA}", "--output=json"))
    status = found["status"]
    return bool(
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("readyReplicas", 0) == status.get("updatedReplicas", 0) == found["spec"]["replicas"]
    )


def delete_pods(*names: str, force: bool = False) -> None:
    """Delete pods of the data namespace together, and return at once."""
    forced = ("--grace-period=0", "--force") if force else ()
    kubectl("delete", "pods", f"--namespace={DATA}", "--wait=false", *forced, *names)


def signal(pod: str, name: str) -> None:
    """Send a signal such as KILL to all processes of a pod's first container, as the kernel does when memory runs out.

    Processes inside cannot do that to the first of them: a privileged pod on its node does.
    """
    victim = json.loads(kubectl("get", f"pod/{pod}", f"--namespace={DATA}", "--output=json"))
    container = victim["spec"]["containers"][0]
    states = {state["name"]: state for state in victim["status"]["containerStatuses"]}
    identity = states[container["name"]]["containerID"].rpartition("/")[2]
    find = f"grep -l {identity} /proc/[0-9]*/cgroup 2>/dev/null | cut -d/ -f3"
    killer = _killer(victim["spec"]["nodeName"], container["image"])
    kubectl("exec", f"--namespace={COLLECTORS}", killer, "--", "sh", "-c", f"kill -{name} $({find})")


def _killer(node: str, image: str) -> str:
    name = f"killer-{node}"
    root = {"runAsUser": 0, "privileged": True}
    resources = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
    command = ["sh", "-c", "trap exit TERM; while :; do sleep 1; done"]
    container = {"name": "sh", "image": image, "command": command, "securityContext": root, "resources": resources}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": COLLECTORS},
        "spec": {"nodeName": node, "hostPID": True, "containers": [container], "tolerations": [{"operator": "Exists"}]},
    }
    kubectl("apply", "--filename=-", given=json.dumps(pod))
    kubectl("wait", f"--namespace={COLLECTORS}", f"pod/{name}", "--for=condition=Ready", "--timeout=120s")
    return name


@contextmanager
def namespaces(*, keep: bool) -> Iterator[None]:
    """No namespace `chaos-*` before, since a run that was killed may have left some, and none after unless `keep`."""

    def remove() -> None:
        # Brokers that all go at once would wait five minutes for each other's copies: they are killed, and nothing may
        # make new ones before the namespace ends.
        kubectl("delete", "statefulsets", "--all", f"--namespace={DATA}", "--ignore-not-found", "--cascade=orphan")
        delete_pods("--all", "--ignore-not-found", force=True)
        kubectl("delete", "namespaces", *NAMESPACES, "--ignore-not-found", "--timeout=240s")

    remove()
    try:
        yield
    finally:
        if not keep:
            remove()
