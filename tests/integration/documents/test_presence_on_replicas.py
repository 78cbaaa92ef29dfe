"""Who is in a document, when its sessions are at several replicas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from heliograph.documents.awareness import AwarenessState, decode_awareness, encode_awareness
from heliograph.store import Database
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
async def one(database: Database, shared: Shared) -> AsyncIterator[Stage]:
    async with stage(database, shared, reaps=True) as running:
        yield running


@pytest.fixture
async def two(database: Database, shared: Shared) -> AsyncIterator[Stage]:
    async with stage(database, shared) as running:
        yield running


@pytest.fixture
async def pair(one: Stage, two: Stage) -> tuple[Client, Client]:
    """Ann at one replica and Ben at the other, both in the document."""
    ann, ben = await one.user("ann"), await one.user("ben", role="admin")
    clients = await one.client(ann), await two.client(ben)
    for client in clients:
        await client.join(DOCUMENT)
    await clients[0].expect("ydoc:user:joined")
    return clients


def cursor(client_id: int, clock: int = 1, **state: Any) -> bytes:
    return encode_awareness([AwarenessState(client_id, clock, state or {"cursor": 1})])


def shown(client: Client) -> dict[int, Any]:
    """The cursors a client sees of others, by Yjs client id."""
    states: dict[int, Any] = {}
    for data in client.events("ydoc:awareness:update"):
        for each in decode_awareness(data["update"]):
            states[each.client_id] = each.state
    return {client_id: state for client_id, state in states.items() if state is not None}


async def test_those_at_another_replica_are_members_like_any_other(
    two: Stage, pair: tuple[Client, Client]
) -> None:
    ann, ben = pair
    late = await two.client(ben.session.user)  # type: ignore[arg-type]
    ack = await late.join(DOCUMENT, color="#00ff7f")
    everybody = [ann.session.sid, ben.session.sid, late.session.sid]
    assert ack["sessions"] == everybody
    assert late.events("ydoc:document:state")[-1]["sessions"] == everybody
    told = await ann.expect("ydoc:user:joined", count=2)
    assert (told["session_id"], told["user_color"]) == (late.session.sid, "#00ff7f")
    await two.documents.leave(late.session, DOCUMENT)
    assert (await ann.expect("ydoc:user:left"))["session_id"] == late.session.sid
    assert (await ann.join(DOCUMENT))["sessions"] == everybody[:2]


async def test_who_comes_sees_the_cursors_of_the_other_replica(
    one: Stage, two: Stage, pair: tuple[Client, Client]
) -> None:
    ann, ben = pair
    await two.documents.show(ben.session, DOCUMENT, cursor(7))
    await until(lambda: 7 in shown(ann))
    late = await one.client(ann.session.user)  # type: ignore[arg-type]
    await late.join(DOCUMENT)
    await until(lambda: 7 in shown(late))
    assert shown(late)[7]["user"]["id"] == "ben"
    # A cursor that goes while somebody comes is gone for them, too.
    await two.documents.leave(ben.session, DOCUMENT)
    await until(lambda: not shown(late))


async def test_a_client_id_of_another_replica_cannot_be_taken(
    one: Stage, two: Stage, pair: tuple[Client, Client]
) -> None:
    ann, ben = pair
    await two.documents.show(ben.session, DOCUMENT, cursor(7))
    await until(lambda: 7 in shown(ann))
    # An echo, or a forgery: passed over. What is its own arrives.
    for forged in (cursor(7, 9), b'{"7": {"x": 1}}', cursor(8)):
        await one.documents.show(ann.session, DOCUMENT, forged)
    await until(lambda: 8 in shown(ben))
    assert 7 not in shown(ben)


async def test_the_members_of_a_killed_replica_have_left_once(
    database: Database, shared: Shared, one: Stage, two: Stage
) -> None:
    ann, ben = await one.user("ann"), await one.user("ben", role="admin")
    async with stage(database, shared, reaps=True):  # reapers agree
        watchers = await one.client(ann), await two.client(ann)
        for watcher in watchers:
            await watcher.join(DOCUMENT)
        async with killed(database, shared) as dead:
            lost = [await dead.client(ben) for _ in range(2)]
            for client in lost:
                await client.join(DOCUMENT)
        for watcher in watchers:
            await watcher.expect("ydoc:user:left", count=2)
        joined = await watchers[0].join(DOCUMENT)
        assert joined["sessions"] == [each.session.sid for each in watchers]
        roster = two.documents.members._roster
        async with asyncio.timeout(10):
            while await roster.documents_of(dead.cluster.replica.id):
                await asyncio.sleep(0.02)
        for watcher in watchers:
            left = {each["session_id"] for each in watcher.events("ydoc:user:left")}
            assert left == {client.session.sid for client in lost}
            assert len(watcher.events("ydoc:user:left")) == 2


async def test_a_member_that_recovers_at_another_replica_has_never_left(
    one: Stage, two: Stage, pair: tuple[Client, Client]
) -> None:
    ann, ben = pair
    await ben.join(DOCUMENT, color="#123456")
    await two.documents.show(ben.session, DOCUMENT, cursor(7))
    await one.documents.show(ann.session, DOCUMENT, cursor(3))
    ben.break_off()
    await until(lambda: 7 not in shown(ann))
    await ann.write(DOCUMENT, "meanwhile")
    await ben.come_back(one)
    assert await ben.text() == "meanwhile"
    await until(lambda: 3 in shown(ben))
    await ben.write(DOCUMENT, "back")
    await one.documents.show(ben.session, DOCUMENT, cursor(7, 2))
    await until(lambda: 7 in shown(ann))
    assert shown(ann)[7]["user"]["color"] == "#123456"
    assert (await ann.join(DOCUMENT))["sessions"] == [ann.session.sid, ben.session.sid]
    assert ann.events("ydoc:user:left") == []
    assert len(ann.events("ydoc:user:joined")) == 1
    assert not two.documents.members.of(DOCUMENT)
    # It is a member there in every respect.
    await one.lifecycle.end(ben.session, "client left")
    await ann.expect("ydoc:user:left")


async def test_a_member_of_a_killed_replica_that_recovers_late_comes_again(
    database: Database, shared: Shared, one: Stage
) -> None:
    ann, ben = await one.user("ann"), await one.user("ben", role="admin")
    watcher = await one.client(ann)
    await watcher.join(DOCUMENT)
    async with killed(database, shared) as dead:
        client = await dead.client(ben)
        await client.join(DOCUMENT)
        await client.write(DOCUMENT, "before")
    await watcher.expect("ydoc:user:left")
    assert await watcher.text() == "before"
    await watcher.write(DOCUMENT, "meanwhile")
    await client.come_back(one)
    await watcher.expect("ydoc:user:joined", count=2)
    assert await client.text() == "before\nmeanwhile"
    sessions = (await watcher.join(DOCUMENT))["sessions"]
    assert sorted(sessions) == sorted([watcher.session.sid, client.session.sid])


async def test_a_replica_that_was_taken_for_dead_registers_its_members_again(
    one: Stage, two: Stage, pair: tuple[Client, Client]
) -> None:
    ann, ben = pair
    replica = two.cluster.replica
    lost = replica.id
    assert one.backplane is not None
    # Its lease is over as if it had been frozen; then it runs again.
    await replica._leases.leave(lost)
    await until(lambda: replica.id != lost)
    async with asyncio.timeout(10):
        while True:
            records = await one.documents.members._roster.all(DOCUMENT)
            if {each.replica for each in records.values()} == {one.cluster.replica.id, replica.id}:
                break
            await asyncio.sleep(0.02)
    assert set(records) == {ann.session.sid, ben.session.sid}
    # Who was reported gone was reported back.
    left, joined = ann.events("ydoc:user:left"), ann.events("ydoc:user:joined")
    assert len(joined) == 1 + len(left)
    await ben.write(DOCUMENT, "here")
    assert await ann.text() == "here"
    assert list(await one.documents.log.unsettled_of(replica.id)) == [DOCUMENT]


async def test_a_document_without_members_is_in_no_list(
    one: Stage, two: Stage, pair: tuple[Client, Client]
) -> None:
    roster = one.documents.members._roster
    assert list(await roster.documents_of(two.cluster.replica.id)) == [DOCUMENT]
    for client in pair:
        await client.stage.documents.leave(client.session, DOCUMENT)
    for each in (one, two):
        assert list(await roster.documents_of(each.cluster.replica.id)) == []
    assert await roster.all(DOCUMENT) == {}
