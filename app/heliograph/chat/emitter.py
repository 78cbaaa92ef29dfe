"""The event emitter: one event of a message, stored as its type asks, then published.

Stored first, so that a page that reloads never shows less than what was seen. Content of
an answer in flight goes through its stream instead, which is both at once, on whichever
replica that is.
"""

from __future__ import annotations

import asyncio
from typing import Any

from heliograph.chat.hot import InFlight
from heliograph.chat.info import RequestInfo
from heliograph.chat.interruptions import Interruptions
from heliograph.chat.messages import MessageRepository
from heliograph.chat.outlet import Outlet, is_local
from heliograph.chat.payloads import Emitted, parse_emitted
from heliograph.chat.repository import ChatRepository
from heliograph.chat.stream import MAX_ANSWER, Stream
from heliograph.chat.streams import Streams
from heliograph.chat.text import clean_text
from heliograph.cluster import PeerGone, Peers
from heliograph.delivery import Hub
from heliograph.errors import Conflict, NotFound, TooLarge

_WRITE = "chat.write"
_WRITE_SECONDS = 15.0
_PAUSES = (0.0, 0.01, 0.05, 0.2, 0.5, 1.0, 2.0)  # an answer that begins or ends just now


class Emitter:
    """Emits events of messages.

    The chat must be the user's own; temporary chats (``local:…``) are published only.
    """

    def __init__(
        self,
        hub: Hub,
        chats: ChatRepository,
        messages: MessageRepository,
        streams: Streams,
        interruptions: Interruptions,
        peers: Peers,
    ) -> None:
        self._hub = hub
        self._chats = chats
        self._messages = messages
        self._streams = streams
        self._interruptions = interruptions
        self._peers = peers
        peers.serve(_WRITE, self._write_for_another)

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
        :raises Conflict: ``in_flight``, its content is written by a replica that does not
            answer now.
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
        if emitted.action in ("message", "replace"):
            return await self._write(info, emitted.action, emitted.data["content"])
        if is_local(info.chat_id):
            return False
        key = (info.chat_id, info.message_id)
        data = emitted.data
        match emitted.action:
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

    # -- content -----------------------------------------------------------------------

    async def _write(self, info: RequestInfo, action: str, content: str) -> bool:
        """Append to the content or replace it; whether a stream did, and published it."""
        for pause in _PAUSES:
            await asyncio.sleep(pause)
            stream = await self._streams.find(info.chat_id, info.message_id, info.user_id)
            if isinstance(stream, Stream):
                if not stream.taken:
                    await _change(stream, action, content)
                    return True
            elif stream is not None:
                asked = {**info.as_dict(), "action": action, "content": content}
                try:
                    done = await self._peers.request(
                        stream.replica, _WRITE, asked, timeout=_WRITE_SECONDS
                    )
                    if done:
                        return True
                except PeerGone:
                    await self._interruptions.settle(stream)
            elif is_local(info.chat_id):
                return False
            else:
                try:
                    await self._write_stored(info, action, content)
                    return False
                except Conflict:  # it begins or ends this moment, or was left so by the dead
                    await self._interruptions.repair(info.user_id, info.chat_id)
        raise InFlight(info.message_id)

    async def _write_stored(self, info: RequestInfo, action: str, content: str) -> None:
        content = clean_text(content)
        if action == "message":
            await self._messages.append(info.chat_id, info.message_id, content)
            return
        if len(content) > MAX_ANSWER:
            raise TooLarge(f"content is longer than {MAX_ANSWER} characters")
        await self._messages.replace(info.chat_id, info.message_id, content)

    async def _write_for_another(self, asked: dict[str, Any]) -> bool:
        """Another replica's request; whether the answer is written here."""
        stream = self._streams.get(asked["chat_id"], asked["message_id"], asked["user_id"])
        if stream is None or stream.taken:
            return False
        await _change(stream, asked["action"], asked["content"])
        await stream.flush()  # what its caller emits next comes after it
        return True


async def _change(stream: Stream, action: str, content: str) -> None:
    if action == "message":
        stream.append(content)
    else:
        await stream.replace(content)
