"""One change of a channel at a time, so that its events leave in the order of commits.

A change commits and publishes under its channel's lock. Across replicas the row lock
in :func:`heliograph.channels.access.enter` orders the commits; this one orders a
replica's publishes.
"""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class ChannelLocks:
    """A lock per channel that exists while somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, channel_id: str) -> asyncio.Lock:
        """The channel's lock."""
        return self._locks.setdefault(channel_id, asyncio.Lock())
