"""How long the policy pack takes under the engine, measured against the same rules in-process.

The pack is started as the engine starts it, gets each object of a preview as the engine sends it, and then all of them
as the stack. The ratio leaves out the start of both, which is imports: what is left is the rules, which both run once
and from cold, and for the pack reading the requests and writing the answers. So it stays the same on a slow machine.
"""

from __future__ import annotations

import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PROJECT = pathlib.Path(__file__).parents[2]

# In a process of its own, as the pack is: what a rule reads first, such as the recorded metrics, it reads in both.
IN_PROCESS = """
import pathlib, sys, time, yaml
from policies.rules import evaluate
files = sorted(pathlib.Path(sys.argv[1]).rglob("*.yaml"))
objects = [o for file in files for o in yaml.load_all(file.read_text(), yaml.CSafeLoader)]
start = time.perf_counter()
evaluate(objects)
print(time.perf_counter() - start)
"""


@dataclass(frozen=True)
class Taken:
    """Seconds."""

    start: float
    """Until the pack serves."""
    judging: float
    """From the first object to the answer about the stack."""
    in_process: float
    """The same rules over the same objects, without start."""


def measure(manifests: pathlib.Path, runs: int) -> Taken:
    """Return the medians of both, run in turn, over the objects in a folder of YAML."""
    objects = _objects(manifests)
    rounds = [(*_pack(objects), _in_process(manifests)) for _ in range(runs)]
    return Taken(*map(statistics.median, zip(*rounds, strict=True)))


def _objects(manifests: pathlib.Path) -> list[Mapping[str, Any]]:
    import yaml

    files = sorted(manifests.rglob("*.yaml"))
    return [found for file in files for found in yaml.load_all(file.read_text(), yaml.CSafeLoader)]


def _in_process(manifests: pathlib.Path) -> float:
    command = [sys.executable, "-c", IN_PROCESS, str(manifests)]
    return float(subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout)


def _pack(objects: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    import grpc
    from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

    requests = [_fields(manifest) for manifest in objects]
    command = [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:1", str(PROJECT / "policies")]
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                stub = analyzer_pb2_grpc.AnalyzerStub(channel)
                grpc.channel_ready_future(channel).result(timeout=60)
                serving = time.perf_counter()
                for fields in requests:
                    stub.Analyze(analyzer_pb2.AnalyzeRequest(**fields), timeout=600)
                resources = [analyzer_pb2.AnalyzerResource(**fields) for fields in requests]
                stub.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=resources), timeout=600)
                end = time.perf_counter()
        finally:
            process.kill()
    return serving - start, end - serving


def _fields(manifest: Mapping[str, Any]) -> dict[str, Any]:
    from google.protobuf import struct_pb2

    properties = struct_pb2.Struct()
    properties.update(manifest)
    kind = f"kubernetes:{manifest['apiVersion']}:{manifest['kind']}"
    name = f"{manifest['metadata'].get('namespace', '')}-{manifest['metadata']['name']}"
    return {"type": kind, "urn": f"urn:pulumi:dev::p::{kind}::{name}", "name": name, "properties": properties}
