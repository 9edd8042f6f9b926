"""Identities of the clouds."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .matching import Matching

IamRole = Annotated[
    str,
    Matching(
        r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$",
        2048,
        "the ARN of an IAM role",
        "write `arn:aws:iam::ACCOUNT:role/NAME`",
    ),
    Field(json_schema_extra={"examples": ["arn:aws:iam::111122223333:role/researcher"]}),
]
"""The ARN of a role of AWS IAM."""

GcpServiceAccount = Annotated[
    str,
    Matching(
        r"^[a-z][a-z0-9-]{4,28}[a-z0-9]@[a-z0-9.:-]+\.iam\.gserviceaccount\.com$",
        253,
        "an IAM service account",
        "write `NAME@PROJECT.iam.gserviceaccount.com`",
    ),
    Field(json_schema_extra={"examples": ["researcher@project.iam.gserviceaccount.com"]}),
]
"""The e-mail address of an IAM service account of Google Cloud."""

Uuid = Annotated[
    str,
    Matching(
        r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
        36,
        "a UUID",
        "write 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12",
    ),
    Field(json_schema_extra={"format": "uuid"}),
]
"""A UUID in its usual form."""
