"""How an agent's next version takes over from the one that runs: the strategy, and a release in progress."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, NonNegativeInt

from manifests.problems import Problem, ProblemError
from manifests.text import quoted

from .model import Model
from .types import Duration

Strategy = Literal["rolling", "canary", "blueGreen"]


class Analysis(Model):
    """What `agentstack release` demands of the candidate before it goes on, by the agent's own metrics.

    The metrics are `http_requests_total` with the HTTP status in the label `status` or `code`, and the histogram
    `http_request_duration_seconds`, as most instrumentation libraries name them.
    """

    error_rate: float = Field(default=1.0, ge=0, le=100)
    """The share of 5xx answers may exceed the stable version's by so many percentage points."""
    latency: float = Field(default=1.5, ge=1)
    """The 95th percentile of the durations may be so many times the stable version's."""
    restarts: int = Field(default=0, ge=0)
    """The candidate's containers may restart so many times in one step."""
    min_requests: int = Field(default=100, ge=0)
    """Fewer requests in one step prove nothing, and the release waits; 0: requests are not looked at, only restarts,
    as suits an agent that serves none."""


class Rollout(Model):
    """The way from one version to the next."""

    strategy: Strategy
    """`rolling`: pod by pod in one Deployment. `canary`: a second Deployment takes a growing share. `blueGreen`: a
    second Deployment that is scaled as the first is, and the Service switches to it at once."""
    keep_for: Duration | None = Field(default=None, le=timedelta(days=1))
    """How long the old version stays, ready to take over again, after a `blueGreen` switch; 15m if absent."""
    analysis: Analysis = Analysis()

    def problems(self) -> Iterator[Problem]:
        """It keeps what it has."""
        if self.keep_for is not None and self.strategy != "blueGreen":
            yield Problem(("keepFor",), "belongs to `strategy: blueGreen`", "remove it")


def _spelled_out(value: object) -> object:
    return {"strategy": value} if isinstance(value, str) else value


RolloutSetting = Annotated[Rollout, BeforeValidator(_spelled_out, json_schema_input_type=Strategy | Rollout)]
"""A `Rollout`, or its strategy alone."""


class StateFormats(Model):
    """The versions of the format in which an agent keeps its state, such as checkpoints, under its `redisKeys`."""

    reads: tuple[NonNegativeInt, ...] = Field(min_length=1)
    writes: NonNegativeInt

    def problems(self) -> Iterator[Problem]:
        """An agent reads what it wrote."""
        if self.writes not in self.reads:
            yield Problem(("writes",), f"{self.writes} is not among `reads`: an agent reads what it wrote", "add it")

    def __str__(self) -> str:
        return f"reads {', '.join(map(str, sorted(self.reads)))}, writes {self.writes}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote."""
        *reads, writes = (int(number) for number in re.findall(r"\d+", text))
        return cls(reads=tuple(reads), writes=writes)


def _version(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|sha256:[0-9a-f]{64}", text):
        remedy = "write the tag of an image, or a digest (`sha256:...`)"
        raise ProblemError.of(f"{quoted(text)} is not a version", remedy)
    if text == "latest":
        raise ProblemError.of("`latest` changes under a running release", "write a tag that stays")
    return text


# Never a number: of `0123456` YAML 1.1 makes 42798, and of `22:22` 1342.
Version = Annotated[str, AfterValidator(_version)]
"""The tag of an image, or its digest (`sha256:...`)."""


def _moment(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        known = False
    else:
        known = bool(re.fullmatch(r"[0-9-]{10}T[0-9:]{8}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})", text))
    if not known:
        remedy = "write for example `2026-01-31T09:30:00+00:00`"
        raise ProblemError.of(f"{quoted(text)} is not a time as in RFC 3339", remedy)
    return text


Moment = Annotated[str, AfterValidator(_moment), Field(json_schema_extra={"format": "date-time"})]
"""A time with its offset from UTC. https://www.rfc-editor.org/rfc/rfc3339#section-5.6"""


class Release(Model):
    """A release in progress. `agentstack release` writes and removes it; `pulumi up` alone deploys what it says."""

    version: Version
    """The candidate: the agent's `image` with this tag or digest."""
    share: int = Field(ge=0, le=100)
    """The candidate's share in percent. At 100 the agent's own Deployment runs the candidate (`rolling`, `canary`), or
    the Service leads to it (`blueGreen`)."""
    state: StateFormats | None = None
    """What the candidate reads and writes; the same as the agent's `state` if absent."""
    since: Moment | None = None
    """When the share was set, as in RFC 3339: from then on the candidate is watched."""
    aborted: bool = False
    """Whether the release goes back: it is deployed as if it were not there."""


def with_version(image: str, version: str) -> str:
    """Return `image` with another tag, or with a digest."""
    name = image.split("@")[0]
    folder, slash, last = name.rpartition("/")
    repository = folder + slash + last.partition(":")[0]
    return f"{repository}{'@' if version.startswith('sha256:') else ':'}{version}"


def version_of(image: str) -> str:
    """Return the tag of `image`, or its digest where it has one."""
    return image.partition("@")[2] or image.rpartition("/")[2].partition(":")[2]


Bounds = tuple[int, int]
"""The least and the greatest number of pods."""


def split(low: int, high: int, share: int) -> tuple[Bounds, Bounds]:
    """Divide the pods of an agent between the stable version and a candidate with `share` percent, 1 to 99.

    The larger side keeps the agent's least number as far as `high` allows, so that going on or back takes little
    capacity away; the other one has in proportion to it, rounded, and at least one. With n pods in all, the share is
    thus exact to 100 / n percent. Together they have at most `high` pods (two, if `high` is one).
    """
    part = min(share, 100 - share)
    small_high = max(1, high * part // 100)
    large_high = max(1, high - small_high)
    small_low = max(1, (2 * low * part + 100 - part) // (2 * (100 - part)))
    large, small = (min(low, large_high), large_high), (min(small_low, small_high), small_high)
    return (large, small) if share <= 50 else (small, large)


def incompatible(stable: StateFormats, candidate: StateFormats) -> Iterator[Problem]:
    """Say why two versions cannot follow each other, or run side by side, on the same state."""
    if candidate.writes not in stable.reads:
        yield Problem(
            (),
            f"the version that runs does not read format {candidate.writes}, which the other one writes",
            f"first release one that reads {candidate.writes} and still writes {stable.writes}",
        )
    if stable.writes not in candidate.reads:
        yield Problem(
            (),
            f"the other version does not read format {stable.writes}, which the version that runs has written",
            f"it must read {stable.writes} as well",
        )
