"""The broker of many replicas: the guarantees of :mod:`heliograph.delivery.broker` in Redis.

Every room has its own short log and sequence, appended to and published by one function;
a replica is subscribed to the rooms of its members only. A subscriber that was away, or
sees a gap, reads what it missed from the log before it delivers further, over the line on
which the messages come, so that the two meet exactly. A log that is found to be another
one (Redis lost its end, or all of it) is said, by ``reset``.

Big frames do not go through pub/sub, whose buffers are bounded: the entry says where they
are (claim check).
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from heliograph.backplane import RETRIED, Backplane, RedisRefused
from heliograph.delivery.broker import Deliver, Logged, Position, PositionLost, Reset
from heliograph.delivery.envelope import (
    Entry,
    decode_entry,
    encode_claim,
    encode_frame,
)
from heliograph.delivery.frames import Frame
from heliograph.delivery.positions import base36
from heliograph.delivery.redis_room import VOLATILE, RoomLine
from heliograph.errors import Unavailable
from heliograph.telemetry import get_logger

log = get_logger(__name__)

MAX_FRAMES = 20_000
"""Frames in one room's log; trimmed now and then, so there may be a few more."""

MAX_BYTES = 16 * 1024 * 1024
"""Bytes of them."""

BIG = 32 * 1024
"""Bytes of an envelope from which on it is fetched instead of pushed."""

_LEAST_KEPT = 30.0  # seconds, for gap repair also when recovery is off
_META_SECONDS = 3600.0
_RENEW_SECONDS = 1200.0
_VOLATILE_SECONDS = 2.0  # what is late is worthless


