"""Agents that end: a Job whose name says what it was declared with, and a CronJob."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from components.agent.component import Agent
from components.agent.declaration import AgentEnvironment
from settings import AgentSecret, AgentSettings, Cron, Job
from settings.batch import zoneinfo

from .conftest import Recorder
from .test_settings_errors import agent as agent_file
from .test_settings_errors import messages

Render = Callable[[Callable[[], object]], Recorder]
NIGHTLY = Cron(schedule="0 3 * * *", time_zone="Europe/Berlin")


def run_of(render: Render, secret: str = "s", **given: Any) -> dict[str, Any]:
    settings = AgentSettings(**{"image": "x/y:1", "kind": "job"} | given)
    recorder = render(lambda: Agent("learner", settings, AgentEnvironment(secrets={"KEY": secret})))
    return recorder.seen["Job", "learner"]


def test_a_job_has_what_a_pod_that_ends_needs_and_no_more(render: Render) -> None:
    recorder = render(lambda: Agent("learner", AgentSettings(image="x/y:1", kind="job")))
    assert recorder.kinds("learner") == ["Agent", "ConfigMap", "Job", "NetworkPolicy", "ServiceAccount"]
    spec = recorder.seen["Job", "learner"]["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], spec["completionMode"]) == (3, 3600, "NonIndexed")
    assert "ttlSecondsAfterFinished" not in spec
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    (container,) = pod["containers"]
    assert not {"startupProbe", "livenessProbe", "readinessProbe", "lifecycle"} & container.keys()
    assert "prometheus.io/scrape" not in spec["template"]["metadata"]["annotations"]
    assert recorder.seen["Job", "learner"]["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}


def test_another_declaration_makes_another_job(render: Render) -> None:
    def name(**given: Any) -> str:
        found: str = run_of(render, **given)["metadata"]["name"]
        return found

    declared: list[dict[str, Any]] = [
        {},
        {"image": "x/y:2"},
        {"args": ("--all",)},
        {"env": {"A": "b"}},
        {"job": Job(retries=5)},
        {"user": 1000},
        {"secrets": {"KEY": AgentSecret()}},
        {"secrets": {"KEY": AgentSecret()}, "secret": "another value"},
    ]
    names = [name(**given) for given in declared]
    assert len(set(names)) == len(declared)
    assert names == [name(**given) for given in declared]
    assert all(len(found) <= 63 for found in names)


def test_a_run_can_have_several_pods(render: Render) -> None:
    job = Job(completions=8, parallelism=4, deadline=timedelta(hours=2), ttl_after_finished=timedelta(days=1))
    spec = run_of(render, job=job)["spec"]
    assert (spec["completions"], spec["parallelism"], spec["completionMode"]) == (8, 4, "Indexed")
    assert (spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (7200, 86400)
    demand = AgentSettings(image="x/y:1", kind="job", job=job).demand("a")
    assert (demand.minimum, demand.maximum) == (4, 4)


def test_a_cron_agent(render: Render) -> None:
    settings = AgentSettings(image="x/y:1", kind="cron", cron=NIGHTLY, job=Job(retries=0))
    recorder = render(lambda: Agent("drift", settings))
    assert recorder.kinds("drift") == ["Agent", "ConfigMap", "CronJob", "NetworkPolicy", "ServiceAccount"]
    spec = recorder.seen["CronJob", "drift"]["spec"]
    template = spec.pop("jobTemplate")
    assert spec == {
        "schedule": "0 3 * * *",
        "timeZone": "Europe/Berlin",
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 600,
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 3,
    }
    assert template["spec"]["backoffLimit"] == 0
    assert template["metadata"]["labels"]["app.kubernetes.io/name"] == "drift"
    assert (settings.demand("drift").minimum, settings.demand("drift").maximum) == (0, 1)


def test_probes_and_metrics_are_for_those_who_ask(render: Render) -> None:
    settings = AgentSettings.model_validate({"image": "x/y:1", "kind": "job", "probes": {}, "metrics": {"port": 9000}})
    template = render(lambda: Agent("a", settings)).seen["Job", "a"]["spec"]["template"]
    assert template["spec"]["containers"][0]["livenessProbe"]["httpGet"]["path"] == "/health"
    assert template["metadata"]["annotations"]["prometheus.io/port"] == "9000"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "cron"}, "cron: is missing: `kind: cron` needs it"),
        ({"kind": "cron", "cron": {"schedule": "0 3 * *"}}, "cron.schedule: `0 3 * *` is not a schedule"),
        ({"kind": "cron", "cron": {"schedule": "0 25 * * *"}}, "`25` is no hour"),
        (
            {"kind": "cron", "cron": {"schedule": "0 3 * * *", "timeZone": "Europe/Berln"}},
            "cron.timeZone: `Europe/Berln` is not a time zone: write a name of the IANA database",
        ),
        (
            {"kind": "cron", "cron": {"schedule": "0 3 * * *", "concurrency": "forbid"}},
            "cron.concurrency: unknown value `forbid`, did you mean `Forbid`?",
        ),
        (
            {"kind": "cron", "cron": {"schedule": "0 3 * * *", "startingDeadline": "5s"}},
            "cron.startingDeadline: 5s is below the minimum",
        ),
        ({"kind": "job", "replicas": 2}, "replicas: a job has `job.completions` and `job.parallelism`: remove it"),
        ({"kind": "job", "scaling": {"min": 1, "max": 2}}, "scaling: a job ends, so there is nothing to scale"),
        (
            {"kind": "job", "reload": "file"},
            "reload: a pod that ends reads its configuration when it starts: remove it",
        ),
        ({"kind": "job", "public": {}}, "public: a job has no Service to route to: remove it"),
        ({"kind": "job", "cron": {"schedule": "0 3 * * *"}}, "cron: is for `kind: cron`: remove it"),
        ({"kind": "job", "job": {"retry": 2}}, "job.retry: unknown key `retry`, did you mean `retries`?"),
        ({"job": {}}, "job: is for `kind: job` and `kind: cron`: set one of them, or remove it"),
        ({"probes": None}, "probes: pods that do not end need them: remove `probes: null`"),
        ({"kind": "jobb"}, "kind: unknown value `jobb`, did you mean `job`?"),
    ],
)
def test_what_does_not_go_with_an_agent_that_ends(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    if "timeZone" in message and not zoneinfo.available_timezones():
        pytest.skip("this machine has no time zone database: install tzdata")
    found = messages(tmp_path, {}, agent_file(**changes))
    assert message in found
    assert found.count("\n") == 0
