"""Events of the session itself: joining as a user, heartbeat, model use, channel rooms."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import StringConstraints

from heliograph.delivery import Session
from heliograph.edge.gateway import Gateway
from heliograph.edge.payloads import Empty, Payload, WithAuth
from heliograph.edge.services import Services
from heliograph.errors import Forbidden, Unauthenticated
from heliograph.principal import Principal


class Usage(Payload):
    """``{model}``."""

    model: Annotated[str, StringConstraints(min_length=1, max_length=200)]


async def reverify(services: Services, session: Session, token: str | None) -> Principal:
    """The user of a token sent in an event; it must be the session's own.

    :raises Unauthenticated: no token and no user, or a bad token.
    :raises Forbidden: ``user_mismatch``, another user's token.
    """
    if token is None:
        if session.user is None:
            raise Unauthenticated("send auth: {token}", code="token_missing")
        return session.user
    user = await services.identity.authenticate(token)
    if session.user is not None and session.user.id != user.id:
        raise Forbidden("the token is another user's: connect anew", code="user_mismatch")
    return user


async def enter_channels(services: Services, session: Session) -> list[str]:
    """Enter the rooms of all the user's channels; their ids."""
    assert session.user is not None
    ids = await services.channels.channel_ids_of(session.user.id)
    for channel_id in ids:
        await services.hub.join(session, f"channel:{channel_id}")
    return ids


def register(gateway: Gateway, services: Services) -> None:
    """Add this module's events."""

    @gateway.on("user-join", model=WithAuth, public=True)
    async def user_join(session: Session, payload: WithAuth) -> dict[str, Any]:
        user = await reverify(services, session, payload.auth.token)
        await services.lifecycle.identify(session, user)
        await enter_channels(services, session)
        return {"id": user.id, "name": user.name}

    @gateway.on("join-channels", model=WithAuth)
    async def join_channels(session: Session, payload: WithAuth) -> dict[str, Any]:
        await reverify(services, session, payload.auth.token)
        return {"channels": await enter_channels(services, session)}

    @gateway.on("heartbeat", model=Empty, public=True)
    async def heartbeat(session: Session, payload: Empty) -> None:
        services.sessions.heartbeat(session)

    @gateway.on("usage", model=Usage)
    async def usage(session: Session, payload: Usage) -> None:
        services.sessions.usage.renew(session.sid, payload.model)
