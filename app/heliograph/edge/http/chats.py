"""Chats over HTTP, and the emitter and caller for tools outside the server."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from heliograph.chat import ChatId, ClientChat, MessageId
from heliograph.edge.http.deps import CurrentUser, Limit, Skip, TheServices
from heliograph.edge.payloads import FreeForm, Id, Payload

router = APIRouter(prefix="/api/v1/chats", tags=["chat"])

ChatPath = Annotated[MessageId, Path()]
EventChatPath = Annotated[ChatId, Path()]
MessagePath = Annotated[MessageId, Path()]


class ChatForm(BaseModel):
    """A page's copy of a chat, or the part of it that changed."""

    chat: ClientChat = ClientChat()


class Grant(Payload):
    """Reading, for one user."""

    principal_type: Literal["user"]
    principal_id: Id
    permission: Literal["read"]


class GrantsForm(Payload):
    """All grants of the chat; those that are not named are taken back."""

    access_grants: Annotated[list[Grant], Field(max_length=500)]


class EventForm(BaseModel):
    """One event of a message."""

    type: str
    data: FreeForm = None


class CallForm(EventForm):
    """One call of a session of the chat's owner."""

    session_id: str


class ChatEntry(BaseModel):
    """A chat in a list; `state` is that of its current message, times are in seconds."""

    id: str
    title: str
    tags: list[Any]
    created_at: int
    updated_at: int
    last_read_at: int
    active: bool
    state: str | None


class ChatAnswer(BaseModel):
    """A chat with its messages by id in `chat.history.messages`."""

    model_config = ConfigDict(extra="allow")

    id: str
    user_id: str
    title: str
    chat: dict[str, Any]
    tags: list[Any]
    created_at: int
    updated_at: int


@router.get("/", response_model=list[ChatEntry])
async def list_chats(
    user: CurrentUser,
    services: TheServices,
    skip: Skip = 0,
    limit: Limit = 60,
    query: Annotated[str, Query(max_length=200)] = "",
) -> Any:
    """The caller's chats, the last changed first; `active` ones are being answered.

    `query` keeps those with this text in their title or in a message.
    """
    return await services.chat.chats.page(user, skip=skip, limit=limit, containing=query)


@router.post("/new", response_model=ChatAnswer)
async def create_chat(body: ChatForm, user: CurrentUser, services: TheServices) -> Any:
    """A new chat. Without a title it gets one from its first question."""
    return await services.chat.chats.create(user, body.chat)


@router.get("/{chat_id}", response_model=ChatAnswer)
async def get_chat(chat_id: ChatPath, user: CurrentUser, services: TheServices) -> Any:
    """A chat with its messages; an answer in flight as far as it has come, with its `seq`.

    Its owner, and whom it is shared with.
    """
    return await services.chat.chats.get(user, chat_id)


@router.post("/{chat_id}", response_model=ChatAnswer)
async def update_chat(
    chat_id: ChatPath, body: ChatForm, user: CurrentUser, services: TheServices
) -> Any:
    """Merge the caller's copy: title, models, tags, messages, and fields of the page's own.

    Messages are added or edited, never removed. An answer in flight, and what only the
    server writes, stay as they are.
    """
    return await services.chat.chats.update(user, chat_id, body.chat)


@router.delete("/{chat_id}")
async def delete_chat(chat_id: ChatPath, user: CurrentUser, services: TheServices) -> bool:
    """Stop what runs in the chat and delete it."""
    await services.chat.chats.delete(user, chat_id)
    return True


@router.post("/{chat_id}/access/update", response_model=ChatAnswer)
async def share_chat(
    chat_id: ChatPath, body: GrantsForm, user: CurrentUser, services: TheServices
) -> Any:
    """Share the chat for reading with exactly these users; others are out at once."""
    readers = {grant.principal_id for grant in body.access_grants}
    return await services.chat.chats.share(user, chat_id, readers)


@router.post("/{chat_id}/messages/{message_id}/event")
async def emit_event(
    chat_id: EventChatPath,
    message_id: MessagePath,
    body: EventForm,
    user: CurrentUser,
    services: TheServices,
) -> bool:
    """Emit an event of a message, with its database action, for tools outside the server.

    The chat's owner (an API key will do), or an administrator.
    """
    access = await services.chat.chats.writable(user, chat_id, admin=True)
    info = {"user_id": access.owner, "chat_id": chat_id, "message_id": message_id}
    await services.chat.emit(info, {"type": body.type, "data": body.data})
    return True


@router.post("/{chat_id}/messages/{message_id}/call")
async def call_session(
    chat_id: EventChatPath,
    message_id: MessagePath,
    body: CallForm,
    user: CurrentUser,
    services: TheServices,
) -> dict[str, Any]:
    """Ask a session of the chat's owner and return its answer as `{result}`.

    409 `session_gone` when it is not connected (or another user's), `call_timeout` when no
    answer came within `WEBSOCKET_EVENT_CALLER_TIMEOUT`.
    """
    access = await services.chat.chats.writable(user, chat_id, admin=True)
    info = {
        "user_id": access.owner,
        "chat_id": chat_id,
        "message_id": message_id,
        "session_id": body.session_id,
    }
    return {"result": await services.chat.call(info, {"type": body.type, "data": body.data})}
