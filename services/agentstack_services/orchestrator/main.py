"""The orchestrator's process."""

from __future__ import annotations

from agentstack_runtime.contract import Contract
from agentstack_runtime.lifecycle import Process
from agentstack_services.assembly import Service, workflows

from .service import Orchestrator


def build(contract: Contract, service: Service | None = None) -> Process:
    """Return the process; `service` has other connections than the contract's.

    Raises:
        ContractError: something that it needs is missing.
    """
    catalogue = workflows(contract)
    service = service or Service.connect(contract)
    orchestrator = Orchestrator(service.state, service.bus, catalogue.lookup)
    consumer = service.consumer(orchestrator.handle, on_dead_letter=orchestrator.give_up)
    process = service.process(consumers=[consumer])
    process.task("workflows", catalogue.watch)
    return process
