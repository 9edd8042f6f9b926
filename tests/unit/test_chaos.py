"""`make chaos` before it meets a cluster: its settings are valid, and its counting is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.outcome import Outcome
from tests.commandline import ROOT, agentstack

CHAOS = ROOT / "tests" / "chaos"


@pytest.mark.parametrize("stack", ["redis", "kafka"])
def test_the_stacks_are_valid(stack: str, tmp_path: Path) -> None:
    arguments = ["--settings", CHAOS / f"{stack}.yaml", "--agents", CHAOS / "agents", "--out", tmp_path / "out"]
    done = agentstack("preview", "chaos", *map(str, arguments))
    assert done.code == 0, done
    assert {file.name for file in (tmp_path / "out").glob("00-namespaces/*")} == {
        f"namespace.chaos-{part}.yaml" for part in ("agents", "collectors", "data", "observability")
    }


def read(*lines: str) -> Outcome:
    outcome = Outcome("redis", "a fault", recovered=1.0)
    outcome.read("\n".join(lines))
    return outcome


CALM = ("ack sure 1000 1 50", "ack sure 1500 2 50", "ack plain 1000 1 50", "ack plain 3500 2 50")


def test_what_the_load_says_is_summed_up() -> None:
    outcome = read(*CALM, "retry plain 1200 1 Could not connect: refused", "retry transactions 1300 16")
    assert (outcome.acknowledged, outcome.plain_acknowledged) == (100, 100)
    assert outcome.retries == 17
    assert outcome.waited == 2.5
    outcome.check(recovered=1, waited=3)


def test_a_retry_without_a_reason_and_a_strange_line_are_no_error() -> None:
    outcome = read(*CALM, "retry sure 1200 1 ", "", "Terminated", "retry sure 1300 1 0")
    assert outcome.retries == 2
    outcome.check(recovered=1, waited=3)


@pytest.mark.parametrize("line", ["ack sure 1700", "lost sure", "retry plain 1200 why"])
def test_half_a_line_is_never_counted_as_nothing(line: str) -> None:
    with pytest.raises(ValueError, match=r"not a line of the load|why"):
        read(*CALM, line)


@pytest.mark.parametrize(
    "line",
    ["lost sure 1 conversation:{sure1}:1:7", "twice transactions 12", "failed events 1700000000000 a.b.SomeException"],
)
def test_one_loss_is_a_failure(line: str) -> None:
    with pytest.raises(AssertionError):
        read(*CALM, line).check(recovered=60, waited=60)


def test_without_a_replicas_word_only_the_last_moment_may_be_lost() -> None:
    calm = ("ack plain 1000 1 50", "ack plain 4000 2 50", "ack plain 9000 3 50", "ack sure 1000 1 50")
    last = read(*calm, "lost plain 2 conversation:{plain2}:2:9")
    assert (last.plain_lost, last.lost) == (1, 0)
    last.check(recovered=60, waited=60)
    with pytest.raises(AssertionError):
        read(*calm, "lost plain 1 conversation:{plain1}:1:9").check(recovered=60, waited=60)


@pytest.mark.parametrize(("recovered", "waited"), [(0.5, 60), (60, 2)])
def test_a_passed_limit_is_a_failure(recovered: float, waited: float) -> None:
    with pytest.raises(AssertionError):
        read(*CALM).check(recovered=recovered, waited=waited)


def test_nothing_written_is_a_failure() -> None:
    with pytest.raises(AssertionError):
        read().check(recovered=60, waited=60)
