"""The rooms of this replica: which sessions are in them, and their frames' way to each.

Interest is exact: the hub subscribes to a room when its first local member joins and
unsubscribes with the last. Orders to other replicas are control frames, which a session
that was away obeys when it recovers. An order to *enter* a room goes to those who shall
enter, with the position they start at; an order to *leave* is in the room's own log. So
the log decides which of two orders came last, however late a session hears of either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from heliograph.delivery.broker import Broker, Logged, Position, PositionLost
from heliograph.delivery.frames import Frame
from heliograph.delivery.rooms import Entry, Hear, OpenRooms
from heliograph.delivery.session import Session
from heliograph.errors import Unavailable
from heliograph.telemetry import get_logger, metrics

log = get_logger(__name__)

_RETRY_SECONDS = 1.0

EVERYONE = "everyone"
"""The room of every authenticated session (ours, never named to clients)."""


def user_room(user_id: str) -> str:
    """The room of all sessions of a user."""
    return f"user:{user_id}"


class Hub:
    """Local sessions and rooms of a replica.

    :ivar save: writes a session's record; awaited by :meth:`join`.
    :ivar on_put_out: ends a session and tells its client why.
    :ivar on_reset: what a session lacks of one of its rooms cannot be told any more.
    :ivar on_room_reset: called with a room in which events may be lacking, see ``Reset``.
    :ivar on_taken_out: called with session, room and order when an order takes it out.
    """

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.sessions: dict[str, Session] = {}
        self.save: Callable[[Session], Awaitable[None]] = _unsaved
        self.on_put_out: Callable[[Session, str, str], None] = _no_one_to_put_out
        self.on_reset: Callable[[Session], None] = lambda session: None
        self.on_room_reset: list[Callable[[str], None]] = []
        self.on_taken_out: list[Callable[[Session, str, dict[str, Any]], None]] = []
        self._background: set[asyncio.Task[None]] = set()
        self._rooms = OpenRooms(broker, self._in_background)

    async def start(self) -> None:
        """Begin to receive from the broker."""
        await self.broker.start(self._deliver, self._reset)

    async def stop(self) -> None:
        """Receive no more."""
        for task in self._background:
            task.cancel()
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

    # -- coming and going ------------------------------------------------------------

    async def join(self, session: Session, *names: str, at: Position | None = None) -> None:
        """Let the session into rooms; no effect for those it is in. When this returns, its
        record has them.

        :param at: the position it already has; frames logged since then are delivered.
            Default: each room's present position.
        :raises Unavailable: Redis did not take part; the session is in no new room.
        """
        entered = await self._enter_all(session, names, at)
        try:
            await self.save(session)
        except BaseException:
            for name in entered:
                self.leave(session, name)
            raise

    async def _enter_all(
        self, session: Session, names: Iterable[str], at: Position | None
    ) -> list[str]:
        entering = [name for name in names if at is not None or name not in session.positions]
        if len(entering) == 1:
            return entering if await self._enter(session, entering[0], at) else []
        results = await asyncio.gather(
            *(self._enter(session, name, at) for name in entering), return_exceptions=True
        )
        entered = [name for name, new in zip(entering, results, strict=True) if new is True]
        for result in results:
            if isinstance(result, BaseException):
                for name in entered:
                    self.leave(session, name)
                raise result
        return entered

    async def _enter(self, session: Session, name: str, at: Position | None) -> bool:
        """Whether the session is in the room now, and was not before."""
        entry = Entry(at)
        room = await self._rooms.open(name, entry)
        try:
            missed = [] if at is None else await self.broker.replay(name, at)
        except PositionLost:
            # It was let in longer ago than the log goes: from now on, then.
            missed, entry.at = [], None
        finally:
            room.entries.remove(entry)
            self._rooms.close_if_empty(name, room)
        if session.ended:
            return False
        assert room.position is not None
        new = session.sid not in room.members
        room.members[session.sid] = session
        session.positions.enter(name, entry.at or room.position)
        if entry.at is not None and new:
            self._bring(session, name, missed, entry)
        return new and name in session.positions

    def _bring(self, session: Session, name: str, missed: list[Logged], entry: Entry) -> None:
        last = missed[-1].seq if missed else 0
        frames = [(logged.seq, logged.frame) for logged in missed]
        for seq, frame in frames + [heard for heard in entry.heard if heard[0] > last]:
            if frame.control is not None:
                self.obey(session, name, seq, frame.control)
                if name not in session.positions:
                    return  # taken out again before it was in
                if session.live:
                    session.positions.advance(name, seq)
            elif session.live:  # else its replay brings them
                session.deliver(name, seq, frame)

    async def restore(self, session: Session) -> None:
        """Make a session that was at another replica a member of its rooms here. What it
        missed is for its replay.

        :raises Unavailable: Redis did not take part.
        """
        results = await asyncio.gather(
            *(self._restore(session, name) for name in session.positions), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _restore(self, session: Session, name: str) -> None:
        entry = Entry()
        room = await self._rooms.open(name, entry)
        room.entries.remove(entry)
        if name in session.positions and not session.ended:
            room.members[session.sid] = session
        self._rooms.close_if_empty(name, room)

    def leave(self, session: Session, name: str) -> None:
        """Take the session out of the room, at once; no effect if it is not in. Its record
        has it soon, or when :meth:`settled` returns."""
        if name in session.positions:
            session.positions.leave(name)
            if not session.ended:
                self._in_background(self._save_later(session))
        room = self._rooms.get(name)
        if room is not None and room.members.pop(session.sid, None) is not None:
            self._rooms.close_if_empty(name, room)

    def leave_all(self, session: Session) -> None:
        """Take an ended session out of every room."""
        for name in list(session.positions):
            self.leave(session, name)

    async def settled(self, session: Session) -> None:
        """Wait until the session's record has its rooms as they are now.

        :raises Unavailable: Redis did not take part.
        """
        await self.save(session)

    async def _save_later(self, session: Session) -> None:
        try:
            await self.save(session)
        except Unavailable as error:
            # Its lease is renewed again and again, and the record with it.
            log.warning("session.not_saved", error=error.message)

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
        entry = Entry()
        room = await self._rooms.open(name, entry)
        room.listeners.append(hear)
        room.entries.remove(entry)

    async def unlisten(self, name: str, hear: Hear) -> None:
        """Let ``hear`` have no more of them; no effect if it did not listen."""
        room = self._rooms.get(name)
        if room is not None and hear in room.listeners:
            room.listeners.remove(hear)
            await self._rooms.close(name, room)

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

    async def expel(self, user_id: str, room: str, told: dict[str, Any] | None = None) -> None:
        """Take every session of the user out of ``room``.

        :param told: for whoever listens to ``on_taken_out``.
        """
        order = Frame.instruction(do="expel", room=room, user=user_id, told=told)
        await self.broker.publish(room, order)

    async def put_out(self, user_id: str, code: str, message: str) -> None:
        """End every session of the user, telling it why."""
        order = Frame.instruction(do="put_out", code=code, message=message)
        await self.broker.publish(user_room(user_id), order)

    async def close_room(self, room: str, *, keep: Iterable[str] = ()) -> None:
        """Take everybody out of ``room``, except the users of the ids in ``keep``."""
        order = Frame.instruction(do="close", room=room, keep=list(keep))
        await self.broker.publish(room, order)

    def obey(self, session: Session, name: str, seq: int, control: dict[str, Any]) -> None:
        """Carry out one order of a room's log for one session. Twice is as good as once."""
        match control["do"]:
            case "admit":
                at = Position(control["epoch"], control["seq"])
                self._in_background(self._admit(session, control["room"], at))
            case "expel":
                if session.user_id == control["user"] and session.positions.obeys(name, seq):
                    self._take_out(session, name, control)
            case "close":
                if session.user_id not in control["keep"] and session.positions.obeys(name, seq):
                    self._take_out(session, name, control)
            case "put_out":
                self.on_put_out(session, control["code"], control["message"])

    def _take_out(self, session: Session, name: str, order: dict[str, Any]) -> None:
        for hook in self.on_taken_out:
            hook(session, name, order)
        self.leave(session, name)

    async def _admit(self, session: Session, name: str, at: Position) -> None:
        while not session.ended:
            try:
                await self._enter(session, name, at)
            except Unavailable as error:
                log.warning("room.not_entered", error=error.message)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                await self._save_later(session)
                return

    # -- from the broker -------------------------------------------------------------

    def _deliver(self, name: str, seq: int | None, frame: Frame) -> None:
        room = self._rooms.get(name)
        if room is None:
            return
        if seq is not None:
            room.reached(seq, frame)
        if room.position is None:
            return
        if frame.control is not None:
            _tell(room.listeners, frame.control)
        metrics.EVENTS_OUT.inc(len(room.members))
        for session in list(room.members.values()):
            if frame.control is None:
                if session.live:
                    session.deliver(name, seq, frame)
            elif seq is not None:
                if session.live:
                    session.positions.advance(name, seq)
                if session.attached:
                    self.obey(session, name, seq, frame.control)

    def _reset(self, name: str, position: Position) -> None:
        """The room's log is another one: nobody can tell what its members lack."""
        room = self._rooms.get(name)
        if room is None or room.position is None:
            return
        room.position = position
        for entry in room.entries:
            entry.at = None
        for session in list(room.members.values()):
            session.positions.restart(name, position.epoch)
            self.on_reset(session)
        for hook in self.on_room_reset:
            hook(name)


def _tell(listeners: list[Hear], instruction: dict[str, Any]) -> None:
    for hear in list(listeners):
        try:
            hear(instruction)
        except Exception:
            # One that cannot deal with it keeps nobody else from it.
            log.exception("room.listener_failed")


def _no_one_to_put_out(session: Session, code: str, message: str) -> None:
    raise RuntimeError(f"nobody puts out {session.sid}: {code} {message}")


async def _unsaved(session: Session) -> None:
    """Of a hub without records."""
