"""The ConfigMap with the compiled workflows."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

from components.connection import Connection
from components.context import Context, Offer
from components.labels import labels
from components.workloads import metadata
from settings import Settings, Workflow
from settings.workflow_rules import OBJECT
from settings.workflows.compiled import document


class Workflows(pulumi.ComponentResource):
    """A ConfigMap `workflows` in the agents' namespace, with one JSON document `NAME.json` a workflow."""

    connection: Connection
    """How an agent reads them: as files, which the kubelet renews within about a minute."""

    def __init__(
        self,
        name: str,
        workflows: Mapping[str, Workflow],
        context: Context,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("agentstack:workflows:Workflows", name, None, opts)
        held = k8s.core.v1.ConfigMap(
            OBJECT,
            metadata=metadata(OBJECT, context.namespaces.agents, labels(OBJECT, OBJECT)),
            data={f"{workflow}.json": document(workflow, content) for workflow, content in workflows.items()},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.connection = Connection(folders={"WORKFLOWS_DIR": OBJECT}, ready=(held,))
        self.register_outputs({})


def build(settings: Settings, context: Context, opts: pulumi.ResourceOptions) -> Offer:
    """Offer the workflows to the agents that use them; without one there is no ConfigMap."""
    users = [name for name, agent in context.agents.items() if "workflows" in agent.used_parts]
    if not users:
        return Offer()
    connection = Workflows("workflows", settings.workflows, context, opts).connection
    return Offer(connections=dict.fromkeys(users, connection))
