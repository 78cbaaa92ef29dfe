"""SIGTERM while something is wrong: the process ends in time, with success."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

from heliograph.serving.server import grace_seconds
from heliograph.settings import Settings
from tests.fleet import Replica
from tests.support.bare import until
from tests.support.cutproxy import CutProxy
from tests.support.pair import new_database
from tests.support.raw import Raw
from tests.support.redis import Standalone, redis_standalone
from tests.support.server import RunningServer, serve
from tests.support.visitors import Visitor, Visitors

SLOWLY = {"DRAIN_SECONDS": "3600", "DRAIN_CLIENTS_PER_SECOND": "0.001"}


@pytest.fixture
def folder(tmp_path: Path, sqlite_template: Path) -> Path:
    shutil.copy(sqlite_template, tmp_path / "heliograph.db")
    return tmp_path


@pytest.fixture
def own_redis() -> Iterator[Standalone]:
    """A Redis that a test may break."""
    with redis_standalone() as redis:
        yield redis


def start(folder: Path, *arguments: str, **environment: str) -> Replica:
    """A server process that answers."""
    replica = Replica(
        "server", folder, {**os.environ, "DATA_DIR": str(folder), **environment}, *arguments
    )
    replica.start()
    replica.wait_ready()
    return replica


async def ends(replica: Replica, seconds: float) -> None:
    """It has ended with success within so many seconds of now."""
    began = time.monotonic()
    assert await asyncio.to_thread(replica.process.wait, seconds + 10) == 0, replica.output()
    assert time.monotonic() - began < seconds, replica.output()
    assert "Traceback" not in replica.output(), replica.output()


@contextlib.asynccontextmanager
async def a_client(replica: Replica) -> AsyncIterator[Visitor]:
    """Somebody with a connection."""
    async with Visitors(replica.url) as visitors:
        ann = await visitors.signup(f"ann-{uuid.uuid4().hex[:8]}")
        raw = Raw(replica.url, ann.token)
        await raw.connect()
        yield ann
        raw.ws.transport.abort()


async def test_with_a_few_clients_it_is_a_matter_of_moments(folder: Path) -> None:
    replica = start(folder)
    async with a_client(replica):
        replica.tell_to_end()
        await ends(replica, 5)
    for line in ("drain.began", "drain.tasks_ended", "drain.ended"):
        assert line in replica.output()
    assert "closed=1" in replica.output()


async def test_who_comes_back_with_the_sticky_cookie_is_refused_not_met_by_silence(
    folder: Path,
) -> None:
    replica = start(folder, STICKY_COOKIE="stick")
    async with a_client(replica), httpx.AsyncClient(base_url=replica.url, verify=False) as http:
        replica.tell_to_end()
        await until(lambda: "drain.ended" in replica.output())
        back = await http.get(
            "/ws/socket.io/?EIO=4&transport=polling", headers={"Cookie": "stick=1"}
        )
        assert back.status_code == 503
        assert back.headers["set-cookie"].startswith("stick=; Max-Age=0")
        await ends(replica, 8)


@pytest.mark.parametrize("arguments", [[], ["--workers", "2"]])
async def test_a_second_signal_hastens_it(
    folder: Path, redis: Standalone, redis_prefix: str, arguments: list[str]
) -> None:
    shared = {**redis.environment(), "REDIS_KEY_PREFIX": redis_prefix}
    replica = start(folder, *arguments, **shared, **SLOWLY, WEBSOCKET_TRANSPORTS="websocket")
    async with a_client(replica):
        replica.tell_to_end()
        replica.tell_to_end()  # of the same moment: as if it was one
        await until(lambda: "drain.tasks_ended" in replica.output())
        await asyncio.sleep(1.5)
        assert replica.process.alive
        assert "drain.hastened" not in replica.output()
        replica.tell_to_end()
        await ends(replica, 5)
    assert "drain.hastened" in replica.output()
    assert "closed=1" in replica.output()


async def test_without_redis_it_ends_in_time(folder: Path, own_redis: Standalone) -> None:
    replica = start(folder, **own_redis.environment(), DRAIN_SECONDS="1")
    async with a_client(replica) as ann:
        await begin_an_answer(replica, ann)
        own_redis.master().stop()  # hung, which is worse than gone
        await asyncio.sleep(0.5)
        replica.tell_to_end()
        await ends(replica, grace_seconds(Settings(drain_seconds=1)))


async def test_without_a_database_it_ends_in_time(
    folder: Path, postgres: str, redis: Standalone, redis_prefix: str
) -> None:
    url = await new_database(postgres)
    async with CutProxy(urlsplit(url).port or 0) as line:
        through = url.replace(f":{urlsplit(url).port}/", f":{line.address.split(':')[1]}/")
        shared = {**redis.environment(), "REDIS_KEY_PREFIX": redis_prefix, "DATABASE_URL": through}
        replica = await asyncio.to_thread(lambda: start(folder, **shared, DRAIN_SECONDS="1"))
        async with a_client(replica) as ann:
            note = await ann.http.post("/api/v1/notes/create", json={"title": "A note"})
            socket = await ann.connect()
            document = {"document_id": f"note:{note.json()['id']}"}
            assert (await socket.call("ydoc:document:join", document))["ok"] is True
            await begin_an_answer(replica, ann)
            line.blackhole()
            replica.tell_to_end()
            await ends(replica, grace_seconds(Settings(drain_seconds=1)))


async def begin_an_answer(replica: Replica, person: Visitor) -> None:
    """Let the echo model talk to a session of the person, for long."""
    raw = Raw(replica.url, person.token)
    sid = (await raw.connect())["sid"]
    chat = (await person.http.post("/api/v1/chats/new", json={"chat": {}})).json()
    body = {
        "model": "echo",
        "messages": [{"role": "user", "content": "word " * 2_000}],
        "chat_id": chat["id"],
        "session_id": sid,
        "id": f"answer-{uuid.uuid4().hex}",
    }
    asked = await person.http.post("/api/chat/completions", json=body)
    assert asked.status_code == 200, asked.text
    await raw.read(3)
    person.server.on_close(raw.cut)


async def test_a_client_that_does_not_read_holds_nobody(settings: Settings) -> None:
    async with serve(settings) as server:
        hung = [await _hung(server, f"hung-{number}") for number in range(3)]
        ann = await (await server.signup("ann")).connect()
        began = time.monotonic()
        await server.application.drain()
        assert time.monotonic() - began < 6
        assert ann.disconnected.is_set()
        await until(lambda: not server.application.sockets._clients)
        for ws in hung:
            ws.transport.abort()


async def _hung(server: RunningServer, name: str) -> ClientConnection:
    """A client that reads no more, with a message of a million characters on its way to it."""
    person = await server.signup(name)
    raw = Raw(server.url, person.token)
    await raw.connect()
    raw.ws.transport.pause_reading()
    for _ in range(10):
        await server.services.hub.publish(f"user:{person.id}", "big", {"text": "x" * 1_000_000})
    return raw.ws


async def test_a_client_that_reads_gets_a_big_message_first(settings: Settings) -> None:
    async with serve(settings) as server:
        ann = await server.signup("ann")
        address = server.url.replace("http", "ws") + "/ws/socket.io/?EIO=4&transport=websocket"
        async with connect(address, max_size=None) as ws:
            await ws.recv()
            await ws.send(f'40{{"token":"{ann.token}"}}')
            await ws.recv()
            for _ in range(5):
                big = {"text": "x" * 1_000_000}
                await server.services.hub.publish(f"user:{ann.id}", "big", big)
            draining = asyncio.create_task(server.application.drain())
            got: list[str | bytes] = []
            with contextlib.suppress(ConnectionClosedError):
                while True:
                    got.append(await ws.recv())
            await draining
        assert [len(message) > 1_000_000 for message in got] == [True] * 5 + [False]
        assert ws.close_code == 1012


async def test_requests_in_flight_get_their_answer(settings: Settings) -> None:
    slow = Settings.model_validate({**settings.model_dump(), "echo_delay_ms": 20})
    async with serve(slow) as server:
        ann = await server.signup("ann")
        body = {"model": "echo", "messages": [{"role": "user", "content": "word " * 40}]}
        asked = asyncio.create_task(ann.http.post("/api/chat/completions", json=body))
        await asyncio.sleep(0.2)
        await server.application.drain()
        answer = await asked
        assert answer.status_code == 200
        assert answer.json()["choices"][0]["message"]["content"].count("word") == 40
