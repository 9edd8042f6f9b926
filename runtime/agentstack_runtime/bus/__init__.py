"""Messages over topics: publish, and consume in groups. The buses themselves are `.memory` and `.kafka`."""

from __future__ import annotations

from agentstack_runtime.errors import Unavailable

from .consumer import Consumer, ConsumerMetrics
from .messages import DEAD_LETTER_TYPE, JSON, Message, Partition, Record, Reject, original
from .protocol import Bus, Subscription

__all__ = [
    "Bus",
    "Consumer",
    "ConsumerMetrics",
    "DEAD_LETTER_TYPE",
    "JSON",
    "Message",
    "Partition",
    "Record",
    "Reject",
    "Subscription",
    "Unavailable",
    "original",
]
