"""The broker's guarantees. The suite is written against the protocol: a further broker
joins by being added to ``BROKERS``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from heliograph.delivery import Broker, Frame, MemoryBroker, Position, PositionLost, memory

BROKERS: list[Callable[[], Broker]] = [lambda: MemoryBroker(keep_seconds=60)]


class Listener:
    """Collects what a broker delivers."""

    def __init__(self) -> None:
        self.got: list[tuple[str, int | None, str]] = []

    def __call__(self, room: str, seq: int | None, frame: Frame) -> None:
        self.got.append((room, seq, frame.body))


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture(params=BROKERS)
async def broker(request: pytest.FixtureRequest, listener: Listener) -> AsyncIterator[Broker]:
    made: Broker = request.param()
    await made.start(listener)
    yield made
    await made.stop()


def _frame(number: int) -> Frame:
    return Frame.event("e", number)


async def test_a_subscribed_room_gets_its_frames_in_sequence(
    broker: Broker, listener: Listener
) -> None:
    at = await broker.subscribe("r")
    for number in range(3):
        await broker.publish("r", _frame(number))
    assert [seq for _, seq, _ in listener.got] == [at.seq + 1, at.seq + 2, at.seq + 3]


async def test_a_room_that_is_not_subscribed_gets_nothing(
    broker: Broker, listener: Listener
) -> None:
    await broker.subscribe("r")
    await broker.unsubscribe("r")
    await broker.publish("r", _frame(1))
    await broker.publish("s", _frame(1))
    assert listener.got == []


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
    monkeypatch.setattr(memory, "MAX_FRAMES", 5)
    since = await broker.position("r")
    for number in range(6):
        await broker.publish("r", _frame(number))
    with pytest.raises(PositionLost):
        await broker.replay("r", since)
    assert len(await broker.replay("r", Position(since.epoch, since.seq + 1))) == 5


async def test_the_log_is_bounded_in_bytes(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_BYTES", 10_000)
    since = await broker.position("r")
    for _ in range(20):
        await broker.publish("r", Frame.event("e", "x" * 1_000))
    with pytest.raises(PositionLost):
        await broker.replay("r", since)


async def test_an_idle_room_is_forgotten_and_comes_back_under_a_new_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "_SWEEP_SECONDS", 0.01)
    broker = MemoryBroker(keep_seconds=0.01)
    await broker.start(Listener())
    before = await broker.publish("r", _frame(1))
    async with asyncio.timeout(10):
        while "r" in broker._rooms:
            await asyncio.sleep(0.01)
    with pytest.raises(PositionLost):
        await broker.replay("r", before)
    await broker.stop()
