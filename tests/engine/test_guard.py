"""Changes that would lose data are refused by the engine: one message, nothing changed. Needs no cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest

from .conftest import Project

SETTINGS = {
    "redis.shards": "4",
    "redis.storage": "2Gi",
    "kafka.brokers": "4",
    "kafka.topics.tasks.partitions": "6",
}


def change(project: Project, settings: Mapping[str, str]) -> None:
    pairs = [word for path, value in settings.items() for word in ("--plaintext", f"agentstack:{path}={value}")]
    project.pulumi("config", "set-all", "--path", *pairs)


def state(project: Project) -> dict[str, object]:
    resources = json.loads(project.pulumi("stack", "export"))["deployment"]["resources"]
    # Not the outputs: secrets among them are encrypted again at each write.
    return {resource["urn"]: (resource.get("inputs"), resource.get("id")) for resource in resources}


@pytest.fixture(scope="module")
def guarded(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A stack with the guard and one child, as it is after an `up` with `SETTINGS`."""
    stack = project.beside(tmp_path_factory.mktemp("guarded"), "guarded_program.py", stack="dev")
    (stack.folder / "agents").mkdir()
    stack.pulumi("config", "set", "--path", "agentstack:gateway.enabled", "false")
    change(stack, SETTINGS)
    stack.pulumi("up", "--yes", "--skip-preview")
    return stack


@pytest.fixture
def settings(guarded: Project) -> Iterator[Project]:
    """The stack, with settings that the test may change."""
    file = guarded.folder / "Pulumi.dev.yaml"
    text = file.read_text()
    yield guarded
    file.write_text(text)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("redis.shards", "3", "redis.shards: 4 -> 3: it stops the nodes with the highest numbers"),
        ("redis.storage", "1Gi", "redis.storage: 2Gi -> 1Gi: a claim never shrinks"),
        ("platform.storageClass", "fast", "platform.storageClass: the default -> fast: a claim keeps its class"),
        ("kafka.controllers", "5", "kafka.controllers: 3 -> 5: the voters of the metadata quorum are fixed"),
        (
            "kafka.topics.tasks.partitions",
            "5",
            "kafka.topics.tasks.partitions: 6 -> 5: Kafka cannot take partitions away",
        ),
    ],
)
def test_a_preview_refuses(settings: Project, path: str, value: str, message: str) -> None:
    before = state(settings)
    change(settings, {path: value})
    said = settings.pulumi("preview", code=1)
    assert message in said.partition("Diagnostics:")[2]
    assert "Traceback" not in said
    assert "random:" not in said, "a child was registered"
    assert state(settings) == before


def test_up_without_a_preview_refuses_before_anything_changes(settings: Project) -> None:
    before = state(settings)
    change(settings, {"redis.shards": "3", "kafka.brokers": "3"})
    said = settings.pulumi("up", "--yes", "--skip-preview", code=1)
    assert "redis.shards: 4 -> 3" in said
    assert "kafka.brokers: 4 -> 3" in said
    assert "Traceback" not in said
    assert state(settings) == before


def test_what_is_accepted_and_what_loses_nothing_goes_through(settings: Project) -> None:
    change(settings, {"redis.shards": "3", "redis.storage": "3Gi"})
    settings.pulumi("config", "set", "--path", "agentstack:platform.safeguards.accept[0]", "redis.shards: 4 -> 3")
    assert "1 to replace" in settings.pulumi("preview")


def test_a_date_is_read_as_it_is_written(settings: Project) -> None:
    entry = "{resource: redis.shards, until: 2026-12-01, reason: a backup is there}"
    file = settings.folder / "Pulumi.dev.yaml"
    text = file.read_text()
    file.write_text(
        text.replace(
            "config:\n", f"config:\n  agentstack:platform: {{safeguards: {{approvedReplacements: [{entry}]}}}}\n"
        )
    )
    settings.pulumi("preview", "--expect-no-changes")
