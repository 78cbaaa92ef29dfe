"""SQL of a channel's members. Times are nanoseconds since 1970."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from heliograph.channels.access import MANAGER, MEMBER, MEMBERS, READER
from heliograph.channels.repository import PENDING, upsert
from heliograph.store import now_ns
from heliograph.store.models import Channel, ChannelMember, User


def _is_member(channel: Channel) -> ColumnElement[bool]:
    active = User.role != PENDING
    return and_(active, ChannelMember.role.in_(MEMBERS)) if channel.private else active


async def page(
    s: AsyncSession, channel: Channel, skip: int, limit: int
) -> tuple[list[dict[str, Any]], int]:
    """A page of the channel's members by name, and the number of all."""
    row = and_(ChannelMember.user_id == User.id, ChannelMember.channel_id == channel.id)
    members = select(User).outerjoin(ChannelMember, row).where(_is_member(channel))
    total = await s.scalar(members.with_only_columns(func.count()))
    page = (
        members.with_only_columns(
            User.id, User.name, User.role, ChannelMember.role, ChannelMember.joined_at
        )
        .order_by(User.name, User.id)
        .offset(skip)
        .limit(limit)
    )
    return [
        {
            "id": user_id,
            "name": name,
            "role": role,
            "member_role": MANAGER if member_role == MANAGER else MEMBER,
            "joined_at": joined_at,
        }
        for user_id, name, role, member_role, joined_at in await s.execute(page)
    ], total or 0


async def ids(s: AsyncSession, channel_id: str) -> list[str]:
    """Ids of the users with a row of membership."""
    query = select(ChannelMember.user_id).where(
        ChannelMember.channel_id == channel_id, ChannelMember.role.in_(MEMBERS)
    )
    return list(await s.scalars(query))


async def unknown_users(s: AsyncSession, user_ids: Sequence[str]) -> list[str]:
    """Those of the ids that are no active user's."""
    query = select(User.id).where(User.id.in_(user_ids), User.role != PENDING)
    known = set(await s.scalars(query))
    return [user_id for user_id in user_ids if user_id not in known]


async def add(s: AsyncSession, channel_id: str, user_ids: Iterable[str]) -> list[dict[str, Any]]:
    """Make users members; the new ones are returned. What is there is history to them."""
    now = now_ns()
    rows = [
        {
            "channel_id": channel_id,
            "user_id": user_id,
            "role": MEMBER,
            "joined_at": now,
            "last_read_at": now,
        }
        for user_id in user_ids
    ]
    statement = upsert(s, ChannelMember).values(rows)
    statement = statement.on_conflict_do_update(
        index_elements=["channel_id", "user_id"],
        set_={"role": MEMBER, "joined_at": now, "last_read_at": now},
        where=ChannelMember.role == READER,
    )
    added = set(await s.scalars(statement.returning(ChannelMember.user_id)))
    return [row for row in rows if row["user_id"] in added]


async def managers_among(s: AsyncSession, channel_id: str, user_ids: Sequence[str]) -> list[str]:
    """Those of the ids that are managers of the channel."""
    query = select(ChannelMember.user_id).where(
        ChannelMember.channel_id == channel_id,
        ChannelMember.user_id.in_(user_ids),
        ChannelMember.role == MANAGER,
    )
    return list(await s.scalars(query))


async def remove(s: AsyncSession, channel_id: str, user_ids: Sequence[str]) -> list[str]:
    """End memberships; the ids of those who were members."""
    statement = (
        delete(ChannelMember)
        .where(
            ChannelMember.channel_id == channel_id,
            ChannelMember.user_id.in_(user_ids),
            ChannelMember.role == MEMBER,
        )
        .returning(ChannelMember.user_id)
    )
    return list(await s.scalars(statement))
