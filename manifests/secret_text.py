"""What looks like a secret in plain text, by its name or by its form. No message may repeat it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

_SECRET_NAME: Final = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|_KEY$|APIKEY$|(^|_)(TOKEN|CREDENTIALS?)$|_(PASS|PWD|AUTHTOKEN)$", re.IGNORECASE
)
# Where a secret is, or a key that is none.
_PLAIN_NAME: Final = re.compile(r"_(FILE|PATH|DIR|NAME)$|PUBLIC_KEY$", re.IGNORECASE)

_SECRET_VALUE: Final = re.compile(
    r"""
      -----BEGIN\ [A-Z ]*PRIVATE\ KEY
    | (?<![\w-])eyJ[\w-]{10,}\.eyJ[\w-]{10,}            # JSON Web Token
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b                     # AWS
    | \bAIza[\w-]{35}                                   # Google
    | \bgh[opsur]_[A-Za-z0-9]{36} | \bgithub_pat_\w{22} # GitHub
    | \bglpat-[\w-]{20}                                 # GitLab
    | \bxox[abeoprs]-[\w-]{10}                          # Slack
    | \bsk-[\w-]{20}                                    # OpenAI, Anthropic
    | \b[rs]k_live_[A-Za-z0-9]{16}                      # Stripe
    | \bhf_[A-Za-z0-9]{30}                              # Hugging Face
    | \bpul-[0-9a-f]{40}                                # Pulumi
    | \b(?:Bearer|Basic)\ (?=\S*\d)[\w.~+/-]{16}        # a header
    | \bhooks\.slack\.com/services/T\w+/B\w+/\w
    """,
    re.VERBOSE,
)
# Each of the forms has one of these in it. Text is searched for them many times as fast as for the forms.
_MARKS: Final = (
    *("-----BEGIN ", "eyJ", "AKIA", "ASIA", "AIza", "gho_", "ghp_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-"),
    *("xox", "sk-", "k_live_", "hf_", "pul-", "Bearer ", "Basic ", "hooks.slack.com/services/"),
)
# A script may look for the line that begins a key: in a file the key itself must follow.
_SECRET_IN_FILE: Final = re.compile(
    _SECRET_VALUE.pattern.replace(r"PRIVATE\ KEY", r"PRIVATE\ KEY-----\s+[A-Za-z0-9+/=:\-]{16}"), re.VERBOSE
)
_PASSWORD_IN_VALUE: Final = re.compile(
    r"""
      ://[^\s/:@]*:(?P<url>[^\s/@]+)@
    | (?:(?:^|[?&;\s])(?:password|pwd)=["']?|[?&](?:access_token|api[-_]?key|secret|sig|token)=|"password":\s*")
      (?P<option>[^\s"'&;]+)
    | (?:^|\s)--?(?P<flag>[\w-]+)[=\s]["']?(?P<value>[^\s"'&;]+)
    """,
    re.VERBOSE | re.IGNORECASE,
)
# `--eos-token` and the like are part of a model.
_SECRET_FLAG: Final = re.compile(
    r"(?:.*[-_])?(?:password|passwd|passphrase|pwd|secret|api[-_]?key|(?:secret|access)[-_]key)"
    r"|(?:.*[-_])?(?:access|api|auth|bearer|bot|hf|refresh|session)[-_]token|token",
    re.IGNORECASE,
)
# Filled in by Kubernetes, or by the program, from another variable.
_REFERENCE: Final = re.compile(r"\$\([^()]+\)|\$\{[^{}]+\}")
_SWITCHES: Final = frozenset({"", "true", "false", "yes", "no", "on", "off"})


def secret_in_plain_text(name: str, value: str) -> str | None:
    """Say why an environment variable looks like a secret, without its value; None if it does not."""
    if _names_secret(name) and not _is_harmless(value):
        return "by its name holds a secret"
    if _holds_secret(value):
        return "has a value that looks like a secret"
    return None


def secret_arguments(arguments: Sequence[str]) -> Iterator[int]:
    """Yield the positions of arguments that look like secrets: by their value, their option, or the one before."""
    for number, argument in enumerate(arguments):
        option = arguments[number - 1] if number else ""
        follows = option.startswith("-") and _SECRET_FLAG.fullmatch(option.lstrip("-")) and argument[:1] != "-"
        if _holds_secret(argument) or (follows and not _is_harmless(argument)):
            yield number


def secret_in_file(content: str) -> bool:
    """Whether a file holds a private key or a token of a known form."""
    return any(mark in content for mark in _MARKS) and bool(_SECRET_IN_FILE.search(content))


def masked(line: str, mask: str) -> str:
    """Return one line with `mask` in the place of what looks like a secret in it; the rest stays to be read."""
    spans = [match.span() for match in re.finditer(rf"(?:{_SECRET_VALUE.pattern})[^\s\"']*", line, re.VERBOSE)]
    for match in _PASSWORD_IN_VALUE.finditer(line):
        if _is_secret(match):
            spans.append(match.span("value" if match["flag"] is not None else "url" if match["url"] else "option"))
    for start, end in sorted(spans, reverse=True):
        line = f"{line[:start]}{mask}{line[end:]}"
    return line


def _names_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name)) and not _PLAIN_NAME.search(name)


def _is_harmless(value: str) -> bool:
    return value.lower() in _SWITCHES or bool(_REFERENCE.fullmatch(value))


def _holds_secret(value: str) -> bool:
    return bool(_SECRET_VALUE.search(value)) or any(map(_is_secret, _PASSWORD_IN_VALUE.finditer(value)))


def _is_secret(found: re.Match[str]) -> bool:
    if found["flag"] is None:
        return not _REFERENCE.fullmatch(found["url"] or found["option"])
    return bool(_SECRET_FLAG.fullmatch(found["flag"])) and not _is_harmless(found["value"])
