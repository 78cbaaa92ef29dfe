"""Who is in a channel, and how that changes while they are connected.

A membership that is granted lets the user's sessions into the channel's room at once, on
every replica; one that ends takes them out. Each is committed first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from heliograph.channels import member_repository
from heliograph.channels.access import standing
from heliograph.channels.announce import Announcer
from heliograph.channels.ordering import ChannelOrder
from heliograph.errors import BadPayload, Conflict, NotFound
from heliograph.principal import Principal
from heliograph.store import Database
from heliograph.store.models import Channel

MAX_USER_IDS = 1_000
"""Users whom one request may add or remove."""


class Membership:
    """Members of channels.

    Every method raises :class:`NotFound` for a channel the user may not know of.
    """

    def __init__(self, database: Database, announce: Announcer, order: ChannelOrder) -> None:
        self._db = database
        self._announce = announce
        self._order = order

    async def page(
        self, user: Principal, channel_id: str, *, skip: int = 0, limit: int = 50
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of ``{id, name, role, member_role, joined_at}`` by name, and the number of
        all; ``role`` is the user's in the installation, ``member_role`` ``manager`` or
        ``member``."""
        async with self._db.read() as s:
            place = await standing(s, user, channel_id)
            return await member_repository.page(s, place.channel, skip, limit)

    async def add(
        self, user: Principal, channel_id: str, user_ids: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Make users members of a private channel; their sessions enter its room at once.

        :returns: the new ones, ``{channel_id, user_id, role, joined_at, last_read_at}``.
        :raises Forbidden: not a manager.
        :raises NotFound: one of the ids is no active user's; nobody was added.
        :raises Conflict: the channel is public.
        """
        wanted = _distinct(user_ids)
        async with self._order.change(channel_id) as change:
            async with self._db.write() as s:
                place = await change.enter(s, user)
                place.require_manager()
                _require_private(place.channel)
                unknown = await member_repository.unknown_users(s, wanted)
                if unknown:
                    raise NotFound(f"no user {unknown[0]}", path="user_ids")
                added = await member_repository.add(s, channel_id, wanted)
            ids = [member["user_id"] for member in added]
            async with change.announcing():
                await self._announce.opened(place.channel, user, ids)
        return added

    async def remove(self, user: Principal, channel_id: str, user_ids: Sequence[str]) -> int:
        """End memberships of a private channel; the users' sessions leave its room at once.

        :returns: how many were members.
        :raises Forbidden: not a manager.
        :raises Conflict: the channel is public, or one of the users manages it.
        """
        unwanted = _distinct(user_ids)
        async with self._order.change(channel_id) as change:
            async with self._db.write() as s:
                place = await change.enter(s, user)
                place.require_manager()
                _require_private(place.channel)
                managers = await member_repository.managers_among(s, channel_id, unwanted)
                if managers:
                    raise Conflict(
                        f"user {managers[0]} manages channel {channel_id} and cannot be removed"
                    )
                removed = await member_repository.remove(s, channel_id, unwanted)
            async with change.announcing():
                await self._announce.withdrawn(channel_id, user, removed)
        return len(removed)


def _distinct(user_ids: Sequence[str]) -> list[str]:
    distinct = list(dict.fromkeys(user_ids))
    if not 0 < len(distinct) <= MAX_USER_IDS:
        raise BadPayload(
            f"user_ids: 1 to {MAX_USER_IDS} users, got {len(distinct)}", path="user_ids"
        )
    return distinct


def _require_private(channel: Channel) -> None:
    if not channel.private:
        raise Conflict(f"channel {channel.id} is public: every user is a member")
