"""The rooms that a replica is subscribed to, and for whom.

A room is open while somebody is in it, listens to it or is on the way in; it is subscribed
to exactly as long. Opening and closing may overlap in any way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from heliograph.delivery.broker import Broker, Position
from heliograph.delivery.frames import Frame
from heliograph.delivery.session import Session

Hear = Callable[[dict[str, Any]], None]
"""What a listener does with an instruction in its room. Must not block."""


@dataclass(eq=False, slots=True)
class Entry:
    """Somebody on the way in, from the log's position ``at`` on.

    :ivar heard: what came since; the log is read meanwhile.
    """

    at: Position | None = None
    heard: list[tuple[int, Frame]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Room:
    """One room.

    :ivar position: the last that was delivered here; ``None`` while it is subscribed to.
    :ivar early: the last sequence that came in that time.
    """

    members: dict[str, Session] = field(default_factory=dict)
    listeners: list[Hear] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    position: Position | None = None
    early: int = 0
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def empty(self) -> bool:
        """Whether nobody needs it."""
        return not (self.members or self.listeners or self.entries)

    def reached(self, seq: int, frame: Frame) -> None:
        """A durable frame came."""
        for entry in self.entries:
            if entry.at is not None:
                entry.heard.append((seq, frame))
        if self.position is None:
            self.early = seq
        else:
            self.position = Position(self.position.epoch, seq)


class OpenRooms:
    """The open rooms of a replica, by name.

    :param spawn: runs work in the background.
    """

    def __init__(self, broker: Broker, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._broker = broker
        self._spawn = spawn
        self._rooms: dict[str, Room] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._rooms

    def get(self, name: str) -> Room | None:
        """The room, if it is open."""
        return self._rooms.get(name)

    async def open(self, name: str, entry: Entry) -> Room:
        """The room, subscribed to; it stays so at least while ``entry`` is in it.

        :raises Unavailable: Redis did not take part.
        """
        room = self._rooms.setdefault(name, Room())
        room.entries.append(entry)
        try:
            async with room.changing:
                if room.position is None:
                    room.early = 0
                    position = await self._broker.subscribe(name)
                    # Frames may come before we hear that they will.
                    room.position = position._replace(seq=max(position.seq, room.early))
        except BaseException:
            room.entries.remove(entry)
            self.close_if_empty(name, room)
            raise
        return room

    def close_if_empty(self, name: str, room: Room) -> None:
        """Somebody left: the room is closed soon, unless somebody comes."""
        if room.empty:
            self._spawn(self.close(name, room))

    async def close(self, name: str, room: Room) -> None:
        """Subscribe to the room no more, unless somebody needs it."""
        async with room.changing:
            if not room.empty or self._rooms.get(name) is not room:
                return
            if room.position is not None:
                await self._broker.unsubscribe(name)
                room.position = None
            if room.empty:  # else somebody came meanwhile, and subscribes again
                del self._rooms[name]
