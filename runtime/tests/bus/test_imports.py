"""The room costs no Kafka client until somebody asks for one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_client_is_imported_with_its_bus_alone() -> None:
    asked = "import sys, agentstack_runtime.bus, agentstack_runtime.bus.memory, agentstack_runtime.events;"
    asked += "print([name for name in ('confluent_kafka', 'pydantic', 'redis') if name in sys.modules])"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", asked], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
