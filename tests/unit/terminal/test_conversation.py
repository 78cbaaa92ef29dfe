"""A chat with a scripted server: what is shown, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from heliograph.terminal import conversation as module
from heliograph.terminal.answer import Ending
from heliograph.terminal.events import ChatEvent
from heliograph.terminal.failures import ConnectionGone
from tests.unit.terminal.fakes import CHAT, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
async def asked(stage: Stage) -> AsyncIterator[asyncio.Task[Ending]]:
    """An answer that has been asked for and streams."""
    begun = asyncio.Event()
    stage.api.on_complete = lambda body: begun.set()
    task = asyncio.create_task(stage.conversation.send("hello"))
    await begun.wait()
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_answer_is_streamed_to_its_end(stage: Stage, asked: asyncio.Task[Ending]) -> None:
    stage.delta(1, "one ")
    stage.delta(2, "two")
    stage.done()
    assert await asked is Ending.FINISHED
    assert stage.shown == "one two\n"


async def test_tokens_that_come_before_the_reply_to_the_request_are_shown(stage: Stage) -> None:
    def at_once(body: dict[str, object]) -> None:
        stage.delta(1, "early")
        stage.done()

    stage.api.on_complete = at_once
    assert await stage.conversation.send("hello") is Ending.FINISHED
    assert stage.shown == "early\n"


async def test_a_message_is_sent_with_the_history_and_its_parent(stage: Stage) -> None:
    def answer(body: dict[str, object]) -> None:
        stage.delta(1, "fine")
        stage.done()

    stage.api.on_complete = answer
    await stage.conversation.send("how are you?")
    first_answer = stage.message_id
    await stage.conversation.send("really?")
    body = stage.api.asked[1]
    assert [m["content"] for m in body["messages"]] == ["how are you?", "fine", "really?"]
    assert body["user_message"]["parentId"] == first_answer
    assert body["parent_id"] == body["user_message"]["id"]
    assert body["session_id"] == "session-1"


async def test_events_of_other_messages_are_not_shown(
    stage: Stage, asked: asyncio.Task[Ending]
) -> None:
    stage.conversation.on_event(ChatEvent(CHAT, "other", "message", {"content": "no"}, 1))
    stage.conversation.on_event(ChatEvent("c2", stage.message_id, "message", {"content": "no"}, 1))
    stage.done()
    await asked
    assert stage.shown == ""


async def test_what_was_missed_is_shown_before_what_came_since(
    stage: Stage, asked: asyncio.Task[Ending]
) -> None:
    stage.delta(1, "one ")
    stage.conversation.on_lost()
    stage.delta(4, "four")  # over the new connection, before anything was asked for
    stage.stream(3, "two three ", from_seq=1)
    await stage.conversation.on_back()
    stage.done()
    await asked
    assert stage.shown == "one two three four\n"
    assert stage.wire.joins[-1]["last_seq"] == 1


async def test_what_was_caught_up_is_not_shown_again_when_it_comes_live(
    stage: Stage, asked: asyncio.Task[Ending]
) -> None:
    stage.conversation.on_lost()
    stage.delta(2, "two")
    stage.stream(2, "one two")
    await stage.conversation.on_back()
    stage.delta(3, "!")
    stage.done()
    await asked
    assert stage.shown == "one two!\n"


async def test_a_connection_that_breaks_while_catching_up_loses_nothing(
    stage: Stage, asked: asyncio.Task[Ending]
) -> None:
    stage.delta(1, "one ")
    stage.conversation.on_lost()
    stage.wire.streams = None
    with pytest.raises(ConnectionGone):
        await stage.conversation.on_back()
    stage.delta(3, "lost with that connection")
    stage.conversation.on_lost()
    stage.stream(3, "one two three")
    await stage.conversation.on_back()
    stage.done()
    await asked
    assert stage.shown == "one two three\n"


async def test_a_gap_in_the_numbers_is_filled_in_its_place(
    stage: Stage, asked: asyncio.Task[Ending]
) -> None:
    stage.delta(1, "one ")
    stage.stream(3, "two three ", from_seq=1)
    stage.delta(3, "three ")
    stage.delta(4, "four")
    stage.done()
    await asked
    assert stage.shown == "one two three four\n"


async def test_a_gap_that_cannot_be_filled_is_said_once(
    stage: Stage, asked: asyncio.Task[Ending]
) -> None:
    stage.wire.refusal = "the chat is gone"
    stage.delta(3, "three ")
    stage.delta(5, "five")
    stage.done()
    await asked
    assert stage.shown == "three five\n"
    assert stage.said.count("what was missed could not be had: the chat is gone") == 1


async def test_an_end_that_was_missed_is_taken_from_the_store(
    stage: Stage, asked: asyncio.Task[Ending]
) -> None:
    await asyncio.sleep(0)  # let the request return
    stage.delta(1, "one ")
    stage.conversation.on_lost()
    stage.wire.streams = []
    stage.store("one two", done=True)
    await stage.conversation.on_back()
    assert await asked is Ending.FINISHED
    assert stage.shown == "one two\n"


async def test_an_answer_that_the_server_forgot_is_said_to_be_interrupted(
    stage: Stage, asked: asyncio.Task[Ending], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RECHECK_SECONDS", 0)
    await asyncio.sleep(0)
    stage.conversation.on_lost()
    stage.wire.streams = []
    stage.store("half", done=False)
    await stage.conversation.on_back()
    assert await asked is Ending.INTERRUPTED
    assert "interrupted: the server does not work on this answer any more" in stage.said


async def test_an_error_is_said_in_the_words_of_the_server(
    stage: Stage, asked: asyncio.Task[Ending]
) -> None:
    stage.delta(1, "half")
    stage.event("chat:message:error", error={"message": "the upstream hung up", "code": "cut"})
    assert await asked is Ending.FAILED
    assert stage.shown == "half\n"
    assert "the upstream hung up" in stage.said


async def test_a_stop_says_that_the_server_confirmed_it(
    stage: Stage, asked: asyncio.Task[Ending]
) -> None:
    await asyncio.sleep(0)
    stopping = asyncio.create_task(stage.conversation.stop())
    await asyncio.sleep(0)
    stage.event("chat:tasks:cancel")
    assert await stopping == "stopped, confirmed by the server"
    assert await asked is Ending.STOPPED
    assert stage.api.stopped == ["task-1"]


async def test_a_stop_that_came_too_late_is_not_called_one(
    stage: Stage, asked: asyncio.Task[Ending]
) -> None:
    stage.api.stop_status = "gone"
    assert await stage.conversation.stop() == "not stopped: it had ended"


async def test_statuses_sources_and_files_are_lines(
    stage: Stage, asked: asyncio.Task[Ending]
) -> None:
    stage.event("status", description="Searching", done=False)
    stage.event("status", description="Secret", done=False, hidden=True)
    stage.event("source", source={"name": "A book", "url": "https://example.org/b"})
    stage.event("files", files=[{"name": "plan.pdf"}])
    stage.event("replace", 1, content="All of it")
    stage.done()
    await asked
    assert stage.said.splitlines()[:3] == [
        "… Searching",
        "[file] plan.pdf",
        "[1] A book  https://example.org/b",
    ]
    assert "Secret" not in stage.said


async def test_opening_a_chat_shows_its_branch_and_streams_the_rest(stage: Stage) -> None:
    stage.api.stored = {
        "id": CHAT,
        "title": "Poems",
        "chat": {
            "models": ["big"],
            "history": {
                "currentId": "a",
                "messages": {
                    "u": {"id": "u", "role": "user", "content": "a poem", "parentId": None},
                    "x": {"id": "x", "role": "user", "content": "not this", "parentId": None},
                    "a": {"id": "a", "role": "assistant", "content": "Ro", "parentId": "u"},
                },
            },
        },
    }
    stage.wire.streams = [{"message_id": "a", "seq": 2, "from_seq": 0, "content": "Roses "}]
    opening = asyncio.create_task(stage.conversation.open(CHAT))
    await stage.streaming()
    stage.delta(2, "Roses ")
    stage.delta(3, "are red")
    stage.done()
    assert await opening is Ending.FINISHED
    assert stage.shown == "Roses are red\n"
    assert "you: a poem" in stage.said
    assert "not this" not in stage.said
    assert stage.conversation.model == "big"


async def test_opening_a_chat_at_rest_only_shows_it(stage: Stage) -> None:
    stage.api.stored = {"id": CHAT, "title": "Old", "chat": {"history": {"messages": {}}}}
    assert await stage.conversation.open(CHAT) is None
    assert "Old" in stage.said
