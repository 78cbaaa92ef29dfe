"""Reading a stored chat, and what ``join-chat`` tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from heliograph.terminal.answer import Ending
from heliograph.terminal.events import mapping, text


@dataclass(frozen=True, slots=True)
class Turn:
    """A message of the open chat that has its final content."""

    id: str
    role: str
    content: str


def messages_of(chat: Mapping[str, Any]) -> Mapping[str, Any]:
    """The messages by id of a chat as ``GET /api/v1/chats/{id}`` gives it."""
    return mapping(mapping(mapping(chat.get("chat")).get("history")).get("messages"))


def branch_of(chat: Mapping[str, Any]) -> list[Turn]:
    """The messages from the first to the current one, by their parents."""
    messages = messages_of(chat)
    current = mapping(mapping(chat.get("chat")).get("history")).get("currentId")
    branch: list[Turn] = []
    seen: set[str] = set()
    while isinstance(current, str) and current in messages and current not in seen:
        seen.add(current)
        message = mapping(messages[current])
        role = text(message.get("role")) or "assistant"
        branch.append(Turn(current, role, content_of(message)))
        current = message.get("parentId")
    return branch[::-1]


def content_of(message: Mapping[str, Any]) -> str:
    """The text of a message, also of one whose content is a list of parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(text(mapping(part).get("text")) for part in content)
    return text(content)


def streams_of(reply: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The answers in flight by message id, ``{seq, from_seq, content}`` each."""
    streams = reply.get("streams")
    entries = [mapping(entry) for entry in streams] if isinstance(streams, list) else []
    return {text(entry.get("message_id")): entry for entry in entries}


def ending_of(message: Mapping[str, Any]) -> Ending | None:
    """How a stored message ended, or ``None`` while it is in flight."""
    if message.get("error"):
        return Ending.FAILED
    state = text(message.get("state"))
    if state in ("stopped", "interrupted"):
        return Ending(state)
    return Ending.FINISHED if message.get("done") is True else None
