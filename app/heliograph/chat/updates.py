"""A client's own copy of a chat, merged into the stored one.

Pages send whole histories, which may be older than what is stored. So this merges:
messages are added or edited, never removed; an answer in flight, and what only the server
writes (states, errors, statuses, sources, …), stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from heliograph.chat.requests import MAX_MESSAGES, MAX_REQUEST_BYTES, MessageId
from heliograph.chat.rows import NewMessage, insert_new
from heliograph.chat.text import clean_json, clean_text, text_of
from heliograph.errors import BadPayload, NotFound
from heliograph.store import Database, now_s
from heliograph.store.models import Chat, Message

_SERVER_OWNED = {
    "id",
    "parentId",
    "childrenIds",
    "role",
    "content",
    "model",
    "timestamp",
    "done",
    "state",
    "seq",
    "statusHistory",
    "sources",
    "embeds",
    "error",
    "usage",
}
_CHAT_FIELDS = {"title", "models", "tags", "history", "messages", "id", "user_id", "timestamp"}
_MILLISECONDS = 100_000_000_000  # a time above this is not in seconds


class ClientMessage(BaseModel):
    """A message in a page's copy; fields that are not named are kept for pages."""

    model_config = ConfigDict(extra="allow")

    parentId: MessageId | None = None
    role: Annotated[str, StringConstraints(pattern="^(user|assistant|system)$")] | None = None
    content: str | list[Any] | None = None
    model: Annotated[str, StringConstraints(max_length=200)] | None = None
    timestamp: Annotated[int, Field(ge=0, le=2**53)] | None = None
    done: bool | None = None

    def kept(self, role: str) -> dict[str, Any]:
        """What is kept for pages. Files of an answer are the server's business."""
        dropped = _SERVER_OWNED if role == "user" else _SERVER_OWNED | {"files"}
        extra = {k: v for k, v in (self.model_extra or {}).items() if k not in dropped}
        if isinstance(self.content, list):
            extra["content"] = self.content
        return extra


class ClientHistory(BaseModel):
    """``{messages: {id: message}, currentId}``."""

    messages: Annotated[dict[MessageId, ClientMessage], Field(max_length=MAX_MESSAGES)] = {}
    currentId: MessageId | None = None


class ClientChat(BaseModel):
    """A page's copy of a chat, or a part of it; fields that are not named are kept for pages."""

    model_config = ConfigDict(extra="allow")

    title: Annotated[str, StringConstraints(max_length=1_000)] | None = None
    models: Annotated[list[Any], Field(max_length=100)] | None = None
    tags: Annotated[list[Any], Field(max_length=200)] | None = None
    history: ClientHistory | None = None

    def kept(self) -> dict[str, Any]:
        """What is kept for pages."""
        return {k: v for k, v in (self.model_extra or {}).items() if k not in _CHAT_FIELDS}


@dataclass(frozen=True, slots=True)
class Changed:
    """What a merge changed that others show: the new title, the new tags."""

    title: str | None
    tags: list[Any] | None


def read_client_chat(raw: ClientChat) -> ClientChat:
    """The copy as it can be stored.

    :raises TooLarge: over 8 MiB.
    :raises BadPayload: something has no JSON form.
    """
    cleaned = clean_json(raw.model_dump(exclude_unset=True), path="chat", limit=MAX_REQUEST_BYTES)
    return ClientChat.model_validate(cleaned)


class ChatUpdates:
    """Merges clients' copies into the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def merge(self, chat_id: str, copy: ClientChat) -> Changed:
        """Merge, in one transaction.

        :raises NotFound: the chat is gone.
        :raises BadPayload: a new message has no role.
        """
        async with self._database.write() as session:
            chat = await session.get(Chat, chat_id, with_for_update=True)
            if chat is None:
                raise NotFound(f"no chat {chat_id}")
            values: dict[str, Any] = {"updated_at": now_s()}
            title = clean_text(copy.title).strip() if copy.title is not None else ""
            if title and title != chat.title:
                values["title"] = title
            if copy.models is not None:
                values["models"] = copy.models
            if copy.tags is not None and copy.tags != chat.tags:
                values["tags"] = copy.tags
            if extra := copy.kept():
                values["extra"] = {**chat.extra, **extra}
            if copy.history is not None:
                known = await _merge_messages(session, chat_id, copy.history)
                if copy.history.currentId in known:
                    values["current_id"] = copy.history.currentId
            await session.execute(update(Chat).where(Chat.id == chat_id).values(**values))
        return Changed(values.get("title"), values.get("tags"))


async def _merge_messages(session: AsyncSession, chat_id: str, history: ClientHistory) -> set[str]:
    """Merge the messages; returns the ids the chat has now."""
    rows = await session.execute(
        select(Message.id, Message.role, Message.state, Message.extra).where(
            Message.chat_id == chat_id
        )
    )
    stored = {message_id: (role, state, extra) for message_id, role, state, extra in rows}
    for message_id, message in history.messages.items():
        if message_id not in stored:
            await insert_new(session, chat_id, new_message(message_id, message))
            continue
        role, state, extra = stored[message_id]
        values = _edited(message, role, extra) if state != "streaming" else {}
        if values:
            await session.execute(
                update(Message)
                .where(Message.chat_id == chat_id, Message.id == message_id)
                .values(**values)
            )
    return stored.keys() | history.messages.keys()


def new_message(message_id: str, message: ClientMessage) -> NewMessage:
    """A page's message as it is inserted.

    :raises BadPayload: it has no role.
    """
    if message.role is None:
        path = f"chat.history.messages.{message_id}.role"
        raise BadPayload(f"{path}: a new message needs one", path=path)
    at = message.timestamp or 0
    return NewMessage(
        id=message_id,
        role=message.role,
        content=text_of(message.content),
        parent_id=message.parentId,
        model=clean_text(message.model) if message.model is not None else None,
        extra=message.kept(message.role),
        created_at=at // 1000 if at > _MILLISECONDS else at,
    )


def _edited(message: ClientMessage, role: str, stored: dict[str, Any]) -> dict[str, Any]:
    given = message.model_fields_set
    values: dict[str, Any] = {}
    extra = {**stored, **message.kept(role)}
    # Only a copy of the whole answer may be an edit of it; others are older than it is.
    stale = role == "assistant" and message.done is not True
    if message.content is not None and not stale:
        values["content"] = text_of(message.content)
        if isinstance(message.content, str):
            extra.pop("content", None)
    if "parentId" in given:
        values["parent_id"] = message.parentId
    if message.model is not None and role == "assistant":
        values["model"] = clean_text(message.model)
    if extra != stored:
        values["extra"] = extra
    return values
