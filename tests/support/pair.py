"""Servers that are one: the same Redis, the same PostgreSQL, and people on either."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliograph.settings import Settings
from tests.support.postgres import create_database
from tests.support.redis import RedisServers
from tests.support.server import Person, RunningServer

SECRET = "a secret that both servers know 0123456789"
LEASE = 5  # longer than this process may be kept from its event loop


@dataclass
class Pair:
    """Replicas ``a`` and ``b`` of one installation; ``root`` is on ``a``."""

    a: RunningServer
    b: RunningServer

    def other(self, person: Person) -> Person:
        """The same person, who comes to the other server."""
        there = self.b if person.server is self.a else self.a
        known = {name: getattr(person, name) for name in ("id", "name", "email", "role", "token")}
        return Person(there, known)

    async def both(self, name: str) -> tuple[Person, Person]:
        """A new person, as each server sees them."""
        person = await self.a.signup(name)
        return person, self.other(person)


async def new_database(postgres: str) -> str:
    """The URL of a migrated, empty database."""
    return await create_database(postgres, f"test_{uuid.uuid4().hex}")


def pair_settings(
    database_url: str, redis: RedisServers, prefix: str, folder: Path, **more: Any
) -> dict[str, Any]:
    """The settings of one of them, by field name."""
    return {
        "port": 0,
        "data_dir": folder,
        "database_url": database_url,
        **{name.lower(): value for name, value in redis.environment().items()},
        "redis_key_prefix": prefix,
        "webui_secret_key": SECRET,
        "replica_lease_seconds": LEASE,
        "auth_attempts_per_minute": 1000,
        "echo_delay_ms": 1,
        **more,
    }


@contextlib.asynccontextmanager
async def running_pair(
    postgres: str, redis: RedisServers, prefix: str, folder: Path, **more: Any
) -> AsyncIterator[Pair]:
    """Run two servers on an empty database; ``more`` are settings of both."""
    url = await new_database(postgres)
    settings = Settings.model_validate(pair_settings(url, redis, prefix, folder, **more))
    pair = Pair(RunningServer(settings), RunningServer(settings))
    try:
        await asyncio.gather(pair.a.start(), pair.b.start())
        pair.a.root = await pair.a.signup("root")
        yield pair
    finally:
        await asyncio.gather(pair.a.stop(), pair.b.stop())
