"""What these clients have to tell, as ``lib/report.js`` describes it."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from tests.clients.history import FAILINGS

SILENCE_MS = 1000
COUNTS = (
    "events", "deltas", "answers", "interrupted", "posts", "postsRefused", "asksRefused",
    "disconnects", "recovered", "resynced", "longestPauseMs", "longestOutageMs",
)  # fmt: skip


def now() -> float:
    """Milliseconds, as the facts have them."""
    return time.time() * 1000


def say(line: dict[str, Any]) -> None:
    """A line to whoever started us."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Report:
    """Counts, and what was wrong; see ``lib/report.js``."""

    def __init__(self) -> None:
        self.counts: dict[str, float] = dict.fromkeys(COUNTS, 0)
        self.failings: dict[str, list[Any]] = {kind: [] for kind in FAILINGS}
        self.refusals: dict[str, int] = {}
        self.began = now()

    def back(self, person: str, since: float) -> None:
        """A connection is there again; it is never recovered."""
        self.counts["longestOutageMs"] = max(self.counts["longestOutageMs"], now() - since)
        self.fact("back", person, since=since, recovered=False)

    def lost(self, person: str, reason: str) -> None:
        """A connection broke."""
        self.counts["disconnects"] += 1
        self.fact("lost", person, reason=reason)

    def fact(self, fact: str, person: str, **fields: Any) -> None:
        """Something that happened now."""
        say({"fact": fact, "at": now(), "person": person, **fields})

    def wrong(self, person: str, kind: str, **fields: Any) -> None:
        """Something that must not be."""
        self.failings[kind].append({"person": person, **fields})
        self.fact("wrong", person, kind=kind, **fields)

    def refused(self, error: str) -> None:
        """A request or a handshake that failed."""
        self.refusals[error] = self.refusals.get(error, 0) + 1

    def pause(self, person: str, since: float) -> None:
        """Time between two events of a person."""
        took = now() - since
        self.counts["longestPauseMs"] = max(self.counts["longestPauseMs"], took)
        if took >= SILENCE_MS:
            self.fact("silent", person, since=since)

    def end(self, seconds: float) -> None:
        """The last line."""
        rate = self.counts["events"] / seconds
        counted = {**self.counts, **self.failings, "refusals": self.refusals}
        say({"report": {**counted, "seconds": seconds, "eventsPerSecond": rate}})
