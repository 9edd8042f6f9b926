"""TEMP"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from .protocol import Answer


class Call:
    def __init__(self, backend: str, model: str) -> None: ...
    def __enter__(self) -> Self:
        return self

    def answered(self, answer: Answer) -> None: ...
    def __exit__(self, *_: object) -> None: ...
