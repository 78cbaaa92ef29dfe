"""Where a session stands in each of its rooms, and the offset that says so to its client.

The client of Socket.IO keeps one string, the last argument of the last event, and
gives it back when it returns. Ours names the sequence of every room in which the
session got something since it joined; the session's record knows the rest (the
baseline). So replay is exact across rooms, without memory of the dead process.

Form: ``1`` then ``~index.seq`` per room, in base 36, where ``index`` is the room's
number in the session.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from heliograph.delivery.broker import Position

_VERSION = "1"
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
    """A session in one room: its number for the room, and its baseline there."""

    index: int
    baseline: Position
    seq: int


class Positions:
    """The rooms of one session, with the positions reached."""

    __slots__ = ("_fixed", "_last", "_next_index", "places")

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        self._next_index = 0
        self._last = ""  # the room whose part of the offset is the growing one
        self._fixed = _VERSION  # the parts of all others

    def __contains__(self, room: str) -> bool:
        return room in self.places

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def enter(self, room: str, at: Position) -> None:
        """Start at ``at``; no effect for a room it is in."""
        if room not in self.places:
            self.places[room] = Place(self._next_index, at, at.seq)
            self._next_index += 1

    def leave(self, room: str) -> None:
        """Forget the room. Its number is not given out again."""
        self.places.pop(room, None)
        self._last = ""

    def advance(self, room: str, seq: int) -> str:
        """Note that the session gets ``seq`` of ``room``; return the offset that says so."""
        place = self.places[room]
        place.seq = seq
        if room != self._last:
            self._last = room
            self._fixed = _VERSION + "".join(
                f"~{base36(other.index)}.{base36(other.seq)}"
                for name, other in self.places.items()
                if name != room and other.seq != other.baseline.seq
            )
        return f"{self._fixed}~{base36(place.index)}.{base36(seq)}"

    def rewind(self, offset: str | None) -> None:
        """Set every room back to what the client says it has.

        Without an offset the client has nothing since the baseline.

        :raises BadOffset: malformed, or naming a sequence that was never given out.
        """
        said = _parse(offset) if offset else {}
        for place in self.places.values():
            seq = said.get(place.index, place.baseline.seq)
            if seq < place.baseline.seq:
                raise BadOffset(f"offset before the baseline: {seq}")
            place.seq = seq
        self._last = ""

    def position(self, room: str) -> Position:
        """Where the session stands in the room."""
        place = self.places[room]
        return Position(place.baseline.epoch, place.seq)


def _parse(offset: str) -> dict[int, int]:
    version, *parts = offset.split("~")
    if version != _VERSION or len(offset) > _MAX_OFFSET:
        raise BadOffset("not an offset of this version")
    said = {}
    for part in parts:
        index, _, seq = part.partition(".")
        try:
            said[int(index, 36)] = int(seq, 36)
        except ValueError as error:
            raise BadOffset(f"not an offset: {part!r}") from error
    return said
