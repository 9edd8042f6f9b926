"""The example of a program of one's own runs as it stands."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

from .conftest import Recorder

EXAMPLE = Path(__file__).parents[2] / "examples" / "own-program" / "__main__.py"


def test_an_agent_without_yaml(render: Callable[[Callable[[], object]], Recorder]) -> None:
    def program() -> None:
        runpy.run_path(str(EXAMPLE), run_name="__main__")

    seen = render(program)
    assert ("HorizontalPodAutoscaler", "researcher") in seen.seen
    container = seen.seen["Deployment", "researcher"]["spec"]["template"]["spec"]["containers"][0]
    urls = [v["valueFrom"]["secretKeyRef"] for v in container["env"] if v["name"] == "REDIS_URL"]
    assert urls == [{"name": "managed-redis", "key": "url"}]
    egress = seen.seen["NetworkPolicy", "researcher"]["spec"]["egress"]
    assert egress[0]["to"] == [{"ipBlock": {"cidr": "10.20.0.0/16"}}]
    assert egress[0]["ports"][0]["port"] == 6380
    assert seen.seen["NetworkPolicy", "redis-preflight"]["spec"]["egress"] == egress
    assert ("Job", "redis-preflight") in seen.seen
