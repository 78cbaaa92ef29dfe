"""Answers on both databases, without a server: rows, settling, what runs at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import update

from heliograph.chat import ClientChat, CompletionRequest
from heliograph.chat.messages import MessageRepository
from heliograph.chat.rows import Begun, Ending, NewMessage
from heliograph.delivery import Frame
from heliograph.errors import BadPayload, Conflict, NotFound
from heliograph.principal import Principal
from heliograph.store.models import Message
from tests.integration.chat.support import Feature


class NoLink:
    """A transport nobody reads."""

    def push(self, packets: Any) -> None:
        """Drop them."""

    def deliver(
        self, frame: Frame, *, offset: str | None = None, ack_id: int | None = None
    ) -> None:
        self.push(frame.packets(offset=offset, ack_id=ack_id))

    def end(self, code: int, reason: str) -> None:
        """Nothing to end."""

    async def drained(self) -> None:
        """Always."""


async def begin(feature: Feature, content: str = "a b c", **more: Any) -> str:
    session = await feature.lifecycle.begin(feature.ann, NoLink(), recoverable=False)
    request = CompletionRequest.model_validate(
        {
            "model": "echo",
            "messages": [{"role": "user", "content": content}],
            "chat_id": "c1",
            "id": "a1",
            "session_id": session.sid,
            **more,
        }
    )
    started = await feature.chat.answers.start(feature.ann, request)
    return str(started["task_ids"][0])


async def own(feature: Feature, owner: str) -> None:
    """Let ``m1`` be written by a replica; by nobody when it has no name."""
    async with feature.database.write() as session:
        row = update(Message).where(Message.id == "m1")
        await session.execute(row.values(state="streaming", owner=owner or None))


async def ended(feature: Feature) -> None:
    while await feature.tasks.list():
        await asyncio.sleep(0.005)


async def test_an_answer_is_stored_whole(feature: Feature) -> None:
    words = " ".join(f"wörd{n}😀" for n in range(300))
    await begin(feature, words)
    await ended(feature)
    row = await feature.row("a1")
    assert (row.content, row.state, row.model) == (words, "finished", "echo")
    chat = await feature.chat.chats.get(feature.ann, "c1")
    assert chat["chat"]["history"]["currentId"] == "a1"
    assert chat["title"].startswith("wörd0😀 wörd1😀")


async def test_a_tail_is_appended_and_an_end_is_one_transaction(feature: Feature) -> None:
    store = MessageRepository(feature.database)
    await own(feature, "r1")
    assert await store.settle("c1", "m1", "one ", owner="r1", whole=False, ending=None)
    assert await store.settle("c1", "m1", "two", owner="r1", whole=False, ending=None)
    assert (await feature.row()).content == "one two"
    failed = Ending("error", error={"content": "no", "code": "x"}, usage={"total_tokens": 1})
    assert await store.settle("c1", "m1", "new", owner="r1", whole=True, ending=failed)
    row = await feature.row()
    assert (row.content, row.state, row.error) == ("new", "error", {"content": "no", "code": "x"})
    assert await feature.items("usage") == [{"total_tokens": 1}]
    assert not await store.settle("c1", "none", "x", owner="r1", whole=False, ending=None)


async def test_an_answer_in_flight_is_not_begun_twice(feature: Feature) -> None:
    store = MessageRepository(feature.database)

    async def one() -> Any:
        return await store.begin_answer(
            "c1",
            question=NewMessage("q1", "user", "Hi", None),
            answer=NewMessage("a1", "assistant", "", "q1"),
            owner="r1",
            keep_content=False,
            title="Hi",
        )

    results = await asyncio.gather(*(one() for _ in range(5)), return_exceptions=True)
    assert Begun("Hi", shared=False) in results
    assert sum(isinstance(result, Conflict) for result in results) == 4
    with pytest.raises(NotFound):
        await store.begin_answer(
            "none",
            question=None,
            answer=NewMessage("a1", "assistant", "", None),
            owner="r1",
            keep_content=False,
            title=None,
        )
    with pytest.raises(BadPayload):
        await store.begin_answer(
            "c1",
            question=None,
            answer=NewMessage("q1", "assistant", "", None),
            owner="r1",
            keep_content=False,
            title=None,
        )
    assert (await feature.row("a1")).owner == "r1"


async def test_emitting_in_mid_stream_loses_nothing(feature: Feature) -> None:
    words = "x " * 200
    await begin(feature, words)
    info = {**feature.info, "message_id": "a1"}

    async def tool(name: str) -> None:
        for number in range(10):
            event = {"type": "message", "data": {"content": f"<{name}{number}>"}}
            await feature.chat.emit(info, event)

    await asyncio.gather(tool("a"), tool("b"))
    await ended(feature)
    content = (await feature.row("a1")).content
    for name in "ab":
        for number in range(10):
            assert content.count(f"<{name}{number}>") == 1
    assert content.count("x") == 200


async def test_a_merge_keeps_nul_out_and_json_whole(feature: Feature) -> None:
    copy = {
        "title": "nul\x00",
        "extra": {"deep": ["\x00", 1.5]},
        "history": {"messages": {"q": {"role": "user", "content": "a\x00b", "model": "m\x00"}}},
    }
    view = await feature.chat.chats.update(feature.ann, "c1", ClientChat.model_validate(copy))
    assert view["title"] == "nul\ufffd"
    assert view["chat"]["history"]["messages"]["q"]["content"] == "a\ufffdb"
    assert view["chat"]["extra"] == {"deep": ["\x00", 1.5]}


async def found(feature: Feature, query: str) -> list[str]:
    """The ids of Ann's chats that are found."""
    page = await feature.chat.chats.page(feature.ann, skip=0, limit=10, containing=query)
    return [chat["id"] for chat in page]


