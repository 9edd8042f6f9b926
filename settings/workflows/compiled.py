"""The form in which services get a workflow: checked, defaults filled in, durations in seconds, one JSON document."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from .references import name_of
from .steps import Step
from .workflow import Workflow


def compiled(name: str, workflow: Workflow) -> dict[str, Any]:
    """Return a workflow as plain data: references by name, and the steps in an order in which they can be done."""
    return {
        "name": name,
        "description": workflow.description,
        "timeout": _seconds(workflow.timeout),
        "steps": {step: _step(workflow.steps[step], workflow.before(step)) for step in workflow.order},
        "output": workflow.answer,
    }


def document(name: str, workflow: Workflow) -> str:
    """Return the JSON document, with a line break at its end."""
    return json.dumps(compiled(name, workflow), indent=1, ensure_ascii=False) + "\n"


def _step(step: Step, needs: tuple[str, ...]) -> dict[str, Any]:
    return {
        step.kind: getattr(step, step.kind).model_dump(mode="json", by_alias=True, exclude_none=True),
        "forEach": name_of(step.for_each) if step.for_each is not None else None,
        "needs": list(needs),
        "output": step.output,
        "limit": step.limit,
        "timeout": _seconds(step.timeout),
        "retries": {
            "max": step.retries.max,
            "backoff": _seconds(step.retries.backoff),
            "maxBackoff": _seconds(step.retries.max_backoff),
        },
        "topic": step.topic,
    }


def _seconds(value: timedelta) -> int:
    return int(value.total_seconds())
