"""Ingestion's process."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from pydantic import AnyHttpUrl, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from agentstack_runtime.contract import Contract, ContractError
from agentstack_runtime.lifecycle import Process
from agentstack_services.assembly import Service, workflows

from .app import application
from .handler import Ingestion


class Settings(BaseSettings):
    """What ingestion reads beyond the contract; an agent's file sets it under `env`."""

    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True)

    public_url: AnyHttpUrl | None = None
    """Where clients find it, for the agent card; without it, the host that each of them asked."""
    default_workflow: str | None = Field(default=None, min_length=1)
    """The workflow of messages that name none; without it, they are refused."""
    send_wait_seconds: float = Field(default=0.0, ge=0, le=60)
    """How long `message:send` without `returnImmediately` waits for the end of the task; 0: it never does."""


def build(contract: Contract, service: Service | None = None) -> Process:
    """Return the process; `service` has other connections than the contract's.

    Raises:
        ContractError: something that it needs is missing or wrong.
    """
    settings = _settings()
    catalogue = workflows(contract)
    default = settings.default_workflow
    if default is not None and catalogue.lookup(default) is None:
        known = ", ".join(catalogue.names)
        raise ContractError([f"DEFAULT_WORKFLOW: there is no workflow {default}; known are: {known}"])
    service = service or Service.connect(contract)
    handler = Ingestion(
        service.state,
        service.bus,
        catalogue,
        default_workflow=default,
        wait=settings.send_wait_seconds,
        request_timeout=contract.resilience.request_timeout.total_seconds(),
    )
    app = application(
        handler,
        catalogue,
        name=contract.agent_name,
        version=_version(),
        queue_bound=contract.resilience.queue_bound,
        public_url=str(settings.public_url) if settings.public_url else None,
        default_workflow=default,
    )
    process = service.process(app=app, finish=[handler.stop])
    process.task("workflows", catalogue.watch)
    return process


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        problems = [f"{str(mistake['loc'][0]).upper()}: {mistake['msg']}" for mistake in error.errors()]
        raise ContractError(problems) from None


def _version() -> str:
    try:
        return version("agentstack-services")
    except PackageNotFoundError:  # Run from a checkout.
        return "0.0.0"
