"""Who is in a document: sessions that come, break, return and end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from heliograph.documents.awareness import AwarenessState, decode_awareness, encode_awareness
from heliograph.store import Database
from tests.integration.documents.stage import Client, Shared, Stage, stage
from tests.support.bare import until

DOCUMENT = "free"


@pytest.fixture(params=["sqlite", "redis"])
def home(request: pytest.FixtureRequest) -> str:
    """One kind of database is enough here."""
    kind: str = request.param
    return kind


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
async def one(database: Database, shared: Shared | None) -> AsyncIterator[Stage]:
    async with stage(database, shared, leave_after_detach=0.05) as running:
        yield running


@pytest.fixture
async def pair(one: Stage) -> tuple[Client, Client]:
    """Ann and Ben, both in the document."""
    ann, ben = await one.user("ann"), await one.user("ben", role="admin")
    clients = await one.client(ann), await one.client(ben)
    for client in clients:
        await client.join(DOCUMENT)
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


async def test_others_are_told_who_came_by_the_servers_record(one: Stage) -> None:
    ann, ben = await one.user("ann"), await one.user("ben", role="admin")
    here, coming = await one.client(ann), await one.client(ben)
    await here.join(DOCUMENT)
    ack = await coming.join(DOCUMENT, color="#00ff7F")
    assert ack == {"ok": True, "sessions": [here.session.sid, coming.session.sid]}
    await here.expect("ydoc:user:joined")
    assert here.events("ydoc:user:joined") == [
        {
            "document_id": DOCUMENT,
            "user_id": "ben",
            "user_name": "Ben",
            "user_color": "#00ff7F",
            "session_id": coming.session.sid,
        }
    ]
    assert coming.events("ydoc:user:joined") == []


@pytest.mark.parametrize("color", [None, "red", "#12345", "url(x)", 5, {"a": 1}])
async def test_a_colour_that_is_none_is_replaced(one: Stage, color: object) -> None:
    ann, ben = await one.user("ann"), await one.user("ben", role="admin")
    here, coming = await one.client(ann), await one.client(ben)
    await here.join(DOCUMENT)
    await coming.join(DOCUMENT, color=color)
    given = (await here.expect("ydoc:user:joined"))["user_color"]
    assert len(given) == 7
    assert given.startswith("#")


async def test_joining_again_gives_the_state_and_tells_nobody(
    pair: tuple[Client, Client],
) -> None:
    ann, ben = pair
    await ben.join(DOCUMENT)
    assert len(ben.events("ydoc:document:state")) == 2
    await ann.expect("ydoc:user:joined")
    assert len(ann.events("ydoc:user:joined")) == 1


async def test_leaving_is_told_and_takes_the_cursors(
    one: Stage, pair: tuple[Client, Client]
) -> None:
    ann, ben = pair
    await one.documents.show(ben.session, DOCUMENT, cursor(7))
    await until(lambda: 7 in shown(ann))
    assert shown(ann)[7]["user"]["id"] == "ben"
    assert await one.documents.leave(ben.session, DOCUMENT) == {"ok": True}
    await ann.expect("ydoc:user:left")
    assert shown(ann) == {}
    assert ann.events("ydoc:user:left") == [
        {"document_id": DOCUMENT, "user_id": "ben", "session_id": ben.session.sid}
    ]
    await ann.write(DOCUMENT, "alone")
    assert ben.events("ydoc:document:update") == []
    assert await one.documents.leave(ben.session, DOCUMENT) == {"ok": True}
    assert len(ann.events("ydoc:user:left")) == 1


async def test_a_session_that_ends_has_left_with_its_cursors(
    one: Stage, pair: tuple[Client, Client]
) -> None:
    ann, ben = pair
    await one.documents.show(ben.session, DOCUMENT, cursor(7))
    await one.lifecycle.end(ben.session, "client left")
    await ann.expect("ydoc:user:left")
    assert shown(ann) == {}
    assert await one.documents.members.sids(DOCUMENT) == [ann.session.sid]


async def test_cursors_vanish_when_the_connection_breaks(
    one: Stage, pair: tuple[Client, Client]
) -> None:
    ann, ben = pair
    one.documents.members._leave_after = 3600
    await one.documents.show(ben.session, DOCUMENT, cursor(7))
    await until(lambda: 7 in shown(ann))
    ben.break_off()
    await until(lambda: not shown(ann))
    assert ann.events("ydoc:user:left") == []
    assert ben.session.sid in await one.documents.members.sids(DOCUMENT)


async def test_who_does_not_come_back_has_left(one: Stage, pair: tuple[Client, Client]) -> None:
    ann, ben = pair
    ben.break_off()
    await ann.expect("ydoc:user:left")
    assert await one.documents.members.sids(DOCUMENT) == [ann.session.sid]


async def test_who_comes_back_soon_has_never_left(one: Stage, pair: tuple[Client, Client]) -> None:
    ann, ben = pair
    one.documents.members._leave_after = 3600
    await one.documents.show(ann.session, DOCUMENT, cursor(3))
    ben.break_off()
    seq = await ann.write(DOCUMENT, "meanwhile")
    await ben.come_back()
    assert (await ben.expect("ydoc:document:update"))["seq"] == seq
    await until(lambda: 3 in shown(ben))
    assert shown(ben) == {3: {"cursor": 1, "user": shown(ben)[3]["user"]}}
    assert one.documents.members.get(DOCUMENT, ben.session.sid).away is None  # type: ignore[union-attr]
    assert ann.events("ydoc:user:left") == []
    await ben.write(DOCUMENT, "back")
    await ann.expect("ydoc:document:update")


async def test_who_comes_back_late_is_announced_again_and_has_missed_nothing(
    one: Stage, pair: tuple[Client, Client]
) -> None:
    ann, ben = pair
    ben.break_off()
    await ann.expect("ydoc:user:left")
    await ann.write(DOCUMENT, "meanwhile")
    await ben.come_back()
    await ann.expect("ydoc:user:joined", count=2)
    await ben.expect("ydoc:document:update")
    assert await ben.text() == "meanwhile"
    assert await one.documents.members.sids(DOCUMENT) == [ann.session.sid, ben.session.sid]


async def test_who_comes_later_sees_the_cursors_that_are_there(
    one: Stage, pair: tuple[Client, Client]
) -> None:
    ann, ben = pair
    await one.documents.show(ann.session, DOCUMENT, cursor(3, x=1))
    await one.documents.show(ben.session, DOCUMENT, b'{"4": {"x": 2}}')
    assert ben.session.user is not None
    late = await one.client(ben.session.user)
    await late.join(DOCUMENT)
    assert {client_id: state["x"] for client_id, state in shown(late).items()} == {3: 1, 4: 2}
    names = [name for name, _ in late.line.events]
    assert names.index("ydoc:document:state") < names.index("ydoc:awareness:update")


async def test_a_cursor_shows_again_after_its_session_came_back(
    one: Stage, pair: tuple[Client, Client]
) -> None:
    ann, ben = pair
    for update in (cursor(7, 5), b'{"8": {"x": 1}}'):
        await one.documents.show(ben.session, DOCUMENT, update)
    ben.break_off()
    await ben.come_back()
    for update in (cursor(7, 7), b'{"8": {"x": 2}}'):
        await one.documents.show(ben.session, DOCUMENT, update)
    await until(lambda: set(shown(ann)) == {7, 8})


async def test_a_session_is_in_each_of_its_documents_until_it_ends(
    one: Stage, pair: tuple[Client, Client]
) -> None:
    ann, ben = pair
    await ann.join("second")
    await ben.join("second")
    await one.lifecycle.end(ben.session, "client left")
    await ann.expect("ydoc:user:left", count=2)
    left = {data["document_id"] for data in ann.events("ydoc:user:left")}
    assert left == {DOCUMENT, "second"}
    assert ben.session.sid not in one.documents.members._of_session
