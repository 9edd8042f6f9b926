"""Identity, resilience and inference on a real cluster: agents alone, in a namespace of their own.

A stand-in answers for the model server: what is shown is the way there, not a model.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
import yaml

from .conftest import ROOT, Cluster, eventually

NAMESPACE = "declarations-agents"
IMAGE = "ghcr.io/agentstack/stand-in:1.0.0"
SMALL = {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}}
SETTINGS = {
    "platform": {"safeguards": {"protectData": False, "requireSecrets": False}},
    "namespaces": {
        name: {"name": f"declarations-{name}"} for name in ("agents", "data", "observability", "collectors")
    },
    "gateway": {"enabled": False},
    "inference": {
        "backend": "vllm",
        "model": "m",
        "server": {"image": IMAGE, "gpus": 0, "resources": SMALL, "storage": "1Gi", "sharedMemory": "32Mi"},
    },
}
AGENTS = {
    "thinker": {
        "inference": {},
        "identity": {"token": True, "aws": {"roleArn": "arn:aws:iam::111122223333:role/thinker"}},
        "resilience": {"concurrency": 4, "queueBound": 16, "requestTimeout": "20s"},
        "shutdown": {"longestTask": "2m"},
    },
    "other": {},
}


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two agents, of which one declares everything, and the stack's model server."""
    if "KUBECONFIG" not in os.environ:
        pytest.skip("KUBECONFIG is not set: export the path of a kubeconfig for a cluster that may be changed")
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on PATH: install it")
    folder = tmp_path_factory.mktemp("declarations")
    stack = {"config": {f"agentstack:{section}": values for section, values in SETTINGS.items()}}
    (folder / "Pulumi.declarations.yaml").write_text(yaml.safe_dump(stack))
    (folder / "agents").mkdir()
    for name, agent in AGENTS.items():
        whole = {"name": name, "image": IMAGE, "resources": SMALL, **agent}
        (folder / "agents" / f"{name}.yaml").write_text(yaml.safe_dump(whole))
    command = [sys.executable, "-m", "agentstack", "preview", "declarations", "--with-dev-secrets"]
    command += ["--settings", str(folder / "Pulumi.declarations.yaml"), "--agents", str(folder / "agents")]
    subprocess.run([*command, "--out", str(folder / "out")], cwd=ROOT, check=True)
    own = folder / "own"
    for path in sorted((folder / "out").rglob("*.yaml")):
        manifest = yaml.safe_load(path.read_text())
        if NAMESPACE not in (manifest["metadata"].get("namespace"), manifest["metadata"]["name"]):
            continue
        if manifest["metadata"].get("name") == "vllm" and manifest["kind"] == "StatefulSet":
            (container,) = manifest["spec"]["template"]["spec"]["containers"]
            del container["args"]
            container["env"].append({"name": "PORT", "value": "8000"})
        place = own / path.relative_to(folder / "out")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(yaml.safe_dump(manifest))
    cluster = Cluster(own)
    try:
        cluster.kubectl("apply", "--server-side", "--recursive", "--filename", str(own))
        for workload in ("deployment/thinker", "deployment/other", "statefulset/vllm"):
            cluster.kubectl("rollout", "status", workload, "--namespace", NAMESPACE, "--timeout=120s", timeout=150)
        yield cluster
    finally:
        cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=180s", timeout=200)


def printed(cluster: Cluster, agent: str, program: str, *arguments: str) -> str:
    return cluster.run(NAMESPACE, f"deployment/{agent}", "python3", "-c", program, *arguments).strip()


ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"


def test_the_contract_reaches_the_process(agents: Cluster) -> None:
    found = json.loads(printed(agents, "thinker", ENVIRONMENT))
    assert {key: found[key] for key in ("CONCURRENCY", "QUEUE_BOUND", "RETRY_MAX", "LONGEST_TASK_SECONDS")} == {
        "CONCURRENCY": "4",
        "QUEUE_BOUND": "16",
        "RETRY_MAX": "3",
        "LONGEST_TASK_SECONDS": "120",
    }
    assert "CONCURRENCY" not in json.loads(printed(agents, "other", ENVIRONMENT))


def test_client_and_server_have_the_same_key(agents: Cluster) -> None:
    found = json.loads(printed(agents, "thinker", ENVIRONMENT))
    server = json.loads(agents.run(NAMESPACE, "statefulset/vllm", "python3", "-c", ENVIRONMENT))
    assert found["OPENAI_BASE_URL"] == "http://vllm:8000/v1"
    assert len(found["OPENAI_API_KEY"]) == 32
    assert found["OPENAI_API_KEY"] == server["VLLM_API_KEY"]
    assert "VLLM_PORT" not in server, "of a Service, which vLLM would take for its own"


REACH = """
import os, urllib.request
try:
    print(urllib.request.urlopen('http://vllm:8000/v1/models', timeout=3).status)
except OSError:
    print('closed')
"""


def test_only_the_agent_that_declares_it_reaches_the_model_server(agents: Cluster) -> None:
    eventually(lambda: printed(agents, "thinker", REACH) == "200", 20, "the declared edge is open")
    assert printed(agents, "other", REACH) == "closed"


WRITE = """
import shutil
for folder in ('/dev/shm', '/data'):
    open(f'{folder}/written', 'w').close()
print(shutil.disk_usage('/dev/shm').total)
"""


def test_the_server_has_shared_memory_and_a_claim_to_write_to(agents: Cluster) -> None:
    assert int(agents.run(NAMESPACE, "statefulset/vllm", "python3", "-c", WRITE)) == 32 * 1024**2
    (claim,) = agents.get("persistentvolumeclaims", "--namespace", NAMESPACE)
    assert claim["metadata"]["name"] == "data-vllm-0"


def test_a_token_only_where_it_is_asked_for(agents: Cluster) -> None:
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    payload = printed(agents, "thinker", f"print(open('{folder}/token').read())").split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert claims["sub"] == f"system:serviceaccount:{NAMESPACE}:thinker"
    # The API server issues it for a year where old clients never read it again, and the kubelet renews it hourly.
    assert claims["kubernetes.io"]["warnafter"] - claims["iat"] <= 3607
    assert printed(agents, "other", f"import os; print(os.path.exists('{folder}'))") == "False"


def test_a_cloud_finds_its_annotation(agents: Cluster) -> None:
    accounts = {a["metadata"]["name"]: a for a in agents.get("serviceaccounts", "--namespace", NAMESPACE)}
    annotations = accounts["thinker"]["metadata"]["annotations"]
    assert annotations["eks.amazonaws.com/role-arn"] == "arn:aws:iam::111122223333:role/thinker"
