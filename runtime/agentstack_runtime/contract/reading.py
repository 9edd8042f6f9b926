"""From variables and files to the contract, or to one line for each mistake."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from .model import Backend, CircuitBreaker, Contract, Inference, Kafka, Protocol, Redis, Resilience, Retries
from .variables import PREFIXES, VARIABLES

CONFIG: Final = Path("/etc/agent/config")
"""Where variables are files, with `reload: file`."""
SECRETS: Final = Path("/etc/agent/secrets")
"""Where secrets are."""
_AGENT_URL: Final = "AGENT_URL_"

_Port = Annotated[int, Field(ge=1, le=65535)]
_Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
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
    REDIS_PORT: _Port | None = None
    REDIS_CA_FILE: Path | None = None
    CONVERSATION_TTL_SECONDS: _Seconds = 86_400
    CHECKPOINT_TTL_SECONDS: _Seconds = 259_200
    KAFKA_BOOTSTRAP_SERVERS: _Text | None = None
    KAFKA_SECURITY_PROTOCOL: Protocol = "PLAINTEXT"
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


def load(environ: Mapping[str, str] = os.environ, config: Path = CONFIG, secrets: Path = SECRETS) -> Contract:
    """Return the contract of this process. What is fixed comes from the environment, of the rest a file wins.

    Raises:
        ContractError: something is missing, wrong or unreadable; all of it is named.
    """
    problems: list[str] = []
    values = dict(environ) | _files(config, problems) | _files(secrets, problems)
    values |= {name: environ[name] for name, variable in VARIABLES.items() if variable.fixed and name in environ}
    # A variable of an optional Secret that is not there is absent; an empty one means the same.
    given = {name: value for name, value in values.items() if value != ""}
    variables = _checked(given, problems)
    contract = Contract(
        agent_name=variables.AGENT_NAME,
        pod_name=variables.POD_NAME or variables.AGENT_NAME,
        port=variables.PORT,
        metrics_port=variables.METRICS_PORT or variables.PORT,
        redis=_redis(variables, problems),
        kafka=_kafka(variables, problems),
        inference=_inference(variables, problems),
        resilience=_resilience(variables, "CONCURRENCY" in given),
        agents=_agents(given),
        workflows_dir=variables.WORKFLOWS_DIR,
        device=variables.DEVICE_ID,
    )
    if problems:
        raise ContractError(problems)
    return contract


def _files(folder: Path, problems: list[str]) -> dict[str, str]:
    """Return the content of each variable's file. Others are the agent's own, which need not be text."""
    # The kubelet makes a new folder and then changes the link `..data`: what that names now is of one time, while the
    # files beside it may be of two.
    folder = (folder / "..data").resolve() if (folder / "..data").exists() else folder
    found = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if file.name not in VARIABLES and not file.name.startswith(tuple(PREFIXES)):
            continue
        try:
            found[file.name] = file.read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
            problems.append(f"{file.name}: its file cannot be read ({reason}); write text that the process may read")
    return found


def _checked(given: Mapping[str, str], problems: list[str]) -> _Variables:
    """Return the variables. Those that are wrong are named in `problems`, and as if they were absent."""
    try:
        return _Variables.model_validate(given)
    except ValidationError as error:
        mistakes = {str(mistake["loc"][0]): mistake for mistake in error.errors(include_input=False, include_url=False)}
    for name, mistake in mistakes.items():
        wrong = "is missing" if mistake["type"] == "missing" else mistake["msg"][0].lower() + mistake["msg"][1:]
        problems.append(f"{name}: {wrong}; it is {VARIABLES[name].meaning}")
    rest = {name: value for name, value in given.items() if name not in mistakes}
    return _Variables.model_validate({"AGENT_NAME": "unknown", **rest})


def _redis(given: _Variables, problems: list[str]) -> Redis | None:
    if given.REDIS_URL is None:
        if given.REDIS_HOST is not None:
            problems.append("REDIS_URL: is missing, though REDIS_HOST is there; give the Secret that has it")
        return None
    try:
        url = urlsplit(given.REDIS_URL.get_secret_value())
        scheme, host, port = url.scheme, url.hostname, url.port
    except ValueError:  # Its text would show the URL.
        scheme, host, port = "", None, None
    if scheme not in ("redis", "rediss") or host is None:
        problems.append("REDIS_URL: is no URL of Redis; it is redis://USER:PASSWORD@HOST:PORT, or rediss:// with TLS")
    _needs_file("REDIS_CA_FILE", given.REDIS_CA_FILE, problems)
    return Redis(
        url=given.REDIS_URL,
        host=given.REDIS_HOST or host or "",
        port=given.REDIS_PORT or port or 6379,
        ca_file=given.REDIS_CA_FILE,
        conversation_ttl=timedelta(seconds=given.CONVERSATION_TTL_SECONDS),
        checkpoint_ttl=timedelta(seconds=given.CHECKPOINT_TTL_SECONDS),
    )


def _kafka(given: _Variables, problems: list[str]) -> Kafka | None:
    if given.KAFKA_BOOTSTRAP_SERVERS is None:
        return None
    if given.KAFKA_SECURITY_PROTOCOL.startswith("SASL_"):
        problems += [
            f"{name}: is missing, though KAFKA_SECURITY_PROTOCOL asks for a login; give the Secret that has it"
            for name in ("KAFKA_USERNAME", "KAFKA_PASSWORD")
            if getattr(given, name) is None
        ]
    _needs_file("KAFKA_CA_FILE", given.KAFKA_CA_FILE, problems)
    return Kafka(
        bootstrap_servers=given.KAFKA_BOOTSTRAP_SERVERS,
        security_protocol=given.KAFKA_SECURITY_PROTOCOL,
        sasl_mechanism=given.KAFKA_SASL_MECHANISM,
        username=given.KAFKA_USERNAME,
        password=given.KAFKA_PASSWORD,
        ca_file=given.KAFKA_CA_FILE,
        client_rack=given.KAFKA_CLIENT_RACK,
        consume_topics=_names(given.KAFKA_CONSUME_TOPICS),
        produce_topics=_names(given.KAFKA_PRODUCE_TOPICS),
        consumer_group=given.KAFKA_CONSUMER_GROUP,
    )


def _inference(given: _Variables, problems: list[str]) -> Inference | None:
    backend = given.INFERENCE_BACKEND
    if backend is None:
        return None
    if given.INFERENCE_MODEL is None:
        problems.append(
            "INFERENCE_MODEL: is missing, though INFERENCE_BACKEND is there; say `model` in the agent's `inference`"
        )
    return Inference(
        backend=backend,
        model=given.INFERENCE_MODEL or "",
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


def _needs_file(name: str, file: Path | None, problems: list[str]) -> None:
    if file is None:
        return
    try:
        file.open("rb").close()
    except (OSError, ValueError) as error:  # ValueError: of a name that holds what no name can.
        reason = getattr(error, "strerror", None) or "no file's name"
        problems.append(f"{name}: its file cannot be read ({reason}); mount the authority's certificate there")


def _agents(values: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(_AGENT_URL).lower().replace("_", "-"): url
        for name, url in values.items()
        if name.startswith(_AGENT_URL)
    }


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)
