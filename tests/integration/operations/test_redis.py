"""The application on Redis: what it does while Redis is away, and afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
from sqlalchemy import select

from heliograph.settings import Settings
from heliograph.store.models import Message
from tests.support.backplane import redis_settings
from tests.support.bare import until
from tests.support.redis import RedisServers, redis_standalone
from tests.support.server import RunningServer, serve


def shared_settings(
    settings: Settings, servers: RedisServers, prefix: str, **changes: object
) -> Settings:
    """The test's settings, on Redis."""
    ours = redis_settings(servers, prefix)
    names = ("websocket_manager", "websocket_redis_url", "redis_key_prefix")
    return settings.model_copy(update={name: getattr(ours, name) for name in names} | changes)


async def _ready(server: RunningServer) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url, verify=False, timeout=30) as http:
        return await http.get("/ready")


async def test_while_redis_is_away_sockets_stay_and_everything_works_again_by_itself(
    settings: Settings, redis_prefix: str, tmp_path: Path
) -> None:
    with redis_standalone(appendonly=True) as servers:
        chosen = shared_settings(
            settings, servers, redis_prefix, delivery_deadline_seconds=1, redis_socket_timeout=0.5
        )
        async with serve(chosen) as server:
            ann = await server.signup("ann")
            socket = await ann.connect()
            channel = (
                await server.root.http.post("/api/v1/channels/create", json={"name": "all"})
            ).json()
            assert (await _ready(server)).status_code == 200
            await socket.call("join-channels", {})

            servers.nodes[0].kill()
            await until(lambda: not server.services.backplane.available)  # type: ignore[union-attr]
            answer = await _ready(server)
            assert answer.status_code == 503
            assert "Redis" in answer.json()["detail"]
            posted = await ann.http.post(
                f"/api/v1/channels/{channel['id']}/messages/post", json={"content": "lost"}
            )
            assert posted.status_code == 503
            assert posted.json()["code"] == "unavailable"
            assert socket.client.connected

            servers.nodes[0].restart()
            await until(lambda: server.services.backplane.available)  # type: ignore[union-attr]
            assert (await _ready(server)).status_code == 200
            before = len(socket.log)
            posted = await ann.http.post(
                f"/api/v1/channels/{channel['id']}/messages/post", json={"content": "hello"}
            )
            assert posted.status_code == 200
            await until(lambda: len(socket.log) > before)
            assert socket.client.connected


async def test_an_answer_that_ends_while_redis_is_away_is_told_afterwards(
    settings: Settings, redis_prefix: str
) -> None:
    with redis_standalone(appendonly=True) as servers:
        chosen = shared_settings(
            settings,
            servers,
            redis_prefix,
            delivery_deadline_seconds=0.5,
            redis_socket_timeout=0.5,
            echo_delay_ms=10,
        )
        async with serve(chosen) as server:
            backplane = server.services.backplane
            assert backplane is not None
            ann = await server.signup("ann")
            socket = await ann.connect()
            chat_id = (await ann.http.post("/api/v1/chats/new", json={})).json()["id"]
            words = " ".join(f"w{number}" for number in range(100))
            asked = {
                "model": "echo",
                "chat_id": chat_id,
                "id": "answer",
                "session_id": socket.sid,
                "messages": [{"role": "user", "content": words}],
            }
            assert (await ann.http.post("/api/chat/completions", json=asked)).status_code == 200
            await socket.expect("events", where=lambda event: event["data"]["type"] == "message")
            servers.nodes[0].kill()
            await until(lambda: not backplane.available)
            stored = await _ended(server, "answer")
            assert stored.split()[-1] == "w99"
            servers.nodes[0].restart()
            end = await socket.expect(
                "events", where=lambda event: event["data"]["type"] == "chat:completion", timeout=60
            )
            assert end["data"]["data"]["content"] == stored


async def _ended(server: RunningServer, message_id: str) -> str:
    """The text of the answer as stored, when it has ended."""
    query = select(Message.content, Message.state).where(Message.id == message_id)
    async with asyncio.timeout(60):
        while True:
            async with server.services.database.read() as session:
                row = (await session.execute(query)).one()
            if row.state != "streaming":
                return str(row.content)
            await asyncio.sleep(0.1)
