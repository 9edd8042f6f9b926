"""The learner's process."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from agentstack_runtime.contract import Contract
from agentstack_runtime.lifecycle import Process
from agentstack_services.assembly import Service

from .service import Learner
from .views import Metrics, application

PREFIX: Final = "rates"
"""What its keys in Redis begin with; `redisKeys` in its file says the same."""
KEPT: Final = timedelta(days=30)
"""How long the rates of a workflow that nobody runs are kept."""


def build(contract: Contract, service: Service | None = None) -> Process:
    """Return the process; `service` has other connections than the contract's.

    Raises:
        ContractError: something that it needs is missing.
    """
    service = service or Service.connect(contract, prefix=PREFIX, ttl=KEPT)
    learner = Learner(service.state)
    consumer = service.consumer(learner.handle)
    process = service.process(app=application(learner), consumers=[consumer])
    process.task("metrics", Metrics(learner).run)
    return process
