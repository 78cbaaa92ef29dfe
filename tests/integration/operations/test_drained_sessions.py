"""What a replica leaves to the others when it has drained: sessions, answers, no lease."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.pair import Pair, running_pair
from tests.support.raw import Raw
from tests.support.redis import Standalone

LEASE = 60  # nothing here may wait for its end


@pytest.fixture
async def pair(
    postgres: str, redis: Standalone, redis_prefix: str, tmp_path: Path
) -> AsyncIterator[Pair]:
    """Two servers that are one; ``a`` is the one that ends."""
    async with running_pair(
        postgres, redis, redis_prefix, tmp_path, replica_lease_seconds=LEASE, echo_delay_ms=20
    ) as running:
        yield running


@pytest.mark.parametrize("gone", [False, True], ids=["while it drains", "after it ended"])
async def test_a_client_is_recovered_elsewhere_and_lacks_nothing(pair: Pair, gone: bool) -> None:
    ann, at_b = await pair.both("ann")
    channel = (await at_b.http.post("/api/v1/channels/create", json={"name": "all"})).json()["id"]
    raw = Raw(pair.a.url, ann.token)
    await raw.connect()
    sid = raw.sid

    async def post(first: int, last: int) -> None:
        for number in range(first, last):
            path = f"/api/v1/channels/{channel}/messages/post"
            posted = await at_b.http.post(path, json={"content": str(number)})
            assert posted.status_code == 200, posted.text

    await raw.ws.send('420["user-join",{}]')
    while not str(await raw.ws.recv()).startswith("430"):
        pass
    await post(0, 3)
    await raw.read(3)
    posting = asyncio.create_task(post(3, 30))
    if gone:
        await pair.a.end()
    else:
        await pair.a.application.drain()
    await raw.ws.wait_closed()
    while raw.ws.recv_messages.frames:  # what came before the end
        await raw.read(1)
    await posting
    raw.go_to(pair.b.url)
    assert await raw.back()
    assert raw.sid == sid
    await post(30, 31)
    while not _posted(raw) or _posted(raw)[-1] != "30":
        await raw.read(1)
    assert _posted(raw) == [str(number) for number in range(31)]
    await raw.cut()


def _posted(raw: Raw) -> list[str]:
    return [
        data["data"]["data"]["content"]
        for name, data in raw.events
        if name == "events:channel" and data["data"]["type"] == "message"
    ]


async def test_its_answers_are_interrupted_for_everybody_at_once(pair: Pair) -> None:
    ann, at_b = await pair.both("ann")
    chat = (await ann.http.post("/api/v1/chats/new", json={"chat": {}})).json()["id"]
    socket = await ann.connect()
    asked = await ann.http.post(
        "/api/chat/completions",
        json={
            "model": "echo",
            "messages": [{"role": "user", "content": "word " * 2_000}],
            "chat_id": chat,
            "session_id": socket.sid,
            "id": "answer",
        },
    )
    assert asked.status_code == 200, asked.text
    await socket.expect("events", where=lambda data: data["data"]["type"] == "message")
    await pair.a.end()
    ended = await socket.expect(
        "events", where=lambda data: data["data"]["type"] == "chat:completion"
    )
    assert ended["data"]["data"]["state"] == "interrupted"
    seen = (await at_b.http.get(f"/api/v1/chats/{chat}")).json()
    message = seen["chat"]["history"]["messages"]["answer"]
    assert (message["state"], message["done"]) == ("interrupted", True)
    assert message["content"].startswith("word word")
    tasks = (await pair.other(pair.a.root).http.get("/api/tasks")).json()["tasks"]
    assert tasks == []


async def test_nobody_waits_for_its_lease(pair: Pair) -> None:
    gone = pair.a.services.cluster.replica.id
    left = pair.b.services.cluster.replica
    assert set(await left.ends()) == {gone, left.id}
    await pair.a.end()
    assert set(await left.ends()) == {left.id}
