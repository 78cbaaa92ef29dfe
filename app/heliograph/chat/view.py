"""A chat as clients see it: Open WebUI's shape, with what is hot laid over what settled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heliograph.chat.hot import Hot
from heliograph.chat.repository import ChatRows
from heliograph.store.models import Chat, Message

# Where the items of each kind appear in a message.
_LISTS = {"status": "statusHistory", "source": "sources", "file": "files", "embed": "embeds"}


def chat_view(
    rows: ChatRows, hot: Mapping[str, Hot], *, readers: list[str] | None
) -> dict[str, Any]:
    """``{id, user_id, title, chat: {title, models, history: {messages, currentId}}, tags, …}``.

    :param hot: the answers in flight, by message id.
    :param readers: whom it is shared with; ``None`` when that is not the caller's business.
    """
    chat = rows.chat
    children: dict[str | None, list[str]] = {}
    for message in rows.messages:
        children.setdefault(message.parent_id, []).append(message.id)
    messages = {
        message.id: message_view(
            message,
            rows.items.get(message.id, []),
            children.get(message.id, []),
            hot.get(message.id),
        )
        for message in rows.messages
    }
    shown: dict[str, Any] = {
        "id": chat.id,
        "user_id": chat.user_id,
        "title": chat.title,
        "chat": {
            **chat.extra,
            "title": chat.title,
            "models": chat.models,
            "tags": chat.tags,
            "history": {"messages": messages, "currentId": chat.current_id},
        },
        "tags": chat.tags,
        "meta": {"tags": chat.tags},
        "archived": False,
        "pinned": False,
        "share_id": None,
        "folder_id": None,
        "created_at": chat.created_at,
        "updated_at": chat.updated_at,
        "last_read_at": chat.last_read_at,
    }
    if readers is not None:
        shown["access_grants"] = [
            {"principal_type": "user", "principal_id": reader, "permission": "read"}
            for reader in readers
        ]
    return shown


def message_view(
    message: Message,
    items: list[tuple[str, Any]],
    children: list[str],
    stream: Hot | None,
) -> dict[str, Any]:
    """A message; ``state`` says whether it is in flight, and else how it ended."""
    shown: dict[str, Any] = {
        **message.extra,
        "id": message.id,
        "parentId": message.parent_id,
        "childrenIds": children,
        "role": message.role,
        "content": message.extra.get("content") or message.content,
        "timestamp": message.created_at,
        "state": message.state,
        "done": message.state != "streaming",
    }
    if message.model is not None:
        shown["model"] = message.model
    error = message.error
    for kind, payload in items:
        if kind == "usage":
            shown["usage"] = payload
        elif kind in _LISTS:
            name = _LISTS[kind]
            # What a page attached stands before what was added here.
            shown[name] = [*_as_list(shown.get(name)), payload]
    if stream is not None and message.state == "streaming":
        shown["content"] = stream.content
        shown["seq"] = stream.seq
        if stream.ending is not None:  # ended, not in these rows yet
            error = stream.ending.error
            shown |= {"state": stream.ending.state, "done": True}
    if error is not None:
        shown["error"] = error
    return shown


def list_entry(chat: Chat, state: str | None, *, active: bool) -> dict[str, Any]:
    """A chat in a list; ``state`` is that of its current message."""
    return {
        "id": chat.id,
        "title": chat.title,
        "tags": chat.tags,
        "created_at": chat.created_at,
        "updated_at": chat.updated_at,
        "last_read_at": chat.last_read_at,
        "active": active,
        "state": state,
    }


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
