"""The log of documents: in SQL on both kinds of database, and in Redis beside it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from heliograph.cluster import Cluster
from heliograph.delivery import Hub, MemoryBroker, RedisBroker
from heliograph.documents import DocumentLog, SqlDocumentLog
from heliograph.documents.log import LogMoved, Place, RightsMoved
from heliograph.documents.redis_log import RedisDocumentLog
from heliograph.errors import NotFound
from heliograph.store import Database
from tests.integration.documents.logs import (
    add_owner,
    append,
    compact,
    entries,
    loaded,
    whole,
)
from tests.support.backplane import open_backplane

NewLog = Callable[[], Awaitable[DocumentLog]]


@pytest.fixture(params=["sqlite", "postgresql", "redis", "redis_cluster", "replicated"])
def home(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def database_url(home_url: str) -> str:
    return home_url


@pytest.fixture
async def new_log(
    request: pytest.FixtureRequest, home: str, database: Database, redis_prefix: str
) -> AsyncIterator[NewLog]:
    """Makes the logs of replicas."""
    servers: Any = None
    changes: dict[str, object] = {}
    if home.startswith("redis"):
        servers = request.getfixturevalue(home)
    elif home == "replicated":
        servers = request.getfixturevalue("redis_sentinel")
        changes = {"delivery_durability": "replicated"}
    async with contextlib.AsyncExitStack() as stack:

        async def make() -> DocumentLog:
            if servers is None:
                return SqlDocumentLog(database, MemoryBroker(0))
            opened = open_backplane(servers, redis_prefix, **changes)
            backplane = await stack.enter_async_context(opened)
            broker = RedisBroker(backplane, 60)
            hub = Hub(broker)
            await hub.start()
            stack.push_async_callback(hub.stop)
            replica = Cluster.over(hub, backplane).replica
            return RedisDocumentLog(database, backplane, broker, replica)

        yield make


@pytest.fixture
async def log(new_log: NewLog, database: Database) -> DocumentLog:
    """A log with an empty document ``d`` of ``ann``."""
    await add_owner(database)
    log = await new_log()
    assert await log.create("d", "ann", None)
    return log


async def test_a_document_that_does_not_exist_is_none(log: DocumentLog) -> None:
    assert await log.load("x") is None
    assert await log.heads(["d", "x"]) == {"d": (await log.heads(["d"]))["d"]}
    place = Place("1", 0)
    with pytest.raises((NotFound, LogMoved)):
        await log.append("x", place, "", entries(b"u"))
    with pytest.raises((NotFound, LogMoved)):
        await log.since("x", place)


async def test_updates_come_back_in_order(log: DocumentLog) -> None:
    assert await append(log, "d", b"one", b"two") == 1
    assert await append(log, "d", b"three") == 3
    now = await loaded(log)
    assert list(now.updates) == [b"one", b"two", b"three"]
    assert (now.snapshot, now.snapshot_seq, now.seq) == (None, 0, 3)
    assert (await log.heads(["d"]))["d"].seq == 3
    assert (await log.heads(["d"]))["d"].updated_at == now.updated_at


async def test_of_many_creations_at_once_one_makes_the_document(
    log: DocumentLog, new_log: NewLog
) -> None:
    logs = [log, await new_log(), await new_log()]
    states = [f"state {number}".encode() for number in range(12)]
    made = await asyncio.gather(
        *(logs[n % 3].create("seeded", "ann", state) for n, state in enumerate(states))
    )
    assert made.count(True) == 1
    assert (await loaded(logs[0], "seeded")).snapshot == states[made.index(True)]


async def test_appends_of_many_at_once_are_numbered_in_their_order(log: DocumentLog) -> None:
    start = await loaded(log)
    updates = [str(number).encode() for number in range(300)]
    appended = await asyncio.gather(
        *(log.append("d", start.place, start.rights, entries(update)) for update in updates)
    )
    assert [each.first_seq for each in appended] == list(range(1, 301))
    assert list((await loaded(log)).updates) == updates


async def test_replicas_that_append_give_out_each_number_once_and_learn_of_the_others(
    log: DocumentLog, new_log: NewLog
) -> None:
    logs = [log, await new_log()]
    copies: list[list[bytes]] = []

    async def write(number: int) -> None:
        mine = logs[number]
        now = await loaded(mine)
        place, copy = now.place, [*now.updates]
        for step in range(40):
            update = b"%d.%d" % (number, step)
            appended = await mine.append("d", place, now.rights, entries(update))
            assert appended.missed is not None
            copy += [*appended.missed, update]
            assert len(copy) == appended.first_seq
            place = appended.place
        news = await mine.since("d", place)
        assert news.updates is not None
        copies.append([*copy, *news.updates])

    await asyncio.gather(write(0), write(1))
    now = list((await loaded(log)).updates)
    assert len(now) == 80
    assert len(set(now)) == 80
    for copy in copies:
        assert copy == now[: len(copy)]


async def test_what_came_after_a_place_is_told(log: DocumentLog, new_log: NewLog) -> None:
    start = await loaded(log)
    await append(await new_log(), "d", b"one", b"two")
    news = await log.since("d", start.place)
    assert news.updates == [b"one", b"two"]
    assert news.place == (await loaded(log)).place
    again = await log.since("d", news.place)
    assert (again.updates, again.place) == ([], news.place)


async def test_a_place_that_was_compacted_away_has_to_be_loaded_anew(log: DocumentLog) -> None:
    await append(log, "d", b"one,", b"two,")
    early = (await loaded(log)).place
    await append(log, "d", b"three,")
    assert await compact(log, await loaded(log))
    with contextlib.suppress(LogMoved):
        assert (await log.since("d", early)).updates is None
    try:
        now = await loaded(log)
        appended = await log.append("d", early, now.rights, entries(b"four,"))
        assert appended.missed is None
    except LogMoved:
        await append(log, "d", b"four,")
    assert whole(await loaded(log)) == [b"one", b"two", b"three", b"four"]


async def test_no_append_rests_on_rights_that_have_changed(
    log: DocumentLog, new_log: NewLog
) -> None:
    now = await loaded(log)
    await log.rights_changed("d")
    with pytest.raises(RightsMoved) as moved:
        await log.append("d", now.place, now.rights, entries(b"u"))
    assert (await loaded(log)).seq == 0
    appended = await log.append("d", now.place, moved.value.rights, entries(b"u"))
    assert appended.first_seq == 1
    assert (await loaded(log)).rights == moved.value.rights


async def test_compaction_replaces_what_the_snapshot_holds(log: DocumentLog) -> None:
    await append(log, "d", b"one,", b"two,")
    read = await loaded(log)
    await append(log, "d", b"three,")
    assert await compact(log, read)
    now = await loaded(log)
    assert (now.snapshot, now.snapshot_seq, now.seq) == (b"one,two,", 2, 3)
    assert list(now.updates) == [b"three,"]
    assert await append(log, "d", b"four,") == 4


async def test_of_two_compactions_of_the_same_one_is_done(
    log: DocumentLog, new_log: NewLog
) -> None:
    other = await new_log()
    await append(log, "d", b"one,", b"two,")
    early = await loaded(log)
    await append(log, "d", b"three,")
    late = await loaded(other)
    assert await compact(other, late)
    assert not await compact(log, early)
    now = await loaded(log)
    assert (now.snapshot, list(now.updates)) == (b"one,two,three,", [])


async def test_compaction_while_others_append_and_load_loses_nothing(
    log: DocumentLog, new_log: NewLog
) -> None:
    rnd = random.Random(5)
    other = await new_log()
    total = 80

    async def write() -> None:
        for number in range(total):
            await append(rnd.choice((log, other)), "d", b"%d," % number)

    async def settle(mine: DocumentLog) -> None:
        while True:
            now = await loaded(mine)
            assert whole(now) == [b"%d" % number for number in range(now.seq)]
            await compact(mine, now)
            if now.seq == total:
                return

    await asyncio.gather(write(), settle(log), settle(other))
    now = await loaded(log)
    assert (now.seq, now.snapshot_seq, list(now.updates)) == (total, total, [])
    assert whole(now) == [b"%d" % number for number in range(total)]


async def test_a_deleted_document_takes_its_log_with_it(log: DocumentLog, new_log: NewLog) -> None:
    await append(log, "d", b"one")
    other = await new_log()
    place = (await loaded(other)).place
    await log.delete("d")
    assert await log.load("d") is None
    for refused in (other.append("d", place, "", entries(b"late")), other.since("d", place)):
        with pytest.raises((NotFound, LogMoved)):
            await refused
    # Made anew it is another document.
    assert await log.create("d", "ann", b"fresh,")
    with pytest.raises(LogMoved):
        await other.append("d", place, "", entries(b"late"))
    now = await loaded(log)
    assert (now.snapshot, list(now.updates), now.seq) == (b"fresh,", [], 0)
