"""The event caller: a question to one session of the user, answered by its browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from heliograph.chat.info import RequestInfo
from heliograph.chat.payloads import parse_called
from heliograph.delivery import Calls
from heliograph.errors import CallFailed

# The browser looks for its own session's id in the data of these.
_NAMES_SESSION = {"execute:python", "execute:tool", "request:chat:completion"}


class Caller:
    """Calls sessions of users.

    :param timeout: the deadline of a call now, seconds.
    """

    def __init__(self, calls: Calls, timeout: Callable[[], float]) -> None:
        self._calls = calls
        self._timeout = timeout

    async def reaches(self, info: RequestInfo) -> bool:
        """Whether ``info.session_id`` is a session of the user, on any replica.

        :raises Unavailable: nobody knows now.
        """
        return await self._calls.reaches(info.session_id or "", info.user_id)

    async def call(self, info: RequestInfo, event: Any, *, timeout: float | None = None) -> Any:
        """Ask ``{type, data}`` of ``info.session_id`` and return its answer.

        :raises BadPayload: not a call, with the place of the fault.
        :raises CallFailed: ``session_gone`` (no such session, or another user's),
            ``call_timeout``, ``not_supported``.
        """
        kind, data = parse_called(event)
        if info.session_id is None:
            raise CallFailed("no session to call: the request named none")
        if kind in _NAMES_SESSION:
            data = {**data, "session_id": info.session_id}
        envelope = {
            "chat_id": info.chat_id,
            "message_id": info.message_id,
            "data": {"type": kind, "data": data},
        }
        return await self._calls.call(
            info.session_id,
            info.user_id,
            "events",
            envelope,
            timeout=self._timeout() if timeout is None else timeout,
        )
