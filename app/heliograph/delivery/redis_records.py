"""Records of sessions in Redis: a client recovers on any replica, whatever became of its own.

A record is written from the first room on and at every change of the rooms; who joins waits
for it, and all writes of one turn travel together. Its owner renews it as a lease, so that it
outlives a SIGKILL by the recovery time at least, and not for ever. Nothing reads more than the
records of its own sessions.

Taking a session over asks its owner first to let go of it. One that is dead, or silent for
a second, is not waited for: the generation has changed then, and the owner, should it only have
been frozen, learns at its next renewal (at once, after a freeze) that the session is lost.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import orjson

from heliograph.backplane import Backplane
from heliograph.delivery.peers import PEER_TIMEOUT, Named, Peers
from heliograph.delivery.positions import Positions
from heliograph.delivery.records import Holder, Taken, Whereabouts, secret_of, sid_of
from heliograph.delivery.renewals import Held, Renewals
from heliograph.delivery.session import Session
from heliograph.errors import HeliographError, Unavailable
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_QUICK_SECONDS = 3.0  # for what is not worth waiting longer
_ASK_SECONDS = 1.0
_SILENT_SECONDS = 5.0
_MAX_PID = 200
_MAX_OWNERS = 5

_GONE, _SAVE_AGAIN = 0, 2  # what renewing answers besides 1


class RedisSessionRecords:
    """The records of one replica's sessions.

    :param recovery_seconds: how long a record outlives its owner at least.
    :param renew_every: seconds between renewals; default: by the recovery time.
    """

    def __init__(
        self,
        backplane: Backplane,
        replica: Named,
        peers: Peers,
        recovery_seconds: float,
        *,
        renew_every: float | None = None,
    ) -> None:
        self._backplane = backplane
        self._replica = replica
        self._peers = peers
        self._every = renew_every or min(60.0, max(5.0, recovery_seconds / 4))
        # A renewal may be late by two rounds, because Redis was away.
        self._ttl = int((recovery_seconds + 3 * self._every) * 1000)
        self._held: dict[str, Held] = {}
        self._renewals = Renewals(self._held, self._renew, self._every, lambda: self.replica)
        self._silent: dict[str, float] = {}
        self._holder: Holder | None = None
        peers.serve("session_release", self._asked_to_release)

    @property
    def replica(self) -> str:
        """This replica's name as an owner."""
        return self._replica.id

    async def start(self, holder: Holder) -> None:
        """Begin to renew what is held."""
        self._holder = holder
        self._renewals.start()

    async def stop(self) -> None:
        """Write what is unwritten; the sessions can be recovered elsewhere."""
        await self._renewals.stop()
        unwritten = [held for held in self._held.values() if held.unwritten]
        try:
            async with asyncio.timeout(_QUICK_SECONDS):
                await asyncio.gather(
                    *(self.save(held.session) for held in unwritten), return_exceptions=True
                )
        except TimeoutError:
            log.warning("sessions.not_saved", sessions=len(unwritten))
        self._held.clear()

    # -- writing -----------------------------------------------------------------------

    async def save(self, session: Session) -> None:
        """Keep the session as it is now; when this returns, that is in Redis.

        :raises Unavailable: Redis did not take it within its deadline; or the session is not
            here any more.
        """
        if session.user is None or session.ended:
            return
        held = self._held.get(session.sid)
        if held is None:
            held = self._held[session.sid] = Held(session, self.replica)
        wanted = session.positions.revision
        while held.stored < wanted:
            if held.writing is None:
                held.writing = asyncio.create_task(self._write(held))
                held.writing.add_done_callback(partial(self._heed, held))
            await asyncio.shield(held.writing)
            if session.ended:
                raise Unavailable(f"session {session.sid} has ended")

    async def _write(self, held: Held) -> None:
        # By now all that changed in this turn is in it.
        try:
            if self._held.get(held.session.sid) is not held:
                return
            owner, revision = self.replica, held.session.positions.revision
            ours = await self._backplane.call(
                "session_save",
                [self._key(held.session.sid)],
                [held.owner, held.generation, owner, revision, self._ttl, *_content(held.session)],
                durable=True,
            )
        finally:
            held.writing = None
        if self._held.get(held.session.sid) is not held:
            return
        if not ours:
            self._lose(held)
            return
        held.owner, held.stored = owner, revision
        self._renewals.renewed(held)

    def _heed(self, held: Held, writing: asyncio.Task[None]) -> None:
        # Whoever waited for it may be gone.
        if not writing.cancelled() and (error := writing.exception()) is not None:
            log.info("session.not_saved", error=str(error)[:200])
            self._renewals.failed(held)

    def _key(self, sid: str) -> str:
        return self._backplane.key("session_pool", sid)

    def drop(self, session: Session) -> None:
        """Hold the session no more; its record stays for whoever takes it."""
        held = self._held.get(session.sid)
        if held is not None and held.session is session:
            del self._held[session.sid]

    async def release(self, session: Session) -> None:
        """Write the session, and own it no more.

        :raises Unavailable: Redis did not take it; whoever wants it takes it all the same.
        """
        held = self._held.get(session.sid)
        if held is None or held.session is not session:
            return
        del self._held[session.sid]
        await _written(held)
        revision = session.positions.revision
        await self._backplane.call(
            "session_release",
            [self._key(session.sid)],
            [held.owner, held.generation, revision, self._ttl, *_content(session)],
            timeout=_ASK_SECONDS,
            durable=True,
        )

    async def forget(self, session: Session) -> bool:
        """The session ended for good. ``False``: it did not, it is another replica's.

        :raises Unavailable: Redis did not take it soon.
        """
        held = self._held.get(session.sid)
        if held is None or held.session is not session:
            return True
        del self._held[session.sid]
        await _written(held)
        ours = await self._backplane.call(
            "session_forget",
            [self._key(session.sid)],
            [held.owner, held.generation, self._ttl],
            timeout=_QUICK_SECONDS,
        )
        return bool(ours)

    # -- taking over -------------------------------------------------------------------

    async def take(self, pid: str, user_id: str) -> Taken | None:
        """The session of ``pid`` if it is the user's and can be recovered. It is this replica's
        then; its former owner was asked to let go of it, if it could be asked.

        :raises Unavailable: Redis did not answer; the session is as recoverable as before.
        """
        sid, secret = sid_of(pid), secret_of(pid)
        if not secret or len(pid) > _MAX_PID:
            return None
        asked = ""
        for _ in range(_MAX_OWNERS):
            before = self._held.get(sid)
            generation = before.generation if before is not None else 0
            reply = await self._backplane.call(
                "session_take",
                [self._key(sid)],
                [secret, user_id, self.replica, self._ttl, asked, generation],
                durable=True,
            )
            held = self._held.get(sid)
            match reply:
                case [b"taken", *_] if held is not before:
                    pass  # let go of meanwhile, for yet another one
                case [b"taken", generation, revision, data, *callers]:
                    return self._taken(pid, int(generation), int(revision), data, callers)
                case [b"ask", owner, generation]:
                    asked = f"{owner.decode()}:{int(generation)}"
                    if held is None or asked != f"{held.owner}:{held.generation}":
                        if held is not None:
                            self._lose(held)
                        await self._ask(owner.decode(), sid, int(generation))
                    # else it is ours, by a former name
                case [b"gone"]:
                    if held is not None:
                        self._lose(held)
                    return None
                case [b"refused"]:
                    return None
                case _:
                    return _here(held, pid, user_id)
        raise Unavailable(f"session {sid} is taken over again and again: try again")

    def _taken(
        self, pid: str, generation: int, revision: int, data: bytes, callers: list[bytes]
    ) -> Taken:
        sid = sid_of(pid)
        waiting = tuple(caller.decode() for caller in callers)
        held = self._held.get(sid)
        if held is not None:
            held.owner, held.generation = self.replica, generation
            return Taken(held.session, callers=waiting)
        kept = orjson.loads(data)
        session = Session(None, None, sid, pid, positions=Positions.from_plain(kept["positions"]))
        session.connected_at = kept["connected_at"]
        self._held[sid] = Held(session, self.replica, generation, stored=revision)
        return Taken(session, moved=True, callers=waiting)

    async def _ask(self, owner: str, sid: str, generation: int) -> None:
        now = time.monotonic()
        if self._silent.get(owner, 0.0) > now:
            return  # it has just not answered for another session
        data = {"sid": sid, "generation": generation}
        try:
            await self._peers.request(owner, "session_release", data, timeout=_ASK_SECONDS)
        except HeliographError as error:
            log.info("session.owner_silent", owner=owner, why=error.code)
            if error.code == PEER_TIMEOUT:
                self._silent = {who: end for who, end in self._silent.items() if end > now}
                self._silent[owner] = time.monotonic() + _SILENT_SECONDS

    async def _asked_to_release(self, data: dict[str, Any]) -> bool:
        held = self._held.get(data["sid"])
        # With an older generation it is about a time before this replica took it back.
        if held is None or held.generation != data["generation"] or self._holder is None:
            return False
        await self._holder.release(held.session)
        return True

    async def find(self, sid: str, user_id: str, wait: float = 0) -> Whereabouts | None:
        """Where a session of the user is.

        :raises Unavailable: Redis did not answer.
        """
        if len(sid) > _MAX_PID:
            return None
        caller = self.replica if wait > 0 else ""
        reply = await self._backplane.call(
            "session_find", [self._key(sid)], [user_id, caller, int(wait * 1000)]
        )
        return Whereabouts(reply[0].decode(), int(reply[1])) if reply else None

    # -- renewing ----------------------------------------------------------------------

    def _lose(self, held: Held) -> None:
        self.drop(held.session)
        if self._holder is not None:
            self._holder.lost(held.session)

    async def _renew(self, held: Held) -> bool:
        """Renew one; ``False`` when Redis is away."""
        session = held.session
        if self._held.get(session.sid) is not held:
            return True
        try:
            if not held.unwritten:
                answer = await self._backplane.call(
                    "session_renew",
                    [self._key(session.sid)],
                    [held.owner, held.generation, self.replica, held.stored, self._ttl],
                    timeout=_QUICK_SECONDS,
                )
                if self._held.get(session.sid) is not held:
                    return True
                if answer == _GONE:
                    self._lose(held)
                    return True
                if answer != _SAVE_AGAIN:
                    held.owner = self.replica
                    self._renewals.renewed(held)
                    return True
                held.stored = -1
            async with asyncio.timeout(_QUICK_SECONDS):
                await self.save(session)
        except (Unavailable, TimeoutError):
            return session.ended
        return True


def _content(session: Session) -> tuple[str, str, bytes]:
    """User, secret, and the rest of a record."""
    data = {
        "positions": session.positions.to_plain(),
        "connected_at": session.connected_at,
    }
    secret = secret_of(session.pid) if session.pid is not None else ""
    return session.user_id or "", secret, orjson.dumps(data)


def _here(held: Held | None, pid: str, user_id: str) -> Taken | None:
    """Redis may have lost a session that is still here."""
    if held is None or held.session.pid != pid or held.session.user_id != user_id:
        return None
    return Taken(held.session)


async def _written(held: Held) -> None:
    """Let a write under way come first."""
    if held.writing is not None:
        await asyncio.wait({held.writing}, timeout=_ASK_SECONDS)
