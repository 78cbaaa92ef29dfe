"""The rooms of this replica: which sessions are in them, and their frames' way to each.

Interest is exact: the hub subscribes to a room when its first local member joins and
unsubscribes with the last. Orders to other replicas are control frames, which a session
that was away obeys when it recovers. An order to *enter* a room goes to those who shall
enter, with the position they start at; an order to *leave* is in the room's own log. So
the log decides which of two orders came last, however late a session hears of either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from heliograph.delivery.broker import Broker, Position, PositionLost
from heliograph.delivery.frames import Frame
from heliograph.delivery.session import Session
from heliograph.telemetry import get_logger, metrics

log = get_logger(__name__)

EVERYONE = "everyone"
"""The room of every authenticated session (ours, never named to clients)."""


def user_room(user_id: str) -> str:
    """The room of all sessions of a user."""
    return f"user:{user_id}"


Hear = Callable[[dict[str, Any]], None]
"""What a listener does with an instruction in its room. Must not block."""


@dataclass(slots=True)
class _Room:
    members: dict[str, Session] = field(default_factory=dict)
    listeners: list[Hear] = field(default_factory=list)
    position: Position | None = None
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)


class Hub:
    """Local sessions and rooms of a replica."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.sessions: dict[str, Session] = {}
        self.on_put_out: Callable[[Session, str, str], None] = _no_one_to_put_out
        self._rooms: dict[str, _Room] = {}
        self._background: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to receive from the broker."""
        await self.broker.start(self._deliver, self._reset)

    async def stop(self) -> None:
        """Receive no more."""
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.broker.stop()

    async def publish(
        self,
        room: str,
        event: str,
        data: Any,
        *,
        durable: bool = True,
        skip_sid: str | None = None,
        skip_user: str | None = None,
    ) -> Position:
        """Send an event to every session in ``room``, on every replica."""
        frame = Frame.event(event, data, skip_sid=skip_sid, skip_user=skip_user)
        return await self.broker.publish(room, frame, durable=durable)

    async def join(self, session: Session, name: str, *, at: Position | None = None) -> None:
        """Let the session into the room; no effect if it is in.

        :param at: the position it already has; frames logged since then are delivered.
            Default: the room's present position.
        """
        while True:
            room = self._rooms.setdefault(name, _Room())
            async with room.changing:
                if self._rooms.get(name) is not room:
                    continue  # its last member left while we waited
                if room.position is None:
                    room.position = await self.broker.subscribe(name)
                try:
                    missed = [] if at is None else await self.broker.replay(name, at)
                except PositionLost:
                    # It was let in longer ago than the log goes: from now on, then.
                    missed, at = [], None
                if session.ended or session.sid in room.members:
                    await self._unsubscribe_if_empty(name, room)
                    return
                room.members[session.sid] = session
                session.positions.enter(name, at or room.position)
                for logged in missed:
                    if logged.frame.control is not None:
                        self.obey(session, logged.frame.control)
                        if name not in session.positions:
                            return  # taken out again before it was in
                    elif session.live:  # else its replay brings them
                        session.deliver(name, logged.seq, logged.frame)
                return

    def leave(self, session: Session, name: str) -> None:
        """Take the session out of the room, at once; no effect if it is not in."""
        session.positions.leave(name)
        room = self._rooms.get(name)
        if room is None or session.sid not in room.members:
            return
        del room.members[session.sid]
        if not room.members and not room.listeners:
            self._in_background(self._tidy(name, room))

    def leave_all(self, session: Session) -> None:
        """Take an ended session out of every room."""
        for name in list(session.positions):
            self.leave(session, name)

    async def _tidy(self, name: str, room: _Room) -> None:
        async with room.changing:
            await self._unsubscribe_if_empty(name, room)

    async def _unsubscribe_if_empty(self, name: str, room: _Room) -> None:
        if not room.members and not room.listeners and self._rooms.get(name) is room:
            await self.broker.unsubscribe(name)
            del self._rooms[name]

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background_done)

    def _background_done(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("room.change_failed", exc_info=error)

    def members(self, name: str) -> Iterable[Session]:
        """This replica's sessions in the room."""
        room = self._rooms.get(name)
        return list(room.members.values()) if room else []

    def is_current(self, session: Session) -> bool:
        """Whether the session has all that reached this replica in its rooms."""
        return all(
            room.position is None or session.positions.position(name).seq >= room.position.seq
            for name in session.positions
            if (room := self._rooms.get(name)) is not None
        )

    def of_user(self, user_id: str) -> Iterable[Session]:
        """This replica's sessions of a user."""
        return self.members(user_room(user_id))

    # -- instructions between replicas -----------------------------------------------

    async def listen(self, name: str, hear: Hear) -> None:
        """Let ``hear`` have every instruction in the room from now on, in order. The room has
        no clients for that, or may have some: events are theirs, instructions reach both."""
        while True:
            room = self._rooms.setdefault(name, _Room())
            async with room.changing:
                if self._rooms.get(name) is not room:
                    continue  # its last member left while we waited
                if room.position is None:
                    room.position = await self.broker.subscribe(name)
                room.listeners.append(hear)
                return

    async def unlisten(self, name: str, hear: Hear) -> None:
        """Let ``hear`` have no more of them; no effect if it did not listen."""
        room = self._rooms.get(name)
        if room is not None and hear in room.listeners:
            room.listeners.remove(hear)
            await self._tidy(name, room)

    async def instruct(self, name: str, instruction: dict[str, Any]) -> None:
        """Send an instruction to all who listen to the room, on every replica. It is logged
        like any durable event, so a listener cut off for a moment gets it late."""
        await self.broker.publish(name, Frame.instruction(**instruction))

    # -- orders to all replicas ------------------------------------------------------

    async def admit(self, user_id: str, room: str) -> None:
        """Let every session of the user into ``room``, also those away for a moment."""
        epoch, seq = await self.broker.position(room)
        order = Frame.instruction(do="admit", room=room, epoch=epoch, seq=seq)
        await self.broker.publish(user_room(user_id), order)

    async def admit_everyone(self, room: str) -> None:
        """Let every authenticated session into ``room``."""
        epoch, seq = await self.broker.position(room)
        order = Frame.instruction(do="admit", room=room, epoch=epoch, seq=seq)
        await self.broker.publish(EVERYONE, order)

    async def expel(self, user_id: str, room: str) -> None:
        """Take every session of the user out of ``room``."""
        order = Frame.instruction(do="expel", room=room, user=user_id)
        await self.broker.publish(room, order)

    async def put_out(self, user_id: str, code: str, message: str) -> None:
        """End every session of the user, telling it why."""
        order = Frame.instruction(do="put_out", code=code, message=message)
        await self.broker.publish(user_room(user_id), order)

    async def close_room(self, room: str, *, keep: Iterable[str] = ()) -> None:
        """Take everybody out of ``room``, except the users of the ids in ``keep``."""
        order = Frame.instruction(do="close", room=room, keep=list(keep))
        await self.broker.publish(room, order)

    def obey(self, session: Session, control: dict[str, Any]) -> None:
        """Carry out one order for one session."""
        match control["do"]:
            case "admit":
                at = Position(control["epoch"], control["seq"])
                self._in_background(self.join(session, control["room"], at=at))
            case "expel":
                if session.user_id == control["user"]:
                    self.leave(session, control["room"])
            case "close":
                if session.user_id not in control["keep"]:
                    self.leave(session, control["room"])
            case "put_out":
                self.on_put_out(session, control["code"], control["message"])

    # -- from the broker -------------------------------------------------------------

    def _deliver(self, name: str, seq: int | None, frame: Frame) -> None:
        room = self._rooms.get(name)
        if room is None or room.position is None:
            return
        if seq is not None:
            room.position = Position(room.position.epoch, seq)
        if frame.control is not None:
            _tell(room.listeners, frame.control)
        metrics.EVENTS_OUT.inc(len(room.members))
        for session in list(room.members.values()):
            if frame.control is None:
                if session.live:
                    session.deliver(name, seq, frame)
                continue
            if session.live and seq is not None:
                session.positions.advance(name, seq)
            if session.attached:
                self.obey(session, frame.control)

    def _reset(self, name: str, position: Position) -> None:
        """The room's log is another one: nobody can tell what its members lack."""
        room = self._rooms.get(name)
        if room is not None and room.position is not None:
            room.position = position


def _tell(listeners: list[Hear], instruction: dict[str, Any]) -> None:
    for hear in list(listeners):
        try:
            hear(instruction)
        except Exception:
            # One that cannot deal with it keeps nobody else from it.
            log.exception("room.listener_failed")


def _no_one_to_put_out(session: Session, code: str, message: str) -> None:
    raise RuntimeError(f"nobody puts out {session.sid}: {code} {message}")
