"""The orchestrator's process."""

from __future__ import annotations

from agentstack_runtime.contract import Contract
from agentstack_runtime.lifecycle import Process
from agentstack_services.assembly import Service

from .service import Orchestrator


def build(contract: Contract, service: Service | None = None) -> Process:
    """Return the process; `service` has other connections than the contract's.

    Raises:
        ContractError: something that it needs is missing.
    """
    service = service or Service.connect(contract)
    orchestrator = Orchestrator(service.state, service.bus)
    consumer = service.consumer(orchestrator.handle, on_dead_letter=orchestrator.give_up)
    return service.process(consumers=[consumer])
