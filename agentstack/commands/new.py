"""`agentstack new agent`: asks what matters, and writes the file of an agent that fits into its environment."""

from __future__ import annotations

import os
import pathlib
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

# Only what `--help` needs is imported here: see cli.py.
if TYPE_CHECKING:
    from agentstack.rendering.environment import Environment
    from settings.root import Settings

Declaration = dict[str, Any]

app = typer.Typer(help="Write a new file.", no_args_is_help=True)


@dataclass(frozen=True)
class Question:
    """One thing to know of a new agent: an option, and a question where a person can be asked."""

    option: str
    text: str
    default: str | None
    """The answer that leaves the declaration as it is; None where one is needed."""
    declared: Callable[[str], Declaration]
    """From the answer to its part of the declaration. Raises `ValueError` for an answer that is none."""


@app.callback()
def _group() -> None:
    """Stand for itself: with one command alone, typer would leave out its name."""


@app.command()
def agent(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The agent's name: a DNS label.")],
    image: Annotated[str | None, typer.Option(help="Container image, with its version.")] = None,
    pods: Annotated[str | None, typer.Option(help="How many: a number, or MIN-MAX for an autoscaler.")] = None,
    consumes: Annotated[str | None, typer.Option(help="Kafka topics it reads, separated by commas.")] = None,
    produces: Annotated[str | None, typer.Option(help="Kafka topics it writes.")] = None,
    calls: Annotated[str | None, typer.Option(help="Other agents that it calls over HTTP.")] = None,
    redis: Annotated[bool | None, typer.Option("--redis/--no-redis", help="Whether it uses Redis.")] = None,
    public: Annotated[str | None, typer.Option(help="Path by which the outside reaches it.")] = None,
    egress: Annotated[
        str | None, typer.Option(help="Outside destinations: HOST, HOST:PORT, CIDR:PORT or [CIDR]:PORT.")
    ] = None,
    secrets: Annotated[str | None, typer.Option(help="Environment variables that hold a secret.")] = None,
    longest_task: Annotated[str | None, typer.Option(help="Longest that one task takes, such as 10m.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Take the default for everything that is not given.")] = False,
    env: Annotated[str, typer.Option(metavar="ENV", help="The environment that it must fit into.")] = "dev",
) -> None:
    """Write agents/NAME.yaml: asks what is not given, and checks each answer against the whole environment.

    Exit codes: 0 written, 1 given up, 2 bad input (nothing is written then).
    """
    from agentstack.rendering.environment import Environment, find_project
    from settings.errors import SettingsError
    from settings.files import read_agents

    given = {
        "image": image,
        "pods": pods,
        "consumes": consumes,
        "produces": produces,
        "calls": calls,
        "redis": None if redis is None else "yes" if redis else "no",
        "public": public,
        "egress": egress,
        "secrets": secrets,
        "longest-task": longest_task,
    }
    environment = Environment.find(find_project(pathlib.Path()), env)
    questions = _questions(name, environment.settings())
    path = environment.agents_folder / f"{name}.yaml"
    declared = read_agents(environment.agents_folder)
    declaration: Declaration = {"name": name}
    # A name that is none may be none of a file either.
    if name not in declared and (problems := _problems({**declaration, "image": "example/image:1"}, environment)):
        raise SettingsError("\n".join(problems))
    if name in declared or path.exists():
        raise SettingsError(
            f"{declared.get(name, [path])[0]}: is there already: choose another name, or change the file"
        )
    missing = [question for question in questions if given[question.option] is None]
    can_ask = sys.stdin.isatty() and not yes
    if missing and not can_ask:
        _refuse_to_guess(missing, yes)
    if can_ask and missing:
        typer.echo(f"A new agent, {name}. Enter takes what is in brackets, ctrl-c writes nothing.")
    for question in questions:
        answer = given[question.option]
        if answer is not None:
            try:
                declaration = _answered(declaration, question, answer, environment)
            except ValueError as error:
                raise SettingsError(f"--{question.option}: {error}") from None
        elif can_ask:
            declaration = _asked(declaration, question, environment)
    text = _text(declaration, environment)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    typer.echo(f"\n{path}:\n\n{text}")
    for line in _next_steps(declaration, environment):
        typer.echo(line)


def _questions(name: str, settings: Settings) -> list[Question]:
    from settings.agent_fields import Shutdown
    from settings.types import duration_text

    topics = ", ".join(settings.kafka.topics) or "any that there are"
    agents = ", ".join([*settings.agents, *settings.disabled]) or "none yet"
    longest = duration_text(Shutdown().longest_task)
    return [
        Question("image", f"Container image with its version, such as ghcr.io/acme/{name}:1.0.0", None, _image),
        Question("pods", "Pods: a number, or MIN-MAX for an autoscaler", "1", _pods),
        Question("consumes", f"Topics it reads ({topics})", "none", _list("consumes")),
        Question("produces", f"Topics it writes ({topics})", "none", _list("produces")),
        Question("calls", f"Agents it calls ({agents})", "none", _list("calls")),
        Question("redis", "Does it keep anything in Redis", "no", _redis),
        Question("public", f"Path by which the outside reaches it, such as /{name}", "none", _public),
        Question(
            "egress",
            "Hosts outside that it calls, such as api.openai.com or db.example.com:5432",
            "none",
            _list("egress"),
        ),
        Question("secrets", "Variables that hold a secret, such as OPENAI_API_KEY", "none", _secrets),
        Question("longest-task", "Longest that one task takes", longest, _longest_task),
    ]


