"""The controller of a fleet: one pod for each device of a list. Runs in the cluster, as the file it is, by the standard
library alone.

Every few seconds it compares what is wanted (the list in a ConfigMap, the template in a PodTemplate) with the pods that
there are, and makes and deletes what differs. It remembers nothing: a pod is named after its device, so that the API
server itself refuses a second one, and whoever is killed or runs twice does no harm.
"""

from __future__ import annotations

import hashlib
import http.client
import http.server
import json
import os
import signal
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEVICE = "agentstack.dev/device"
GENERATION = "agentstack.dev/template-generation"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PERIOD = 5
"""Seconds of watching between two comparisons."""
AT_ONCE = 500
"""Pods that are made or deleted in one round; between rounds it looks again."""
PAGE = 250
"""Pods of one page of a list, so that 10,000 are never in memory at once."""
STUCK = 120
"""Seconds without a round after which the process should be restarted."""
_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


@dataclass(frozen=True)
class Pod:
    """What matters of a pod."""

    name: str
    generation: str
    """The generation of the PodTemplate that it was made from."""
    ready: bool
    ended: bool
    """Failed, evicted or finished: it never comes back by itself."""
    leaving: bool
    """Deleted, and still in its grace period."""

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Pod:
        """Read a pod as the API gives it."""
        metadata, status = content["metadata"], content.get("status", {})
        conditions = {c["type"]: c["status"] for c in status.get("conditions") or []}
        return cls(
            name=metadata["name"],
            generation=(metadata.get("annotations") or {}).get(GENERATION, ""),
            ready=conditions.get("Ready") == "True",
            ended=status.get("phase") in ("Failed", "Succeeded"),
            leaving="deletionTimestamp" in metadata,
        )


@dataclass
class Plan:
    """What to do, and how far the fleet is."""

    create: list[str] = field(default_factory=list)
    """Devices without a pod."""
    delete: list[str] = field(default_factory=list)
    """Pods of devices that are gone, ended pods, and as many outdated ones as may be missing."""
    wanted: int = 0
    ready: int = 0
    """Devices with a ready pod."""
    outdated: int = 0
    """Devices with a pod of a former template."""
    max_unavailable: int = 0
    """Devices that may be without a ready pod."""
    surplus: int = 0
    """Pods of devices that are gone, and not told to end yet."""


def pod_name(fleet: str, device: str) -> str:
    """Return the name of a device's pod, for ever the same: ids may hold what names may not."""
    return f"{fleet}-{hashlib.sha256(device.encode()).hexdigest()[:16]}"


def plan(fleet: str, devices: Iterable[str], pods: Iterable[Pod], generation: str, max_unavailable: int) -> Plan:
    """Compare what is wanted with what there is. Pods that are as they should be are in no list."""
    wanted = {pod_name(fleet, device): device for device in devices}
    there = {pod.name: pod for pod in pods}
    kept = [pod for pod in there.values() if pod.name in wanted and not pod.leaving and not pod.ended]
    result = Plan(
        create=[device for name, device in wanted.items() if name not in there],
        delete=[pod.name for pod in there.values() if not pod.leaving and (pod.ended or pod.name not in wanted)],
        wanted=len(wanted),
        ready=sum(pod.ready for pod in kept),
        max_unavailable=max_unavailable,
        surplus=sum(pod.name not in wanted and not pod.leaving for pod in there.values()),
    )
    room = max_unavailable - (len(wanted) - result.ready)
    # Those that are not ready first: nobody misses them.
    for pod in sorted((pod for pod in kept if pod.generation != generation), key=lambda pod: (pod.ready, pod.name)):
        result.outdated += 1
        if pod.ready:
            room -= 1
        if not pod.ready or room >= 0:
            result.delete.append(pod.name)
    return result


def pod_of(fleet: str, device: str, template: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pod of a device: the PodTemplate's, with the device as DEVICE_ID and as a label."""
    metadata, spec = template["template"]["metadata"], template["template"]["spec"]
    first, *others = spec["containers"]
    # First of all variables, so that others, and the arguments, may refer to it: $(DEVICE_ID).
    first = {**first, "env": [{"name": "DEVICE_ID", "value": device}, *first.get("env", [])]}
    generation = str(template["metadata"]["generation"])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(fleet, device),
            "labels": {**metadata.get("labels", {}), DEVICE: device},
            "annotations": {**metadata.get("annotations", {}), GENERATION: generation},
            # The pods go with the PodTemplate, and `kubectl drain` sees that somebody makes them anew.
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "PodTemplate",
                    "name": template["metadata"]["name"],
                    "uid": template["metadata"]["uid"],
                    "controller": True,
                }
            ],
        },
        "spec": {**spec, "containers": [first, *others]},
    }


