"""The event emitter: one event of a message, stored as its type asks, then published.

Stored first, so that a page that reloads never shows less than what was seen. Content of
an answer in flight goes through its stream instead, which is both at once.
"""

from __future__ import annotations

from typing import Any

from heliograph.chat.info import RequestInfo
from heliograph.chat.messages import MessageRepository
from heliograph.chat.outlet import Outlet, is_local
from heliograph.chat.payloads import Emitted, parse_emitted
from heliograph.chat.repository import ChatRepository
from heliograph.chat.streams import MAX_ANSWER, Streams
from heliograph.chat.text import clean_text
from heliograph.delivery import Hub
from heliograph.errors import NotFound, TooLarge


class Emitter:
    """Emits events of messages.

    The chat must be the user's own; temporary chats (``local:…``) are published only.
    """

    def __init__(
        self, hub: Hub, chats: ChatRepository, messages: MessageRepository, streams: Streams
    ) -> None:
        self._hub = hub
        self._chats = chats
        self._messages = messages
        self._streams = streams

    async def outlet(self, info: RequestInfo) -> Outlet:
        """Where events of the message go.

        :raises NotFound: the user has no such chat.
        """
        if is_local(info.chat_id):
            return Outlet(self._hub, info.chat_id, info.message_id, info.user_id, shared=False)
        access = await self._chats.access(info.chat_id, info.user_id)
        if access is None or access.owner != info.user_id:
            raise NotFound(f"no chat {info.chat_id}")
        return Outlet(self._hub, info.chat_id, info.message_id, info.user_id, access.shared)

    async def emit(self, info: RequestInfo, event: Any, *, update_db: bool = True) -> None:
        """Carry out ``{type, data}``.

        :param update_db: without it, the event is published only.
        :raises BadPayload: not an event, with the place of the fault.
        :raises NotFound: no such chat of the user, or no such message in it.
        """
        emitted = parse_emitted(event)
        outlet = await self.outlet(info)
        if update_db:
            published = await self._store(info, emitted)
            if published:
                return
        stream = self._streams.get(info.chat_id, info.message_id, info.user_id)
        if stream is not None:
            await stream.flush()  # what was appended before is seen before
        await outlet.send(emitted.kind, emitted.data)

    async def _store(self, info: RequestInfo, emitted: Emitted) -> bool:
        """Do what the table says; whether a stream has published the event."""
        key = (info.chat_id, info.message_id)
        data = emitted.data
        if emitted.action in ("message", "replace"):
            stream = self._streams.get(*key, info.user_id)
            if stream is not None:
                if emitted.action == "message":
                    stream.append(data["content"])
                else:
                    await stream.replace(data["content"])
                return True
        if is_local(info.chat_id):
            return False
        match emitted.action:
            case "message":
                await self._messages.append(*key, clean_text(data["content"]))
            case "replace":
                content = clean_text(data["content"])
                if len(content) > MAX_ANSWER:
                    raise TooLarge(f"content is longer than {MAX_ANSWER} characters")
                await self._messages.replace(*key, content)
            case "status":
                await self._messages.add_items(*key, "status", [data])
            case "files":
                await self._messages.add_items(*key, "file", data["files"])
            case "embeds":
                await self._messages.add_items(
                    *key, "embed", data["embeds"], replace=data.get("replace", False)
                )
            case "source" if not data.get("type"):
                await self._messages.add_items(*key, "source", [data])
        return False
