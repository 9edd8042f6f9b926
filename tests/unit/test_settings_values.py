"""Quantities, durations and merges mean what Kubernetes and a reader think they mean."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from settings import AgentSettings, Cpu, Memory, Probes, Settings
from settings.errors import problems
from settings.model import merge
from settings.stack import load
from settings.types import Duration, duration_text, image_tag


@pytest.mark.parametrize(
    ("text", "cores"), [("500m", "0.5"), ("0.5", "0.5"), ("2", "2"), (2, "2"), (0.25, "0.25"), ("1500m", "1.5")]
)
def test_cpu(text: str | float, cores: str) -> None:
    assert Cpu(text).amount == Decimal(cores)


@pytest.mark.parametrize("text", ["0.5 core", "500mi", "-1", "1.2345", "", "1e3", "half"])
def test_cpu_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a CPU quantity"):
        Cpu(text)


@pytest.mark.parametrize(
    ("text", "size"), [("1Ki", 1024), ("512Mi", 512 * 1024**2), ("512M", 512 * 1000**2), ("1.5Gi", 3 * 1024**3 // 2)]
)
def test_memory(text: str, size: int) -> None:
    assert Memory(text).amount == size


@pytest.mark.parametrize(("text", "remedy"), [("512MB", "512Mi"), ("2gb", "2Gi"), ("1 GiB", "1Gi"), ("512", "512Mi")])
def test_memory_refused_with_a_remedy(text: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=f"`{remedy}`"):
        Memory(text)


class _Wait(BaseModel):
    time: Duration


@given(st.integers(0, 10**7))
def test_durations_survive_a_round_trip(seconds: int) -> None:
    text = duration_text(timedelta(seconds=seconds))
    assert _Wait.model_validate({"time": text}).time == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("redis:8.10.2", "8.10.2"),
        ("registry:5000/redis", None),
        ("registry:5000/redis:8", "8"),
        ("redis@sha256:" + "0" * 64, None),
        ("redis:8@sha256:" + "0" * 64, "8"),
    ],
)
def test_image_tag(image: str, tag: str | None) -> None:
    assert image_tag(image) == tag


def test_part_of_a_group_keeps_the_rest_of_its_default() -> None:
    agent = AgentSettings.model_validate({"image": "x/y:1", "probes": {"liveness": {"path": "/alive"}}})
    assert agent.probes.liveness.path == "/alive"
    assert agent.probes.liveness.initial_delay == Probes().liveness.initial_delay == timedelta(seconds=30)
    assert agent.probes.readiness == Probes().readiness


def test_merge_goes_deep_and_replaces_lists() -> None:
    below = {"a": {"b": 1, "c": [1, 2]}, "d": {"e": 1}}
    assert merge(below, {"a": {"c": [3]}, "d": None}) == {"a": {"b": 1, "c": [3]}, "d": None}
    assert below == {"a": {"b": 1, "c": [1, 2]}, "d": {"e": 1}}


def test_an_environment_overrides_any_field_of_an_agent(tmp_path: Path) -> None:
    folder = tmp_path / "agents"
    folder.mkdir()
    declared = {
        "name": "a",
        "image": "x/y:1",
        "scaling": {"min": 2, "max": 9},
        "env": {"LEVEL": "info", "N": "1", "GONE": "x"},
    }
    (folder / "a.yaml").write_text(yaml.safe_dump(declared))
    config = {"agents": {"a": {"scaling": {"max": 3}, "env": {"LEVEL": "debug", "GONE": None}}}}
    settings = load(config, stack_file=tmp_path / "Pulumi.test.yaml", agents_folder=folder)
    agent = settings.agents["a"]
    assert (agent.scaling.min, agent.scaling.max) == (2, 3)
    assert agent.env == {"LEVEL": "debug", "N": "1"}
    fixed = load(
        {"agents": {"a": {"scaling": None, "replicas": 4}}},
        stack_file=tmp_path / "Pulumi.test.yaml",
        agents_folder=folder,
    )
    assert fixed.agents["a"].replicas == 4
    off = load({"agents": {"a": {"enabled": False}}}, stack_file=tmp_path / "x", agents_folder=folder)
    assert off.agents == {}
    assert list(off.disabled) == ["a"]


def test_settings_are_frozen_and_hide_rejected_input() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.redis.shards = 4
    with pytest.raises(ValidationError) as caught:
        AgentSettings.model_validate({"image": "x/y:1", "env": {"A": ["hunter2"]}})
    assert "hunter2" not in str(caught.value)
    assert all("hunter2" not in problem.message for problem in problems(caught.value, AgentSettings))


def test_capacity_counts_sidecars() -> None:
    settings = Settings()
    redis = settings.redis.demands()["data"][0]
    one = settings.redis.resources.requests.cpu.amount + settings.redis.exporter_resources.requests.cpu.amount
    assert redis.asked("requests", "cpu", redis.minimum) == 6 * one
