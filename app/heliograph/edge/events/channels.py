"""Events of channels: typing and read marks. Everything else changes over HTTP."""

from __future__ import annotations

from pydantic import StrictBool

from heliograph.delivery import Session
from heliograph.edge.gateway import Gateway, parse
from heliograph.edge.payloads import FreeForm, Id, Payload, ShortText
from heliograph.edge.services import Services
from heliograph.errors import BadPayload, HeliographError


class ChannelEventData(Payload):
    """``{type, data}``; ``data`` is the type's."""

    type: ShortText
    data: FreeForm = None


class ChannelEvent(Payload):
    """``{channel_id, message_id?, data: {type, data}}``."""

    channel_id: Id
    message_id: Id | None = None
    data: ChannelEventData


class Typing(Payload):
    """``{typing}``."""

    typing: StrictBool


def register(gateway: Gateway, services: Services) -> None:
    """Add this module's events."""

    @gateway.on("events:channel", "channel-events", model=ChannelEvent)
    async def channel_event(session: Session, payload: ChannelEvent) -> None:
        match payload.data.type:
            case "typing":
                state = _typing(payload.data.data)
                await services.channels.typing(
                    session, payload.channel_id, state.typing, payload.message_id
                )
            case "last_read_at":
                await services.channels.mark_read(session, payload.channel_id)
            case unknown:
                raise HeliographError(
                    f"no such type of channel event: {unknown[:100]!r}",
                    code="unknown_type",
                    path="data.type",
                )


def _typing(raw: object) -> Typing:
    try:
        return parse(Typing, raw)
    except BadPayload as fault:
        path = ".".join(part for part in ("data.data", fault.path) if part)
        raise BadPayload(f"data.data: {fault.message}", path=path) from None
