"""What a compiled workflow looks like. The stack checks and compiles `workflows/*.yaml`; this only reads the result.

All durations are seconds. Defaults are filled in by the stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

REFERENCE: Final = re.compile(r"\$(?:\$(?=\{)|\{([a-z0-9]([a-z0-9-]*[a-z0-9])?)\})")
"""`${NAME}`, or `$$` in front of a brace that is meant literally."""


class _Compiled(BaseModel):
    # A field that a newer stack adds is passed over: services and stack are not rolled in one moment.
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class ModelCall(_Compiled):
    """Ask the model of the executor's environment."""

    prompt: str
    system: str | None = None
    name: str | None = None
    """Another model than the environment's."""
    max_output_tokens: int | None = None


class AgentCall(_Compiled):
    """Send a message to another agent, by A2A."""

    name: str
    message: str
    workflow: str | None = None


class HttpCall(_Compiled):
    """Call a URL. The executor adds `Idempotency-Key`."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: str | None = None


class CodeCall(_Compiled):
    """Call a function that the image registers."""

    function: str
    arguments: Mapping[str, str] = {}


class Retries(_Compiled):
    """How often a step is tried again, and after how many seconds."""

    max: int = 0
    backoff: float = 1.0
    max_backoff: float = 30.0


class Step(_Compiled):
    """One step; exactly one of `model`, `agent`, `http` and `code` is there."""

    model: ModelCall | None = None
    agent: AgentCall | None = None
    http: HttpCall | None = None
    code: CodeCall | None = None
    for_each: str | None = None
    """The step over whose output it fans out."""
    needs: tuple[str, ...] = ()
    """All steps that come before it, those that it refers to included."""
    output: Literal["text", "lines", "json"] = "text"
    limit: int = 10
    timeout: float = 60.0
    retries: Retries = Retries()
    topic: str = "tasks"

    @property
    def call(self) -> ModelCall | AgentCall | HttpCall | CodeCall:
        """What does the step.

        Raises:
            ValueError: nothing does.
        """
        for call in (self.model, self.agent, self.http, self.code):
            if call is not None:
                return call
        raise ValueError("a step without model, agent, http or code")

    @property
    def references(self) -> frozenset[str]:
        """The names that its texts refer to."""
        return frozenset(_references(self.call.model_dump()))


class Workflow(_Compiled):
    """One workflow."""

    name: str
    description: str = ""
    timeout: float
    steps: Mapping[str, Step]
    """In an order in which each comes after what it needs."""
    output: str
    """The step whose output is the answer."""


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from (match[1] for match in REFERENCE.finditer(value) if match[1])
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _references(part)


def render(text: str, values: Mapping[str, str]) -> str:
    """Return `text` with its references replaced.

    Raises:
        KeyError: a name without a value.
    """
    return REFERENCE.sub(lambda match: values[match[1]] if match[1] else "$", text)
