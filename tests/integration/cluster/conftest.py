"""Fleets of replicas: a hub and a cluster each, over one Redis of any kind."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.support.redis import RedisServers
from tests.support.replicas import Fleet


@pytest.fixture(params=["redis", "redis_sentinel", "redis_cluster"])
async def fleet(request: pytest.FixtureRequest, redis_prefix: str) -> AsyncIterator[Fleet]:
    """A fleet on each kind of Redis."""
    servers: RedisServers = request.getfixturevalue(request.param)
    async with contextlib.AsyncExitStack() as stack:
        yield Fleet(servers, redis_prefix, stack)


@pytest.fixture
async def simple_fleet(redis: RedisServers, redis_prefix: str) -> AsyncIterator[Fleet]:
    """A fleet on one Redis."""
    async with contextlib.AsyncExitStack() as stack:
        yield Fleet(redis, redis_prefix, stack)
