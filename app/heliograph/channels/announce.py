"""Events of channels: their envelope, and the rooms they go to."""

from __future__ import annotations

from typing import Any

from heliograph.channels.access import room_of
from heliograph.channels.repository import channel_view
from heliograph.delivery import EVERYONE, Hub, user_room
from heliograph.principal import Principal
from heliograph.store.models import Channel

EVENT = "events:channel"


def envelope(
    channel: dict[str, Any],
    user: Principal,
    kind: str,
    data: dict[str, Any],
    message_id: str | None = None,
) -> dict[str, Any]:
    """``{channel_id, message_id, data: {type, data}, user, channel}``."""
    return {
        "channel_id": channel["id"],
        "message_id": message_id,
        "data": {"type": kind, "data": data},
        "user": user.public(),
        "channel": channel,
    }


class Announcer:
    """Publishes what has been committed; in the turn of the change."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def message(
        self, channel: Channel, user: Principal, kind: str, message: dict[str, Any]
    ) -> None:
        """Something happened to a message."""
        event = envelope(channel_view(channel), user, kind, message, message["id"])
        await self._hub.publish(room_of(channel.id), EVENT, event)

    async def typing(
        self, channel_id: str, user: Principal, typing: bool, message_id: str | None
    ) -> None:
        """The user is typing, or no longer; never stored."""
        event = envelope({"id": channel_id}, user, "typing", {"typing": typing}, message_id)
        await self._hub.publish(room_of(channel_id), EVENT, event, durable=False)

    async def read(self, channel_id: str, user: Principal, last_read_at: int) -> None:
        """The user's read mark moved; for the user's own sessions."""
        data = {"last_read_at": last_read_at}
        event = envelope({"id": channel_id}, user, "last_read_at", data)
        await self._hub.publish(user_room(user.id), EVENT, event)

    async def opened(self, channel: Channel, user: Principal, to: list[str] | None) -> None:
        """The channel is there for the users of ``to``, or for everyone; they enter its room."""
        view = channel_view(channel)
        event = envelope(view, user, "channel:created", view)
        room = room_of(channel.id)
        if to is None:
            await self._hub.admit_everyone(room)
            await self._hub.publish(EVERYONE, EVENT, event)
            return
        for user_id in to:
            await self._hub.admit(user_id, room)
            await self._hub.publish(user_room(user_id), EVENT, event)

    async def updated(self, view: dict[str, Any], user: Principal) -> None:
        """The channel's name, description or privacy changed."""
        event = envelope(view, user, "channel:updated", view)
        await self._hub.publish(room_of(view["id"]), EVENT, event)

    async def narrowed(self, channel_id: str, keep: list[str]) -> None:
        """The channel became private: all but the users of ``keep`` leave its room."""
        await self._hub.close_room(room_of(channel_id), keep=keep)

    async def withdrawn(self, channel_id: str, user: Principal, from_users: list[str]) -> None:
        """The channel is gone for some users: they leave its room first."""
        gone = {"id": channel_id}
        event = envelope(gone, user, "channel:deleted", gone)
        for user_id in from_users:
            await self._hub.expel(user_id, room_of(channel_id))
            await self._hub.publish(user_room(user_id), EVENT, event)

    async def deleted(self, channel: Channel, user: Principal) -> None:
        """The channel is gone for everybody."""
        gone = {"id": channel.id}
        event = envelope(gone, user, "channel:deleted", gone)
        await self._hub.publish(room_of(channel.id), EVENT, event)
        await self._hub.close_room(room_of(channel.id))
