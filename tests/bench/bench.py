"""How fast a preview, a diff and a check are, each measured against what it cannot do without. Run by `make bench`.

Side by side, each in a process of its own: a bare Python that imports pulumi_kubernetes and touches one class of each
API group that the stack uses, and a preview of dev; the SDK registering as many plain objects as 100 and 1,000 agents
have (bare_sdk.py), and previews of those agents; previews of a fleet of 10 and of 10,000 devices; a diff of dev with
its own commit; a check of 1,000 and of 4,000 objects of others; and the policy pack over dev beside the same rules
in-process. Prints medians and ratios; exits with 1 if a bound is broken.

Every process writes and reads compiled code in a folder of the benchmark's own, so that the first round, which is
warm-up, leaves all of them with the same.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import policy_pack

PROJECT = pathlib.Path(__file__).parents[2]
BARE_SDK = pathlib.Path(__file__).with_name("bare_sdk.py")

# One class of each API group that the manifests of dev use, by its apiVersion.
API_GROUPS = {
    "apps/v1": "apps.v1.Deployment",
    "autoscaling/v2": "autoscaling.v2.HorizontalPodAutoscaler",
    "batch/v1": "batch.v1.Job",
    "networking.k8s.io/v1": "networking.v1.NetworkPolicy",
    "policy/v1": "policy.v1.PodDisruptionBudget",
    "rbac.authorization.k8s.io/v1": "rbac.v1.ClusterRole",
    "v1": "core.v1.Service",
}

START_RATIO = 2.0
AGENTS_RATIO = 2.2
FLEET_RATIO = 1.1
DIFF_RATIO = 2.2
CHECK_RATIO = 4.4
PACK_RATIO = 2.0
MEMORY_MIB = 600
MARGIN = 1.05
"""By how much the ratio of 1,000 agents may be above that of 100: two runs of one command differ by as much."""

AGENT = """\
name: agent-{number:04}
image: ghcr.io/agentstack/agent:1.0.0
scaling: {{min: 1, max: 4, memory: 80}}
secrets:
  OPENAI_API_KEY: {{required: false}}
uses: [redis]
consumes: [tasks]
produces: [results]
calls: [agent-{called:04}]
egress:
  - {{host: api.openai.com}}
"""

FLEET = """\
name: watchdog
kind: fleet
image: ghcr.io/agentstack/watchdog:1.0.0
fleet: {file: devices.csv}
"""


FOREIGN = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: app-{n}, namespace: team-{team}, labels: {{app: app-{n}}}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: app-{n}}}}}
  template:
    metadata: {{labels: {{app: app-{n}}}}}
    spec:
      containers:
        - name: app
          image: registry.example/app:1.0.0
          ports: [{{name: http, containerPort: 8080}}]
          env: [{{name: UPSTREAM_URL, value: "http://app-{other}"}}]
---
apiVersion: v1
kind: Service
metadata: {{name: app-{n}, namespace: team-{team}}}
spec: {{selector: {{app: app-{n}}}, ports: [{{port: 80, targetPort: http}}]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: app-{n}, namespace: team-{team}}}
spec:
  podSelector: {{matchLabels: {{app: app-{n}}}}}
  policyTypes: [Ingress]
  ingress: [{{from: [{{podSelector: {{}}}}], ports: [{{port: 8080}}]}}]
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: app-{n}, namespace: team-{team}}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: app-{n}}}
  minReplicas: 2
  maxReplicas: 6
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: app-{n}, namespace: team-{team}}}
spec: {{maxUnavailable: 1, selector: {{matchLabels: {{app: app-{n}}}}}}}
"""
TEAMS = 4


@dataclass(frozen=True)
class Run:
    """One finished process."""

    seconds: float
    mebibytes: float
    """The most memory that it had at one time."""


def run(*arguments: str, fresh: pathlib.Path) -> Run:
    """Run Python in the project's folder and wait for its end; a failure ends the benchmark.

    `fresh` is removed beforehand: the first preview is what counts, and it writes everything.
    """
    shutil.rmtree(fresh, ignore_errors=True)
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    variables["PYTHONPYCACHEPREFIX"] = str(fresh.parent / "compiled")
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], cwd=PROJECT, env=variables, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in ((0, 1) if "check" in arguments else (0,)):  # 1: it found something
        sys.exit(f"{' '.join(arguments)}: ended with {process.returncode}")
    kibibytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return Run(time.perf_counter() - start, kibibytes / 1024)


def side_by_side(times: int, *commands: list[str], fresh: pathlib.Path) -> list[Run]:
    """Run the commands in turn; return the median seconds and the most memory of each. The first round is warm-up."""
    rounds = [[run(*command, fresh=fresh) for command in commands] for _ in range(times + 1)][1:]
    return [
        Run(statistics.median(r.seconds for r in column), max(r.mebibytes for r in column))
        for column in zip(*rounds, strict=True)
    ]


def generate(folder: pathlib.Path, agents: int) -> list[str]:
    """Write that many agents and an environment with room for them; return the options that name them."""
    (folder / "agents").mkdir(parents=True)
    for number in range(agents):
        text = AGENT.format(number=number, called=(number + 1) % agents)
        (folder / "agents" / f"agent-{number:04}.yaml").write_text(text)
    return with_room(folder)


