"""What is particular to the hot log in Redis: retries, lives, and Redis that fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import delete

from heliograph.backplane import Backplane
from heliograph.cluster import Cluster
from heliograph.delivery import Frame, Hub, MemoryBroker, RedisBroker
from heliograph.documents import SqlDocumentLog
from heliograph.documents.log import LogMoved
from heliograph.documents.redis_log import RedisDocumentLog
from heliograph.errors import Unavailable
from heliograph.store import Database
from heliograph.store.models import Document
from tests.integration.documents.editors import paragraph_update
from tests.integration.documents.logs import (
    add_owner,
    append,
    compact,
    entries,
    loaded,
    whole,
)
from tests.integration.documents.stage import Shared, stage
from tests.support.backplane import open_backplane
from tests.support.bare import until
from tests.support.redis import Standalone, redis_sentinel, redis_standalone


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
async def backplane(redis: Standalone, redis_prefix: str) -> AsyncIterator[Backplane]:
    async with open_backplane(redis, redis_prefix) as opened:
        yield opened


@pytest.fixture
async def log(database: Database, backplane: Backplane) -> AsyncIterator[RedisDocumentLog]:
    """A log with an empty document ``d`` of ``ann``."""
    await add_owner(database)
    broker = RedisBroker(backplane, 60)
    hub = Hub(broker)
    await hub.start()
    log = RedisDocumentLog(database, backplane, broker, Cluster.over(hub, backplane).replica)
    assert await log.create("d", "ann", None)
    yield log
    await hub.stop()


async def test_an_append_that_is_sent_again_is_done_once(
    log: RedisDocumentLog, backplane: Backplane
) -> None:
    start = await loaded(log)
    await append(log, "d", b"other,")
    broker = log._broker
    room, keys = broker.room_keys("doc_d"), log._keys("d")
    envelope = await broker.envelope("doc_d", Frame.numbered("update", {}, "seq"))
    place = start.place
    args: list[Any] = [place.life, place.seq, place.mark, start.rights, 5]
    for mark in (b"11111111", b"22222222"):
        args += [mark, mark + b",", envelope]

    async def send(retried: str) -> Any:
        policy = broker.policy(room[0])
        answer = await backplane.call(
            "document_append", [*room, *keys], [room[0], policy, "id", retried, *args]
        )
        return answer[0]

    first = await send("0")
    await append(log, "d", b"later,")
    await log.rights_changed("d")
    position = await broker.position("doc_d")
    # The answer got lost, and the line was cut: it is sent again.
    assert await send("1") == first == [b"ok", 2, [first[2][0]]]
    assert await broker.position("doc_d") == position
    updates = [b"other,", b"11111111,", b"22222222,", b"later,"]
    assert list((await loaded(log)).updates) == updates


async def test_what_was_read_before_a_trim_is_not_trimmed_again(log: RedisDocumentLog) -> None:
    await append(log, "d", b"one,", b"two,")
    early = await loaded(log)
    assert await compact(log, early)
    await append(log, "d", b"three,", b"four,")
    assert not await compact(log, early)
    # Even had SQL taken it, as after a crash between the commit and the trim.
    known = (early.unsettled.life, early.seq, early.place.mark)
    await log._backplane.call("document_trim", log._keys("d"), known)
    assert list((await loaded(log)).updates) == [b"three,", b"four,"]


async def test_who_settled_more_trims_what_another_left(log: RedisDocumentLog) -> None:
    await append(log, "d", b"one,")
    early = await loaded(log)
    await append(log, "d", b"two,")
    late = await loaded(log)
    calls = [
        ("document_trim", log._keys("d"), (each.unsettled.life, each.seq, each.place.mark))
        for each in (early, late)
    ]
    assert await compact(log, late)  # SQL has both, and a replica that was slower trims after it
    await append(log, "d", b"three,")
    for call in calls:
        await log._backplane.call(*call)
    assert list((await loaded(log)).updates) == [b"three,"]

    await append(log, "d", b"four,")
    before = await loaded(log)
    await append(log, "d", b"five,")
    after = await loaded(log)
    for each in (before, after):
        known = (each.unsettled.life, each.seq, each.place.mark)
        await log._backplane.call("document_trim", log._keys("d"), known)
    head = (await loaded(log)).unsettled
    assert head.seq == after.seq, "the second trims what the first left"


async def test_a_crash_between_commit_and_trim_doubles_and_loses_nothing(
    log: RedisDocumentLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append(log, "d", b"one,", b"two,")
    call = log._backplane.call
    with monkeypatch.context() as crashed:

        def failing(function: str, *args: object, **more: object) -> object:
            if function == "document_trim":
                raise Unavailable("killed")
            return call(function, *args, **more)  # type: ignore[arg-type]

        crashed.setattr(log._backplane, "call", failing)
        with pytest.raises(Unavailable):
            await compact(log, await loaded(log))
    now = await loaded(log)
    assert (now.snapshot_seq, len(now.updates)) == (2, 2)
    assert list(await log.unsettled_of(log._unsettled._replica.id)) == ["d"]
    await append(log, "d", b"three,")
    assert await compact(log, await loaded(log))
    now = await loaded(log)
    assert (now.snapshot, list(now.updates)) == (b"one,two,three,", [])
    assert list(await log.unsettled_of(log._unsettled._replica.id)) == []


async def test_what_one_process_left_in_sql_is_taken_over(
    database: Database, log: RedisDocumentLog
) -> None:
    alone = SqlDocumentLog(database, MemoryBroker(0))
    await append(alone, "d", b"one,", b"two,")
    assert await append(log, "d", b"three,") == 3
    assert whole(await loaded(log)) == [b"one", b"two", b"three"]
    assert await compact(log, await loaded(log))
    now = await loaded(alone)
    assert (now.snapshot, now.seq, list(now.updates)) == (b"one,two,three,", 3, [])


async def test_a_document_made_anew_has_nothing_of_the_one_before(
    database: Database, log: RedisDocumentLog
) -> None:
    await append(log, "d", b"secret")
    old = await loaded(log)
    # It went with its owner's account, behind the log's back.
    async with database.write() as session:
        await session.execute(delete(Document))
    assert await log.create("d", "ann", b"fresh")
    now = await loaded(log)
    assert (now.snapshot, list(now.updates), now.seq) == (b"fresh", [], 0)
    with pytest.raises(LogMoved):
        await log.append("d", old.place, old.rights, entries(b"late"))
    assert not await log.compact("d", old, b"secret")


async def test_a_log_that_has_settled_expires_and_one_that_has_not_stays(
    log: RedisDocumentLog, backplane: Backplane
) -> None:
    head, updates = log._keys("d")
    await loaded(log)
    assert await backplane.execute("PTTL", head) > 0
    await append(log, "d", b"one,")
    assert await backplane.execute("PTTL", head) == -1
    assert await backplane.execute("PTTL", updates) == -1
    assert await compact(log, await loaded(log))
    assert await backplane.execute("PTTL", head) > 0
    assert not await backplane.execute("EXISTS", updates)
    await backplane.execute("DEL", head)
    assert await append(log, "d", b"two,") == 2


async def test_editors_wait_while_redis_is_frozen_and_go_on_afterwards(
    database: Database, redis_prefix: str
) -> None:
    with redis_standalone() as servers:
        async with stage(database, Shared(servers, redis_prefix)) as one:
            ann = await one.user("ann")
            writer, reader = await one.client(ann), await one.client(ann)
            for client in (writer, reader):
                await client.join("free")
            await writer.write("free", "before")
            await asyncio.to_thread(servers.nodes[0].stop)
            waiting = asyncio.create_task(writer.write("free", "meanwhile"))
            try:
                done, _ = await asyncio.wait({waiting}, timeout=0.5)
                assert not done
            finally:
                await asyncio.to_thread(servers.nodes[0].resume)
            assert await waiting == 2
            assert await reader.text() == "before\nmeanwhile"


async def test_what_was_acknowledged_survives_the_master(
    database: Database, redis_prefix: str
) -> None:
    with redis_sentinel(down_after_ms=500) as servers:
        shared = Shared(servers, redis_prefix, {"delivery_durability": "replicated"})
        async with stage(database, shared) as one, stage(database, shared) as two:
            ann = await one.user("ann")
            clients = [await one.client(ann), await two.client(ann)]
            for client in clients:
                await client.join("free")
            acknowledged: list[str] = []
            stopping = False

            async def type_on(number: int) -> None:
                step = 0
                while not stopping:
                    text = f"{number}.{step}"
                    with contextlib.suppress(Unavailable):
                        await clients[number].send("free", paragraph_update(text))
                        acknowledged.append(text)
                    step += 1

            typing = [asyncio.create_task(type_on(number)) for number in range(2)]
            await until(lambda: len(acknowledged) > 20)
            await asyncio.to_thread(servers.master().kill)
            reached = len(acknowledged) + 5  # answers may be under way
            await until(lambda: len(acknowledged) > reached + 20, timeout=30)
            stopping = True
            await asyncio.gather(*typing)
            texts = []
            for at in (one, two):
                late = await at.client(ann)
                await late.join("free")
                texts.append(sorted((await late.text()).split("\n")))
            assert texts[0] == texts[1]
            assert set(acknowledged) <= set(texts[0])
            assert len(texts[0]) == len(set(texts[0]))
