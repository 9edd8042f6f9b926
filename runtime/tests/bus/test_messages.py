"""Messages become CloudEvents and come back whole; what is none is said to be none, without quoting it."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentstack_runtime.bus import Message, Partition, Record, Reject, original
from agentstack_runtime.bus.messages import dead_letter, decode, encode

FULL = Message(
    type="dev.agentstack.task.submitted",
    data={"text": "grüezi", "n": [1, None, True]},
    key="conversation-1",
    id="t1:submitted",
    subject="t1",
    source="ingestion",
    time=datetime(2026, 12, 1, 3, 4, 5, 678000, tzinfo=UTC),
    correlation_id="c-1",
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)


def record(message: Message = FULL, **headers: bytes | None) -> Record:
    key, value, found = encode(message, source="client")
    changed = {**found, **headers}
    return Record(Partition("events", 2), 7, key, value, tuple(changed.items()))


def test_it_comes_back_whole() -> None:
    assert decode(record()) == FULL


def test_the_headers_are_those_of_the_kafka_binding() -> None:
    assert dict(record().headers) == {
        "ce_id": b"t1:submitted",
        "ce_type": b"dev.agentstack.task.submitted",
        "ce_source": b"ingestion",
        "ce_specversion": b"1.0",
        "ce_time": b"2026-12-01T03:04:05.678000Z",
        "ce_subject": b"t1",
        "ce_correlationid": b"c-1",
        "content-type": b"application/json",
        "traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }


def test_the_client_is_the_source_of_what_names_none() -> None:
    assert decode(record(Message(type="t", data={}, key="k"))).source == "client"


DEEP: Any = {}
for _ in range(10_000):
    DEEP = {"in": DEEP}


@pytest.mark.parametrize(
    "message",
    [
        Message(type="", data={}, key="k"),
        Message(type="t", data={"secret": {1, 2}}, key="k"),  # type: ignore[dict-item]
        Message(type="t", data={"rate": float("nan")}, key="k"),
        Message(type="t", data=DEEP, key="k"),
        Message(type="t", data={}, key="half of a pair \ud800"),
    ],
    ids=["no type", "no JSON", "no number", "too deep", "no text"],
)
def test_what_is_no_cloudevent_is_not_published(message: Message) -> None:
    with pytest.raises(Reject, match="no valid CloudEvent"):
        encode(message, source="client")


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (record(ce_id=b""), "the headers lack ce_id"),
        (record(ce_type=None), "the headers lack ce_type"),
        (record(ce_specversion=b"2.0"), "no valid CloudEvent"),
        (record(ce_time=b"yesterday"), "no valid CloudEvent"),
        (record(ce_subject=b"\xff"), "no valid CloudEvent"),
        (Record(Partition("events", 0), 0, b"\xff", b"{}", record().headers), "no valid CloudEvent"),
        (Record(Partition("events", 0), 0, b"k", b"[1]", record().headers), "not a JSON object"),
        (Record(Partition("events", 0), 0, b"k", b"hunter2", record().headers), "not a JSON object"),
        (Record(Partition("events", 0), 0, b"k", None, record().headers), "not a JSON object"),
        (Record(Partition("events", 0), 0, b"k", b"[" * 100_000, record().headers), "no valid CloudEvent"),
        (Record(Partition("events", 0), 0, None, b"hunter2"), "the headers lack ce_id, ce_type"),
    ],
)
def test_what_is_no_cloudevent_is_rejected_without_quoting_it(broken: Record, reason: str) -> None:
    with pytest.raises(Reject, match=reason) as caught:
        decode(broken)
    assert "hunter2" not in str(caught.value)
    assert "yesterday" not in str(caught.value)


@given(
    key=st.none() | st.binary(),
    value=st.none() | st.binary() | st.text('[]{}0:",\\').map(str.encode),
    changed=st.dictionaries(
        st.sampled_from([*dict(record().headers), "ce_x", "ce_", "CE_ID", "ce_dataschema", "ce_data", "x", ""]),
        st.none() | st.binary() | st.text("0123456789-:+TZ.%").map(str.encode),
        max_size=4,
    ),
)
@example(key=b"k", value=b'{"a":' * 100_000, changed={})
@example(key=b"k", value=b"{}", changed={"ce_correlationid": "é".encode() * 400_000})
def test_whatever_stands_there_is_a_message_or_rejected_and_fits_in_a_letter(
    key: bytes | None, value: bytes | None, changed: dict[str, bytes | None]
) -> None:
    found = Record(Partition("events", 0), 0, key, value, tuple({**dict(record().headers), **changed}.items()))
    with contextlib.suppress(Reject):
        decode(found)
    encode(dead_letter(found, "r", group="learner"), source="learner")
    small_key, small, headers = encode(dead_letter(found, "r" * 10**6, group="learner", whole=False), source="learner")
    assert len(small_key) + len(small) + sum(map(len, headers.values())) < 2000


def test_a_dead_letter_carries_the_original_byte_by_byte() -> None:
    broken = Record(Partition("events", 1), 3, b"\xff\x00", None, (("ce_id", b"\xfe"), ("empty", None)))
    letter = dead_letter(broken, "no CloudEvent", group="learner")
    key, value, headers = encode(letter, source="learner")
    back = decode(Record(Partition("dead-letters", 0), 0, key, value, tuple(headers.items())))
    assert original(back) == broken
    assert (back.id, back.data["reason"]) == ("learner:events/1/3", "no CloudEvent")


def test_a_letter_without_the_original_says_so() -> None:
    with pytest.raises(ValueError, match="does not carry"):
        original(dead_letter(record(), "too large", group="learner", whole=False))
