"""The contract as an agent reads it. Times are timedeltas; the variables behind them are seconds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

Backend = Literal["openai", "azure", "vllm", "ollama", "onnx", "echo"]
Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
"""What Kafka's clients call `security.protocol`."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Redis(_Frozen):
    """How to reach Redis, as the agent's own user."""

    url: SecretStr
    host: str
    port: int
    ca_file: Path | None = None
    """The authority of its certificate, with TLS."""
    conversation_ttl: timedelta = timedelta(hours=24)
    """From the last message."""
    checkpoint_ttl: timedelta = timedelta(hours=72)


class Kafka(_Frozen):
    """How to reach Kafka, as the agent's own user."""

    bootstrap_servers: str
    """HOST:PORT, by commas."""
    security_protocol: Protocol = "PLAINTEXT"
    sasl_mechanism: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = None
    client_rack: str | None = None
    """The zone of the pod's node."""
    consume_topics: tuple[str, ...] = ()
    produce_topics: tuple[str, ...] = ()
    consumer_group: str | None = None


class Inference(_Frozen):
    """What answers model calls."""

    backend: Backend
    model: str
    endpoint: str | None = None
    base_url: str | None = None
    """The endpoint as OpenAI's SDK takes it: of openai, vllm and ollama."""
    api_key: SecretStr | None = None
    """Of the backend that is chosen."""
    api_version: str | None = None
    """Of Azure's API."""


class Retries(_Frozen):
    """More attempts after a failed one."""

    max: int = Field(default=3, ge=0)
    """Attempts after the first."""
    backoff: timedelta = timedelta(seconds=1)
    """The wait before the first of them; it doubles. Add jitter."""
    max_backoff: timedelta = timedelta(seconds=30)


class CircuitBreaker(_Frozen):
    """Stops calls of a dependency that keeps failing."""

    failures: int = Field(default=5, ge=1)
    """Failures within the window that open it."""
    window: timedelta = timedelta(minutes=1)
    cooldown: timedelta = timedelta(seconds=30)
    """How long it stays open until one call tries again."""


class Resilience(_Frozen):
    """How much a pod takes on, and when it gives up. These defaults hold where the agent's file says nothing."""

    concurrency: int = Field(default=8, ge=1)
    queue_bound: int = Field(default=64, ge=1)
    """Tasks held, those that are worked on included: beyond it answer 503, or stop polling."""
    request_timeout: timedelta = timedelta(minutes=1)
    retries: Retries = Retries()
    circuit_breaker: CircuitBreaker | None = CircuitBreaker()
    longest_task: timedelta = timedelta(seconds=30)
    """How long work in flight has after SIGTERM."""


class Contract(_Frozen):
    """All of it. A part that the agent's file does not ask for is None."""

    agent_name: str
    pod_name: str
    port: int = 8080
    metrics_port: int = 8080
    redis: Redis | None = None
    kafka: Kafka | None = None
    inference: Inference | None = None
    resilience: Resilience = Resilience()
    agents: Mapping[str, str] = {}
    """The URL of each agent that may be called, by its name."""
    workflows_dir: Path | None = None
    device: str | None = None
    """What a pod of a fleet is for."""
