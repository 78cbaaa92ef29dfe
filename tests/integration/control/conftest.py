"""A replica on a real Redis, and an operator's hand on its keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis as Client

from heliograph.settings import Settings
from tests.support.redis import Standalone
from tests.support.server import RunningServer, serve


class Hand:
    """Does what the operator does, by the documented keys."""

    def __init__(self, client: Client, prefix: str) -> None:
        self.client = client
        self.prefix = prefix

    def key(self, name: str) -> str:
        return f"{self.prefix}:control:{{control}}:{name}"

    async def command(self, **command: Any) -> None:
        await self.client.publish(f"{self.prefix}:control:commands", orjson.dumps(command))

    async def settings(self, revision: str, **values: Any) -> None:
        order = orjson.dumps({"revision": revision, "values": values})
        await self.client.set(self.key("settings"), order)
        await self.command(action="settings")

    async def drain(self, pod: str, why: str = "a test") -> None:
        await self.client.hset(self.key("drains"), pod, orjson.dumps({"why": why, "at": 1}))
        await self.command(action="drains")

    async def undrain(self, pod: str) -> None:
        await self.client.hdel(self.key("drains"), pod)
        await self.command(action="drains")

    async def report(self, server: RunningServer) -> dict[str, Any]:
        id = server.services.cluster.replica.id
        found = await self.client.get(self.key(f"report:{id}"))
        return orjson.loads(found) if found else {}

    async def reported(self, server: RunningServer, **facts: Any) -> dict[str, Any]:
        """Wait until the replica says so."""
        async with asyncio.timeout(20):
            while True:
                report = await self.report(server)
                if all(report.get(name) == value for name, value in facts.items()):
                    return report
                await asyncio.sleep(0.02)


@pytest.fixture
async def hand(redis: Standalone, redis_prefix: str) -> AsyncIterator[Hand]:
    async with Client(host="127.0.0.1", port=redis.nodes[0].port) as client:
        yield Hand(client, redis_prefix)


@pytest.fixture
def chosen(settings: Settings, redis: Standalone, redis_prefix: str) -> Settings:
    """Settings of a replica that the operator knows as ``pod-1``."""
    return Settings.model_validate(
        {
            **settings.model_dump(),
            **{name.lower(): value for name, value in redis.environment().items()},
            "redis_key_prefix": redis_prefix,
            "pod_name": "pod-1",
            "replica_lease_seconds": 10,
            "drain_clients_per_second": 1000,
        }
    )


@pytest.fixture
async def server(chosen: Settings) -> AsyncIterator[RunningServer]:
    async with serve(chosen) as running:
        yield running
