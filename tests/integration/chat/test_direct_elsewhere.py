"""A user's own model when its page is connected to another replica than the one that answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.chat.support import Talk, begin_talk, text_of
from tests.integration.chat.test_direct import ITEM, Page, line
from tests.support.bare import until
from tests.support.pair import Pair


@pytest.fixture
async def apart(pair: Pair) -> Talk:
    """Ann, connected to ``b``; her requests go to ``a``."""
    talk = await begin_talk(pair.a, "ann")
    await talk.socket.disconnect()
    return Talk(pair.a, talk.person, await pair.other(talk.person).connect(), talk.chat_id)


async def test_lines_reach_the_replica_that_asked(apart: Talk) -> None:
    words = [f"w{number} " for number in range(300)]
    page = Page(apart, *map(line, words), "data: [DONE]", {"done": True})
    begun = await apart.begin(model="mine", model_item=ITEM)
    assert (await begun.end())[1]["content"] == "".join(words)
    assert text_of(begun.deltas()) == "".join(words)
    assert (await begun.stored())["content"] == "".join(words)
    channel = page.question["channel"]
    replica_id = apart.server.services.cluster.replica.id
    assert channel.startswith(f"{apart.person.id}:{apart.socket.sid}:{replica_id}.")


async def test_only_the_asked_session_may_send_from_elsewhere(pair: Pair, apart: Talk) -> None:
    page = Page(apart)
    begun = await apart.begin(model="mine", model_item=ITEM)
    await page.asked.wait()
    channel = page.question["channel"]
    bob = await begin_talk(pair.b, "bob")
    other = await pair.other(apart.person).connect()
    mine = channel.replace(apart.socket.sid, other.sid)
    for stranger, name in ((bob.socket, channel), (other, channel), (other, mine)):
        answer = await stranger.call(name, line("evil"))
        assert answer["error"]["code"] == "unknown_event"
    assert await apart.socket.call(channel, line("good")) == {"ok": True}
    await apart.socket.emit(channel, "data: [DONE]")
    await apart.socket.emit(channel, {"done": True})
    assert (await begun.end())[1]["content"] == "good"
    answer = await apart.socket.call(channel, line("late"))
    assert answer["error"]["code"] == "unknown_event"
    assert pair.b.services.chat.direct._forwards._forwards == {}


@pytest.mark.settings(CONNECTION_RECOVERY_SECONDS="0")
async def test_a_session_that_ends_elsewhere_fails_its_answer(
    pair: Pair, apart: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph.chat.direct._LOOK_SECONDS", 0.2)
    Page(apart, line("so far"))
    begun = await apart.begin(model="mine", model_item=ITEM)
    await begun.delta()
    watcher = await apart.person.connect()
    apart.socket.answer = None
    await apart.socket.disconnect()
    found = await watcher.expect(
        "events", where=lambda data: data["data"]["type"] == "chat:message:error"
    )
    assert found["data"]["data"]["error"]["code"] == "session_gone"
    assert (await begun.stored())["content"] == "so far"


async def test_a_page_that_floods_from_elsewhere_fails_its_answer(
    pair: Pair, apart: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    forwards = pair.b.services.chat.direct._forwards
    gate, request = asyncio.Event(), forwards._peers.request

    async def slow(*args: Any, **options: Any) -> Any:
        await gate.wait()
        return await request(*args, **options)

    monkeypatch.setattr(forwards, "_most", 20)
    page = Page(apart, line("so far"))
    begun = await apart.begin(model="mine", model_item=ITEM)
    await begun.delta()
    monkeypatch.setattr(forwards._peers, "request", slow)
    for _ in range(30):
        await apart.socket.emit(page.question["channel"], line("x"))
    await until(lambda: any(forward.overrun for forward in forwards._forwards.values()))
    gate.set()
    kind, said = await begun.end()
    assert (kind, said["error"]["code"]) == ("chat:message:error", "upstream_error")
    assert "faster" in said["error"]["content"]
