"""CPU, memory and shares, as Kubernetes writes them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from manifests.problems import Problem, ProblemError
from manifests.quantities import quantity
from manifests.text import quoted


class _Quantity(str):
    """A Kubernetes quantity, kept as written; `amount` is its value in the base unit.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """

    amount: Decimal
    pattern: ClassVar[str]
    examples: ClassVar[list[str]]

    def __new__(cls, text: str | float) -> Self:
        text = str(text)
        if not re.fullmatch(cls.pattern, text):
            raise ProblemError(cls.problem(text))
        written = super().__new__(cls, text)
        written.amount = quantity(text)
        return written

    @classmethod
    def problem(cls, text: str) -> Problem:
        """Say what is wrong with `text` and what to write instead."""
        raise NotImplementedError

    @classmethod
    def _parse(cls, value: Any) -> Self:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ProblemError.of("is not a quantity", f"write for example `{cls.examples[0]}`")
        return cls(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        text: dict[str, Any] = {"type": "string", "pattern": cls.pattern, "examples": cls.examples}
        # A bare number is a number of cores; of bytes nobody writes one without a unit on purpose.
        kinds = [text, {"type": "number", "minimum": 0}] if re.match(cls.pattern, "1") else [text]
        return {"anyOf": kinds, "description": cls.__doc__}


class Cpu(_Quantity):
    """CPU in cores: `0.5`, `2`, or millicores: `500m`."""

    pattern = r"^[0-9]+(\.[0-9]{1,3})?$|^[0-9]+m$"
    examples: ClassVar[list[str]] = ["500m", "0.5", "2"]

    @classmethod
    def problem(cls, text: str) -> Problem:
        """Say what is wrong with `text` and what to write instead."""
        number = re.match(r"^([0-9]+(?:\.[0-9]{1,3})?)\s*(?:c|cpus?|v?cores?|vcpus?)$", text.strip(), re.IGNORECASE)
        remedy = f"write `{number[1]}`" if number else "write cores such as `0.5` or millicores such as `500m`"
        return Problem((), f"{quoted(text)} is not a CPU quantity", remedy)


class Memory(_Quantity):
    """Memory or storage in bytes with a unit: `512Mi`, `2Gi` (powers of 1024) or `512M` (powers of 1000)."""

    pattern = r"^[0-9]+(\.[0-9]+)?([kMGTPE]|[KMGTPE]i)$"
    examples: ClassVar[list[str]] = ["512Mi", "2Gi"]

    @classmethod
    def problem(cls, text: str) -> Problem:
        """Say what is wrong with `text` and what to write instead."""
        number = re.match(r"^([0-9]+(?:\.[0-9]+)?)\s*([kmgtpe])i?b?$", text.strip(), re.IGNORECASE)
        remedy = "write a number with a unit such as `512Mi` or `2Gi`"
        if number:
            remedy = f"write `{number[1]}{number[2].upper()}i`"
        return Problem((), f"{quoted(text)} is not a memory quantity", remedy)


Percent = Annotated[int, Field(ge=1, le=100)]
"""A share in percent, 1 to 100."""
