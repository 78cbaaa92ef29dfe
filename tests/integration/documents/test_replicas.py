"""One document on two replicas: what one takes the other has, whatever dies in between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pycrdt
import pytest
from sqlalchemy import delete

from heliograph.delivery import Position, RedisBroker
from heliograph.documents import Grant
from heliograph.documents.redis_log import RedisDocumentLog
from heliograph.errors import BadPayload, Forbidden, HeliographError, NotFound
from heliograph.store import Database
from heliograph.store.models import User
from tests.integration.documents.editors import fragment, paragraph, paragraph_update, text_of
from tests.integration.documents.logs import loaded
from tests.integration.documents.stage import Client, Shared, Stage, killed, stage
from tests.support.bare import until
from tests.support.redis import Standalone

DOCUMENT = "free"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Replicas on one machine may share a file."""
    return sqlite_url


@pytest.fixture
def shared(redis: Standalone, redis_prefix: str) -> Shared:
    return Shared(redis, redis_prefix)


@pytest.fixture
async def pair(database: Database, shared: Shared) -> AsyncIterator[tuple[Stage, Stage]]:
    """Two replicas."""
    async with stage(database, shared) as one, stage(database, shared) as two:
        yield one, two


async def editors(pair: tuple[Stage, Stage]) -> tuple[Client, Client]:
    """Ann at one replica and Ben at the other, both in the document."""
    one, two = pair
    ann, ben = await one.user("ann"), await one.user("ben", role="admin")
    clients = await one.client(ann), await two.client(ben)
    for client in clients:
        await client.join(DOCUMENT)
    return clients


def keys(at: Stage) -> list[str]:
    """The document's keys in Redis."""
    log = at.documents.log
    assert isinstance(log, RedisDocumentLog)
    return log._keys(DOCUMENT)


async def settled_text(database: Database, shared: Shared) -> str:
    """What a replica that starts now finds in SQL and Redis."""
    async with stage(database, shared) as late:
        logged = await loaded(late.documents.log, DOCUMENT)
        doc: pycrdt.Doc[Any] = pycrdt.Doc()
        for update in filter(None, [logged.snapshot, *logged.updates]):
            doc.apply_update(update)
        return text_of(doc)


# -- updates ---------------------------------------------------------------------------


async def test_what_is_typed_at_one_replica_is_at_the_other(pair: tuple[Stage, Stage]) -> None:
    ann, ben = await editors(pair)
    assert await ann.write(DOCUMENT, "one") == 1
    assert await ben.text() == "one"
    assert await ben.write(DOCUMENT, "two") == 2
    assert await ann.text() == "one\ntwo"
    told = ann.events("ydoc:document:update")
    assert [(each["seq"], each["user_id"]) for each in told] == [(2, "ben")]


async def test_an_update_may_build_on_one_that_came_in_elsewhere(
    pair: tuple[Stage, Stage],
) -> None:
    ann, ben = await editors(pair)
    for number in range(10):
        writer, reader = (ann, ben) if number % 2 else (ben, ann)
        await writer.write(DOCUMENT, str(number))
        await reader.text()
        # In the very paragraph: not to be understood without it.
        before = reader.doc.get_state()
        text: Any = fragment(reader.doc).children[number].children[0]  # type: ignore[union-attr]
        text += "!"
        await reader.send(DOCUMENT, reader.doc.get_update(before))
        await writer.text()
    assert await ann.text() == await ben.text() == "\n".join(f"{n}!" for n in range(10))


async def test_a_big_update_travels_like_a_small_one(pair: tuple[Stage, Stage]) -> None:
    ann, ben = await editors(pair)
    await ann.write(DOCUMENT, "x" * 200_000)
    await ann.write(DOCUMENT, "small")
    assert await ben.text() == "x" * 200_000 + "\nsmall"


async def test_replicas_that_type_and_compact_at_once_lose_nothing(
    database: Database, shared: Shared
) -> None:
    timing: dict[str, Any] = {"quiet": 0.002, "rows": 5}
    async with stage(database, shared, **timing) as one, stage(database, shared, **timing) as two:
        ann, ben = await editors((one, two))
        others = [await each.client(ann.session.user) for each in (one, two)]  # type: ignore[arg-type]
        for other in others:
            await other.join(DOCUMENT)
        clients = [ann, ben, *others]

        async def type_on(number: int) -> None:
            for step in range(40):
                await clients[number].text()
                await clients[number].write(DOCUMENT, f"{number}.{step}")

        await asyncio.gather(*map(type_on, range(4)))
        texts = {await client.text() for client in clients}
        assert len(texts) == 1
        written = sorted(texts.pop().split("\n"))
        assert written == sorted(f"{n}.{step}" for n in range(4) for step in range(40))
        for client in clients:
            seqs = [each["seq"] for each in client.events("ydoc:document:update")]
            assert seqs == sorted(seqs)
            assert len(set(seqs)) == len(seqs) == 120
        for each in (one, two):
            await until(lambda at=each: not at.documents.settler.is_pending(DOCUMENT))  # type: ignore[misc]
        logged = await loaded(one.documents.log, DOCUMENT)
        assert (logged.seq, logged.snapshot_seq, list(logged.updates)) == (160, 160, [])
    assert sorted((await settled_text(database, shared)).split("\n")) == written


