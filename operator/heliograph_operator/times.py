"""Times as Kubernetes writes them. Intervals are measured by the monotonic clock instead."""

from __future__ import annotations

import datetime
import math


def rfc3339(seconds: float) -> str:
    """``2026-11-25T03:00:00Z`` of seconds since 1970; the nearest year that has a name."""
    if not math.isfinite(seconds):
        seconds = 0
    seconds = min(253_402_300_799.0, max(0.0, seconds))
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def micro(seconds: float) -> str:
    """The same with microseconds, as in a Lease."""
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).strftime(
        "%Y-%m-%dT%H:%M:%S.%fZ"
    )


def seconds(text: str) -> float:
    """Seconds since 1970 of such a time; 0 when it is none."""
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0
