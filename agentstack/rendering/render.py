"""Running the program in-process, on Pulumi's own test monitor: what it registers, and what it exports."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import runpy
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from google.protobuf import empty_pb2, struct_pb2
from pulumi import Resource
from pulumi.runtime import mocks, resource_cycle_breaker, rpc, set_all_config, settings
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.stack import run_in_stack

from .dev_secrets import DevSecrets
from .environment import Environment
from .random_provider import State, create
from .registration import Registration, Rendered, Secret

_STACK = "pulumi:pulumi:Stack"


def render(environment: Environment, store: DevSecrets | None = None) -> Rendered:
    """Run the project's `__main__.py` for `environment` and return what it registers.

    Raises `SettingsError` for files that cannot be read, `pulumi.RunError` where the program refuses its input,
    and whatever else the program raises.
    """
    config, secret_keys = environment.runtime_config()
    rendered = Rendered()

    def run() -> None:
        # In a context of its own, since the runtime keeps all its state in context variables.
        monitor = _Monitor(rendered, seed=f"{environment.project_name}/{environment.name}", store=store)
        settings.configure(
            settings.Settings(
                project=environment.project_name,
                stack=environment.name,
                monitor=monitor,
                engine=mocks.MockEngine(_logger(rendered.warnings)),
                dry_run=False,  # or every value that a provider makes would be unknown
            )
        )
        set_all_config(config, secret_keys)
        _run_in_loop(lambda: _run_program(environment))

    with _without_stack_traces(), _quick_search_for_cycles():
        contextvars.Context().run(run)
    return rendered


@contextmanager
def _without_stack_traces() -> Iterator[None]:
    """Let the SDK not collect the stack of each registration, for which it reads every source file on it."""
    sys.tracebacklimit = 1
    try:
        yield
    finally:
        del sys.tracebacklimit


@contextmanager
def _quick_search_for_cycles() -> Iterator[None]:
    """Let the SDK search for a cycle only where there can be one.

    For each dependency it walks all that is reached from there: each agent depends on what depends on every agent's
    password. Only a resource that something depends on already can be a part of a cycle.
    """
    needed: set[Resource] = set()
    declare = resource_cycle_breaker.declare_dependency

    def quickly(resource: Resource, dependency: Resource) -> bool:
        needed.add(dependency)
        if resource in needed:
            return declare(resource, dependency)
        resource_cycle_breaker._add_dep(resource, dependency)
        return True

    rpc.declare_dependency = quickly  # type: ignore[attr-defined, assignment]
    try:
        yield
    finally:
        rpc.declare_dependency = declare  # type: ignore[attr-defined]


def _run_program(environment: Environment) -> None:
    folder = str(environment.project.absolute())
    sys.path.insert(0, folder)
    try:
        runpy.run_path(str(environment.project / "__main__.py"), run_name="__main__")
    finally:
        sys.path.remove(folder)


def _run_in_loop(program: Callable[[], None]) -> None:
    loop = asyncio.new_event_loop()
    try:
        loop.set_default_executor(_InPlace())
        loop.run_until_complete(run_in_stack(program))
    except BaseException:
        # Every output that needed the one that failed fails as well; only the first says anything new.
        loop.set_exception_handler(lambda *_: None)
        raise
    finally:
        loop.close()


class _InPlace(ThreadPoolExecutor):
    """Runs in the caller's thread: the monitor below never waits, so threads would only cost time."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class _NoInvokes(mocks.Mocks):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        raise NotImplementedError(f"a preview cannot read {args.name} ({args.typ}) from a cluster")

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise NotImplementedError(f"a preview cannot call {args.token}")


