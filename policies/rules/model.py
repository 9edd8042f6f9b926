"""What a rule is and what it reports."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from manifests.fields import UnknownValueError
from manifests.manifest import Manifest, identity

from .findings import Severity, Violation

if TYPE_CHECKING:
    from manifests.stack import Stack


Scope = Literal["manifest", "stack"]

Config = Mapping[str, Any]
"""The values of a rule's properties; one without a default is only there where it is configured."""

ConfigSchema = Mapping[str, Mapping[str, Any]]
"""A rule's properties by name, each as JSON Schema, in what both the engine and `agentstack.policy` understand:
`type` (string, boolean, integer, number, or array with `items` of these), `enum`, `minimum`, `maximum`, `minItems`,
`description`, and `default`. See https://www.pulumi.com/docs/iac/packages-and-automation/crossguard/configuration/.
"""


@dataclass(frozen=True)
class Rule:
    """One rule; `check` yields a message for each mistake on a subject, by the values in `config`.

    A rule of scope `manifest` looks at one object at a time; one of scope `stack` needs all of them.
    """

    id: str
    severity: Severity
    description: str
    scope: Scope
    subjects: Callable[[Stack], Iterable[Manifest]]
    check: Callable[[Manifest, Stack, Config], Iterable[str]]
    function: Callable[..., Iterable[str]] = field(compare=False, repr=False)
    """What `check` is made of, for the documentation."""
    source: str = ""
    """Who else asks for it, as Markdown: a standard, or a linter with the name of its check."""
    complete: bool = False
    """Whether it needs all objects of the stack: in a part of them it would miss what is elsewhere."""
    config_schema: ConfigSchema = field(default_factory=dict)
    config: Config = field(default_factory=dict)
    """What is configured, and the defaults of the rest."""

    @property
    def fires(self) -> str:
        """On what it fires, as its author says it."""
        return inspect.getdoc(self.function) or ""

    def configured(self, severity: Severity, values: Config) -> Rule:
        """Return the rule with another severity, and with `values`, which fit its schema, instead of its own."""
        return replace(self, severity=severity, config={**self.config, **values})

    def evaluate(self, stack: Stack) -> list[Violation]:
        """Check every subject in `stack`; never raises (see `policies.rules.evaluate`)."""
        try:
            subjects = list(self.subjects(stack))
        except Exception as error:
            return [self._not_evaluated({}, error)]
        return [violation for subject in subjects for violation in self._check(subject, stack)]

    def _check(self, subject: Manifest, stack: Stack) -> list[Violation]:
        found = []
        try:
            for message in self.check(subject, stack, self.config):
                found.append(Violation(self.id, self.severity, *identity(subject), message, subject=subject))
        except Exception as error:
            found.append(self._not_evaluated(subject, error))
        return found

    def _not_evaluated(self, subject: Manifest, error: Exception) -> Violation:
        if isinstance(error, UnknownValueError):
            message = f"not evaluated: {error.field} is unknown before deployment; set a value known at preview"
        else:  # not the error's text: it may quote a value
            message = f"not evaluated: the rule failed with {type(error).__name__}; please report this bug"
        return Violation(self.id, "error", *identity(subject), message, outcome="not evaluated", subject=subject)


def manifest_rule(
    rule_id: str,
    severity: Severity,
    description: str,
    *,
    config_schema: ConfigSchema | None = None,
    source: str = "",
) -> Callable[[Callable[..., Iterable[str]]], Rule]:
    """Make a rule of a function that checks one manifest; with a `config_schema` it gets the `Config` as well."""

    def decorate(check: Callable[..., Iterable[str]]) -> Rule:
        return Rule(
            rule_id,
            severity,
            description,
            "manifest",
            subjects=lambda stack: stack.manifests,
            check=(lambda manifest, _, config: check(manifest, config))
            if config_schema
            else (lambda manifest, *_: check(manifest)),
            function=check,
            source=source,
            **_configuration(config_schema),
        )

    return decorate


def stack_rule(
    rule_id: str,
    severity: Severity,
    description: str,
    subjects: Callable[[Stack], Iterable[Manifest]],
    *,
    complete: bool = False,
    config_schema: ConfigSchema | None = None,
    source: str = "",
) -> Callable[[Callable[..., Iterable[str]]], Rule]:
    """Make a rule of a function that checks each of `subjects` against the whole stack.

    With a `config_schema` the function gets the `Config` as well, after the subject and the stack. `complete` is for
    what finds that something is absent that may well be elsewhere where only some objects are at hand.
    """

    def decorate(check: Callable[..., Iterable[str]]) -> Rule:
        return Rule(
            rule_id,
            severity,
            description,
            "stack",
            subjects,
            check if config_schema else (lambda subject, stack, _: check(subject, stack)),
            function=check,
            source=source,
            complete=complete,
            **_configuration(config_schema),
        )

    return decorate


def _configuration(schema: ConfigSchema | None) -> dict[str, Any]:
    properties = schema or {}
    defaults = {name: item["default"] for name, item in properties.items() if "default" in item}
    return {"config_schema": properties, "config": defaults}
