"""A stack with TLS: what the policies say of it, and whose Secrets it needs."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.commandline import agentstack

from .conftest import ROOT, Manifest, read


@pytest.fixture(scope="module", params=["clusterIssuer", "existingSecret"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """dev with Redis over TLS, by an issuer and by a Secret; a finding of the policies fails the preview."""
    folder = tmp_path_factory.mktemp("tls")
    settings: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
    settings["config"]["agentstack:redis"]["tls"] = {request.param: "given"}
    (folder / "Pulumi.tls.yaml").write_text(yaml.safe_dump(settings))
    file = str(folder / "Pulumi.tls.yaml")
    done = agentstack("preview", "tls", "--settings", file, "--out", str(folder / "out"))
    assert done.code == 0, done
    return read(folder / "out")


def mounted(manifest: Manifest) -> dict[str, set[str]]:
    """The keys of each Secret that a workload's pods mount."""
    volumes = manifest.get("spec", {}).get("template", {}).get("spec", {}).get("volumes", [])
    found: dict[str, set[str]] = {}
    for source in (volume["secret"] for volume in volumes if "secret" in volume):
        found.setdefault(source["secretName"], set()).update(item["key"] for item in source["items"])
    return found


def test_keys_stay_with_the_nodes_and_every_secret_is_somebodys(stack: list[Manifest]) -> None:
    certified = {
        (m["metadata"]["namespace"], m["spec"]["secretName"]) for m in stack if m["kind"] == "Certificate"
    } or {("data", "given"), ("agents", "given")}
    made = {(m["metadata"]["namespace"], m["metadata"]["name"]) for m in stack if m["kind"] == "Secret"}
    readers: dict[str, set[str]] = {}
    for manifest in stack:
        for secret, keys in mounted(manifest).items():
            place = (manifest["metadata"]["namespace"], secret)
            assert place in certified | made
            if place in certified:
                readers[manifest["metadata"]["name"]] = keys
    agents = {"orchestrator", "ingestion", "executor", "learner", "state-manager"}
    assert readers.keys() == agents | {"redis", "redis-keeper"}
    assert readers.pop("redis") == {"ca.crt", "tls.crt", "tls.key"}
    assert set.union(*readers.values()) == {"ca.crt"}
