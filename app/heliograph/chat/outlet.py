"""Where the events of one message go: its owner, and whoever opened a shared chat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from heliograph.delivery import Hub, user_room

LOCAL = "local:"
"""Prefix of the ids of temporary chats, which never reach the database."""


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

    async def send(self, kind: str, data: Any = None, *, seq: int | None = None) -> None:
        """Publish ``{chat_id, message_id, data: {type, data}, seq?}``."""
        event: dict[str, Any] = {
            "chat_id": self.chat_id,
            "message_id": self.message_id,
            "data": {"type": kind, "data": data},
        }
        if seq is not None:
            event["seq"] = seq
        await self.hub.publish(user_room(self.owner), "events", event)
        if self.shared:
            # The owner's sessions have it from their own room.
            await self.hub.publish(chat_room(self.chat_id), "events", event, skip_user=self.owner)
