"""Where workflows ask for what the environment does not have: topics, agents, models, ways out, time."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from manifests.problems import Problem
from manifests.text import suggestion

from .agents import AgentSettings
from .inference import is_address
from .network import Egress
from .sections import Sections
from .types import duration_text
from .workflows import AgentStep, HttpStep, ModelStep, Step, Workflow
from .workflows.compiled import document

OBJECT: Final = "workflows"
"""The name of the ConfigMap that holds them, in the agents' namespace."""

# https://kubernetes.io/docs/concepts/configuration/configmap/#motivation
_LARGEST: Final = 1024 * 1024
"""Bytes that a ConfigMap holds."""
_LONGEST: Final = 256 * 1024
"""Bytes of one workflow. It goes with each task into Kafka, whose messages have 1 MiB, beside the client's text."""
_SERVICE_PORT: Final = 80
"""The port of every agent's Service."""


def workflow_mistakes(
    workflows: Mapping[str, Workflow],
    agents: Mapping[str, AgentSettings],
    disabled: Collection[str],
    stack: Sections,
) -> Iterator[Problem]:
    """Yield what does not fit, where some agent uses workflows: without one, nobody would do them."""
    users = [name for name, agent in agents.items() if "workflows" in agent.used_parts]
    if not users:
        return
    if OBJECT in agents:
        yield Problem(("agents", OBJECT), "is the name of the ConfigMap with the workflows", "choose another")
    if not workflows:
        for name in users:
            path = ("agents", name, "uses", agents[name].uses.index("workflows"))
            yield Problem(path, "there are no workflows", "write `workflows/NAME.yaml`, or remove it")
    rules = _Rules(workflows, agents, disabled, stack)
    for name, workflow in workflows.items():
        if workflow.timeout > stack.redis.checkpoint_ttl:
            yield Problem(
                ("workflows", name, "timeout"),
                f"{duration_text(workflow.timeout)} is above `redis.checkpointTtl` of "
                f"{duration_text(stack.redis.checkpoint_ttl)}, after which nobody knows how far the task is",
                "lower it, or raise that",
            )
        for step, content in workflow.steps.items():
            yield from (problem.below("workflows", name, "steps", step) for problem in rules.of(content))
    sizes = {name: len(document(name, workflow).encode()) for name, workflow in workflows.items()}
    largest = max(sizes, key=lambda name: sizes[name], default="")
    too_long = [name for name, size in sizes.items() if size > _LONGEST]
    for name in too_long:
        what = f"has {sizes[name]:,} bytes, and {_LONGEST:,} fit into the event that begins a task"
        yield Problem(("workflows", name), what, "shorten its texts")
    if (total := sum(sizes.values())) > _LARGEST and not too_long:
        what = f"all workflows together have {total:,} bytes, and a ConfigMap holds {_LARGEST:,}"
        yield Problem(("workflows", largest), what, "shorten this one, which is the largest")


