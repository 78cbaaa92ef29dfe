"""The broker of one process: the guarantees of :mod:`heliograph.delivery.broker` in memory.

A room's log is bounded by age, count and bytes. A log that nobody uses any more is
forgotten; were its room used again, it would start under a new epoch, so that an old
position is refused instead of misread.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
import uuid
from collections import deque

from heliograph.delivery.broker import Deliver, Logged, Position, PositionLost, Reset
from heliograph.delivery.frames import Frame

MAX_FRAMES = 20_000
MAX_BYTES = 16 * 1024 * 1024
_SWEEP_SECONDS = 15.0


class _RoomLog:
    """One room's frames. ``seq`` is the last one given out."""

    __slots__ = ("bytes", "epoch", "frames", "seq", "subscribed", "used_at")

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self.seq = 0
        self.frames: deque[Logged] = deque()
        self.bytes = 0
        self.subscribed = False
        self.used_at = time.monotonic()

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq)

    def append(self, frame: Frame, now: float) -> None:
        self.seq += 1
        self.frames.append(Logged(self.seq, now, frame))
        self.bytes += frame.size

    def trim(self, oldest: float) -> None:
        frames = self.frames
        while frames and (
            frames[0].at < oldest or len(frames) > MAX_FRAMES or self.bytes > MAX_BYTES
        ):
            self.bytes -= frames.popleft().frame.size


class MemoryBroker:
    """Broker of a single process.

    :param keep_seconds: how long frames stay in a room's log; at least the time in
        which connections may be recovered. 0 keeps none.
    """

    def __init__(self, keep_seconds: float) -> None:
        self._keep = keep_seconds
        self._rooms: dict[str, _RoomLog] = {}
        self._deliver: Deliver | None = None
        self._reset: Reset | None = None
        self._epoch = uuid.uuid4().hex[:8]
        self._epochs = itertools.count()
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self, deliver: Deliver, reset: Reset) -> None:
        """Begin; frames of subscribed rooms go to ``deliver``. A log is another one only
        after :meth:`lose`."""
        self._deliver = deliver
        self._reset = reset
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """End; no frame is delivered afterwards."""
        self._deliver = self._reset = None
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper

    async def publish(self, room: str, frame: Frame, *, durable: bool = True) -> Position:
        """Append to the room's log (when durable) and deliver, in one step."""
        log = self._log(room)
        seq: int | None = None
        if durable:
            now = log.used_at
            log.append(frame, now)
            log.trim(now - self._keep)
            seq = log.seq
        if log.subscribed and self._deliver is not None:
            self._deliver(room, seq, frame)
        return log.position

    async def subscribe(self, room: str) -> Position:
        """Deliver the room's frames here from the returned position on."""
        log = self._log(room)
        log.subscribed = True
        return log.position

    async def unsubscribe(self, room: str) -> None:
        """Deliver no more of them."""
        self._log(room).subscribed = False

    async def position(self, room: str) -> Position:
        """Where the room's log stands now."""
        return self._log(room).position

    async def replay(self, room: str, since: Position) -> list[Logged]:
        """The durable frames after ``since``, in order.

        :raises PositionLost: another epoch, or trimmed past ``since``.
        """
        log = self._log(room)
        if log.epoch != since.epoch or since.seq > log.seq:
            raise PositionLost(f"{room}: position {since} is not of this log")
        missing = log.seq - since.seq
        if missing > len(log.frames):
            raise PositionLost(f"{room}: the log begins after {since}")
        start = len(log.frames) - missing
        return list(itertools.islice(log.frames, start, None))

    def lose(self, room: str) -> None:
        """Forget the room's log as a failing server would, and begin another one."""
        before = self._rooms.pop(room, None)
        if before is not None and before.subscribed:
            log = self._log(room)
            log.subscribed = True
            if self._reset is not None:
                self._reset(room, log.position)

    def _log(self, room: str) -> _RoomLog:
        log = self._rooms.get(room)
        if log is None:
            epoch = f"{self._epoch}.{next(self._epochs)}"
            log = self._rooms[room] = _RoomLog(epoch)
        log.used_at = time.monotonic()
        return log

    async def _sweep(self) -> None:
        # Twice the keeping time: a position may be asked for until the recovery of
        # the last member that held it has run out.
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = time.monotonic()
            for room, log in list(self._rooms.items()):
                log.trim(now - self._keep)
                idle = now - log.used_at > 2 * self._keep + _SWEEP_SECONDS
                if idle and not log.subscribed and not log.frames:
                    del self._rooms[room]
