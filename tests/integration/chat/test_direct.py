"""A user's own model: the page asks it, and sends its lines over a one-time channel."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.integration.chat.support import Begun, Talk, begin_talk, text_of
from tests.support.server import RunningServer
from tests.support.upstream import chunk

ITEM = {"id": "mine", "direct": True, "urlIdx": 0}


def line(text: str) -> str:
    return f"data: {json.dumps(chunk({'content': text}))}"


class Page:
    """Answers ``request:chat:completion`` with ``ack``, then sends ``pieces``."""

    def __init__(self, talk: Talk, *pieces: Any, ack: Any = None) -> None:
        self.talk = talk
        self.pieces = pieces
        self.ack = {"status": True} if ack is None else ack
        self.question: dict[str, Any] = {}
        self.asked = asyncio.Event()
        self.sending: asyncio.Task[None] | None = None
        talk.socket.answer = self.answer

    def answer(self, name: str, data: Any) -> Any:
        if name != "events" or data["data"]["type"] != "request:chat:completion":
            return None
        self.question = data["data"]["data"]
        self.asked.set()
        self.sending = asyncio.create_task(self.send())
        return self.ack

    async def send(self) -> None:
        for piece in self.pieces:
            await self.talk.socket.emit(self.question["channel"], piece)


async def ask(talk: Talk) -> Begun:
    return await talk.begin(model="mine", model_item=ITEM)


async def test_lines_of_the_page_are_streamed_and_stored(talk: Talk) -> None:
    page = Page(talk, line("Hel"), line("lo"), "data: [DONE]", {"done": True})
    begun = await ask(talk)
    assert (await begun.end())[1]["content"] == "Hello"
    assert text_of(begun.deltas()) == "Hello"
    assert (await begun.stored())["content"] == "Hello"
    assert page.question["model"] == ITEM
    assert page.question["session_id"] == talk.socket.sid
    assert page.question["form_data"]["messages"] == [{"role": "user", "content": "Hi"}]
    prefix = f"{talk.person.id}:{talk.socket.sid}:"
    assert page.question["channel"].startswith(prefix)


async def test_lines_may_come_split_and_together(talk: Talk) -> None:
    text = "\n\n".join([line("one "), line("two "), ": comment", line("three"), "data: [DONE]"])
    pieces = [text[at : at + 7] for at in range(0, len(text), 7)]
    Page(talk, *pieces, {"done": True})
    assert (await (await ask(talk)).end())[1]["content"] == "one two three"


async def test_an_answer_may_come_whole_in_the_ack(talk: Talk) -> None:
    message = {"role": "assistant", "content": "whole"}
    Page(talk, ack={"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    assert (await (await ask(talk)).end())[1]["content"] == "whole"


@pytest.mark.parametrize(
    ("pieces", "ack", "code"),
    [
        ([], {"error": {"message": "no key"}}, "upstream_error"),
        ([], False, "upstream_error"),
        ([line("a"), {"done": True}], None, "upstream_cut"),
        ([line("a"), "data: {nope}", line("b"), {"done": True}], None, "upstream_malformed"),
        (["hello"], None, "upstream_malformed"),
        ([17], None, "upstream_malformed"),
        ([line("a"), 'data: {"error": "busy"}'], None, "upstream_error"),
    ],
    ids=["ack error", "ack false", "cut", "bad line", "no line", "number", "error line"],
)
async def test_a_failing_page_is_reported(
    talk: Talk, pieces: list[Any], ack: Any, code: str
) -> None:
    Page(talk, *pieces, ack=ack)
    kind, said = await (await ask(talk)).end()
    assert (kind, said["error"]["code"]) == ("chat:message:error", code)


@pytest.mark.settings(OPENAI_TIMEOUT_SECONDS="0.3")
async def test_a_silent_page_is_given_up(talk: Talk) -> None:
    Page(talk, line("so far"))
    begun = await ask(talk)
    assert (await begun.end())[1]["error"]["code"] == "upstream_silent"
    assert (await begun.stored())["content"] == "so far"


async def test_only_the_asked_session_may_send(server: RunningServer, talk: Talk) -> None:
    page = Page(talk)
    begun = await ask(talk)
    await page.asked.wait()
    channel = page.question["channel"]
    bob = await begin_talk(server, "bob")
    other = await talk.person.connect()
    for stranger in (bob.socket, other):
        answer = await stranger.call(channel, line("evil"))
        assert answer["error"]["code"] == "unknown_event"
    assert await talk.socket.call(channel, line("good")) == {"ok": True}
    await talk.socket.emit(channel, "data: [DONE]")
    await talk.socket.emit(channel, {"done": True})
    assert (await begun.end())[1]["content"] == "good"
    answer = await talk.socket.call(channel, line("late"))
    assert answer["error"]["code"] == "unknown_event"


@pytest.mark.settings(CONNECTION_RECOVERY_SECONDS="0")
async def test_a_session_that_ends_fails_its_answer(talk: Talk) -> None:
    page = Page(talk, line("so far"))
    begun = await ask(talk)
    await begun.delta()
    watcher = await talk.person.connect()
    talk.socket.answer = None
    await talk.socket.disconnect()
    found = await watcher.expect(
        "events", where=lambda data: data["data"]["type"] == "chat:message:error"
    )
    assert found["data"]["data"]["error"]["code"] == "session_gone"
    stored = await begun.stored()
    assert (stored["content"], stored["state"]) == ("so far", "error")
    assert page.question["channel"] not in talk.server.services.chat.direct._channels


async def test_an_answer_of_a_page_can_be_stopped(talk: Talk) -> None:
    Page(talk, line("so far"))
    begun = await ask(talk)
    await begun.delta()
    assert (await begun.stop()).json()["status"] == "stopped"
    assert (await begun.stored())["content"] == "so far"
