"""What is kept of a session so that its client can recover it."""

from __future__ import annotations

from typing import Protocol

from heliograph.delivery.session import Session


class SessionRecords(Protocol):
    """Records of the sessions whose clients may return, by pid."""

    async def save(self, session: Session) -> None:
        """Keep the session as it is now: user, rooms, baselines."""

    async def take(self, pid: str) -> Session | None:
        """The session of ``pid`` if it can still be recovered."""

    async def forget(self, session: Session) -> None:
        """The session ended for good."""


class MemorySessionRecords:
    """Records of a single process: the sessions themselves.

    The hub ends a session that nobody comes back to; records need no clock of their own.
    """

    def __init__(self) -> None:
        self._by_pid: dict[str, Session] = {}

    async def save(self, session: Session) -> None:
        """Keep the session as it is now: user, rooms, baselines."""
        if session.pid is not None:
            self._by_pid[session.pid] = session

    async def take(self, pid: str) -> Session | None:
        """The session of ``pid`` if it can still be recovered."""
        return self._by_pid.get(pid)

    async def forget(self, session: Session) -> None:
        """The session ended for good."""
        if session.pid is not None:
            self._by_pid.pop(session.pid, None)
