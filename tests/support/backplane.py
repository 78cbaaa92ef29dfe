"""The backplane of a test: ours, against the servers that a test was given."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from heliograph.backplane import Backplane, RedisConfig
from heliograph.settings import Settings
from tests.support.redis import RedisServers


def redis_settings(servers: RedisServers, prefix: str, **changes: object) -> Settings:
    """Settings that point at the servers."""
    variables = {name.lower(): value for name, value in servers.environment().items()}
    return Settings.model_validate({**variables, "redis_key_prefix": prefix, **changes})


@contextlib.asynccontextmanager
async def open_backplane(
    servers: RedisServers, prefix: str, **changes: object
) -> AsyncIterator[Backplane]:
    """A started backplane; ``changes`` are settings."""
    backplane = Backplane(RedisConfig.from_settings(redis_settings(servers, prefix, **changes)))
    await backplane.start()
    try:
        yield backplane
    finally:
        await backplane.stop()
