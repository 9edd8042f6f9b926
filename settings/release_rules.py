"""Where the agents' releases do not fit each other, or the topics that they consume."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from manifests.problems import Problem

from .agents import CANDIDATES, AgentSettings, tracks
from .kafka import TopicSettings
from .rollout import StateFormats

_Agents = Mapping[str, AgentSettings]


def candidate_names(agents: _Agents) -> Iterator[Problem]:
    """A candidate bears no other agent's name."""
    for name, agent in agents.items():
        suffix = CANDIDATES.get(agent.rollout.strategy)
        if suffix and f"{name}-{suffix}" in agents:
            what = f"the candidate would be named `{name}-{suffix}`, as another agent is"
            yield Problem(("agents", name, "rollout", "strategy"), what, "rename one of them")


def partitions(agents: _Agents, topics: Mapping[str, TopicSettings]) -> Iterator[Problem]:
    """Each consumer of two versions that run side by side has a partition."""
    for name, agent in agents.items():
        running = tracks(agent)
        consumed = {topic: topics[topic].partitions for topic in agent.consumes if topic in topics}
        if len(running) < 2 or not consumed:
            continue
        widest = max(consumed, key=lambda topic: consumed[topic])
        pods = sum(track.settings.bounds[1] for track in running)
        if pods > consumed[widest]:
            setting = "scaling.max" if agent.scaling else "replicas"
            yield Problem(
                ("agents", name, "release", "share"),
                f"both versions are up to {pods} consumers of one group, and `{widest}` has {consumed[widest]} "
                "partitions, so that some would idle and the share be another",
                f"raise `kafka.topics.{widest}.partitions`, or lower `{setting}`",
            )


def shared_state(agents: _Agents) -> Iterator[Problem]:
    """Agents that share keys read what the others write, candidates included."""
    stated = {name: agent for name, agent in agents.items() if "redis" in agent.used_parts and agent.state is not None}
    for writer, writing in stated.items():
        written = {formats.writes for formats in _formats(writing)}
        for reader, reading in stated.items():
            if reader == writer or not _overlap(writing.redis_keys, reading.redis_keys):
                continue
            unread = {number for formats in _formats(reading) for number in written - set(formats.reads)}
            for number in sorted(unread):
                yield Problem(
                    ("agents", reader, "state", "reads"),
                    f"`{writer}` writes format {number} under keys that this agent may read",
                    f"first release a version of it that reads {number}, or give them other `redisKeys`",
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
