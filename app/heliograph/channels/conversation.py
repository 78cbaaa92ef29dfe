"""What is said in a channel: messages, threads, reactions.

Each change is committed first and announced then, in its turn: every client gets the events
of a channel in the order of the commits, which is also the order of the lists.
"""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from heliograph.channels import limits, message_repository
from heliograph.channels.access import Standing, standing
from heliograph.channels.announce import Announcer
from heliograph.channels.ordering import ChannelOrder
from heliograph.errors import Conflict, Forbidden, NotFound
from heliograph.principal import Principal
from heliograph.store import Database, now_ns
from heliograph.store.models import ChannelMessage


class Conversation:
    """Messages of channels.

    A message is ``{id, channel_id, user_id, parent_id, content, data, meta, created_at,
    updated_at, user: {id, name, role}, reactions: [{name, users: [{id, name}], user_ids,
    count}], reply_count, latest_reply_at}``; times are nanoseconds since 1970.

    Every method raises :class:`NotFound` for a channel the user may not know of and for
    a message that is not in it.
    """

    def __init__(self, database: Database, announce: Announcer, order: ChannelOrder) -> None:
        self._db = database
        self._announce = announce
        self._order = order

    # -- reading ---------------------------------------------------------------------

    async def page(
        self, user: Principal, channel_id: str, *, skip: int = 0, limit: int = 50
    ) -> list[dict[str, Any]]:
        """Messages that are no replies, newest first."""
        async with self._db.read() as s:
            await standing(s, user, channel_id)
            return await message_repository.page(s, channel_id, skip, limit)

    async def get(self, user: Principal, channel_id: str, message_id: str) -> dict[str, Any]:
        """One message."""
        async with self._db.read() as s:
            await standing(s, user, channel_id)
            await _message(s, channel_id, message_id)
            return await message_repository.view(s, message_id)

    async def thread(
        self, user: Principal, channel_id: str, message_id: str, *, skip: int = 0, limit: int = 50
    ) -> list[dict[str, Any]]:
        """The thread a message is in: newest reply first, the message it hangs on last."""
        async with self._db.read() as s:
            await standing(s, user, channel_id)
            message = await _message(s, channel_id, message_id)
            root = message.parent_id or message.id
            return await message_repository.thread_page(s, root, skip, limit)

    # -- changing --------------------------------------------------------------------

    async def post(
        self,
        user: Principal,
        channel_id: str,
        content: str,
        *,
        parent_id: str | None = None,
        data: dict[str, Any] | None = None,
        meta: dict[str, Any] | None = None,
        temp_id: str | None = None,
    ) -> dict[str, Any]:
        """Say something; a reply to a reply joins the same thread.

        :param temp_id: the sender's own name for the message, echoed in its event.
        :raises TooLarge: the content or what comes with it.
        :raises BadPayload: empty content, or text that cannot be stored.
        """
        limits.text(content, "content", most=limits.MAX_CONTENT)
        data, meta = limits.json_object(data, "data"), limits.json_object(meta, "meta")
        if temp_id is not None:
            limits.text(temp_id, "temp_id", most=200)
        async with self._order.change(channel_id) as change:
            async with self._db.write() as s:
                place = await change.enter(s, user)
                root_id = None
                if parent_id is not None:
                    parent = await _message(s, channel_id, parent_id)
                    root_id = parent.parent_id or parent.id
                at = await message_repository.next_time(s, channel_id)
                message = ChannelMessage(
                    id=str(uuid.uuid4()),
                    channel_id=channel_id,
                    user_id=user.id,
                    parent_id=root_id,
                    content=content,
                    data=data,
                    meta=meta,
                    created_at=at,
                    updated_at=at,
                )
                s.add(message)
                await s.flush()
                said = await message_repository.view(s, message.id)
                root = await message_repository.view(s, root_id) if root_id else None
            named = said if temp_id is None else {"temp_id": temp_id, **said}
            async with change.announcing():
                await self._announce.message(place.channel, user, "message", named)
                if root is not None:
                    await self._announce.message(place.channel, user, "message:reply", root)
        return said

    async def edit(
        self,
        user: Principal,
        channel_id: str,
        message_id: str,
        content: str,
        *,
        data: dict[str, Any] | None = None,
        meta: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Change a message; ``data`` and ``meta`` are merged into what it has.

        :raises Forbidden: neither its author nor a manager.
        """
        limits.text(content, "content", most=limits.MAX_CONTENT)
        data, meta = limits.json_object(data, "data"), limits.json_object(meta, "meta")
        async with self._order.change(channel_id) as change:
            async with self._db.write() as s:
                place = await change.enter(s, user)
                message = await _own_message(s, place, message_id)
                values: dict[str, Any] = {"content": content, "updated_at": now_ns()}
                if data is not None:
                    values["data"] = limits.json_object({**(message.data or {}), **data}, "data")
                if meta is not None:
                    values["meta"] = limits.json_object({**(message.meta or {}), **meta}, "meta")
                await message_repository.change(s, message_id, values)
                changed = await message_repository.view(s, message_id)
            async with change.announcing():
                await self._announce.message(place.channel, user, "message:update", changed)
        return changed

    async def delete(self, user: Principal, channel_id: str, message_id: str) -> None:
        """Delete a message, and with it the thread that hangs on it.

        :raises Forbidden: neither its author nor a manager.
        """
        async with self._order.change(channel_id) as change:
            async with self._db.write() as s:
                place = await change.enter(s, user)
                message = await _own_message(s, place, message_id)
                gone = await message_repository.view(s, message_id)
                await message_repository.remove(s, message_id)
                root_id = message.parent_id
                root = await message_repository.view(s, root_id) if root_id else None
            async with change.announcing():
                await self._announce.message(place.channel, user, "message:delete", gone)
                if root is not None:  # its count of replies changed
                    await self._announce.message(place.channel, user, "message:reply", root)

    async def react(self, user: Principal, channel_id: str, message_id: str, name: str) -> None:
        """Add the user's reaction; without effect when it is there.

        :raises Conflict: the message has :data:`limits.MAX_REACTIONS` different ones.
        """
        name = limits.line(name, "name", most=limits.MAX_REACTION)
        async with self._order.change(channel_id) as change:
            async with self._db.write() as s:
                place = await change.enter(s, user)
                await _message(s, channel_id, message_id)
                names = await message_repository.reaction_names(s, message_id)
                if name not in names and len(names) >= limits.MAX_REACTIONS:
                    raise Conflict(
                        f"message {message_id} has {limits.MAX_REACTIONS} different reactions"
                    )
                if not await message_repository.add_reaction(s, message_id, user.id, name):
                    return
                message = await message_repository.view(s, message_id)
            event = {**message, "name": name}
            async with change.announcing():
                await self._announce.message(place.channel, user, "message:reaction:add", event)

    async def unreact(self, user: Principal, channel_id: str, message_id: str, name: str) -> None:
        """Take the user's reaction back; without effect when there is none."""
        name = limits.line(name, "name", most=limits.MAX_REACTION)
        async with self._order.change(channel_id) as change:
            async with self._db.write() as s:
                place = await change.enter(s, user)
                await _message(s, channel_id, message_id)
                if not await message_repository.remove_reaction(s, message_id, user.id, name):
                    return
                message = await message_repository.view(s, message_id)
            event = {**message, "name": name}
            async with change.announcing():
                await self._announce.message(place.channel, user, "message:reaction:remove", event)


async def _message(s: AsyncSession, channel_id: str, message_id: str) -> ChannelMessage:
    message = await message_repository.get(s, channel_id, message_id)
    if message is None:
        raise NotFound(f"no message {message_id} in channel {channel_id}")
    return message


async def _own_message(s: AsyncSession, place: Standing, message_id: str) -> ChannelMessage:
    message = await _message(s, place.channel.id, message_id)
    if message.user_id != place.user.id and not place.is_manager:
        raise Forbidden(f"only its author or a manager may change message {message_id}")
    return message
