"""Calls into the browser: an event with an answer, a deadline and a keeper.

A call is bound to one session of one user, wherever that is. It fails at once when there is no
such session, and when the session ends or its replica dies with it. When the session's
transport breaks, the call waits for it and is sent again, once per recovery and under the same
ack id and ``call_id``, so that whichever answer comes first counts; also when the session comes
back at another replica, which tells the callers where it is now.

The replica that calls is the *caller*; the one that has the session keeps the call for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from heliograph.delivery.frames import Frame
from heliograph.delivery.hub import Hub
from heliograph.delivery.lifecycle import Lifecycle
from heliograph.delivery.peers import PEER_GONE, NoPeers, Peers
from heliograph.delivery.records import Whereabouts
from heliograph.delivery.session import Session
from heliograph.errors import CallFailed, HeliographError, Unavailable

_LOOK_SECONDS = 5.0
_RETRY_SECONDS = 1.0
_MOVED = "session_moved"
_REQUEST, _DROP, _LOOK = "session_call", "session_call_drop", "session_look"


@dataclass(eq=False, slots=True)
class _Kept:
    """A call that waits for the ack of a session here."""

    user_id: str
    frame: Frame
    answer: asyncio.Future[Any]


@dataclass(eq=False, slots=True)
class _Question:
    """A call of this replica.

    :ivar look: set when the session may be elsewhere now.
    """

    sid: str
    user_id: str
    event: str
    data: dict[str, Any]
    until: float
    ack_id: int = field(default_factory=lambda: secrets.randbits(48))
    look: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def left(self) -> float:
        return max(0.0, self.until - time.monotonic())

    @property
    def name(self) -> dict[str, Any]:
        return {"sid": self.sid, "ack_id": self.ack_id}


class _Moved(HeliographError):
    """The session is not here: on its way, or elsewhere already."""

    code = _MOVED
    status = 503


class Calls:
    """The calls of this replica, and those for its sessions.

    :param peers: the other replicas; default: there are none.
    """

    def __init__(self, hub: Hub, lifecycle: Lifecycle, peers: Peers | None = None) -> None:
        self._hub = hub
        self._lifecycle = lifecycle
        self._peers = NoPeers() if peers is None else peers
        self._kept: defaultdict[str, dict[int, _Kept]] = defaultdict(dict)
        self._questions: defaultdict[str, list[_Question]] = defaultdict(list)
        lifecycle.on_recovered.append(self._send_again)
        lifecycle.on_ended.append(self._ended)
        lifecycle.on_moved.append(self._moved)
        lifecycle.on_taken.append(self._tell_callers)
        self._peers.serve(_REQUEST, self._serve)
        self._peers.serve(_DROP, self._serve_drop)
        self._peers.serve(_LOOK, self._serve_look)

    # -- asking ------------------------------------------------------------------------

    async def reaches(self, sid: str, user_id: str) -> bool:
        """Whether it is a session of the user, here or elsewhere.

        :raises Unavailable: nobody knows now.
        """
        session = self._hub.sessions.get(sid)
        if session is not None:
            return session.user_id == user_id
        return await self._lifecycle.records.find(sid, user_id) is not None

    async def call(
        self, sid: str, user_id: str, event: str, data: dict[str, Any], *, timeout: float
    ) -> Any:
        """Send ``event`` to the session and return the first argument of its ack.

        :param timeout: seconds until the call fails.
        :raises CallFailed: ``session_gone`` when the session does not exist, is another
            user's, or ends; ``call_timeout`` when no answer came in time.
        """
        until = time.monotonic() + timeout
        question = _Question(sid, user_id, event, {**data, "call_id": uuid.uuid4().hex}, until)
        asked = self._questions[sid]
        asked.append(question)
        deadline = asyncio.timeout(timeout)
        try:
            async with deadline:
                return await self._ask(question)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise CallFailed(
                f"no answer from session {sid} within {timeout:g} s", code="call_timeout"
            ) from None
        finally:
            asked.remove(question)
            if not asked and self._questions.get(sid) is asked:
                del self._questions[sid]

    async def _ask(self, question: _Question) -> Any:
        """Follow the session until it has answered, or is no more."""
        where: Whereabouts | None = None
        attempt: asyncio.Task[Any] | None = None
        try:
            while True:
                question.look.clear()
                now = await self._find(question, where)
                if now != where or attempt is None:
                    if attempt is not None:
                        attempt.cancel()
                    where, attempt = now, asyncio.create_task(self._attempt(question, now))
                await _either(attempt, question.look)
                if attempt.done():
                    done, attempt = attempt, None
                    try:
                        return done.result()
                    except _Moved:
                        # Whoever takes it says so. Until then there is nobody to ask.
                        await _either(None, question.look, _RETRY_SECONDS)
                    except Unavailable:
                        await _either(None, question.look, _RETRY_SECONDS)
                    except HeliographError as error:
                        if error.code != PEER_GONE:
                            raise
                        if await self._find(question, where) == where:
                            raise _gone(question.sid, "its replica died") from None
        finally:
            if attempt is not None:
                attempt.cancel()
                await asyncio.gather(attempt, return_exceptions=True)

    async def _find(self, question: _Question, before: Whereabouts | None) -> Whereabouts:
        """Where the session is; this replica is told when it moves."""
        records = self._lifecycle.records
        session = self._hub.sessions.get(question.sid)
        if session is not None:
            if session.user_id != question.user_id:
                raise _gone(question.sid)
            if before is None or before.replica == records.replica:
                return before or Whereabouts(records.replica, 0)
        try:
            found = await records.find(question.sid, question.user_id, question.left)
        except Unavailable:
            if before is None:
                raise
            return before  # nothing is known to have changed
        if found is None:
            raise _gone(question.sid)
        return found

    async def _attempt(self, question: _Question, where: Whereabouts) -> Any:
        """Ask the session where it is said to be."""
        if question.sid in self._hub.sessions or where.replica == self._lifecycle.records.replica:
            return await self._keep(question)
        if not where.replica:
            raise _Moved("the session is on its way")
        data = {
            **question.name,
            "user_id": question.user_id,
            "event": question.event,
            "data": question.data,
            "seconds": question.left,
        }
        try:
            return await self._peers.request(
                where.replica, _REQUEST, data, timeout=question.left + _RETRY_SECONDS
            )
        except asyncio.CancelledError:
            self._peers.tell(where.replica, _DROP, question.name)
            raise
        except HeliographError as error:
            if error.code == _MOVED:
                raise _Moved(error.message) from None
            if error.code in ("session_gone", "call_timeout"):
                raise CallFailed(error.message, code=error.code) from None
            raise

    # -- keeping -----------------------------------------------------------------------

    async def _keep(self, question: _Question) -> Any:
        """Send the call to a session here and wait for the ack."""
        sid, ack_id = question.sid, question.ack_id
        session = self._hub.sessions.get(sid)
        if session is None and not self._lifecycle.expects(sid):
            raise _Moved(f"session {sid} is not here")
        if session is not None and session.user_id != question.user_id:
            raise _gone(sid)
        mine = self._kept[sid]
        kept = mine.get(ack_id)
        if kept is None:
            frame = Frame.event(question.event, question.data)
            answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            kept = mine[ack_id] = _Kept(question.user_id, frame, answer)
            if session is not None:  # else it is recovering, and gets it then
                session.send(frame, ack_id=ack_id)
        try:
            return await asyncio.shield(kept.answer)
        finally:
            if mine.get(ack_id) is kept:
                self._forget(sid, ack_id)

    def _forget(self, sid: str, ack_id: int) -> _Kept | None:
        mine = self._kept.get(sid, {})
        kept = mine.pop(ack_id, None)
        if not mine:
            self._kept.pop(sid, None)
        return kept

    def answered(self, session: Session, ack_id: int, args: list[Any]) -> None:
        """An ack came in. Late and repeated ones are ignored."""
        kept = self._kept.get(session.sid, {}).get(ack_id)
        if kept is not None and not kept.answer.done():
            kept.answer.set_result(args[0] if args else None)

    def _send_again(self, session: Session) -> None:
        for ack_id, kept in list(self._kept.get(session.sid, {}).items()):
            if kept.user_id != session.user_id:
                _fail(kept, _gone(session.sid))
            elif not kept.answer.done():
                session.send(kept.frame, ack_id=ack_id)

    def _ended(self, session: Session) -> None:
        for kept in list(self._kept.get(session.sid, {}).values()):
            _fail(kept, _gone(session.sid, "it ended before it answered"))
        self._look(session.sid)

    def _moved(self, session: Session) -> None:
        for kept in list(self._kept.get(session.sid, {}).values()):
            _fail(kept, _Moved(f"session {session.sid} is not here any more"))

    # -- between replicas --------------------------------------------------------------

    async def _serve(self, data: dict[str, Any]) -> Any:
        until = time.monotonic() + data["seconds"]
        question = _Question(
            data["sid"], data["user_id"], data["event"], data["data"], until, data["ack_id"]
        )
        try:
            async with asyncio.timeout(data["seconds"]):
                return await self._keep(question)
        except TimeoutError:
            raise CallFailed(
                f"no answer from session {question.sid} in time", code="call_timeout"
            ) from None

    async def _serve_drop(self, data: dict[str, Any]) -> None:
        kept = self._forget(data["sid"], data["ack_id"])
        if kept is not None:
            _fail(kept, _gone(data["sid"], "the caller waits no longer"))

    async def _serve_look(self, data: dict[str, Any]) -> None:
        self._look(data["sid"])

    def _look(self, sid: str) -> None:
        for question in self._questions.get(sid, []):
            question.look.set()

    def _tell_callers(self, session: Session, callers: tuple[str, ...]) -> None:
        for caller in callers:
            if caller == self._lifecycle.records.replica:
                self._look(session.sid)
            else:
                self._peers.tell(caller, _LOOK, {"sid": session.sid})


async def _either(
    attempt: asyncio.Task[Any] | None, look: asyncio.Event, timeout: float = _LOOK_SECONDS
) -> None:
    """Wait until the attempt is over, the session may have moved, or it is time to look."""
    looking = asyncio.ensure_future(look.wait())
    try:
        waiting = {looking} if attempt is None else {looking, attempt}
        await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking


def _gone(sid: str, why: str = "it is not connected") -> CallFailed:
    return CallFailed(f"session {sid}: {why}")


def _fail(kept: _Kept, error: HeliographError) -> None:
    if not kept.answer.done():
        kept.answer.set_exception(error)
