"""The logs of answers in flight in Redis, in all its modes: one writer, read by everybody."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from heliograph.backplane import Backplane
from heliograph.chat.hot import Delta, InFlight, StreamRef, Verdict
from heliograph.chat.redis_streams import RedisHotLog
from heliograph.delivery import Frame, RedisBroker, user_room
from tests.support.backplane import open_backplane
from tests.support.bare import until
from tests.support.redis import RedisServers

ANN = StreamRef("ann", "c1", "m1", "run1", "A")
OTHER = StreamRef("ann", "c1", "m1", "run2", "B")


@dataclass
class Replica:
    """One replica's end of Redis; ``bodies`` is what its sessions would get."""

    backplane: Backplane
    hot: RedisHotLog
    bodies: list[str] = field(default_factory=list)

    async def append(
        self, seq: int, text: str, *, ref: StreamRef = ANN, whole: bool = False
    ) -> Verdict:
        return await self.hot.append(ref, Delta(seq, text, whole), {"seq": seq, "text": text})

    async def content(self, ref: StreamRef = ANN) -> tuple[int, str] | None:
        snapshot = await self.hot.read(ref)
        return (snapshot.seq, snapshot.content) if snapshot is not None else None

    async def keys(self) -> dict[str, Any]:
        """What is left of the answer in Redis."""
        key = self.backplane.key
        found = {
            "log": await self.backplane.execute("EXISTS", self.hot._keys(ANN)[0]),
            "index": await self.backplane.execute("HLEN", key("stream", user_room("ann"))),
        }
        for replica in ("A", "B"):
            name = key("replica", replica, "streams")
            found[replica] = await self.backplane.execute("SCARD", name)
        return {name: number for name, number in found.items() if number}


@contextlib.asynccontextmanager
async def replica(servers: RedisServers, prefix: str) -> AsyncIterator[Replica]:
    async with open_backplane(servers, prefix) as backplane:
        broker = RedisBroker(backplane, 60)
        end = Replica(backplane, RedisHotLog(backplane, broker, grace=1))

        def deliver(room: str, seq: int | None, frame: Frame) -> None:
            end.bodies.append(frame.body)

        await broker.start(deliver, lambda *_: None)
        await broker.subscribe(user_room("ann"))
        try:
            yield end
        finally:
            await broker.stop()


@pytest.fixture(params=["redis", "redis_sentinel", "redis_cluster"])
async def a(request: pytest.FixtureRequest, redis_prefix: str) -> AsyncIterator[Replica]:
    """A replica, on each kind of Redis."""
    async with replica(request.getfixturevalue(request.param), redis_prefix) as end:
        yield end


@pytest.fixture
async def b(
    request: pytest.FixtureRequest, a: Replica, redis_prefix: str
) -> AsyncIterator[Replica]:
    """Another one on the same."""
    kind = request.node.callspec.params["a"]
    async with replica(request.getfixturevalue(kind), redis_prefix) as end:
        yield end


async def test_what_is_published_can_be_read_everywhere(a: Replica, b: Replica) -> None:
    await a.hot.begin(ANN)
    assert await b.content() == (0, "")
    for seq, text in enumerate(("so ", "fär ", "😀"), 1):
        assert await a.append(seq, text) is Verdict.DONE
    assert await b.content() == (3, "so fär 😀")
    assert await b.hot.of_user("ann") == [ANN] == [await b.hot.find("ann", "c1", "m1")]
    assert await b.hot.of_replica("A") == [ANN]
    await until(lambda: len(b.bodies) == 3)
    assert b.bodies[2] == '["events",{"seq":3,"text":"😀"}'


async def test_a_replacement_begins_anew(a: Replica, b: Replica) -> None:
    await a.hot.begin(ANN)
    await a.append(1, "abc")
    await a.append(2, "X" * 200_000, whole=True)  # too big for pub/sub
    await a.append(3, "y")
    snapshot = await b.hot.read(ANN)
    assert snapshot is not None
    assert (snapshot.since(1).from_seq, snapshot.since(2).content) == (0, "y")
    assert snapshot.content == "X" * 200_000 + "y"
    assert not snapshot.only_grew
    await until(lambda: len(b.bodies) == 3)


async def test_an_answer_is_claimed_once(a: Replica, b: Replica) -> None:
    await a.hot.begin(ANN)
    with pytest.raises(InFlight) as refusal:
        await b.hot.begin(OTHER)
    assert refusal.value.by == ANN
    assert await b.hot.of_replica("B") == []
    await a.hot.begin(ANN)  # a retry
    await b.hot.begin(StreamRef("ann", "c1", "m2", "run3", "B"))


async def test_nothing_is_left_of_an_answer_that_ended(a: Replica, b: Replica) -> None:
    await a.hot.begin(ANN)
    await a.append(1, "abc")
    await b.hot.end(OTHER)
    assert await b.content() == (1, "abc")
    await a.hot.end(ANN)
    assert await b.content() is None
    assert await b.hot.of_replica("A") == [ANN]  # nobody was told yet
    await a.hot.let_go(ANN)
    assert await a.keys() == {}
    await b.hot.begin(OTHER)


async def test_who_was_ended_as_dead_neither_appends_nor_publishes(a: Replica, b: Replica) -> None:
    await a.hot.begin(ANN)
    await a.append(1, "before")
    await b.hot.end(ANN, dead=True)
    assert await a.append(2, "after") is Verdict.TAKEN
    assert await a.hot.restore(ANN, 2, "before after", sure=False) is Verdict.TAKEN
    assert await b.hot.of_user("ann") == []
    await b.hot.begin(OTHER)
    assert await a.append(2, "after") is Verdict.TAKEN
    assert await b.append(1, "new", ref=OTHER) is Verdict.DONE
    await a.hot.end(ANN)
    assert await a.content(OTHER) == (1, "new")
    await until(lambda: len(b.bodies) == 2)
    assert not any("after" in body for body in b.bodies)


async def test_a_lost_log_is_said_and_restored(a: Replica, b: Replica) -> None:
    await a.hot.begin(ANN)
    await a.append(1, "one ")
    assert await a.append(3, "three") is Verdict.LOST  # Redis lost its end
    await a.backplane.execute("DEL", a.hot._keys(ANN)[0])
    assert await a.append(2, "two") is Verdict.LOST
    assert await a.hot.restore(ANN, 2, "one two ", sure=False) is Verdict.DONE
    assert await a.append(2, "two") is Verdict.DONE  # published now; the text is there already
    assert await a.append(3, "three") is Verdict.DONE
    assert await b.content() == (3, "one two three")
    await until(lambda: len(b.bodies) == 3)
    await a.hot.restore(ANN, 0, "", sure=True)
    assert await b.content() == (0, "")
