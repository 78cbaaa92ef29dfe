"""Tokens: who a bearer is, by our own secret (HS256) or by an issuer's key set (JWKS).

The algorithms are fixed here and never read from the token (RFC 8725, section 3.1), so
``alg: none`` and a public key used as HMAC secret are refused.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import jwt

from heliograph.errors import ConfigurationError, Unauthenticated, Unavailable
from heliograph.settings import Settings

_LEEWAY_SECONDS = 5
_ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
_KEYS_LIVE_SECONDS = 300.0
_KEYS_PAUSE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says."""

    user_id: str
    name: str
    email: str
    expires_at: float | None


class TokenVerifier(Protocol):
    """Checks tokens."""

    async def verify(self, token: str) -> Claims:
        """The token's claims.

        :raises Unauthenticated: ``token_invalid`` or ``token_expired``.
        """


class SecretTokens:
    """Tokens signed by this installation."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def issue(self, user_id: str, seconds: float) -> str:
        """A token of the user that lives ``seconds``."""
        now = time.time()
        claims = {"id": user_id, "iat": now, "exp": now + seconds, "jti": uuid.uuid4().hex}
        return jwt.encode(claims, self._secret, algorithm="HS256")

    async def verify(self, token: str) -> Claims:
        """See :class:`TokenVerifier`."""
        return _decode(token, self._secret, ["HS256"])


class KeySetTokens:
    """Tokens of an issuer whose public keys are at a URL."""

    def __init__(self, url: str, issuer: str, audience: str) -> None:
        self._url = url
        self._issuer = issuer
        self._audience = audience
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = 0.0
        self._lock = asyncio.Lock()

    async def verify(self, token: str) -> Claims:
        """See :class:`TokenVerifier`.

        :raises Unavailable: the key set cannot be fetched and none is known.
        """
        try:
            kid = str(jwt.get_unverified_header(token).get("kid", ""))
        except jwt.InvalidTokenError as error:
            raise _invalid(error) from None
        key = await self._key(kid)
        return _decode(token, key, list(_ASYMMETRIC), issuer=self._issuer, audience=self._audience)

    async def _key(self, kid: str) -> jwt.PyJWK:
        async with self._lock:
            age = time.monotonic() - self._fetched_at
            # An unknown kid may be a new key; asking at most every few seconds, so that
            # forged ones cannot make us hammer the issuer.
            if (
                not self._keys
                or age > _KEYS_LIVE_SECONDS
                or (kid not in self._keys and age > _KEYS_PAUSE_SECONDS)
            ):
                await self._fetch()
        key = self._keys.get(kid)
        if key is None:
            raise Unauthenticated("the token is signed with an unknown key")
        return key

    async def _fetch(self) -> None:
        try:
            async with httpx.AsyncClient(timeout=5) as client:
                answer = await client.get(self._url)
                answer.raise_for_status()
            found = jwt.PyJWKSet.from_dict(answer.json())
        except (httpx.HTTPError, jwt.PyJWTError, ValueError) as error:
            if not self._keys:
                raise Unavailable(f"JWT_JWKS_URL {self._url} gave no keys: {error}") from error
            return
        finally:
            self._fetched_at = time.monotonic()
        self._keys = {key.key_id or "": key for key in found.keys}


def _decode(token: str, key: Any, algorithms: list[str], **expected: Any) -> Claims:
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=algorithms,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["exp"]},
            **expected,
        )
    except jwt.ExpiredSignatureError:
        raise Unauthenticated("the token has expired", code="token_expired") from None
    except (jwt.InvalidTokenError, TypeError, ValueError) as error:
        raise _invalid(error) from None
    user_id = claims.get("id") or claims.get("sub")
    if not isinstance(user_id, str) or not user_id:
        raise Unauthenticated("the token names no user")
    return Claims(
        user_id=user_id,
        name=str(claims.get("name") or claims.get("preferred_username") or ""),
        email=str(claims.get("email") or ""),
        expires_at=float(claims["exp"]),
    )


def _invalid(error: Exception) -> Unauthenticated:
    return Unauthenticated(f"the token is not valid: {error}")


def load_secret(settings: Settings) -> str:
    """``WEBUI_SECRET_KEY``, or the one in ``DATA_DIR``, generated when there is none.

    :raises ConfigurationError: the folder cannot be written.
    """
    given = settings.webui_secret_key.get_secret_value()
    if given:
        return given
    path = settings.data_dir / "secret_key"
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        _create_secret(path)
        return path.read_text("ascii").strip()
    except OSError as error:
        raise ConfigurationError(
            f"DATA_DIR: cannot keep the secret key in {path}: {error}; "
            "make the folder writable or set WEBUI_SECRET_KEY"
        ) from error


def _create_secret(path: Path) -> None:
    # Written aside and linked, so that a second process sees a whole secret or none.
    if path.exists():
        return
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(48))
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first; its secret is the one
    finally:
        draft.unlink()


def create_verifier(settings: Settings) -> tuple[TokenVerifier, SecretTokens | None]:
    """The verifier of the settings, and the issuer when this installation signs itself."""
    if settings.jwt_jwks_url:
        keys = KeySetTokens(settings.jwt_jwks_url, settings.jwt_issuer, settings.jwt_audience)
        return keys, None
    own = SecretTokens(load_secret(settings))
    return own, own
