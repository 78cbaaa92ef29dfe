"""Redis away: sockets stay, what needs it fails with an error, and all goes on by itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from heliograph.errors import Unavailable
from tests.support.backplane import open_backplane
from tests.support.bare import Bare, bare_server, until
from tests.support.raw import Raw
from tests.support.redis import Sentinel, Standalone, redis_sentinel, redis_standalone

Replicas = Callable[..., contextlib.AbstractAsyncContextManager[Bare]]


@pytest.fixture(scope="module")
def own_redis() -> Iterator[Standalone]:
    """A Redis that may be hung; it is whole again after each test."""
    with redis_standalone() as servers:
        yield servers


@pytest.fixture
def impatient(own_redis: Standalone, redis_prefix: str) -> Replicas:
    """Runs replicas whose deadline is a second."""

    @contextlib.asynccontextmanager
    async def run(**options: Any) -> AsyncIterator[Bare]:
        settings = {"delivery_deadline_seconds": 1, "redis_socket_timeout": 1}
        async with (
            open_backplane(own_redis, redis_prefix, **settings) as backplane,
            bare_server(backplane=backplane, **options) as bare,
        ):
            yield bare

    return run


@contextlib.contextmanager
def _hung(servers: Standalone) -> Iterator[None]:
    process = servers.nodes[0].process
    process.stop()
    try:
        yield
    finally:
        process.resume()


async def _eventually(work: Callable[[], Any]) -> Any:
    async with asyncio.timeout(20):
        while True:
            try:
                return await work()
            except Unavailable:
                await asyncio.sleep(0.1)


async def test_a_join_fails_and_sockets_stay(own_redis: Standalone, impatient: Replicas) -> None:
    async with impatient() as bare, impatient() as other:
        ann = Raw(bare)
        await ann.connect()
        session = bare.hub.sessions[ann.sid]
        await bare.hub.join(session, "channel:c")
        await bare.hub.publish("user:ann", "e", 0)
        assert await ann.read(1) == [0]
        with _hung(own_redis):
            with pytest.raises(Unavailable):
                await bare.hub.join(session, "channel:new")
            assert "channel:new" not in session.positions
            bare.hub.leave(session, "channel:c")
            await asyncio.sleep(2)  # by now that was given up, too
            assert session.attached
        await _eventually(lambda: bare.hub.join(session, "channel:d"))
        await _eventually(lambda: bare.hub.publish("channel:d", "e", 1))
        assert await ann.read(1) == [1]
        await ann.cut()
        ann.go_to(other)
        assert await ann.back()
        rooms = {"user:ann", "everyone", "channel:d"}
        assert set(other.hub.sessions[ann.sid].positions) == rooms


async def test_what_was_left_meanwhile_is_written_afterwards(
    own_redis: Standalone, impatient: Replicas
) -> None:
    async with impatient(renew_every=600) as bare:
        ann = Raw(bare)
        await ann.connect()
        session = bare.hub.sessions[ann.sid]
        await bare.hub.join(session, "channel:c")
        with _hung(own_redis):
            bare.hub.leave(session, "channel:c")
            with pytest.raises(Unavailable):
                await bare.hub.settled(session)
        key = bare.hub.broker._backplane.key("session_pool", ann.sid)  # type: ignore[attr-defined]

        def rooms() -> set[str]:
            with own_redis.nodes[0].client() as client:
                return set(json.loads(client.hget(key, "data"))["positions"]["rooms"])

        async with asyncio.timeout(20):
            while "channel:c" in await asyncio.to_thread(rooms):
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("elsewhere", [True, False])
async def test_a_failed_attempt_does_not_burn_the_session(
    own_redis: Standalone, impatient: Replicas, elsewhere: bool
) -> None:
    async with impatient() as bare, impatient() as other:
        ann = Raw(bare)
        await ann.connect()
        sid, pid = ann.sid, ann.pid
        await ann.cut()
        await bare.hub.publish("user:ann", "e", 1)
        if elsewhere:
            ann.go_to(other)
        with _hung(own_redis):
            for _ in range(2):
                with pytest.raises(ConnectionClosed, match="unavailable"):
                    await ann.back()
        assert (ann.sid, ann.pid) == (sid, pid)

        async def back() -> bool:
            try:
                return await ann.back()
            except ConnectionClosed as closed:
                raise Unavailable("not yet") from closed

        assert await _eventually(back)
        assert await ann.read(1) == [1]


async def test_a_new_client_is_told_to_come_later(
    own_redis: Standalone, impatient: Replicas
) -> None:
    async with impatient() as bare:
        ann = Raw(bare)
        with _hung(own_redis):
            with pytest.raises(ConnectionClosed, match="unavailable"):
                await ann.connect()
            await until(lambda: not bare.hub.sessions)
        await _eventually(lambda: bare.hub.publish("user:ann", "e", 0))
        await ann.connect()
        await bare.hub.publish("user:ann", "e", 1)
        assert await ann.read(1) == [1]


async def test_a_redis_that_lost_everything_leaves_sockets_and_says_what_is_lost(
    own_redis: Standalone, impatient: Replicas
) -> None:
    async with impatient(renew_every=0.5) as bare:
        ann, ben = Raw(bare), Raw(bare, "ben")
        await ann.connect()
        await ben.connect()
        await ben.cut()
        await until(lambda: not bare.hub.sessions[ben.sid].attached)
        own_redis.nodes[0].execute("FLUSHALL")
        await bare.hub.publish("user:ann", "e", 1)
        await bare.hub.publish("user:ben", "e", 1)
        await bare.hub.publish("user:ann", "e", 2)
        assert await ann.read(2) == [1, 2]
        await ann.cut()
        for client in (ann, ben):
            assert not await client.back()
        await bare.hub.publish("user:ann", "e", 3)
        assert await ann.read(1) == [3]
        await ann.cut()
        assert await ann.back()  # a session of the new logs


async def test_a_session_outlives_the_master_it_was_written_to(redis_prefix: str) -> None:
    with redis_sentinel() as servers:
        settings = {"delivery_durability": "replicated"}
        async with (
            open_backplane(servers, redis_prefix, **settings) as one,
            open_backplane(servers, redis_prefix, **settings) as two,
            bare_server(backplane=one) as bare,
            bare_server(backplane=two) as other,
        ):
            ann = Raw(bare)
            await ann.connect()
            await bare.hub.join(bare.hub.sessions[ann.sid], "channel:c")
            await bare.hub.publish("channel:c", "e", 0)
            assert await ann.read(1) == [0]
            await _fail_over(servers)
            await bare.hub.publish("channel:c", "e", 1)
            await ann.cut()
            ann.go_to(other)
            assert await ann.back()
            assert await ann.read(1) == [1]
            await other.hub.publish("user:ann", "e", 2)
            assert await ann.read(1) == [2]


async def _fail_over(servers: Sentinel) -> None:
    old = servers.master()
    old.kill()
    await asyncio.to_thread(servers.wait_for_failover, old)
