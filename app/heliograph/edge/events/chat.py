"""Events of chats: opening one in mid-stream, its read mark, lines of a page's own model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from heliograph.chat import ChatId
from heliograph.delivery import Inbound, Session
from heliograph.edge.gateway import Gateway
from heliograph.edge.payloads import FreeForm, Id, Payload, ShortText
from heliograph.edge.services import Services
from heliograph.errors import BadPayload


class JoinChat(Payload):
    """``{chat_id, message_id?, last_seq?}``."""

    chat_id: ChatId
    message_id: Id | None = None
    last_seq: Annotated[int, Field(ge=0)] | None = None


class ChatEventData(Payload):
    """``{type, data}``."""

    type: ShortText
    data: FreeForm = None


class ChatEvent(Payload):
    """``{chat_id, data: {type, data}}``."""

    chat_id: ChatId
    data: ChatEventData


def register(gateway: Gateway, services: Services) -> None:
    """Add this module's events."""
    chat = services.chat

    @gateway.on("join-chat", model=JoinChat)
    async def join_chat(session: Session, payload: JoinChat) -> dict[str, object]:
        return await chat.chats.open(session, payload.chat_id, payload.message_id, payload.last_seq)

    @gateway.on("events:chat", model=ChatEvent)
    async def chat_event(session: Session, payload: ChatEvent) -> dict[str, object]:
        if payload.data.type != "last_read_at":
            raise BadPayload(
                f"no such type of chat event: {payload.data.type[:100]!r}",
                code="unknown_type",
                path="data.type",
            )
        assert session.user is not None
        at = await chat.chats.mark_read(session.user, payload.chat_id)
        return {"chat_id": payload.chat_id, "last_read_at": at}

    @gateway.on_dynamic
    async def line_of_a_direct_model(session: Session, event: Inbound) -> bool:
        confirmed = event.ack_id is not None
        ours = await chat.direct.receive(session, event.name, event.args, confirmed=confirmed)
        if ours and event.ack_id is not None:
            session.acknowledge(event.ack_id, {"ok": True})
        return ours
