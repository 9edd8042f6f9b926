"""Data that commands print as JSON: the keys stay, and the form of each document is published as a JSON Schema."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Published(BaseModel):
    """A part of a published document.

    Every field that a newer version added has a default, so that what an older one wrote can still be read; what is not
    known here is passed over.
    """

    model_config = ConfigDict(
        frozen=True,
        defer_build=True,  # most commands print no JSON
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )

    def text(self) -> str:
        """Return the document as it is printed."""
        return json.dumps(self.model_dump(mode="json"), indent=2)


class Range(Published):
    """A number at least and at most."""

    min: int | float
    max: int | float
