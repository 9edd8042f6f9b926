"""Deploys dev, sends it a task with the A2A project's own client, and shows what becomes of it. Run by `make demo`.

Argument: the folder of the manifests to apply; without one, dev is there already. KUBECONFIG says where.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator

import httpx
from a2a.client import A2AClientError, ClientConfig, ClientFactory
from a2a.types.a2a_pb2 import GetTaskRequest, Message, Part, Role, SendMessageRequest, Task
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

QUESTION = "Why does the sea look blue, and a glass of it does not?"
WORKFLOW = "research"
SERVICES = ("ingestion", "orchestrator", "executor", "state-manager", "learner")
READY_SECONDS = 300

console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)


class Failed(Exception):
    """What is wrong, and what to do about it."""


def kubectl(*arguments: str) -> str:
    """Return what kubectl prints. Raises Failed with its last line."""
    done = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"kubectl {' '.join(arguments[:4])}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def deploy(folder: str) -> None:
    """Apply the manifests, and wait until the services are ready."""
    context = kubectl("config", "current-context").strip()
    console.print(f"[bold]dev[/bold] goes to the cluster [bold]{context}[/bold] ({os.environ['KUBECONFIG']})")
    kubectl("apply", "--server-side", "--recursive", "--filename", folder)
    with console.status("starting: Redis, Kafka, the five services"):
        wait = f"--timeout={READY_SECONDS}s"
        try:
            kubectl("--namespace=data", "wait", "--for=condition=complete", "jobs", "--all", wait)
            for service in SERVICES:
                kubectl("--namespace=agents", "rollout", "status", f"deployment/{service}", wait)
        except Failed as error:
            pods = kubectl("get", "pods", "--all-namespaces")
            raise Failed(
                f"{error}\n{pods}ErrImagePull or ImagePullBackOff: the cluster has no image of the services. On kind,\n"
                "`.ci/kind` builds and loads it; elsewhere build services/Dockerfile and push it to a registry."
            ) from None


@contextlib.contextmanager
def forwarded() -> Iterator[str]:
    """Yield the URL of ingestion, through the API server."""
    command = ["kubectl", "--namespace=agents", "port-forward", "service/ingestion", ":80"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or process.stderr is None:
            raise Failed("kubectl port-forward: no output")
        line = process.stdout.readline()
        if "->" not in line:
            raise Failed(f"kubectl port-forward: {process.stderr.read().strip() or 'it ended'}")
        yield f"http://{line.split()[2]}"
    finally:
        process.terminate()
        process.wait()


async def ask(url: str) -> Task:
    """Send the question, print what the stream tells, and return the task as it is in the end."""
    message = Message(message_id=str(uuid.uuid4()), role=Role.ROLE_USER, parts=[Part(text=QUESTION)])
    message.metadata["workflow"] = WORKFLOW
    console.print(f"\n[bold cyan]you[/bold cyan]       {QUESTION}")
    began = time.monotonic()
    task = ""
    async with httpx.AsyncClient(timeout=60) as http:
        client = await ClientFactory(
            ClientConfig(httpx_client=http, supported_protocol_bindings=["HTTP+JSON"])
        ).create_from_url(url)
        async for event in client.send_message(SendMessageRequest(message=message)):
            kind = event.WhichOneof("payload")
            text = ""
            if kind == "task":
                task = event.task.id
                text = "taken in: a task at once, whatever happens to this connection"
            elif kind == "status_update":
                parts = event.status_update.status.message.parts
                text = parts[0].text if parts else ""
            if text:
                console.print(f"[dim]{time.monotonic() - began:7.2f} s[/dim]  {text}")
        return await client.get_task(GetTaskRequest(id=task))


def show(task: Task, url: str) -> None:
    """Print the steps and the answer."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("step", "state", "items", "seconds", "tokens in", "tokens out"):
        table.add_column(name, justify="left" if name in ("step", "state") else "right")
    for step in MessageToDict(task.metadata)["steps"]:
        counts = [f"{step[name]:.0f}" if name in step else "" for name in ("items", "inputTokens", "outputTokens")]
        seconds = f"{step.get('durationSeconds', 0):.3f}"
        table.add_row(step["name"], step["state"], counts[0], seconds, *counts[1:])
    console.print()
    console.print(table)
    answer = "\n".join(part.text for artifact in task.artifacts for part in artifact.parts)
    console.print(Panel(Text(answer or "no answer"), title=f"answer, by workflow {WORKFLOW}", title_align="left"))
    if answer.startswith("[echo]"):
        console.print(
            "[echo] is what answers in dev: it repeats what it is asked, needs no key, and says so.\n"
            "For another model change one line, `agentstack:inference` in Pulumi.dev.yaml (docs/inference.md).",
            markup=False,
        )
    port = url.rpartition(":")[2]
    console.print(
        f"\nAny replica knows the task:\n"
        f"  kubectl --namespace agents port-forward service/ingestion {port}:80 &\n"
        f"  curl -H 'A2A-Version: 1.0' localhost:{port}/tasks/{task.id}",
        soft_wrap=True,
    )


def main() -> int:
    """Return the exit code."""
    if shutil.which("kubectl") is None:
        raise Failed("kubectl is not on PATH: install it")
    if "KUBECONFIG" not in os.environ:
        raise Failed("KUBECONFIG is not set: export the path of a kubeconfig for a cluster that dev may be deployed to")
    for folder in sys.argv[1:]:
        deploy(folder)
    with forwarded() as url:
        task = asyncio.run(ask(url))
        show(task, url)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failed, A2AClientError) as error:
        console.print(str(error), style="red", markup=False)
        sys.exit(2 if isinstance(error, Failed) else 1)
