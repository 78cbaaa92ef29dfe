"""What delivery asks of a broker. Nothing above knows which one it has.

Guarantee: the durable frames of a room reach every subscribed replica in the order
of their sequence, and :meth:`Broker.replay` returns exactly those after a position
or says that it cannot. Volatile frames have no sequence and are never replayed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from heliograph.delivery.frames import Frame


class Position(NamedTuple):
    """A place in a room's log. A changed ``epoch`` means another log: positions of
    different epochs cannot be compared."""

    epoch: str
    seq: int


@dataclass(frozen=True, slots=True)
class Logged:
    """A durable frame in a room's log; ``at`` is its time in seconds, for merging rooms."""

    seq: int
    at: float
    frame: Frame


class PositionLost(Exception):
    """The log no longer reaches back to the position, or is another log (epoch)."""


Deliver = Callable[[str, int | None, Frame], None]
"""``(room, seq, frame)``; ``seq`` is ``None`` for a volatile frame. Must not block."""

Reset = Callable[[str, Position], None]
"""``(room, position)``: the room's log is another one from here on, and nobody can tell what
is lacking. What follows is delivered as always. Must not block."""


class Broker(Protocol):
    """Carries frames between replicas and keeps a short log per room."""

    async def start(self, deliver: Deliver, reset: Reset) -> None:
        """Begin; frames of subscribed rooms go to ``deliver``."""

    async def stop(self) -> None:
        """End; no frame is delivered afterwards."""

    async def publish(self, room: str, frame: Frame, *, durable: bool = True) -> Position:
        """Append to the room's log (when durable) and deliver, in one step.

        :returns: the position after this frame.
        """

    async def subscribe(self, room: str) -> Position:
        """Deliver the room's frames here from the returned position on."""

    async def unsubscribe(self, room: str) -> None:
        """Deliver no more of them."""

    async def position(self, room: str) -> Position:
        """Where the room's log stands now."""

    async def replay(self, room: str, since: Position) -> list[Logged]:
        """The durable frames after ``since``, in order.

        :raises PositionLost: completeness cannot be proved.
        """
