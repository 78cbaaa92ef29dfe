"""The application on Redis: what it does while Redis is away, and afterwards."""

from __future__ import annotations

from pathlib import Path

import httpx

from heliograph.settings import Settings
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
