"""The command `new`."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from agentstack.authoring.new_agent import (
    Declaration,
    Question,
    answered,
    next_steps,
    problems,
    questions,
    text_of,
)
from agentstack.rendering.environment import Environment, find_project
from settings.errors import SettingsError
from settings.files import read_agents

app = typer.Typer(help="Write a new file.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)


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
    asked = questions(name, environment.settings())
    path = environment.agents_folder / f"{name}.yaml"
    declared = read_agents(environment.agents_folder)
    declaration: Declaration = {"name": name}
    # A name that is none may be none of a file either.
    if name not in declared and (found := problems({**declaration, "image": "example/image:1"}, environment)):
        raise SettingsError("\n".join(found))
    if name in declared or path.exists():
        raise SettingsError(
            f"{declared.get(name, [path])[0]}: is there already: choose another name, or change the file"
        )
    missing = [question for question in asked if given[question.option] is None]
    can_ask = sys.stdin.isatty() and not yes
    if missing and not can_ask:
        _refuse_to_guess(missing, yes)
    if can_ask and missing:
        typer.echo(f"A new agent, {name}. Enter takes what is in brackets, ctrl-c writes nothing.")
    for question in asked:
        answer = given[question.option]
        if answer is not None:
            try:
                declaration = answered(declaration, question, answer, environment)
            except ValueError as error:
                raise SettingsError(f"--{question.option}: {error}") from None
        elif can_ask:
            declaration = _asked(declaration, question, environment)
    content = text_of(declaration, environment)
    with path.open("x", encoding="utf-8") as file:
        file.write(content)
    typer.echo(f"\n{path}:\n\n{content}")
    for line in next_steps(declaration, environment):
        typer.echo(line)


def _refuse_to_guess(missing: Sequence[Question], yes: bool) -> None:
    needed = [question for question in missing if question.default is None]
    if needed:
        raise SettingsError("".join(f"--{question.option}: is missing: add it" for question in needed))
    if not yes:
        options = ", ".join(f"--{question.option}" for question in missing)
        raise SettingsError(f"no terminal to ask in: give {options}, or --yes for their defaults")


def _asked(declaration: Declaration, question: Question, environment: Environment) -> Declaration:
    def value(answer: str) -> Declaration:
        try:
            return answered(declaration, question, answer, environment)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    extended: Declaration = typer.prompt(question.text, default=question.default, value_proc=value)
    return extended
