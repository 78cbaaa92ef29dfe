"""Tokens: only our own, in time, by the algorithm we chose."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from heliograph.errors import ConfigurationError, Unauthenticated, Unavailable
from heliograph.identity.tokens import KeySetTokens, SecretTokens, load_secret
from heliograph.settings import Settings

SECRET = "s" * 40


def _unsigned(claims: dict[str, Any]) -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


async def test_a_token_says_its_user_and_its_end() -> None:
    tokens = SecretTokens(SECRET)
    claims = await tokens.verify(tokens.issue("ann", 60))
    assert claims.user_id == "ann"
    assert claims.expires_at == pytest.approx(time.time() + 60, abs=5)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "garbage",
        "a.b.c",
        _unsigned({"id": "ann", "exp": 2**40}),
        jwt.encode({"id": "ann", "exp": 2**40}, "x" * 40, algorithm="HS256"),
        jwt.encode({"id": "ann", "exp": 2**40}, SECRET * 2, algorithm="HS512"),
        jwt.encode({"id": "ann"}, SECRET, algorithm="HS256"),
        jwt.encode({"exp": 2**40}, SECRET, algorithm="HS256"),
        jwt.encode({"id": 7, "exp": 2**40}, SECRET, algorithm="HS256"),
        jwt.encode({"id": "ann", "exp": 2**40, "nbf": 2**40}, SECRET, algorithm="HS256"),
        "ü" * 10,
    ],
    ids=[
        "empty", "garbage", "no json", "alg none", "foreign key", "other algorithm", "no end",
        "no user", "user no text", "not yet", "not ascii",
    ],
)  # fmt: skip
async def test_anything_else_is_invalid(token: str) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        await SecretTokens(SECRET).verify(token)
    assert refusal.value.code == "token_invalid"


async def test_an_old_token_is_expired() -> None:
    tokens = SecretTokens(SECRET)
    with pytest.raises(Unauthenticated) as refusal:
        await tokens.verify(tokens.issue("ann", -60))
    assert refusal.value.code == "token_expired"


def test_the_secret_is_generated_once_and_kept_private(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path / "new"})
    first = load_secret(settings)
    assert len(first) >= 32
    assert load_secret(settings) == first
    assert (tmp_path / "new" / "secret_key").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings.model_validate({"data_dir": tmp_path / "file"})
    with pytest.raises(ConfigurationError, match="DATA_DIR"):
        load_secret(settings)


class Issuer:
    """An identity provider: serves its key set, signs tokens."""

    url = ""

    def __init__(self) -> None:
        self.asked = 0
        self.up = True
        self.keys: dict[str, Any] = {}
        self.add("one", rsa.generate_private_key(65537, 2048), "RS256")

    def add(self, kid: str, key: Any, algorithm: str) -> None:
        self.keys[kid] = (key, algorithm)

    def sign(self, kid: str = "one", **claims: Any) -> str:
        key, algorithm = self.keys[kid]
        whole = {"sub": "ann", "exp": 2**40, "iss": "https://idp", "aud": "heliograph", **claims}
        return jwt.encode(whole, key, algorithm=algorithm, headers={"kid": kid})

    def _jwks(self) -> str:
        keys = []
        for kid, (key, algorithm) in self.keys.items():
            kind = jwt.get_algorithm_by_name(algorithm)
            keys.append({**kind.to_jwk(key.public_key(), as_dict=True), "kid": kid})
        return json.dumps({"keys": keys})

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        status, body = ("200 OK", self._jwks()) if self.up else ("503 Down", "")
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()
        writer.close()


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    made = Issuer()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"
    async with server:
        yield made


def _verifier(issuer: Issuer) -> KeySetTokens:
    return KeySetTokens(issuer.url, "https://idp", "heliograph")


async def test_an_issuers_tokens_are_verified_and_its_keys_kept(issuer: Issuer) -> None:
    issuer.add("two", ec.generate_private_key(ec.SECP256R1()), "ES256")
    tokens = _verifier(issuer)
    assert (await tokens.verify(issuer.sign())).user_id == "ann"
    assert (await tokens.verify(issuer.sign("two", name="Ann"))).name == "Ann"
    assert issuer.asked == 1


@pytest.mark.parametrize("wrong", [{"iss": "https://evil"}, {"aud": "other"}])
async def test_another_issuer_or_audience_is_invalid(issuer: Issuer, wrong: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        await _verifier(issuer).verify(issuer.sign(**wrong))


async def test_a_public_key_is_no_hmac_secret(issuer: Issuer) -> None:
    claims = {"sub": "ann", "exp": 2**40, "iss": "https://idp", "aud": "heliograph"}
    forged = jwt.encode(claims, "n" * 64, algorithm="HS256", headers={"kid": "one"})
    with pytest.raises(Unauthenticated):
        await _verifier(issuer).verify(forged)


async def test_unknown_keys_do_not_hammer_the_issuer(issuer: Issuer) -> None:
    tokens = _verifier(issuer)
    forged = jwt.encode({"sub": "x", "exp": 2**40}, "n" * 64, headers={"kid": "forged"})
    for _ in range(5):
        with pytest.raises(Unauthenticated, match="unknown key"):
            await tokens.verify(forged)
    assert issuer.asked == 1


async def test_an_issuer_that_is_down_is_said_and_known_keys_serve_on(issuer: Issuer) -> None:
    issuer.up = False
    with pytest.raises(Unavailable, match="JWT_JWKS_URL"):
        await _verifier(issuer).verify(issuer.sign())
    issuer.up = True
    tokens = _verifier(issuer)
    await tokens.verify(issuer.sign())
    issuer.up = False
    tokens._fetched_at = -1e9
    assert (await tokens.verify(issuer.sign())).user_id == "ann"