async def test_edits_over_http_at_two_replicas_wait_for_each_other(
    pair: tuple[Stage, Stage],
) -> None:
    one, two = pair
    ann = await one.user("ann")
    note_id = await one.note(ann, "start")
    editor = await two.client(ann)
    await editor.join(f"note:{note_id}")
    texts = [f"version {number}" for number in range(6)]
    await asyncio.gather(
        *(pair[n % 2].notes.update(ann, note_id, markdown=text) for n, text in enumerate(texts))
    )
    said = {await each.markdown(ann, note_id) for each in pair}
    assert len(said) == 1
    assert said == {await editor.text()}
    assert said <= set(texts)


# -- replicas that die -----------------------------------------------------------------


async def test_what_a_killed_replica_had_not_settled_another_one_settles(
    database: Database, shared: Shared
) -> None:
    async with killed(database, shared) as dead:
        ann = await dead.user("ann")
        client = await dead.client(ann)
        await client.join(DOCUMENT)
        for number in range(5):
            await client.write(DOCUMENT, str(number))
    async with stage(database, shared, reaps=True) as living:
        log = living.documents.log
        async with asyncio.timeout(10):
            while (await loaded(log, DOCUMENT)).snapshot_seq < 5:
                await asyncio.sleep(0.05)
        assert list((await loaded(log, DOCUMENT)).updates) == []
        async with asyncio.timeout(10):
            while await log.unsettled_of(dead.cluster.replica.id):
                await asyncio.sleep(0.05)


async def test_what_all_replicas_left_unsettled_is_settled_by_the_next_who_opens_it(
    database: Database, shared: Shared
) -> None:
    async with killed(database, shared) as dead:
        ann = await dead.user("ann")
        client = await dead.client(ann)
        await client.join(DOCUMENT)
        await client.write(DOCUMENT, "left")
    async with stage(database, shared, oldest=0.05) as late:
        reader = await late.client(ann)
        await reader.join(DOCUMENT)
        assert await reader.text() == "left"
        await until(lambda: not late.documents.settler.is_pending(DOCUMENT))
        assert (await loaded(late.documents.log, DOCUMENT)).snapshot_seq == 1


async def test_a_settled_document_is_nobodys_debt(pair: tuple[Stage, Stage]) -> None:
    one, _ = pair
    ann, _ = await editors(pair)
    await ann.write(DOCUMENT, "text")
    log, me = one.documents.log, one.cluster.replica.id
    assert list(await log.unsettled_of(me)) == [DOCUMENT]
    await one.documents.settler.settle(DOCUMENT)
    assert list(await log.unsettled_of(me)) == []
    await ann.write(DOCUMENT, "more")
    assert list(await log.unsettled_of(me)) == [DOCUMENT]


# -- Redis that forgets ----------------------------------------------------------------


async def test_when_redis_lost_a_document_a_replica_brings_back_what_it_has(
    pair: tuple[Stage, Stage],
) -> None:
    one, two = pair
    ann, ben = await editors(pair)
    await ann.write(DOCUMENT, "settled")
    await one.documents.settler.settle(DOCUMENT)
    await ann.write(DOCUMENT, "acknowledged, not settled")
    assert one.backplane is not None
    await one.backplane.execute("DEL", *keys(one))
    await ann.write(DOCUMENT, "after")
    whole = "settled\nacknowledged, not settled\nafter"
    late = await two.client(ben.session.user)  # type: ignore[arg-type]
    await late.join(DOCUMENT)
    assert await late.text() == await ann.text() == whole
    await one.documents.settler.settle(DOCUMENT)
    logged = await loaded(two.documents.log, DOCUMENT)
    assert (list(logged.updates), logged.snapshot_seq) == ([], logged.seq)


