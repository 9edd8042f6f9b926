"""The configuration that the engine hands over: what is secret may only stand where it stays secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pulumi
import pytest
import yaml
from pulumi.runtime import mocks, set_all_config

from settings import Settings, SettingsError
from settings.engine import load_stack

from .conftest import Recorder

AGENT = {"name": "a", "image": "x/y:1", "secrets": {"KEY": {"required": True}, "OTHER": {"required": False}}}
SECURE = {"secure": "v1:abc"}


@pytest.fixture
def stack(tmp_path: Path) -> Callable[..., Settings]:
    """Load a stack from its file's content, as the engine would decrypt it."""

    def run(config: dict[str, object], decrypted: dict[str, object], secret_keys: list[str]) -> Settings:
        (tmp_path / "agents").mkdir()
        (tmp_path / "agents" / "a.yaml").write_text(yaml.safe_dump(AGENT))
        (tmp_path / "Pulumi.test.yaml").write_text(yaml.safe_dump({"config": config}))
        mocks.set_mocks(Recorder(), project="agentstack", stack="test")
        set_all_config({key: json.dumps(value) for key, value in decrypted.items()}, secret_keys)
        assert pulumi.get_stack() == "test"
        return load_stack(tmp_path)

    return run


def test_an_encrypted_secret_is_known_by_name(stack: Callable[..., Settings]) -> None:
    key = "agentstack:secrets"
    assert stack({key: {"KEY": SECURE}}, {key: {"KEY": "hunter2"}}, [key]).secrets == {"KEY"}


def test_a_plain_secret_beside_an_encrypted_one_is_refused(stack: Callable[..., Settings]) -> None:
    key = "agentstack:secrets"
    with pytest.raises(SettingsError, match="OTHER: a secret in plain text") as caught:
        stack({key: {"KEY": SECURE, "OTHER": "plain"}}, {key: {"KEY": "hunter2", "OTHER": "plain"}}, [key])
    assert "agentstack:secrets.KEY" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_encrypted_value_elsewhere_is_refused(stack: Callable[..., Settings]) -> None:
    key = "agentstack:agents"
    with pytest.raises(SettingsError, match="agentstack:agents: holds an encrypted value") as caught:
        stack({key: {"a": {"env": {"DSN": SECURE}}}}, {key: {"a": {"env": {"DSN": "hunter2"}}}}, [key])
    assert "hunter2" not in str(caught.value)
