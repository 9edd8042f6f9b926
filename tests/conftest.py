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

Not those of Redis: they load servers, and miss their times beside each other; each restore of a backup starts a server
whose bus port is 10000, as in a pod of its own.
"""


class Scheduling(LoadScopeScheduling):
    """Keeps a module's tests in one process, which starts its servers and renders its stacks once for all of them.

    An environment's manifests serve all modules of tests/manifests, whose tests are kept together by environment.
    """

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        rendered = re.match(r"tests/manifests/.*\[(dev|staging|prod|everything)\b", nodeid)
        return nodeid if module in SPREAD else rendered[1] if rendered else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    return Scheduling(config, log) if config.getvalue("dist") == "loadscope" else None
