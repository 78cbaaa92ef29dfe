"""Three replicas behind HAProxy where a test expects one server.

With ``--fleet MODE`` the suites of stock clients and of the browser run so: they speak to
HAProxy, which spreads them over all replicas, on Redis of that mode and PostgreSQL. The
replicas live in the test's own loop, because those suites look into the server here and there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from heliograph.edge import Page
from heliograph.settings import Settings
from tests.fleet.haproxy import HAProxy
from tests.support.pair import SECRET, new_database
from tests.support.processes import temporary_folder
from tests.support.redis import RedisServers
from tests.support.server import RunningServer, serve

REPLICAS = 3


@dataclass(frozen=True)
class Backing:
    """What replicas share: Redis, PostgreSQL, and the prefix of this test."""

    redis: RedisServers
    postgres: str
    prefix: str


@dataclass(frozen=True)
class _Behind:
    name: str
    port: int


@contextlib.asynccontextmanager
async def serve_for_test(
    settings: Settings, backing: Backing | None, page: Page | None = None
) -> AsyncIterator[RunningServer]:
    """The server of a test: one, or the first of several that share ``backing``."""
    if backing is None:
        async with serve(settings, page) as server:
            yield server
        return
    redis = {name.lower(): value for name, value in backing.redis.environment().items()}
    shared = Settings.model_validate(
        {
            **settings.model_dump(),
            **redis,
            "redis_key_prefix": f"{backing.prefix}-{settings.data_dir.name}",
            "database_url": await new_database(backing.postgres),
            "webui_secret_key": SECRET,
            "port": 0,
        }
    )
    replicas = [RunningServer(shared, page) for _ in range(REPLICAS)]
    with temporary_folder("behind") as folder:
        proxy = _proxy(folder, replicas)
        try:
            await asyncio.gather(*(replica.start() for replica in replicas))
            await asyncio.to_thread(proxy.process.start)
            await _listens(proxy.port)
            first = replicas[0]
            first.replicas = replicas
            first.url = proxy.url
            first.root = await first.signup("root")
            yield first
        finally:
            await asyncio.gather(*(replica.stop() for replica in replicas))
            await asyncio.to_thread(proxy.process.kill)


def _proxy(folder: Path, replicas: list[RunningServer]) -> HAProxy:
    ports = [replica.listener.getsockname()[1] for replica in replicas]
    return HAProxy(folder, [_Behind(f"replica-{n}", port) for n, port in enumerate(ports, 1)])


async def _listens(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
