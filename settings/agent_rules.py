"""What does not go together in the settings of one agent."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from manifests.problems import Problem
from manifests.text import suggestion

from .agent_fields import AgentFields
from .kinds import NO_RELEASE, REFUSED
from .model import SetsVariables
from .rollout import incompatible
from .sections import CONNECTED
from .types import duration_text

_ALWAYS_SET = {"AGENT_NAME", "LONGEST_TASK_SECONDS", "METRICS_PORT", "POD_NAME", "PORT"}
_NEEDED = {"fleet": "{devices: [a, b]}", "cron": "{schedule: '0 3 * * *'}"}


def mistakes(agent: AgentFields) -> Iterator[Problem]:
    """Yield every mistake in an agent whose fields are valid, each by itself."""
    yield from _kind(agent)
    if agent.kind == "service":  # to the other kinds neither belongs, which is said already
        yield from _scaling(agent)
        yield from _release(agent)
    yield from _variables(agent)
    yield from _requests(agent)


def _kind(agent: AgentFields) -> Iterator[Problem]:
    for field, (what, remedy) in REFUSED[agent.kind].items():
        if getattr(agent, field) not in (None, ()):
            yield Problem((field,), what, remedy)
    if agent.kind in ("job", "cron") and agent.reload == "file":
        yield Problem(("reload",), "a pod that ends reads its configuration when it starts", "remove it")
    if agent.kind != "service" and agent.rollout.strategy != "rolling":
        yield Problem(("rollout",), NO_RELEASE, "change `image`, and remove it")
    if agent.kind in _NEEDED and getattr(agent, agent.kind) is None:
        example = f"{agent.kind}: {_NEEDED[agent.kind]}"
        yield Problem((agent.kind,), "is missing", f"`kind: {agent.kind}` needs it, for example `{example}`")
    if agent.probes is None and agent.kind in ("service", "fleet"):
        yield Problem(("probes",), "pods that do not end need them", "remove `probes: null`")


def _scaling(agent: AgentFields) -> Iterator[Problem]:
    scaling, queue = agent.scaling, agent.queue
    if scaling is not None and agent.replicas is not None:
        yield Problem(
            ("replicas",),
            "the autoscaler owns the number of pods",
            "remove `replicas` or `scaling` (in an environment, set the one that does not apply to `null`)",
        )
    if scaling is None or queue is None:
        return
    if queue.topic is not None and queue.topic not in agent.consumes:
        yield Problem(
            ("scaling", "queue", "topic"),
            f"the agent does not consume `{queue.topic}`",
            suggestion(queue.topic, agent.consumes, "add it to `consumes`"),
        )
    yield from _redis_queue(agent)
    if scaling.min > 0:
        return
    unseen = [topic for topic in agent.consumes if topic != queue.topic]
    # A topic that the queue does not name rightly would seem to be another one.
    if unseen and (queue.topic is None or queue.topic in agent.consumes):
        yield Problem(
            ("scaling", "min"),
            f"without pods nobody reads `{unseen[0]}`, and the queue says nothing of it",
            "write `min: 1`, or leave that topic to another agent",
        )
    if agent.public is not None:
        yield Problem(("scaling", "min"), "a public agent without pods answers nobody", "write `min: 1`")


def _redis_queue(agent: AgentFields) -> Iterator[Problem]:
    queue = agent.queue
    if queue is None or queue.redis_key is None:
        return
    path = ("scaling", "queue", "redisList" if queue.redis_list else "redisStream")
    if "redis" not in agent.used_parts:
        yield Problem(path, "the agent does not use Redis", "write `uses: [redis]`")
    elif not any(fnmatchcase(queue.redis_key, pattern) for pattern in agent.redis_keys):
        patterns = ", ".join(f"`{pattern}`" for pattern in agent.redis_keys)
        yield Problem(path, f"`{queue.redis_key}` is not among its keys ({patterns})", "add it to `redisKeys`")


def _release(agent: AgentFields) -> Iterator[Problem]:
    strategy, release = agent.rollout.strategy, agent.release
    if strategy == "blueGreen" and (agent.consumes or agent.queue):
        yield Problem(
            ("rollout", "strategy"),
            "blueGreen switches a Service, and topics and queues come without one, so that both versions would consume",
            "use `canary` or `rolling`",
        )
    if release is None:
        return
    allowed = {"rolling": "100", "canary": "1 to 100", "blueGreen": "0 or 100"}[strategy]
    fits = {"rolling": release.share == 100, "canary": release.share > 0, "blueGreen": release.share in (0, 100)}
    if not fits[strategy]:
        what = f"{release.share} does not fit `rollout: {strategy}`"
        yield Problem(("release", "share"), what, f"write {allowed}")
    if release.state is not None and agent.state is not None:
        yield from (problem.below("release", "state") for problem in incompatible(agent.state, release.state))


def _variables(agent: AgentFields) -> Iterator[Problem]:
    taken = _ALWAYS_SET.union(*(CONNECTED[name].variables for name in agent.used_parts))
    for field in type(agent).model_fields:
        if isinstance(given := getattr(agent, field), SetsVariables):
            taken |= given.variables
    for field, names in (("env", agent.env), ("secrets", agent.secrets)):
        for name in names:
            if name in taken or name.startswith("AGENT_URL_"):
                yield Problem((field, name), "is set by the stack", "remove it")
            elif field == "env" and name in agent.secrets:
                yield Problem((field, name), "is declared under `secrets` as well", "remove one of them")


def _requests(agent: AgentFields) -> Iterator[Problem]:
    if agent.resilience is None:
        return
    longest, task = agent.resilience.longest_request, agent.shutdown.longest_task
    if longest > task:
        yield Problem(
            ("resilience", "requestTimeout"),
            f"with its retries a request may take {duration_text(longest)}, and `shutdown.longestTask` is "
            f"{duration_text(task)}",
            "raise that, or lower timeout or retries",
        )
