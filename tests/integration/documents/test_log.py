"""The log of documents in SQL, on both kinds of database."""

from __future__ import annotations

import asyncio
import random

import pytest
from sqlalchemy import delete, func, select

from heliograph.documents import SqlDocumentLog
from heliograph.documents.log import Entry
from heliograph.errors import NotFound, Unavailable
from heliograph.store import Database
from heliograph.store.models import Document, DocumentUpdate, User


@pytest.fixture
async def owner(database: Database) -> str:
    """The id of a user."""
    user = User(
        id="ann", name="Ann", email="ann@example.org", role="user", password_hash=None,
        created_at=0, updated_at=0, last_active_at=0,
    )  # fmt: skip
    async with database.write() as session:
        session.add(user)
    return "ann"


@pytest.fixture
async def log(database: Database, owner: str) -> SqlDocumentLog:
    """A log with an empty document ``d``."""
    log = SqlDocumentLog(database)
    assert await log.create("d", owner, None)
    return log


def entries(*updates: bytes) -> list[Entry]:
    return [Entry("ann", update) for update in updates]


async def rows(database: Database) -> int:
    async with database.read() as session:
        return await session.scalar(select(func.count()).select_from(DocumentUpdate)) or 0


async def test_a_document_that_does_not_exist_is_none(log: SqlDocumentLog) -> None:
    assert await log.load("x") is None
    assert await log.heads(["d", "x"]) == {"d": (await log.heads(["d"]))["d"]}


async def test_updates_come_back_in_order(log: SqlDocumentLog) -> None:
    assert await log.append("d", entries(b"one", b"two")) == 1
    assert await log.append("d", entries(b"three")) == 3
    logged = await log.load("d")
    assert logged is not None
    assert list(logged.updates) == [b"one", b"two", b"three"]
    assert (logged.snapshot, logged.snapshot_seq, logged.seq) == (None, 0, 3)
    assert (await log.heads(["d"]))["d"].seq == 3


async def test_of_many_creations_at_once_one_makes_the_document(
    database: Database, owner: str
) -> None:
    logs = [SqlDocumentLog(database) for _ in range(3)]
    states = [f"state {number}".encode() for number in range(12)]
    made = await asyncio.gather(
        *(logs[n % 3].create("seeded", owner, state) for n, state in enumerate(states))
    )
    assert made.count(True) == 1
    logged = await logs[0].load("seeded")
    assert logged is not None
    assert logged.snapshot == states[made.index(True)]


async def test_appends_of_many_at_once_are_numbered_in_their_order(log: SqlDocumentLog) -> None:
    updates = [str(number).encode() for number in range(300)]
    seqs = await asyncio.gather(*(log.append("d", entries(update)) for update in updates))
    assert seqs == list(range(1, 301))
    logged = await log.load("d")
    assert logged is not None
    assert list(logged.updates) == updates


async def test_appends_of_all_documents_share_transactions(
    database: Database, log: SqlDocumentLog, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        await log.create(f"d{number}", owner, None)
    transactions = 0
    write = database.write

    def counted() -> object:
        nonlocal transactions
        transactions += 1
        return write()

    monkeypatch.setattr(database, "write", counted)
    await asyncio.gather(*(log.append(f"d{number % 20}", entries(b"u")) for number in range(400)))
    assert transactions <= 3
    heads = await log.heads([f"d{number}" for number in range(20)])
    assert {head.seq for head in heads.values()} == {20}


async def test_an_append_to_a_missing_document_fails_alone(log: SqlDocumentLog) -> None:
    good, bad = await asyncio.gather(
        log.append("d", entries(b"u")), log.append("gone", entries(b"u")), return_exceptions=True
    )
    assert good == 1
    assert isinstance(bad, NotFound)


async def test_an_append_that_the_database_refuses_stores_nothing_and_the_next_one_works(
    database: Database, log: SqlDocumentLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(database, "write", lambda: 1 / 0)
        with pytest.raises(Unavailable):
            await log.append("d", entries(b"lost"))
    assert await log.append("d", entries(b"kept")) == 1
    logged = await log.load("d")
    assert logged is not None
    assert list(logged.updates) == [b"kept"]


async def test_two_processes_that_append_give_out_each_number_once(
    database: Database, log: SqlDocumentLog
) -> None:
    other = SqlDocumentLog(database)
    await log.create("e", "ann", None)
    seqs = await asyncio.gather(
        *(
            each.append(document_id, entries(b"u"))
            for _ in range(60)
            for each in (log, other)
            for document_id in ("d", "e")
        )
    )
    assert sorted(seqs) == sorted([*range(1, 121), *range(1, 121)])


async def test_compaction_replaces_what_the_snapshot_holds(
    database: Database, log: SqlDocumentLog
) -> None:
    await log.append("d", entries(b"one", b"two", b"three"))
    await log.compact("d", 2, b"snapshot")
    logged = await log.load("d")
    assert logged is not None
    assert (logged.snapshot, logged.snapshot_seq, logged.seq) == (b"snapshot", 2, 3)
    assert list(logged.updates) == [b"three"]
    assert await rows(database) == 1


@pytest.mark.parametrize("up_to", [0, 1, 2, 9])
async def test_a_snapshot_never_goes_back_nor_ahead(log: SqlDocumentLog, up_to: int) -> None:
    await log.append("d", entries(b"one", b"two", b"three"))
    await log.compact("d", 2, b"newer")
    await log.compact("d", up_to, b"wrong")
    logged = await log.load("d")
    assert logged is not None
    assert (logged.snapshot, list(logged.updates)) == (b"newer", [b"three"])


async def test_compaction_while_others_append_and_load_loses_nothing(
    database: Database, log: SqlDocumentLog
) -> None:
    # Snapshots are the updates themselves, joined: what is missing or doubled shows.
    rnd = random.Random(5)
    other = SqlDocumentLog(database)
    total = 80

    async def append() -> None:
        for number in range(total):
            await rnd.choice((log, other)).append("d", entries(b"%d," % number))

    async def compact() -> None:
        while True:
            logged = await other.load("d")
            assert logged is not None
            whole = (logged.snapshot or b"") + b"".join(logged.updates)
            said = whole.split(b",")[:-1]
            assert said == [b"%d" % number for number in range(logged.seq)]
            await other.compact("d", logged.seq, whole)
            if logged.seq == total:
                return

    await asyncio.gather(append(), compact(), compact())
    assert await rows(database) == 0


async def test_a_log_with_a_gap_is_refused_rather_than_read(
    database: Database, log: SqlDocumentLog
) -> None:
    await log.append("d", entries(b"one", b"two", b"three"))
    async with database.write() as session:
        await session.execute(delete(DocumentUpdate).where(DocumentUpdate.seq == 2))
    with pytest.raises(Unavailable):
        await log.load("d")


async def test_a_deleted_document_takes_its_log_with_it(
    database: Database, log: SqlDocumentLog
) -> None:
    await log.append("d", entries(b"one"))
    await log.delete("d")
    assert await log.load("d") is None
    assert await rows(database) == 0


async def test_the_documents_of_a_deleted_user_go_too(
    database: Database, log: SqlDocumentLog
) -> None:
    async with database.write() as session:
        await session.execute(delete(User))
    async with database.read() as session:
        assert await session.scalar(select(func.count()).select_from(Document)) == 0


async def test_stopping_waits_for_appends_under_way(log: SqlDocumentLog) -> None:
    append = asyncio.create_task(log.append("d", entries(b"u")))
    await asyncio.sleep(0)
    await log.stop()
    assert await append == 1
