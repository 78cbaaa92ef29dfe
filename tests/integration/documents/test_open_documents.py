"""Open documents: order, failure, restart, closing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pycrdt
import pytest
from sqlalchemy import delete, select

from heliograph.documents import DocumentLog
from heliograph.documents.copy import MAX_DOCUMENT_BYTES
from heliograph.documents.log import Appended, Entry, Place
from heliograph.errors import Forbidden, HeliographError, NotFound, TooLarge, Unavailable
from heliograph.store import Database
from heliograph.store.models import Document, Note
from tests.integration.documents.editors import fragment, paragraph_update, text_of
from tests.integration.documents.stage import Shared, Stage, killed, stage
from tests.support.bare import until


@pytest.fixture
def database_url(home_url: str) -> str:
    return home_url


class FailingLog:
    """A log whose next appends fail, before or after they are stored."""

    def __init__(self, log: DocumentLog) -> None:
        self._log = log
        self.fail_before = 0
        self.fail_after = 0
        self.appends: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(
        self, document_id: str, place: Place, rights: str, entries: Sequence[Entry]
    ) -> Appended:
        self.appends.append(len(entries))
        if self.fail_before:
            self.fail_before -= 1
            raise Unavailable("no database")
        appended = await self._log.append(document_id, place, rights, entries)
        if self.fail_after:
            self.fail_after -= 1
            raise Unavailable("the answer got lost")
        return appended

    @classmethod
    def of(cls, stage: Stage) -> FailingLog:
        """The one around the log of a stage."""
        assert isinstance(stage.documents.log, cls)
        return stage.documents.log


async def length(stage: Stage, document_id: str) -> int:
    """How many updates were logged."""
    logged = await stage.documents.log.load(document_id)
    assert logged is not None
    return logged.seq


async def test_the_last_one_leaving_loses_nothing(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared, close_after=0.01) as one:
        ann = await one.user("ann")
        note_id = await one.note(ann, "first")
        client = await one.client(ann)
        await client.join(f"note:{note_id}")
        await client.write(f"note:{note_id}", "second")
        await one.documents.leave(client.session, f"note:{note_id}")
        await until(lambda: not one.documents._shelf.open)
        again = await one.client(ann)
        await again.join(f"note:{note_id}")
        assert await again.text() == "first\nsecond"
        assert await one.markdown(ann, note_id) == "first\n\nsecond"


async def test_a_killed_process_loses_nothing_that_was_acknowledged(
    database: Database, shared: Shared | None
) -> None:
    async with killed(database, shared) as one:
        ann = await one.user("ann")
        note_id = await one.note(ann, "first")
        client = await one.client(ann)
        await client.join(f"note:{note_id}")
        for number in range(5):
            await client.write(f"note:{note_id}", str(number))
    async with stage(database, shared) as two:
        # The columns of the note are behind: nothing has settled.
        async with database.read() as session:
            assert await session.scalar(select(Note.content_md)) == "first"
        assert await two.markdown(ann, note_id) == "first\n\n0\n\n1\n\n2\n\n3\n\n4"
        assert (await two.notes.list(ann, 0, 10))[0]["data"]["content"]["md"].endswith("4")
        client = await two.client(ann)
        await client.join(f"note:{note_id}")
        assert await client.text() == "first\n0\n1\n2\n3\n4"


async def test_two_who_join_at_once_seed_once(database: Database, shared: Shared | None) -> None:
    async with stage(database, shared) as one, stage(database, shared) as two:
        ann = await one.user("ann")
        note_id = await one.note(ann, "the text")
        async with database.write() as session:
            await session.execute(delete(Document))  # as if it had never been opened
        clients = [await each.client(ann) for each in (one, two) for _ in range(4)]
        await asyncio.gather(*(client.join(f"note:{note_id}") for client in clients))
        states = {client.doc.get_update() for client in clients}
        assert len(states) == 1
        assert await clients[0].text() == "the text"


async def test_a_document_that_was_lost_is_seeded_from_the_notes_text(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared, quiet=0.01) as one:
        ann = await one.user("ann")
        note_id = await one.note(ann, "first")
        client = await one.client(ann)
        await client.join(f"note:{note_id}")
        await client.write(f"note:{note_id}", "second")
        await until(lambda: not one.documents.settler.is_pending(f"note:{note_id}"))
    async with database.write() as session:
        await session.execute(delete(Document))
    async with stage(database, shared) as two:
        client = await two.client(ann)
        await client.join(f"note:{note_id}")
        await client.write(f"note:{note_id}", "third")
        assert await two.markdown(ann, note_id) == "first\n\nsecond\n\nthird"


async def test_a_failed_append_is_refused_and_leaves_nothing_behind(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared, around=FailingLog) as one:
        log = FailingLog.of(one)
        ann = await one.user("ann")
        note_id = await one.note(ann)
        document_id = f"note:{note_id}"
        writer, reader = await one.client(ann), await one.client(ann)
        await writer.join(document_id)
        await reader.join(document_id)
        log.fail_before = 1
        lost = paragraph_update("lost")
        with pytest.raises(Unavailable):
            await writer.send(document_id, lost)
        assert reader.events("ydoc:document:update") == []
        late = await one.client(ann)
        await late.join(document_id)
        assert await late.text() == ""
        # Sent again, it arrives like any other.
        assert await writer.send(document_id, lost) == 1
        assert await reader.text() == "lost"


async def test_an_append_whose_answer_got_lost_can_be_sent_again(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared, around=FailingLog) as one:
        log = FailingLog.of(one)
        ann = await one.user("ann")
        note_id = await one.note(ann)
        client = await one.client(ann)
        await client.join(f"note:{note_id}")
        log.fail_after = 1
        update = paragraph_update("once")
        with pytest.raises(Unavailable):
            await client.send(f"note:{note_id}", update)
        assert await client.send(f"note:{note_id}", update) == 1
        assert await length(one, f"note:{note_id}") == 1


async def test_changes_that_build_on_a_failed_one_are_not_stored(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared, around=FailingLog) as one:
        log = FailingLog.of(one)
        ann = await one.user("ann")
        note_id = await one.note(ann)
        document_id = f"note:{note_id}"
        client = await one.client(ann)
        await client.join(document_id)
        updates = []
        for _ in range(3):
            before = client.doc.get_state()
            fragment(client.doc).children.append(pycrdt.XmlElement("paragraph"))
            updates.append(client.doc.get_update(before))
        log.fail_before = 1
        results = await asyncio.gather(
            *(client.send(document_id, update) for update in updates), return_exceptions=True
        )
        refused = [each.code for each in results if isinstance(each, HeliographError)]
        assert len(refused) == 3, results
        assert await length(one, document_id) == 0


async def test_changes_that_wait_together_are_logged_together(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared, around=FailingLog) as one:
        log = FailingLog.of(one)
        ann = await one.user("ann")
        note_id = await one.note(ann)
        clients = [await one.client(ann) for _ in range(20)]
        for client in clients:
            await client.join(f"note:{note_id}")
        seqs = await asyncio.gather(
            *(client.write(f"note:{note_id}", str(n)) for n, client in enumerate(clients))
        )
        assert sorted(seqs) == list(range(1, 21))
        assert len(log.appends) <= 3
        texts = {await client.text() for client in clients}
        assert len(texts) == 1
        assert sorted(texts.pop().split("\n"), key=int) == [str(n) for n in range(20)]


async def test_updates_are_relayed_in_the_order_of_the_log(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared) as one:
        ann = await one.user("ann")
        note_id = await one.note(ann)
        watcher = await one.client(ann)
        await watcher.join(f"note:{note_id}")
        writers = [await one.client(ann) for _ in range(5)]
        for client in writers:
            await client.join(f"note:{note_id}")

        async def type_on(client: Any) -> None:
            for number in range(10):
                await client.write(f"note:{note_id}", str(number))

        await asyncio.gather(*map(type_on, writers))
        await watcher.caught_up()
        seqs = [data["seq"] for data in watcher.events("ydoc:document:update")]
        assert seqs == list(range(1, 51))


async def test_no_update_is_lost_or_doubled_between_state_and_room(
    database: Database, shared: Shared | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(database, shared) as one:
        join = one.hub.join

        async def slow(*args: Any, **kwargs: Any) -> None:
            await asyncio.sleep(0.01)  # a broker that takes its time, while others type
            await join(*args, **kwargs)

        monkeypatch.setattr(one.hub, "join", slow)
        ann = await one.user("ann")
        note_id = await one.note(ann)
        writer = await one.client(ann)
        await writer.join(f"note:{note_id}")
        joiners = [await one.client(ann) for _ in range(8)]

        async def type_on() -> None:
            while not here.done():
                await writer.write(f"note:{note_id}", "more")

        async def come() -> None:
            for joiner in joiners:
                await joiner.join(f"note:{note_id}")

        here = asyncio.create_task(come())
        await type_on()
        last = await writer.write(f"note:{note_id}", "the end")
        whole = text_of(writer.doc)
        for joiner in joiners:
            await joiner.caught_up()
            first = joiner.events("ydoc:document:state")[0]["seq"]
            seqs = [data["seq"] for data in joiner.events("ydoc:document:update")]
            assert seqs == list(range(first + 1, last + 1))
            assert await joiner.text() == whole


async def test_a_document_deleted_by_another_process_refuses_changes(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared) as one, stage(database, shared) as two:
        ann = await one.user("ann")
        note_id = await one.note(ann, "text")
        client = await one.client(ann)
        await client.join(f"note:{note_id}")
        await two.notes.delete(ann, note_id)
        # Where replicas know of each other it is out of the document, too.
        with pytest.raises((NotFound, Forbidden)):
            await client.write(f"note:{note_id}", "too late")
        assert await one.documents.log.load(f"note:{note_id}") is None


async def test_a_document_stays_open_while_somebody_is_in_it(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared, close_after=0.0) as one:
        ann = await one.user("ann")
        note_id = await one.note(ann)
        client = await one.client(ann)
        await client.join(f"note:{note_id}")
        one.documents._shelf.close_idle()
        assert list(one.documents._shelf.open) == [f"note:{note_id}"]
        await one.documents.leave(client.session, f"note:{note_id}")
        one.documents._shelf.close_idle()
        assert not one.documents._shelf.open


async def test_a_document_does_not_grow_beyond_its_limit(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared) as one:
        ann = await one.user("ann")
        client = await one.client(ann)
        await client.join("free")
        chunk = "x" * (MAX_DOCUMENT_BYTES // 3)
        for _ in range(2):
            await client.write("free", chunk)
        with pytest.raises(TooLarge):
            await client.send("free", paragraph_update(chunk))
        assert await client.send("free", paragraph_update("small")) == 3
