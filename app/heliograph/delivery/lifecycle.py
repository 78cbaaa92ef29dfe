"""The life of sessions: begin, break, recover, end.

A session whose transport breaks stays for the recovery time with its rooms; its client
gets everything it missed, in order and once, or is told ``recovered: false``. Live
frames that come during a replay are not queued: they are in the rooms' logs already,
and the replay goes on until it has caught up.
"""

from __future__ import annotations

import asyncio
import heapq
import secrets
from collections.abc import Callable
from typing import Any

from heliograph.delivery.broker import Logged, PositionLost
from heliograph.delivery.hub import EVERYONE, Hub, user_room
from heliograph.delivery.positions import BadOffset
from heliograph.delivery.records import SessionRecords
from heliograph.delivery.session import Link, Session
from heliograph.principal import Principal
from heliograph.telemetry import get_logger

log = get_logger(__name__)

MAX_REPLAY = 20_000
"""Frames that one recovery may bring; a client that missed more starts anew."""

_PAGE = 256

SessionHook = Callable[[Session], Any]


class Lifecycle:
    """Begins, recovers and ends the sessions of a hub.

    :param recovery_seconds: how long a detached session waits for its client.
    """

    def __init__(self, hub: Hub, records: SessionRecords, recovery_seconds: float) -> None:
        self.hub = hub
        self.records = records
        self.recovery_seconds = recovery_seconds
        self.on_identified: list[SessionHook] = []
        self.on_detached: list[SessionHook] = []
        self.on_recovered: list[SessionHook] = []
        self.on_ended: list[SessionHook] = []
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, user: Principal | None, link: Link, *, recoverable: bool) -> Session:
        """A new session, in its user's room. Nothing is written to it before :meth:`go_live`."""
        session = Session(user, link)
        if recoverable and self.recovery_seconds > 0:
            session.pid = secrets.token_urlsafe(18)
        self.hub.sessions[session.sid] = session
        if user is not None:
            await self.identify(session, user)
        return session

    async def identify(self, session: Session, user: Principal) -> None:
        """Make the session one of the user's, or refresh what it knows of the user."""
        session.user = user
        for room in (user_room(user.id), EVERYONE):
            if room not in session.positions:
                await self.hub.join(session, room)
        await self.records.save(session)
        for hook in self.on_identified:
            hook(session)

    async def recover(
        self, pid: str, offset: str | None, user: Principal, link: Link
    ) -> Session | None:
        """Attach ``link`` to the session of ``pid``, or ``None`` when that cannot be complete.

        A transport that still carries the session is closed and replaced.
        """
        session = await self.records.take(pid)
        if session is None or session.ended or session.user_id != user.id:
            return None
        before = session.link
        session.live = False
        session.link = link
        if before is not None:
            before.end(1000, "taken_over: the client came back on another connection")
        self._cancel_timer(session)
        session.user = user
        try:
            session.positions.rewind(offset)
            missed = [
                len(await self.hub.broker.replay(room, session.positions.position(room)))
                for room in session.positions
            ]
            if sum(missed) > MAX_REPLAY:
                raise PositionLost(f"{sum(missed)} frames missed, at most {MAX_REPLAY} replayed")
        except (PositionLost, BadOffset) as reason:
            log.info("session.not_recovered", reason=str(reason))
            session.link = None
            await self.end(session, "not recoverable")
            return None
        await self._obey_what_was_missed(session)
        for hook in self.on_identified:
            hook(session)
        return session

    async def _obey_what_was_missed(self, session: Session) -> None:
        # First, and for all rooms: what was sent in a room after the user had been
        # taken out of it must not be replayed.
        # Orders to enter come last: they are obeyed from their position on, so that a
        # later order to leave, in the room's own log, undoes them.
        assert session.user_id is not None
        last = {user_room(session.user_id): 1, EVERYONE: 2}
        for room in sorted(session.positions, key=lambda name: last.get(name, 0)):
            if room not in session.positions:
                continue
            for logged in await self.hub.broker.replay(room, session.positions.position(room)):
                control = logged.frame.control
                # Being put out was about the token of then; this one has been verified.
                if control is not None and control["do"] != "put_out":
                    self.hub.obey(session, control)

    def go_live(self, session: Session) -> None:
        """Write to the session from now on, after what it has missed."""
        task = asyncio.create_task(self._catch_up(session, session.link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _catch_up(self, session: Session, link: Link | None) -> None:
        while session.link is link and link is not None:
            try:
                missed = await self._missed(session)
            except PositionLost as reason:
                # The log was trimmed while a slow client was reading it.
                log.info("session.recovery_lost", reason=str(reason))
                await self.records.forget(session)
                link.end(1013, "recovery_lost: start anew")
                return
            if not missed and self.hub.is_current(session):
                session.live = True
                return
            for start in range(0, len(missed), _PAGE):
                await link.drained()
                if session.link is not link:
                    return
                for room, logged in missed[start : start + _PAGE]:
                    if room not in session.positions:
                        continue
                    # Orders were obeyed already, on recovery or as they came.
                    if logged.frame.control is None:
                        session.deliver(room, logged.seq, logged.frame)
                    else:
                        session.positions.advance(room, logged.seq)

    async def _missed(self, session: Session) -> list[tuple[str, Logged]]:
        logs = []
        for room in list(session.positions):
            position = session.positions.position(room)
            frames = await self.hub.broker.replay(room, position)
            logs.append([(room, logged) for logged in frames])
        return list(heapq.merge(*logs, key=lambda item: item[1].at))

    def detach(self, session: Session, link: Link) -> None:
        """The transport is gone; the session waits for its client, if it may return."""
        if session.link is not link or session.ended:
            return
        session.link = None
        session.live = False
        for hook in self.on_detached:
            hook(session)
        if session.pid is None:
            self._spawn_end(session, "transport lost")
        else:
            loop = asyncio.get_running_loop()
            self._timers[session.sid] = loop.call_later(
                self.recovery_seconds, self._spawn_end, session, "did not return"
            )

    def _spawn_end(self, session: Session, reason: str) -> None:
        task = asyncio.create_task(self.end(session, reason))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self, session: Session, reason: str) -> None:
        """End the session for good; whoever waits for it is told. Idempotent."""
        if session.ended:
            return
        session.ended = True
        session.live = False
        self._cancel_timer(session)
        self.hub.sessions.pop(session.sid, None)
        for hook in self.on_ended:
            hook(session)
        self.hub.leave_all(session)
        await self.records.forget(session)
        log.debug("session.ended", sid=session.sid, reason=reason)

    def _cancel_timer(self, session: Session) -> None:
        timer = self._timers.pop(session.sid, None)
        if timer is not None:
            timer.cancel()

    async def stop(self) -> None:
        """Forget all timers; for the end of the process."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
