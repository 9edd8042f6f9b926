"""The contract: what is read, what is refused, and what follows a renewed file."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentstack_runtime.contract import PREFIXES, VARIABLES, Contract, ContractError, load, watch
from agentstack_runtime.contract.reading import _Variables

NOWHERE = Path("/nowhere")
WHOLE = {
    "AGENT_NAME": "researcher",
    "POD_NAME": "researcher-0",
    "PORT": "8081",
    "METRICS_PORT": "9090",
    "LONGEST_TASK_SECONDS": "120",
    "REDIS_URL": "redis://researcher:hunter2@redis:6379",
    "REDIS_HOST": "redis",
    "REDIS_PORT": "6379",
    "CONVERSATION_TTL_SECONDS": "86400",
    "CHECKPOINT_TTL_SECONDS": "259200",
    "KAFKA_BOOTSTRAP_SERVERS": "a:9092,b:9092",
    "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_USERNAME": "researcher",
    "KAFKA_PASSWORD": "hunter2",
    "KAFKA_CONSUMER_GROUP": "researcher",
    "KAFKA_CONSUME_TOPICS": "tasks,more",
    "KAFKA_PRODUCE_TOPICS": "results",
    "INFERENCE_BACKEND": "openai",
    "INFERENCE_MODEL": "gpt-5-mini",
    "OPENAI_BASE_URL": "https://api.openai.com/v1",
    "OPENAI_API_KEY": "hunter2",
    "CONCURRENCY": "4",
    "QUEUE_BOUND": "16",
    "AGENT_URL_STATE_MANAGER": "http://state-manager",
    "WORKFLOWS_DIR": "/etc/agent/workflows",
}


def read(values: dict[str, str]) -> Contract:
    return load(values, config=NOWHERE, secrets=NOWHERE)


def test_all_of_it() -> None:
    contract = read(WHOLE)
    assert (contract.agent_name, contract.port, contract.metrics_port) == ("researcher", 8081, 9090)
    assert contract.redis is not None
    assert contract.redis.conversation_ttl == timedelta(hours=24)
    assert contract.kafka is not None
    assert contract.kafka.consume_topics == ("tasks", "more")
    assert contract.inference is not None
    assert contract.inference.api_key is not None
    assert contract.agents == {"state-manager": "http://state-manager"}
    assert contract.resilience.longest_task == timedelta(minutes=2)
    assert contract.resilience.circuit_breaker is None, "the group is declared, without a breaker"
    assert "hunter2" not in repr(contract)


def test_little_is_needed() -> None:
    contract = read({"AGENT_NAME": "watchdog"})
    assert (contract.redis, contract.kafka, contract.inference) == (None, None, None)
    assert contract.metrics_port == contract.port == 8080
    assert contract.resilience.circuit_breaker is not None


def test_every_variable_is_read_and_described() -> None:
    assert set(_Variables.model_fields) == set(VARIABLES)
    assert set(PREFIXES) == {"AGENT_URL_"}


def test_every_mistake_at_once_and_no_value() -> None:
    single = {"PORT": "hunter2", "CONCURRENCY": "0", "INFERENCE_BACKEND": "hunter3", "AGENT_NAME": ""}
    together = {"REDIS_URL": "", "REDIS_CA_FILE": "/nowhere", "KAFKA_USERNAME": "", "KAFKA_PASSWORD": ""}
    with pytest.raises(ContractError) as refused:
        read(WHOLE | single | together | {"KAFKA_CA_FILE": "/nowhere"})
    assert sorted(line.partition(":")[0] for line in refused.value.problems) == [
        "AGENT_NAME",
        "CONCURRENCY",
        "INFERENCE_BACKEND",
        "KAFKA_CA_FILE",
        "KAFKA_PASSWORD",
        "KAFKA_USERNAME",
        "PORT",
        "REDIS_URL",
    ]
    assert "hunter" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "variable"),
    [
        ({"REDIS_URL": ""}, "REDIS_URL"),
        ({"REDIS_URL": "http://hunter2"}, "REDIS_URL"),
        ({"REDIS_CA_FILE": "/nowhere/ca.crt"}, "REDIS_CA_FILE"),
        ({"KAFKA_CA_FILE": "/nowhere/ca.crt"}, "KAFKA_CA_FILE"),
        ({"REDIS_URL": "redis://u:hunter2@redis:port"}, "REDIS_URL"),
        ({"KAFKA_PASSWORD": ""}, "KAFKA_PASSWORD"),
        ({"CHECKPOINT_TTL_SECONDS": "1e30"}, "CHECKPOINT_TTL_SECONDS"),
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL"),
        ({"INFERENCE_MODEL": ""}, "INFERENCE_MODEL"),
    ],
)
def test_what_does_not_go_together(change: dict[str, str], variable: str) -> None:
    with pytest.raises(ContractError) as refused:
        read(WHOLE | change)
    assert [line.partition(":")[0] for line in refused.value.problems] == [variable]
    assert "hunter2" not in str(refused.value)


WRONG = st.one_of(
    st.sampled_from(["", " ", "-1", "0", "1e999", "nan", "9" * 5000, "redis://[::1", "redis://", "\x00", "../..", "²"]),
    st.text(max_size=20),
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([*VARIABLES, "AGENT_URL_", "AGENT_URL_X"]), WRONG, max_size=8))
def test_whatever_is_given_is_a_contract_or_lines_about_variables(changes: dict[str, str]) -> None:
    problems: tuple[str, ...] = ()
    try:
        assert read(WHOLE | changes).agent_name
    except ContractError as error:
        problems = error.problems
    assert {line.partition(":")[0] for line in problems} <= set(VARIABLES)
    assert not any("\n" in line for line in problems)


def renewed(folder: Path, values: dict[str, str], generation: int) -> None:
    """Write `values` as the kubelet does: a new folder, and one symlink that changes over."""
    data = folder / f"..{generation}"
    data.mkdir(parents=True)
    for name, value in values.items():
        (data / name).write_text(value)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    (folder / "..new").symlink_to(data.name)
    (folder / "..new").rename(folder / "..data")


def test_where_redis_is_stands_in_its_url_too() -> None:
    redis = read({"AGENT_NAME": "a", "REDIS_URL": "rediss://u:word@there:7000"}).redis
    assert redis is not None
    assert (redis.host, redis.port) == ("there", 7000)


def test_what_one_change_over_brought_is_read_together(tmp_path: Path) -> None:
    """Between two changes a file beside `..data` may be the old one, or dangle."""
    renewed(tmp_path, {"CONCURRENCY": "4", "QUEUE_BOUND": "8"}, 1)
    (tmp_path / "CONCURRENCY").unlink()
    (tmp_path / "CONCURRENCY").write_text("1")
    (tmp_path / "RETRY_MAX").symlink_to(Path("..data") / "RETRY_MAX")
    resilience = load({"AGENT_NAME": "a"}, tmp_path, NOWHERE).resilience
    assert (resilience.concurrency, resilience.queue_bound) == (4, 8)


def test_files_of_the_agent_s_own_need_not_be_text(tmp_path: Path) -> None:
    (tmp_path / "KEYSTORE").write_bytes(b"\xff\xfe")
    assert load({"AGENT_NAME": "a"}, NOWHERE, tmp_path).agent_name == "a"
    (tmp_path / "REDIS_URL").write_bytes(b"\xff\xfe")
    (tmp_path / "CONCURRENCY").write_text("none")
    with pytest.raises(ContractError) as refused:
        load({"AGENT_NAME": "a"}, NOWHERE, tmp_path)
    assert [line.partition(":")[0] for line in refused.value.problems] == ["REDIS_URL", "CONCURRENCY"]


async def test_what_was_renewed_before_the_first_look_is_told_once_it_adds_up(tmp_path: Path) -> None:
    renewed(tmp_path, {"CONCURRENCY": "4"}, 1)
    began = load({"AGENT_NAME": "a"}, tmp_path, NOWHERE)
    renewed(tmp_path, {"CONCURRENCY": "none"}, 2)
    told: asyncio.Queue[int] = asyncio.Queue()

    async def change(contract: Contract) -> None:
        await told.put(contract.resilience.concurrency)

    watching = asyncio.create_task(
        watch(change, current=began, environ={"AGENT_NAME": "a"}, config=tmp_path, secrets=NOWHERE, interval=0.02)
    )
    await asyncio.sleep(0.1)
    assert told.empty()
    renewed(tmp_path, {"CONCURRENCY": "6"}, 3)
    assert await asyncio.wait_for(told.get(), 5) == 6
    watching.cancel()


async def test_files_are_read_and_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config, secrets = tmp_path / "config", tmp_path / "secrets"
    fixed = {"AGENT_NAME": "researcher", "PORT": "8080"}
    renewed(config, {"CONCURRENCY": "4", "AGENT_NAME": "another"}, 1)
    renewed(secrets, {"REDIS_URL": "redis://one@redis"}, 1)
    first = load(fixed, config=config, secrets=secrets)
    assert (first.agent_name, first.resilience.concurrency) == ("researcher", 4)

    seen: list[Contract] = []

    async def change(contract: Contract) -> None:
        seen.append(contract)

    watching = asyncio.create_task(watch(change, environ=fixed, config=config, secrets=secrets, interval=0.02))
    await asyncio.sleep(0.1)
    renewed(config, {"CONCURRENCY": "none", "AGENT_NAME": "another"}, 2)
    await asyncio.sleep(0.2)
    assert seen == []
    assert caplog.text.count("is not used") == 1
    renewed(config, {"CONCURRENCY": "6", "AGENT_NAME": "another"}, 3)
    renewed(secrets, {"REDIS_URL": "redis://two@redis"}, 2)
    await asyncio.sleep(0.3)
    watching.cancel()
    assert seen[-1].resilience.concurrency == 6
    assert seen[-1].redis is not None
    assert seen[-1].redis.url.get_secret_value() == "redis://two@redis"


async def test_what_the_agent_refuses_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    renewed(tmp_path, {"CONCURRENCY": "4"}, 1)
    asked: list[int] = []

    async def change(contract: Contract) -> None:
        asked.append(contract.resilience.concurrency)
        if contract.resilience.concurrency == 5:
            raise ContractError(["CONCURRENCY: is no good number; take another"])

    watching = asyncio.create_task(
        watch(change, environ={"AGENT_NAME": "a"}, config=tmp_path, secrets=NOWHERE, interval=0.02)
    )
    await asyncio.sleep(0.1)
    renewed(tmp_path, {"CONCURRENCY": "5"}, 2)
    await asyncio.sleep(0.2)
    renewed(tmp_path, {"CONCURRENCY": "6"}, 3)
    await asyncio.sleep(0.2)
    assert not watching.done()
    watching.cancel()
    assert asked[-1] == 6
    assert caplog.text.count("is no good number") == 1


async def test_without_files_there_is_nothing_to_follow() -> None:
    async def change(contract: Contract) -> None:
        raise AssertionError(contract)

    await asyncio.wait_for(watch(change, environ=WHOLE, config=NOWHERE, secrets=NOWHERE), 1)
