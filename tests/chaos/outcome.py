"""What one fault did, from the lines that the load prints to a line of the table."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

# They write one after the other and wait for nothing else, so what lies between two acknowledgements was spent waiting.
# Redis' `sure` waits for a replica as well, which a shard has none of until the killed node is back.
_STEADY = ("plain", "events")


def _prefix(client: str) -> str:
    return "plain_" if client == "plain" else ""


@dataclass
class Outcome:
    """One fault. Times are in seconds."""

    system: str
    fault: str
    recovered: float | None = None
    """From the fault until everything was whole again."""
    waited: float | None = None
    """The longest that a client waited for an acknowledgement."""
    written: int = 0
    acknowledged: int = 0
    lost: int = 0
    """Acknowledged, and not there afterwards."""
    twice: int = 0
    """Messages that came more than once."""
    retries: int = 0
    failures: list[str] = field(default_factory=list)
    """What clients saw beyond retries."""
    plain_acknowledged: int = 0
    """Redis: keys that the master alone acknowledged, of clients that do not wait for a replica."""
    plain_lost: int = 0
    plain_lost_age: float = 0.0
    """How long before its client's longest wait the oldest of them was acknowledged."""

    def read(self, lines: str) -> None:
        """Sum up the lines that the load ended with; whatever else its programs printed is passed over."""
        acknowledged: dict[str, dict[int, int]] = {}  # by client: when, in milliseconds, by number of the batch
        lost_plain: set[int] = set()
        for line in lines.splitlines():
            match line.split():
                case ["ack", client, milliseconds, number, count]:
                    acknowledged.setdefault(client, {})[int(number)] = int(milliseconds)
                    self._add(f"{_prefix(client)}acknowledged", int(count))
                case ["lost" | "twice" as word, client, number, *_]:
                    self._add(f"{_prefix(client)}{word}", 1)
                    if client == "plain":
                        lost_plain.add(int(number))
                case ["retry", _, _, count, *_]:
                    self.retries += int(count)
                case ["failed", *_]:
                    self.failures.append(line)
                case ["ack" | "lost" | "twice" | "retry", *_]:  # counting it as nothing would hide a loss
                    raise ValueError(f"not a line of the load: {line!r}")
        self.written = self.acknowledged + len(self.failures)
        waits = [(b - a, a) for client in _STEADY for a, b in pairwise(sorted(acknowledged.get(client, {}).values()))]
        longest, since = max(waits, default=(0, 0))
        self.waited = longest / 1000
        ages = [since - acknowledged["plain"][number] for number in lost_plain]
        self.plain_lost_age = max(ages, default=0) / 1000

    def _add(self, counter: str, number: int) -> None:
        setattr(self, counter, getattr(self, counter) + number)

    def check(self, *, recovered: float, waited: float) -> None:
        """AssertionError if anything acknowledged is lost, or one of the limits in seconds is passed."""
        assert self.acknowledged > 0
        assert (self.lost, self.twice, self.failures) == (0, 0, [])
        assert self.plain_lost_age <= 1, "a write reaches the replicas at once, or the master's end was not sudden"
        assert self.recovered is not None
        assert self.recovered <= recovered
        assert self.waited is not None
        assert self.waited <= waited
