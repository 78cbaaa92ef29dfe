"""The public Python API: emitter and caller for code that runs in the server.

The factories are synchronous and return coroutine functions. They act on the
application that runs in this process; a server that is starting or has stopped has none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from heliograph.chat.caller import Caller
from heliograph.chat.emitter import Emitter
from heliograph.chat.info import RequestInfo
from heliograph.errors import Unavailable

Emit = Callable[[Mapping[str, Any]], Awaitable[None]]
Call = Callable[[Mapping[str, Any]], Awaitable[Any]]

_running: list[tuple[Emitter, Caller]] = []


def bind(emitter: Emitter, caller: Caller) -> None:
    """Make an application the current one."""
    _running.append((emitter, caller))


def unbind(emitter: Emitter) -> None:
    """The application ends; the one before it, if any, is current again."""
    _running[:] = [pair for pair in _running if pair[0] is not emitter]


def _current() -> tuple[Emitter, Caller]:
    if not _running:
        raise Unavailable("no Heliograph application runs in this process")
    return _running[-1]


def get_event_emitter(request_info: Mapping[str, Any], update_db: bool = True) -> Emit:
    """A coroutine function that emits ``{type, data}`` for one message.

    :param request_info: ``{user_id, chat_id, message_id, session_id?}``; the chat must be
        the user's.
    :param update_db: whether the type's database action is carried out.
    :raises BadPayload: an id is missing.
    :raises Unavailable: no application runs.

    The function raises :class:`~heliograph.errors.BadPayload` for an unknown type
    (``unknown_type``) or a wrong shape, and :class:`~heliograph.errors.NotFound` when the
    user has no such chat, or the chat no such message.
    """
    emitter, _ = _current()
    info = RequestInfo.of(request_info)

    async def emit(event: Mapping[str, Any]) -> None:
        await emitter.emit(info, event, update_db=update_db)

    return emit


def get_event_call(request_info: Mapping[str, Any]) -> Call:
    """A coroutine function that asks ``{type, data}`` of one session and returns its answer.

    :param request_info: ``{user_id, chat_id, message_id, session_id}``; the session must
        be the user's.
    :raises BadPayload: an id is missing.
    :raises Unavailable: no application runs.

    The function raises :class:`~heliograph.errors.CallFailed` with code ``session_gone``,
    ``call_timeout`` or ``not_supported``, and :class:`~heliograph.errors.BadPayload`.
    """
    _, caller = _current()
    info = RequestInfo.of(request_info, needs_session=True)

    async def call(event: Mapping[str, Any]) -> Any:
        return await caller.call(info, event)

    return call
