"""Events of the wire as typed values, each under its one short name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_SHORT_NAMES = {
    "chat:message:delta": "message",
    "chat:message": "replace",
    "chat:message:files": "files",
    "chat:message:embeds": "embeds",
    "citation": "source",
}


@dataclass(frozen=True, slots=True)
class ChatEvent:
    """``events``: ``{chat_id, message_id, data: {type, data}, seq?, call_id?}``.

    :ivar data: the inner ``data``; ``{"value": …}`` when that is no object.
    :ivar seq: the delta's number within its message, from 1.
    :ivar call_id: set when the server waits for an answer.
    """

    chat_id: str
    message_id: str
    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    seq: int | None = None
    call_id: str | None = None


@dataclass(frozen=True, slots=True)
class ChannelEvent:
    """``events:channel``: ``{channel_id, message_id, data: {type, data}, user, channel}``."""

    channel_id: str
    message_id: str
    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    user: Mapping[str, Any] = field(default_factory=dict)


def parse_chat_event(raw: Any) -> ChatEvent | None:
    """A typed event, or ``None`` when ``raw`` is not shaped like one."""
    envelope, inner = mapping(raw), mapping(mapping(raw).get("data"))
    kind = inner.get("type")
    if not isinstance(kind, str):
        return None
    seq, call_id = envelope.get("seq"), envelope.get("call_id")
    return ChatEvent(
        chat_id=text(envelope.get("chat_id")),
        message_id=text(envelope.get("message_id")),
        type=_SHORT_NAMES.get(kind, kind),
        data=_fields(inner.get("data")),
        seq=seq if isinstance(seq, int) else None,
        call_id=call_id if isinstance(call_id, str) else None,
    )


def parse_channel_event(raw: Any) -> ChannelEvent | None:
    """A typed event, or ``None`` when ``raw`` is not shaped like one."""
    envelope, inner = mapping(raw), mapping(mapping(raw).get("data"))
    kind = inner.get("type")
    if not isinstance(kind, str):
        return None
    return ChannelEvent(
        channel_id=text(envelope.get("channel_id")),
        message_id=text(envelope.get("message_id")),
        type=kind,
        data=_fields(inner.get("data")),
        user=mapping(envelope.get("user")),
    )


def _fields(data: Any) -> Mapping[str, Any]:
    # A few types have a bare value for data, e.g. the title of `chat:title`.
    return data if isinstance(data, Mapping) else {"value": data}


def mapping(value: Any) -> Mapping[str, Any]:
    """``value`` when it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def text(value: Any) -> str:
    """``value`` when it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def error_text(value: Any) -> str:
    """The words of an error in any of its shapes: a string, ``{message}``, ``{content}``,
    ``{error: …}``."""
    if isinstance(value, str):
        return value
    body = mapping(value)
    if "error" in body:
        return error_text(body["error"])
    words = text(body.get("message")) or text(body.get("content")) or text(body.get("detail"))
    code = body.get("code")
    if not words:
        return f"the server said only: {code}" if code else "the server gave no reason"
    return words
