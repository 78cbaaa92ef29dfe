"""Rows of messages: what is inserted, and how an answer ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from heliograph.store import now_s
from heliograph.store.models import Message

EndState = Literal["finished", "stopped", "interrupted", "error"]
Kind = Literal["status", "source", "file", "embed", "usage"]


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to insert, unless its id is taken."""

    id: str
    role: str
    content: str
    parent_id: str | None
    model: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    created_at: int = 0


@dataclass(frozen=True, slots=True)
class Begun:
    """An answer whose row is in flight.

    :ivar title: the chat's title, when it got one.
    :ivar shared: whether others may read the chat.
    """

    title: str | None
    shared: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """How an answer ended."""

    state: EndState
    error: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None


async def insert_new(
    session: AsyncSession,
    chat_id: str,
    message: NewMessage,
    *,
    state: str = "finished",
    owner: str | None = None,
) -> None:
    """Insert a message after the chat's last one, unless its id is taken."""
    taken = await session.scalar(
        select(Message.id).where(Message.chat_id == chat_id, Message.id == message.id)
    )
    if taken is not None:
        return
    last = (
        select(func.coalesce(func.max(Message.position), 0) + 1)
        .where(Message.chat_id == chat_id)
        .scalar_subquery()
    )
    await session.execute(
        insert(Message).values(
            chat_id=chat_id,
            id=message.id,
            parent_id=message.parent_id,
            role=message.role,
            content=message.content,
            model=message.model,
            state=state,
            owner=owner,
            error=None,
            extra=message.extra,
            created_at=message.created_at or now_s(),
            position=last,
        )
    )
