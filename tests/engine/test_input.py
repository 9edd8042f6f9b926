"""Bad input under the engine: one message, no traceback, nothing registered, no secret. Needs no cluster."""

from __future__ import annotations

from .conftest import Project


def test_bad_input_is_one_message_and_registers_nothing(project: Project) -> None:
    project.pulumi("config", "set", "--path", "agentstack:redis.shards", "2")
    try:
        said = project.pulumi("preview", code=None)
    finally:
        project.pulumi("config", "set", "--path", "agentstack:redis.shards", "3")
    assert "agentstack:redis.shards: a Redis Cluster needs at least 3 shards, not 2" in said
    assert "Traceback" not in said
    assert "kubernetes:" not in said


def test_a_secret_in_plain_text_is_refused(project: Project) -> None:
    project.pulumi("config", "set", "--plaintext", "--path", "agentstack:secrets.OPENAI_API_KEY", "hunter2")
    try:
        said = project.pulumi("preview", code=None)
    finally:
        project.pulumi("config", "rm", "agentstack:secrets")
    assert "agentstack:secrets.OPENAI_API_KEY: a secret in plain text" in said
    assert "hunter2" not in said
