"""Where the events of one message go: its owner, and whoever opened a shared chat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from heliograph.delivery import Hub, user_room

LOCAL = "local:"
"""Prefix of the ids of temporary chats, which never reach the database."""

MAX_TOLD = 1024 * 1024
"""Characters of content that an answer's last event repeats, at most."""


def is_local(chat_id: str) -> bool:
    """Whether the chat is temporary."""
    return chat_id.startswith(LOCAL)


def chat_room(chat_id: str) -> str:
    """The room of the sessions that opened a chat."""
    return f"chat:{chat_id}"


@dataclass(slots=True)
class Outlet:
    """Publishes ``events`` of one message.

    :ivar shared: whether others may read the chat; it may change while a message streams.
    """

    hub: Hub
    chat_id: str
    message_id: str | None
    owner: str
    shared: bool

    def event(self, kind: str, data: Any, seq: int | None = None) -> dict[str, Any]:
        """``{chat_id, message_id, data: {type, data}, seq?}``."""
        event: dict[str, Any] = {
            "chat_id": self.chat_id,
            "message_id": self.message_id,
            "data": {"type": kind, "data": data},
        }
        if seq is not None:
            event["seq"] = seq
        return event

    async def send(self, kind: str, data: Any = None) -> None:
        """Publish an event."""
        event = self.event(kind, data)
        await self.hub.publish(user_room(self.owner), "events", event)
        await self.send_to_readers(event)

    async def send_to_readers(self, event: dict[str, Any]) -> None:
        """Publish an event that the owner's room has, if the chat is shared."""
        if self.shared:
            # The owner's sessions have it from their own room.
            await self.hub.publish(chat_room(self.chat_id), "events", event, skip_user=self.owner)
