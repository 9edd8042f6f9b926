"""Who an agent is: to the API server, and to a cloud."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from components.agent.component import Agent
from settings import AgentSettings

from .conftest import Recorder

Render = Callable[[Callable[[], object]], Recorder]
ROLE = "arn:aws:iam::111122223333:role/researcher"
CLIENT = "01234567-89ab-cdef-0123-456789abcdef"
ACCOUNT = "researcher@project-1.iam.gserviceaccount.com"


def rendered(render: Render, identity: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    settings = AgentSettings.model_validate({"image": "x/y:1", "identity": identity})
    seen = render(lambda: Agent("a", settings)).seen
    account = seen["ServiceAccount", "a"]
    assert account["automountServiceAccountToken"] is False
    return account, seen["Deployment", "a"]["spec"]["template"], seen["NetworkPolicy", "a"]["spec"]


@pytest.mark.parametrize(("given", "mounted"), [({}, False), ({"token": True}, True)])
def test_no_token_unless_asked(render: Render, given: dict[str, Any], mounted: bool) -> None:
    account, pod, _ = rendered(render, given)
    assert pod["spec"]["automountServiceAccountToken"] is mounted
    assert pod["spec"]["serviceAccountName"] == account["metadata"]["name"] == "a"


@pytest.mark.parametrize(
    ("given", "annotations"),
    [
        ({"aws": {"roleArn": ROLE}}, {"eks.amazonaws.com/role-arn": ROLE}),
        ({"gcp": {"serviceAccount": ACCOUNT}}, {"iam.gke.io/gcp-service-account": ACCOUNT}),
        ({"gcp": {}}, {}),
        ({"azure": {"clientId": CLIENT}}, {"azure.workload.identity/client-id": CLIENT}),
        ({"annotations": {"vault/role": "r"}}, {"vault/role": "r"}),
    ],
)
def test_a_cloud_knows_the_account(render: Render, given: dict[str, Any], annotations: dict[str, str]) -> None:
    account, pod, policy = rendered(render, given)
    assert account["metadata"].get("annotations", {}) == annotations
    assert pod["metadata"]["labels"].get("azure.workload.identity/use") == ("true" if "azure" in given else None)
    edges = {(r["to"][0]["ipBlock"]["cidr"], r["ports"][0]["port"]) for r in policy.get("egress", [])}
    assert edges == ({("169.254.169.252/32", 988), ("169.254.169.254/32", 80)} if "gcp" in given else set())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"aws": {"roleArn": "researcher"}}, "is not the ARN of an IAM role: write `arn:aws:iam::ACCOUNT:role/NAME`"),
        ({"azure": {"clientId": "me"}}, "is not a UUID"),
        ({"gcp": {"serviceAccount": "me@example.com"}}, "is not an IAM service account"),
        ({"aws": {"roleArn": ROLE.replace("1", "\u0661")}}, "is not the ARN"),
        ({"annotations": {"a b": "x"}}, "is not a label key"),
        ({"annotations": {"a/b": "--password=hunter2"}}, "annotations.a/b: looks like a secret in plain text: remove"),
        ({"aws": {"roleArn": ROLE}, "gcp": {}}, "gcp: the agent's cloud is aws already"),
        (
            {"aws": {"roleArn": ROLE}, "annotations": {"eks.amazonaws.com/role-arn": "x"}},
            "annotations.eks.amazonaws.com/role-arn: is set by `aws`: remove it",
        ),
    ],
)
def test_mistakes(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        AgentSettings.model_validate({"image": "x/y:1", "identity": given})
    assert "hunter2" not in str(caught.value)
