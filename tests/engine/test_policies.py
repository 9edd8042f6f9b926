"""The policy pack under the engine: configuration and waivers. Needs no cluster."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from .conftest import Project

RULE = """

from policies.model import manifest_rule


@manifest_rule("name-length", "error", "Names are short.", remedy="shorten it", config_schema={
    "most": {"type": "integer", "minimum": 1, "default": 99, "description": "Characters."},
})
def name_length(manifest, config):
    if len(manifest["metadata"]["name"]) > config["most"]:
        yield Finding(f"is longer than {config['most']}")


RULES = (*RULES, name_length)
"""


@pytest.fixture(scope="module")
def stack(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A stack of one pod beside a copy of the pack that has one more rule, with a value."""
    made = project.beside(tmp_path_factory.mktemp("policies"), "policy_program.py", stack="dev")
    pack = shutil.copytree(project.folder / "policies", made.folder / "policies")
    # The pack imports `policies` by name: this copy, and the rest of the project.
    made.environment["PYTHONPATH"] = os.pathsep.join((str(made.folder), made.environment["PYTHONPATH"]))
    with (pack / "rules" / "__init__.py").open("a") as module:
        module.write(RULE)
    return made


def preview(stack: Project, waivers: str = "[]", code: int | None = 0, **configuration: object) -> str:
    (stack.folder / "policies" / "waivers.yaml").write_text(waivers)
    config = stack.folder / "config.json"
    names = {name.replace("_", "-"): value for name, value in configuration.items()}
    config.write_text(json.dumps({"all": "disabled"} | names))
    pack = ("--policy-pack", "policies", "--policy-pack-config", str(config))
    return stack.pulumi("preview", *pack, code=code, timeout=300)


def test_levels_are_those_of_the_configuration(stack: Project) -> None:
    said = preview(stack, code=None, image_tag="mandatory")
    assert "[mandatory]" in said
    assert 'has the image "web", which can change at any restart' in said
    said = preview(stack, image_tag="advisory")
    assert "[advisory]" in said
    assert "image-tag" not in preview(stack)


def test_values_are_those_of_the_configuration_and_checked(stack: Project) -> None:
    assert "name-length" not in preview(stack, name_length="mandatory")
    said = preview(stack, name_length={"enforcementLevel": "advisory", "most": 2})
    assert "is longer than 2; shorten it" in said
    said = preview(stack, code=None, name_length={"most": 0})
    assert "name-length: most: Must be greater than or equal to 1" in said


WAIVER = (
    "- {{rule: image-tag, resource: Pod/shop/{name}, reason: r, owner: o, until: {until}, environments: [{stack}]}}\n"
)


@pytest.mark.parametrize(
    ("name", "until", "environment", "expected"),
    [
        ("w*", "9999-12-31", "dev", []),
        ("web", "9999-12-31", "prod", ["image-tag"]),
        ("web", "2020-01-01", "dev", ["image-tag", "waiver-expired"]),
        ("api", "9999-12-31", "dev", ["image-tag", "waiver-unused"]),
    ],
)
def test_waivers(stack: Project, name: str, until: str, environment: str, expected: list[str]) -> None:
    waivers = WAIVER.format(name=name, until=until, stack=environment)
    # Only advisory: a mandatory one stops the engine before it looks at the stack as a whole.
    levels = dict.fromkeys(("image_tag", "waiver_expired", "waiver_unused"), "advisory")
    said = preview(stack, waivers, **levels)
    assert [rule for rule in ("image-tag", "waiver-expired", "waiver-unused") if f"  {rule}  " in said] == expected
    if "waiver-unused" in expected:
        assert "waivers.yaml:1: Pod/shop/api: the waiver of image-tag waives nothing in dev" in said


def test_a_bad_waiver_file_is_one_line(stack: Project) -> None:
    said = preview(stack, "- rule: image-tags\n", code=None)
    assert "waivers.yaml:1: rule: unknown rule `image-tags`, did you mean `image-tag`?" in said
    assert "Traceback" not in said


def test_the_shipped_configurations_are_accepted_and_a_wrong_one_is_not(
    project: Project, stack: Project, tmp_path: Path
) -> None:
    def refused(config: Path) -> bool:
        pack = ("--policy-pack", str(project.folder / "policies"), "--policy-pack-config", str(config))
        return "validating policy config" in stack.pulumi("preview", *pack, code=None)

    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps({"monthly-budget": {"monthly": "much"}}))
    assert refused(wrong)
    shipped = {config.stem: refused(config) for config in Path(project.folder, "policies", "config").glob("*.json")}
    assert shipped == {"dev": False, "staging": False, "prod": False}
