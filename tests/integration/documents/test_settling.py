"""Snapshots, compaction and derived text: in time, off the loop, losing nothing."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pycrdt
import pytest
from sqlalchemy import func, select

from heliograph.documents.log import Logged
from heliograph.documents.notes_repository import NotesTable
from heliograph.documents.wire import BadUpdate
from heliograph.store import Database
from heliograph.store.models import Document, DocumentUpdate, Note
from tests.integration.documents.editors import fragment, paragraph, paragraph_update
from tests.integration.documents.logs import append, loaded
from tests.integration.documents.stage import Shared, Stage, killed, stage
from tests.support.bare import until


@pytest.fixture
def database_url(home_url: str) -> str:
    return home_url


async def rows(database: Database) -> int:
    async with database.read() as session:
        return await session.scalar(select(func.count()).select_from(DocumentUpdate)) or 0


async def columns(database: Database) -> tuple[str, int]:
    async with database.read() as session:
        note = (await session.scalars(select(Note))).one()
        return note.content_md, note.content_seq


async def settled(one: Stage, document_id: str) -> None:
    await until(lambda: not one.documents.settler.is_pending(document_id), timeout=30)


async def test_a_quiet_note_settles_into_its_snapshot_and_text(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared, quiet=0.01) as one:
        ann = await one.user("ann")
        note_id = await one.note(ann, "first")
        client = await one.client(ann)
        await client.join(f"note:{note_id}")
        for text in ("a", "b", "c"):
            await client.write(f"note:{note_id}", text)
        await settled(one, f"note:{note_id}")
        assert await columns(database) == ("first\n\na\n\nb\n\nc", 3)
        assert await rows(database) == 0
        await client.write(f"note:{note_id}", "d")
        assert await one.markdown(ann, note_id) == "first\n\na\n\nb\n\nc\n\nd"
        await settled(one, f"note:{note_id}")
        assert await columns(database) == ("first\n\na\n\nb\n\nc\n\nd", 4)


@pytest.mark.parametrize("limit", [{"rows": 5}, {"bytes": 500}])
async def test_a_long_log_settles_without_waiting_for_quiet(
    database: Database, shared: Shared | None, limit: dict[str, Any]
) -> None:
    async with stage(database, shared, quiet=3600, oldest=3600, **limit) as one:
        ann = await one.user("ann")
        client = await one.client(ann)
        await client.join("free")
        for number in range(5):
            await client.write("free", str(number) * 100)
        logged = one.documents.log

        async with asyncio.timeout(30):
            while (await logged.load("free")).snapshot is None:  # type: ignore[union-attr]
                await asyncio.sleep(0.01)


async def test_somebody_who_never_pauses_does_not_put_it_off(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared, quiet=3600, oldest=0.2) as one:
        ann = await one.user("ann")
        client = await one.client(ann)
        await client.join("free")
        async with asyncio.timeout(30):
            while (await one.documents.log.load("free")).snapshot is None:  # type: ignore[union-attr]
                await client.write("free", "on and on")


async def test_compaction_while_others_type_loses_nothing(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared, quiet=0.001, rows=3) as one:
        ann = await one.user("ann")
        note_id = await one.note(ann, "x" * 5_000)  # big enough for the worker
        document_id = f"note:{note_id}"
        clients = [await one.client(ann) for _ in range(3)]
        for client in clients:
            await client.join(document_id)

        async def type_on(number: int) -> None:
            for step in range(30):
                await clients[number].write(document_id, f"{number}.{step}")
                await clients[number].text()

        await asyncio.gather(*map(type_on, range(3)))
        await settled(one, document_id)
        logged = await one.documents.log.load(document_id)
        assert logged is not None
        assert (logged.seq, len(logged.updates)) == (90, 0)
        assert await clients[0].text() == await clients[1].text() == await clients[2].text()
        whole = await clients[0].text()
        assert await one.markdown(ann, note_id) == whole.replace("\n", "\n\n")
    async with stage(database, shared) as two:
        late = await two.client(ann)
        await late.join(document_id)
        assert await late.text() == whole


async def test_another_process_that_appends_meanwhile_loses_nothing(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared) as one, stage(database, shared) as two:
        other = two.documents.log
        ann = await one.user("ann")
        await one.documents.log.create("free", ann.id, None)

        async def write() -> None:
            for number in range(60):
                await append(other, "free", paragraph_update(str(number)))

        async def compact() -> None:
            while True:
                await one.documents.settler.settle("free")
                heads = await other.heads(["free"])
                if heads["free"].seq == 60:
                    return

        await asyncio.gather(write(), compact())
        client = await one.client(ann)
        await client.join("free")
        assert sorted((await client.text()).split("\n"), key=int) == [str(n) for n in range(60)]


async def test_a_snapshot_of_a_damaged_log_is_refused_and_the_log_kept(
    database: Database,
    shared: Shared | None,
) -> None:
    async with stage(database, shared) as one:
        ann = await one.user("ann")
        await one.documents.log.create("free", ann.id, None)
        doc: pycrdt.Doc[Any] = pycrdt.Doc()
        paragraph(doc, "first")
        before = doc.get_state()
        paragraph(doc, "second")
        await append(one.documents.log, "free", doc.get_update(before))
        with pytest.raises(BadUpdate):
            await one.documents.settler.settle("free")
        assert len((await loaded(one.documents.log, "free")).updates) == 1


async def test_a_failure_to_settle_is_tried_again(
    database: Database, shared: Shared | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(database, shared, quiet=0.01, again=0.01) as one:
        ann = await one.user("ann")
        client = await one.client(ann)
        await client.join("free")
        compact = one.documents.log.compact
        failures = 2

        async def failing(document_id: str, logged: Logged, snapshot: bytes) -> bool:
            nonlocal failures
            if failures:
                failures -= 1
                raise OSError("no disk")
            return await compact(document_id, logged, snapshot)

        monkeypatch.setattr(one.documents.log, "compact", failing)
        await client.write("free", "text")
        await settled(one, "free")
        assert await rows(database) == 0


async def test_stopping_settles_what_is_left(database: Database, shared: Shared | None) -> None:
    async with stage(database, shared, quiet=3600, oldest=3600) as one:
        ann = await one.user("ann")
        note_id = await one.note(ann)
        client = await one.client(ann)
        await client.join(f"note:{note_id}")
        await client.write(f"note:{note_id}", "text")
    assert await columns(database) == ("text", 1)
    assert await rows(database) == 0


async def test_a_closed_document_settles(database: Database, shared: Shared | None) -> None:
    async with stage(database, shared, quiet=3600, oldest=3600, close_after=0.01) as one:
        ann = await one.user("ann")
        client = await one.client(ann)
        await client.join("free")
        await client.write("free", "text")
        await one.documents.leave(client.session, "free")
        await settled(one, "free")
        assert await rows(database) == 0


async def test_a_long_log_that_a_killed_process_left_is_compacted_when_opened(
    database: Database,
    shared: Shared | None,
) -> None:
    async with killed(database, shared, rows=10_000) as one:
        ann = await one.user("ann")
        note_id = await one.note(ann)
        document_id = f"note:{note_id}"
        for number in range(30):
            update = paragraph_update(str(number))
            await append(one.documents.log, document_id, update)
    async with stage(database, shared, rows=10) as two:
        client = await two.client(ann)
        await client.join(document_id)
        assert len((await client.text()).split("\n")) == 30
        assert await rows(database) == 0


async def test_text_settled_late_never_replaces_newer_text(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared, quiet=3600, oldest=3600) as one:
        ann = await one.user("ann")
        note_id = await one.note(ann)
        document_id = f"note:{note_id}"
        client = await one.client(ann)
        await client.join(document_id)
        await client.write(document_id, "old")
        old = await one.documents.settler.settle(document_id)
        assert old is not None
        await client.write(document_id, "new")
        await one.documents.settler.settle(document_id)
        await NotesTable(database).store_text(note_id, old)
        assert await columns(database) == ("old\n\nnew", 2)


async def test_deletions_are_in_the_snapshot(database: Database, shared: Shared | None) -> None:
    rnd = random.Random(3)
    async with stage(database, shared, quiet=0.005) as one:
        ann = await one.user("ann")
        note_id = await one.note(ann)
        document_id = f"note:{note_id}"
        client = await one.client(ann)
        await client.join(document_id)
        for number in range(40):
            before = client.doc.get_state()
            root = fragment(client.doc)
            if len(root.children) > 3 and rnd.random() < 0.5:
                del root.children[rnd.randrange(len(root.children))]
            else:
                paragraph(client.doc, str(number))
            await client.send(document_id, client.doc.get_update(before))
        await settled(one, document_id)
        text = await client.text()
    async with stage(database, shared) as two:
        late = await two.client(ann)
        await late.join(document_id)
        assert await late.text() == text
        async with database.read() as session:
            assert (await session.scalars(select(Document.snapshot_seq))).one() == 40
