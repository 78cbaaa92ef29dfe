"""What is known of the sessions besides their rooms: activity, token ends, model use.

Presence and usage are leases: they end by themselves when nobody renews them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from heliograph.delivery import Hub, Lifecycle, Session
from heliograph.identity import Users
from heliograph.sessions.shares import MemoryShares, Shares
from heliograph.sessions.usage import UsagePool
from heliograph.store import now_s
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_WRITE_EVERY = 5.0
_ONCE_A_USER = 60
_LONGEST_TIMER = 3600.0


class Sessions:
    """Activity of the users and life of their tokens.

    Use ``async with sessions:``; leaving it writes what is still unwritten.

    :param shares: the figures of the fleet; default: there is only this process.
    """

    def __init__(
        self, hub: Hub, lifecycle: Lifecycle, users: Users, shares: Shares | None = None
    ) -> None:
        self._hub = hub
        self._users = users
        self._shares = MemoryShares() if shares is None else shares
        self._usage = UsagePool()
        self._connected: dict[str, set[str]] = {}  # user -> sessions
        self._unwritten: dict[str, int] = {}
        self._written: dict[str, int] = {}
        self._writer: asyncio.Task[None] | None = None
        self._ends: dict[str, asyncio.TimerHandle] = {}
        lifecycle.on_identified.append(self._identified)
        lifecycle.on_detached.append(self._disconnected)
        lifecycle.on_moved.append(self._forget)
        lifecycle.on_ended.append(self._forget)

    async def __aenter__(self) -> Sessions:
        self._writer = asyncio.create_task(self._write_activity())
        await self._shares.start(self._usage.models)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._writer is not None
        self._writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._writer
        await self._write_once()
        await self._shares.stop()
        for timer in self._ends.values():
            timer.cancel()

    # -- presence --------------------------------------------------------------------

    def heartbeat(self, session: Session) -> None:
        """The client is there: its lease and its user's activity are renewed."""
        session.last_seen_at = time.time()
        if session.user_id is None:
            return
        now = now_s()
        if now - self._written.get(session.user_id, 0) >= _ONCE_A_USER:
            self._unwritten[session.user_id] = now

    def use(self, session: Session, model: str) -> None:
        """The session uses the model now."""
        if self._usage.renew(session.sid, model):
            self._shares.used()

    async def summary(self) -> dict[str, Any]:
        """``{model_ids, user_count}``: what is in use on all replicas right now, and how many
        users are connected.

        :raises Unavailable: it cannot be told now.
        """
        models, users = await asyncio.gather(self._shares.models(), self._shares.users())
        return {"model_ids": sorted(models), "user_count": users}

    def _identified(self, session: Session) -> None:
        self._watch_token(session)
        if session.user_id is None or not session.attached:
            return
        mine = self._connected.setdefault(session.user_id, set())
        if not mine:
            self._shares.came(session.user_id)
        mine.add(session.sid)

    def _disconnected(self, session: Session) -> None:
        mine = self._connected.get(session.user_id or "", set())
        mine.discard(session.sid)
        if not mine and session.user_id is not None and session.user_id in self._connected:
            del self._connected[session.user_id]
            self._shares.went(session.user_id)

    async def _write_activity(self) -> None:
        while True:
            await asyncio.sleep(_WRITE_EVERY)
            await self._write_once()

    async def _write_once(self) -> None:
        seen, self._unwritten = self._unwritten, {}
        if not seen:
            return
        try:
            await self._users.touch(seen)
        except (SQLAlchemyError, OSError) as error:
            # Kept for the next turn: activity is not worth failing for.
            self._unwritten = {**seen, **self._unwritten}
            log.warning("sessions.activity_not_written", error=str(error)[:200])
            return
        oldest = now_s() - _ONCE_A_USER
        self._written = {u: at for u, at in {**self._written, **seen}.items() if at > oldest}

    # -- tokens ----------------------------------------------------------------------

    def _watch_token(self, session: Session) -> None:
        timer = self._ends.pop(session.sid, None)
        if timer is not None:
            timer.cancel()
        if session.user is None or session.user.expires_at is None:
            return
        # Short timers, looked at again: the wall clock may jump.
        left = session.user.expires_at - time.time()
        loop = asyncio.get_running_loop()
        self._ends[session.sid] = loop.call_later(
            max(0.0, min(left, _LONGEST_TIMER)), self._end_if_expired, session
        )

    def _end_if_expired(self, session: Session) -> None:
        expires_at = session.user.expires_at if session.user else None
        if session.ended or expires_at is None:
            return
        if time.time() < expires_at:
            self._watch_token(session)
            return
        self._hub.on_put_out(session, "token_expired", "the token has expired: sign in again")

    def _forget(self, session: Session) -> None:
        timer = self._ends.pop(session.sid, None)
        if timer is not None:
            timer.cancel()
        self._usage.drop(session.sid)
        self._disconnected(session)