async def test_chats_are_found_by_a_part_of_title_or_message(feature: Feature) -> None:
    chats = feature.chat.chats
    copies = {
        "Fruit salad": "Take 50% apples and a_b\\c",
        "Weather": "Is it raining in Ålesund?",
    }
    ids = {}
    for title, content in copies.items():
        messages = {
            "q1": {"role": "user", "content": content},
            "q2": {"role": "user", "content": [{"type": "text", "text": f"and {title} apples"}]},
        }
        copy = {"title": title, "history": {"messages": messages, "currentId": "q1"}}
        ids[title] = (await chats.create(feature.ann, ClientChat.model_validate(copy)))["id"]
    fruit, weather = ids["Fruit salad"], ids["Weather"]
    assert await found(feature, "FRUIT") == [fruit]
    assert await found(feature, "raIning in Å") == [weather]
    assert sorted(await found(feature, "apples")) == sorted([fruit, weather])  # each once
    assert await found(feature, "50%") == await found(feature, "A_B\\c") == [fruit]
    for nothing in ("%", "_", "\\"):  # no wildcards
        assert await found(feature, nothing) == [fruit]
    assert await found(feature, "5%apples") == await found(feature, "r_in") == []
    assert await found(feature, "\0") == []
    assert len(await found(feature, "")) == 3
    bob = Principal("bob", "Bob", "user")
    assert await chats.page(bob, skip=0, limit=10, containing="apples") == []
    second = await chats.page(feature.ann, skip=1, limit=1, containing="apples")
    assert len(second) == 1


async def test_on_sqlite_all_letters_have_a_case(feature: Feature) -> None:
    copy = ClientChat(title="Ålesund ΑΘΗΝΑ")
    chat_id = (await feature.chat.chats.create(feature.ann, copy))["id"]
    for query in ("Ålesund", "ΑΘΗΝΑ"):
        assert await found(feature, query) == [chat_id]
    if feature.database.dialect == "sqlite":  # on PostgreSQL its locale decides
        for query in ("åLESUND", "αθηνα"):
            assert await found(feature, query) == [chat_id]


async def test_a_chat_is_deleted_with_all_it_has(feature: Feature) -> None:
    await feature.chat.chats.share(feature.ann, "c1", {"bob"})
    await feature.chat.emit(feature.info, {"type": "status", "data": {"description": "x"}})
    await begin(feature, "x " * 5000)
    await feature.chat.chats.delete(feature.ann, "c1")
    assert await feature.tasks.list() == []
    assert await feature.items("status") == []
    with pytest.raises(NotFound):
        await feature.chat.chats.get(feature.ann, "c1")
