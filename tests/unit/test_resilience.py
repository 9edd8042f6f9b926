"""The contract of load and failure: what reaches the process, and what makes no sense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from components.agent.component import Agent
from settings import AgentSettings

from .conftest import Recorder

Render = Callable[[Callable[[], object]], Recorder]
GIVEN = {"concurrency": 4, "queueBound": 16, "requestTimeout": "20s"}


def agent(task: str = "5m", **given: Any) -> AgentSettings:
    return AgentSettings.model_validate(
        {"image": "x/y:1", "resilience": GIVEN | given, "shutdown": {"longestTask": task}}
    )


def test_it_reaches_the_process(render: Render) -> None:
    seen = render(lambda: Agent("a", agent())).seen
    assert seen["ConfigMap", "a"]["data"] == {
        "AGENT_NAME": "a",
        "PORT": "8080",
        "CONCURRENCY": "4",
        "QUEUE_BOUND": "16",
        "REQUEST_TIMEOUT_SECONDS": "20",
        "RETRY_MAX": "3",
        "RETRY_BACKOFF_SECONDS": "1",
        "RETRY_MAX_BACKOFF_SECONDS": "30",
        "CIRCUIT_BREAKER_FAILURES": "5",
        "CIRCUIT_BREAKER_WINDOW_SECONDS": "60",
        "CIRCUIT_BREAKER_COOLDOWN_SECONDS": "30",
        "LONGEST_TASK_SECONDS": "300",
    }
    assert seen["Deployment", "a"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 5 + 300 + 10


def test_no_group_no_variables(render: Render) -> None:
    seen = render(lambda: Agent("a", AgentSettings(image="x/y:1"))).seen
    assert seen["ConfigMap", "a"]["data"] == {"AGENT_NAME": "a", "PORT": "8080", "LONGEST_TASK_SECONDS": "30"}
    breakerless = agent(circuitBreaker=None).resilience
    assert breakerless is not None
    assert not [name for name in breakerless.environment() if name.startswith("CIRCUIT")]


def test_the_longest_request_counts_every_attempt_and_wait() -> None:
    found = agent(retries={"max": 4, "backoff": "2s", "maxBackoff": "5s"}).resilience
    assert found is not None
    assert found.longest_request.total_seconds() == 5 * 20 + (2 + 4 + 5 + 5)


@pytest.mark.parametrize(
    ("task", "given", "message"),
    [
        (
            "86s",
            {},
            "resilience.requestTimeout: with its retries a request may take 87s, and `shutdown.longestTask` is 86s",
        ),
        ("5m", {"queueBound": 3}, "queueBound: 3 is below the concurrency of 4"),
        ("5m", {"retries": {"backoff": "10s", "maxBackoff": "5s"}}, "maxBackoff: 5s is below the first backoff of 10s"),
        (
            "5m",
            {"concurrency": 1, "circuitBreaker": {"failures": 4}},
            "circuitBreaker.failures: 1 at a time cannot time out 4 times within 1m",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(task: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        agent(task, **given)
    assert message in str(error.value)


def test_just_enough_is_enough() -> None:
    agent("87s", queueBound=4)
    agent("5m", concurrency=1, circuitBreaker={"failures": 3})


def test_its_variables_are_not_the_agents_own() -> None:
    given = {"image": "x/y:1", "resilience": GIVEN, "shutdown": {"longestTask": "5m"}}
    for name in ("CONCURRENCY", "LONGEST_TASK_SECONDS"):
        with pytest.raises(ValidationError, match=rf"env\.{name}: is set by the stack"):
            AgentSettings.model_validate(given | {"env": {name: "1"}})
