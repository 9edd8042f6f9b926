"""Messages, and how they stand in a topic: CloudEvents 1.0 in the binary mode of its Kafka binding.

The attributes are headers (`ce_id`, `ce_type`, `ce_source`, `ce_specversion`, `ce_time`, `ce_subject`, the extension
`ce_correlationid`), the W3C `traceparent` is the header that OpenTelemetry's instrumentation of Kafka reads, and the
value is the data in JSON.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias
from uuid import uuid4

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary
from cloudevents.core.exceptions import BaseCloudEventException
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

JSON: TypeAlias = "bool | int | float | str | list[Any] | dict[str, Any] | None"

DEAD_LETTER_TYPE: Final = "dev.agentstack.dead-letter"
REASON_LENGTH: Final = 1000
"""Characters of a reason in a letter without the original."""
_REQUIRED: Final = ("ce_id", "ce_type", "ce_source", "ce_specversion")
_FORMAT: Final = JSONFormat()


class Reject(Exception):
    """This message can never be handled. The text is the reason: no secret, and nothing of the message's content."""


@dataclass(frozen=True)
class Message:
    """One CloudEvent."""

    type: str
    data: Mapping[str, JSON]
    key: str
    """Orders it: messages of one key are in one partition, and are handled one after another."""
    id: str = field(default_factory=lambda: str(uuid4()))
    """The same for the same fact: a message may come twice."""
    subject: str = ""
    source: str = ""
    """Who says it; where empty, the bus puts in its client's name."""
    time: datetime = field(default_factory=lambda: datetime.now(UTC))
    """With a time zone."""
    correlation_id: str = ""
    traceparent: str = ""


@dataclass(frozen=True, order=True)
class Partition:
    """One partition of a topic."""

    topic: str
    number: int


@dataclass(frozen=True)
class Record:
    """What stands at one place of a partition, as bytes."""

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def encode(message: Message, *, source: str) -> tuple[bytes, bytes, dict[str, bytes]]:
    """Return key, value and headers of `message`; `source` stands in where it names none.

    Raises:
        Reject: it is no valid CloudEvent, or its data are not JSON.
    """
    attributes: dict[str, Any] = {
        "id": message.id,
        "type": message.type,
        "source": message.source or source,
        "time": message.time,
        "datacontenttype": "application/json",
    }
    if message.subject:
        attributes["subject"] = message.subject
    if message.correlation_id:
        attributes["correlationid"] = message.correlation_id
    try:
        # As bytes: the library would write NaN, which no other reader takes for JSON.
        data = json.dumps(dict(message.data), allow_nan=False).encode()
        bound = to_binary(CloudEvent(attributes, data), _FORMAT)
        key, traceparent = message.key.encode(), message.traceparent.encode()
    except (BaseCloudEventException, TypeError, ValueError, RecursionError) as error:
        # The library's text may quote a value.
        raise Reject(
            f"{message.type or 'a message without a type'}: no valid CloudEvent ({type(error).__name__})"
        ) from None
    headers = dict(bound.headers)
    if traceparent:
        headers["traceparent"] = traceparent
    return key, bound.value, headers


def decode(record: Record) -> Message:
    """Return the message in `record`.

    Raises:
        Reject: it is no CloudEvent in binary mode with a JSON object as data. The text quotes nothing of it.
    """
    headers = {name.lower(): value for name, value in record.headers if value is not None}
    missing = [name for name in _REQUIRED if not headers.get(name)]
    if missing:
        raise Reject(f"no CloudEvent: the headers lack {', '.join(missing)}")
    try:
        key = (record.key or b"").decode()
        event = from_binary(KafkaMessage(headers, None, record.value or b""), _FORMAT, CloudEvent)
        traceparent = headers.get("traceparent", b"").decode()
    except (BaseCloudEventException, ValueError, RecursionError) as error:
        # RecursionError: JSON with thousands of levels.
        raise Reject(f"no valid CloudEvent ({type(error).__name__})") from None
    data = event.get_data()
    if not isinstance(data, dict):
        raise Reject("the CloudEvent's data are not a JSON object")
    return Message(
        type=event.get_type(),
        data=data,
        key=key,
        id=event.get_id(),
        subject=event.get_subject() or "",
        source=event.get_source(),
        time=event.get_time() or datetime.now(UTC),
        correlation_id=event.get_extension("correlationid") or "",
        traceparent=traceparent,
    )


def dead_letter(record: Record, reason: str, *, group: str, whole: bool = True) -> Message:
    """Return the letter about `record`: why, whence, and its bytes in base64.

    Where not `whole`, nothing of the record is in it, and of the reason its begin: no record is too large for that.

    Its id is that of the place and the group, so that a letter written twice is known as one.
    """
    place = f"{record.partition.topic}/{record.partition.number}/{record.offset}"
    headers = dict(record.headers)
    correlation = headers.get("ce_correlationid") or b""
    original: dict[str, JSON] | None = None
    if whole:
        original = {
            "key": _base64(record.key),
            "value": _base64(record.value),
            "headers": {name: _base64(value) for name, value in record.headers},
        }
    return Message(
        type=DEAD_LETTER_TYPE,
        data={
            "reason": reason if whole else reason[:REASON_LENGTH],
            "group": group,
            "topic": record.partition.topic,
            "partition": record.partition.number,
            "offset": record.offset,
            "original_base64": original,
        },
        key=(record.key or b"").decode(errors="replace") if whole else "",
        id=f"{group}:{place}",
        subject=place,
        correlation_id=correlation.decode(errors="replace") if whole else "",
        traceparent=(headers.get("traceparent") or b"").decode(errors="replace") if whole else "",
    )


def original(letter: Message) -> Record:
    """Return the record that a dead letter is about, to look at it or to publish it again.

    Raises:
        ValueError: the letter does not carry it: it was too large, or this is no dead letter.
    """
    kept = letter.data.get("original_base64")
    if letter.type != DEAD_LETTER_TYPE or not isinstance(kept, dict):
        raise ValueError("the letter does not carry the original")
    data: Mapping[str, Any] = letter.data
    return Record(
        Partition(data["topic"], data["partition"]),
        data["offset"],
        _bytes(kept["key"]),
        _bytes(kept["value"]),
        tuple((name, _bytes(value)) for name, value in kept["headers"].items()),
    )


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else base64.b64decode(value)
