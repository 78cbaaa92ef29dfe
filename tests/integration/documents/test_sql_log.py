"""What is particular to the log in SQL: grouped transactions, and what the database refuses."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import delete, func, select

from heliograph.delivery import MemoryBroker
from heliograph.documents import SqlDocumentLog
from heliograph.documents.log import Place
from heliograph.errors import NotFound, Unavailable
from heliograph.store import Database
from heliograph.store.models import Document, DocumentUpdate, User
from tests.integration.documents.logs import add_owner, append, compact, entries, loaded


@pytest.fixture
async def log(database: Database) -> SqlDocumentLog:
    """A log with an empty document ``d`` of ``ann``."""
    await add_owner(database)
    log = SqlDocumentLog(database, MemoryBroker(0))
    assert await log.create("d", "ann", None)
    return log


async def rows(database: Database) -> int:
    async with database.read() as session:
        return await session.scalar(select(func.count()).select_from(DocumentUpdate)) or 0


async def test_appends_of_all_documents_share_transactions(
    database: Database, log: SqlDocumentLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = []
    for number in range(20):
        await log.create(f"d{number}", "ann", None)
        places.append((await loaded(log, f"d{number}")).place)
    transactions = 0
    write = database.write

    def counted() -> object:
        nonlocal transactions
        transactions += 1
        return write()

    monkeypatch.setattr(database, "write", counted)
    await asyncio.gather(
        *(log.append(f"d{n % 20}", places[n % 20], "", entries(b"u")) for n in range(400))
    )
    assert transactions <= 3
    heads = await log.heads([f"d{number}" for number in range(20)])
    assert {head.seq for head in heads.values()} == {20}


async def test_an_append_to_a_missing_document_fails_alone(log: SqlDocumentLog) -> None:
    place = (await loaded(log)).place
    good, bad = await asyncio.gather(
        log.append("d", place, "", entries(b"u")),
        log.append("gone", Place("1", 0), "", entries(b"u")),
        return_exceptions=True,
    )
    assert not isinstance(good, BaseException)
    assert good.first_seq == 1
    assert isinstance(bad, NotFound)


async def test_an_append_that_the_database_refuses_stores_nothing_and_the_next_one_works(
    database: Database, log: SqlDocumentLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = (await loaded(log)).place
    with monkeypatch.context() as broken:
        broken.setattr(database, "write", lambda: 1 / 0)
        with pytest.raises(Unavailable):
            await log.append("d", place, "", entries(b"lost"))
    assert await append(log, "d", b"kept") == 1
    assert list((await loaded(log)).updates) == [b"kept"]


async def test_compaction_removes_the_rows_that_the_snapshot_holds(
    database: Database, log: SqlDocumentLog
) -> None:
    await append(log, "d", b"one,", b"two,")
    read = await loaded(log)
    await append(log, "d", b"three,")
    assert await compact(log, read)
    assert await rows(database) == 1
    await log.delete("d")
    assert await rows(database) == 0


async def test_a_log_with_a_gap_is_refused_rather_than_read(
    database: Database, log: SqlDocumentLog
) -> None:
    await append(log, "d", b"one", b"two", b"three")
    async with database.write() as session:
        await session.execute(delete(DocumentUpdate).where(DocumentUpdate.seq == 2))
    with pytest.raises(Unavailable):
        await log.load("d")


async def test_the_documents_of_a_deleted_user_go_too(
    database: Database, log: SqlDocumentLog
) -> None:
    async with database.write() as session:
        await session.execute(delete(User))
    async with database.read() as session:
        assert await session.scalar(select(func.count()).select_from(Document)) == 0


async def test_stopping_waits_for_appends_under_way(log: SqlDocumentLog) -> None:
    place = (await loaded(log)).place
    under_way = asyncio.create_task(log.append("d", place, "", entries(b"u")))
    await asyncio.sleep(0)
    await log.stop()
    assert (await under_way).first_seq == 1
