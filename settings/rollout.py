"""How an agent's next version takes over from the one that runs: the strategy, and a release in progress."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, NonNegativeInt, model_validator

from manifests.text import quoted

from .model import Model
from .types import Duration

if TYPE_CHECKING:
    from .agents import AgentSettings
    from .root import Settings

Strategy = Literal["rolling", "canary", "blueGreen"]

_CANDIDATE = {"canary": "canary", "blueGreen": "green"}
_STABLE = {"canary": "stable", "blueGreen": "blue"}


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

    @model_validator(mode="after")
    def _keeps_what_it_has(self) -> Self:
        if self.keep_for is not None and self.strategy != "blueGreen":
            raise ValueError("keepFor: belongs to `strategy: blueGreen`: remove it")
        return self


def _spelled_out(value: object) -> object:
    return {"strategy": value} if isinstance(value, str) else value


RolloutSetting = Annotated[Rollout, BeforeValidator(_spelled_out, json_schema_input_type=Strategy | Rollout)]
"""A `Rollout`, or its strategy alone."""


class StateFormats(Model):
    """The versions of the format in which an agent keeps its state, such as checkpoints, under its `redisKeys`."""

    reads: tuple[NonNegativeInt, ...] = Field(min_length=1)
    writes: NonNegativeInt

    @model_validator(mode="after")
    def _reads_its_own(self) -> Self:
        if self.writes not in self.reads:
            raise ValueError(f"writes: {self.writes} is not among `reads`: an agent reads what it wrote: add it")
        return self

    def __str__(self) -> str:
        return f"reads {', '.join(map(str, sorted(self.reads)))}, writes {self.writes}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote."""
        *reads, writes = (int(number) for number in re.findall(r"\d+", text))
        return cls(reads=tuple(reads), writes=writes)


