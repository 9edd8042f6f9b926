"""Which objects are there for an agent, what each is for, and what of the declaration shapes it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from agentstack.rendering.registration import owners
from components.agent.part import PART as AGENT
from components.parts import PARTS
from manifests.fields import text

from .model import ExplainedObject

if TYPE_CHECKING:
    from agentstack.rendering.manifests import RenderedObject
    from agentstack.rendering.registration import Registration
    from components.purpose import Purpose

_ROLE: Final = "app.kubernetes.io/component"
_ROUTES: Final = {"Ingress", *(kind for part in PARTS for kind, like in part.custom_kinds.items() if like == "Ingress")}
_PURPOSES: Final = [
    (part, purpose) for part in sorted(PARTS, key=lambda part: part is not AGENT) for purpose in part.purposes
]
"""In the order of showing: first what is the agent's own."""


def own_objects(
    agent: str, things: Sequence[RenderedObject], registrations: Mapping[str, Registration]
) -> list[RenderedObject]:
    """Return the objects that the agent's component makes; `registrations` are those of the stack, by URN."""

    def belongs(thing: RenderedObject) -> bool:
        return any(
            owner.type in AGENT.types and owner.name == agent for owner in owners(thing.registration, registrations)
        )

    return [thing for thing in things if belongs(thing)]


def serving_objects(own: Sequence[RenderedObject], things: Sequence[RenderedObject]) -> list[RenderedObject]:
    """Return the objects of other parts that route to the agent, or that its pods read; references are by name."""
    namespaces = {thing.namespace for thing in own}
    services = {thing.name for thing in own if thing.kind == "Service"}
    read = {name for thing in own for name in _referred(thing)}

    def serves(thing: RenderedObject) -> bool:
        if thing.kind in ("Secret", "ConfigMap"):
            return thing.name in read
        return thing.kind in _ROUTES and not services.isdisjoint(_referred(thing))

    others = (thing for thing in things if thing not in own and thing.namespace in namespaces)
    return [thing for thing in others if serves(thing)]


def described(
    things: Sequence[RenderedObject], registrations: Mapping[str, Registration], given: Collection[str]
) -> list[ExplainedObject]:
    """Describe objects, in the order of showing; `given` are the fields that somebody wrote, as purposes name them."""
    found: list[tuple[tuple[int, str, str], ExplainedObject]] = []
    for thing in things:
        component = next((owner.type for owner in owners(thing.registration, registrations) if owner.component), "")
        rank, purpose = _purpose(thing, component)
        because = tuple(field for field in purpose.fields if field in given) if purpose else ()
        words = purpose.of(thing.object) if purpose else ""
        shown = ExplainedObject(thing.kind, thing.name, component.rpartition(":")[2], words, because, thing.path)
        found.append(((rank, thing.kind, thing.name), shown))
    return [shown for _, shown in sorted(found, key=lambda item: item[0])]


def roles(thing: RenderedObject) -> set[str]:
    """Return what the labels say that an object is for."""
    # NetworkPolicies have no labels: theirs are those of the pods.
    paths = (("metadata", "labels"), ("spec", "podSelector", "matchLabels"))
    return {role for path in paths if (role := text(thing.object, *path, _ROLE))}


def _purpose(thing: RenderedObject, component: str) -> tuple[int, Purpose | None]:
    """Return what a part says of such objects of its component, and the place of that in the order of showing."""
    for rank, (part, purpose) in enumerate(_PURPOSES):
        if component in part.types and thing.kind == purpose.kind:
            special = {role for one in part.purposes for role in one.roles} & roles(thing)
            if special <= set(purpose.roles) and bool(special) == bool(purpose.roles):
                return rank, purpose
    return len(_PURPOSES), None


def _referred(thing: RenderedObject) -> Iterator[str]:
    """Return the names that an object refers to: not all kinds have a `spec`."""
    return _named({key: value for key, value in thing.object.items() if key != "metadata"})


def _named(value: Any, key: str = "") -> Iterator[str]:
    """Return the names of objects that a specification refers to."""
    if isinstance(value, dict):
        for inner, item in value.items():
            yield from _named(item, inner)
    elif isinstance(value, list):
        for item in value:
            yield from _named(item)
    elif key in ("name", "secretName"):
        yield str(value)
