"""Fixtures of the chat tests: a scripted upstream, a server in front of it, a bare feature."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from heliograph.settings import Settings
from heliograph.store import Database
from tests.integration.chat.support import Feature, Talk, begin_talk, running_feature
from tests.support.pair import Pair, running_pair
from tests.support.redis import Standalone
from tests.support.server import RunningServer
from tests.support.upstream import Upstream, running_upstream

KEY = "sk-very-secret-key-0123456789"


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are not what is tested here; hashing them well costs half a second each."""
    cheap = functools.partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr("heliograph.identity.service.PasswordHasher", cheap)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """A scripted upstream."""
    async with running_upstream() as running:
        yield running


@pytest.fixture
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, sqlite_url: str, upstream: Upstream
) -> Settings:
    """Settings of this test's server, which talks to the scripted upstream."""
    mark = request.node.get_closest_marker("settings")
    chosen = {name.lower(): value for name, value in mark.kwargs.items()} if mark else {}
    return Settings.model_validate(
        {
            "port": 0,
            "data_dir": tmp_path,
            "database_url": sqlite_url,
            "auth_attempts_per_minute": 1000,
            "echo_delay_ms": 1,
            "openai_api_base_url": upstream.url,
            "openai_api_key": KEY,
            **chosen,
        }
    )


@pytest.fixture
async def talk(server: RunningServer) -> Talk:
    """Ann, connected, with a chat."""
    return await begin_talk(server, "ann")


@pytest.fixture
async def feature(database: Database) -> AsyncIterator[Feature]:
    """The chat feature without an edge, on either database, with a chat of ``ann``."""
    async with running_feature(database) as running:
        yield running


@pytest.fixture
async def pair(
    request: pytest.FixtureRequest,
    postgres: str,
    redis: Standalone,
    redis_prefix: str,
    tmp_path: Path,
    upstream: Upstream,
) -> AsyncIterator[Pair]:
    """Two servers on one Redis and one PostgreSQL, in front of the scripted upstream."""
    mark = request.node.get_closest_marker("settings")
    chosen = {name.lower(): value for name, value in mark.kwargs.items()} if mark else {}
    model = {"openai_api_base_url": upstream.url, "openai_api_key": KEY}
    async with running_pair(
        postgres, redis, redis_prefix, tmp_path, **{**model, **chosen}
    ) as running:
        yield running
