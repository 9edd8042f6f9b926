"""How tests are shared out among the worker processes of pytest-xdist."""

from __future__ import annotations

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "spread: the tests of this module share nothing, so that each may run anywhere")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two for each processor: tests of servers wait more than they compute."""
    return 2 * (os.cpu_count() or 1)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a module in one process, which starts its servers and renders its stacks once for all of them.

    An environment's manifests serve all modules of tests/manifests, whose tests are kept together by environment.
    """
    for item in items:
        if item.get_closest_marker("spread"):
            continue
        folder, module = item.path.parent.name, item.path.stem
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        of_environment = folder == "manifests" and "environment" in parameters
        group = parameters["environment"] if of_environment else module
        item.add_marker(pytest.mark.xdist_group(f"{folder}/{group}"))
