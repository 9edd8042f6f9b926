"""Messages over topics: publish, and consume in groups. The buses themselves are `.memory` and `.kafka`."""

from __future__ import annotations

from agentstack_runtime.errors import Unavailable

from .messages import DEAD_LETTER_TYPE, JSON, Message, Partition, Record, Reject, original
from .protocol import Bus, Subscription

__all__ = [
    "Bus",
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
