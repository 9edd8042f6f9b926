"""Findings as SARIF 2.1.0, which code hosts and editors show at their lines.

See https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html, and what GitHub makes of it:
https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final
from urllib.parse import quote

from manifests.manifest import object_title
from manifests.text import cut, escaped
from policies.rules import FRAMEWORK, LEVELS, RULES, Rule
from settings.errors import SettingsError

from .finding import PlacedFindingReport

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_ROOT: Final = "%SRCROOT%"
_FINGERPRINT: Final = "agentstack/v1"
_LONGEST: Final = 1000
"""Characters of a message: names in it are written by whoever wrote the manifest."""
_HELP: Final = (
    "To accept it for a time, add a waiver to policies/waivers.yaml; to set the rule's level or values for an "
    "environment, write policies/config/ENV.json. See docs/policies.md."
)


def sarif(findings: Mapping[str, Iterable[PlacedFindingReport]]) -> str:
    """Return the findings of any number of environments, by name, as one run of one tool.

    What several environments have at the same line is one result that names them. A waived finding is suppressed.
    """
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    for environment, entries in findings.items():
        for entry in entries:
            result = _result(entry)
            key = (entry.rule, entry.place.file, entry.place.line, result["message"]["text"])
            known = merged.setdefault((*key, bool(result["suppressions"])), result)
            if environment and environment not in known["properties"]["environments"]:
                known["properties"]["environments"].append(environment)
            if result["level"] == "error":
                known["level"] = "error"
    content = {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "Agent Stack", **_version(), "rules": _rules()}},
                "automationDetails": {"id": "agentstack/"},
                "originalUriBaseIds": {_ROOT: {"description": {"text": "The root of the repository."}}},
                "columnKind": "unicodeCodePoints",
                "results": list(merged.values()),
            }
        ],
    }
    return json.dumps(content, indent=1) + "\n"


def write(file: pathlib.Path, findings: Mapping[str, Iterable[PlacedFindingReport]]) -> None:
    """Write `sarif(findings)` to a file; raises `SettingsError` where that cannot be."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(sarif(findings), encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{file}: cannot be written: {error.strerror}: name another file with --sarif") from None


def _version() -> dict[str, str]:
    try:
        return {"semanticVersion": version("agentstack")}
    except PackageNotFoundError:
        return {}


def _rules() -> list[dict[str, Any]]:
    return [
        *(_rule(rule.id, rule.description, rule.severity, rule) for rule in RULES),
        *(_rule(name, FRAMEWORK[name], LEVELS[name]) for name in FRAMEWORK),
    ]


def _rule(name: str, description: str, severity: str, rule: Rule | None = None) -> dict[str, Any]:
    fires, remedy, source = (rule.fires, rule.remedy, rule.source) if rule else ("", "", "")
    fires = " ".join(fires.split())
    remedy = f"To fix it, {remedy}." if remedy else ""
    lines = [description, fires, remedy, _HELP, f"Source: {source}" if source else ""]
    plain = "\n\n".join(line for line in lines if line)
    return {
        "id": name,
        "name": "".join(word.capitalize() for word in name.split("-")),
        "shortDescription": {"text": description},
        "fullDescription": {"text": fires or description},
        "help": {"text": plain, "markdown": plain},
        "defaultConfiguration": {"level": severity},
        "properties": {"tags": ["kubernetes"], "precision": "high", "problem.severity": severity},
    }


def _result(entry: PlacedFindingReport) -> dict[str, Any]:
    title = object_title(entry.kind, entry.namespace, entry.name)
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(entry.place.file), "uriBaseId": _ROOT},
            "region": {"startLine": entry.place.line},
        }
    }
    if title:
        location["logicalLocations"] = [{"fullyQualifiedName": _text(title), "kind": "resource"}]
    waived = entry.waived
    suppression = waived and {
        "kind": "external",
        "status": "accepted",
        "justification": _text(f"{waived.reason} ({waived.owner}, until {waived.until})"),
    }
    return {
        "ruleId": entry.rule,
        "level": entry.severity,
        "message": {"text": _text(": ".join(part for part in (title, entry.message) if part))},
        "locations": [location],
        "partialFingerprints": {_FINGERPRINT: _fingerprint(entry, title)},
        "suppressions": [suppression] if suppression else [],
        "properties": {
            "environments": [],
            **{key: _text(value) for key in ("path", "what", "remedy") if (value := getattr(entry, key))},
        },
    }


def _fingerprint(entry: PlacedFindingReport, title: str) -> str:
    """Return what stays the same when lines move and numbers in the message change."""
    parts = (entry.rule, entry.place.file, title, re.sub(r"\d+", "#", entry.message))
    return hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()[:32]


def _text(text: str) -> str:
    """Return plain text: no control characters, links (`[text](target)`) or placeholders (`{0}`)."""
    return re.sub(r"\{(\d+)\}", r"{{\1}}", cut(escaped(text), _LONGEST).replace("](", "] ("))