def _refuse_to_guess(missing: list[Question], yes: bool) -> None:
    from settings.errors import SettingsError

    needed = [question for question in missing if question.default is None]
    if needed:
        raise SettingsError("".join(f"--{question.option}: is missing: add it" for question in needed))
    if not yes:
        options = ", ".join(f"--{question.option}" for question in missing)
        raise SettingsError(f"no terminal to ask in: give {options}, or --yes for their defaults")


def _asked(declaration: Declaration, question: Question, environment: Environment) -> Declaration:
    def value(answer: str) -> Declaration:
        try:
            return _answered(declaration, question, answer, environment)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    answered: Declaration = typer.prompt(question.text, default=question.default, value_proc=value)
    return answered


def _answered(declaration: Declaration, question: Question, answer: str, environment: Environment) -> Declaration:
    """Return the declaration with an answer in it.

    Raises `ValueError` for an answer with which the environment would be refused.
    """
    answer = answer.strip()
    if answer in ("", "none", question.default):
        if question.default is None:
            raise ValueError("is missing: add it")
        return declaration
    extended = {**declaration, **question.declared(answer)}
    if problems := _problems(extended, environment):
        raise ValueError("\n".join(problems))
    return extended


def _problems(declaration: Declaration, environment: Environment) -> list[str]:
    """Say why `environment` would be refused with this agent, one line per mistake."""
    from settings.errors import SettingsError
    from settings.files import read_agents

    name = str(declaration["name"])
    with tempfile.TemporaryDirectory() as folder:
        candidates = pathlib.Path(folder)
        for number, (file, _) in enumerate(read_agents(environment.agents_folder).values()):
            (candidates / f"{number}.yaml").symlink_to(file.absolute())
        # The last one in order: of two agents that want the same, it is the one that is refused.
        (candidates / "candidate.yaml").write_text(_text(declaration, environment), encoding="utf-8")
        try:
            replace(environment, agents_folder=candidates).settings()
        except SettingsError as error:
            # The file is not there yet: its line says nothing.
            own = re.escape(str(candidates / "candidate.yaml"))
            lines = [
                re.sub(rf"^{own}(:\d+)?: (agents\.{re.escape(name)}\.)?", "", line) for line in str(error).split("\n")
            ]
            return [line.replace(f"agents.{name}.", "") for line in lines]
    return []


def _text(declaration: Mapping[str, Any], environment: Environment) -> str:
    import yaml

    schema = os.path.relpath(environment.project / "schemas" / "agent.schema.json", environment.agents_folder)
    lines = [f"# yaml-language-server: $schema={schema}\n"]
    for key, value in declaration.items():
        # None: on one line what holds only scalars, which a whole file may do as well.
        inline = None if isinstance(value, dict | list) else False
        lines.append(yaml.safe_dump({key: value}, default_flow_style=inline, sort_keys=False, width=1_000_000))
    return "".join(lines)


def _next_steps(declaration: Declaration, environment: Environment) -> list[str]:
    from settings.errors import SettingsError
    from settings.files import environments

    name = declaration["name"]
    refused: dict[str, list[str]] = {}
    for other in environments(environment.project):
        try:
            type(environment).find(environment.project, other).settings()
        except SettingsError as error:
            for line in str(error).splitlines():
                refused.setdefault(line, []).append(other)
    return [
        f"next  agentstack explain {name} --env {environment.name}   # what it becomes, and what its pods find",
        *(f"then  for {', '.join(others)}: {line}" for line, others in refused.items()),
    ]


def _image(answer: str) -> Declaration:
    return {"image": answer}


def _pods(answer: str) -> Declaration:
    if match := re.fullmatch(r"(\d{1,6})(?:\s*-\s*(\d{1,6}))?", answer):
        low, high = match.groups()
        return {"scaling": {"min": int(low), "max": int(high)}} if high else {"replicas": int(low)}
    raise ValueError("must be a number such as `3`, or a range such as `2-8`")


def _words(answer: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", answer) if word]


def _list(field: str) -> Callable[[str], Declaration]:
    return lambda answer: {field: _words(answer)}


def _redis(answer: str) -> Declaration:
    if answer.lower() not in ("y", "yes", "n", "no"):
        raise ValueError("must be `yes` or `no`")
    return {"uses": ["redis"]} if answer.lower().startswith("y") else {}


def _public(answer: str) -> Declaration:
    return {"public": {"path": answer}}


def _secrets(answer: str) -> Declaration:
    return {"secrets": {word: {"required": True} for word in _words(answer)}}


def _longest_task(answer: str) -> Declaration:
    return {"shutdown": {"longestTask": answer}}
