"""Where the parts of a stack and its agents do not fit each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta

from manifests.problems import Problem
from manifests.text import suggestion

from .agents import AgentSettings
from .demands import demands, quotas
from .placement import Pool
from .release_rules import candidate_names, partitions, shared_state
from .sections import Sections
from .types import duration_text
from .workflow_rules import workflow_mistakes
from .workflows import Workflow

_Agents = Mapping[str, AgentSettings]


def mistakes(
    stack: Sections,
    agents: _Agents,
    disabled: _Agents,
    workflows: Mapping[str, Workflow],
    secrets: Collection[str],
) -> Iterator[Problem]:
    """Yield every mistake between parts that are valid, each by itself: rules between them need all their values."""
    if stack.kafka.mode != "external":
        yield from _topics(agents, stack.kafka.topics)
        yield from partitions(agents, stack.kafka.topics)
    yield from _calls(agents, disabled)
    yield from _scaling(agents, stack)
    yield from _fleet_names(agents)
    yield from candidate_names(agents)
    yield from _routes(agents, stack)
    yield from _inference(agents, stack)
    yield from workflow_mistakes(workflows, agents, disabled, stack)
    yield from _unused_secrets(agents, disabled, secrets)
    yield from _missing_secrets(agents, stack, secrets)
    yield from _placements(agents, stack.platform.all_pools)
    yield from quotas(demands(agents, stack))
    yield from shared_state(agents)


def _topics(agents: _Agents, topics: Collection[str]) -> Iterator[Problem]:
    for name, agent in agents.items():
        for field in ("consumes", "produces"):
            for index, topic in enumerate(getattr(agent, field)):
                if topic not in topics:
                    remedy = suggestion(topic, topics, "declare it under `kafka.topics`")
                    yield Problem(("agents", name, field, index), f"unknown topic `{topic}`", remedy)


def _calls(agents: _Agents, disabled: _Agents) -> Iterator[Problem]:
    for name, agent in agents.items():
        for index, called in enumerate(agent.calls):
            path = ("agents", name, "calls", index)
            if called in disabled:
                yield Problem(path, f"`{called}` is not enabled here", "enable it, or drop the call")
            elif called not in agents:
                yield Problem(path, f"unknown agent `{called}`", suggestion(called, agents))
            elif (kind := agents[called].kind) != "service":
                yield Problem(
                    path,
                    f"`{called}` is of `kind: {kind}`, which has no Service",
                    "let it call, or send what it finds through Kafka",
                )


def _scaling(agents: _Agents, stack: Sections) -> Iterator[Problem]:
    callers: dict[str, str] = {}
    for name, agent in agents.items():
        for called in agent.calls:
            callers.setdefault(called, name)
    topics = stack.kafka.topics if stack.kafka.mode != "external" else {}
    for name, agent in agents.items():
        scaling, queue = agent.scaling, agent.queue
        if scaling is None or queue is None:
            continue
        path = ("agents", name, "scaling")
        if stack.platform.keda is None:
            yield Problem(
                (*path, "queue"),
                "KEDA scales by queues, and the settings do not say that this cluster has it",
                "write `platform.keda: {}` where it is installed, or scale by `cpu`",
            )
        if queue.redis_key is not None and stack.redis.mode == "external":
            yield Problem(
                (*path, "queue"),
                "the login of an external Redis is a URL, which KEDA does not take",
                "scale by a topic or by `cpu`",
            )
        topic = topics.get(queue.topic or "")
        if topic is not None and scaling.max > topic.partitions:
            yield Problem(
                (*path, "max"),
                f"{scaling.max} pods share the {topic.partitions} partitions of `{queue.topic}`, and those beyond "
                "would have nothing to read",
                f"lower it, or raise `kafka.topics.{queue.topic}.partitions`",
            )
        if scaling.min == 0 and name in callers:
            what = f"agent `{callers[name]}` calls it, and without pods nobody answers"
            yield Problem((*path, "min"), what, "write `min: 1`")


def _fleet_names(agents: _Agents) -> Iterator[Problem]:
    for name, agent in agents.items():
        if agent.kind == "fleet" and f"{name}-fleet" in agents:
            what = f"is the name of the controller of the fleet `{name}`"
            yield Problem(("agents", f"{name}-fleet"), what, "rename one of them")


def _routes(agents: _Agents, stack: Sections) -> Iterator[Problem]:
    owners: dict[tuple[str, str], str] = {}
    for name, agent in agents.items():
        if agent.public is None:
            continue
        path = ("agents", name, "public")
        host = agent.public.host or stack.gateway.host
        if not stack.gateway.enabled:
            yield Problem(path, "the gateway is off", "set `gateway.enabled: true` or `public: null`")
        elif host is None:
            yield Problem((*path, "host"), "no host", "set it here or for all agents in `gateway.host`")
        elif (owner := owners.setdefault((host, agent.public.path), name)) != name:
            yield Problem(
                (*path, "path"),
                f"{host}{agent.public.path} belongs to agent `{owner}` already",
                "give one of them another host or path",
            )


def _inference(agents: _Agents, stack: Sections) -> Iterator[Problem]:
    backend, runs = stack.inference.backend, stack.inference.runs
    if runs and backend and backend in agents:
        yield Problem(("agents", backend), "is the name of the stack's model server", "choose another")
    for name, agent in agents.items():
        if agent.inference is not None:
            path = ("agents", name, "inference")
            own = stack.inference.model if runs and agent.inference.backend == backend else None
            yield from (mistake.below(*path) for mistake in agent.inference.mistakes(own))
            if agent.inference.gpus and agent.placement.gpu:
                what = "`inference.gpus` asks for them already"
                yield Problem(("agents", name, "placement", "gpu"), what, "remove one of the two")


def _unused_secrets(agents: _Agents, disabled: _Agents, secrets: Collection[str]) -> Iterator[Problem]:
    declared = {secret for agent in (*agents.values(), *disabled.values()) for secret in agent.all_secrets}
    for secret in sorted(set(secrets) - declared):
        remedy = suggestion(secret, declared, "remove it")
        yield Problem(("secrets", secret), "no agent declares this secret", remedy)


def _missing_secrets(agents: _Agents, stack: Sections, secrets: Collection[str]) -> Iterator[Problem]:
    for name, agent in agents.items():
        for secret, wanted in agent.all_secrets.items():
            path = ("agents", name, *agent.place_of(secret))
            if wanted.external and stack.platform.external_secrets is None:
                yield Problem(
                    (*path, "external"),
                    "no store to read it from",
                    "say in `platform.externalSecrets` that the cluster has the operator, or use another source",
                )
            given = secret in secrets or not stack.platform.safeguards.require_secrets
            if wanted.required and wanted.configured and not given:
                yield Problem(
                    path,
                    "required and not given",
                    f"run `pulumi config set --secret --path 'agentstack:secrets.{secret}'`, or name an "
                    "`existingSecret`",
                )


def _placements(agents: _Agents, pools: Mapping[str, Pool]) -> Iterator[Problem]:
    called = {name for agent in agents.values() for name in agent.calls}
    for name, agent in agents.items():
        chosen = agent.placement.pool
        if chosen is None:
            continue
        path = ("agents", name, "placement", "pool")
        if chosen not in pools:
            otherwise = (
                "set `platform.nodeProvider`, or describe it in `platform.pools` (`{}` where all nodes are alike)"
            )
            remedy = suggestion(chosen, pools, otherwise)
            yield Problem(path, f"this environment has no pool `{chosen}`", remedy)
        elif (notice := pools[chosen].notice) is not None and not agent.placement.interruptible:
            grace = timedelta(seconds=agent.shutdown.grace_seconds)
            if grace > notice:
                yield Problem(
                    path,
                    f"a pod needs {duration_text(grace)} to end (preStop + longestTask + 10s) and nodes of `{chosen}` "
                    f"give it {duration_text(notice)}",
                    "lower `shutdown`, choose another pool, or say `interruptible: true` if a task that is cut off is "
                    "done again",
                )
            if (agent.public or name in called) and agent.demand(name).minimum < 2:
                yield Problem(
                    path,
                    f"others wait for answers of `{name}`, and its only pod goes when its node does",
                    "run two or more, choose another pool, or say `interruptible: true`",
                )
