"""What is kept of a session so that its client can recover it, and that it can be found.

Whoever holds a session is its owner. Ownership changes hands by :meth:`SessionRecords.take`,
once for each; an owner that was frozen meanwhile finds out that it is one no more.
:class:`MemorySessionRecords` serves a process that is alone.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from heliograph.delivery.session import Session

_SEPARATOR = "~"


def new_pid(sid: str) -> str:
    """A secret with which the client of a session can recover it. It names the session, so
    that the record is found by it."""
    return f"{sid}{_SEPARATOR}{secrets.token_urlsafe(18)}"


def sid_of(pid: str) -> str:
    """The session that a pid is of, whether or not it is a good one."""
    return pid.partition(_SEPARATOR)[0]


def secret_of(pid: str) -> str:
    """What the client has to know besides; empty when that is missing."""
    return pid.partition(_SEPARATOR)[2]


@dataclass(frozen=True, slots=True)
class Taken:
    """A session that was taken over.

    :ivar moved: it was at another replica; its rooms are to be entered here.
    :ivar callers: replicas that wait for an answer of the session.
    """

    session: Session
    moved: bool = False
    callers: tuple[str, ...] = ()


class Whereabouts(NamedTuple):
    """Where a session is: its owner, empty while it is on its way to another one.

    :ivar generation: grows whenever the owner changes.
    """

    replica: str
    generation: int


class Holder(Protocol):
    """What records ask of the replica's sessions."""

    async def release(self, session: Session) -> None:
        """Another replica takes the session over: let go of it here."""

    def lost(self, session: Session) -> None:
        """Another replica has taken the session over while this one was not looking."""


class SessionRecords(Protocol):
    """The records of the sessions whose clients may return.

    Every method may raise ``Unavailable``; then nothing is changed as far as anybody knows,
    and what was to be written is written when it can be.
    """

    @property
    def replica(self) -> str:
        """This replica's name as an owner."""

    async def start(self, holder: Holder) -> None:
        """Begin to renew what is held."""

    async def stop(self) -> None:
        """Write what is unwritten; the sessions can be recovered elsewhere."""

    async def save(self, session: Session) -> None:
        """Keep the session as it is now; when this returns, that is kept."""

    async def take(self, pid: str, user_id: str) -> Taken | None:
        """The session of ``pid`` if it is the user's and can be recovered. It is held here then;
        if it was elsewhere before, it is not any more."""

    def drop(self, session: Session) -> None:
        """Hold the session no more; its record stays for whoever takes it."""

    async def release(self, session: Session) -> None:
        """Write the session, and hold it no more."""

    async def forget(self, session: Session) -> bool:
        """The session ended for good. ``False``: it did not, it is another replica's."""

    async def find(self, sid: str, user_id: str, wait: float = 0) -> Whereabouts | None:
        """Where a session of the user is.

        :param wait: seconds for which this replica is to be told when the session moves.
        """


class MemorySessionRecords:
    """Records of a single process: the sessions themselves.

    The hub ends a session that nobody comes back to; records need no clock of their own.
    """

    replica = ""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    async def start(self, holder: Holder) -> None:
        """Nobody else could take a session."""

    async def stop(self) -> None:
        """They end with the process."""

    async def save(self, session: Session) -> None:
        """Keep the session."""
        if session.user is not None and not session.ended:
            self._sessions[session.sid] = session

    async def take(self, pid: str, user_id: str) -> Taken | None:
        """The session of ``pid`` if it is the user's and can be recovered."""
        session = self._sessions.get(sid_of(pid))
        if session is None or session.pid != pid or session.user_id != user_id:
            return None
        return Taken(session)

    def drop(self, session: Session) -> None:
        """Keep the session no more."""
        self._sessions.pop(session.sid, None)

    async def release(self, session: Session) -> None:
        """Keep the session no more."""
        self.drop(session)

    async def forget(self, session: Session) -> bool:
        """The session ended for good."""
        self.drop(session)
        return True

    async def find(self, sid: str, user_id: str, wait: float = 0) -> Whereabouts | None:
        """Here, if it is a session of the user."""
        session = self._sessions.get(sid)
        if session is None or session.user_id != user_id:
            return None
        return Whereabouts(self.replica, 1)