def _version(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|sha256:[0-9a-f]{64}", text):
        raise ValueError(f"{quoted(text)} is not a version: write the tag of an image, or a digest (`sha256:...`)")
    if text == "latest":
        raise ValueError("`latest` changes under a running release: write a tag that stays")
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
        raise ValueError(f"{quoted(text)} is not a time as in RFC 3339: write for example `2026-01-31T09:30:00+00:00`")
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


@dataclass(frozen=True)
class Track:
    """One of the versions that run side by side: a Deployment of its own."""

    label: str | None
    """The value of the pods' label `agentstack.dev/track`; None where there is only ever one."""
    suffix: str
    """What the names of its objects have behind the agent's name."""
    settings: AgentSettings
    """The agent's settings, with the track's image and number of pods."""
    serves: bool = True
    """Whether requests reach it."""


def with_version(image: str, version: str) -> str:
    """Return `image` with another tag, or with a digest."""
    name = image.split("@")[0]
    folder, slash, last = name.rpartition("/")
    repository = folder + slash + last.partition(":")[0]
    return f"{repository}{'@' if version.startswith('sha256:') else ':'}{version}"


def version_of(image: str) -> str:
    """Return the tag of `image`, or its digest where it has one."""
    return image.partition("@")[2] or image.rpartition("/")[2].partition(":")[2]


def tracks(agent: AgentSettings) -> tuple[Track, ...]:
    """Return the versions of `agent` that run: the stable one first, then the candidate of a release."""
    strategy, release = agent.rollout.strategy, agent.release
    label = _STABLE.get(strategy)
    if release is None or release.aborted:
        return (Track(label, "", agent),)
    candidate = agent.model_copy(update={"image": with_version(agent.image, release.version)})
    if strategy == "rolling" or (strategy == "canary" and release.share == 100):
        return (Track(label, "", candidate),)
    suffix = f"-{_CANDIDATE[strategy]}"
    if strategy == "blueGreen":
        switched = release.share == 100
        return Track(label, "", agent, not switched), Track(_CANDIDATE[strategy], suffix, candidate, switched)
    low, high = agent.bounds
    # Of an agent that is scaled to zero, too, both versions have a pod: a share of none is none.
    stable, canary = split(max(1, low), high, release.share)
    return (
        Track(label, "", _sized(agent, stable, 100 - release.share)),
        Track(_CANDIDATE[strategy], suffix, _sized(candidate, canary, release.share)),
    )


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


def _sized(agent: AgentSettings, bounds: Bounds, share: int) -> AgentSettings:
    """Return one version's part of `agent`: its number of pods, and of what waits `share` percent."""
    low, high = bounds
    scaling = agent.scaling
    if scaling is None:
        return agent.model_copy(update={"replicas": low})
    sized: dict[str, object] = {"min": low, "max": high}
    if scaling.queue is not None:
        fallback = min(max(low, scaling.fallback_replicas), high)
        sized["queue"] = scaling.queue.model_copy(
            update={
                # Both versions are told of all that waits.
                "lag_per_replica": -(-scaling.queue.lag_per_replica * 100 // share),
                "fallback": scaling.queue.fallback.model_copy(update={"replicas": fallback}),
            }
        )
    return agent.model_copy(update={"scaling": scaling.model_copy(update=sized)})


def check(agent: AgentSettings) -> None:
    """Raise `ValueError` where an agent's release does not fit its strategy, or its state."""
    strategy, release = agent.rollout.strategy, agent.release
    if strategy == "blueGreen" and (agent.consumes or (agent.scaling and agent.scaling.queue)):
        raise ValueError(
            "rollout.strategy: blueGreen switches a Service, and topics and queues come without one, so that both "
            "versions would consume: use `canary` or `rolling`"
        )
    if release is None:
        return
    allowed = {"rolling": "100", "canary": "1 to 100", "blueGreen": "0 or 100"}[strategy]
    fits = {"rolling": release.share == 100, "canary": release.share > 0, "blueGreen": release.share in (0, 100)}
    if not fits[strategy]:
        raise ValueError(f"release.share: {release.share} does not fit `rollout: {strategy}`: write {allowed}")
    if release.state is not None and agent.state is not None:
        for problem in incompatible(agent.state, release.state):
            raise ValueError(f"release.state: {problem}")


def incompatible(stable: StateFormats, candidate: StateFormats) -> Iterator[str]:
    """Say why two versions cannot follow each other, or run side by side, on the same state."""
    if candidate.writes not in stable.reads:
        yield (
            f"the version that runs does not read format {candidate.writes}, which the other one writes: first release "
            f"one that reads {candidate.writes} and still writes {stable.writes}"
        )
    if stable.writes not in candidate.reads:
        yield (
            f"the other version does not read format {stable.writes}, which the version that runs has written: it must "
            f"read {stable.writes} as well"
        )


def problems(settings: Settings) -> Iterator[str]:
    """Yield a line for each release that does not fit the rest of the stack: names, partitions, shared state."""
    yield from _names(settings.agents)
    if settings.kafka.mode != "external":
        yield from _partitions(settings)
    yield from _shared_state(settings.agents)


def _names(agents: Mapping[str, AgentSettings]) -> Iterator[str]:
    for name, agent in agents.items():
        suffix = _CANDIDATE.get(agent.rollout.strategy)
        if suffix and f"{name}-{suffix}" in agents:
            yield (
                f"agents.{name}.rollout.strategy: the candidate would be named `{name}-{suffix}`, as another agent is: "
                "rename one of them"
            )


def _partitions(settings: Settings) -> Iterator[str]:
    for name, agent in settings.agents.items():
        running = tracks(agent)
        topics = {topic: settings.kafka.topics[topic] for topic in agent.consumes if topic in settings.kafka.topics}
        if len(running) < 2 or not topics:
            continue
        widest = max(topics, key=lambda topic: topics[topic].partitions)
        pods = sum(track.settings.bounds[1] for track in running)
        if pods > topics[widest].partitions:
            setting = "scaling.max" if agent.scaling else "replicas"
            yield (
                f"agents.{name}.release.share: both versions are up to {pods} consumers of one group, and `{widest}` "
                f"has {topics[widest].partitions} partitions, so that some would idle and the share be another: raise "
                f"`kafka.topics.{widest}.partitions`, or lower `{setting}`"
            )


def _shared_state(agents: Mapping[str, AgentSettings]) -> Iterator[str]:
    """Agents that share keys must read what the others write, candidates included."""
    stated = {name: agent for name, agent in agents.items() if agent.uses_redis and agent.state is not None}
    for writer, writing in stated.items():
        written = {formats.writes for formats in _formats(writing)}
        for reader, reading in stated.items():
            if reader == writer or not _overlap(writing.redis_keys, reading.redis_keys):
                continue
            for formats in _formats(reading):
                for missing in sorted(written - set(formats.reads)):
                    yield (
                        f"agents.{reader}.state.reads: `{writer}` writes format {missing} under keys that this agent "
                        f"may read: first release a version of it that reads {missing}, or give them other `redisKeys`"
                    )


def _formats(agent: AgentSettings) -> Iterator[StateFormats]:
    if agent.state is not None:
        yield agent.state
        if agent.release is not None and agent.release.state is not None and not agent.release.aborted:
            yield agent.release.state


def _overlap(ours: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Whether a key may match patterns of both: by the text before the first wildcard, which errs on the safe side."""
    heads = [[pattern.split("*")[0].split("?")[0].split("[")[0] for pattern in side] for side in (ours, theirs)]
    return any(a.startswith(b) or b.startswith(a) for a in heads[0] for b in heads[1])
