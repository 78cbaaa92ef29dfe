"""Accounts and addresses, and what is said when they are wrong."""

from __future__ import annotations

import io
import re

import pytest

from heliograph.terminal import ChatOptions, ClientError
from heliograph.terminal.render import Screen
from heliograph.terminal.signin import enter
from tests.support.server import PASSWORD, RunningServer


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def screen(said: io.StringIO) -> Screen:
    return Screen(said, said, plain=True)


def options(server: RunningServer, **chosen: object) -> ChatOptions:
    return ChatOptions(url=server.url, **chosen)  # type: ignore[arg-type]


async def test_signing_up_twice_signs_in(
    server: RunningServer, screen: Screen, said: io.StringIO
) -> None:
    new = options(server, signup=True, name="Ann", email="ann@example.org", password=PASSWORD)
    assert await enter(new, screen)
    assert await enter(new, screen)
    assert said.getvalue().splitlines() == [
        "signed up as Ann (user)",
        "there is an account for ann@example.org: signing in",
    ]


async def test_a_wrong_password_is_called_one(server: RunningServer, screen: Screen) -> None:
    await server.signup("ann")
    with pytest.raises(ClientError, match="wrong e-mail or password"):
        await enter(options(server, email="ann@example.org", password="not it"), screen)


async def test_a_bad_token_is_refused_with_what_to_do(
    server: RunningServer, screen: Screen
) -> None:
    with pytest.raises(ClientError, match="sign in with --email, or give a fresh --token"):
        await enter(options(server, token="nonsense"), screen)


async def test_a_server_that_is_not_there_is_named(screen: Screen) -> None:
    nowhere = ChatOptions(url="http://127.0.0.1:9", email="a@example.org", password="x")
    with pytest.raises(ClientError, match=r"no server answers at http://127.0.0.1:9.*make run"):
        await enter(nowhere, screen)


@pytest.mark.parametrize("url", ["nonsense", "ftp://example.org", "http://"])
async def test_an_address_that_is_none_is_said(screen: Screen, url: str) -> None:
    with pytest.raises(ClientError, match=re.escape(f"--url {url} is not an address")):
        await enter(ChatOptions(url=url, email="a@example.org", password="x"), screen)