class _Monitor(mocks.MockMonitor):
    """Records registrations and answers each with its own inputs, as a provider that adds nothing would.

    The monitor it derives from hands on neither parents nor where exactly a secret is, and accepts a URN twice.
    """

    def __init__(self, rendered: Rendered, *, seed: str, store: DevSecrets | None) -> None:
        super().__init__(_NoInvokes())
        self._rendered = rendered
        self._seed = seed
        self._store = store
        self._urns: set[str] = set()
        self._aliases: dict[str, list[str]] = {}

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        qualified = parent.split("::")[2] if parent else _STACK
        type_ = type_ if qualified == _STACK else f"{qualified}${type_}"
        return f"urn:pulumi:{settings.get_stack()}::{settings.get_project()}::{type_}::{name}"

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 (the name in the protocol)
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == _STACK:
            return resource_pb2.RegisterResourceResponse(urn=urn)
        if urn in self._urns:
            raise ValueError(f"two resources have the URN {urn}: the engine refuses this")
        self._urns.add(urn)
        inputs = _plain_struct(request.object)
        aliases = self._aliases[urn] = self._former_urns(request, urn)
        self._rendered.registrations.append(
            Registration(
                urn,
                request.type,
                request.name,
                request.parent,
                not request.custom,
                inputs,
                protected=request.protect,
                retained=request.retainOnDelete,
                deleted_first=request.deleteBeforeReplace,
                aliases=tuple(aliases),
                ignored=tuple(request.ignoreChanges),
                replaced=tuple(request.replaceOnChanges),
                provider=request.provider.rpartition("::")[0],
            )
        )
        answer = resource_pb2.RegisterResourceResponse(urn=urn, id=request.name, object=request.object)
        if request.type.startswith("random:"):
            state = create(request.type, urn, inputs, self._seed, self._store)
            answer.id = state.id
            answer.object.update(_marked(state))
        return answer

    def _former_urns(self, request: Any, urn: str) -> list[str]:
        """Return the URNs that the engine also looks for: those of the resource's own aliases, and of its parent's.

        https://github.com/pulumi/pulumi/blob/v3.259.0/pkg/resource/deploy/step_generator.go (generateAliases)
        """
        found: dict[str, None] = {}
        names = [(request.parent, request.type, request.name)]
        for alias in request.aliases:
            if alias.urn:
                found[alias.urn] = None
                continue
            spec = alias.spec
            parent = "" if spec.noParent else spec.parentUrn or request.parent
            names.append((parent, spec.type or request.type, spec.name or request.name))
        for parent, type_, name in names:
            parent_name = parent.rpartition("::")[2]
            found[self.make_urn(parent, type_, name)] = None
            for former in self._aliases.get(parent, ()):
                # A child that is named after its parent has followed the parent's name.
                follows = parent_name and name.startswith(parent_name)
                old_name = former.rpartition("::")[2] + name.removeprefix(parent_name) if follows else name
                found[self.make_urn(former, type_, old_name)] = None
        found.pop(urn, None)
        return list(found)

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 (the name in the protocol)
        if f"::{_STACK}::" in request.urn:
            self._rendered.outputs = _plain_struct(request.outputs)
        return empty_pb2.Empty()


def _marked(state: State) -> dict[str, Any]:
    return {
        key: {rpc._special_sig_key: rpc._special_secret_sig, "value": value} if key in state.secret else value
        for key, value in state.outputs.items()
    }


def _plain_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Turn protobuf into plain data: absent instead of null, whole numbers as `int`, secrets marked in place."""
    plain = {}
    for key in sorted(struct.fields):  # protobuf's order is none
        value = _plain(struct.fields[key])
        if value is not None:
            plain[key] = value
    return plain


def _plain(item: struct_pb2.Value) -> Any:
    match item.WhichOneof("kind"):
        case "string_value":
            return item.string_value
        case "struct_value":
            plain = _plain_struct(item.struct_value)
            return Secret(plain["value"]) if plain.get(rpc._special_sig_key) == rpc._special_secret_sig else plain
        case "list_value":
            return [_plain(value) for value in item.list_value.values]
        case "bool_value":
            return item.bool_value
        case "number_value":
            number = item.number_value
            return int(number) if number.is_integer() else number
        case _:
            return None


def _logger(warnings: list[str]) -> logging.Logger:
    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warnings.append(record.getMessage())

    logger = logging.Logger("agentstack.preview", logging.WARNING)
    logger.addHandler(Collect())
    return logger
