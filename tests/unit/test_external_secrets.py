"""Secrets that the External Secrets operator fetches."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from pydantic import ValidationError

from components.agent.component import Agent
from components.agent.declaration import AgentEnvironment
from settings import AgentSecret, AgentSettings, ExternalKey, ExternalSecrets, PlatformSettings, SecretKey, Settings

from .conftest import Recorder

Render = Callable[[Callable[[], object]], Recorder]
AGENT = AgentSettings(
    image="x/y:1",
    secrets={
        "WHOLE": AgentSecret(external=ExternalKey(key="prod/whole")),
        "FIELD": AgentSecret(external=ExternalKey(key="prod/several", property="field")),
        "CONFIGURED": AgentSecret(),
    },
)
STORE = ExternalSecrets(store="vault", refresh_interval=timedelta(days=1))


def test_one_object_fetches_all_of_an_agents(render: Render) -> None:
    seen = render(lambda: Agent("a", AGENT, AgentEnvironment(external_secrets=STORE))).seen
    made = seen["ExternalSecret", "a.external"]
    assert (made["apiVersion"], made["kind"]) == ("external-secrets.io/v1", "ExternalSecret")
    spec = made["spec"]
    assert spec["secretStoreRef"] == {"kind": "ClusterSecretStore", "name": "vault"}
    assert spec["refreshInterval"] == "86400s"  # Go knows no days
    assert spec["data"] == [
        {"secretKey": "WHOLE", "remoteRef": {"key": "prod/whole"}},
        {"secretKey": "FIELD", "remoteRef": {"key": "prod/several", "property": "field"}},
    ]
    env = seen["Deployment", "a"]["spec"]["template"]["spec"]["containers"][0]["env"]
    refs = {v["name"]: v["valueFrom"]["secretKeyRef"]["name"] for v in env if "secretKeyRef" in v["valueFrom"]}
    assert refs == {"WHOLE": spec["target"]["name"], "FIELD": spec["target"]["name"], "CONFIGURED": "a"}


def test_without_one_there_is_no_object(render: Render) -> None:
    settings = AgentSettings(image="x/y:1", secrets={"CONFIGURED": AgentSecret()})
    assert "ExternalSecret" not in render(lambda: Agent("a", settings)).kinds()


def test_they_need_a_store() -> None:
    with pytest.raises(ValidationError, match=r"agents\.a\.secrets\.FIELD\.external: no store to read it from"):
        Settings(agents={"a": AGENT}, secrets=frozenset({"CONFIGURED"}))
    platform = PlatformSettings(external_secrets=STORE)
    # An external secret is given: only the configured one is asked for.
    with pytest.raises(ValidationError) as error:
        Settings(agents={"a": AGENT}, platform=platform)
    assert [line for line in str(error.value).splitlines() if "required and not given" in line] != []
    assert "WHOLE" not in str(error.value)
    Settings(agents={"a": AGENT}, platform=platform, secrets=frozenset({"CONFIGURED"}))


def test_one_source_each() -> None:
    key = ExternalKey(key="k")
    with pytest.raises(ValidationError, match="external: the value comes from `existingSecret` already"):
        AgentSecret(external=key, existing_secret=SecretKey(name="s", key="k"))
    with pytest.raises(ValidationError, match="required: the operator makes all"):
        AgentSecret(external=key, required=False)
