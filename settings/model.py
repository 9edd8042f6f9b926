"""The base of all settings, and the resources of one container."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from manifests.problems import Problem, ProblemError

from .types import Cpu, DnsSubdomain, Memory


class Model(BaseModel):
    """A frozen group of settings: camelCase in YAML, snake_case in Python, unknown keys refused.

    Raises `pydantic.ValidationError`, whose text never holds the rejected input: it may be a secret. For rules that
    concern several fields, a model implements `problems`.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
        defer_build=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _complete_groups(cls, data: object) -> object:
        """Let a mapping that gives part of a group of settings inherit the rest from the group's default."""
        if not isinstance(data, Mapping):
            return data
        data = dict(data)
        for name, field in cls.model_fields.items():
            key = name if name in data else to_camel(name)
            given = data.get(key)
            if isinstance(field.default, Model) and isinstance(given, Mapping):
                data[key] = merge(field.default.model_dump(by_alias=True), given)
        return data

    def problems(self) -> Iterator[Problem]:
        """Yield every mistake that no field has by itself, with paths that begin at this model.

        It is asked where each field is valid, since rules need values. Whatever can be judged by one field alone is
        therefore better a validator of that field, which raises `ProblemError`.
        """
        yield from ()

    @model_validator(mode="after")
    def _no_problems(self) -> Self:
        if found := tuple(self.problems()):
            raise ProblemError(*found)
        return self


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over`: mappings merge key by key, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            value = merge(below, value)
        merged[key] = value
    return merged


def overrides(over: Any, keys: Iterable[str | int]) -> bool:
    """Whether `over` decides what `merge` returns at `keys`: also where it replaces a whole group or list above."""
    for key in keys:
        if not isinstance(over, Mapping):
            return True
        if key not in over:
            return False
        over = over[key]
    return True


class Amounts(Model):
    """An amount of CPU and of memory."""

    cpu: Cpu
    memory: Memory


class Resources(Model):
    """What one container asks for (`requests`) and may use at most (`limits`)."""

    requests: Amounts
    limits: Amounts

    @classmethod
    def of(cls, cpu: str, memory: str, cpu_limit: str, memory_limit: str) -> Self:
        """Write requests and limits in one line."""
        return cls(
            requests=Amounts(cpu=Cpu(cpu), memory=Memory(memory)),
            limits=Amounts(cpu=Cpu(cpu_limit), memory=Memory(memory_limit)),
        )

    def problems(self) -> Iterator[Problem]:
        """Limits cover requests."""
        return uncovered(self.requests, self.limits)


def uncovered(requests: Amounts, limits: Amounts) -> Iterator[Problem]:
    """Yield a problem for each limit that is below its request."""
    for name in ("cpu", "memory"):
        request, limit = getattr(requests, name), getattr(limits, name)
        if limit.amount < request.amount:
            what = f"{limit} is below the request of {request}"
            yield Problem(("limits", name), what, "raise the limit or lower the request")


class SecretKey(Model):
    """One key of a Secret that exists already in the namespace of its user."""

    name: DnsSubdomain
    key: str = Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")


class Demand(Model):
    """What one kind of pod asks of its namespace, at its lowest and its highest number of replicas."""

    source: str
    """The settings path that the demand comes from."""
    minimum: int
    maximum: int
    surge: int = 0
    """Pods beyond that while an update rolls."""
    containers: tuple[Resources, ...]

    def asked(self, kind: Literal["requests", "limits"], resource: str, replicas: int) -> Decimal:
        """Return the requests or limits of `replicas` pods: `cpu` in cores or `memory` in bytes."""
        return replicas * sum((getattr(getattr(c, kind), resource).amount for c in self.containers), Decimal(0))


class SetsVariables(Model):
    """Settings by which the stack sets environment variables of an agent."""

    variables: ClassVar[frozenset[str]] = frozenset()
    """Their names: an agent that has these settings cannot declare them itself."""


class Usable(SetsVariables):
    """Settings of something that agents may connect to."""

    usable: ClassVar[bool] = False
    """Whether agents may name it in `uses`; they get its `variables`."""
    implied_by: ClassVar[tuple[str, ...]] = ()
    """The fields of an agent that say, once they are set, that it connects to the part."""


class Section(Usable):
    """What Pulumi.ENV.yaml says of one part of the stack, behind `agentstack:`."""

    def demands(self) -> dict[str, list[Demand]]:
        """Return what its pods ask for, by the key of their namespace in `namespaces`."""
        return {}
