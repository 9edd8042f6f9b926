"""Text that matches a pattern, and one of several words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from manifests.problems import ProblemError
from manifests.text import quoted


@dataclass(frozen=True)
class Matching:
    """Accepts what matches `pattern` as a whole; the same in Python and, for the JSON schema, in ECMAScript."""

    pattern: str
    """From `^` to `$`."""
    maximum: int
    """Characters."""
    meaning: str
    remedy: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": self.pattern, "maxLength": self.maximum}

    def _check(self, text: str) -> str:
        if len(text) > self.maximum:
            what = f"has {len(text)} characters and {self.meaning} has at most {self.maximum}"
            raise ProblemError.of(what, "shorten it")
        if not re.fullmatch(self.pattern, text):
            raise ProblemError.of(f"{quoted(text)} is not {self.meaning}", self.remedy)
        return text


@dataclass(frozen=True)
class OneOf:
    """Accepts some words only, as `Literal` does, where they are known at run time."""

    words: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(list(self.words))
