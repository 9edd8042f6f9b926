"""`python -m agentstack_services`."""

from __future__ import annotations

import pytest

from agentstack_services.__main__ import SERVICES, main


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["ingestion", "x"], ["../ingestion"]])
def test_an_unknown_service_is_one_line_and_2(arguments, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.splitlines() == [
        "usage: python -m agentstack_services ingestion|orchestrator|executor|state-manager|learner"
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_a_wrong_environment_is_a_line_a_mistake_and_2(service, capsys, monkeypatch):
    monkeypatch.setenv("PORT", "no-number")
    assert main([service]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors
    assert all(": " in line for line in errors)
    assert not any("Traceback" in line for line in errors)
