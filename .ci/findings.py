#!/usr/bin/env python3
"""Give findings to GitHub's code scanning, which shows them at their lines.

`.ci/findings.py OWNER/REPO COMMIT REF FILE`: FILE is SARIF of any origin, of a pull request too. It is rewritten:
only what code scanning shows, in our name; as it is, it could close another tool's alerts by claiming to be that
tool. Findings that are waived are left out. Needs `gh` with a token that may write security events.
"""

from __future__ import annotations

import base64
import gzip
import json
import pathlib
import re
import sys
import urllib.parse
from collections.abc import Mapping
from typing import Any

import gh

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
RESULTS_LIMIT = 5000
"""https://docs.github.com/en/code-security/code-scanning/troubleshooting-sarif-uploads/results-exceed-limit"""


def main(arguments: list[str]) -> None:
    """Do what the module says."""
    forms = (r"[\w.-]+/[\w.-]+", r"[0-9a-f]{40}", r"refs/[\w./-]+", r".+")
    if len(arguments) != len(forms) or not all(map(re.fullmatch, forms, arguments)):
        gh.fail("usage: .ci/findings.py OWNER/REPO COMMIT REF FILE")
    repository, commit, ref, file = arguments
    upload(f"repos/{repository}", commit, ref, pathlib.Path(file).read_bytes())


def upload(repository: str, commit: str, ref: str, content: bytes) -> None:
    """Upload the findings of a commit; say so where they cannot be read, or code scanning is switched off."""
    try:
        written = sarif(json.loads(content))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        print(f"::warning::findings.sarif cannot be read: {type(error).__name__}")
        return
    packed = base64.b64encode(gzip.compress(json.dumps(written).encode())).decode()
    try:
        gh.send("POST", f"{repository}/code-scanning/sarifs", {"commit_sha": commit, "ref": ref, "sarif": packed})
    except gh.GhError as error:
        if "HTTP 403" not in str(error) and "HTTP 404" not in str(error):
            raise
        print("::notice::code scanning is not enabled here: the findings stand in the report alone")


def sarif(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the findings of a SARIF file with one run. Raises what reading plain data of any shape can raise."""
    (run,) = given["runs"]
    rules = [_rule(rule) for rule in run["tool"]["driver"].get("rules", [])]
    results = [_result(result) for result in run.get("results", []) if not result.get("suppressions")]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "Agent Stack", "rules": rules[:RESULTS_LIMIT]}},
                "automationDetails": {"id": "agentstack/"},
                "results": results[:RESULTS_LIMIT],
            }
        ],
    }


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    described = {
        key: {"text": str(rule[key]["text"])[:1000]}
        for key in ("shortDescription", "fullDescription", "help")
        if key in rule
    }
    level = rule.get("defaultConfiguration", {}).get("level", "warning")
    return {"id": str(rule["id"])[:100], **described, "defaultConfiguration": {"level": _level(level)}}


def _result(result: Mapping[str, Any]) -> dict[str, Any]:
    place = result["locations"][0]["physicalLocation"]
    uri = str(place["artifactLocation"]["uri"])
    if not re.fullmatch(r"[\w.%][\w./% -]*", uri) or ".." in urllib.parse.unquote(uri).split("/"):
        raise ValueError(uri)
    line = int(place.get("region", {}).get("startLine", 1))
    prints = {str(key)[:100]: str(value)[:200] for key, value in result.get("partialFingerprints", {}).items()}
    return {
        "ruleId": str(result["ruleId"])[:100],
        "level": _level(result.get("level", "warning")),
        "message": {"text": str(result["message"]["text"])[:1000]},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": max(1, line)}}}],
        "partialFingerprints": prints,
    }


def _level(level: object) -> str:
    return str(level) if level in ("error", "warning", "note") else "warning"


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (gh.GhError, OSError) as error:
        sys.exit(str(error))
