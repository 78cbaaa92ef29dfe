"""The broker's guarantees, in one suite for every broker, on every way to run Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from heliograph.delivery import (
    Broker,
    Frame,
    MemoryBroker,
    Position,
    PositionLost,
    RedisBroker,
    memory,
    redis_broker,
)
from tests.support.backplane import open_backplane
from tests.support.bare import until
from tests.support.redis import RedisServers

KINDS = ["memory", "redis", "redis_sentinel", "redis_cluster", "replicated"]


class Listener:
    """Collects what a broker delivers."""

    def __init__(self) -> None:
        self.got: list[tuple[str, int | None, str]] = []
        self.resets: list[tuple[str, Position]] = []

    def deliver(self, room: str, seq: int | None, frame: Frame) -> None:
        self.got.append((room, seq, frame.body))

    def reset(self, room: str, position: Position) -> None:
        self.resets.append((room, position))

    async def wait_for(self, number: int) -> None:
        await until(lambda: len(self.got) >= number)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture(params=KINDS)
async def broker(request: pytest.FixtureRequest, listener: Listener) -> AsyncIterator[Broker]:
    if request.param == "memory":
        local = MemoryBroker(keep_seconds=60)
        await local.start(listener.deliver, listener.reset)
        yield local
        await local.stop()
        return
    replicated = request.param == "replicated"
    servers: RedisServers = request.getfixturevalue(
        "redis_sentinel" if replicated else request.param
    )
    prefix: str = request.getfixturevalue("redis_prefix")
    durability = "replicated" if replicated else "memory"
    async with open_backplane(servers, prefix, delivery_durability=durability) as backplane:
        shared = RedisBroker(backplane, keep_seconds=60)
        await shared.start(listener.deliver, listener.reset)
        yield shared
        await shared.stop()


def _frame(number: int) -> Frame:
    return Frame.event("e", number)


async def test_a_subscribed_room_gets_its_frames_in_sequence(
    broker: Broker, listener: Listener
) -> None:
    at = await broker.subscribe("r")
    for number in range(3):
        await broker.publish("r", _frame(number))
    await listener.wait_for(3)
    assert [seq for _, seq, _ in listener.got] == [at.seq + 1, at.seq + 2, at.seq + 3]


async def test_a_room_that_is_not_subscribed_gets_nothing(
    broker: Broker, listener: Listener
) -> None:
    await broker.subscribe("r")
    await broker.unsubscribe("r")
    await broker.publish("r", _frame(1))
    await broker.publish("s", _frame(1))
    await broker.subscribe("t")
    await broker.publish("t", _frame(1))
    await listener.wait_for(1)
    assert [room for room, _, _ in listener.got] == ["t"]


async def test_rooms_have_their_own_sequence(broker: Broker) -> None:
    await broker.publish("r", _frame(1))
    first = await broker.publish("s", _frame(1))
    second = await broker.publish("s", _frame(2))
    assert second == Position(first.epoch, first.seq + 1)


async def test_a_replay_is_exactly_what_came_after(broker: Broker) -> None:
    await broker.publish("r", _frame(0))
    since = await broker.position("r")
    for number in (1, 2, 3):
        await broker.publish("r", _frame(number))
    assert [logged.frame for logged in await broker.replay("r", since)] == [
        _frame(1), _frame(2), _frame(3),
    ]  # fmt: skip
    assert await broker.replay("r", await broker.position("r")) == []


async def test_volatile_frames_are_delivered_without_sequence_and_not_replayed(
    broker: Broker, listener: Listener
) -> None:
    at = await broker.subscribe("r")
    await broker.publish("r", _frame(1), durable=False)
    await listener.wait_for(1)
    assert listener.got == [("r", None, _frame(1).body)]
    assert await broker.position("r") == at
    assert await broker.replay("r", at) == []


async def test_another_epoch_is_refused(broker: Broker) -> None:
    await broker.publish("r", _frame(1))
    with pytest.raises(PositionLost):
        await broker.replay("r", Position("another", 0))


async def test_a_sequence_never_given_out_is_refused(broker: Broker) -> None:
    at = await broker.publish("r", _frame(1))
    with pytest.raises(PositionLost):
        await broker.replay("r", Position(at.epoch, at.seq + 1))


async def test_a_trimmed_log_is_refused(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (memory, redis_broker):
        monkeypatch.setattr(module, "MAX_FRAMES", 5)
    since = await broker.position("r")
    for number in range(64):
        await broker.publish("r", _frame(number))
    with pytest.raises(PositionLost):
        await broker.replay("r", since)
    newest = await broker.replay("r", Position(since.epoch, since.seq + 59))
    assert [logged.frame for logged in newest] == [_frame(number) for number in range(59, 64)]


async def test_the_log_is_bounded_in_bytes(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (memory, redis_broker):
        monkeypatch.setattr(module, "MAX_BYTES", 10_000)
    since = await broker.position("r")
    for _ in range(20):
        await broker.publish("r", Frame.event("e", "x" * 1_000))
    with pytest.raises(PositionLost):
        await broker.replay("r", since)


async def test_a_big_frame_comes_whole_and_in_its_place(broker: Broker, listener: Listener) -> None:
    at = await broker.subscribe("r")
    big = Frame.event("big", "x" * 1_000_000, b"y" * 100_000)
    for frame in (_frame(1), big, _frame(2), big, _frame(3)):
        await broker.publish("r", frame)
    await listener.wait_for(5)
    assert [body for _, _, body in listener.got] == [
        _frame(1).body, big.body, _frame(2).body, big.body, _frame(3).body,
    ]  # fmt: skip
    assert [seq for _, seq, _ in listener.got] == [at.seq + n for n in range(1, 6)]
    assert [logged.frame for logged in await broker.replay("r", at)][1] == big


async def test_who_publishes_at_once_gets_sequences_without_gaps(
    broker: Broker, listener: Listener
) -> None:
    at = await broker.subscribe("r")
    places = await asyncio.gather(*(broker.publish("r", _frame(n)) for n in range(500)))
    assert sorted(place.seq for place in places) == [at.seq + n for n in range(1, 501)]
    await listener.wait_for(500)
    assert [seq for _, seq, _ in listener.got] == [at.seq + n for n in range(1, 501)]


async def test_a_room_may_have_any_name(broker: Broker, listener: Listener) -> None:
    for room in ("{a}b", "}{", "a b", "ü:{", "%7B"):
        await broker.subscribe(room)
        await broker.publish(room, _frame(1))
    await listener.wait_for(5)
    assert [room for room, _, _ in listener.got] == ["{a}b", "}{", "a b", "ü:{", "%7B"]


async def test_an_idle_room_is_forgotten_and_comes_back_under_a_new_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "_SWEEP_SECONDS", 0.01)
    broker = MemoryBroker(keep_seconds=0.01)
    listener = Listener()
    await broker.start(listener.deliver, listener.reset)
    before = await broker.publish("r", _frame(1))
    async with asyncio.timeout(10):
        while "r" in broker._rooms:
            await asyncio.sleep(0.01)
    with pytest.raises(PositionLost):
        await broker.replay("r", before)
    await broker.stop()
