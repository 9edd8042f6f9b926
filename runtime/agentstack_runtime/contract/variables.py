"""Every variable of the contract. docs/write-an-agent.md lists them too; a test of the stack holds all three together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Room = Literal["process", "redis", "kafka", "inference", "resilience", "agents", "workflows", "fleet"]


@dataclass(frozen=True)
class Variable:
    """One environment variable, or with `reload: file` one file of that name."""

    room: Room
    """The part of the contract that it belongs to."""
    meaning: str
    """What it says, with its unit."""
    secret: bool = False
    """Whether its value comes from a Secret."""
    fixed: bool = False
    """Whether it is in the environment even with `reload: file`."""


VARIABLES: Final[dict[str, Variable]] = {
    "AGENT_NAME": Variable("process", "the agent's name", fixed=True),
    "POD_NAME": Variable("process", "the pod's name", fixed=True),
    "PORT": Variable("process", "the port that serves HTTP: probes, and what the agent offers", fixed=True),
    "METRICS_PORT": Variable("process", "the port that serves metrics, where that is another", fixed=True),
    "LONGEST_TASK_SECONDS": Variable("process", "seconds that work in flight has after SIGTERM"),
    "REDIS_URL": Variable("redis", "where Redis is, with user and password", secret=True),
    "REDIS_HOST": Variable("redis", "its host"),
    "REDIS_PORT": Variable("redis", "its port"),
    "REDIS_CA_FILE": Variable("redis", "path of the authority's certificate, with TLS"),
    "CONVERSATION_TTL_SECONDS": Variable("redis", "seconds that a conversation lives from its last message"),
    "CHECKPOINT_TTL_SECONDS": Variable("redis", "seconds that a checkpoint lives"),
    "KAFKA_BOOTSTRAP_SERVERS": Variable("kafka", "HOST:PORT of brokers, by commas"),
    "KAFKA_SECURITY_PROTOCOL": Variable("kafka", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
    "KAFKA_SASL_MECHANISM": Variable("kafka", "how to log in, such as SCRAM-SHA-512"),
    "KAFKA_USERNAME": Variable("kafka", "the agent's own user", secret=True),
    "KAFKA_PASSWORD": Variable("kafka", "its password", secret=True),
    "KAFKA_CA_FILE": Variable("kafka", "path of the authority's certificate, with TLS"),
    "KAFKA_CLIENT_RACK": Variable("kafka", "the zone of the pod's node, to read from replicas in it", fixed=True),
    "KAFKA_CONSUMER_GROUP": Variable("kafka", "the group whose members share the partitions"),
    "KAFKA_CONSUME_TOPICS": Variable("kafka", "topics that the agent may read, by commas"),
    "KAFKA_PRODUCE_TOPICS": Variable("kafka", "topics that the agent may write, by commas"),
    "INFERENCE_BACKEND": Variable("inference", "what answers model calls: openai, azure, vllm, ollama, onnx or echo"),
    "INFERENCE_MODEL": Variable("inference", "the model; with azure the deployment, with onnx a path in the image"),
    "INFERENCE_ENDPOINT": Variable("inference", "the URL of the backend"),
    "OPENAI_BASE_URL": Variable("inference", "the same, as OpenAI's SDK takes it"),
    "OPENAI_API_KEY": Variable("inference", "the key of openai, vllm and ollama", secret=True),
    "OPENAI_API_VERSION": Variable("inference", "the version of Azure's API"),
    "AZURE_OPENAI_ENDPOINT": Variable("inference", "the URL, as Azure's SDK takes it"),
    "AZURE_OPENAI_API_KEY": Variable("inference", "the key of azure", secret=True),
    "OLLAMA_HOST": Variable("inference", "the URL, as Ollama's SDK takes it"),
    "CONCURRENCY": Variable("resilience", "tasks that a pod works on at a time"),
    "QUEUE_BOUND": Variable("resilience", "tasks that a pod holds, those included"),
    "REQUEST_TIMEOUT_SECONDS": Variable("resilience", "seconds of one attempt of a request"),
    "RETRY_MAX": Variable("resilience", "attempts after the first"),
    "RETRY_BACKOFF_SECONDS": Variable("resilience", "seconds before the first of them, doubling"),
    "RETRY_MAX_BACKOFF_SECONDS": Variable("resilience", "seconds of the longest wait"),
    "CIRCUIT_BREAKER_FAILURES": Variable("resilience", "failures within the window that open the breaker"),
    "CIRCUIT_BREAKER_WINDOW_SECONDS": Variable("resilience", "seconds"),
    "CIRCUIT_BREAKER_COOLDOWN_SECONDS": Variable("resilience", "seconds until one request tries again"),
    "WORKFLOWS_DIR": Variable("workflows", "the folder of the workflows, one NAME.json each"),
    "DEVICE_ID": Variable("fleet", "the device that the pod is for", fixed=True),
}
"""By name. What clouds add for their own SDKs (`identity`) is not part of the contract."""

PREFIXES: Final[dict[str, Variable]] = {
    "AGENT_URL_": Variable("agents", "the URL of an agent in `calls`; the name in capitals, `-` as `_`"),
}
"""Variables of which there is one for each of something."""
