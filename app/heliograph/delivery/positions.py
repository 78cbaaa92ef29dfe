"""Where a session stands in each of its rooms, and the offset that says so to its client.

The client of Socket.IO keeps one string, the last argument of the last event, and
gives it back when it returns. Ours names the sequence of every room in which the
session got something since it joined; the session's record knows the rest (the
baseline). So replay is exact across rooms, without memory of the dead process.

Form: ``2``, the revision of the session's rooms, then ``~index.seq`` per room, in base 36,
where ``index`` is the room's number in the session. A record that has an older revision than
the client lacks a change of rooms: it was not written in time, and proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from heliograph.delivery.broker import Position

_VERSION = "2"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_MAX_OFFSET = 65_536


class BadOffset(ValueError):
    """The offset is not one of ours."""


def base36(number: int) -> str:
    """Digits of a non-negative number in base 36."""
    if number < 36:
        return _DIGITS[number]
    digits = []
    while number:
        number, rest = divmod(number, 36)
        digits.append(_DIGITS[rest])
    return "".join(reversed(digits))


@dataclass(slots=True)
class Place:
    """A session in one room: its number for the room, and its baseline there.

    :ivar admitted: orders to leave that the room's log has up to here were given before the
        session was let in (for the last time), and are not for it.
    """

    index: int
    baseline: Position
    seq: int
    admitted: int


class Positions:
    """The rooms of one session, with the positions reached.

    :ivar revision: grows with every change of the rooms.
    """

    __slots__ = ("_fixed", "_last", "_next_index", "places", "revision")

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        self.revision = 0
        self._next_index = 0
        self._last = ""  # the room whose part of the offset is the growing one
        self._fixed = _VERSION  # the parts of all others

    def __contains__(self, room: str) -> bool:
        return room in self.places

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def enter(self, room: str, at: Position) -> None:
        """Start at ``at``. Who is in already is admitted anew: older orders to leave are void."""
        place = self.places.get(room)
        if place is None:
            self.places[room] = Place(self._next_index, at, at.seq, at.seq)
            self._next_index += 1
            self.changed()
        elif at.epoch == place.baseline.epoch and at.seq > place.admitted:
            place.admitted = at.seq
            self.changed()

    def leave(self, room: str) -> None:
        """Forget the room. Its number is not given out again."""
        if self.places.pop(room, None) is not None:
            self.changed()

    def restart(self, room: str, epoch: str) -> None:
        """The room's log is another one: whatever comes next comes next."""
        place = self.places[room]
        place.baseline = Position(epoch, 0)
        place.seq = place.admitted = 0
        self.changed()

    def changed(self) -> None:
        """The record of the session has to be written again."""
        self.revision += 1
        self._last = ""

    def advance(self, room: str, seq: int) -> str | None:
        """Note that the session gets ``seq`` of ``room``.

        :returns: the offset that says so; ``None`` when it has that already.
        """
        place = self.places[room]
        if seq <= place.seq:
            return None
        place.seq = seq
        if room != self._last:
            self._last = room
            self._fixed = f"{_VERSION}{base36(self.revision)}" + "".join(
                f"~{base36(other.index)}.{base36(other.seq)}"
                for name, other in self.places.items()
                if name != room and other.seq != other.baseline.seq
            )
        return f"{self._fixed}~{base36(place.index)}.{base36(seq)}"

    def at(self, offset: str | None) -> dict[str, Position]:
        """What the client has of each room, by what it says.

        Without an offset the client has nothing since the baseline.

        :raises BadOffset: malformed, or of rooms that this does not know of.
        """
        revision, said = _parse(offset) if offset else (0, {})
        if revision > self.revision:
            raise BadOffset(f"offset of revision {revision}, the record has {self.revision}")
        found = {}
        for room, place in self.places.items():
            seq = said.get(place.index, place.baseline.seq)
            if seq < place.baseline.seq:
                raise BadOffset(f"offset before the baseline: {seq}")
            found[room] = Position(place.baseline.epoch, seq)
        return found

    def rewind(self, offset: str | None) -> None:
        """Set every room back to what the client says it has.

        :raises BadOffset: see :meth:`at`.
        """
        for room, position in self.at(offset).items():
            self.places[room].seq = position.seq
        self._last = ""

    def position(self, room: str) -> Position:
        """Where the session stands in the room."""
        place = self.places[room]
        return Position(place.baseline.epoch, place.seq)

    def obeys(self, room: str, seq: int) -> bool:
        """Whether an order to leave, at ``seq`` of the room's log, is for this session."""
        place = self.places.get(room)
        return place is not None and seq > place.admitted

    # -- as plain data -----------------------------------------------------------------

    def to_plain(self) -> dict[str, Any]:
        """All that an offset needs besides. What was reached is in the offset."""
        return {
            "revision": self.revision,
            "next": self._next_index,
            "rooms": {
                room: [place.index, *place.baseline, place.admitted]
                for room, place in self.places.items()
            },
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Positions:
        """Made again, every room at its baseline."""
        made = cls()
        made.revision = plain["revision"]
        made._next_index = plain["next"]
        made.places = {
            room: Place(index, Position(epoch, seq), seq, admitted)
            for room, (index, epoch, seq, admitted) in plain["rooms"].items()
        }
        return made


def _parse(offset: str) -> tuple[int, dict[int, int]]:
    head, *parts = offset.split("~")
    if head[:1] != _VERSION or len(offset) > _MAX_OFFSET:
        raise BadOffset("not an offset of this version")
    try:
        revision = int(head[1:], 36)
        pairs = [part.split(".", 1) for part in parts]
        return revision, {int(index, 36): int(seq, 36) for index, seq in pairs}
    except ValueError as error:
        raise BadOffset(f"not an offset: {offset[:100]!r}") from error
