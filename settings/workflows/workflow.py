"""A whole workflow, and the rules between its steps."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from manifests.problems import Problem, ProblemError
from manifests.text import quoted, suggestion
from settings.model import Usable
from settings.types import DnsLabel, Duration, duration_text

from .references import RESERVED, Reference, name_of
from .steps import Step


def _names(steps: dict[str, Step]) -> dict[str, Step]:
    taken = [Problem((name,), f"`${{{name}}}` means something else already", "rename it") for name in RESERVED]
    if mistakes := [problem for problem in taken if problem.path[0] in steps]:
        raise ProblemError(*mistakes)
    return steps


class Workflow(Usable):
    """What is done with a task, step by step.

    Steps begin as soon as those are done that they refer to or need; those that do not wait for each other run at once.
    """

    usable: ClassVar[bool] = True
    variables: ClassVar[frozenset[str]] = frozenset({"WORKFLOWS_DIR"})

    description: str = Field(default="", max_length=500)
    """For people, and for the agent card by which clients find it."""
    timeout: Duration = Field(default=timedelta(minutes=10), ge=timedelta(seconds=1), le=timedelta(days=7))
    """The whole task; it fails then, whatever is under way."""
    steps: Annotated[dict[DnsLabel, Step], AfterValidator(_names)] = Field(min_length=1, max_length=100)
    output: Reference | None = None
    """The step whose output is the answer; absent: the last one."""

    def problems(self) -> Iterator[Problem]:
        """Whatever a step refers to is there, comes before it, and is of use."""
        unknown = list(self._unknown())
        yield from unknown
        if unknown:  # what was meant by them decides the rest
            return
        yield from self._circles()
        yield from self._lists()
        yield from self._unused()
        for name, step in self.steps.items():
            if step.longest > self.timeout:
                yield Problem(
                    ("steps", name, "timeout"),
                    f"with its retries the step may take {duration_text(step.longest)}, and the workflow has "
                    f"{duration_text(self.timeout)}",
                    "raise the workflow's `timeout`, or lower the step's timeout or retries",
                )

    def _unknown(self) -> Iterator[Problem]:
        for name, step in self.steps.items():
            known = [other for other in self.steps if other != name]
            for path, wanted in step.named():
                if wanted == name:
                    yield Problem(("steps", name, *path), "a step does not wait for itself", "name another step")
                elif wanted not in self.steps:
                    plain = path[0] in ("forEach", "needs")
                    yield Problem(
                        ("steps", name, *path),
                        f"unknown step {quoted(wanted)}",
                        suggestion(wanted, known if plain else [*known, *RESERVED]),
                    )
        if self.output is not None and (wanted := name_of(self.output)) not in self.steps:
            yield Problem(("output",), f"unknown step {quoted(wanted)}", suggestion(wanted, self.steps))

    def _circles(self) -> Iterator[Problem]:
        try:
            _ = self.order
        except CycleError as error:
            circle = [str(name) for name in reversed(error.args[1])]
            what = f"waits for itself: {' -> '.join(circle)}"
            yield Problem(("steps", circle[0]), what, "remove one of the references, or of `needs`")

    def _lists(self) -> Iterator[Problem]:
        for name, step in self.steps.items():
            if step.for_each is None:
                continue
            source = self.steps[name_of(step.for_each)]
            if source.for_each is None and source.output == "text":
                what = f"the output of `{name_of(step.for_each)}` is a text, and no list"
                yield Problem(("steps", name, "forEach"), what, "give that step `output: lines` or `output: json`")

    def _unused(self) -> Iterator[Problem]:
        used = {self.answer}.union(*(self.before(name) for name in self.steps))
        for name, step in self.steps.items():
            # The others may have an effect; a model's answer that nothing reads is only paid for.
            if step.model is not None and name not in used:
                what = "nothing refers to its answer"
                yield Problem(("steps", name), what, f"write `${{{name}}}` where it belongs, or remove the step")

    def before(self, name: str) -> tuple[str, ...]:
        """Return the steps that a step waits for: those that it refers to, and those in `needs`; in their own order."""
        wanted = {other for _, other in self.steps[name].named()}
        return tuple(other for other in self.steps if other in wanted)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The steps, each after those that it waits for. Raises `graphlib.CycleError`."""
        return tuple(TopologicalSorter({name: self.before(name) for name in self.steps}).static_order())

    @property
    def answer(self) -> str:
        """The step whose output is the answer."""
        return name_of(self.output) if self.output is not None else list(self.steps)[-1]


class WorkflowFile(Workflow):
    """One file of `workflows/`: the workflow's name and its steps."""

    name: DnsLabel
