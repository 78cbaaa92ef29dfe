"""Who may do what in a channel.

A public channel is open to every user. A private one exists only for its members
(rows with the role ``manager`` or ``member``) and for administrators, who may read and
manage every channel. A manager changes the channel, its members and anybody's messages.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from heliograph.errors import Forbidden, NotFound
from heliograph.principal import Principal
from heliograph.store.models import Channel, ChannelMember

MANAGER, MEMBER, READER = "manager", "member", "reader"

MEMBERS = (MANAGER, MEMBER)
"""Roles that make a row a membership; a ``reader`` row only holds a read mark."""


def room_of(channel_id: str) -> str:
    """The channel's room."""
    return f"channel:{channel_id}"


def no_channel(channel_id: str) -> NotFound:
    """The refusal for a channel that does not exist, as far as the caller may know."""
    return NotFound(f"no channel {channel_id}")


@dataclass(frozen=True, slots=True)
class Standing:
    """A user who may read a channel, and what the user is in it.

    :ivar role: ``manager``, ``member``, ``reader``, or ``None`` without a row.
    """

    user: Principal
    channel: Channel
    role: str | None

    @property
    def is_manager(self) -> bool:
        """Whether the user may change the channel."""
        return self.user.is_admin or self.role == MANAGER

    def require_manager(self) -> None:
        """:raises Forbidden: the user is not a manager."""
        if not self.is_manager:
            raise Forbidden(f"only a manager may change channel {self.channel.id}")


def visible_to(user: Principal) -> ColumnElement[bool]:
    """The condition under which a channel is there for the user.

    For a query that joins the user's own row of :class:`ChannelMember`, outer.
    """
    if user.is_admin:
        return Channel.id.is_not(None)
    return or_(Channel.private.is_(False), ChannelMember.role.in_(MEMBERS))


def own_row(user_id: str) -> ColumnElement[bool]:
    """The join condition for the user's own row."""
    return and_(ChannelMember.channel_id == Channel.id, ChannelMember.user_id == user_id)


async def standing(s: AsyncSession, user: Principal, channel_id: str) -> Standing:
    """What the user is in the channel.

    :raises NotFound: no such channel for this user.
    """
    query = (
        select(Channel, ChannelMember.role)
        .outerjoin(ChannelMember, own_row(user.id))
        .where(Channel.id == channel_id, visible_to(user))
    )
    found = (await s.execute(query)).one_or_none()
    if found is None:
        raise no_channel(channel_id)
    return Standing(user, found[0], found[1])


async def enter(s: AsyncSession, user: Principal, channel_id: str) -> Standing:
    """:func:`standing` for a change: nobody else changes the channel until it commits.
    The channel's ``seq`` is the number of this change.

    :raises NotFound: no such channel for this user.
    """
    # A statement of its own: what is read after it sees the last change's commit.
    number = update(Channel).where(Channel.id == channel_id).values(seq=Channel.seq + 1)
    await s.execute(number.execution_options(synchronize_session=False))
    return await standing(s, user, channel_id)
