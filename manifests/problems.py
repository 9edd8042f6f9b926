"""Mistakes in what a person wrote, as values: where it is, what it is, and how to fix it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from .text import quoted, sentence

Path = tuple[str | int, ...]
"""The keys and list positions that lead to a value."""


@dataclass(frozen=True)
class Problem:
    """One mistake in the input. No field ever holds a secret, except for the keys in `path`."""

    path: Path
    """From where the reader of the problem stands: a model's own problems begin with the name of one of its fields."""
    what: str
    """The mistake, such as `3 is below min 5`."""
    remedy: str = ""
    """The fix, such as `raise it` or "did you mean `max`?"; empty where `what` says it already: `must be a list`."""

    @property
    def place(self) -> str:
        """The path in one piece. A key, too, may hold what must not be shown."""
        return ".".join(quoted(str(key)).strip("`") for key in self.path)

    @property
    def message(self) -> str:
        """The mistake and the fix."""
        return sentence(self.what, self.remedy)

    def below(self, *path: str | int) -> Problem:
        """Return the problem as it is seen from further up, `path` being the way down."""
        return replace(self, path=(*path, *self.path))

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.path else self.message


class ProblemError(ValueError):
    """A value that cannot be used. The text has one line for each of `problems`."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems

    @classmethod
    def of(cls, what: str, remedy: str) -> Self:
        """Return the one problem of a value that does not know where it stands."""
        return cls(Problem((), what, remedy))
