"""What all commands that run the engine say where it refuses."""

from __future__ import annotations

import re
from typing import Final

from manifests.text import cut, escaped

MISSING: Final = "pulumi: is not on PATH: install the engine (https://www.pulumi.com/docs/iac/download-install/)"

_LONGEST: Final = 600
"""Characters of what the engine says."""

NO_CLUSTER: Final = re.compile(r"unreachable cluster|cluster is unreachable", re.IGNORECASE)
_FIXES: Final = (
    (r"no stack named", "stack: the backend has none of this name: run `pulumi stack init {name}` and `pulumi up`, or "
     "log in to the backend that has it"),
    (r"PULUMI_ACCESS_TOKEN|not logged in|please login|pulumi login",
     "backend: not logged in: run `pulumi login`, or set PULUMI_ACCESS_TOKEN or PULUMI_BACKEND_URL"),
    (r"unable to open (?:state directory|bucket)|unable to (?:check|list) bucket",
     "backend: cannot be read: log in to the one that has the stack (PULUMI_BACKEND_URL and its credentials)"),
    (r"incorrect passphrase", "secrets: the passphrase is wrong: set PULUMI_CONFIG_PASSPHRASE to the stack's"),
    (r"passphrase must be set", "secrets: no passphrase: set PULUMI_CONFIG_PASSPHRASE to the stack's"),
    (r"No module named", "program: its .venv lacks packages: run `make preview`"),
    (r"the stack is currently locked", "stack: an update of it is under way: try again when that has ended"),
)  # fmt: skip


def explained(name: str, command: str, reason: str) -> str:
    """Return one line on why the engine refused a command for the stack `name`, with the fix where it is known."""
    if NO_CLUSTER.search(reason):
        detail = re.search(r"unreachable: (.+)", reason)
        words = f" ({one_line(detail[1])})" if detail else ""
        return (
            f"{name}: cluster: does not answer{words}: set KUBECONFIG to that of this environment's "
            "cluster, and see `kubectl get namespaces`"
        )
    for pattern, message in _FIXES:
        if re.search(pattern, reason, re.IGNORECASE):
            return f"{name}: {message.format(name=name)}"
    return f"{name}: pulumi {command}: {one_line(reason) or 'failed without a reason'}"


def one_line(text: str) -> str:
    """Return what the engine says on one line of bounded length."""
    return cut(escaped(" ".join(text.split())), _LONGEST)
