"""A part of the stack is known to the settings by its own module and by its place among the sections."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from settings import AgentSettings, Inference
from settings.resilience import Resilience
from settings.sections import SECTIONS, USABLE, Sections

ROOT = Path(__file__).parents[2]

STORE = '''\
"""A toy part."""

from __future__ import annotations

from typing import ClassVar

from .model import Demand, Resources, Section


class StoreSettings(Section):
    """Toys."""

    usable: ClassVar[bool] = True
    variables: ClassVar[frozenset[str]] = frozenset({"STORE_URL"})

    def demands(self) -> dict[str, list[Demand]]:
        """Return one pod."""
        resources = Resources.of("1", "1Gi", "1", "1Gi")
        return {"data": [Demand(source="store", minimum=1, maximum=1, containers=(resources,))]}
'''

PROGRAM = """
import pathlib
from pydantic import TypeAdapter, ValidationError
from settings import AgentSettings, Settings
from settings.errors import problems
from settings.stack import load

assert any(demand.source == "store" for demand in Settings().demands()["data"][1])
schema = TypeAdapter(AgentSettings).json_schema()
assert schema["properties"]["uses"]["items"]["enum"] == ["redis", "store", "kafka", "workflows"]
assert AgentSettings(image="x/y:1", uses=("store",)).used_parts == {"store"}
AgentSettings(image="x/y:1", env={"STORE_URL": "x"})
for given in ({"uses": ["store"], "env": {"STORE_URL": "x"}}, {"uses": ["stroe"]}):
    try:
        AgentSettings.model_validate({"image": "x/y:1"} | given)
    except ValidationError as error:
        print(*problems(error, AgentSettings), sep="\\n")
pathlib.Path("agents").mkdir()
load({"store": {}}, stack_file=pathlib.Path("s.yaml"), agents_folder=pathlib.Path("agents"))
"""


def test_a_new_part_is_a_module_and_a_line(tmp_path: Path) -> None:
    for room in ("settings", "manifests"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "settings" / "store.py").write_text(STORE)
    sections = tmp_path / "settings" / "sections.py"
    text = sections.read_text()
    for line in ("from .redis import RedisSettings\n", "    redis: RedisSettings = RedisSettings()\n"):
        assert line in text
        text = text.replace(line, line + line.replace("redis", "store").replace("Redis", "Store"))
    sections.write_text(text)
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        "env.STORE_URL: is set by the stack: remove it",
        "uses.0: unknown value `stroe`, did you mean `store`?",
    ]


def test_every_field_of_an_agent_that_implies_a_part_is_there() -> None:
    implied = {name: section.implied_by for name, section in SECTIONS.items() if section.implied_by}
    assert {field for fields in implied.values() for field in fields} <= AgentSettings.model_fields.keys()


def test_the_parts_that_an_agent_uses() -> None:
    assert AgentSettings(image="x/y:1").used_parts == frozenset()
    assert AgentSettings(image="x/y:1", uses=("redis",), produces=("t",)).used_parts == {"redis", "kafka"}
    assert AgentSettings(image="x/y:1", inference=Inference()).used_parts == {"inference"}
    assert USABLE == ("redis", "kafka", "workflows")


def test_sections_ask_for_room_in_namespaces_that_there_are() -> None:
    stack = Sections()
    assert stack.sections.keys() == SECTIONS.keys() == Sections.model_fields.keys()
    for section in stack.sections.values():
        assert section.demands().keys() <= type(stack.namespaces).model_fields.keys()


def test_resilience_reserves_the_variables_that_it_sets() -> None:
    given = Resilience.model_validate({"concurrency": 1, "queueBound": 1, "requestTimeout": "1s"})
    assert given.environment().keys() == Resilience.variables
