"""The workflows of a folder, and what its changes do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agentstack_services.workflows.catalogue import Catalogue


def workflow(name: str, **changes) -> str:
    content = {"name": name, "timeout": 5, "steps": {"a": {"model": {"prompt": "x"}}}, "output": "a", **changes}
    return json.dumps(content)


def test_all_json_files_are_read(tmp_path: Path):
    (tmp_path / "a.json").write_text(workflow("a"))
    (tmp_path / "b.json").write_text(workflow("b"))
    (tmp_path / "README.md").write_text("no workflow")
    catalogue = Catalogue(tmp_path)
    assert catalogue.names == ("a", "b")
    assert catalogue.lookup("a").timeout == 5
    assert catalogue.lookup("c") is None


def test_a_change_is_taken_over_once(tmp_path: Path):
    (tmp_path / "a.json").write_text(workflow("a"))
    catalogue = Catalogue(tmp_path)
    assert not catalogue.reload()
    (tmp_path / "a.json").write_text(workflow("a", timeout=9))
    (tmp_path / "b.json").write_text(workflow("b"))
    assert catalogue.reload()
    assert not catalogue.reload()
    assert (catalogue.names, catalogue.lookup("a").timeout) == (("a", "b"), 9)
    (tmp_path / "b.json").unlink()
    assert catalogue.reload()
    assert catalogue.names == ("a",)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "zebra"}', workflow("a", timeout="zebra")])
def test_a_wrong_state_keeps_the_one_before_and_is_logged_once(tmp_path: Path, content: str):
    (tmp_path / "a.json").write_text(workflow("a"))
    catalogue = Catalogue(tmp_path)
    (tmp_path / "b.json").write_text(content)
    with capture_logs() as lines:
        assert not catalogue.reload()
        assert not catalogue.reload()
    assert catalogue.names == ("a",)
    assert len(lines) == 1
    assert "zebra" not in json.dumps({**lines[0], "directory": ""})
    (tmp_path / "b.json").write_text(workflow("b"))
    assert catalogue.reload()
    assert catalogue.names == ("a", "b")


def test_a_folder_that_is_gone_or_empty_keeps_what_was_there(tmp_path: Path):
    (tmp_path / "a.json").write_text(workflow("a"))
    catalogue = Catalogue(tmp_path)
    (tmp_path / "a.json").rename(tmp_path / "a.txt")
    with capture_logs() as lines:
        catalogue.reload()
    assert (catalogue.names, len(lines)) == (("a",), 1)
    assert Catalogue(tmp_path / "nothing").names == ()


def test_the_kubelet_swaps_a_link(tmp_path: Path):
    def state(number: int, *names: str) -> None:
        folder = tmp_path / f"..{number}"
        folder.mkdir()
        for name in names:
            (folder / f"{name}.json").write_text(workflow(name))
        new = tmp_path / "..data_tmp"
        new.symlink_to(folder.name)
        new.rename(tmp_path / "..data")

    state(1, "a")
    (tmp_path / "a.json").symlink_to("..data/a.json")
    catalogue = Catalogue(tmp_path)
    assert catalogue.names == ("a",)
    state(2, "b")
    assert catalogue.reload()
    assert catalogue.names == ("b",)


async def test_it_watches(tmp_path: Path):
    (tmp_path / "a.json").write_text(workflow("a"))
    catalogue = Catalogue(tmp_path)
    watching = asyncio.ensure_future(catalogue.watch(0.01))
    (tmp_path / "b.json").write_text(workflow("b"))
    for _ in range(200):
        if catalogue.names == ("a", "b"):
            break
        await asyncio.sleep(0.01)
    watching.cancel()
    assert catalogue.names == ("a", "b")
