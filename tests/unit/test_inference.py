"""Which backend answers an agent's model calls, and all that follows from that one setting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pydantic import ValidationError

from components.agent.component import Agent
from components.agent.declaration import AgentEnvironment
from components.context import Context
from components.inference.component import ModelServer
from components.inference.connection import connect
from components.network import Peer
from settings import (
    AgentSecret,
    AgentSettings,
    Inference,
    InferenceServer,
    InferenceSettings,
    PlatformSettings,
    Safeguards,
    SecretKey,
    Settings,
    SettingsError,
)
from settings.stack import load

from .conftest import Recorder

Render = Callable[[Callable[[], object]], Recorder]
OPENAI = InferenceSettings(backend="openai", model="gpt")
VLLM = InferenceSettings(backend="vllm", model="m/7b", server=InferenceServer(gpus=2))


def of(environment: InferenceSettings, own: Inference | None = None) -> Settings:
    agent = AgentSettings(image="x/y:1", inference=own or Inference())
    platform = PlatformSettings(safeguards=Safeguards(require_secrets=False))
    return Settings(inference=environment, agents={"a": agent}, platform=platform)


def agent_of(render: Render, spec: Inference) -> Recorder:
    settings = AgentSettings(image="x/y:1", inference=spec)
    environment = AgentEnvironment(connections={"inference": connect(spec)}, require_secrets=False)
    return render(lambda: Agent("a", settings, environment))


def test_switching_is_one_line_in_the_environment(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "a.yaml").write_text("name: a\nimage: x/y:1\ninference: {}\n")
    local = "{backend: ollama, model: qwen3, endpoint: 'http://ollama.models.svc:11434'}"
    for line, variables in (("{backend: openai, model: gpt}", {"OPENAI_API_KEY"}), (local, set())):
        config = {"inference": yaml.safe_load(line), "platform": {"safeguards": {"requireSecrets": False}}}
        settings = load(config, stack_file=tmp_path / "Pulumi.x.yaml", agents_folder=tmp_path / "agents")
        found = settings.agents["a"].inference
        assert found is not None
        assert found.model_dump(include={"backend", "model"}) == {
            k: config["inference"][k] for k in ("backend", "model")
        }
        assert settings.agents["a"].all_secrets.keys() == variables


def test_an_agent_may_differ_and_another_backend_inherits_nothing() -> None:
    environment = InferenceSettings(
        backend="openai", model="gpt", api_key=AgentSecret(existing_secret=SecretKey(name="k", key="k"))
    )
    other_model = of(environment, Inference(model="gpt-mini")).agents["a"].inference
    assert other_model is not None
    assert (other_model.backend, other_model.model, other_model.api_key) == ("openai", "gpt-mini", environment.api_key)
    other = of(environment, Inference(backend="onnx", model="/m.onnx")).agents["a"].inference
    assert other is not None
    assert (other.model, other.api_key) == ("/m.onnx", None)


@pytest.mark.parametrize(
    ("environment", "own", "message"),
    [
        (InferenceSettings(), Inference(), "agents.a.inference.backend: is missing: name one here"),
        (OPENAI, Inference(backend="azure", model="m"), "endpoint: is missing: write `https://NAME.openai.azure.com`"),
        (OPENAI, Inference(backend="vllm", model="m"), "endpoint: is missing: write the server's URL"),
        (OPENAI, Inference(api_version="2024-10-21"), "apiVersion: belongs to azure, not to openai: remove it"),
        (OPENAI, Inference(gpus=1), "gpus: no model runs in the agent's process"),
        (
            InferenceSettings(backend="echo"),
            Inference(api_key=AgentSecret()),
            "apiKey: echo runs in the agent's process: remove it",
        ),
        (InferenceSettings(backend="echo"), Inference(gpus=1), "gpus: no model runs in the agent's process"),
        (
            OPENAI,
            Inference(backend="onnx", model="/m", endpoint="http://x"),
            "endpoint: onnx runs in the agent's process: remove it",
        ),
        (VLLM, Inference(network="10.0.0.0/8"), "network: there is no endpoint that it could belong to: remove it"),
        (VLLM, Inference(api_key=AgentSecret()), "apiKey: the server that the stack runs comes with a key: remove it"),
        (VLLM, Inference(model="other"), "model: the stack's vllm serves `m/7b` alone: remove it"),
    ],
)
def test_what_does_not_fit_is_refused(environment: InferenceSettings, own: Inference, message: str) -> None:
    with pytest.raises(ValidationError) as error:
        of(environment, own)
    assert message in str(error.value)


@pytest.mark.parametrize("url", ["api.openai.com", "ftp://x", "https://", "http://x:99999", "http://x?q=1"])
def test_an_endpoint_is_a_base_url(url: str) -> None:
    with pytest.raises(ValidationError, match="URL"):
        Inference(endpoint=url)


@pytest.mark.parametrize(
    "endpoint",
    ["http:// h", "http://h\n", "http://h/a b", "http://a_b", "http://1.2.3", "http://[fe80::1%25e]", "http://h,i"],
)
def test_an_endpoint_has_a_host(endpoint: str) -> None:
    with pytest.raises(ValidationError, match="is not a URL: write"):
        Inference(backend="vllm", model="m", endpoint=endpoint)


@pytest.mark.parametrize(
    "endpoint", ["http://h", "https://a.example:8443/v1", "http://10.0.0.1/v1", "http://[fd00::1]:80"]
)
def test_an_endpoint_is_a_name_or_an_address(endpoint: str) -> None:
    assert Inference(backend="vllm", model="m", endpoint=endpoint).endpoint == endpoint


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        *((f"{name}=1", "is set by the stack: remove it") for name in ("--port", "--host", "--served_model_name")),
        ("--api-key=hunter2", "is set by the stack: remove it"),
        ("--hf-token=hunter2", "looks like a secret in plain text: remove it"),
    ],
)
def test_arguments_of_the_server_that_are_not_its_users(argument: str, message: str) -> None:
    with pytest.raises(ValidationError, match=f"1: {message}") as caught:
        InferenceServer(args=("--max-model-len=8192", argument))
    assert "hunter2" not in str(caught.value)


def test_a_login_in_an_endpoint_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValidationError) as error:
        Inference(endpoint="https://me:hunter2@x")
    assert "give `apiKey`" in str(error.value)
    assert "hunter2" not in str(error.value)


def test_variables_of_inference_are_not_the_agents_own() -> None:
    for given in ({"env": {"OPENAI_BASE_URL": "x"}}, {"secrets": {"OPENAI_API_KEY": AgentSecret()}}):
        with pytest.raises(ValidationError, match="is set by the stack: remove it"):
            AgentSettings(image="x/y:1", inference=Inference(), **given)  # type: ignore[arg-type]


def test_the_key_is_asked_for_where_secrets_are_required() -> None:
    agents = {"a": AgentSettings(image="x/y:1", inference=Inference())}
    with pytest.raises(ValidationError, match=r"agents\.a\.inference\.apiKey: required and not given"):
        Settings(inference=OPENAI, agents=agents)
    given = Settings(inference=OPENAI, agents=agents, secrets=frozenset({"OPENAI_API_KEY"}))
    assert given.agents["a"].all_secrets["OPENAI_API_KEY"].configured
    with pytest.raises(ValidationError, match=r"secrets\.OPENAI_API_KEY: no agent declares this secret"):
        Settings(
            inference=InferenceSettings(backend="onnx", model="/m"),
            agents=agents,
            secrets=frozenset({"OPENAI_API_KEY"}),
        )


PUBLIC = {"10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"}


@pytest.mark.parametrize(
    ("spec", "variables", "key", "peer", "ports"),
    [
        (
            Inference(backend="openai", model="m"),
            {"INFERENCE_ENDPOINT": "https://api.openai.com/v1", "OPENAI_BASE_URL": "https://api.openai.com/v1"},
            "OPENAI_API_KEY",
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": sorted(PUBLIC)}},
            [443],
        ),
        (
            Inference(
                backend="azure",
                model="m",
                endpoint="https://x.openai.azure.com/",
                api_version="2024-10-21",
                network="10.1.0.0/16",
            ),
            {"AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com", "OPENAI_API_VERSION": "2024-10-21"},
            "AZURE_OPENAI_API_KEY",
            {"ipBlock": {"cidr": "10.1.0.0/16"}},
            [443],
        ),
        (
            Inference(backend="ollama", model="m", endpoint="http://10.2.3.4:11434"),
            {"OLLAMA_HOST": "http://10.2.3.4:11434", "OPENAI_BASE_URL": "http://10.2.3.4:11434/v1"},
            None,
            {"ipBlock": {"cidr": "10.2.3.4/32"}},
            [11434],
        ),
        (
            Inference(backend="vllm", model="m", endpoint="http://llm.models.svc.cluster.local/v1"),
            {"OPENAI_BASE_URL": "http://llm.models.svc.cluster.local/v1"},
            None,
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "models"}}},
            [],
        ),
    ],
)
def test_a_backend_gives_variables_key_edge_and_label(
    render: Render, spec: Inference, variables: dict[str, str], key: str | None, peer: dict[str, Any], ports: list[int]
) -> None:
    seen = agent_of(render, spec).seen
    data = seen["ConfigMap", "a"]["data"]
    assert data.items() >= ({"INFERENCE_BACKEND": spec.backend, "INFERENCE_MODEL": "m"} | variables).items()
    template = seen["Deployment", "a"]["spec"]["template"]
    secrets = {v["name"] for v in template["spec"]["containers"][0]["env"] if "secretKeyRef" in v["valueFrom"]}
    assert secrets == ({key} if key else set())
    assert template["metadata"]["labels"]["agentstack.dev/inference-backend"] == spec.backend
    (rule,) = seen["NetworkPolicy", "a"]["spec"]["egress"]
    assert rule["to"] == [peer]
    assert [port["port"] for port in rule.get("ports", [])] == ports


def test_echo_needs_nothing(render: Render) -> None:
    settings = of(InferenceSettings(backend="echo"))
    assert settings.agents["a"].all_secrets == {}
    seen = agent_of(render, Inference(backend="echo")).seen
    data = seen["ConfigMap", "a"]["data"]
    found = {name: value for name, value in data.items() if name in Inference.variables}
    assert found == {"INFERENCE_BACKEND": "echo", "INFERENCE_MODEL": "echo"}
    assert "egress" not in seen["NetworkPolicy", "a"]["spec"]
    pod = seen["Deployment", "a"]["spec"]["template"]
    assert pod["metadata"]["labels"]["agentstack.dev/inference-backend"] == "echo"


def test_an_onnx_model_needs_no_network_and_may_need_gpus(render: Render) -> None:
    seen = agent_of(render, Inference(backend="onnx", model="/models/m.onnx", gpus=1)).seen
    assert "egress" not in seen["NetworkPolicy", "a"]["spec"]
    assert "INFERENCE_ENDPOINT" not in seen["ConfigMap", "a"]["data"]
    spec = seen["Deployment", "a"]["spec"]["template"]["spec"]
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


def serve(render: Render, spec: InferenceSettings) -> tuple[Recorder, Any]:
    made = []

    def program() -> None:
        made.append(ModelServer("inference", spec, Context(prometheus=Peer("obs", {"app": "p"}))))
        own = AgentSettings(image="x/y:1", inference=spec.completed(Inference()))
        Agent("a", own, AgentEnvironment(connections={"inference": made[0].connection}))

    return render(program), made


def test_vllm_is_whole(render: Render) -> None:
    recorder, _ = serve(render, VLLM)
    seen = recorder.seen
    assert recorder.kinds("vllm") == ["NetworkPolicy", "PodDisruptionBudget", "Service", "StatefulSet"]
    spec = seen["StatefulSet", "vllm"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["args"][:3] == ["--model=m/7b", "--port=8000", "--tensor-parallel-size=2"]
    assert container["resources"]["requests"]["nvidia.com/gpu"] == "2"
    assert container["startupProbe"]["failureThreshold"] * container["startupProbe"]["periodSeconds"] == 30 * 60
    memory = next(v for v in spec["volumes"] if v.get("emptyDir", {}).get("medium") == "Memory")
    assert any(m["mountPath"] == "/dev/shm" and m["name"] == memory["name"] for m in container["volumeMounts"])
    # A Service `vllm` would set VLLM_PORT in its own pods.
    assert spec["enableServiceLinks"] is False
    key = next(v for v in container["env"] if v["name"] == "VLLM_API_KEY")["valueFrom"]["secretKeyRef"]
    theirs = seen["Deployment", "a"]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert next(v for v in theirs if v["name"] == "OPENAI_API_KEY")["valueFrom"]["secretKeyRef"] == key
    assert seen["ConfigMap", "a"]["data"]["OPENAI_BASE_URL"] == "http://vllm:8000/v1"


def test_ollama_downloads_its_model_first(render: Render) -> None:
    recorder, _ = serve(render, InferenceSettings(backend="ollama", model="qwen3", server=InferenceServer(gpus=0)))
    spec = recorder.seen["StatefulSet", "ollama"]["spec"]["template"]["spec"]
    (pull,), (container,) = spec["initContainers"], spec["containers"]
    assert {"name": "MODEL", "value": "qwen3"} in pull["env"]
    assert "ollama pull" in pull["command"][2]
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert "tolerations" not in spec
    data = recorder.seen["ConfigMap", "a"]["data"]
    assert (data["OLLAMA_HOST"], data["OPENAI_BASE_URL"]) == ("http://ollama:11434", "http://ollama:11434/v1")


def test_only_agents_that_use_the_server_reach_it(render: Render) -> None:
    seen = serve(render, VLLM)[0].seen
    agents, prometheus = seen["NetworkPolicy", "vllm"]["spec"]["ingress"]
    wanted = agents["from"][0]["podSelector"]["matchLabels"]
    assert wanted.items() <= seen["Deployment", "a"]["spec"]["template"]["metadata"]["labels"].items()
    assert prometheus["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "obs"}
    (edge,) = seen["NetworkPolicy", "a"]["spec"]["egress"]
    labels = seen["StatefulSet", "vllm"]["spec"]["template"]["metadata"]["labels"]
    assert edge["to"][0]["podSelector"]["matchLabels"].items() <= labels.items()
    assert edge["ports"][0]["port"] == 8000


def test_a_server_counts_only_while_its_backend_is_the_environments(render: Render) -> None:
    assert VLLM.runs is not None
    assert [demand.source for demand in of(VLLM).demands()["agents"][1]] == ["agents.a", "inference.server"]
    hosted = VLLM.model_copy(update={"backend": "openai"})
    assert hosted.runs is None
    assert hosted.demands() == {}
    with pytest.raises(ValueError, match="there is no server to run"):
        ModelServer("inference", hosted, Context())


def test_what_is_vllms_alone_is_refused_for_ollama() -> None:
    with pytest.raises(ValidationError, match=r"server\.args: belongs to vllm, not to ollama"):
        InferenceSettings(backend="ollama", model="m", server=InferenceServer(args=("--x",)))


def test_a_server_needs_a_model() -> None:
    with pytest.raises(ValidationError, match=r"model: is missing: name the model that the server is to have"):
        InferenceSettings(backend="vllm", server=InferenceServer())


def test_shared_memory_must_leave_memory() -> None:
    with pytest.raises(ValidationError, match="sharedMemory: 32Gi leaves nothing of the memory limit of 32Gi"):
        InferenceServer(shared_memory="32Gi")  # type: ignore[arg-type]


def test_a_mistake_points_to_where_it_can_be_mended(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "a.yaml").write_text("name: a\nimage: x/y:1\ninference:\n  gpus: 1\n")
    stack = tmp_path / "Pulumi.x.yaml"
    stack.write_text("config:\n  agentstack:inference: {backend: openai, model: m}\n")
    config = {"inference": {"backend": "openai", "model": "m"}, "platform": {"safeguards": {"requireSecrets": False}}}
    with pytest.raises(SettingsError, match=r"a\.yaml:4: agents\.a\.inference\.gpus: no model runs in"):
        load(config, stack_file=stack, agents_folder=tmp_path / "agents")


def test_the_key_of_an_agent_is_in_its_own_secret(render: Render) -> None:
    spec = Inference(backend="openai", model="m")
    settings = AgentSettings(image="x/y:1", inference=spec)
    values = {"OPENAI_API_KEY": pulumi.Output.secret("v")}
    environment = AgentEnvironment(connections={"inference": connect(spec)}, secrets=values)
    seen = render(lambda: Agent("a", settings, environment)).seen
    assert list(seen["Secret", "a"]["stringData"]["value"]) == ["OPENAI_API_KEY"]
