"""Who people are: accounts, passwords, API keys, and what a bearer token proves."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from heliograph.delivery import Hub
from heliograph.errors import BadPayload, Conflict, Forbidden, NotFound, Unauthenticated
from heliograph.identity.repository import Users
from heliograph.identity.tokens import Claims, create_verifier
from heliograph.principal import Principal
from heliograph.settings import Settings
from heliograph.store import Database
from heliograph.store.models import User

T = TypeVar("T")

PENDING = "an administrator has not admitted this account yet"

_KEY_PREFIX = "sk-"
_ROLES = ("admin", "user", "pending")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A user with a fresh token that ends at ``expires_at`` (seconds since 1970)."""

    user: Principal
    token: str


class Identity:
    """Accounts and tokens of an installation."""

    def __init__(self, settings: Settings, database: Database, hub: Hub) -> None:
        self._settings = settings
        self._hub = hub
        self.users = Users(database)
        self._verifier, self._issuer = create_verifier(settings)
        self._hasher = PasswordHasher()
        # Two at a time: each takes 64 MiB and a core for a while.
        self._hashing = asyncio.Semaphore(2)
        self._decoy = ""

    # -- accounts --------------------------------------------------------------------

    async def sign_up(self, name: str, email: str, password: str) -> SignedIn:
        """Create an account; the first is the administrator's.

        :raises Forbidden: ``signup_disabled``.
        :raises Conflict: ``email_taken``.
        """
        if not self._settings.enable_signup:
            raise Forbidden("sign-up is switched off (ENABLE_SIGNUP)", code="signup_disabled")
        self._require_own_tokens()
        hashed = await self._in_thread(self._hasher.hash, password)
        user = await self.users.add(str(uuid.uuid4()), name, email.lower(), hashed, "user")
        if user is None:
            raise Conflict(f"there is an account for {email} already", code="email_taken")
        return self._signed_in(user)

    async def sign_in(self, email: str, password: str) -> SignedIn:
        """Check a password.

        :raises Unauthenticated: ``credentials_invalid``, the same for both halves.
        """
        self._require_own_tokens()
        user = await self.users.by_email(email.lower())
        if not self._decoy:
            self._decoy = await self._in_thread(self._hasher.hash, secrets.token_hex())
        # Unknown addresses take as long as wrong passwords, so neither can be told apart.
        hashed = user.password_hash if user and user.password_hash else self._decoy
        right = await self._in_thread(self._verify, hashed, password)
        if user is None or not right or not user.password_hash:
            raise Unauthenticated("wrong e-mail or password", code="credentials_invalid")
        return self._signed_in(user)

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_thread(self, work: Callable[..., T], *args: str) -> T:
        async with self._hashing:
            return await asyncio.to_thread(work, *args)

    def _require_own_tokens(self) -> None:
        if self._issuer is None:
            raise Forbidden(
                "accounts come from the identity provider (JWT_JWKS_URL); sign in there",
                code="external_identity",
            )

    def _signed_in(self, user: User) -> SignedIn:
        token = self.issue_token(user.id, self._settings.jwt_expires_seconds)
        return SignedIn(_principal(user), token)

    def issue_token(self, user_id: str, seconds: float) -> str:
        """A token of the user that lives ``seconds``.

        :raises Forbidden: ``external_identity`` when an issuer signs the tokens.
        """
        self._require_own_tokens()
        assert self._issuer is not None
        return self._issuer.issue(user_id, seconds)

    # -- bearers ---------------------------------------------------------------------

    async def authenticate(self, token: str, *, allow_api_key: bool = False) -> Principal:
        """The user that a token, or an API key where allowed, belongs to.

        :raises Unauthenticated: ``token_invalid``, ``token_expired`` or ``user_unknown``.
        """
        if allow_api_key and token.startswith(_KEY_PREFIX):
            owner = await self.users.by_key_hash(_hash(token))
            if owner is None:
                raise Unauthenticated("no such API key")
            return _principal(owner)
        claims = await self._verifier.verify(token)
        user = await self.users.get(claims.user_id) or await self._provision(claims)
        return _principal(user, claims.expires_at)

    async def _provision(self, claims: Claims) -> User:
        # An identity provider's users get their account with their first token.
        if self._issuer is None and self._settings.enable_signup and len(claims.user_id) <= 64:
            email = claims.email.lower() or f"{claims.user_id}@localhost"
            name = claims.name or email.partition("@")[0]
            added = await self.users.add(claims.user_id, name, email, None, "user")
            user = added or await self.users.get(claims.user_id)
            if user is not None:
                return user
        raise Unauthenticated("the token's user does not exist", code="user_unknown")

    async def admit(self, token: str | None) -> Principal | None:
        """Decide about a connecting socket; ``None`` lets it in without a user.

        :raises Unauthenticated: with the contract's codes.
        """
        try:
            if token is None:
                raise Unauthenticated("send auth: {token}", code="token_missing")
            user = await self.authenticate(token)
            if user.role == "pending":
                raise Unauthenticated(PENDING, code="user_pending")
        except Unauthenticated:
            if self._settings.always_connect:
                return None
            raise
        return user

    # -- administration --------------------------------------------------------------

    async def create_api_key(self, user_id: str) -> str:
        """A new key in place of the old one; it is shown this once."""
        key = _KEY_PREFIX + secrets.token_hex(24)
        await self.users.set_key(user_id, _hash(key))
        return key

    async def list_users(self, query: str, skip: int, limit: int) -> tuple[Sequence[User], int]:
        """A page of users and their number."""
        return await self.users.page(query, skip, limit)

    async def set_role(self, user_id: str, role: str) -> Principal:
        """Change a user's role; their sockets end, to come back with the new one."""
        if role not in _ROLES:
            raise BadPayload(f"role: one of {', '.join(_ROLES)}, not {role!r}", path="role")
        if not await self.users.set_role(user_id, role):
            raise NotFound(f"no user {user_id}")
        await self._hub.put_out(user_id, "role_changed", f"the role is {role} now: connect again")
        user = await self.users.get(user_id)
        assert user is not None
        return _principal(user)

    async def delete_user(self, user_id: str) -> None:
        """Delete an account with all its data and end its sockets."""
        if not await self.users.delete(user_id):
            raise NotFound(f"no user {user_id}")
        await self._hub.put_out(user_id, "user_unknown", "the account was deleted")


def _principal(user: User, expires_at: float | None = None) -> Principal:
    return Principal(user.id, user.name, user.role, user.email, expires_at)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
