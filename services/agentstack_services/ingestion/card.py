"""The agent card: what the workflows can do, and where they are asked."""

from __future__ import annotations

from a2a.types.a2a_pb2 import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from a2a.utils.constants import PROTOCOL_VERSION_1_0, TransportProtocol

from agentstack_services.workflows.catalogue import Catalogue
from agentstack_services.workflows.model import Step

RPC_PATH = "/rpc"
"""Where JSON-RPC is spoken; HTTP+JSON begins at the root."""
_TEXT = ("text/plain",)


def card(*, name: str, version: str, url: str, catalogue: Catalogue, default_workflow: str | None) -> AgentCard:
    """Return the card of the agent at `url` (without a slash at its end), as the workflows are now."""
    default = f" Without one it is {default_workflow}." if default_workflow else ""
    bindings = ((TransportProtocol.HTTP_JSON, url), (TransportProtocol.JSONRPC, url + RPC_PATH))
    return AgentCard(
        name=name,
        description=f"Runs workflows. A message names one in its metadata, as `workflow`.{default}",
        version=version,
        supported_interfaces=[
            AgentInterface(url=where, protocol_binding=binding, protocol_version=PROTOCOL_VERSION_1_0)
            for binding, where in bindings
        ],
        capabilities=AgentCapabilities(streaming=True, push_notifications=False, extended_agent_card=False),
        default_input_modes=_TEXT,
        default_output_modes=(*_TEXT, "application/json"),
        skills=[_skill(catalogue, workflow) for workflow in catalogue.names],
    )


def _skill(catalogue: Catalogue, name: str) -> AgentSkill:
    workflow = catalogue.lookup(name)
    kinds = sorted({_kind(step) for step in workflow.steps.values()}) if workflow else []
    description = (workflow.description if workflow else "") or f"The workflow {name}."
    return AgentSkill(id=name, name=name, description=description, tags=["workflow", *kinds])


def _kind(step: Step) -> str:
    """Return what does the step: model, agent, http or code."""
    return type(step.call).__name__.removesuffix("Call").lower()
