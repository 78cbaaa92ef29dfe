"""The channels of an installation: who is in them, and what becomes of them.

Guarantees: a change of membership reaches the sessions that are connected, or away for
a moment, at once; what a user may not know of answers :class:`NotFound`.

A public channel has every user as a member. A private one has the members of its rows.
Administrators see and manage all channels, but their sessions enter only the rooms of
those they are members of. Members of a private channel stay on record while it is
public, so that they are its members again when it turns private.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from heliograph.channels import limits, member_repository, repository
from heliograph.channels.access import no_channel, room_of, standing
from heliograph.channels.announce import Announcer
from heliograph.channels.conversation import Conversation
from heliograph.channels.membership import Membership
from heliograph.channels.ordering import ChannelOrder, Turns
from heliograph.channels.repository import channel_view
from heliograph.delivery import Hub, Session
from heliograph.errors import Forbidden, NotFound
from heliograph.principal import Principal
from heliograph.store import Database, now_ns
from heliograph.store.models import Channel


class Channels:
    """Channels and their read marks; ``members`` is about who is in them, ``messages``
    about what is said there.

    A channel is ``{id, user_id, name, description, private, created_at, updated_at}``;
    as one user sees it, ``{unread_count, last_message_at, last_read_at, is_manager}``
    besides. Times are nanoseconds since 1970.

    :param turns: which changes were announced, for all replicas; default: for this process.
    """

    def __init__(self, database: Database, hub: Hub, turns: Turns | None = None) -> None:
        self._db = database
        self._hub = hub
        self._announce = Announcer(hub)
        self._order = ChannelOrder(turns)
        self.members = Membership(database, self._announce, self._order)
        self.messages = Conversation(database, self._announce, self._order)

    # -- for the sessions ------------------------------------------------------------

    async def channel_ids_of(self, user_id: str) -> list[str]:
        """Ids of the channels whose rooms the user's sessions belong in, oldest first."""
        async with self._db.read() as s:
            return await repository.ids_of(s, user_id)

    async def enter_rooms(self, session: Session) -> list[str]:
        """Let a session into the rooms of all its user's channels; their ids.

        What is revoked while it enters is looked up again afterwards: the order to
        leave may have come before the session was in.
        """
        assert session.user_id is not None
        ids = await self.channel_ids_of(session.user_id)
        await self._hub.join(session, *map(room_of, ids))
        allowed = set(await self.channel_ids_of(session.user_id))
        if not allowed.issuperset(ids):
            for channel_id in ids:
                if channel_id not in allowed:
                    self._hub.leave(session, room_of(channel_id))
            await self._hub.settled(session)
        return [channel_id for channel_id in ids if channel_id in allowed]

    async def may_read(self, user: Principal, channel_id: str) -> bool:
        """Whether the channel is there for the user."""
        try:
            async with self._db.read() as s:
                await standing(s, user, channel_id)
        except NotFound:
            return False
        return True

    # -- channels --------------------------------------------------------------------

    async def page(
        self, user: Principal, *, skip: int = 0, limit: int = 50
    ) -> list[dict[str, Any]]:
        """The channels that are there for the user, oldest first."""
        async with self._db.read() as s:
            return await repository.personal_views(s, user, skip=skip, limit=limit)

    async def get(self, user: Principal, channel_id: str) -> dict[str, Any]:
        """One channel as the user sees it.

        :raises NotFound: none for this user.
        """
        async with self._db.read() as s:
            found = await repository.personal_views(s, user, channel_id=channel_id)
        if not found:
            raise no_channel(channel_id)
        return found[0]

    async def create(
        self,
        user: Principal,
        name: str,
        *,
        private: bool = False,
        description: str | None = None,
    ) -> dict[str, Any]:
        """A new channel that the user manages.

        :raises BadPayload: no name, or not text that can be stored.
        :raises TooLarge: the name or the description.
        """
        at = now_ns()
        channel = Channel(
            id=str(uuid.uuid4()),
            user_id=user.id,
            name=limits.line(name, "name", most=limits.MAX_NAME),
            description=_description(description),
            private=private,
            created_at=at,
            updated_at=at,
        )
        async with self._order.change(channel.id) as change:
            async with self._db.write() as s:
                await repository.add(s, channel)
            async with change.announcing():
                await self._announce.opened(channel, user, [user.id] if private else None)
        return await self.get(user, channel.id)

    async def update(
        self,
        user: Principal,
        channel_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        private: bool | None = None,
    ) -> dict[str, Any]:
        """Change what is given. Who may not see it any more leaves its room at once.

        :raises Forbidden: not a manager.
        """
        values: dict[str, Any] = {}
        if name is not None:
            values["name"] = limits.line(name, "name", most=limits.MAX_NAME)
        if description is not None:
            values["description"] = _description(description)
        async with self._order.change(channel_id) as change:
            async with self._db.write() as s:
                place = await change.enter(s, user)
                place.require_manager()
                before = channel_view(place.channel)
                if private is not None:
                    values["private"] = private
                changed = {key: value for key, value in values.items() if before[key] != value}
                members = await member_repository.ids(s, channel_id)
                if changed:
                    for key, value in {**changed, "updated_at": now_ns()}.items():
                        setattr(place.channel, key, value)
            async with change.announcing():
                await self._announce_update(user, place.channel, before, changed, members)
        return await self.get(user, channel_id)

    async def _announce_update(
        self,
        user: Principal,
        channel: Channel,
        before: dict[str, Any],
        changed: dict[str, Any],
        members: Sequence[str],
    ) -> None:
        if changed.get("private") is True:
            # The last that the others hear of it, so not with its new name.
            await self._announce.updated({**before, "private": True}, user)
            await self._announce.narrowed(channel.id, [*members])
            changed = {key: value for key, value in changed.items() if key != "private"}
        elif changed.get("private") is False:
            await self._announce.opened(channel, user, None)
        if changed:
            await self._announce.updated(channel_view(channel), user)

    async def delete(self, user: Principal, channel_id: str) -> None:
        """Delete a channel with all that is in it, and empty its room.

        :raises Forbidden: not a manager.
        """
        async with self._order.change(channel_id) as change:
            async with self._db.write() as s:
                place = await change.enter(s, user)
                place.require_manager()
                await repository.remove(s, channel_id)
            async with change.announcing():
                await self._announce.deleted(place.channel, user)
        await self._order.forget(channel_id)

    # -- from sessions ---------------------------------------------------------------

    async def typing(
        self, session: Session, channel_id: str, typing: bool, message_id: str | None = None
    ) -> None:
        """Tell the channel that the user types; volatile, the sender's session included.

        :param message_id: the thread the user types in.
        :raises Forbidden: ``not_joined``, the session is not in the channel's room.
        """
        user = _in_room(session, channel_id)
        await self._announce.typing(channel_id, user, typing, message_id)

    async def mark_read(self, session: Session, channel_id: str) -> None:
        """The user has read all there is; the user's sessions are told when that is news.

        :raises Forbidden: ``not_joined``, the session is not in the channel's room.
        :raises NotFound: no such channel for this user.
        """
        user = _in_room(session, channel_id)
        async with self._order.lock(f"{channel_id} read by {user.id}"):
            async with self._db.write() as s:
                await standing(s, user, channel_id)
                moved = await repository.move_read_mark(s, channel_id, user.id)
            if moved is not None:
                await self._announce.read(channel_id, user, moved)


def _in_room(session: Session, channel_id: str) -> Principal:
    # The same answer whether the channel exists or not.
    if session.user is None or room_of(channel_id) not in session.positions:
        raise Forbidden(
            f"this session is not in channel {channel_id}: send join-channels first",
            code="not_joined",
        )
    return session.user


def _description(value: str | None) -> str | None:
    if value is None:
        return None
    return limits.text(value, "description", most=limits.MAX_DESCRIPTION, least=0)
