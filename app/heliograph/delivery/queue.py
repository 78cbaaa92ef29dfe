"""The bounded queue between the rooms and one client's transport."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from engineio.packet import Packet

LOW_WATER = 64
"""Packets below which a paced replay goes on."""


class OutboundQueue(asyncio.Queue[Packet | None]):
    """A queue of Engine.IO packets with a limit in packets and in bytes.

    The limit is asked for before putting, with :meth:`has_room`; what must get through
    (pings, the end mark) is put in any case.
    """

    def __init__(self, max_packets: int, max_bytes: int) -> None:
        super().__init__()
        self._max_packets = max_packets
        self._max_bytes = max_bytes
        self._low = asyncio.Event()
        self._low.set()
        self.bytes = 0

    def has_room(self, packets: Iterable[Packet]) -> bool:
        """Whether these still fit. One message alone always fits into an empty queue."""
        if self.empty():
            return True
        packets = list(packets)
        size = sum(map(_size, packets))
        return (
            self.qsize() + len(packets) <= self._max_packets
            and self.bytes + size <= self._max_bytes
        )

    def _put(self, item: Packet | None) -> None:
        super()._put(item)
        self.bytes += _size(item)
        if self.qsize() > LOW_WATER:
            self._low.clear()

    def _get(self) -> Packet | None:
        item: Any = super()._get()
        self.bytes -= _size(item)
        if self.qsize() <= LOW_WATER:
            self._low.set()
        packet: Packet | None = item
        return packet

    async def drained(self) -> None:
        """Wait until few packets are left."""
        await self._low.wait()

    def release(self) -> None:
        """Let whoever waits for :meth:`drained` go on: the transport is gone."""
        self._low.set()


def _size(item: Packet | None) -> int:
    return len(item.data) if item is not None and isinstance(item.data, str | bytes) else 0