class RedisBroker:
    """Broker of any number of replicas.

    :param keep_seconds: how long frames stay in a room's log at least.
    """

    def __init__(self, backplane: Backplane, keep_seconds: float) -> None:
        self._backplane = backplane
        self.replicated = backplane.replicated
        self._keep = max(keep_seconds, _LEAST_KEPT)
        self._rooms: dict[str, RoomLine] = {}
        self._me = uuid.uuid4().hex[:10]
        self._ids = itertools.count()
        self._keys: dict[str, list[str]] = {}
        self._policies: dict[str, str] = {}
        self._renewer: asyncio.Task[None] | None = None
        self.deliver: Deliver = _nobody
        self.reset: Reset = _nobody

    async def start(self, deliver: Deliver, reset: Reset) -> None:
        """Begin; frames of subscribed rooms go to ``deliver``."""
        self.deliver = deliver
        self.reset = reset
        self._renewer = asyncio.create_task(self._renew())

    async def stop(self) -> None:
        """End; no frame is delivered afterwards."""
        self.deliver = self.reset = _nobody
        if self._renewer is not None:
            self._renewer.cancel()
            await asyncio.gather(self._renewer, return_exceptions=True)
        for room in list(self._rooms):
            self._backplane.unsubscribe(self.channel(room))
        self._rooms.clear()

    # -- names ---------------------------------------------------------------------------

    def room_keys(self, room: str) -> list[str]:
        """The keys of a room: what is known of its log, and the log."""
        keys = self._keys.get(room)
        if keys is None:
            if len(self._keys) > 20_000:
                self._keys.clear()
            key = self._backplane.key
            keys = self._keys[room] = [key("room", room), key("room", room, "log")]
        return keys

    def channel(self, room: str) -> str:
        """The room's channel; it has the name of the first key."""
        return self.room_keys(room)[0]

    def policy(self, key: str) -> str:
        """How a room's log is kept, as ``rooms.lua`` reads it."""
        term = self._backplane.term(self._backplane.slot(key))
        policy = self._policies.get(term)
        if policy is None:
            keep = int(self._keep * 1000)
            meta = int(max(_META_SECONDS, 4 * self._keep) * 1000)
            policy = f"{keep} {MAX_FRAMES} {MAX_BYTES} {meta} {term} "
            policy += "0 1" if self.replicated else "1 0"
            if len(self._policies) > 100:
                self._policies.clear()
            self._policies[term] = policy
        return policy

    # -- the protocol ----------------------------------------------------------------------

    async def publish(self, room: str, frame: Frame, *, durable: bool = True) -> Position:
        """Append to the room's log (when durable) and deliver, in one step.

        :raises Unavailable: Redis did not take it within the deadline. It may have been
            published all the same: nobody knows.
        """
        if not durable:
            message = VOLATILE + encode_frame(frame)
            await self._backplane.execute(
                "SPUBLISH", self.channel(room), message, timeout=_VOLATILE_SECONDS
            )
            known = self._rooms.get(room)
            return (known.position if known else None) or Position("", 0)
        envelope = await self.envelope(room, frame)
        epoch, seq = await self.append_by(room, "room_publish", (), (envelope,))
        return Position(epoch.decode(), seq)

    async def envelope(self, room: str, frame: Frame) -> bytes:
        """A frame as a function may append it to the room's log; a big one is deposited first.

        :raises Unavailable: Redis did not take a big one within the deadline.
        """
        envelope = encode_frame(frame)
        return envelope if len(envelope) <= BIG else await self._deposit(room, envelope)

    async def append_by(
        self, room: str, function: str, keys: Sequence[str], args: Sequence[Any]
    ) -> Any:
        """Let a function append to the room's log along with what else it does.

        Its KEYS are ``meta, log, *keys``, its ARGV ``channel, policy, id, retried, *args``;
        it returns ``{result, {entries to be released}}``.

        :raises Unavailable: see :meth:`publish`.
        """
        room_keys = self.room_keys(room)
        ident = f"{self._me}{base36(next(self._ids))}"
        result, entries = await self._backplane.call(
            function,
            [*room_keys, *keys],
            # The policy of the moment of sending: a retry may go to another server.
            (room_keys[0], lambda _: self.policy(room_keys[0]), ident, RETRIED, *args),
            durable=True,
        )
        if entries:
            execute = self._backplane.execute
            await asyncio.gather(*(execute("SPUBLISH", room_keys[0], entry) for entry in entries))
        return result

    async def _deposit(self, room: str, envelope: bytes) -> bytes:
        key = self._backplane.key("room", room, "frame", uuid.uuid4().hex)
        seconds = int(2 * self._keep) + 60
        await self._backplane.execute("SET", key, envelope, "EX", seconds)
        return encode_claim(key)

    async def subscribe(self, room: str) -> Position:
        """Deliver the room's frames here from the returned position on.

        :raises Unavailable: Redis did not answer within the deadline.
        """
        if room in self._rooms:
            raise RuntimeError(f"{room} is subscribed already")
        entered = self._rooms[room] = RoomLine(self, room)
        self._backplane.subscribe(self.channel(room), entered)
        try:
            async with asyncio.timeout(self._backplane.config.deadline):
                return await entered.joined
        except TimeoutError:
            await self.unsubscribe(room)
            why = self._backplane.why_unavailable
            raise Unavailable(f"the room {room} cannot be entered now: {why}") from None
        except asyncio.CancelledError:
            await self.unsubscribe(room)
            raise

    async def unsubscribe(self, room: str) -> None:
        """Deliver no more of them."""
        if self._rooms.pop(room, None) is not None:
            self._backplane.unsubscribe(self.channel(room))

    async def position(self, room: str) -> Position:
        """Where the room's log stands now."""
        keys = self.room_keys(room)
        reply = await self._backplane.call("room_position", keys, (self.policy(keys[0]),))
        return Position(reply[0].decode(), reply[1])

    async def replay(self, room: str, since: Position) -> list[Logged]:
        """The durable frames after ``since``, in order.

        :raises PositionLost: another epoch, or trimmed past ``since``.
        :raises Unavailable: Redis did not answer within the deadline.
        """
        known = self._rooms.get(room)
        if known is not None and known.position == since and known.joined.done():
            return []  # most rooms are silent most of the time
        keys = self.room_keys(room)
        args = (self.policy(keys[0]), since.epoch, since.seq, "replay")
        # Durable: with replicated delivery nothing is shown that could still be lost.
        epoch, _, complete, found = await self._backplane.call(
            "room_since", keys, args, durable=True
        )
        if not complete:
            raise PositionLost(
                f"{room}: the log (epoch {epoch.decode()}) lacks what follows {since}"
            )
        entries = [decode_entry(entry) for entry in found]
        return [(await self._claimed(room, entry)).logged() for entry in entries]

    async def _claimed(self, room: str, entry: Entry) -> Entry:
        if entry.blob is None:
            return entry
        envelope = await self._backplane.execute("GET", entry.blob)
        if envelope is None:
            raise PositionLost(f"{room}: the frame of {entry.seq} has expired")
        return entry.with_envelope(envelope)

    # -- for rooms ---------------------------------------------------------------------------

    def ask_in_order(
        self,
        room: str,
        function: str,
        keys: Sequence[str],
        args: Sequence[Any],
        on_reply: Callable[[Any], None],
    ) -> None:
        """Call a function on the room's line. When that breaks, the room resumes instead."""
        self._backplane.ask_in_order(self.channel(room), function, keys, args, on_reply)

    def fetch_in_order(self, room: str, key: str, on_reply: Callable[[bytes | None], None]) -> None:
        """Get a big frame on the room's line."""
        self._backplane.send_in_order(self.channel(room), ("GET", key), on_reply)

    def wait_in_order(self, room: str, on_reply: Callable[[bool], None]) -> None:
        """Ask whether a replica of Redis has what was just read; see the backplane."""
        self._backplane.wait_in_order(self.channel(room), on_reply)

    async def _renew(self) -> None:
        # A silent room's position must not expire below its members.
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            for room in list(self._rooms):
                try:
                    await self.position(room)
                except (Unavailable, RedisRefused) as error:
                    log.warning("room.not_renewed", error=str(error)[:200])


def _nobody(*_: Any) -> None:
    """Frames of a broker that has stopped."""
