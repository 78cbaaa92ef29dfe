"""SQL of messages and reactions, and the shape in which clients get them.

A page of messages costs three queries however long it is: the messages with their
authors, their reactions with the users, and the counts of their threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from heliograph.channels.repository import upsert
from heliograph.errors import NotFound
from heliograph.store import now_ns
from heliograph.store.models import ChannelMessage, ChannelReaction, User

if TYPE_CHECKING:
    _Query = Select[ChannelMessage, str, str, str]


def _with_author() -> _Query:
    return select(ChannelMessage, User.id, User.name, User.role).join(
        User, User.id == ChannelMessage.user_id
    )


async def get(s: AsyncSession, channel_id: str, message_id: str) -> ChannelMessage | None:
    """A message of the channel."""
    found: ChannelMessage | None = await s.scalar(
        select(ChannelMessage).where(
            ChannelMessage.id == message_id, ChannelMessage.channel_id == channel_id
        )
    )
    return found


async def next_time(s: AsyncSession, channel_id: str) -> int:
    """A time for the channel's next message: now, and later than any message in it."""
    newest = await s.scalar(
        select(func.max(ChannelMessage.created_at)).where(ChannelMessage.channel_id == channel_id)
    )
    return max(now_ns(), (newest or 0) + 1)


async def change(s: AsyncSession, message_id: str, values: dict[str, Any]) -> None:
    """Set columns of a message."""
    statement = update(ChannelMessage).where(ChannelMessage.id == message_id)
    await s.execute(statement.values(**values).execution_options(synchronize_session=False))


async def remove(s: AsyncSession, message_id: str) -> None:
    """Delete a message with its thread and reactions."""
    statement = delete(ChannelMessage).where(ChannelMessage.id == message_id)
    await s.execute(statement.execution_options(synchronize_session=False))


# -- views -----------------------------------------------------------------------------


async def page(s: AsyncSession, channel_id: str, skip: int, limit: int) -> list[dict[str, Any]]:
    """Messages of the channel that are no replies, newest first."""
    query = _with_author().where(
        ChannelMessage.channel_id == channel_id, ChannelMessage.parent_id.is_(None)
    )
    return await _views(s, _newest_first(query, skip, limit))


async def thread_page(s: AsyncSession, root_id: str, skip: int, limit: int) -> list[dict[str, Any]]:
    """A thread, newest reply first; the message it hangs on is the last."""
    query = _with_author().where(
        or_(ChannelMessage.parent_id == root_id, ChannelMessage.id == root_id)
    )
    return await _views(s, _newest_first(query, skip, limit))


async def view(s: AsyncSession, message_id: str) -> dict[str, Any]:
    """One message.

    :raises NotFound: it is gone, as when its author was deleted just now.
    """
    found = await _views(s, _with_author().where(ChannelMessage.id == message_id))
    if not found:
        raise NotFound(f"no message {message_id}")
    return found[0]


def _newest_first(query: _Query, skip: int, limit: int) -> _Query:
    ordered = query.order_by(ChannelMessage.created_at.desc(), ChannelMessage.id)
    return ordered.offset(skip).limit(limit)


async def _views(s: AsyncSession, query: _Query) -> list[dict[str, Any]]:
    rows = (await s.execute(query.execution_options(populate_existing=True))).all()
    ids = [row[0].id for row in rows]
    reactions = await _reactions(s, ids)
    threads = await _threads(s, ids)
    views = []
    for message, user_id, user_name, user_role in rows:
        count, latest = threads.get(message.id, (0, None))
        views.append(
            {
                "id": message.id,
                "channel_id": message.channel_id,
                "user_id": message.user_id,
                "parent_id": message.parent_id,
                "content": message.content,
                "data": message.data,
                "meta": message.meta,
                "created_at": message.created_at,
                "updated_at": message.updated_at,
                "user": {"id": user_id, "name": user_name, "role": user_role},
                "reactions": reactions.get(message.id, []),
                "reply_count": count,
                "latest_reply_at": latest,
            }
        )
    return views


async def _threads(s: AsyncSession, ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    if not ids:
        return {}
    query = (
        select(ChannelMessage.parent_id, func.count(), func.max(ChannelMessage.created_at))
        .where(ChannelMessage.parent_id.in_(ids))
        .group_by(ChannelMessage.parent_id)
    )
    return {parent: (count, latest) for parent, count, latest in await s.execute(query) if parent}


async def _reactions(s: AsyncSession, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    if not ids:
        return {}
    query = (
        select(ChannelReaction.message_id, ChannelReaction.name, User.id, User.name)
        .join(User, User.id == ChannelReaction.user_id)
        .where(ChannelReaction.message_id.in_(ids))
        .order_by(ChannelReaction.id)
    )
    grouped: dict[str, dict[str, dict[str, Any]]] = {}
    for message_id, name, user_id, user_name in await s.execute(query):
        one = grouped.setdefault(message_id, {}).setdefault(
            name, {"name": name, "users": [], "user_ids": [], "count": 0}
        )
        one["users"].append({"id": user_id, "name": user_name})
        one["user_ids"].append(user_id)  # what older clients read
        one["count"] += 1
    return {message_id: list(by_name.values()) for message_id, by_name in grouped.items()}


# -- reactions -------------------------------------------------------------------------


async def reaction_names(s: AsyncSession, message_id: str) -> set[str]:
    """The different reactions to a message."""
    query = select(ChannelReaction.name).where(ChannelReaction.message_id == message_id)
    return set(await s.scalars(query.distinct()))


async def add_reaction(s: AsyncSession, message_id: str, user_id: str, name: str) -> bool:
    """Add a user's reaction; whether it is new."""
    statement = upsert(s, ChannelReaction).values(
        message_id=message_id, user_id=user_id, name=name, created_at=now_ns()
    )
    statement = statement.on_conflict_do_nothing(index_elements=["message_id", "user_id", "name"])
    return await s.scalar(statement.returning(ChannelReaction.id)) is not None


async def remove_reaction(s: AsyncSession, message_id: str, user_id: str, name: str) -> bool:
    """Take a user's reaction back; whether it was there."""
    statement = delete(ChannelReaction).where(
        ChannelReaction.message_id == message_id,
        ChannelReaction.user_id == user_id,
        ChannelReaction.name == name,
    )
    return await s.scalar(statement.returning(ChannelReaction.id)) is not None
