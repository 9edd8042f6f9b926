"""What a run of the program registers with the engine, in plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Secret:
    """A value in an object that must not be shown."""

    value: Any


@dataclass(frozen=True)
class Registration:
    """One resource: a component, a Kubernetes object, or something else that has no manifest."""

    urn: str
    type: str
    name: str
    parent: str
    """The URN of its parent; that of the stack for the outermost."""
    component: bool
    inputs: dict[str, Any] = field(repr=False)
    """With a `Secret` in the place of each secret value."""
    protected: bool = False
    """Whether the engine refuses to delete or replace it."""
    retained: bool = False
    """Whether the object stays in the cluster when the engine deletes the resource."""
    deleted_first: bool = False
    """Whether a replacement deletes the old object before it makes the new one."""
    aliases: tuple[str, ...] = ()
    """URNs that the resource may have had before: what the engine has under one of them is this resource."""
    ignored: tuple[str, ...] = ()
    """Paths of inputs whose changes the engine passes over."""
    replaced: tuple[str, ...] = ()
    """Paths of inputs whose changes make the engine replace it, beside those of its provider."""
    provider: str = ""
    """The URN of the provider; empty for the default one."""

    @property
    def is_kubernetes_object(self) -> bool:
        """Whether the inputs are a manifest; those of a patch are a part of an object that something else makes."""
        return self.type.startswith("kubernetes:") and not self.type.endswith("Patch")


def owners(registration: Registration, by_urn: Mapping[str, Registration]) -> Iterator[Registration]:
    """Yield what a resource belongs to, the innermost first; `by_urn` has all registrations of its program."""
    owner = by_urn.get(registration.parent)
    while owner is not None:
        yield owner
        owner = by_urn.get(owner.parent)


@dataclass
class Rendered:
    """What a run of the program left behind."""

    registrations: list[Registration] = field(default_factory=list)
    """In no order that can be relied on."""
    outputs: dict[str, Any] = field(default_factory=dict)
    """The stack's outputs, with a `Secret` for each secret."""
    warnings: list[str] = field(default_factory=list)
    """What the program logged as a warning or an error."""


def without_secrets(value: Any) -> Any:
    """Return plain data with None in the place of each secret."""
    if isinstance(value, Secret):
        return None
    if isinstance(value, dict):
        return {key: without_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return value
