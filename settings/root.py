"""All settings of one stack."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationInfo, field_validator

from manifests.problems import Problem

from .agents import AgentSettings
from .demands import Demands, demands
from .inference import InferenceSettings
from .sections import Sections
from .stack_rules import mistakes
from .types import AgentName, DnsLabel, EnvName
from .workflows import Workflow


class Settings(Sections):
    """The validated settings of one stack.

    Raises `pydantic.ValidationError`; rules between parts give one line per mistake, `path: mistake: remedy`.
    """

    agents: dict[AgentName, AgentSettings] = {}
    """The agents that are deployed, by name."""
    disabled: dict[AgentName, AgentSettings] = {}
    """The agents that this environment does without."""
    workflows: dict[DnsLabel, Workflow] = {}
    """What is done with tasks, by name."""
    secrets: frozenset[EnvName] = frozenset()
    """The names of the secrets that are given; their values never enter the settings."""

    @field_validator("agents", "disabled")
    @classmethod
    def _complete_inference(cls, agents: dict[str, AgentSettings], info: ValidationInfo) -> dict[str, AgentSettings]:
        defaults = info.data.get("inference") or InferenceSettings()
        return {
            name: agent.model_copy(update={"inference": defaults.completed(agent.inference)})
            if agent.inference
            else agent
            for name, agent in agents.items()
        }

    def problems(self) -> Iterator[Problem]:
        """The parts fit each other."""
        return mistakes(self, self.agents, self.disabled, self.workflows, self.secrets)

    def demands(self) -> Demands:
        """Return what the pods of each namespace ask for."""
        return demands(self.agents, self)
