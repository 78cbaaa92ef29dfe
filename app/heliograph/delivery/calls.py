"""Calls into the browser: an event with an answer, a deadline and a keeper.

A call is bound to one session of one user. When the session's transport breaks, the call
waits for it and is sent again, once per recovery and under the same ack id and
``call_id``, so that whichever answer comes first counts. It fails at once when there is
no such session, and when the session ends.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from dataclasses import dataclass
from typing import Any

from heliograph.delivery.frames import Frame
from heliograph.delivery.hub import Hub
from heliograph.delivery.lifecycle import Lifecycle
from heliograph.delivery.session import Session
from heliograph.errors import CallFailed


@dataclass(slots=True)
class _Pending:
    frame: Frame
    answer: asyncio.Future[Any]


class Calls:
    """The pending calls of this replica's sessions."""

    def __init__(self, hub: Hub, lifecycle: Lifecycle) -> None:
        self._hub = hub
        self._pending: dict[str, dict[int, _Pending]] = {}
        self._ids = itertools.count(1)
        lifecycle.on_recovered.append(self._send_again)
        lifecycle.on_ended.append(self._fail_all)

    async def call(
        self, sid: str, user_id: str, event: str, data: dict[str, Any], *, timeout: float
    ) -> Any:
        """Send ``event`` to the session and return the first argument of its ack.

        :param timeout: seconds until the call fails.
        :raises CallFailed: ``session_gone`` when the session does not exist, is another
            user's, or ends; ``call_timeout`` when no answer came in time.
        """
        session = self._hub.sessions.get(sid)
        if session is None or session.user_id != user_id:
            raise CallFailed(f"session {sid} is not connected")
        ack_id = next(self._ids)
        frame = Frame.event(event, {**data, "call_id": uuid.uuid4().hex})
        pending = _Pending(frame, asyncio.get_running_loop().create_future())
        mine = self._pending.setdefault(sid, {})
        mine[ack_id] = pending
        session.send(frame, ack_id=ack_id)
        try:
            async with asyncio.timeout(timeout):
                return await pending.answer
        except TimeoutError:
            raise CallFailed(
                f"no answer from session {sid} within {timeout:g} s", code="call_timeout"
            ) from None
        finally:
            del mine[ack_id]
            if not mine and self._pending.get(sid) is mine:
                del self._pending[sid]

    def answered(self, session: Session, ack_id: int, args: list[Any]) -> None:
        """An ack came in. Late and repeated ones are ignored."""
        pending = self._pending.get(session.sid, {}).get(ack_id)
        if pending is not None and not pending.answer.done():
            pending.answer.set_result(args[0] if args else None)

    def _send_again(self, session: Session) -> None:
        for ack_id, pending in self._pending.get(session.sid, {}).items():
            if not pending.answer.done():
                session.send(pending.frame, ack_id=ack_id)

    def _fail_all(self, session: Session) -> None:
        for pending in self._pending.get(session.sid, {}).values():
            if not pending.answer.done():
                pending.answer.set_exception(
                    CallFailed(f"session {session.sid} ended before it answered")
                )
