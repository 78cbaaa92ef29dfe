"""SQL of channels and read marks. Times are nanoseconds since 1970."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Select,
    delete,
    func,
    or_,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from heliograph.channels.access import MANAGER, MEMBERS, READER, own_row, visible_to
from heliograph.principal import Principal
from heliograph.store import now_ns
from heliograph.store.models import Channel, ChannelMember, ChannelMessage, User

PENDING = "pending"


def upsert(s: AsyncSession, table: type[Any]) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows ON CONFLICT, in the database's dialect."""
    if s.get_bind().dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)


def channel_view(channel: Channel) -> dict[str, Any]:
    """A channel as everybody in it may see it."""
    return {
        "id": channel.id,
        "user_id": channel.user_id,
        "name": channel.name,
        "description": channel.description,
        "private": channel.private,
        "created_at": channel.created_at,
        "updated_at": channel.updated_at,
    }


def _personal(user: Principal) -> Select[Any]:
    newest = (
        select(func.max(ChannelMessage.created_at))
        .where(ChannelMessage.channel_id == Channel.id)
        .correlate(Channel)
        .scalar_subquery()
    )
    # Who has never read a public channel begins with the account: the messages from
    # before it are history, not news.
    since = func.coalesce(
        ChannelMember.last_read_at,
        select(User.created_at * 1_000_000_000).where(User.id == user.id).scalar_subquery(),
        0,
    )
    unread = (
        select(func.count())
        .where(
            ChannelMessage.channel_id == Channel.id,
            ChannelMessage.parent_id.is_(None),
            ChannelMessage.user_id != user.id,
            ChannelMessage.created_at > since,
        )
        .correlate(Channel, ChannelMember)
        .scalar_subquery()
    )
    return (
        select(Channel, ChannelMember.role, ChannelMember.last_read_at, newest, unread)
        .outerjoin(ChannelMember, own_row(user.id))
        .where(visible_to(user))
        .order_by(Channel.created_at, Channel.id)
    )


async def personal_views(
    s: AsyncSession,
    user: Principal,
    *,
    channel_id: str | None = None,
    skip: int = 0,
    limit: int = 1,
) -> list[dict[str, Any]]:
    """Channels as the user sees them, oldest first: with what is unread, and whether the
    user manages them."""
    query = _personal(user).offset(skip).limit(limit)
    if channel_id is not None:
        query = query.where(Channel.id == channel_id)
    return [
        {
            **channel_view(channel),
            "unread_count": unread,
            "last_message_at": newest,
            "last_read_at": read_at,
            "is_manager": user.is_admin or role == MANAGER,
        }
        for channel, role, read_at, newest, unread in await s.execute(query)
    ]


async def ids_of(s: AsyncSession, user_id: str) -> list[str]:
    """Ids of the channels whose rooms the user's sessions belong in; none while pending."""
    active = select(User.id).where(User.id == user_id, User.role != PENDING).exists()
    query = (
        select(Channel.id)
        .outerjoin(ChannelMember, own_row(user_id))
        .where(active, or_(Channel.private.is_(False), ChannelMember.role.in_(MEMBERS)))
        .order_by(Channel.created_at, Channel.id)
    )
    return list(await s.scalars(query))


async def add(s: AsyncSession, channel: Channel) -> None:
    """A new channel; its creator manages it."""
    row = ChannelMember(
        channel_id=channel.id,
        user_id=channel.user_id,
        role=MANAGER,
        joined_at=channel.created_at,
        last_read_at=channel.created_at,
    )
    s.add(channel)
    await s.flush()
    s.add(row)


async def remove(s: AsyncSession, channel_id: str) -> None:
    """Delete a channel with all that is in it."""
    statement = delete(Channel).where(Channel.id == channel_id)
    await s.execute(statement.execution_options(synchronize_session=False))


# -- read marks ------------------------------------------------------------------------


async def move_read_mark(s: AsyncSession, channel_id: str, user_id: str) -> int | None:
    """Set the user's mark to the channel's newest message; the new mark, or ``None`` when
    it was there already.

    The mark is a message's time, not the clock's: a message that is being committed
    now gets a later time, so it cannot be taken for read.
    """
    newest = await s.scalar(
        select(func.max(ChannelMessage.created_at)).where(ChannelMessage.channel_id == channel_id)
    )
    if newest is None:
        return None
    statement = upsert(s, ChannelMember).values(
        channel_id=channel_id,
        user_id=user_id,
        role=READER,
        joined_at=now_ns(),
        last_read_at=newest,
    )
    statement = statement.on_conflict_do_update(
        index_elements=["channel_id", "user_id"],
        set_={"last_read_at": statement.excluded.last_read_at},
        where=ChannelMember.last_read_at < statement.excluded.last_read_at,
    )
    moved: int | None = await s.scalar(statement.returning(ChannelMember.last_read_at))
    return moved
