"""One subscribed room of a replica, between the line to Redis and the hub.

Frames are delivered in the order of their sequence, each once. What is lacking (the line
was cut, a sequence is missing, a frame is so big that it has to be fetched) is asked for on
the line itself; what comes meanwhile is held. So nothing has to be sorted or compared by
time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from heliograph.delivery.broker import Deliver, Position, Reset
from heliograph.delivery.envelope import Entry, decode_entry, decode_frame
from heliograph.delivery.frames import Frame
from heliograph.telemetry import get_logger, metrics

log = get_logger(__name__)

VOLATILE = b"v "
"""What volatile messages begin with instead of an epoch; epochs are hexadecimal."""

_IN_FLIGHT = 256
"""Frames of one room that may be on their way when a master dies."""


class Carrier(Protocol):
    """What a room needs of its broker."""

    deliver: Deliver
    reset: Reset
    replicated: bool

    def room_keys(self, room: str) -> list[str]:
        """The keys of its log."""

    def policy(self, key: str) -> str:
        """How its log is kept."""

    def ask_in_order(
        self,
        room: str,
        function: str,
        keys: Sequence[str],
        args: Sequence[Any],
        on_reply: Callable[[Any], None],
    ) -> None:
        """Call a function on the room's line."""

    def fetch_in_order(self, room: str, key: str, on_reply: Callable[[bytes | None], None]) -> None:
        """Get a big frame on the room's line."""

    def wait_in_order(self, room: str, on_reply: Callable[[bool], None]) -> None:
        """Ask on the room's line whether a replica of Redis has what was read."""


class RoomLine:
    """A room this replica is subscribed to: a listener of its channel.

    While the line is being made (again), or something is fetched over it, what comes is
    held, or is in the reply that is awaited.
    """

    __slots__ = ("broker", "doubtful", "held", "joined", "name", "position", "recent")

    def __init__(self, broker: Carrier, name: str) -> None:
        self.broker = broker
        self.name = name
        self.position: Position | None = None
        self.joined: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        self.held: list[bytes] | None = None  # while something is fetched in order
        self.recent: deque[bytes] = deque(maxlen=_IN_FLIGHT)  # ids of what was delivered
        self.doubtful: set[bytes] = set()

    # -- the line ----------------------------------------------------------------------

    def resume(self) -> tuple[str, Sequence[str], Sequence[Any]]:
        """Ask where the log stands, and for what was missed."""
        self.held = None
        keys = self.broker.room_keys(self.name)
        policy = self.broker.policy(keys[0])
        if self.position is None:
            return "room_position", keys, (policy,)
        epoch, seq = self.position
        return "room_since", keys, (policy, epoch, seq, "resume")

    def resumed(self, reply: Any) -> None:
        """The line is there."""
        if self.position is None:
            self._set(Position(reply[0].decode(), reply[1]))
            return
        if reply[3]:
            metrics.GAPS_REPAIRED.inc()
        self.held = []
        self._repaired(reply)

    def _set(self, position: Position) -> None:
        self.position = position
        if not self.joined.done():
            self.joined.set_result(position)

    def _catch_up(self, reply: Any) -> None:
        epoch, seq, complete, entries = reply
        assert self.position is not None
        since, now = self.position, Position(epoch.decode(), seq)
        if not complete:
            metrics.EPOCHS_CHANGED.inc()
            log.warning("room.epoch_changed", room=self.name, since=since, now=now)
            self.broker.reset(self.name, now)
            # What the lost end of the log had delivered, its publishers may bring again.
            self.doubtful = set(self.recent)
        # Entries of the epoch that was known, up to where it was known, are known.
        missed = [
            entry
            for entry in map(decode_entry, entries)
            if not (entry.epoch == since.epoch and entry.seq <= since.seq)
        ]
        self.position = now
        self._deliver_in_order(missed)

    # -- messages ----------------------------------------------------------------------

    def message(self, data: bytes) -> None:
        """A message of the room."""
        if self.held is not None:
            self.held.append(data)
        elif data.startswith(VOLATILE):
            self.broker.deliver(self.name, None, decode_frame(data[len(VOLATILE) :]))
        else:
            self._entry(decode_entry(data))

    def _entry(self, entry: Entry) -> None:
        at = self.position
        if at is None:
            return
        if entry.epoch == at.epoch and entry.seq == at.seq + 1:
            self.position = entry.position
            if entry.frame is not None:
                self._deliver(entry, entry.frame)
            else:
                self._deliver_in_order([entry])
        elif entry.epoch != at.epoch or entry.seq > at.seq:
            self._repair()
        # else it is known: it came with a repair

    def _repair(self) -> None:
        metrics.GAPS_REPAIRED.inc()
        function, keys, args = self.resume()
        self.held = []
        self.broker.ask_in_order(self.name, function, keys, args, self._repaired)

    def _repaired(self, reply: Any) -> None:
        if not reply[3] or not self.broker.replicated:
            self._reached(reply)
            return
        held = self.held

        def waited(safe: bool) -> None:
            # What no replica of Redis has may be lost: it is not shown yet.
            if self.held is not held:
                return  # the line broke meanwhile: asked for again
            if safe:
                self._reached(reply)
            else:
                self.broker.wait_in_order(self.name, waited)

        self.broker.wait_in_order(self.name, waited)

    def _reached(self, reply: Any) -> None:
        held, self.held = self.held or [], None
        self._catch_up(reply)
        self._take(held)

    def _take(self, held: list[bytes]) -> None:
        for number, data in enumerate(held):
            if self.held is not None:  # the last one made us fetch again
                self.held.extend(held[number:])
                return
            self.message(data)

    def _deliver_in_order(self, entries: list[Entry]) -> None:
        """Deliver entries; from one whose frame is elsewhere on, after it was fetched."""
        for number, entry in enumerate(entries):
            if entry.frame is None:
                self._fetch(entry, entries[number + 1 :])
                return
            self._deliver(entry, entry.frame)

    def _deliver(self, entry: Entry, frame: Frame) -> None:
        if entry.id in self.doubtful:
            self.doubtful.discard(entry.id)
            return
        self.recent.append(entry.id)
        self.broker.deliver(self.name, entry.seq, frame)

    def _fetch(self, entry: Entry, after: list[Entry]) -> None:
        held = self.held = [] if self.held is None else self.held
        assert entry.blob is not None

        def fetched(envelope: bytes | None) -> None:
            if self.held is not held:
                return  # the line broke meanwhile; the repair brings it
            self.held = None
            if envelope is None:
                log.error("room.frame_expired", room=self.name, seq=entry.seq)
                assert self.position is not None
                self.broker.reset(self.name, self.position)
            else:
                frame = entry.with_envelope(envelope).frame
                assert frame is not None
                self._deliver(entry, frame)
            self._deliver_in_order(after)
            self._take(held)

        # Until it is here, the room has not got so far: a broken line asks for it again.
        self.position = Position(entry.epoch, entry.seq - 1)
        reached = after[-1].position if after else entry.position

        def received(envelope: bytes | None) -> None:
            if self.held is held:
                self.position = reached
            fetched(envelope)

        self.broker.fetch_in_order(self.name, entry.blob, received)
