"""What is in Kafka and in Redis."""

from __future__ import annotations

from typing import Annotated

from .matching import Matching

TopicName = Annotated[
    str,
    Matching(r"^(?!\.{1,2}$)[a-zA-Z0-9._-]+$", 249, "a topic name", "use letters, digits, dots, `_` and hyphens"),
]
"""A Kafka topic."""


RedisKeys = Annotated[
    str,
    Matching(r"^[A-Za-z0-9_.:{}*?\[\]-]+$", 128, "a pattern of Redis keys", "write a prefix such as `conversation:*`"),
]
"""A glob-style pattern of Redis keys, such as `conversation:*`. https://redis.io/docs/latest/commands/keys/"""

RedisKey = Annotated[
    str,
    Matching(r"^[A-Za-z0-9_.:{}-]+$", 128, "a Redis key", "use letters, digits, `_`, `.`, `:`, `-` and braces"),
]
"""One key in Redis, such as `tasks:open`."""

ConsumerGroup = Annotated[
    str,
    Matching(r"^[A-Za-z0-9_.:-]+$", 128, "a consumer group", "use letters, digits, `_`, `.`, `:` and `-`"),
]
"""A consumer group of a Redis stream."""
