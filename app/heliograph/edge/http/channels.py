"""Channels over HTTP: channels, members, messages, threads, reactions."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from heliograph.edge.http.deps import CurrentUser, Limit, Skip, TheServices
from heliograph.edge.payloads import Id, Payload

router = APIRouter(prefix="/api/v1/channels", tags=["channels"])

# Sizes of texts are the feature's to judge: it says `too_large`, not `bad_payload`.


class ChannelForm(Payload):
    """A new channel: public, unless ``private``."""

    name: str
    private: bool | None = None
    description: str | None = None


class ChannelUpdate(Payload):
    """What shall change."""

    name: str | None = None
    private: bool | None = None
    description: str | None = None


class MembersForm(Payload):
    """Users to add or remove; at most 1,000."""

    user_ids: Annotated[list[Id], Field(min_length=1, max_length=1_000)]


class MessageForm(Payload):
    """A message of 1 to 100,000 characters. ``temp_id`` comes back in its event."""

    content: str
    parent_id: Id | None = None
    data: dict[str, Any] | None = None
    meta: dict[str, Any] | None = None
    temp_id: str | None = None


class MessageUpdate(Payload):
    """New content; ``data`` and ``meta`` are merged into what the message has."""

    content: str
    data: dict[str, Any] | None = None
    meta: dict[str, Any] | None = None


class ReactionForm(Payload):
    """A reaction's name of 1 to 100 characters, e.g. ``+1``."""

    name: str


class ChannelAnswer(BaseModel):
    """A channel as the caller sees it; times are nanoseconds since 1970."""

    id: str
    user_id: str
    name: str
    description: str | None
    private: bool
    created_at: int
    updated_at: int
    unread_count: int
    last_message_at: int | None
    last_read_at: int | None
    is_manager: bool


class UserName(BaseModel):
    """A user's id and name."""

    id: str
    name: str


class Author(UserName):
    """Who wrote a message."""

    role: str


class Reaction(BaseModel):
    """One reaction to a message, with all who gave it."""

    name: str
    users: list[UserName]
    user_ids: list[str]
    count: int


class MessageAnswer(BaseModel):
    """A message; times are nanoseconds since 1970."""

    id: str
    channel_id: str
    user_id: str
    parent_id: str | None
    content: str
    data: dict[str, Any] | None
    meta: dict[str, Any] | None
    created_at: int
    updated_at: int
    user: Author
    reactions: list[Reaction]
    reply_count: int
    latest_reply_at: int | None


class Member(BaseModel):
    """A member: ``role`` in the installation, ``member_role`` in the channel."""

    id: str
    name: str
    role: str
    member_role: str
    joined_at: int | None


class MembersAnswer(BaseModel):
    """A page of members by name, and the number of all."""

    users: list[Member]
    total: int


class Membership(BaseModel):
    """A membership that was added."""

    channel_id: str
    user_id: str
    role: str
    joined_at: int
    last_read_at: int


# -- channels --------------------------------------------------------------------------


@router.get("/", response_model=list[ChannelAnswer])
async def list_channels(
    user: CurrentUser, services: TheServices, skip: Skip = 0, limit: Limit = 50
) -> Any:
    """The channels the caller may see, oldest first; an administrator sees all."""
    return await services.channels.page(user, skip=skip, limit=limit)


@router.post("/create", response_model=ChannelAnswer)
async def create_channel(body: ChannelForm, user: CurrentUser, services: TheServices) -> Any:
    """Create a channel that the caller manages."""
    return await services.channels.create(
        user, body.name, private=body.private or False, description=body.description
    )


@router.get("/{channel_id}", response_model=ChannelAnswer)
async def get_channel(channel_id: Id, user: CurrentUser, services: TheServices) -> Any:
    """One channel."""
    return await services.channels.get(user, channel_id)


@router.post("/{channel_id}/update", response_model=ChannelAnswer)
async def update_channel(
    channel_id: Id, body: ChannelUpdate, user: CurrentUser, services: TheServices
) -> Any:
    """Change a channel. Managers only."""
    return await services.channels.update(
        user, channel_id, name=body.name, description=body.description, private=body.private
    )


