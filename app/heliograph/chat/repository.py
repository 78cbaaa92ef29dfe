"""SQL of chats and of who may read them. Messages are in :mod:`heliograph.chat.messages`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, delete, insert, literal, or_, select, update
from sqlalchemy.orm import aliased

from heliograph.errors import BadPayload
from heliograph.store import Database, contains, now_s
from heliograph.store.models import AccessGrant, Chat, Message, MessageItem, User

DEFAULT_TITLE = "New Chat"


@dataclass(frozen=True, slots=True)
class Access:
    """Who owns a chat, whether it is shared at all, and with the user who was asked about."""

    owner: str
    shared: bool
    may_read: bool


@dataclass(frozen=True, slots=True)
class Tip:
    """Where a chat goes on: its current message, and an answer's row if it is there already."""

    current_id: str | None
    current_role: str | None
    current_content: str | None
    answer_exists: bool
    answer_parent: str | None


@dataclass(frozen=True, slots=True)
class ChatRows:
    """A chat as stored; messages in order, items by message in the order they were added."""

    chat: Chat
    messages: list[Message]
    items: dict[str, list[tuple[str, Any]]]


def in_flight(message: type[Message] = Message) -> ColumnElement[bool]:
    """The condition that a message is in flight, as the index of those few has it: with its
    value in the text of the statement."""
    return message.state == literal("streaming", literal_execute=True)


class ChatRepository:
    """Chats in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def access(self, chat_id: str, user_id: str) -> Access | None:
        """Who owns it and whether ``user_id`` may read it; ``None`` when there is none."""
        grants = select(AccessGrant.user_id).where(
            AccessGrant.resource_type == "chat", AccessGrant.resource_id == chat_id
        )
        query = select(
            Chat.user_id,
            grants.exists().label("shared"),
            grants.where(AccessGrant.user_id == user_id).exists().label("granted"),
        ).where(Chat.id == chat_id)
        async with self._database.read() as session:
            row = (await session.execute(query)).one_or_none()
        if row is None:
            return None
        owner, shared, granted = row
        return Access(owner, bool(shared), owner == user_id or bool(granted))

    async def create(
        self,
        *,
        chat_id: str,
        user_id: str,
        title: str,
        models: Sequence[Any],
        tags: Sequence[Any],
        extra: Mapping[str, Any],
    ) -> None:
        """Insert a chat."""
        now = now_s()
        async with self._database.write() as session:
            await session.execute(
                insert(Chat).values(
                    id=chat_id,
                    user_id=user_id,
                    title=title or DEFAULT_TITLE,
                    models=list(models),
                    tags=list(tags),
                    extra=dict(extra),
                    current_id=None,
                    created_at=now,
                    updated_at=now,
                    last_read_at=now,
                )
            )

    async def get(self, chat_id: str) -> ChatRows | None:
        """A chat with all its messages, as they were at one moment."""
        async with self._database.snapshot() as session:
            chat = await session.get(Chat, chat_id)
            if chat is None:
                return None
            messages = await session.scalars(
                select(Message)
                .where(Message.chat_id == chat_id)
                .order_by(Message.position, Message.created_at, Message.id)
            )
            rows = await session.execute(
                select(MessageItem.message_id, MessageItem.kind, MessageItem.payload)
                .where(MessageItem.chat_id == chat_id)
                .order_by(MessageItem.id)
            )
            items: dict[str, list[tuple[str, Any]]] = {}
            for message_id, kind, payload in rows:
                items.setdefault(message_id, []).append((kind, payload))
            return ChatRows(chat, list(messages), items)

    async def tip(self, chat_id: str, answer_id: str) -> Tip:
        """Where the chat goes on."""
        current = (
            select(Chat.current_id, Message.role, Message.content)
            .outerjoin(Message, (Message.chat_id == Chat.id) & (Message.id == Chat.current_id))
            .where(Chat.id == chat_id)
        )
        answer = select(Message.parent_id).where(
            Message.chat_id == chat_id, Message.id == answer_id
        )
        async with self._database.read() as session:
            now = (await session.execute(current)).one_or_none()
            there = (await session.execute(answer)).one_or_none()
        current_id, role, content = now if now is not None else (None, None, None)
        return Tip(
            current_id, role, content, there is not None, there[0] if there is not None else None
        )

    async def page(
        self, user_id: str, *, skip: int, limit: int, containing: str = ""
    ) -> list[tuple[Chat, str | None, bool]]:
        """A user's chats, the last changed first, each with the state of its current message
        and whether any of its messages is in flight.

        :param containing: only those with this in their title or in a message.
        """
        answer = aliased(Message)
        answers = select(answer.id).where(answer.chat_id == Chat.id, in_flight(answer))
        query = (
            select(Chat, Message.state, answers.exists())
            .outerjoin(Message, (Message.chat_id == Chat.id) & (Message.id == Chat.current_id))
            .where(Chat.user_id == user_id)
            .order_by(Chat.updated_at.desc(), Chat.created_at.desc(), Chat.id)
            .offset(skip)
            .limit(limit)
        )
        if containing:
            said = aliased(Message)
            messages = select(said.id).where(
                said.chat_id == Chat.id, contains(said.content, containing)
            )
            query = query.where(or_(contains(Chat.title, containing), messages.exists()))
        async with self._database.read() as session:
            return [(chat, state, bool(busy)) for chat, state, busy in await session.execute(query)]

    async def delete(self, chat_id: str) -> bool:
        """Delete a chat with its messages and grants; whether there was one."""
        async with self._database.write() as session:
            await session.execute(
                delete(AccessGrant).where(
                    AccessGrant.resource_type == "chat", AccessGrant.resource_id == chat_id
                )
            )
            result = await session.execute(delete(Chat).where(Chat.id == chat_id))
        return cast("CursorResult[Any]", result).rowcount > 0

    async def mark_read(self, chat_id: str) -> int:
        """Move the owner's read mark to now; returns it, in seconds since 1970."""
        now = now_s()
        async with self._database.write() as session:
            await session.execute(update(Chat).where(Chat.id == chat_id).values(last_read_at=now))
        return now

    async def readers(self, chat_id: str) -> list[str]:
        """The users a chat is shared with."""
        async with self._database.read() as session:
            return list(
                await session.scalars(
                    select(AccessGrant.user_id)
                    .where(AccessGrant.resource_type == "chat", AccessGrant.resource_id == chat_id)
                    .order_by(AccessGrant.user_id)
                )
            )

    async def set_readers(self, chat_id: str, readers: set[str]) -> tuple[set[str], set[str]]:
        """Share a chat with exactly these users.

        :returns: who came in, who went.
        :raises BadPayload: one of them does not exist.
        """
        async with self._database.write() as session:
            grants = select(AccessGrant.user_id).where(
                AccessGrant.resource_type == "chat", AccessGrant.resource_id == chat_id
            )
            before = set(await session.scalars(grants))
            known = set(await session.scalars(select(User.id).where(User.id.in_(readers))))
            if unknown := sorted(readers - known):
                raise BadPayload(f"no such user: {unknown[0]}", path="access_grants")
            gone, new = before - readers, readers - before
            if gone:
                await session.execute(
                    delete(AccessGrant).where(
                        AccessGrant.resource_type == "chat",
                        AccessGrant.resource_id == chat_id,
                        AccessGrant.user_id.in_(gone),
                    )
                )
            for user_id in sorted(new):
                await session.execute(
                    insert(AccessGrant).values(
                        resource_type="chat",
                        resource_id=chat_id,
                        user_id=user_id,
                        permission="read",
                    )
                )
        return new, gone
