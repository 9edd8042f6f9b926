"""From variables and files to the contract, or to one line for each mistake."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from .model import Backend, CircuitBreaker, Contract, Inference, Kafka, Redis, Resilience, Retries
from .variables import VARIABLES

CONFIG: Final = Path("/etc/agent/config")
"""Where variables are files, with `reload: file`."""
SECRETS: Final = Path("/etc/agent/secrets")
"""Where secrets are."""
_AGENT_URL: Final = "AGENT_URL_"

_Port = Annotated[int, Field(ge=1, le=65535)]
_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0)]
_Some = Annotated[int, Field(ge=1)]
_Text = Annotated[str, Field(min_length=1)]


class ContractError(Exception):
    """What the stack injected does not add up. Its text is one line a mistake; no value of a variable is in it."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class _Variables(BaseModel):
    """The variables as they are: flat, and each by its own name."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    AGENT_NAME: _Text
    POD_NAME: str = ""
    PORT: _Port = 8080
    METRICS_PORT: _Port | None = None
    LONGEST_TASK_SECONDS: _Seconds = 30
    REDIS_URL: SecretStr | None = None
    REDIS_HOST: _Text | None = None
    REDIS_PORT: _Port = 6379
    REDIS_CA_FILE: Path | None = None
    CONVERSATION_TTL_SECONDS: _Seconds = 86_400
    CHECKPOINT_TTL_SECONDS: _Seconds = 259_200
    KAFKA_BOOTSTRAP_SERVERS: _Text | None = None
    KAFKA_SECURITY_PROTOCOL: str = "PLAINTEXT"
    KAFKA_SASL_MECHANISM: str | None = None
    KAFKA_USERNAME: str | None = None
    KAFKA_PASSWORD: SecretStr | None = None
    KAFKA_CA_FILE: Path | None = None
    KAFKA_CLIENT_RACK: str | None = None
    KAFKA_CONSUMER_GROUP: str | None = None
    KAFKA_CONSUME_TOPICS: str = ""
    KAFKA_PRODUCE_TOPICS: str = ""
    INFERENCE_BACKEND: Backend | None = None
    INFERENCE_MODEL: str | None = None
    INFERENCE_ENDPOINT: str | None = None
    OPENAI_BASE_URL: str | None = None
    OPENAI_API_KEY: SecretStr | None = None
    OPENAI_API_VERSION: str | None = None
    AZURE_OPENAI_ENDPOINT: str | None = None
    AZURE_OPENAI_API_KEY: SecretStr | None = None
    OLLAMA_HOST: str | None = None
    CONCURRENCY: _Some = 8
    QUEUE_BOUND: _Some = 64
    REQUEST_TIMEOUT_SECONDS: _Seconds = 60
    RETRY_MAX: _Count = 3
    RETRY_BACKOFF_SECONDS: _Seconds = 1
    RETRY_MAX_BACKOFF_SECONDS: _Seconds = 30
    CIRCUIT_BREAKER_FAILURES: _Some | None = None
    CIRCUIT_BREAKER_WINDOW_SECONDS: _Seconds = 60
    CIRCUIT_BREAKER_COOLDOWN_SECONDS: _Seconds = 30
    WORKFLOWS_DIR: Path | None = None
    DEVICE_ID: str | None = None


def load(environ: Mapping[str, str] = os.environ, *, config: Path = CONFIG, secrets: Path = SECRETS) -> Contract:
    """Return the contract of this process. What is fixed comes from the environment, of the rest a file wins.

    Raises:
        ContractError: something is missing or wrong; all of it is named.
    """
    values = dict(environ) | _files(config) | _files(secrets)
    values |= {name: environ[name] for name, variable in VARIABLES.items() if variable.fixed and name in environ}
    # A variable of an optional Secret that is not there is absent; an empty one means the same.
    given = {name: value for name, value in values.items() if value != ""}
    problems: list[str] = []
    try:
        variables = _Variables.model_validate(given)
    except ValidationError as error:
        raise ContractError(_problems(error)) from None
    contract: dict[str, Any] = {
        "agent_name": variables.AGENT_NAME,
        "pod_name": variables.POD_NAME or variables.AGENT_NAME,
        "port": variables.PORT,
        "metrics_port": variables.METRICS_PORT or variables.PORT,
        "resilience": _resilience(variables, "CONCURRENCY" in given),
        "agents": _agents(given),
        "workflows_dir": variables.WORKFLOWS_DIR,
        "device": variables.DEVICE_ID,
    }
    for name, part in (("redis", _redis), ("kafka", _kafka), ("inference", _inference)):
        contract[name] = _part(part, variables, problems)
    if problems:
        raise ContractError(problems)
    return Contract(**contract)


def _files(folder: Path) -> dict[str, str]:
    """Return the content of each file by its name. The kubelet's own (`..data`) are no variables."""
    if not folder.is_dir():
        return {}
    return {
        file.name: file.read_text(encoding="utf-8").rstrip("\n")
        for file in sorted(folder.iterdir())
        if not file.name.startswith("..") and file.is_file()
    }


def _part(
    make: Callable[[_Variables], BaseModel | str | None], variables: _Variables, problems: list[str]
) -> BaseModel | None:
    try:
        made = make(variables)
    except ValidationError as error:
        problems += _problems(error)
        return None
    if isinstance(made, str):
        problems.append(made)
        return None
    return made


