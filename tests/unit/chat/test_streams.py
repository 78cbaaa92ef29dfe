"""Answers in flight: sequence, coalescing, resuming, settling."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from heliograph.chat.hot import MemoryHotLog
from heliograph.chat.outlet import Outlet
from heliograph.chat.rows import Ending
from heliograph.chat.stream import Stream
from heliograph.chat.streams import Streams
from heliograph.delivery import Hub, MemoryBroker, Position
from heliograph.errors import Conflict, TooLarge
from tests.support.bare import until


class Recorder(Hub):
    def __init__(self) -> None:
        super().__init__(MemoryBroker(60))
        self.sent: list[tuple[str, Any]] = []
        self.pause = 0.0

    async def publish(self, room: str, event: str, data: Any, **options: Any) -> Position:
        await asyncio.sleep(self.pause)
        self.sent.append((room, data))
        return Position("x", 0)

    def deltas(self) -> list[tuple[int, str, str]]:
        return [
            (data["seq"], data["data"]["type"], data["data"]["data"]["content"])
            for _, data in self.sent
        ]


class Store:
    """A database of one message that can fail, also after it has written."""

    def __init__(self) -> None:
        self.content = ""
        self.ending: Ending | None = None
        self.writes = 0
        self.failing = False
        self.failing_after = False

    async def settle(
        self,
        chat_id: str,
        message_id: str,
        text: str,
        *,
        owner: str,
        whole: bool,
        ending: Ending | None,
    ) -> bool:
        await asyncio.sleep(0)
        if self.failing:
            raise OSError("the database is away")
        self.content = text if whole else self.content + text
        self.ending = ending
        self.writes += 1
        if self.failing_after:
            raise TimeoutError("written, but the answer was lost")
        return True

    async def is_owner(self, chat_id: str, message_id: str, owner: str) -> bool:
        return True


async def make(
    interval: float = 0.0, settle: float = 60.0, *, chat: str = "c", shared: bool = False
) -> tuple[Streams, Stream, Recorder, Store]:
    hub, store = Recorder(), Store()
    streams = Streams(
        store, MemoryHotLog(hub), lambda: "r1", interval=interval, settle_seconds=settle
    )
    stream = await streams.open(Outlet(hub, chat, "m", "ann", shared), "m")
    return streams, stream, hub, store


async def nothing() -> None:
    pass


async def end(stream: Stream) -> None:
    await stream.end(Ending("finished"), nothing)


async def test_the_first_token_goes_at_once_and_the_next_are_gathered() -> None:
    _, stream, hub, _ = await make(interval=0.02)
    stream.append("a")
    await until(lambda: len(hub.sent) == 1)
    for token in "bcd":
        stream.append(token)
    await until(lambda: len(hub.sent) == 2)
    assert hub.deltas() == [(1, "message", "a"), (2, "message", "bcd")]
    await end(stream)


async def test_order_and_sequence_hold_when_publishing_is_slow() -> None:
    _, stream, hub, _ = await make()
    hub.pause = 0.001
    for number in range(50):
        stream.append(f"{number} ")
        await asyncio.sleep(0)
        if number % 10 == 0:
            await stream.flush()
    await end(stream)
    deltas = hub.deltas()
    assert [seq for seq, _, _ in deltas] == list(range(1, len(deltas) + 1))
    assert "".join(text for _, _, text in deltas) == "".join(f"{n} " for n in range(50))


async def test_resuming_covers_exactly_what_lacks() -> None:
    _, stream, _, _ = await make()
    for token in ("a", "b", "c"):
        stream.append(token)
        await stream.flush()
    found = {last: stream.since(last) for last in (None, 0, 1, 2, 3, 4)}
    assert {last: (r.from_seq, r.seq, r.content) for last, r in found.items()} == {
        None: (0, 3, "abc"),
        0: (0, 3, "abc"),
        1: (1, 3, "bc"),
        2: (2, 3, "c"),
        3: (3, 3, ""),
        4: (0, 3, "abc"),
    }
    await end(stream)


async def test_resuming_from_before_a_replacement_gives_the_whole() -> None:
    _, stream, hub, store = await make()
    stream.append("abc")
    await stream.flush()
    await stream.replace("X")
    stream.append("y")
    await stream.flush()
    assert hub.deltas() == [(1, "message", "abc"), (2, "replace", "X"), (3, "message", "y")]
    assert stream.since(1).from_seq == 0
    assert stream.since(1).content == "Xy"
    assert (stream.since(2).from_seq, stream.since(2).content) == (2, "y")
    await end(stream)
    assert store.content == "Xy"


async def test_a_long_piece_travels_in_several_deltas() -> None:
    _, stream, hub, _ = await make()
    stream.append("x" * 200_000)
    await stream.flush()
    assert [len(text) for _, _, text in hub.deltas()] == [65536, 65536, 65536, 3392]
    await end(stream)


async def test_halves_of_a_character_are_joined() -> None:
    _, stream, hub, _ = await make()
    stream.append("a\ud83d")
    await until(lambda: len(hub.sent) == 1)
    assert hub.deltas() == [(1, "message", "a")]
    stream.append("\ude00")
    await until(lambda: len(hub.sent) == 2)
    assert hub.deltas()[1] == (2, "message", "😀")
    stream.append("\ud83d")
    await end(stream)
    assert stream.content == "a😀\ufffd"


async def test_settling_appends_only_the_tail() -> None:
    texts: list[tuple[str, bool]] = []
    _, stream, _, store = await make(settle=0.01)
    settle = store.settle

    async def recorded(*args: Any, **options: Any) -> bool:
        texts.append((args[2], options["whole"]))
        return await settle(*args, **options)

    store.settle = recorded  # type: ignore[method-assign]
    stream.append("one ")
    await until(lambda: store.content == "one ")
    stream.append("two ")
    await until(lambda: store.content == "one two ")
    stream.append("three")
    await end(stream)
    # The timer may come between the last token and the end, which then has no tail to write.
    assert [text for text, _ in texts if text] == ["one ", "two ", "three"]
    assert not any(whole for _, whole in texts)
    assert store.content == "one two three"
    assert store.ending == Ending("finished")
    assert stream.writes == store.writes == len(texts) <= 4


async def test_writes_do_not_grow_with_tokens() -> None:
    _, stream, _, store = await make(settle=0.05)
    for number in range(2_000):
        stream.append(f"{number} ")
        if number % 100 == 0:
            await asyncio.sleep(0.001)
    await end(stream)
    assert store.content == "".join(f"{number} " for number in range(2_000))
    assert store.writes <= 20


async def test_a_database_that_is_away_delays_settling_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("heliograph.chat.settling.FIRST_RETRY", 0.01)
    _, stream, hub, store = await make(settle=0.01)
    stream.append("a")
    await until(lambda: store.content == "a")
    store.failing = True
    stream.append("b")
    await stream.flush()
    assert hub.deltas()[-1] == (2, "message", "b")
    ending = asyncio.create_task(end(stream))
    await asyncio.sleep(0.05)
    assert not ending.done()
    store.failing = False
    await ending
    assert store.content == "ab"
    assert store.ending == Ending("finished")


async def test_a_write_whose_answer_was_lost_is_not_repeated() -> None:
    _, stream, _, store = await make(settle=0.01)
    store.failing_after = True
    stream.append("a")
    await until(lambda: store.writes >= 1)
    store.failing_after = False
    stream.append("b")
    await end(stream)
    assert store.content == "ab"


async def test_an_end_that_cannot_be_stored_is_told_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("heliograph.chat.settling.FIRST_RETRY", 0.01)
    monkeypatch.setattr("heliograph.chat.stream._PATIENCE", 0.03)
    streams, stream, _, store = await make()
    store.failing = True
    told = asyncio.Event()

    async def tell() -> None:
        told.set()

    stream.append("a")
    ending = asyncio.create_task(stream.end(Ending("stopped"), tell))
    await asyncio.wait_for(told.wait(), 5)
    assert not ending.done()
    assert streams.get("c", "m", "ann") is stream
    told.clear()
    store.failing = False
    await ending
    assert not told.is_set()
    assert (store.content, store.ending) == ("a", Ending("stopped"))
    assert streams.get("c", "m", "ann") is None


async def test_what_is_appended_while_the_end_is_stored_is_kept() -> None:
    _, stream, hub, store = await make()
    settle = store.settle

    async def slow(*args: Any, **options: Any) -> bool:
        if not store.writes:
            stream.append("late")
        return await settle(*args, **options)

    store.settle = slow  # type: ignore[method-assign]
    stream.append("early ")
    await end(stream)
    assert store.content == "early late" == "".join(text for _, _, text in hub.deltas())


async def test_a_shared_chat_is_published_to_its_room_too() -> None:
    _, stream, hub, _ = await make(shared=True)
    stream.append("a")
    await end(stream)
    assert [room for room, _ in hub.sent] == ["user:ann", "chat:c"]


async def test_one_message_has_one_stream() -> None:
    streams, stream, _, _ = await make()
    with pytest.raises(Conflict):
        await streams.open(stream.outlet, "m")
    await end(stream)
    (await streams.open(stream.outlet, "m")).close()
    assert await streams.of_chat("c", "ann") == {}


async def test_temporary_chats_of_two_users_are_apart() -> None:
    streams, stream, hub, store = await make(chat="local:x")
    other = await streams.open(Outlet(hub, "local:x", "m", "bob", False), "m")
    assert streams.get("local:x", "m", "bob") is other
    stream.append("a")
    await end(stream)
    await end(other)
    assert store.writes == 0


async def test_an_answer_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heliograph.chat.stream.MAX_ANSWER", 10)
    _, stream, _, _ = await make()
    stream.append("x" * 10)
    with pytest.raises(TooLarge):
        stream.append("y")
    with pytest.raises(TooLarge):
        await stream.replace("z" * 11)
    await end(stream)
    assert stream.content == "x" * 10
