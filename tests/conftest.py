"""How tests are shared out among the worker processes of `pytest --dist loadscope`."""

from __future__ import annotations

import re

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

SPREAD = (
    "tests/unit/test_diff_command.py",
    "tests/unit/test_diff_destructive.py",
)
"""Long modules whose tests share hardly anything, so that each may run anywhere.

Not those of Redis' backups: each restore starts a server whose bus port is 10000, as in a pod of its own.
"""


TOGETHER = (
    r"tests/manifests/.*\[(dev|staging|prod|everything)\b",
    r"tests/binaries/test_redis\.py::.*\[([\w.-]+)\]",
)
"""What shares more than a module does: an environment's manifests, of all modules of tests/manifests. And, the longest,
the tests of one of Redis' engines, which share nothing with another's."""


class Scheduling(LoadScopeScheduling):
    """Keeps a module's tests in one process, which starts its servers and renders its stacks once for all of them."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        if module in SPREAD:
            return nodeid
        together = next(filter(None, (re.match(pattern, nodeid) for pattern in TOGETHER)), None)
        return together[1] if together else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    return Scheduling(config, log) if config.getvalue("dist") == "loadscope" else None
