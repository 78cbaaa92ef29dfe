"""The delivery layer as one process and as replicas."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.backplane import open_backplane
from tests.support.bare import Bare, BareProcess, Processes, Run, bare_server
from tests.support.redis import RedisServers


@pytest.fixture
def replica(redis: RedisServers, redis_prefix: str) -> Run:
    """Runs replicas on one Redis."""

    @contextlib.asynccontextmanager
    async def run(**options: Any) -> AsyncIterator[Bare]:
        async with (
            open_backplane(redis, redis_prefix) as backplane,
            bare_server(backplane=backplane, **options) as bare,
        ):
            yield bare

    return run


@pytest.fixture
async def a(replica: Run) -> AsyncIterator[Bare]:
    """A replica."""
    async with replica() as bare:
        yield bare


@pytest.fixture
async def b(replica: Run) -> AsyncIterator[Bare]:
    """Another one."""
    async with replica() as bare:
        yield bare


@pytest.fixture
def process(redis: RedisServers, redis_prefix: str) -> Processes:
    """Runs replicas on the same Redis, in processes of their own; with settings by name."""

    def run(
        options: dict[str, Any] | None = None, **settings: Any
    ) -> contextlib.AbstractAsyncContextManager[BareProcess]:
        environment = {**redis.environment(), "REDIS_KEY_PREFIX": redis_prefix}
        environment |= {name.upper(): str(value) for name, value in settings.items()}
        return BareProcess(environment, options or {}).running()

    return run


@pytest.fixture(params=["memory", "redis"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a server that is alone, or a replica."""
    if request.param == "memory":
        return bare_server
    made: Run = request.getfixturevalue("replica")
    return made