class ApiError(Exception):
    """The API server refused a request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """The API server, as the pod's own account."""

    def __init__(self, host: str, port: int, namespace: str) -> None:
        context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        # Python 3.13 asks for extensions that the certificate authorities of many clusters lack.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self._address, self._context = (host, port), context
        self._connection = self._connect()
        self._base = f"/api/v1/namespaces/{namespace}"

    def _connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(*self._address, timeout=60, context=self._context)

    def call(self, method: str, path: str, body: Any = None, accept: str = "application/json") -> Any:
        """Send a request on the one connection that is kept open; raise `ApiError` for an answer that is no 2xx."""
        headers = {"Accept": accept, "Authorization": f"Bearer {token()}", "Content-Type": "application/json"}
        try:
            self._connection.request(method, self._base + path, json.dumps(body) if body else None, headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            self._connection = self._connect()
            raise
        return _parsed(answer.status, content)

    def lines(self, path: str) -> Iterator[Any]:
        """Yield the events of a watch until the server ends it."""
        connection = self._connect()
        try:
            connection.request("GET", self._base + path, headers={"Authorization": f"Bearer {token()}"})
            answer = connection.getresponse()
            if answer.status != 200:
                _parsed(answer.status, answer.read())
            for line in answer:
                yield json.loads(line)
        finally:
            connection.close()


def token() -> str:
    """The account's token, which the kubelet renews in its file."""
    return (ACCOUNT / "token").read_text().strip()


def _parsed(status: int, content: bytes) -> Any:
    try:
        body = json.loads(content)
    except ValueError:
        body = {"message": content[:200].decode(errors="replace")}
    if status >= 300:
        raise ApiError(status, str(body.get("message")))
    return body


class Cached:
    """An object that is read again only when it has changed."""

    def __init__(self, api: Api, path: str) -> None:
        self._api, self._path = api, path
        self._revision = ""
        self._content: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        """Return the object as it is now."""
        version = self._api.call("GET", self._path, accept=_METADATA_ONLY)["metadata"]["resourceVersion"]
        if version != self._revision:
            self._content = self._api.call("GET", self._path)
            self._revision = self._content["metadata"]["resourceVersion"]
        return self._content


class Pods:
    """The fleet's pods, listed once and followed from there."""

    def __init__(self, api: Api, selector: str) -> None:
        self._api = api
        self._query = f"/pods?labelSelector={urllib.parse.quote(selector)}"
        self._revision = ""
        self.there: dict[str, Pod] = {}

    def follow(self, seconds: int) -> None:
        """Take in what happens in the next seconds; list them anew where that is not known any more."""
        if not self._revision:
            self._list()
            return
        path = f"{self._query}&watch=1&allowWatchBookmarks=true&resourceVersion={self._revision}"
        try:
            for event in self._api.lines(f"{path}&timeoutSeconds={seconds}"):
                self._take(event["type"], event["object"])
        except ApiError:
            self._revision = ""
            raise

    def _list(self) -> None:
        there: dict[str, Pod] = {}
        page = self._api.call("GET", f"{self._query}&limit={PAGE}")
        while True:
            there |= {pod["metadata"]["name"]: Pod.of(pod) for pod in page["items"]}
            more = page["metadata"].get("continue")
            if not more:
                break
            page = self._api.call("GET", f"{self._query}&limit={PAGE}&continue={urllib.parse.quote(more)}")
        self.there, self._revision = there, page["metadata"]["resourceVersion"]

    def _take(self, kind: str, content: Mapping[str, Any]) -> None:
        if kind == "ERROR":  # mostly 410: too long ago
            self._revision = ""
            return
        self._revision = content["metadata"]["resourceVersion"]
        name = content["metadata"].get("name", "")
        if kind == "DELETED":
            self.there.pop(name, None)
        elif kind != "BOOKMARK":
            self.there[name] = Pod.of(content)


class Controller:
    """The rounds, and what the probes and Prometheus learn of them."""

    def __init__(self, fleet: str, selector: str, max_unavailable_percent: int, api: Api) -> None:
        self._fleet = fleet
        self._percent = max_unavailable_percent
        self._api = api
        self._template = Cached(api, f"/podtemplates/{fleet}")
        self._list = Cached(api, f"/configmaps/{fleet}-fleet")
        self._pods = Pods(api, f"{selector},{DEVICE}")
        self.plan = Plan()
        self.whole = False
        """Whether every device that may not be missing has a ready pod of the template as it is now."""
        self.last_round = time.monotonic()
        self.last_success = 0.0
        """When a round was last done to its end, in seconds since 1970."""

    def round(self) -> None:
        """Watch for a while, compare, and change what differs."""
        self._pods.follow(PERIOD)
        template = self._template.read()
        devices = self._list.read()["data"]["devices"].split()
        if not devices:  # no declaration has none: whatever happened, it is no reason to delete a fleet
            raise ValueError(f"the ConfigMap {self._fleet}-fleet names no devices")
        missing = max(1, len(devices) * self._percent // 100)
        generation = str(template["metadata"]["generation"])
        self.plan = now = plan(self._fleet, devices, self._pods.there.values(), generation, missing)
        self.whole = not now.outdated and not now.surplus and now.wanted - now.ready <= missing
        if now.create or now.delete:
            say(
                f"{now.wanted} devices, {now.ready} ready, {now.outdated} outdated: making {_some(now.create)}, "
                f"deleting {_some(now.delete)}"
            )
        for name in now.delete[:AT_ONCE]:
            self._tolerating(404, "DELETE", f"/pods/{name}")
        for device in now.create[:AT_ONCE]:
            # 409: made already, which the watch has not told yet, or not gone yet.
            self._tolerating(409, "POST", "/pods", pod_of(self._fleet, device, template))
        self.last_success = time.time()

    def _tolerating(self, status: int, method: str, path: str, body: Any = None) -> None:
        try:
            self._api.call(method, path, body)
        except ApiError as error:
            if error.status != status:
                raise

    def metrics(self) -> str:
        """What Prometheus reads."""
        lines = []
        for name, meaning, value in (
            ("devices", "Devices of the fleet.", self.plan.wanted),
            ("devices_ready", "Devices with a ready pod.", self.plan.ready),
            ("devices_outdated", "Devices with a pod of a former template.", self.plan.outdated),
            ("devices_max_unavailable", "Devices that may be without a ready pod.", self.plan.max_unavailable),
            ("last_success_timestamp_seconds", "When a round was last done to its end.", self.last_success),
        ):
            metric = f"agentstack_fleet_{name}"
            lines += [f"# HELP {metric} {meaning}", f"# TYPE {metric} gauge"]
            lines.append(f'{metric}{{fleet="{self._fleet}"}} {value}')
        return "\n".join([*lines, ""])


def serve(controller: Controller, port: int) -> None:
    """Answer probes and Prometheus in the background."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            healthy = time.monotonic() - controller.last_round < STUCK
            answers = {
                "/healthz": (healthy, "ok\n"),
                "/ready": (controller.whole, f"{controller.plan.ready} of {controller.plan.wanted} ready\n"),
                "/metrics": (True, controller.metrics()),
            }
            good, text = answers.get(self.path, (False, "unknown\n"))
            self.send_response(200 if good else 503)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def say(text: str) -> None:
    """Write a line to the log."""
    print(text, flush=True)


def _some(names: Sequence[str]) -> str:
    shown = f" ({', '.join(names)})" if 0 < len(names) <= 10 else ""
    return f"{len(names)}{shown}"


def main() -> None:
    """Go round for ever; what fails is said, and tried again in the next round."""
    # The first process of a container has no default handlers.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
    api = Api(host, port, (ACCOUNT / "namespace").read_text().strip())
    percent = int(os.environ["MAX_UNAVAILABLE_PERCENT"])
    controller = Controller(os.environ["FLEET"], os.environ["SELECTOR"], percent, api)
    serve(controller, int(os.environ["PORT"]))
    while True:
        try:
            controller.round()
        except (ApiError, OSError, http.client.HTTPException, ValueError, KeyError) as error:
            say(f"not done: {type(error).__name__}: {error}: trying again")
            time.sleep(PERIOD)
        controller.last_round = time.monotonic()


if __name__ == "__main__":
    main()
