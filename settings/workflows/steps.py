"""One step of a workflow: what does it, over what, and how often it is tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field

from manifests.problems import Path, Problem, ProblemError
from manifests.secret_text import secret_in_plain_text
from manifests.text import quoted
from settings.model import Model
from settings.resilience import Retries
from settings.types import AgentName, DnsLabel, Duration, TopicName
from settings.types.matching import Matching

from .references import INPUT, ITEM, Reference, Text, filled, name_of, references

Kind = Literal["model", "agent", "http", "code"]
KINDS: tuple[Kind, ...] = ("model", "agent", "http", "code")
"""What can do a step."""

_ALWAYS_SECRET = {"authorization", "proxy-authorization", "cookie"}
_FROM_CODE = "remove it: `code` of the image, or an agent that has it under `secrets`, can make such a call"
_SET_BY_EXECUTOR = "idempotency-key"


class ModelStep(Model):
    """Asks a model: that of `inference` of the agents that do the step."""

    prompt: Text
    system: Text | None = None
    """What the model is told of its task before the prompt."""
    name: str | None = Field(default=None, min_length=1, max_length=256)
    """Another model than the environment's, for backends that have several."""
    max_output_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    """Absent: the backend's own limit."""


class AgentStep(Model):
    """Sends a message to another agent, by A2A, and waits for its answer."""

    name: AgentName
    message: Text
    workflow: DnsLabel | None = None
    """Which of its workflows is meant, where it has several."""


def _url(text: str) -> str:
    try:
        whole, names = urlsplit(text), urlsplit(filled(text, "x"))
        port = names.port
    except ValueError:
        raise ProblemError.of("is not a URL", "write `https://HOST[:PORT][/PATH]`") from None
    if names.scheme not in ("http", "https") or not names.hostname or port == 0:
        raise ProblemError.of(f"{quoted(text)} is not a URL", "write `https://HOST[:PORT][/PATH]`")
    if list(references(whole.scheme)) or list(references(text.partition("://")[2].partition("/")[0])):
        what = "the host comes from a reference, so that whoever asks would choose whom the agents connect to"
        raise ProblemError.of(what, "write the host as it is; references may stand in the path and the query")
    if "@" in names.netloc:
        raise ProblemError.of("a login in a URL is no secret", _FROM_CODE)
    return text


def _headers(headers: dict[str, str]) -> dict[str, str]:
    mistakes = []
    for name, value in headers.items():
        if name.lower() == _SET_BY_EXECUTOR:
            mistakes.append(Problem((name,), "is set by the executor", "remove it"))
        elif name.lower() in _ALWAYS_SECRET or secret_in_plain_text(name.replace("-", "_"), value):
            mistakes.append(Problem((name,), "looks like a secret in plain text", _FROM_CODE))
        elif "\n" in value or "\r" in value:
            mistakes.append(Problem((name,), "has a line break", "write it in one line"))
    if mistakes:
        raise ProblemError(*mistakes)
    return headers


# https://www.rfc-editor.org/rfc/rfc9110#name-tokens
HeaderName = Annotated[
    str, Matching(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", 128, "the name of a header", "use letters, digits and hyphens")
]
FunctionName = Annotated[
    str,
    Matching(
        r"^[A-Za-z_][A-Za-z0-9_.-]*$", 128, "the name of a function", "begin with a letter; then letters, digits, `_.-`"
    ),
]


class HttpStep(Model):
    """Makes an HTTP request, whose answer of 2xx is the output.

    The executor adds `Idempotency-Key`, the same at each attempt.
    """

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: Annotated[Text, AfterValidator(_url)]
    """References may stand in the path and the query, where they are percent-encoded; not in the host."""
    headers: Annotated[dict[HeaderName, Text], AfterValidator(_headers)] = {}
    """None of them a secret."""
    body: Text | None = None

    def problems(self) -> Iterator[Problem]:
        """A body goes with the methods that have one."""
        if self.body is not None and self.method in ("GET", "HEAD", "DELETE"):
            yield Problem(("body",), f"{self.method} has none", "remove it, or write `method: POST`")

    @property
    def target(self) -> SplitResult:
        """The URL in parts, for its host and port."""
        return urlsplit(filled(self.url, "x"))

    @property
    def port(self) -> int:
        """The port: 80 or 443 unless the URL has another."""
        return self.target.port or (443 if self.target.scheme == "https" else 80)


class CodeStep(Model):
    """Calls a function that the image of the executor registers."""

    function: FunctionName
    arguments: dict[FunctionName, Text] = {}


class Step(Model):
    """One step: exactly one of `model`, `agent`, `http` and `code` does it."""

    model: ModelStep | None = None
    agent: AgentStep | None = None
    http: HttpStep | None = None
    code: CodeStep | None = None
    for_each: Reference | None = None
    """A step whose output is a list: one command an item, all at once, each with its `${item}`. The output is the list
    of the answers, in the order of the items."""
    output: Literal["text", "lines", "json"] = "text"
    """How the answer is read: as it is, as a list of its lines that are not empty, or as JSON."""
    limit: int = Field(default=10, ge=1, le=100)
    """The most items of a list; what is beyond is dropped. With `output: lines` and `json`."""
    timeout: Duration = Field(default=timedelta(seconds=60), ge=timedelta(seconds=1), le=timedelta(hours=24))
    """One attempt."""
    retries: Retries = Retries(max=2)
    topic: TopicName = "tasks"
    """Where the commands go: the agents that consume it do the step."""
    needs: tuple[DnsLabel, ...] = ()
    """Steps that come before, beside those that it refers to."""

    def problems(self) -> Iterator[Problem]:
        """One thing does it, and finds what it refers to."""
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if not given:
            yield Problem((), "nothing does it", "write one of `model`, `agent`, `http` and `code`")
        for kind in given[1:]:
            yield Problem((kind,), f"`{given[0]}` does the step already", "remove it, or make it a step of its own")
        if "limit" in self.model_fields_set and self.output == "text":
            yield Problem(("limit",), "a text is no list", "write `output: lines`, or remove it")
        items = [path for path, text in self.texts() if ITEM in references(text)]
        if self.for_each is None:
            for path in items:
                yield Problem(path, "there is no `${item}` without `forEach`", "write `forEach: ${STEP}`")
        elif given and not items:
            what = "nothing refers to `${item}`, so that all of its commands would be the same"
            yield Problem(("forEach",), what, "write `${item}` where it belongs, or remove `forEach`")

    @property
    def kind(self) -> Kind:
        """What does it."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def longest(self) -> timedelta:
        """How long one command may take that fails at each attempt."""
        return self.timeout * (self.retries.max + 1) + self.retries.waits

    def texts(self) -> Iterator[tuple[Path, str]]:
        """Yield the texts that may have references, each with its path."""
        for kind in KINDS:
            if (call := getattr(self, kind)) is not None:
                yield from _texts(call.model_dump(by_alias=True), (kind,))

    def named(self) -> Iterator[tuple[Path, str]]:
        """Yield the steps that it refers to or needs, each with the path where it is named; none twice at one place."""
        if self.for_each is not None:
            yield ("forEach",), name_of(self.for_each)
        for path, text in self.texts():
            yield from ((path, name) for name in dict.fromkeys(references(text)) if name not in (INPUT, ITEM))
        yield from ((("needs", index), name) for index, name in enumerate(self.needs))


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield from _texts(below, (*path, key))
