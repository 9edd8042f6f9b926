"""The values of pulumi-random's resources, in the formats of the real provider, without the provider.

What is no secret follows from the resource's URN, so that every preview shows the same. Secrets come from `DevSecrets`
if there are any, and are withheld if not.
"""

from __future__ import annotations

import base64
import hashlib
import random
import string
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from .dev_secrets import DevSecrets
from .environment import WITHHELD

_SPECIAL = "!@#$%&*()-_=+[]{}<>:?"  # https://www.pulumi.com/registry/packages/random/api-docs/randompassword/


class State(NamedTuple):
    """What the provider answers: the resource's id, its outputs, and which of these are secret."""

    id: str
    outputs: dict[str, Any]
    secret: frozenset[str] = frozenset()


def create(token: str, urn: str, inputs: Mapping[str, Any], seed: str, store: DevSecrets | None) -> State:
    """Return the state of a resource of type `token`, such as `random:index/randomId:RandomId`.

    `inputs` are those of the provider; `seed` and the `urn` make the values that are no secret.

    Raises `NotImplementedError` for a type that a preview cannot compute.
    """
    kind = token.rpartition(":")[2]
    generator = random.Random(hashlib.sha256(f"{seed}\0{urn}".encode()).digest())
    match kind:
        case "RandomId":
            return _random_id(inputs, generator.randbytes(int(inputs["byteLength"])))
        case "RandomUuid" | "RandomUuid4":
            result = str(uuid.UUID(bytes=generator.randbytes(16), version=4))
            return State(result, {"result": result})
        case "RandomString":
            result = _text(inputs, generator)
            return State(result, {"result": result})
        case "RandomInteger":
            number = generator.randint(int(inputs["min"]), int(inputs["max"]))
            return State(str(number), {"result": number})
        case "RandomPassword":
            password = WITHHELD if store is None else store.value(urn, inputs, lambda source: _text(inputs, source))
            # The bcrypt hash of an unknown password is unknown as well.
            return State("none", {"result": password, "bcryptHash": WITHHELD}, frozenset({"result", "bcryptHash"}))
        case "RandomBytes":
            if store is None:
                return State("none", {"base64": WITHHELD, "hex": WITHHELD}, frozenset({"base64", "hex"}))
            length = int(inputs["length"])
            data = bytes.fromhex(store.value(urn, inputs, lambda source: source.randbytes(length).hex()))
            outputs = {"base64": base64.b64encode(data).decode(), "hex": data.hex()}
            return State("none", outputs, frozenset(outputs))
        case _:
            raise NotImplementedError(f"a preview cannot compute {kind}: use RandomId, RandomString or RandomPassword")


def _random_id(inputs: Mapping[str, Any], data: bytes) -> State:
    url = base64.urlsafe_b64encode(data).decode().rstrip("=")
    prefix = inputs.get("prefix", "")
    outputs = {
        "b64Url": prefix + url,
        "b64Std": prefix + base64.b64encode(data).decode(),
        "hex": prefix + data.hex(),
        "dec": prefix + str(int.from_bytes(data, "big")),
    }
    return State(url, outputs)


def _text(inputs: Mapping[str, Any], source: random.Random) -> str:
    classes = (
        ("upper", "minUpper", string.ascii_uppercase),
        ("lower", "minLower", string.ascii_lowercase),
        ("numeric", "minNumeric", string.digits),
        ("special", "minSpecial", inputs.get("overrideSpecial") or _SPECIAL),
    )
    allowed = [(minimum, characters) for wanted, minimum, characters in classes if inputs.get(wanted, True)]
    chosen = [source.choice(characters) for minimum, characters in allowed for _ in range(int(inputs.get(minimum, 0)))]
    every = "".join(characters for _, characters in allowed)
    chosen += [source.choice(every) for _ in range(int(inputs["length"]) - len(chosen))]
    source.shuffle(chosen)
    return "".join(chosen)
