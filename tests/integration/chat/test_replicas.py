"""An answer that streams on one server, seen and changed from another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from heliograph.chat import RedisHotLog
from tests.integration.chat.support import (
    Begun,
    Talk,
    begin_talk,
    deltas_of,
    get_chat,
    messages_of,
    text_of,
)
from tests.integration.chat.test_resuming import assemble, ended
from tests.support.pair import Pair
from tests.support.server import Person
from tests.support.upstream import Upstream, held, many_tokens


async def begin(pair: Pair, name: str = "ann", **more: Any) -> tuple[Begun, Person]:
    """An answer in flight on ``a``; its owner on ``b``."""
    talk = await begin_talk(pair.a, name)
    return await talk.begin(**more), pair.other(talk.person)


async def emit(person: Person, begun: Begun, kind: str, **data: Any) -> Any:
    """Emit an event of an answer, over HTTP."""
    path = f"/api/v1/chats/{begun.talk.chat_id}/messages/{begun.message_id}/event"
    return await person.http.post(path, json={"type": kind, "data": data})


async def test_an_answer_is_resumed_on_another_server(pair: Pair, upstream: Upstream) -> None:
    upstream.script(many_tokens(400, pause_every=5, pause=0.002))
    begun, there = await begin(pair)
    await begun.delta()
    await begun.delta()
    before = begun.deltas()
    page = await there.connect()
    last_seq = before[-1]["seq"]
    asked = {"chat_id": begun.talk.chat_id, "message_id": begun.message_id, "last_seq": last_seq}
    [resumed] = (await page.call("join-chat", asked))["streams"]
    assert resumed["from_seq"] == last_seq
    content = await ended(page, begun.message_id)
    assert assemble(resumed, text_of(before), deltas_of(page, begun.message_id)) == content
    assert content == "".join(f"{n} " for n in range(400))
    assert (await page.call("join-chat", asked))["streams"] == []


async def test_pages_that_join_elsewhere_at_any_time_have_the_same_text(
    pair: Pair, upstream: Upstream
) -> None:
    upstream.script(many_tokens(500, pause_every=2, pause=0.001))
    begun, there = await begin(pair)
    pages = [await there.connect() for _ in range(3)]
    resumed = []
    for _ in range(5):
        await begun.delta()
        joined = [page.call("join-chat", {"chat_id": begun.talk.chat_id}) for page in pages]
        resumed.append([answer["streams"][0] for answer in await asyncio.gather(*joined)])
    for number, page in enumerate(pages):
        content = await ended(page, begun.message_id)
        for found in resumed:
            deltas = deltas_of(page, begun.message_id)
            assert assemble(found[number], "", deltas) == content


async def test_a_chat_read_elsewhere_shows_what_is_hot(pair: Pair, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(held("so ", "far", gate=gate))
    begun, there = await begin(pair)
    await begun.delta(containing="far")
    seen = messages_of(await get_chat(there, begun.talk.chat_id))[begun.message_id]
    assert (seen["content"], seen["done"], seen["state"]) == ("so far", False, "streaming")
    assert seen["seq"] == begun.deltas()[-1]["seq"]
    [listed] = (await there.http.get("/api/v1/chats/")).json()
    assert listed["active"] is True
    gate.set()
    await begun.end()
    seen = messages_of(await get_chat(there, begun.talk.chat_id))[begun.message_id]
    assert (seen["content"], seen["done"]) == ("so far", True)


async def test_a_reading_elsewhere_never_goes_back(pair: Pair, upstream: Upstream) -> None:
    upstream.script(many_tokens(300, pause_every=5, pause=0.002))
    begun, there = await begin(pair)
    longest, done = "", False
    while not done:
        seen = messages_of(await get_chat(there, begun.talk.chat_id))[begun.message_id]
        assert seen["content"].startswith(longest)
        longest, done = seen["content"], seen["done"]
    assert longest == "".join(f"{n} " for n in range(300))


async def test_an_answer_is_not_begun_again_elsewhere(pair: Pair, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(held("first", gate=gate))
    for chat_id in (None, "local:x"):
        begun, there = await begin(
            pair, f"u{chat_id}", id="a1", **({"chat_id": chat_id} if chat_id else {})
        )
        await begun.delta()
        again = Talk(pair.b, there, await there.connect(), chat_id or begun.talk.chat_id)
        refused = await again.ask(id="a1")
        assert (refused.status_code, refused.json()["code"]) == (409, "in_flight")
    gate.set()


async def test_content_from_elsewhere_goes_through_the_stream(
    pair: Pair, upstream: Upstream
) -> None:
    gate = asyncio.Event()
    upstream.script(held("one ", gate=gate, then=("four",)))
    begun, there = await begin(pair)
    await begun.delta()
    assert (await emit(there, begun, "message", content="two ")).status_code == 200
    await begun.delta(containing="two")
    assert (await emit(there, begun, "message", content="three ")).status_code == 200
    assert (await emit(there, begun, "status", description="working")).status_code == 200
    gate.set()
    assert (await begun.end())[1]["content"] == "one two three four"
    assert text_of(begun.deltas()) == "one two three four"
    order = [
        event["data"]["data"].get("content", "status")
        for event in begun.talk.socket.events("events")
        if event["data"]["type"] in ("message", "status")
    ]
    assert order.index("three ") < order.index("status")
    assert (await begun.stored())["content"] == "one two three four"


async def test_a_replacement_from_elsewhere_begins_anew(pair: Pair, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(held("rough ", gate=gate, then=(" end",)))
    begun, there = await begin(pair)
    await begun.delta()
    assert (await emit(there, begun, "replace", content="fine")).status_code == 200
    page = await there.connect()
    asked = {"chat_id": begun.talk.chat_id, "message_id": begun.message_id, "last_seq": 1}
    [found] = (await page.call("join-chat", asked))["streams"]
    assert (found["from_seq"], found["content"]) == (0, "fine")
    gate.set()
    assert (await begun.end())[1]["content"] == "fine end"


async def test_a_refusal_of_the_writer_reaches_the_caller(
    pair: Pair, upstream: Upstream, monkeypatch: Any
) -> None:
    gate = asyncio.Event()
    upstream.script(held("12345", gate=gate))
    begun, there = await begin(pair)
    await begun.delta()
    monkeypatch.setattr("heliograph.chat.stream.MAX_ANSWER", 10)
    refused = await emit(there, begun, "message", content="6" * 10)
    assert (refused.status_code, refused.json()["code"]) == (413, "answer_too_large")
    gate.set()
    assert (await begun.end())[1]["content"] == "12345"


async def test_concurrent_tools_on_both_servers_lose_nothing(
    pair: Pair, upstream: Upstream
) -> None:
    upstream.script(many_tokens(200, pause_every=5, pause=0.002))
    begun, there = await begin(pair)
    await begun.delta()
    here = begun.talk.person

    async def tool(person: Person, name: str) -> None:
        for number in range(25):
            answer = await emit(person, begun, "message", content=f"<{name}{number}>")
            assert answer.status_code == 200, answer.text

    # They go on after the answer has ended: its end is no gap.
    await asyncio.gather(tool(here, "a"), tool(there, "b"), tool(there, "c"))
    await begun.end()
    content = (await begun.stored())["content"]
    for name in "abc":
        places = [content.index(f"<{name}{number}>") for number in range(25)]
        assert places == sorted(places)
    assert all(f"{number} " in content for number in range(200))


async def test_who_shares_a_chat_elsewhere_shares_what_streams(
    pair: Pair, upstream: Upstream
) -> None:
    gate, more = asyncio.Event(), asyncio.Event()

    async def script(reply: Any) -> None:
        await reply.begin()
        await reply.delta("one ")
        await gate.wait()
        await reply.delta("two ")
        await more.wait()
        await reply.delta("three")
        await reply.finish()

    upstream.script(script)
    begun, there = await begin(pair)
    await begun.delta()
    ben, ben_there = await pair.both("ben")
    path = f"/api/v1/chats/{begun.talk.chat_id}/access/update"
    grant = {"principal_type": "user", "principal_id": ben.id, "permission": "read"}
    answer = await there.http.post(path, json={"access_grants": [grant]})
    assert answer.status_code == 200, answer.text
    reader = await ben_there.connect()
    [resumed] = (await reader.call("join-chat", {"chat_id": begun.talk.chat_id}))["streams"]
    assert resumed["content"] == "one "
    gate.set()
    seen = await reader.expect("events", where=lambda event: event.get("seq") == 2)
    assert seen["data"]["data"]["content"] == "two "
    await there.http.post(path, json={"access_grants": []})
    more.set()
    await begun.end()
    assert [event["seq"] for event in deltas_of(reader, begun.message_id)] == [2]


async def test_a_chat_that_streams_is_deleted_elsewhere(pair: Pair, upstream: Upstream) -> None:
    upstream.script(held("x", gate=asyncio.Event()))
    begun, there = await begin(pair)
    await begun.delta()
    answer = await there.http.delete(f"/api/v1/chats/{begun.talk.chat_id}")
    assert answer.status_code == 200, answer.text
    await upstream.requests[-1].gone.wait()
    assert (await there.http.get(f"/api/v1/chats/{begun.talk.chat_id}")).status_code == 404
    assert await pair.b.services.chat.streams.hot.of_user(there.id) == []


@pytest.mark.settings(CHAT_SETTLE_SECONDS="0.1")
async def test_answers_of_a_deleted_user_end(pair: Pair, upstream: Upstream) -> None:
    upstream.script(many_tokens(100_000, pause_every=1, pause=0.02))
    begun, there = await begin(pair)
    await begun.delta()
    root = pair.other(pair.a.root)
    answer = await root.http.delete(f"/api/v1/users/{there.id}")
    assert answer.status_code == 200, answer.text
    await asyncio.wait_for(upstream.requests[-1].gone.wait(), 10)


async def test_an_answer_goes_on_when_redis_lost_its_log(pair: Pair, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(held("one ", gate=gate, then=("two",)))
    begun, there = await begin(pair)
    await begun.delta()
    backplane, hot = pair.b.services.backplane, pair.b.services.chat.streams.hot
    assert backplane is not None
    assert isinstance(hot, RedisHotLog)
    [ref] = await hot.of_user(there.id)
    await backplane.execute("DEL", *hot._keys(ref))
    gate.set()
    assert (await begun.end())[1]["content"] == "one two"
    assert text_of(begun.deltas()) == "one two"
    assert (await begun.stored())["content"] == "one two"
    assert await hot.of_user(there.id) == []