async def test_when_nobody_has_what_redis_lost_a_client_brings_it_back(
    database: Database, shared: Shared
) -> None:
    async with stage(database, shared) as one:
        ann = await one.user("ann")
        client = await one.client(ann)
        await client.join(DOCUMENT)
        await client.write(DOCUMENT, "settled")
        await one.documents.settler.settle(DOCUMENT)
        await client.write(DOCUMENT, "lost")
        assert one.backplane is not None
        await one.backplane.execute("DEL", *keys(one))
        one.documents._shelf.open[DOCUMENT].forget_copy()
        before = client.doc.get_state()
        paragraph(client.doc, "builds on it")
        with pytest.raises(BadPayload) as refused:
            await client.send(DOCUMENT, client.doc.get_update(before))
        assert refused.value.code == "missing_dependencies"
        # What the client guide says to do then. The log went on where SQL ended.
        assert await client.send(DOCUMENT, client.doc.get_update()) == 2
        late = await one.client(ann)
        await late.join(DOCUMENT)
        assert await late.text() == "settled\nlost\nbuilds on it"


async def test_a_log_that_lost_its_end_to_a_failover_is_noticed_by_who_knew_it(
    pair: tuple[Stage, Stage],
) -> None:
    one, two = pair
    ann, ben = await editors(pair)
    await ann.write(DOCUMENT, "one")
    await ben.text()
    await ann.write(DOCUMENT, "lost with the master")
    assert one.backplane is not None
    head, updates = keys(one)
    await one.backplane.execute("RPOP", updates)
    await one.backplane.execute("HSET", head, "seq", 1)
    # The number is given out again, to something else; the other replica notices nothing.
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update(ben.doc.get_update())
    before = doc.get_state()
    paragraph(doc, "another second")
    assert await ben.send(DOCUMENT, doc.get_update(before)) == 2
    await ann.write(DOCUMENT, "three")
    texts = []
    for at, who in ((one, ann), (two, ben)):
        late = await at.client(who.session.user)  # type: ignore[arg-type]
        await late.join(DOCUMENT)
        texts.append(await late.text())
    assert texts[0] == texts[1]
    said = set(texts[0].split("\n"))
    assert said == {"one", "lost with the master", "another second", "three"}


async def test_a_snapshot_that_is_ahead_of_a_log_that_lost_its_end_hides_nothing(
    pair: tuple[Stage, Stage],
) -> None:
    one, two = pair
    ann, _ = await editors(pair)
    for text in ("one", "two", "three"):
        await ann.write(DOCUMENT, text)
    assert one.backplane is not None
    head, updates = keys(one)
    kept = await one.backplane.execute("LRANGE", updates, 0, 0)
    first = await one.backplane.execute("HGETALL", head)
    await one.documents.settler.settle(DOCUMENT)
    # The master that took over had only the first of them, and somebody writes there.
    await one.backplane.execute("DEL", head, updates)
    await one.backplane.execute("HSET", head, *(x for pair_ in first.items() for x in pair_))
    await one.backplane.execute("HSET", head, "seq", 1)
    await one.backplane.execute("RPUSH", updates, *kept)
    stranger = await two.client(ann.session.user)  # type: ignore[arg-type]
    await stranger.join(DOCUMENT)
    await stranger.send(DOCUMENT, paragraph_update("four"))
    late = await one.client(ann.session.user)  # type: ignore[arg-type]
    await late.join(DOCUMENT)
    assert set((await late.text()).split("\n")) == {"one", "two", "three", "four"}
    await two.documents.settler.settle(DOCUMENT)
    logged = await loaded(one.documents.log, DOCUMENT)
    assert (list(logged.updates), logged.snapshot_seq) == ([], logged.seq)


async def test_the_documents_of_a_deleted_account_are_closed_on_every_replica(
    pair: tuple[Stage, Stage],
) -> None:
    one, two = pair
    ann, ben = await one.user("ann"), await one.user("ben")
    note_id = await one.note(ann, "text")
    owner = await one.client(ann)
    await owner.join(DOCUMENT)
    documents = [f"note:{note_id}", DOCUMENT]
    for document_id in documents:
        await one.documents.set_access(ann, document_id, [Grant("ben", "write")])
    editor = await two.client(ben)
    for document_id in documents:
        await editor.join(document_id)
        await editor.send(document_id, paragraph_update("more"))
    owned = await one.documents.owned_by("ann")
    assert sorted(owned) == sorted(documents)
    async with one.database.write() as session:
        await session.execute(delete(User).where(User.id == "ann"))
    await one.documents.close(owned)
    await editor.expect("error", count=2)
    for document_id in documents:
        await until(lambda at=document_id: not two.documents.members.of(at))  # type: ignore[misc]
    # Whoever takes the name now has nothing of the old one.
    await editor.join(DOCUMENT)
    state = editor.events("ydoc:document:state")[-1]
    assert (state["state"], state["seq"]) == (b"\x00\x00", 0)


