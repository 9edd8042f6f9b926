from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentstack_runtime.contract import Contract, ContractError, load
from agentstack_runtime.inference import Prompt, RateLimited, Refused, model

from .server import Server, fails, says

NOWHERE = Path("/nonexistent")
BASE = {"AGENT_NAME": "executor", "POD_NAME": "executor-0"}


def contract(**variables: str) -> Contract:
    return load(BASE | variables, config=NOWHERE, secrets=NOWHERE)


async def test_echo_needs_nothing_else() -> None:
    chosen = model(contract(INFERENCE_BACKEND="echo", INFERENCE_MODEL="echo"))
    answer = await chosen.complete(Prompt.of("hi"))
    assert (answer.text, answer.backend) == ("[echo] hi", "echo")
    await chosen.close()


@pytest.mark.parametrize("backend", ["openai", "vllm", "ollama"])
async def test_what_speaks_openais_api(server: Server, backend: str) -> None:
    server.replies = [says("hello")]
    base = f"{server.url}/v1"
    endpoint = server.url if backend == "ollama" else base
    chosen = model(
        contract(
            INFERENCE_BACKEND=backend,
            INFERENCE_MODEL="m",
            INFERENCE_ENDPOINT=endpoint,
            OPENAI_BASE_URL=base,
            OPENAI_API_KEY="k",
        )
    )
    answer = await chosen.complete(Prompt.of("hi"))
    assert (answer.text, answer.backend) == ("hello", backend)
    assert (server.paths, server.keys) == (["/v1/chat/completions"], ["Bearer k"])
    await chosen.close()


async def test_azure(server: Server) -> None:
    server.replies = [says("hello")]
    chosen = model(
        contract(
            INFERENCE_BACKEND="azure",
            INFERENCE_MODEL="deployed",
            INFERENCE_ENDPOINT=server.url,
            AZURE_OPENAI_ENDPOINT=server.url,
            AZURE_OPENAI_API_KEY="k",
            OPENAI_API_VERSION="2025-04-01-preview",
        )
    )
    assert (await chosen.complete(Prompt.of("hi"))).backend == "azure"
    assert server.paths == ["/openai/deployments/deployed/chat/completions?api-version=2025-04-01-preview"]
    assert server.keys == ["k"]
    await chosen.close()


async def test_the_key_of_the_moment(server: Server) -> None:
    server.replies = [says("hello")]
    variables = {"INFERENCE_BACKEND": "openai", "INFERENCE_MODEL": "m", "OPENAI_BASE_URL": f"{server.url}/v1"}
    variables["INFERENCE_ENDPOINT"] = variables["OPENAI_BASE_URL"]
    now = contract(**variables, OPENAI_API_KEY="old")
    chosen = model(now, renewed=lambda: now)
    await chosen.complete(Prompt.of("hi"))
    now = contract(**variables, OPENAI_API_KEY="new")
    await chosen.complete(Prompt.of("hi"))
    assert server.keys == ["Bearer old", "Bearer new"]
    await chosen.close()


async def test_the_limits_are_those_of_the_contract(server: Server) -> None:
    url = f"{server.url}/v1"
    variables = {"INFERENCE_BACKEND": "vllm", "INFERENCE_MODEL": "m", "INFERENCE_ENDPOINT": url, "OPENAI_BASE_URL": url}
    limits = {"RETRY_MAX": "1", "RETRY_BACKOFF_SECONDS": "1", "RETRY_MAX_BACKOFF_SECONDS": "1"}
    chosen = model(contract(**variables, **limits))
    server.replies = [fails(500), fails(429, {"retry-after": "2"})]
    with pytest.raises(RateLimited):
        await chosen.complete(Prompt.of("hi"))
    assert len(server.bodies) == 2
    server.replies = [fails(401)]
    with pytest.raises(Refused):
        await chosen.complete(Prompt.of("hi"))
    await chosen.close()


@pytest.mark.parametrize(
    ("variables", "says_so"),
    [
        ({}, "INFERENCE_BACKEND"),
        ({"INFERENCE_BACKEND": "gpt", "INFERENCE_MODEL": "m"}, "INFERENCE_BACKEND"),
        (
            {"INFERENCE_BACKEND": "azure", "INFERENCE_MODEL": "m"},
            "AZURE_OPENAI_ENDPOINT: is missing.*\nAZURE_OPENAI_API_KEY: is missing",
        ),
        ({"INFERENCE_BACKEND": "vllm", "INFERENCE_MODEL": "m"}, "^OPENAI_BASE_URL: is missing; .*endpoint`$"),
        ({"INFERENCE_BACKEND": "onnx", "INFERENCE_MODEL": "/no/model.onnx"}, "INFERENCE_MODEL: there is no file"),
        (
            {
                "INFERENCE_BACKEND": "openai",
                "INFERENCE_MODEL": "m",
                "INFERENCE_ENDPOINT": "https://api.openai.com/v1",
                "OPENAI_BASE_URL": "https://api.openai.com/v1",
            },
            "OPENAI_API_KEY: is missing; give",
        ),
    ],
)
def test_a_mistake_names_variable_and_remedy(variables: dict[str, str], says_so: str) -> None:
    with pytest.raises(ContractError, match=says_so):
        model(contract(**variables))


@pytest.mark.parametrize(
    ("backend", "library", "extra"), [("vllm", "openai", "openai"), ("onnx", "onnxruntime", "onnx")]
)
def test_a_library_that_is_not_installed_is_named(
    backend: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"agentstack_runtime.inference.{extra}", raising=False)
    with pytest.raises(ContractError, match=rf"{backend} needs {library}; install agentstack-runtime\[{extra}\]$"):
        model(contract(INFERENCE_BACKEND=backend, INFERENCE_MODEL="m"))


def test_no_backend_costs_the_library_of_another() -> None:
    code = "import sys, agentstack_runtime.inference; print({'openai', 'onnxruntime', 'numpy'} & sys.modules.keys())"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
