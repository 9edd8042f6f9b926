"""Values of a manifest without the secrets in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from manifests.secret_text import masked, secret_arguments, secret_in_plain_text

from .model import SECRET
from .similarity import Keys

# In files of any format; a value that begins with `$`, `<` or a bracket is filled in later, or is code.
_SECRET_LINE: Final = re.compile(
    r"""(?:password|passwd|passphrase|(?:secret|api|access)[-_]?key|auth[-_]?token)["']?\s*"""
    r"""(?::\s+([^\s{}\[$<|>].*)|=\s*["']?([^\s"'\\$<;&|=()]+)["']?(?=[\s;,&]|$))"""
    r"""|\b(?:requirepass|masterauth)\s+["']?([^\s"'$<]+)""",
    re.IGNORECASE,
)


class Redaction:
    """What is a secret in manifests of one kind."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def redacted(self, keys: Keys, value: Any) -> Any:
        """Return the value with `SECRET` in the place of what is a secret, or looks like one."""
        if self._kind == "Secret" and keys[:1] in (("data",), ("stringData",)):
            return dict.fromkeys(value, SECRET) if isinstance(value, Mapping) else SECRET
        if isinstance(value, Mapping):
            return {key: self.redacted(named(keys, value, key), item) for key, item in value.items()}
        if isinstance(value, list):
            texts = [item if isinstance(item, str) else "" for item in value]
            hidden = set(secret_arguments(texts)) if keys[-1:] in (("args",), ("command",)) else set()
            return [SECRET if at in hidden else self.redacted(keys, item) for at, item in enumerate(value)]
        if not isinstance(value, str):
            return SECRET if keys and secret_in_plain_text(keys[-1], str(value)) and self._is_variable(keys) else value
        if "PRIVATE KEY-----" in value:  # in lines that do not show by themselves what they are
            return SECRET
        if "\n" in value:
            return "\n".join(map(_without_secrets, value.split("\n")))
        name = keys[-1] if self._is_variable(keys) else ""
        return SECRET if secret_in_plain_text(name, value) else value

    def _is_variable(self, keys: Keys) -> bool:
        """Whether the last key names an environment variable, by which its value can be a secret."""
        return keys[-2:-1] == ("env",) or (self._kind == "ConfigMap" and keys[:1] == ("data",) and "." not in keys[-1])


def shown(manifest: Mapping[str, Any]) -> Any:
    """Return a manifest with `SECRET` in the place of every value that is a secret, or looks like one."""
    return Redaction(str(manifest.get("kind"))).redacted((), manifest)


def named(keys: Keys, parent: Mapping[str, Any], key: str) -> Keys:
    """Extend keys by one; the value of a variable counts as below the variable's name."""
    if keys[-1:] == ("env",) and key == "value":
        return (*keys, str(parent.get("name")))
    return (*keys, key)


def _without_secrets(line: str) -> str:
    """Return one line of a file without the values of passwords: what else it says is to be seen."""
    for match in reversed(list(_SECRET_LINE.finditer(line))):
        start, end = match.span(match.lastindex or 0)
        line = f"{line[:start]}{SECRET}{line[end:]}"
    return masked(line, SECRET)
