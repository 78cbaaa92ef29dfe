"""What HTTP routes ask for by type: the services, the caller, a page of a list."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from heliograph.edge.services import Services
from heliograph.errors import Forbidden, Unauthenticated
from heliograph.identity import PENDING
from heliograph.principal import Principal


def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


TheServices = Annotated[Services, Depends(_services)]


_bearer = HTTPBearer(auto_error=False, description="A token, or an API key (`sk-…`).")


async def _current_user(
    services: TheServices,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Principal:
    if credentials is None or not credentials.credentials:
        raise Unauthenticated(
            "send a token: Authorization: Bearer <token or API key>", code="token_missing"
        )
    user = await services.identity.authenticate(credentials.credentials, allow_api_key=True)
    if user.role == "pending":
        raise Forbidden(PENDING, code="user_pending")
    return user


CurrentUser = Annotated[Principal, Depends(_current_user)]


async def _current_admin(user: CurrentUser) -> Principal:
    if not user.is_admin:
        raise Forbidden("for administrators only")
    return user


CurrentAdmin = Annotated[Principal, Depends(_current_admin)]

Skip = Annotated[int, Query(ge=0, le=1_000_000, description="Entries to pass over.")]
Limit = Annotated[int, Query(ge=1, le=200, description="Entries to return at most.")]
