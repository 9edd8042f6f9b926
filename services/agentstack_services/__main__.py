"""`python -m agentstack_services SERVICE`: start one of the five services."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Final

from agentstack_runtime.contract import ContractError, load
from agentstack_runtime.telemetry import configure_logging

SERVICES: Final = ("ingestion", "orchestrator", "executor", "state-manager", "learner")
USAGE_ERROR: Final = 2


def main(arguments: Sequence[str]) -> int:
    """Run the service that `arguments` names until SIGTERM; only its modules are imported.

    Returns:
        2 where the name or the environment is wrong. Else the process ends by itself: 0, or 1 after a crash.
    """
    if len(arguments) != 1 or arguments[0] not in SERVICES:
        print(f"usage: python -m agentstack_services {'|'.join(SERVICES)}", file=sys.stderr)
        return USAGE_ERROR
    try:
        contract = load()
        configure_logging(contract.agent_name, pod=contract.pod_name)
        module = importlib.import_module(f"agentstack_services.{arguments[0].replace('-', '_')}.main")
        process = module.build(contract)
    except ContractError as error:
        print(error, file=sys.stderr)
        return USAGE_ERROR
    process.main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
