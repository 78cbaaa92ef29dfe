"""The life of sessions: begin, break, recover, move, end.

A session whose transport breaks stays for the recovery time with its rooms; its client
gets everything it missed, in order and once, or is told ``recovered: false``. It may come
back at another replica: the session moves there, which is no end. Live frames that come
during a replay are not queued: they are in the rooms' logs already, and the replay goes on
until it has caught up.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from heliograph.delivery.broker import Logged, Position, PositionLost
from heliograph.delivery.hub import EVERYONE, Hub, user_room
from heliograph.delivery.positions import BadOffset
from heliograph.delivery.records import SessionRecords, Taken, new_pid, sid_of
from heliograph.delivery.session import Link, Session
from heliograph.errors import Unavailable
from heliograph.principal import Principal
from heliograph.telemetry import get_logger

log = get_logger(__name__)

MAX_REPLAY = 20_000
"""Frames that one recovery may bring; a client that missed more starts anew."""

_PAGE = 256

SessionHook = Callable[[Session], Any]
Missed = list[tuple[str, Logged]]


class Lifecycle:
    """Begins, recovers and ends the sessions of a hub.

    Hooks: ``on_identified`` (it has a user, or a newer token), ``on_detached`` (its transport
    broke), ``on_recovered`` (its client is back, maybe from another replica), ``on_moved`` (it
    goes on at another replica), ``on_ended`` (it is over for good), ``on_taken`` (with the
    replicas that wait for an answer of it).

    :param recovery_seconds: how long a detached session waits for its client.
    """

    def __init__(self, hub: Hub, records: SessionRecords, recovery_seconds: float) -> None:
        self.hub = hub
        self.records = records
        self.recovery_seconds = recovery_seconds
        self.on_identified: list[SessionHook] = []
        self.on_detached: list[SessionHook] = []
        self.on_recovered: list[SessionHook] = []
        self.on_moved: list[SessionHook] = []
        self.on_ended: list[SessionHook] = []
        self.on_taken: list[Callable[[Session, tuple[str, ...]], Any]] = []
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._missed: dict[str, Missed] = {}
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        hub.save = records.save
        hub.on_reset = self._cannot_recover

    async def start(self) -> None:
        """Keep the records of the sessions from now on."""
        await self.records.start(self)

    async def stop(self) -> None:
        """Forget all timers; for the end of the process. The records stay."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.records.stop()

    # -- beginning -------------------------------------------------------------------

    async def begin(self, user: Principal | None, link: Link, *, recoverable: bool) -> Session:
        """A new session, in its user's room. Nothing is written to it before :meth:`go_live`.

        :raises Unavailable: Redis did not take part; there is no session.
        """
        session = Session(user, link)
        if recoverable and self.recovery_seconds > 0:
            session.pid = new_pid(session.sid)
        self.hub.sessions[session.sid] = session
        if user is not None:
            try:
                await self.identify(session, user)
            except BaseException:
                self._move(session)
                raise
        return session

    async def identify(self, session: Session, user: Principal) -> None:
        """Make the session one of the user's, or refresh what it knows of the user.

        :raises Unavailable: Redis did not take part.
        """
        session.user = user
        await self.hub.join(session, user_room(user.id), EVERYONE)
        for hook in self.on_identified:
            hook(session)

    # -- recovering ------------------------------------------------------------------

    async def recover(
        self, pid: str, offset: str | None, user: Principal, link: Link
    ) -> Session | None:
        """Attach ``link`` to the session of ``pid``, or ``None`` when that cannot be complete.

        A transport that still carries the session is closed and replaced, also one of another
        replica. Should somebody else do the same to ``link`` meanwhile, it is closed.

        :raises Unavailable: Redis did not take part; the client may try again.
        """
        async with self._turn(sid_of(pid)):
            taken = await self.records.take(pid, user.id)
            if taken is None or taken.session.ended:
                return None
            for hook in self.on_taken:
                hook(taken.session, taken.callers)
            session = taken.session
            session.user = session.user or user
            try:
                missed = await self._prepare(taken, pid, offset)
            except (PositionLost, BadOffset) as reason:
                log.info("session.not_recovered", reason=str(reason))
                if session.link is not None:
                    session.link.end(1000, "taken_over: the client came back, too late")
                await self.end(session, "not recoverable")
                return None
            except BaseException:
                if taken.moved:
                    self._move(session)
                raise
            if session.ended:
                link.end(1012, "taken_over: the session ended here while it was recovered")
                return None
            self._attach(session, offset, user, link)
            self._missed[session.sid] = missed
            return session

    @contextlib.asynccontextmanager
    async def _turn(self, sid: str) -> AsyncIterator[None]:
        # Clients that present one pid at once are served one after the other.
        turn = self._turns.get(sid)
        if turn is None:
            turn = self._turns[sid] = asyncio.Lock()
        async with turn:
            yield

    def expects(self, sid: str) -> bool:
        """Whether the session is here, or being recovered here."""
        return sid in self.hub.sessions or sid in self._turns

    async def _prepare(self, taken: Taken, pid: str, offset: str | None) -> Missed:
        """Find out whether the client can have all it missed. Changes nothing for a session
        that is here already: should this fail, it stays as it was."""
        where = taken.session.positions.at(offset)
        if taken.moved:
            await self.hub.restore(taken.session)
        missed = await self._read(where)
        if len(missed) > MAX_REPLAY:
            raise PositionLost(f"{len(missed)} frames missed, at most {MAX_REPLAY} replayed")
        if taken.session.pid != pid:
            raise PositionLost("the log of one of its rooms began anew")
        return missed

    def _attach(self, session: Session, offset: str | None, user: Principal, link: Link) -> None:
        before, session.link = session.link, link
        session.live = False
        if before is not None:
            before.end(1000, "taken_over: the client came back on another connection")
        self._cancel_timer(session)
        session.user = user
        session.positions.rewind(offset)
        self.hub.sessions[session.sid] = session
        for hook in self.on_identified:
            hook(session)

    def go_live(self, session: Session) -> None:
        """Write to the session from now on, after what it has missed."""
        missed = self._missed.pop(session.sid, [])
        self._spawn(self._catch_up(session, session.link, missed))

    async def _catch_up(self, session: Session, link: Link | None, missed: Missed) -> None:
        while link is not None:
            for start in range(0, len(missed), _PAGE):
                await link.drained()
                if session.link is not link or session.ended:
                    return
                for room, logged in missed[start : start + _PAGE]:
                    self._replay(session, room, logged)
            if session.link is not link or session.ended:
                return
            if self.hub.is_current(session):
                session.live = True
                return
            try:
                missed = await self._read(
                    {room: session.positions.position(room) for room in session.positions}
                )
            except PositionLost as reason:
                # The log was trimmed while a slow client was reading it.
                log.info("session.recovery_lost", reason=str(reason))
                self._cannot_recover(session)
            except Unavailable as error:
                log.warning("session.replay_failed", error=error.message)
                link.end(1013, "unavailable: Redis does not answer; come back")

    def _replay(self, session: Session, room: str, logged: Logged) -> None:
        if room not in session.positions:
            return
        if logged.seq != session.positions.position(room).seq + 1:
            return  # the room was left and entered again: it is read anew
        control = logged.frame.control
        if control is None:
            session.deliver(room, logged.seq, logged.frame)
            return
        session.positions.advance(room, logged.seq)
        # Being put out was about the token of then; this one has been verified.
        if control["do"] != "put_out":
            self.hub.obey(session, room, logged.seq, control)

    async def _read(self, where: dict[str, Position]) -> Missed:
        """What follows the positions, by time."""
        replay = self.hub.broker.replay
        logs = await asyncio.gather(*(replay(room, at) for room, at in where.items()))
        frames = [
            [(room, logged) for logged in found]
            for room, found in zip(where, logs, strict=True)
            if found
        ]
        return list(heapq.merge(*frames, key=lambda item: item[1].at))

    def _cannot_recover(self, session: Session) -> None:
        """What the session lacks cannot be told: a live one lacks nothing, and stays, but its
        client cannot return to it; another one is over."""
        if session.pid is not None:
            session.pid = None
            session.positions.changed()
            self._spawn(self._save(session))
        if session.live or session.ended:
            return
        if session.link is not None:
            session.link.end(1013, "recovery_lost: start anew")  # which ends the session
        elif session.sid in self.hub.sessions:
            self._spawn(self.end(session, "recovery lost"))

    async def _save(self, session: Session) -> None:
        with contextlib.suppress(Unavailable):  # saved when it can be
            await self.records.save(session)

    # -- breaking --------------------------------------------------------------------

    def detach(self, session: Session, link: Link) -> None:
        """The transport is gone; the session waits for its client, if it may return."""
        if session.link is not link or session.ended:
            return
        session.link = None
        session.live = False
        for hook in self.on_detached:
            hook(session)
        if session.pid is None:
            self._spawn(self.end(session, "transport lost"))
        else:
            loop = asyncio.get_running_loop()
            self._timers[session.sid] = loop.call_later(
                self.recovery_seconds,
                lambda: self._spawn(self.end(session, "did not return")),
            )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- moving ----------------------------------------------------------------------

    async def release(self, session: Session) -> None:
        """Another replica takes the session over: let go of it."""
        if session.ended:
            return
        link = session.link
        self._close(session)
        if link is not None:
            link.end(1000, "taken_over: the client came back on another replica")
        try:
            await self.records.release(session)
        finally:
            self._move(session)

    def lost(self, session: Session) -> None:
        """Another replica took the session over: it is not ours any more."""
        if session.ended:
            return
        log.info("session.lost", sid=session.sid)
        if session.link is not None:
            session.link.end(1012, "taken_over: the session is at another replica")
        self._move(session)

    def _move(self, session: Session) -> None:
        """It is not here any more, but maybe elsewhere."""
        self._close(session)
        self.records.drop(session)
        for hook in self.on_moved:
            hook(session)
        self.hub.leave_all(session)

    # -- ending ----------------------------------------------------------------------

    async def end(self, session: Session, reason: str) -> None:
        """End the session for good; whoever waits for it is told. Idempotent."""
        if session.ended:
            return
        self._close(session)
        try:
            ours = await self.records.forget(session)
        except Unavailable as error:
            ours = True  # its record ends with its lease
            log.warning("session.not_forgotten", error=error.message)
        for hook in self.on_ended if ours else self.on_moved:
            hook(session)
        self.hub.leave_all(session)
        log.debug("session.ended", sid=session.sid, reason=reason)

    def _close(self, session: Session) -> None:
        session.ended = True
        session.live = False
        self._cancel_timer(session)
        self._missed.pop(session.sid, None)
        if self.hub.sessions.get(session.sid) is session:
            del self.hub.sessions[session.sid]

    def _cancel_timer(self, session: Session) -> None:
        timer = self._timers.pop(session.sid, None)
        if timer is not None:
            timer.cancel()
