"""The executor's process."""

from __future__ import annotations

from agentstack_runtime.contract import Contract, watch
from agentstack_runtime.inference import model
from agentstack_runtime.lifecycle import Process
from agentstack_runtime.telemetry import get_logger
from agentstack_services.assembly import Service
from agentstack_services.workflows.model import AgentCall, CodeCall, HttpCall, ModelCall

from .service import Executor
from .steps.agent import AgentStep
from .steps.code import CodeStep, registered
from .steps.http import HttpStep
from .steps.model import ModelStep
from .steps.work import Kinds

log = get_logger(__name__)


def build(contract: Contract, service: Service | None = None) -> Process:
    """Return the process; `service` has other connections than the contract's.

    Raises:
        ContractError: something that it needs is missing.
    """
    service = service or Service.connect(contract)
    asks_models = ModelStep(model(contract) if contract.inference else None)
    asks_agents = AgentStep(contract.agents)
    calls_urls = HttpStep()
    calls_code = CodeStep(registered(), threads=contract.resilience.concurrency)
    kinds: Kinds = {ModelCall: asks_models, AgentCall: asks_agents, HttpCall: calls_urls, CodeCall: calls_code}
    executor = Executor(service.state, service.bus, kinds)
    consumer = service.consumer(executor.handle, on_dead_letter=executor.give_up)
    process = service.process(
        consumers=[consumer], finish=[asks_models.close, asks_agents.close, calls_urls.close, calls_code.close]
    )
    settings = contract.inference

    async def renew(renewed: Contract) -> None:
        nonlocal settings
        if renewed.inference != settings:
            settings = renewed.inference
            log.info("inference settings renewed", model=settings.model if settings else None)
            await asks_models.exchange(model(renewed) if settings else None)

    async def watching() -> None:
        await watch(renew, current=contract)

    process.task("settings", watching)
    return process
