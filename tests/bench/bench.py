"""How fast a preview is, measured against what no preview can do without. Run by `make bench`.

Side by side, each in a process of its own: a bare Python that imports pulumi_kubernetes and touches one class of each
API group that the stack uses, a preview of dev, previews of 100 and of 1,000 generated agents, and of a fleet of 10
and of 10,000 devices; and the policy pack over dev beside the same rules in-process. Prints medians and ratios; exits
with 1 if a bound is broken.
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

START_RATIO = 2.5
GROWTH_RATIO = 12.0
FLEET_RATIO = 2.0
MEMORY_MIB = 1024
PACK_RATIO = 2.0

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
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], cwd=PROJECT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(arguments)}: ended with {process.returncode}")
    kibibytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return Run(time.perf_counter() - start, kibibytes / 1024)


def side_by_side(times: int, *commands: list[str], fresh: pathlib.Path) -> list[tuple[float, float]]:
    """Run the commands in turn; return the median seconds and the most memory of each. The first round is warm-up."""
    rounds = [[run(*command, fresh=fresh) for command in commands] for _ in range(times + 1)][1:]
    return [
        (statistics.median(r.seconds for r in column), max(r.mebibytes for r in column))
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
    bare = ["-c", f"import pulumi_kubernetes as k; {'; '.join(f'k.{path}' for path in API_GROUPS.values())}"]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        out = folder / "out"
        preview = ["-m", "agentstack", "preview", "dev", "--out", str(out)]
        (bare_seconds, _), (dev_seconds, dev_memory) = side_by_side(runs, bare, preview, fresh=out)
        check_api_groups(out)
        pack = policy_pack.measure(out, min(runs, 3))
        generated = ["-m", "agentstack", "preview", "bench", "--out", str(out)]  # dev has a budget
        few, many = (generated + generate(folder / str(agents), agents) for agents in (100, 1000))
        (few_seconds, few_memory), (many_seconds, many_memory) = side_by_side(min(runs, 3), few, many, fresh=out)
        ten, all_devices = (generated + generate_fleet(folder / f"fleet-{n}", n) for n in (10, 10_000))
        (ten_seconds, _), (all_seconds, _) = side_by_side(runs, ten, all_devices, fresh=out)
    print(f"bare import of pulumi_kubernetes  {bare_seconds:7.2f} s")
    print(f"preview of dev                    {dev_seconds:7.2f} s  {dev_memory:6.0f} MiB")
    print(f"preview of   100 agents           {few_seconds:7.2f} s  {few_memory:6.0f} MiB")
    print(f"preview of 1,000 agents           {many_seconds:7.2f} s  {many_memory:6.0f} MiB")
    print(f"preview of     10 devices         {ten_seconds:7.2f} s")
    print(f"preview of 10,000 devices         {all_seconds:7.2f} s")
    print(f"policy pack over dev              {pack.start + pack.judging:7.2f} s, of which start {pack.start:.2f} s")
    print(f"the same rules in-process         {pack.in_process:7.2f} s")
    bounds = (
        ("dev / bare import", dev_seconds / bare_seconds, START_RATIO),
        ("1,000 agents / 100 agents", many_seconds / few_seconds, GROWTH_RATIO),
        ("10,000 devices / 10 devices", all_seconds / ten_seconds, FLEET_RATIO),
        ("MiB at 1,000 agents", many_memory, MEMORY_MIB),
        ("policy pack / rules in-process", pack.judging / pack.in_process, PACK_RATIO),
    )
    for label, value, bound in bounds:
        verdict = "ok" if value <= bound else "BROKEN"
        print(f"{label:<32}  {value:7.2f}  at most {bound:g}: {verdict}")
    return 1 if any(value > bound for _, value, bound in bounds) else 0


if __name__ == "__main__":
    sys.exit(main())
