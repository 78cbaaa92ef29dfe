"""Real Yjs clients in Node on two replicas, one of which is killed while they type.

``HELIOGRAPH_SEED`` tries other random edits than the usual ones.
"""

from __future__ import annotations

import asyncio
import base64
import os
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from heliograph.documents.ids import document_room
from heliograph.store import Database
from heliograph.store.models import Document
from tests.clients.node import run_node
from tests.fleet import Fleet, Replica, run_fleet
from tests.support.backplane import open_backplane
from tests.support.redis import RedisServers

_EDITS = 240
_SEED = int(os.environ.get("HELIOGRAPH_SEED", "20"))


class Outside:
    """Two replicas as a Node suite sees them: from outside, with what it cannot do itself."""

    def __init__(self, fleet: Fleet, database: Database, prefix: str) -> None:
        self._fleet = fleet
        self._database = database
        self._prefix = prefix
        self._servers: dict[str, Replica] = dict(
            zip(("main", "doomed"), fleet.replicas, strict=True)
        )
        self._http = httpx.AsyncClient(base_url=self._servers["main"].url, timeout=30)

    async def setup(self) -> dict[str, Any]:
        """What the suite needs to know."""
        urls = {name: replica.url for name, replica in self._servers.items()}
        return {"transport": "websocket", "servers": urls, "seed": _SEED, "edits": _EDITS}

    async def control(self, request: dict[str, Any]) -> Any:
        """Do what ``request["do"]`` names."""
        match request["do"]:
            case "person":
                return await self.person()
            case "kill":
                await asyncio.to_thread(self._servers[request["server"]].kill)
            case "compacted":
                return (await self._row(request["document_id"])).snapshot_seq
            case "settled":
                return await self._settled(request["document_id"])
            case unknown:
                raise ValueError(f"cannot {unknown}")
        return None

    async def person(self) -> dict[str, Any]:
        """Somebody new."""
        name = uuid.uuid4().hex
        body = {"name": name, "email": f"{name}@example.org", "password": "correct horse"}
        answer = await self._http.post("/api/v1/auths/signup", json=body)
        assert answer.status_code == 200, answer.text
        return {key: answer.json()[key] for key in ("id", "name", "token")}

    async def _row(self, document_id: str) -> Document:
        async with self._database.read() as session:
            row = await session.get(Document, document_id)
            assert row is not None
            return row

    async def _settled(self, document_id: str) -> list[str]:
        """The snapshot, once nothing of the document is left in Redis; in base 64."""
        async with open_backplane(self._fleet.redis, self._prefix) as backplane:
            updates = backplane.key("ydoc:documents", document_room(document_id), "updates")
            async with asyncio.timeout(20):
                while await backplane.execute("LLEN", updates):
                    await asyncio.sleep(0.05)
            head = backplane.key("ydoc:documents", document_room(document_id), "head")
            seq = int(await backplane.execute("HGET", head, "seq"))
        row = await self._row(document_id)
        assert row.snapshot is not None
        assert row.snapshot_seq == seq
        return [base64.b64encode(row.snapshot).decode()]

    async def close(self) -> None:
        """Close what is ours."""
        await self._http.aclose()


@pytest.fixture(params=["redis", "redis_cluster"])
async def outside(
    request: pytest.FixtureRequest, postgres_url: str, redis_prefix: str
) -> AsyncIterator[Outside]:
    """Two replicas on one Redis and on a cluster, which compact after 50 updates."""
    redis: RedisServers = request.getfixturevalue(request.param)
    running = run_fleet(
        redis,
        replicas=2,
        database_url=postgres_url,
        environment={
            "REDIS_KEY_PREFIX": redis_prefix,
            "DOCUMENT_SETTLE_UPDATES": "50",
            "REPLICA_LEASE_SECONDS": "3",
            "AUTH_ATTEMPTS_PER_MINUTE": "1000",
        },
    )
    fleet = await asyncio.to_thread(running.__enter__)
    try:
        async with Database(postgres_url) as database:
            world = Outside(fleet, database, redis_prefix)
            yield world
            await world.close()
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def test_yjs_clients_over_two_replicas_end_with_the_same_note(outside: Outside) -> None:
    run = await run_node(outside, "yjsreplicas.js", await outside.setup(), timeout=60)
    assert len(run.results) == 1, run.other
    assert run.results[0].ok, f"seed {_SEED}\n{run.failures()}"
    assert not run.other, run.other
