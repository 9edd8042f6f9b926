"""Each namespace holds its quota, limits, Pod Security level and default deny."""

from __future__ import annotations

from collections.abc import Callable

from components.namespaces.component import Namespaces
from settings import NamespacesSettings

from .conftest import Recorder

Render = Callable[[Callable[[], object]], Recorder]


def test_four_namespaces_with_everything_in_each(render: Render) -> None:
    seen = render(lambda: Namespaces("namespaces", NamespacesSettings()))
    kinds = seen.kinds()
    assert kinds.count("Namespace") == kinds.count("ResourceQuota") == kinds.count("LimitRange") == 4
    assert kinds.count("NetworkPolicy") == 8
    levels = {
        name: inputs["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for (kind, name), inputs in seen.seen.items()
        if kind == "Namespace"
    }
    assert levels == {
        "agents": "restricted",
        "data": "restricted",
        "observability": "restricted",
        "collectors": "privileged",
    }
    deny = seen.seen["NetworkPolicy", "agents-default-deny"]["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    dns = seen.seen["NetworkPolicy", "agents-allow-dns"]["spec"]
    assert {port["port"] for rule in dns["egress"] for port in rule["ports"]} == {53}
    assert seen.seen["ResourceQuota", "agents-quota"]["spec"]["hard"]["requests.cpu"] == "64"


def test_the_api_server_keeps_namespaces_with_volumes(render: Render) -> None:
    spec = NamespacesSettings.model_validate({"data": {"name": "state", "quota": NamespacesSettings().data.quota}})
    kept = render(lambda: Namespaces("namespaces", spec)).seen
    policy = kept["ValidatingAdmissionPolicy", "keep-namespaces"]
    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
    assert (rule["operations"], rule["resources"]) == (["DELETE"], ["namespaces"])
    assert rule["resourceNames"] == ["state", "observability"]
    binding = kept["ValidatingAdmissionPolicyBinding", "keep-namespaces"]
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    loose = render(lambda: Namespaces("namespaces", spec, protect=False)).kinds()
    assert not [kind for kind in loose if "Admission" in kind]
