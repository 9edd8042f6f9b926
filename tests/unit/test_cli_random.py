"""Random values have the formats of the real provider, stay the same, and honour what was asked for."""

from __future__ import annotations

import base64
import pathlib
import random
import stat
import string
import uuid
from collections import Counter
from typing import Any

import pytest

from agentstack.rendering.dev_secrets import DevSecrets
from agentstack.rendering.environment import WITHHELD
from agentstack.rendering.random_provider import State, create
from settings import SettingsError


def state(kind: str, store: Any = None, urn: str = "urn:a", **inputs: Any) -> State:
    return create(f"random:index/x:{kind}", urn, inputs, "agentstack/dev", store)


def test_an_id_in_all_its_forms() -> None:
    made = state("RandomId", byteLength=16, prefix="kafka-")
    data = bytes.fromhex(made.outputs["hex"].removeprefix("kafka-"))
    assert len(data) == 16
    assert made.id == base64.urlsafe_b64encode(data).decode().rstrip("=")
    assert made.outputs == {
        "b64Url": f"kafka-{made.id}",
        "b64Std": f"kafka-{base64.b64encode(data).decode()}",
        "hex": f"kafka-{data.hex()}",
        "dec": f"kafka-{int(data.hex(), 16)}",
    }
    assert not made.secret


def test_values_follow_from_the_name() -> None:
    assert state("RandomId", byteLength=8) == state("RandomId", byteLength=8)
    assert state("RandomId", byteLength=8) != state("RandomId", byteLength=8, urn="urn:b")
    assert create("random:x:RandomId", "urn:a", {"byteLength": 8}, "agentstack/prod", None) != state(
        "RandomId", byteLength=8
    )


def test_the_other_public_kinds() -> None:
    assert uuid.UUID(state("RandomUuid").outputs["result"]).version == 4
    assert state("RandomInteger", min=3, max=3).outputs == {"result": 3}
    text = state("RandomString", length=12, special=False, upper=False).outputs["result"]
    assert len(text) == 12
    assert set(text) <= set(string.ascii_lowercase + string.digits)


def test_a_kind_that_cannot_be_computed() -> None:
    with pytest.raises(NotImplementedError, match="RandomPet"):
        state("RandomPet")


@pytest.mark.parametrize("kind", ["RandomPassword", "RandomBytes"])
def test_secret_kinds_are_secret_and_withheld(kind: str) -> None:
    made = state(kind, length=8)
    assert made.secret == set(made.outputs)
    assert set(made.outputs.values()) == {WITHHELD}


def test_a_password_honours_what_was_asked_for(tmp_path: pathlib.Path) -> None:
    store = DevSecrets(tmp_path / "s.json")
    made = state("RandomPassword", store, length=20, lower=False, minNumeric=5, minSpecial=4, overrideSpecial="#")
    counts = Counter(
        "digit" if c in string.digits else "special" if c == "#" else "upper" if c in string.ascii_uppercase else c
        for c in made.outputs["result"]
    )
    assert counts.total() == 20
    assert set(counts) <= {"digit", "special", "upper"}
    assert (counts["digit"] >= 5, counts["special"] >= 4) == (True, True)


def test_bytes_in_both_forms(tmp_path: pathlib.Path) -> None:
    outputs = state("RandomBytes", DevSecrets(tmp_path / "s.json"), length=8).outputs
    assert base64.b64decode(outputs["base64"]).hex() == outputs["hex"]
    assert len(outputs["hex"]) == 16


def test_dev_secrets_are_kept_for_their_owner_only(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "kept" / "dev.json"

    def value(inputs: dict[str, Any]) -> str:
        store = DevSecrets(path)
        made = store.value("urn:a", inputs, lambda source: str(source.random()))
        store.save()
        return made

    first = value({"length": 3})
    assert value({"length": 3}) == first
    assert value({"length": 4}) != first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [p.name for p in path.parent.iterdir()] == ["dev.json"]


def test_dev_secrets_are_not_guessable(tmp_path: pathlib.Path) -> None:
    sources = []
    DevSecrets(tmp_path / "s.json").value("urn:a", {}, lambda source: sources.append(source) or "x")  # type: ignore[func-returns-value]
    assert isinstance(sources[0], random.SystemRandom)


def test_a_broken_store_is_bad_input(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "dev.json"
    path.write_text("{")
    with pytest.raises(SettingsError, match="remove it"):
        DevSecrets(path)
