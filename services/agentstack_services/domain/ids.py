"""The ids of conversations, tasks, steps and what they leave behind.

They are made from what a client sent, so that any replica makes the same ones of the same message: that is what makes a
repeated request, command or result recognisable.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Final

_NAMESPACE: Final = uuid.UUID("6f0d0a53-6d0e-5d36-9d8e-3c1f5f4cf0a4")
_DIGEST_LENGTH: Final = 20
"""Hexadecimal digits, 80 bits: within one conversation, no two messages will ever share them."""
CONVERSATION_LENGTH: Final = 100
"""Characters of a conversation's id at most: a task's id, which begins with it, fits where 128 are allowed."""


def conversation_of_message(message_id: str) -> str:
    """Return the conversation that a message without one begins."""
    return str(uuid.uuid5(_NAMESPACE, message_id))


def task_of_message(conversation: str, message_id: str) -> str:
    """Return the task that a message of a client starts. It names its conversation: no index has to be kept."""
    return f"{conversation}.{_digest(message_id)}"


def conversation_of_task(task: str) -> str:
    """Return the conversation of `task`.

    Raises:
        ValueError: `task` is no id of a task.
    """
    conversation, _, digest = task.rpartition(".")
    if not conversation or len(digest) != _DIGEST_LENGTH or set(digest) - set("0123456789abcdef"):
        raise ValueError("not the id of a task")
    return conversation


def command_id(task: str, step: str, item: int | None) -> str:
    """Return the id of a command, and of its result: the same however often the command is sent."""
    return f"{task}/{step}" if item is None else f"{task}/{step}/{item}"


def task_name(task: str) -> str:
    """Return under which name of its conversation the task's projection is kept."""
    return f"task.{task.rpartition('.')[2]}"


def output_name(task: str, step: str, item: int | None = None) -> str:
    """Return under which name of its conversation the output of a step is kept, or of one item of it."""
    name = f"output.{task.rpartition('.')[2]}.{step}"
    return name if item is None else f"{name}.{item}"


def input_name(task: str) -> str:
    """Return under which name of its conversation the client's text is kept."""
    return f"input.{task.rpartition('.')[2]}"


def lock_name(task: str, step: str, item: int | None = None) -> str:
    """Return the lock of its conversation that whoever does a step holds, or one item of it."""
    return output_name(task, step, item).replace("output.", "step.", 1)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]
