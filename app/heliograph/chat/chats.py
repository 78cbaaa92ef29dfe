"""A user's chats: list, read, change, share, delete, and open in mid-stream."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from heliograph.chat.hot import Hot
from heliograph.chat.interruptions import Interruptions
from heliograph.chat.outlet import Outlet, chat_room, is_local
from heliograph.chat.repository import Access, ChatRepository, ChatRows
from heliograph.chat.streams import Streams
from heliograph.chat.updates import ChatUpdates, ClientChat, read_client_chat
from heliograph.chat.view import chat_view, list_entry
from heliograph.cluster import PeerGone, Peers
from heliograph.delivery import Hub, Session
from heliograph.errors import Forbidden, NotFound
from heliograph.principal import Principal
from heliograph.tasks import Tasks

_READS = 4
_SHARE = "chat.share"
_SHARE_SECONDS = 15.0


class Chats:
    """The chats of an application.

    A chat that a user may not read does not exist for that user (:class:`NotFound`); who
    may read it by a grant but not change it gets :class:`Forbidden`.
    """

    def __init__(
        self,
        hub: Hub,
        tasks: Tasks,
        chats: ChatRepository,
        updates: ChatUpdates,
        streams: Streams,
        interruptions: Interruptions,
        peers: Peers,
    ) -> None:
        self._hub = hub
        self._tasks = tasks
        self._chats = chats
        self._updates = updates
        self._streams = streams
        self._interruptions = interruptions
        self._peers = peers
        peers.serve(_SHARE, self._share_for_another)

    # -- who may -----------------------------------------------------------------------

    async def readable(self, user: Principal, chat_id: str) -> Access:
        """The user may read it.

        :raises NotFound: there is none, or none the user may know of.
        """
        access = await self._chats.access(chat_id, user.id)
        if access is None or not access.may_read:
            raise NotFound(f"no chat {chat_id}")
        return access

    async def writable(self, user: Principal, chat_id: str, *, admin: bool = False) -> Access:
        """The user may change it: its owner, or an administrator where ``admin`` says so.

        :raises NotFound: there is none, or none the user may know of.
        :raises Forbidden: it is shared with the user for reading.
        """
        if is_local(chat_id):
            return Access(user.id, shared=False, may_read=True)
        access = await self._chats.access(chat_id, user.id)
        if access is None or not (access.may_read or (admin and user.is_admin)):
            raise NotFound(f"no chat {chat_id}")
        if access.owner != user.id and not (admin and user.is_admin):
            raise Forbidden(f"chat {chat_id} is shared with you for reading only")
        return access

    # -- reading -----------------------------------------------------------------------

    async def page(
        self, user: Principal, *, skip: int, limit: int, containing: str = ""
    ) -> list[dict[str, Any]]:
        """``[{id, title, updated_at, …, active, state}]``, the last changed first.

        :param containing: only chats with this in their title or in a message.
        """
        rows = await self._chats.page(user.id, skip=skip, limit=limit, containing=containing)
        return [list_entry(chat, state, active=active) for chat, state, active in rows]

    async def get(self, user: Principal, chat_id: str) -> dict[str, Any]:
        """A chat with its messages; what streams is as far as it has come.

        :raises NotFound: there is none, or none the user may know of.
        """
        access = await self.readable(user, chat_id)
        mine = access.owner == user.id
        readers = await self._chats.readers(chat_id) if mine else None
        rows, hot = await self._read(chat_id, access.owner)
        return chat_view(rows, hot, readers=readers)

    async def _read(self, chat_id: str, owner: str) -> tuple[ChatRows, Mapping[str, Hot]]:
        """The rows, and of each answer that they say is in flight how far it has come."""
        tries = 0
        while True:
            rows = await self._chats.get(chat_id)
            if rows is None:
                raise NotFound(f"no chat {chat_id}")
            in_flight = {message.id for message in rows.messages if message.state == "streaming"}
            if not in_flight:
                return rows, {}
            # Read later than the rows, so that it has at least what they have.
            hot = await self._streams.of_chat(chat_id, owner)
            if in_flight <= hot.keys():
                return rows, hot
            # One has ended since, and its row is whole; or nobody writes it any more.
            tries += 1
            if tries == _READS:
                return rows, hot
            if tries > 1 and not await self._interruptions.repair(owner, chat_id):
                return rows, hot

    async def open(
        self, session: Session, chat_id: str, message_id: str | None, last_seq: int | None
    ) -> dict[str, Any]:
        """Enter the chat's room and get what the answers in flight have so far.

        :param message_id: only this message; one that is not in the result has ended, and
            is to be read with the chat.
        :param last_seq: what the client has of ``message_id``.
        :returns: ``{chat_id, streams: [{message_id, seq, from_seq, content}]}``, where
            ``content`` covers ``(from_seq, seq]``, the whole when ``from_seq`` is 0.
            Deltas that come live, also before this answer, and have a ``seq`` up to that
            one are to be ignored; the others go on from it.
        :raises NotFound: there is none, or none the user may know of.
        """
        user = session.user
        assert user is not None
        owner = user.id
        if not is_local(chat_id):
            room = chat_room(chat_id)
            owner = (await self.readable(user, chat_id)).owner
            was_in = room in session.positions
            await self._hub.join(session, room)
            try:
                await self.readable(user, chat_id)  # a grant may have gone meanwhile
            except NotFound:
                if not was_in:
                    self._hub.leave(session, room)
                    await self._hub.settled(session)
                raise
        # Read when the session is in its rooms: what is published after that it gets live,
        # some of it before this answer.
        streams = await self._streams.of_chat(chat_id, owner)
        found = [
            asdict(stream.since(last_seq if key == message_id else None))
            for key, stream in streams.items()
            if message_id in (None, key) and stream.ending is None
        ]
        return {"chat_id": chat_id, "streams": found}

    # -- changing ----------------------------------------------------------------------

    async def create(self, user: Principal, copy: ClientChat) -> dict[str, Any]:
        """A new chat, with whatever messages the copy brings.

        :raises BadPayload: a message has no role.
        """
        copy = read_client_chat(copy)
        chat_id = str(uuid.uuid4())
        await self._chats.create(
            chat_id=chat_id,
            user_id=user.id,
            title="",
            models=copy.models or [],
            tags=copy.tags or [],
            extra={},
        )
        try:
            await self._updates.merge(chat_id, copy)
        except BaseException:
            await self._chats.delete(chat_id)
            raise
        return await self.get(user, chat_id)

    async def update(self, user: Principal, chat_id: str, copy: ClientChat) -> dict[str, Any]:
        """Merge a page's copy; other pages are told of a new title and new tags.

        :raises NotFound: there is none, or none the user may know of.
        :raises Forbidden: it is shared with the user for reading.
        """
        access = await self.writable(user, chat_id)
        changed = await self._updates.merge(chat_id, read_client_chat(copy))
        outlet = Outlet(self._hub, chat_id, None, access.owner, access.shared)
        if changed.title is not None:
            await outlet.send("chat:title", changed.title)
        if changed.tags is not None:
            await outlet.send("chat:tags", changed.tags)
        return await self.get(user, chat_id)

    async def delete(self, user: Principal, chat_id: str) -> None:
        """Stop what runs in it and delete it; its room is closed.

        :raises NotFound: there is none, or none the user may know of.
        :raises Forbidden: it is shared with the user for reading.
        """
        access = await self.writable(user, chat_id)
        await self._tasks.stop_item(chat_id)
        await self._chats.delete(chat_id)
        await self._tasks.stop_item(chat_id)  # what began in between has nowhere to go
        outlet = Outlet(self._hub, chat_id, None, access.owner, access.shared)
        await outlet.send("chat:list", {"chat_id": chat_id, "deleted": True})
        await self._hub.close_room(chat_room(chat_id))

    async def share(self, user: Principal, chat_id: str, readers: set[str]) -> dict[str, Any]:
        """Let exactly these users read it. Who may no longer is out of its room at once.

        :raises BadPayload: one of them does not exist.
        """
        access = await self.writable(user, chat_id)
        readers = readers - {access.owner}
        _, gone = await self._chats.set_readers(chat_id, readers)
        self._set_shared(chat_id, access.owner, bool(readers))
        for ref in await self._streams.elsewhere(chat_id, access.owner):
            asked = {"chat_id": chat_id, "owner": access.owner, "shared": bool(readers)}
            with contextlib.suppress(PeerGone):
                await self._peers.request(ref.replica, _SHARE, asked, timeout=_SHARE_SECONDS)
        for reader in sorted(gone):
            await self._hub.expel(reader, chat_room(chat_id))
        return await self.get(user, chat_id)

    def _set_shared(self, chat_id: str, owner: str, shared: bool) -> None:
        for stream in self._streams.of_chat_here(chat_id, owner).values():
            stream.outlet.shared = shared

    async def _share_for_another(self, asked: dict[str, Any]) -> None:
        self._set_shared(asked["chat_id"], asked["owner"], asked["shared"])

    async def mark_read(self, user: Principal, chat_id: str) -> int:
        """Move the owner's read mark to now and tell the owner's other sessions.

        :returns: seconds since 1970.
        """
        access = await self.writable(user, chat_id)
        if is_local(chat_id):
            raise NotFound(f"no chat {chat_id}")
        at = await self._chats.mark_read(chat_id)
        outlet = Outlet(self._hub, chat_id, None, access.owner, shared=False)
        await outlet.send("chat:list", {"chat_id": chat_id, "last_read_at": at})
        return at
