"""A page that reloads in mid-stream goes on without a gap and without doubles."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from heliograph.chat.outlet import Outlet
from heliograph.chat.stream import Stream
from tests.integration.chat.support import Talk, begin_talk, deltas_of, text_of
from tests.support.server import RunningServer
from tests.support.socket import Socket
from tests.support.upstream import Upstream, held, many_tokens


def assemble(resumed: dict[str, Any], before: str, deltas: list[dict[str, Any]]) -> str:
    """A client's text: what it had, what ``join-chat`` gave, and what came live."""
    text: str = resumed["content"] if resumed["from_seq"] == 0 else before + resumed["content"]
    seq = resumed["seq"]
    for event in deltas:
        if event["seq"] <= seq:
            continue
        assert event["seq"] == seq + 1, "a gap"
        seq = event["seq"]
        text += event["data"]["data"]["content"]
    return text


async def ended(socket: Socket, message_id: str) -> str:
    """The final content."""
    found = await socket.expect(
        "events",
        where=lambda data: (
            data["message_id"] == message_id and data["data"]["type"] == "chat:completion"
        ),
        timeout=30,
    )
    content: str = found["data"]["data"]["content"]
    return content


async def test_a_reloaded_page_resumes_in_mid_stream(talk: Talk, upstream: Upstream) -> None:
    upstream.script(many_tokens(600, pause_every=5, pause=0.002))
    begun = await talk.begin()
    await begun.delta()
    await begun.delta()
    await talk.socket.disconnect()
    before = begun.deltas()
    had = text_of(before)
    page = await talk.person.connect()
    message_id = begun.message_id
    answer = await page.call(
        "join-chat",
        {"chat_id": talk.chat_id, "message_id": message_id, "last_seq": len(before)},
    )
    [resumed] = answer["streams"]
    assert (answer["chat_id"], resumed["message_id"]) == (talk.chat_id, message_id)
    assert resumed["from_seq"] == len(before)
    content = await ended(page, message_id)
    assert assemble(resumed, had, deltas_of(page, message_id)) == content
    assert content == "".join(f"{n} " for n in range(600))


async def test_pages_that_join_at_any_time_have_the_same_text(
    talk: Talk, upstream: Upstream
) -> None:
    upstream.script(many_tokens(400, pause_every=4, pause=0.002))
    begun = await talk.begin()
    pages = [await talk.person.connect() for _ in range(4)]
    chance = random.Random(1)

    async def reload(page: Socket) -> dict[str, Any]:
        await begun.delta()
        for _ in range(chance.randrange(1, 30)):
            await asyncio.sleep(0)
        answer = await page.call("join-chat", {"chat_id": talk.chat_id})
        found: dict[str, Any] = answer["streams"][0]
        return found

    resumed = [await reload(page) for page in pages]
    for page, found in zip(pages, resumed, strict=True):
        assert found["from_seq"] == 0
        content = await ended(page, begun.message_id)
        assert assemble(found, "", deltas_of(page, begun.message_id)) == content


async def test_a_position_from_the_future_gets_the_whole(talk: Talk, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(held("abc", gate=gate))
    begun = await talk.begin()
    await begun.delta()
    where = {"chat_id": talk.chat_id, "message_id": begun.message_id}
    for last_seq, from_seq, content in ((0, 0, "abc"), (1, 1, ""), (99, 0, "abc")):
        answer = await talk.socket.call("join-chat", {**where, "last_seq": last_seq})
        [found] = answer["streams"]
        assert found == {**found, "seq": 1, "from_seq": from_seq, "content": content}
    gate.set()
    await begun.end()
    answer = await talk.socket.call("join-chat", {**where, "last_seq": 1})
    assert answer["streams"] == []


async def test_the_chat_shows_what_is_hot(talk: Talk, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(held("so ", "far", gate=gate))
    begun = await talk.begin()
    await begun.delta(containing="far")
    stored = await begun.stored()
    assert (stored["content"], stored["done"], stored["state"]) == ("so far", False, "streaming")
    assert stored["seq"] == begun.deltas()[-1]["seq"]
    assert (await talk.person.http.get("/api/v1/chats/")).json()[0]["active"] is True
    gate.set()
    await begun.end()


async def test_a_stale_copy_of_a_page_harms_nothing_in_flight(
    talk: Talk, upstream: Upstream
) -> None:
    gate = asyncio.Event()
    upstream.script(held("whole ", gate=gate, then=("answer",)))
    begun = await talk.begin(id="a1")
    await begun.delta()
    copy = {"a1": {"role": "assistant", "content": "junk", "done": True, "sources": [1]}}
    url = f"/api/v1/chats/{talk.chat_id}"
    await talk.person.http.post(url, json={"chat": {"history": {"messages": copy}}})
    gate.set()
    await begun.end()
    copy["a1"] = {"role": "assistant", "content": "", "statusHistory": []}
    await talk.person.http.post(url, json={"chat": {"history": {"messages": copy}}})
    stored = await begun.stored()
    assert (stored["content"], stored["state"]) == ("whole answer", "finished")
    assert "sources" not in stored


@pytest.mark.settings(CHAT_SETTLE_SECONDS="0.05")
async def test_a_database_that_fails_in_mid_stream_loses_nothing(
    talk: Talk, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph.chat.settling.FIRST_RETRY", 0.01)
    store = talk.server.services.chat.streams._store
    settle, failed = store.settle, asyncio.Event()

    async def failing(*args: Any, **options: Any) -> bool:
        if failures:
            failures.pop()
            failed.set()
            raise OSError("no database")
        return await settle(*args, **options)

    failures = [1, 2, 3]
    monkeypatch.setattr(store, "settle", failing)
    gate = asyncio.Event()
    upstream.script(held("one ", "two ", gate=gate, then=("three",)))
    begun = await talk.begin()
    await begun.delta()
    await failed.wait()
    gate.set()
    assert (await begun.end())[1]["content"] == "one two three"
    assert (await begun.stored())["content"] == "one two three"
    assert text_of(begun.deltas()) == "one two three"
    assert failures == []


async def test_joining_needs_a_chat_one_may_read(server: RunningServer, talk: Talk) -> None:
    bob = await begin_talk(server, "bob")
    for chat_id in (talk.chat_id, "nowhere"):
        answer = await bob.socket.call("join-chat", {"chat_id": chat_id})
        assert answer["error"]["code"] == "not_found"
    for bad in ({}, {"chat_id": 5}, {"chat_id": "a b"}, {"chat_id": "x", "last_seq": -1}):
        answer = await bob.socket.call("join-chat", bad)
        assert answer["error"]["code"] == "bad_payload"


@pytest.mark.settings(CHAT_SETTLE_SECONDS="1")
async def test_ten_users_get_five_hundred_tokens_each_in_order(
    server: RunningServer, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = "".join(f"{n} " for n in range(500))
    upstream.script(many_tokens(500, pause_every=10, pause=0.005))
    talks = [await begin_talk(server, f"user{n}") for n in range(10)]
    streams: list[Stream] = []
    opened = server.services.chat.streams.open

    async def recorded(outlet: Outlet, message_id: str) -> Stream:
        streams.append(await opened(outlet, message_id))
        return streams[-1]

    monkeypatch.setattr(server.services.chat.streams, "open", recorded)
    begun = [await talk.begin() for talk in talks]
    for each in begun:
        assert (await each.end(timeout=60))[1]["content"] == expected
        assert text_of(each.deltas()) == expected
        assert (await each.stored())["content"] == expected
    assert len(streams) == 10
    assert all(stream.writes <= 25 for stream in streams)
