"""The example of a program of one's own, and the programs in docs/python.md, run as they stand."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pulumi
import pytest

from agentstack.rendering.environment import Environment
from agentstack.rendering.manifests import Manifests
from agentstack.rendering.render import render as run_program
from policies.rules import evaluate

from .cli_program import write_project
from .conftest import Recorder

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "own-program" / "__main__.py"
DOCUMENTED = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)


def test_an_agent_without_yaml(render: Callable[[Callable[[], object]], Recorder]) -> None:
    def program() -> None:
        pulumi.runtime.set_config("agentstack:openaiApiKey", "sk")
        runpy.run_path(str(EXAMPLE), run_name="__main__")

    seen = render(program)
    assert ("HorizontalPodAutoscaler", "researcher") in seen.seen
    container = seen.seen["Deployment", "researcher"]["spec"]["template"]["spec"]["containers"][0]
    urls = [v["valueFrom"]["secretKeyRef"] for v in container["env"] if v["name"] == "REDIS_URL"]
    assert urls == [{"name": "managed-redis", "key": "url"}]
    egress = seen.seen["NetworkPolicy", "researcher"]["spec"]["egress"]
    assert len(egress) == 2
    assert egress[0]["to"] == [{"ipBlock": {"cidr": "10.20.0.0/16"}}]
    assert egress[0]["ports"][0]["port"] == 6380
    assert seen.seen["NetworkPolicy", "redis-preflight"]["spec"]["egress"] == egress[:1]
    assert ("Job", "redis-preflight") in seen.seen
    for name in ("research-default-deny", "research-allow-dns"):
        assert seen.seen["NetworkPolicy", name]["metadata"]["namespace"] == "research"
    assert list(seen.seen["Secret", "researcher"]["stringData"]["value"]) == ["OPENAI_API_KEY"]
    assert (
        seen.seen["Deployment", "researcher"]["spec"]["template"]["metadata"]["labels"]["agentstack.dev/pool"] == "spot"
    )


WHOLE = {("HorizontalPodAutoscaler", "researcher"), ("Ingress", "gateway"), ("StatefulSet", "redis")}
REDIS_ALONE = {("Deployment", "researcher"), ("StatefulSet", "redis")}


@pytest.mark.parametrize(("program", "expected"), [*zip(DOCUMENTED, (WHOLE, REDIS_ALONE), strict=True)])
def test_what_the_documentation_shows(program: str, expected: set[tuple[str, str]], tmp_path: Path) -> None:
    write_project(tmp_path, program)
    rendered = run_program(Environment.find(tmp_path, "dev"))
    found = {(item.inputs.get("kind"), item.name) for item in rendered.registrations}
    assert expected <= found
    assert rendered.warnings == []
    assert evaluate(manifest.object for manifest in Manifests.of(rendered.registrations).items) == []
