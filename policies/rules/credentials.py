"""Secrets that stand in plain text in a manifest. No finding may contain a value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from manifests.fields import get, known, mapping, path_to, placed, strings, text
from manifests.manifest import Manifest
from manifests.secret_text import secret_arguments, secret_in_file, secret_in_plain_text
from manifests.workloads import containers, kind_of, where
from policies.findings import Finding
from policies.model import Rule, manifest_rule

_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]*")


@manifest_rule(
    "no-secret-in-plain-env",
    "error",
    "Secrets reach containers by reference, not as plain environment values.",
    remedy="put the value into a Secret and refer to it with valueFrom.secretKeyRef",
)
def no_secret_in_plain_env(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a variable or argument that looks like a secret, and on a ConfigMap that holds such variables."""
    for container in containers(manifest):
        for variable in placed(container, "env"):
            value = get(variable, "value")
            name = text(variable, "name")
            if value is not None and (reason := secret_in_plain_text(name, str(value))):
                what = f"{where(container)}: the environment variable {name} {reason} in plain text"
                yield Finding(what, variable.at("value"))
        for field in ("command", "args"):
            for number in secret_arguments(strings(container, field)):
                what = f"{where(container)}: {field}[{number}] holds what looks like a secret"
                yield Finding(what, container.at(field, number))
    if text(manifest, "kind") == "ConfigMap":
        for name, value in mapping(manifest, "data").items():
            # Keys in lower case or with a dot are files, whose formats these patterns do not know.
            if _VARIABLE.fullmatch(name) and (reason := secret_in_plain_text(name, str(value))):
                yield Finding(f"the variable {name} {reason} in plain text", path_to("data", name))


@manifest_rule(
    "no-secret-in-config-file",
    "error",
    "Files in ConfigMaps hold no secrets.",
    remedy="put it into a Secret and mount that",
    source="polaris `sensitiveConfigmapContent`; NSA C-0012",
)
def no_secret_in_config_file(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a file with a private key or a token of a known form; formats of other passwords are not known."""
    if kind_of(manifest) != "ConfigMap":
        return
    data = mapping(manifest, "data")
    for name in data:
        content = known(data, name)
        if not _VARIABLE.fullmatch(name) and isinstance(content, str) and secret_in_file(content):
            yield Finding(f"the file {name} holds what looks like a secret", path_to("data", name))


RULES: tuple[Rule, ...] = (no_secret_in_plain_env, no_secret_in_config_file)
