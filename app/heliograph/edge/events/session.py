"""Events of the session itself: joining as a user, heartbeat, model use, channel rooms."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import StringConstraints

from heliograph.delivery import Session
from heliograph.edge.gateway import Gateway
from heliograph.edge.payloads import Empty, Payload, WithAuth
from heliograph.edge.services import Services
from heliograph.errors import Forbidden, Unauthenticated
from heliograph.identity import PENDING
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
    if user.role == "pending":
        raise Unauthenticated(PENDING, code="user_pending")
    if session.user is not None and session.user.id != user.id:
        raise Forbidden("the token is another user's: connect anew", code="user_mismatch")
    return user


def register(gateway: Gateway, services: Services) -> None:
    """Add this module's events."""

    @gateway.on("user-join", model=WithAuth, public=True)
    async def user_join(session: Session, payload: WithAuth) -> dict[str, Any]:
        user = await reverify(services, session, payload.auth.token)
        await services.lifecycle.identify(session, user)
        await services.channels.enter_rooms(session)
        return {"id": user.id, "name": user.name}

    @gateway.on("join-channels", model=WithAuth)
    async def join_channels(session: Session, payload: WithAuth) -> dict[str, Any]:
        await reverify(services, session, payload.auth.token)
        return {"channels": await services.channels.enter_rooms(session)}

    @gateway.on("heartbeat", model=Empty, public=True)
    async def heartbeat(session: Session, payload: Empty) -> None:
        services.sessions.heartbeat(session)

    @gateway.on("usage", model=Usage)
    async def usage(session: Session, payload: Usage) -> None:
        services.sessions.use(session, payload.model)
