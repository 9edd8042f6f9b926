"""What the contract gives, for the tests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any


@dataclass(frozen=True)
class Limits:
    max: int = 2
    backoff: timedelta = timedelta(milliseconds=100)
    max_backoff: timedelta = timedelta(seconds=1)


@dataclass(frozen=True)
class Settings:
    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    username: str | None = None
    password: Any = None
    ca_file: Any = None
    client_rack: str | None = "zone-a"
    consumer_group: str | None = None


def settings(address: str, **changed: Any) -> Any:
    return Settings(address, **changed)