def generate_fleet(folder: pathlib.Path, devices: int) -> list[str]:
    """Write one agent that watches that many devices, from a file; return the options that name it."""
    (folder / "agents").mkdir(parents=True)
    (folder / "agents" / "watchdog.yaml").write_text(FLEET)
    (folder / "agents" / "devices.csv").write_text("deviceId\n" + "".join(f"device-{n}\n" for n in range(devices)))
    return with_room(folder)


def generate_foreign(folder: pathlib.Path, objects: int) -> str:
    """Write so many objects of others, a file for each application; return the folder."""
    folder.mkdir()
    applications = objects // len(FOREIGN.split("---"))
    for n in range(applications):
        other = (n + TEAMS) % applications
        (folder / f"app-{n}.yaml").write_text(FOREIGN.format(n=n, team=n % TEAMS, other=other))
    return str(folder)


def with_room(folder: pathlib.Path) -> list[str]:
    """Write an environment that the agents in `folder` fit into; return the options that name both."""
    import yaml

    stack = yaml.safe_load((PROJECT / "Pulumi.dev.yaml").read_text())
    stack["config"]["agentstack:agents"] = {}
    room = {"cpu": "10000", "memory": "10000Gi"}
    stack["config"]["agentstack:namespaces"]["agents"] = {"quota": {"requests": room, "limits": room, "pods": 20000}}
    (folder / "stack.yaml").write_text(yaml.safe_dump(stack))
    return ["--agents", str(folder / "agents"), "--settings", str(folder / "stack.yaml")]


def check_api_groups(manifests: pathlib.Path) -> None:
    """Exit unless the bare import touches exactly what the stack uses."""
    lines = (path.read_text().partition("\n")[0] for path in manifests.rglob("*.yaml"))
    used = {line.removeprefix("apiVersion: ") for line in lines}
    if used != set(API_GROUPS):
        sys.exit(f"API_GROUPS is not what dev uses: {', '.join(sorted(used ^ set(API_GROUPS)))}")


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="runs of the short commands; the long ones get 3 at most")
    runs = parser.parse_args().runs
    program = ["-m", "agentstack"]
    bare_import = ["-c", f"import pulumi_kubernetes as k; {'; '.join(f'k.{path}' for path in API_GROUPS.values())}"]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        out = folder / "out"
        preview = [*program, "preview", "dev", "--out", str(out)]
        diff = [*program, "diff", "dev", "--base", "HEAD"]
        bare, dev, changed = side_by_side(runs, bare_import, preview, diff, fresh=out)
        run(*preview, fresh=out)
        check_api_groups(out)
        pack = policy_pack.measure(out, min(runs, 3))
        generated = [*program, "preview", "bench", "--out", str(out)]  # dev has a budget
        few, many, bare_few, bare_many = side_by_side(
            min(runs, 3),
            *(generated + generate(folder / str(agents), agents) for agents in (100, 1000)),
            *([str(BARE_SDK), str(agents)] for agents in (100, 1000)),
            fresh=out,
        )
        fleets = (generated + generate_fleet(folder / f"fleet-{n}", n) for n in (10, 10_000))
        ten, all_devices = side_by_side(runs, *fleets, fresh=out)
        folders = (generate_foreign(folder / f"foreign-{n}", n) for n in (1000, 4000))
        some, four_times = side_by_side(min(runs, 3), *([*program, "check", name] for name in folders), fresh=out)
    measured = {
        "bare import of pulumi_kubernetes": bare,
        "preview of dev": dev,
        "diff of dev": changed,
        "bare SDK, objects of   100 agents": bare_few,
        "bare SDK, objects of 1,000 agents": bare_many,
        "preview of   100 agents": few,
        "preview of 1,000 agents": many,
        "preview of     10 devices": ten,
        "preview of 10,000 devices": all_devices,
        "check of 1,000 objects": some,
        "check of 4,000 objects": four_times,
    }
    for label, one in measured.items():
        print(f"{label:<34}  {one.seconds:7.2f} s  {one.mebibytes:6.0f} MiB")
    print(f"{'policy pack over dev':<34}  {pack.start + pack.judging:7.2f} s, of which start {pack.start:.2f} s")
    print(f"{'the same rules in-process':<34}  {pack.in_process:7.2f} s")
    ratio, ratio_of_few = many.seconds / bare_many.seconds, few.seconds / bare_few.seconds
    bounds = (
        ("dev / bare import", dev.seconds / bare.seconds, START_RATIO),
        ("1,000 agents / bare SDK", ratio, AGENTS_RATIO),
        ("the same / that of 100 agents", ratio / ratio_of_few, MARGIN),
        ("10,000 devices / 10 devices", all_devices.seconds / ten.seconds, FLEET_RATIO),
        ("diff of dev / preview of dev", changed.seconds / dev.seconds, DIFF_RATIO),
        ("check of 4,000 / 1,000 objects", four_times.seconds / some.seconds, CHECK_RATIO),
        ("policy pack / rules in-process", pack.judging / pack.in_process, PACK_RATIO),
        ("MiB at 1,000 agents", many.mebibytes, MEMORY_MIB),
    )
    for label, value, bound in bounds:
        verdict = "ok" if value <= bound else "BROKEN"
        print(f"{label:<34}  {value:7.2f}  at most {bound:g}: {verdict}")
    return 1 if any(value > bound for _, value, bound in bounds) else 0


if __name__ == "__main__":
    sys.exit(main())
