"""Workflows: what is done with a task, step by step; one file each in `workflows/`.

From below: `references`, what stands in `${...}`; `steps`, one step; `workflow`, all of them and the rules between
them; `compiled`, the form in which the services get it. Whether an environment has what a workflow needs is for
`settings.workflow_rules` to say.
"""

from .steps import AgentStep, CodeStep, HttpStep, ModelStep, Step
from .workflow import Workflow, WorkflowFile

__all__ = ["AgentStep", "CodeStep", "HttpStep", "ModelStep", "Step", "Workflow", "WorkflowFile"]