@router.delete("/{channel_id}/delete")
async def delete_channel(channel_id: Id, user: CurrentUser, services: TheServices) -> bool:
    """Delete a channel with all that is in it. Managers only."""
    await services.channels.delete(user, channel_id)
    return True


# -- members ---------------------------------------------------------------------------


@router.get("/{channel_id}/members", response_model=MembersAnswer)
async def list_members(
    channel_id: Id, user: CurrentUser, services: TheServices, skip: Skip = 0, limit: Limit = 50
) -> Any:
    """The members; of a public channel, every user."""
    users, total = await services.channels.members.page(user, channel_id, skip=skip, limit=limit)
    return {"users": users, "total": total}


@router.post("/{channel_id}/update/members/add", response_model=list[Membership])
async def add_members(
    channel_id: Id, body: MembersForm, user: CurrentUser, services: TheServices
) -> Any:
    """Add members to a private channel, also live. Managers only."""
    return await services.channels.members.add(user, channel_id, body.user_ids)


@router.post("/{channel_id}/update/members/remove")
async def remove_members(
    channel_id: Id, body: MembersForm, user: CurrentUser, services: TheServices
) -> int:
    """Remove members from a private channel, also live; how many were. Managers only."""
    return await services.channels.members.remove(user, channel_id, body.user_ids)


# -- messages --------------------------------------------------------------------------


@router.get("/{channel_id}/messages", response_model=list[MessageAnswer])
async def list_messages(
    channel_id: Id, user: CurrentUser, services: TheServices, skip: Skip = 0, limit: Limit = 50
) -> Any:
    """Messages that are no replies, newest first."""
    return await services.channels.messages.page(user, channel_id, skip=skip, limit=limit)


@router.post("/{channel_id}/messages/post", response_model=MessageAnswer)
async def post_message(
    channel_id: Id, body: MessageForm, user: CurrentUser, services: TheServices
) -> Any:
    """Post a message, or with `parent_id` a reply."""
    return await services.channels.messages.post(
        user,
        channel_id,
        body.content,
        parent_id=body.parent_id,
        data=body.data,
        meta=body.meta,
        temp_id=body.temp_id,
    )


@router.get("/{channel_id}/messages/{message_id}", response_model=MessageAnswer)
async def get_message(
    channel_id: Id, message_id: Id, user: CurrentUser, services: TheServices
) -> Any:
    """One message."""
    return await services.channels.messages.get(user, channel_id, message_id)


@router.get("/{channel_id}/messages/{message_id}/thread", response_model=list[MessageAnswer])
async def list_thread(
    channel_id: Id,
    message_id: Id,
    user: CurrentUser,
    services: TheServices,
    skip: Skip = 0,
    limit: Limit = 50,
) -> Any:
    """The thread of a message: newest reply first, the message it hangs on last."""
    return await services.channels.messages.thread(
        user, channel_id, message_id, skip=skip, limit=limit
    )


@router.post("/{channel_id}/messages/{message_id}/update", response_model=MessageAnswer)
async def update_message(
    channel_id: Id, message_id: Id, body: MessageUpdate, user: CurrentUser, services: TheServices
) -> Any:
    """Change a message. Its author and managers only."""
    return await services.channels.messages.edit(
        user, channel_id, message_id, body.content, data=body.data, meta=body.meta
    )


@router.delete("/{channel_id}/messages/{message_id}/delete")
async def delete_message(
    channel_id: Id, message_id: Id, user: CurrentUser, services: TheServices
) -> bool:
    """Delete a message with its thread. Its author and managers only."""
    await services.channels.messages.delete(user, channel_id, message_id)
    return True


@router.post("/{channel_id}/messages/{message_id}/reactions/add")
async def add_reaction(
    channel_id: Id, message_id: Id, body: ReactionForm, user: CurrentUser, services: TheServices
) -> bool:
    """React to a message; twice is once."""
    await services.channels.messages.react(user, channel_id, message_id, body.name)
    return True


@router.post("/{channel_id}/messages/{message_id}/reactions/remove")
async def remove_reaction(
    channel_id: Id, message_id: Id, body: ReactionForm, user: CurrentUser, services: TheServices
) -> bool:
    """Take a reaction back; without one, nothing happens."""
    await services.channels.messages.unreact(user, channel_id, message_id, body.name)
    return True
