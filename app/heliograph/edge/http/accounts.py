"""Accounts over HTTP: sign-up, sign-in, the caller, API keys, and their administration."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, StringConstraints

from heliograph.edge.http.deps import CurrentAdmin, CurrentUser, Limit, Skip, TheServices
from heliograph.edge.payloads import Id
from heliograph.errors import Conflict, RateLimited
from heliograph.identity import SignedIn

Email = Annotated[
    str,
    StringConstraints(max_length=320, pattern=r"^[^@\s\x00]+@[^@\s\x00]+$", strip_whitespace=True),
]
Name = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=200, strip_whitespace=True, pattern=r"^[^\x00-\x1f]+$"
    ),
]
Password = Annotated[str, StringConstraints(min_length=8, max_length=1000)]


class SignUp(BaseModel):
    """A new account. The password has at least 8 characters."""

    name: Name
    email: Email
    password: Password


class SignIn(BaseModel):
    """Credentials."""

    email: Email
    password: Annotated[str, StringConstraints(max_length=1000)]


class SignedInAnswer(BaseModel):
    """A user with a token."""

    token: str
    token_type: Literal["Bearer"] = "Bearer"
    id: str
    name: str
    email: str
    role: str


class Me(BaseModel):
    """The caller."""

    id: str
    name: str
    email: str
    role: str


class ApiKeyAnswer(BaseModel):
    """A new API key; it is shown this once."""

    api_key: str


class RoleUpdate(BaseModel):
    """``admin``, ``user`` or ``pending``."""

    role: str


class AttemptLimiter:
    """At most so many attempts a minute per address."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._attempts: dict[str, deque[float]] = defaultdict(deque)

    def count(self, address: str) -> None:
        """Count one attempt.

        :raises RateLimited: too many.
        """
        now = time.monotonic()
        if len(self._attempts) > 10_000:
            self._attempts = defaultdict(
                deque, {a: q for a, q in self._attempts.items() if q and now - q[-1] < 60}
            )
        mine = self._attempts[address]
        while mine and now - mine[0] > 60:
            mine.popleft()
        if len(mine) >= self._per_minute:
            raise RateLimited("too many attempts from this address: wait a minute")
        mine.append(now)


def _count_attempt(request: Request) -> None:
    limiter: AttemptLimiter = request.app.state.attempts
    limiter.count(request.client.host if request.client else "")


auths = APIRouter(prefix="/api/v1/auths", tags=["accounts"])
users = APIRouter(prefix="/api/v1/users", tags=["accounts"])


def _answer(signed_in: SignedIn) -> SignedInAnswer:
    user = signed_in.user
    return SignedInAnswer(
        token=signed_in.token, id=user.id, name=user.name, email=user.email, role=user.role
    )


@auths.post("/signup", dependencies=[Depends(_count_attempt)])
async def sign_up(body: SignUp, services: TheServices) -> SignedInAnswer:
    """Create an account. The first account is the administrator's."""
    return _answer(await services.identity.sign_up(body.name, body.email, body.password))


@auths.post("/signin", dependencies=[Depends(_count_attempt)])
async def sign_in(body: SignIn, services: TheServices) -> SignedInAnswer:
    """Get a token."""
    return _answer(await services.identity.sign_in(body.email, body.password))


@auths.get("/")
async def me(user: CurrentUser) -> Me:
    """The caller."""
    return Me(id=user.id, name=user.name, email=user.email, role=user.role)


@auths.post("/api_key")
async def create_api_key(user: CurrentUser, services: TheServices) -> ApiKeyAnswer:
    """Make an API key in place of the old one."""
    return ApiKeyAnswer(api_key=await services.identity.create_api_key(user.id))


@users.get("/")
async def list_users(
    admin: CurrentAdmin,
    services: TheServices,
    skip: Skip = 0,
    limit: Limit = 50,
    query: Annotated[str, Query(max_length=200)] = "",
) -> dict[str, Any]:
    """Accounts, with their activity."""
    found, total = await services.identity.list_users(query, skip, limit)
    return {
        "users": [
            {
                "id": user.id, "name": user.name, "email": user.email, "role": user.role,
                "created_at": user.created_at, "last_active_at": user.last_active_at,
            }
            for user in found
        ],
        "total": total,
    }  # fmt: skip


@users.get("/search")
async def search_users(
    user: CurrentUser,
    services: TheServices,
    skip: Skip = 0,
    limit: Limit = 30,
    query: Annotated[str, Query(max_length=200)] = "",
) -> dict[str, Any]:
    """People by name, to invite or share with."""
    found, total = await services.identity.list_users(query, skip, limit)
    return {"users": [{"id": u.id, "name": u.name, "role": u.role} for u in found], "total": total}


@users.post("/{user_id}/update")
async def update_user(
    user_id: Id, body: RoleUpdate, admin: CurrentAdmin, services: TheServices
) -> Me:
    """Change a role. The user's sockets end and come back with it."""
    if user_id == admin.id:
        raise Conflict("nobody changes their own role")
    user = await services.identity.set_role(user_id, body.role)
    return Me(id=user.id, name=user.name, email=user.email, role=user.role)


@users.delete("/{user_id}")
async def delete_user(user_id: Id, admin: CurrentAdmin, services: TheServices) -> dict[str, bool]:
    """Delete an account with all its data; its sockets end at once."""
    if user_id == admin.id:
        raise Conflict("nobody deletes their own account")
    owned = await services.documents.owned_by(user_id)
    await services.identity.delete_user(user_id)
    await services.documents.close(owned)
    return {"status": True}
