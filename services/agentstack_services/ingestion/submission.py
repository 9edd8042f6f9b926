"""What a client's message asks for, checked. Pure, and the first place that sees it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from a2a.types.a2a_pb2 import Message, Role
from a2a.utils.errors import ContentTypeNotSupportedError, InvalidParamsError

from agentstack_services.domain.ids import CONVERSATION_LENGTH, conversation_of_message, task_of_message
from agentstack_services.domain.messages import TaskSubmitted
from agentstack_services.workflows.model import Workflow

TEXT_BYTES: Final = 256 * 1024
"""Bytes of a message's text, as JSON in UTF-8. Kafka's form of it, ASCII alone, has at most three times as many, which
is below its default of 1 MiB a message; so has the state's."""
MESSAGE_ID_LENGTH: Final = 200
CONVERSATION: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{CONVERSATION_LENGTH}}}")
WORKFLOW: Final = "workflow"
"""The key of a message's metadata that names the workflow."""


@dataclass(frozen=True)
class Rules:
    """What is accepted."""

    workflows: Mapping[str, Workflow]
    default_workflow: str | None = None
    text_bytes: int = TEXT_BYTES


def submission(message: Message, rules: Rules) -> TaskSubmitted:
    """Return the task that `message` asks for.

    Raises:
        InvalidParamsError: a field is missing, too long or of the wrong form, or the workflow is unknown.
        ContentTypeNotSupportedError: a part is no text.
    """
    message_id = message.message_id
    if not message_id or len(message_id) > MESSAGE_ID_LENGTH or not message_id.isprintable():
        raise InvalidParamsError(f"message.messageId: must have 1 to {MESSAGE_ID_LENGTH} printable characters")
    if message.role != Role.ROLE_USER:
        raise InvalidParamsError("message.role: must be ROLE_USER")
    conversation = message.context_id or conversation_of_message(message_id)
    if not CONVERSATION.fullmatch(conversation):
        raise InvalidParamsError(
            f"message.contextId: must have 1 to {CONVERSATION_LENGTH} characters of A-Z, a-z, 0-9, '.', '_' and '-'"
        )
    return TaskSubmitted(
        conversation=conversation,
        task=task_of_message(conversation, message_id),
        definition=_workflow(message, rules),
        client_message_id=message_id,
        text=_text(message, rules.text_bytes),
    )


def _text(message: Message, limit: int) -> str:
    for number, part in enumerate(message.parts):
        if part.WhichOneof("content") != "text":
            raise ContentTypeNotSupportedError(f"message.parts[{number}]: only text parts are taken")
    text = "\n".join(part.text for part in message.parts)
    if not text.strip():
        raise InvalidParamsError("message.parts: there is no text in them")
    if len(json.dumps(text, ensure_ascii=False).encode()) > limit:
        raise InvalidParamsError(f"message.parts: more than {limit} bytes of text, as JSON")
    return text


def _workflow(message: Message, rules: Rules) -> Workflow:
    known = ", ".join(sorted(rules.workflows)) or "none"
    if WORKFLOW not in message.metadata:
        if rules.default_workflow is None:
            raise InvalidParamsError(f"message.metadata.{WORKFLOW}: missing; known are: {known}")
        name: object = rules.default_workflow
    else:
        name = message.metadata[WORKFLOW]
    if not isinstance(name, str):
        raise InvalidParamsError(f"message.metadata.{WORKFLOW}: must be a text; known are: {known}")
    if name not in rules.workflows:
        nearest = difflib.get_close_matches(name[:100], rules.workflows, n=1)
        guess = f" did you mean {nearest[0]}?" if nearest else ""
        raise InvalidParamsError(f"message.metadata.{WORKFLOW}: there is no such workflow;{guess} known are: {known}")
    return rules.workflows[name]