async def test_members_of_a_room_whose_log_was_lost_are_given_the_document(
    pair: tuple[Stage, Stage],
) -> None:
    _, two = pair
    ann, ben = await editors(pair)
    room = f"doc_{DOCUMENT}"
    # What Ann writes is logged, but Ben's replica does not hear of it, and then its line is
    # back and the room's log another one: a failover.
    broker = two.hub.broker
    assert isinstance(broker, RedisBroker)
    await broker.unsubscribe(room)
    await ann.write(DOCUMENT, "unheard")
    broker.reset(room, Position("another", 7))
    await ben.expect("ydoc:document:state", count=2)
    ben.doc.apply_update(ben.events("ydoc:document:state")[-1]["state"])
    assert text_of(ben.doc) == "unheard"


# -- rights and the end ----------------------------------------------------------------


async def test_who_loses_access_is_out_on_every_replica(pair: tuple[Stage, Stage]) -> None:
    one, two = pair
    ann, ben = await one.user("ann"), await one.user("ben")
    note_id = await one.note(ann, "text")
    document_id = f"note:{note_id}"
    await one.documents.set_access(ann, document_id, [Grant("ben", "write")])
    watcher, writer = await one.client(ann), await two.client(ben)
    await watcher.join(document_id)
    await writer.join(document_id)
    refused: list[str] = []

    async def type_on() -> None:
        while not refused:
            try:
                await writer.send(document_id, paragraph_update("x"))
            except HeliographError as error:
                refused.append(error.code)

    typing = asyncio.gather(*(type_on() for _ in range(3)))
    await watcher.expect("ydoc:document:update", count=10)
    await one.documents.set_access(ann, document_id, [])
    last = (await loaded(one.documents.log, document_id)).seq
    await typing
    assert (await loaded(one.documents.log, document_id)).seq == last
    assert set(refused) <= {"not_found", "not_joined"}
    assert (await writer.expect("error"))["code"] == "access_revoked"
    left = await watcher.expect("ydoc:user:left")
    assert left["session_id"] == writer.session.sid
    await until(lambda: f"doc_{document_id}" not in writer.session.positions)
    before = len(writer.events("ydoc:document:update"))
    await watcher.write(document_id, "private")
    await watcher.caught_up()
    assert len(writer.events("ydoc:document:update")) == before
    with pytest.raises(NotFound):
        await writer.join(document_id)


async def test_a_writer_becomes_a_reader_everywhere_at_once(pair: tuple[Stage, Stage]) -> None:
    one, two = pair
    ann, ben = await one.user("ann"), await one.user("ben")
    document_id = f"note:{await one.note(ann)}"
    for permission in ("write", "read", "write", "read"):
        await one.documents.set_access(ann, document_id, [Grant("ben", permission)])
        writer = await two.client(ben)
        await writer.join(document_id)
        if permission == "write":
            await writer.write(document_id, "allowed")
        else:
            for update in (b"\x00\x00", paragraph_update("refused")):
                with pytest.raises(Forbidden):
                    await writer.send(document_id, update)


async def test_a_deleted_note_is_closed_on_every_replica(
    database: Database, shared: Shared
) -> None:
    async with stage(database, shared) as one, stage(database, shared, quiet=0.05) as two:
        await _delete_a_note(one, two)


async def _delete_a_note(one: Stage, two: Stage) -> None:
    ann = await one.user("ann")
    note_id = await one.note(ann, "text")
    document_id = f"note:{note_id}"
    client = await two.client(ann)
    await client.join(document_id)
    await client.write(document_id, "more")
    await one.notes.delete(ann, note_id)
    assert (await client.expect("error"))["code"] == "document_deleted"
    await until(lambda: not two.documents.members.of(document_id))
    with pytest.raises(Forbidden):
        await client.send(document_id, paragraph_update("late"))
    with pytest.raises(NotFound):
        await client.join(document_id)
    assert await two.documents.members.sids(document_id) == []
    await until(lambda: not two.documents.settler.is_pending(document_id))
    assert not await two.documents.log.unsettled_of(two.cluster.replica.id)


async def test_random_edits_at_two_replicas_with_a_redis_that_forgets_end_equal(
    database: Database, shared: Shared
) -> None:
    rnd = random.Random(7)
    async with stage(database, shared, rows=7) as one, stage(database, shared, rows=7) as two:
        clients = list(await editors((one, two)))
        written: list[str] = []
        for number in range(60):
            client = rnd.choice(clients)
            await client.text()
            await client.write(DOCUMENT, str(number))
            written.append(str(number))
            if number % 20 == 19:
                # Everybody has it all, and Redis nothing.
                for each in clients:
                    await each.text()
                    await each.stage.documents.state(each.session, DOCUMENT, None)
                assert one.backplane is not None
                await one.backplane.execute("DEL", *keys(one))
        for client in clients:
            async with asyncio.timeout(10):
                while (await client.text()).split("\n") != written:
                    await asyncio.sleep(0.01)
    assert (await settled_text(database, shared)).split("\n") == written