def _redis(given: _Variables) -> Redis | str | None:
    if given.REDIS_URL is None:
        return (
            "REDIS_URL: is missing, though REDIS_HOST is there; give the Secret that has it"
            if given.REDIS_HOST
            else None
        )
    if not given.REDIS_URL.get_secret_value().startswith(("redis://", "rediss://")):
        return "REDIS_URL: is no URL of Redis; it begins with redis:// or rediss://"
    if given.REDIS_CA_FILE is not None and not given.REDIS_CA_FILE.is_file():
        return "REDIS_CA_FILE: there is no such file; mount the authority's certificate there"
    return Redis(
        url=given.REDIS_URL,
        host=given.REDIS_HOST or "localhost",
        port=given.REDIS_PORT,
        ca_file=given.REDIS_CA_FILE,
        conversation_ttl=timedelta(seconds=given.CONVERSATION_TTL_SECONDS),
        checkpoint_ttl=timedelta(seconds=given.CHECKPOINT_TTL_SECONDS),
    )


def _kafka(given: _Variables) -> Kafka | str | None:
    if given.KAFKA_BOOTSTRAP_SERVERS is None:
        return None
    protocol = given.KAFKA_SECURITY_PROTOCOL
    if protocol not in ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"):
        return "KAFKA_SECURITY_PROTOCOL: is none of PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL; write one of them"
    if protocol.startswith("SASL_") and (given.KAFKA_USERNAME is None or given.KAFKA_PASSWORD is None):
        return (
            f"KAFKA_USERNAME, KAFKA_PASSWORD: missing, though the protocol is {protocol}; give the Secret that has them"
        )
    if given.KAFKA_CA_FILE is not None and not given.KAFKA_CA_FILE.is_file():
        return "KAFKA_CA_FILE: there is no such file; mount the authority's certificate there"
    return Kafka(
        bootstrap_servers=given.KAFKA_BOOTSTRAP_SERVERS,
        security_protocol=protocol,
        sasl_mechanism=given.KAFKA_SASL_MECHANISM,
        username=given.KAFKA_USERNAME,
        password=given.KAFKA_PASSWORD,
        ca_file=given.KAFKA_CA_FILE,
        client_rack=given.KAFKA_CLIENT_RACK,
        consume_topics=_names(given.KAFKA_CONSUME_TOPICS),
        produce_topics=_names(given.KAFKA_PRODUCE_TOPICS),
        consumer_group=given.KAFKA_CONSUMER_GROUP,
    )


def _inference(given: _Variables) -> Inference | str | None:
    backend = given.INFERENCE_BACKEND
    if backend is None:
        return None
    if given.INFERENCE_MODEL is None:
        return "INFERENCE_MODEL: is missing, though INFERENCE_BACKEND is there; say `model` in the agent's `inference`"
    return Inference(
        backend=backend,
        model=given.INFERENCE_MODEL,
        endpoint=given.AZURE_OPENAI_ENDPOINT if backend == "azure" else given.INFERENCE_ENDPOINT,
        base_url=given.OPENAI_BASE_URL,
        api_key=given.AZURE_OPENAI_API_KEY if backend == "azure" else given.OPENAI_API_KEY,
        api_version=given.OPENAI_API_VERSION,
    )


def _resilience(given: _Variables, declared: bool) -> Resilience:
    """`declared`: the agent's file has the group, so that a breaker that is absent is switched off."""
    breaker = CircuitBreaker(
        failures=given.CIRCUIT_BREAKER_FAILURES or CircuitBreaker().failures,
        window=timedelta(seconds=given.CIRCUIT_BREAKER_WINDOW_SECONDS),
        cooldown=timedelta(seconds=given.CIRCUIT_BREAKER_COOLDOWN_SECONDS),
    )
    return Resilience(
        concurrency=given.CONCURRENCY,
        queue_bound=max(given.QUEUE_BOUND, given.CONCURRENCY),
        request_timeout=timedelta(seconds=given.REQUEST_TIMEOUT_SECONDS),
        retries=Retries(
            max=given.RETRY_MAX,
            backoff=timedelta(seconds=given.RETRY_BACKOFF_SECONDS),
            max_backoff=timedelta(seconds=given.RETRY_MAX_BACKOFF_SECONDS),
        ),
        circuit_breaker=None if declared and given.CIRCUIT_BREAKER_FAILURES is None else breaker,
        longest_task=timedelta(seconds=given.LONGEST_TASK_SECONDS),
    )


def _agents(values: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(_AGENT_URL).lower().replace("_", "-"): url
        for name, url in values.items()
        if name.startswith(_AGENT_URL)
    }


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


def _problems(error: ValidationError) -> list[str]:
    """Return one line a mistake: the variable, what is wrong, and what it is for."""
    lines = []
    for mistake in error.errors(include_input=False, include_url=False):
        name = str(mistake["loc"][0])
        meaning = VARIABLES[name].meaning if name in VARIABLES else "see docs/write-an-agent.md"
        lines.append(f"{name}: {_wrong(mistake['type'], mistake['msg'])}; it is {meaning}")
    return lines


def _wrong(kind: str, message: str) -> str:
    return "is missing" if kind == "missing" else message[0].lower() + message[1:]