@dataclass(frozen=True)
class _Rules:
    """What a step is held against."""

    workflows: Mapping[str, Workflow]
    agents: Mapping[str, AgentSettings]
    disabled: Collection[str]
    stack: Sections

    def of(self, step: Step) -> Iterator[Problem]:
        """Yield the mistakes of one step, with paths that begin at it."""
        kafka = self.stack.kafka
        if kafka.mode != "external" and step.topic not in kafka.topics:
            remedy = suggestion(step.topic, kafka.topics, "declare it under `kafka.topics`")
            yield Problem(("topic",), f"unknown topic `{step.topic}`", remedy)
            return
        if not any(step.topic in agent.produces for agent in self.agents.values()):
            what = f"no agent produces `{step.topic}`, so that nobody would give the step out"
            yield Problem(("topic",), what, "add it to `produces` of the one that does, such as the orchestrator")
        doers = {name: agent for name, agent in self.agents.items() if step.topic in agent.consumes}
        if not doers:
            consumed = {topic for agent in self.agents.values() for topic in agent.consumes}
            remedy = suggestion(step.topic, consumed, "add it to `consumes` of the one that is to do the step")
            yield Problem(("topic",), f"no agent consumes `{step.topic}`", remedy)
        yield from self._called(step)
        for name, doer in doers.items():
            yield from self._done_by(name, doer, step)

    def _called(self, step: Step) -> Iterator[Problem]:
        if step.agent is None:
            return
        wanted, path = step.agent.name, ("agent", "name")
        if wanted in self.disabled:
            yield Problem(path, f"`{wanted}` is not enabled here", "enable it, or drop the step")
        elif (called := self.agents.get(wanted)) is None:
            yield Problem(path, f"unknown agent `{wanted}`", suggestion(wanted, self.agents))
        elif called.kind != "service":
            what = f"`{wanted}` is of `kind: {called.kind}`, which has no Service"
            yield Problem(path, what, "name one that serves, or send it a message through Kafka")
        elif "workflows" in called.used_parts and (own := step.agent.workflow) not in (None, *self.workflows):
            yield Problem(("agent", "workflow"), f"unknown workflow `{own}`", suggestion(own, self.workflows))

    def _done_by(self, name: str, doer: AgentSettings, step: Step) -> Iterator[Problem]:
        longest = doer.shutdown.longest_task
        if step.longest > longest:
            yield Problem(
                ("timeout",),
                f"with its retries the step may take {duration_text(step.longest)}, and `shutdown.longestTask` of "
                f"`{name}`, which does it, is {duration_text(longest)}",
                "raise that, or lower the step's timeout or retries",
            )
        if step.model is not None:
            yield from self._asks(name, doer, step.model)
        if step.agent is not None:
            yield from self._calls(name, doer, step.agent)
        if step.http is not None:
            yield from self._requests(name, doer, step.http)

    def _asks(self, name: str, doer: AgentSettings, call: ModelStep) -> Iterator[Problem]:
        used, own = doer.inference, self.stack.inference
        if used is None:
            what = f"`{name}` does the step, and has no `inference`"
            yield Problem(("model",), what, "write `inference: {}` there, or another `topic` here")
        elif call.name is None:
            return
        elif used.backend == "onnx":
            what = f"`{name}` does the step, whose onnx model is the only one that it has"
            yield Problem(("model", "name"), what, "remove it, or write another `topic`")
        elif own.runs is not None and (used.backend, used.endpoint) == (own.backend, None) and call.name != own.model:
            what = f"the stack's {own.backend} serves `{own.model}` alone"
            yield Problem(("model", "name"), what, "remove it, or write another `topic`")

    def _calls(self, name: str, doer: AgentSettings, call: AgentStep) -> Iterator[Problem]:
        if call.name in self.agents and call.name not in doer.calls:
            what = f"`{name}` does the step, and does not call `{call.name}`"
            yield Problem(("agent", "name"), what, f"add it to `calls` of `{name}`")

    def _requests(self, name: str, doer: AgentSettings, call: HttpStep) -> Iterator[Problem]:
        host, path = str(call.target.hostname), ("http", "url")
        called, _, domain = host.partition(".")
        inside = f"{self.stack.namespaces.agents.name}.svc"
        if called in self.agents and (not domain or domain == inside or domain.startswith(f"{inside}.")):
            if called not in doer.calls:
                what = f"`{name}` does the step, and does not call `{called}`"
                yield Problem(path, what, f"add it to `calls` of `{name}`")
            elif call.port != _SERVICE_PORT or call.target.scheme != "http":
                yield Problem(path, f"`{called}` serves plain HTTP on port 80", f"write `http://{called}/...`")
        elif not any(_lets_through(way, host, call.port) for way in doer.egress):
            what = f"`{name}` does the step, and may not connect to {host}:{call.port}"
            yield Problem(path, what, f"add that to `egress` of `{name}`")


def _lets_through(way: Egress, host: str, port: int) -> bool:
    if way.port != port:
        return False
    if way.cidr is not None and is_address(host):
        return ipaddress.ip_address(host) in ipaddress.ip_network(way.cidr, strict=False)
    # Which network a name is in, nobody knows before it is looked up.
    return way.cidr is not None or way.host == host
