"""Redis dies, hangs, moves its slots, loses its connections: what was acknowledged arrives.

A publisher and a subscriber with backplanes of their own; the publisher counts up in a few
rooms for as long as the fault and its repair take. Checked: every acknowledged number
arrives once, in order, with contiguous sequences.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import orjson
import pytest

from heliograph.backplane import Backplane
from heliograph.delivery import Frame, Position, PositionLost, RedisBroker
from heliograph.errors import Unavailable
from tests.support.backplane import open_backplane
from tests.support.bare import until
from tests.support.cutproxy import CutProxy
from tests.support.redis import (
    Cluster,
    Sentinel,
    Standalone,
    redis_sentinel,
    redis_standalone,
)
from tests.support.redis import (
    redis_cluster as a_cluster,
)

ROOMS = [f"room-{number}" for number in range(6)]


@dataclass
class Checker:
    """Publishes into rooms, and records what arrives."""

    sender: RedisBroker
    acknowledged: dict[str, list[int]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    got: dict[str, list[int]] = field(default_factory=dict)
    seqs: dict[str, list[int]] = field(default_factory=dict)
    resets: list[str] = field(default_factory=list)
    stopping: bool = False

    def deliver(self, room: str, seq: int | None, frame: Frame) -> None:
        number = orjson.loads(frame.body + "]")[1]
        assert seq is not None
        self.got.setdefault(room, []).append(number)
        self.seqs.setdefault(room, []).append(seq)

    def reset(self, room: str, position: Position) -> None:
        self.resets.append(room)
        self.seqs[room] = []  # those of another log

    async def publish(self, room: str) -> None:
        number = 0
        while not self.stopping:
            number += 1
            try:
                await self.sender.publish(room, Frame.event("n", number))
            except Unavailable as error:
                self.refused.append(str(error))
            else:
                self.acknowledged.setdefault(room, []).append(number)
            await asyncio.sleep(0.002)

    def grown(self) -> Callable[[], bool]:
        """A condition: every room got 20 more than now."""
        before = {room: len(self.got.get(room, ())) for room in ROOMS}
        return lambda: all(len(self.got.get(room, ())) >= before[room] + 20 for room in ROOMS)

    def check(self, *, lossless: bool = True) -> None:
        for room in ROOMS:
            got = self.got[room]
            assert got == sorted(set(got)), f"{room}: out of order, or twice"
            seqs = self.seqs[room]
            assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), f"{room}: a gap"
            if lossless:
                lost = set(self.acknowledged[room]) - set(got)
                assert not lost, f"{room}: acknowledged and lost: {sorted(lost)}"


@contextlib.asynccontextmanager
async def checked(sender: Backplane, receiver: Backplane) -> AsyncIterator[Checker]:
    """Traffic from one backplane to the other, while the block breaks things."""
    publisher, subscriber = RedisBroker(sender, 60), RedisBroker(receiver, 60)
    checker = Checker(publisher)
    await publisher.start(lambda *_: None, lambda *_: None)
    await subscriber.start(checker.deliver, checker.reset)
    for room in ROOMS:
        await subscriber.subscribe(room)
    async with asyncio.TaskGroup() as group:
        for room in ROOMS:
            group.create_task(checker.publish(room))
        await until(checker.grown())
        try:
            yield checker
            await until(checker.grown(), timeout=30)
        finally:
            checker.stopping = True
    await until(
        lambda: all(checker.got[room][-1] >= checker.acknowledged[room][-1] for room in ROOMS)
    )
    await publisher.stop()
    await subscriber.stop()


Fault = Callable[[Sentinel], Awaitable[None]]


async def _kill(servers: Sentinel) -> None:
    old = servers.master()
    old.kill()
    await asyncio.to_thread(servers.wait_for_failover, old)


async def _hang(servers: Sentinel) -> None:
    old = servers.master()
    old.stop()
    try:
        await asyncio.to_thread(servers.wait_for_failover, old)
    finally:
        old.resume()


async def _hand_over(servers: Sentinel) -> None:
    old = servers.master()
    await asyncio.to_thread(servers.failover)
    await asyncio.to_thread(servers.wait_for_failover, old)


@pytest.mark.parametrize("fault", [_kill, _hang, _hand_over])
@pytest.mark.parametrize("durability", ["memory", "replicated"])
async def test_a_master_under_sentinel_is_replaced(
    fault: Fault, durability: str, redis_prefix: str
) -> None:
    with redis_sentinel() as servers:
        async with (
            open_backplane(servers, redis_prefix, delivery_durability=durability) as sender,
            open_backplane(servers, redis_prefix, delivery_durability=durability) as receiver,
        ):
            async with checked(sender, receiver) as checker:
                await fault(servers)
            checker.check(lossless=durability == "replicated")
            assert not checker.refused
            if durability == "replicated":
                assert not checker.resets
            else:
                assert checker.resets, "a log whose end may be lost is another log"


async def test_a_master_of_a_cluster_is_replaced(redis_cluster: Cluster, redis_prefix: str) -> None:
    async with (
        open_backplane(redis_cluster, redis_prefix, delivery_durability="replicated") as sender,
        open_backplane(redis_cluster, redis_prefix, delivery_durability="replicated") as receiver,
    ):
        async with checked(sender, receiver) as checker:
            old = redis_cluster.master()
            old.stop()
            try:
                await asyncio.to_thread(redis_cluster.wait_for_failover, old)
            finally:
                old.resume()
        checker.check()
        assert not checker.refused


async def test_a_master_that_has_no_replica_left_goes_on_alone(redis_prefix: str) -> None:
    with a_cluster() as servers:
        changes = {"delivery_durability": "replicated"}
        async with (
            open_backplane(servers, redis_prefix, **changes) as sender,
            open_backplane(servers, redis_prefix, **changes) as receiver,
        ):
            async with checked(sender, receiver) as checker:
                old = servers.master(sender.key("room", ROOMS[0]))
                old.kill()
                await asyncio.to_thread(servers.wait_for_failover, old)
            checker.check()
            assert not checker.refused
            assert not checker.resets


async def test_slots_move_to_another_master(redis_cluster: Cluster, redis_prefix: str) -> None:
    async with (
        open_backplane(redis_cluster, redis_prefix) as sender,
        open_backplane(redis_cluster, redis_prefix) as receiver,
    ):
        async with checked(sender, receiver) as checker:
            slots = {sender.slot(sender.key("room", room)) for room in ROOMS}
            owners = {redis_cluster.master(sender.key("room", room)) for room in ROOMS}
            assert len(owners) > 1
            target = redis_cluster.masters()[0]
            await asyncio.to_thread(redis_cluster.move_slots, slots, target)
        checker.check(lossless=False)
        assert not checker.refused


@pytest.mark.parametrize("side", ["sender", "receiver"])
@pytest.mark.parametrize("fault", ["cut", "blackhole"])
async def test_a_connection_to_redis_breaks(
    side: str, fault: str, redis: Standalone, redis_prefix: str
) -> None:
    async with CutProxy(redis.nodes[0].port) as proxy:
        through = {"websocket_redis_url": f"redis://{proxy.address}/0", "redis_socket_timeout": 0.5}
        changes = {name: through if name == side else {} for name in ("sender", "receiver")}
        async with (
            open_backplane(redis, redis_prefix, **changes["sender"]) as sender,
            open_backplane(redis, redis_prefix, **changes["receiver"]) as receiver,
        ):
            broken = sender if side == "sender" else receiver
            async with checked(sender, receiver) as checker:
                proxy.cut() if fault == "cut" else proxy.blackhole()
                await until(lambda: not broken.available)
                assert broken.why_unavailable
                proxy.resume()
                await until(lambda: broken.available)
            checker.check()
            assert not checker.refused
            assert not checker.resets


async def test_a_publish_fails_after_its_deadline_and_works_again_by_itself(
    redis_prefix: str,
) -> None:
    with redis_standalone() as servers:
        async with open_backplane(
            servers, redis_prefix, delivery_deadline_seconds=1, redis_socket_timeout=0.5
        ) as backplane:
            broker = RedisBroker(backplane, 60)
            got: list[str] = []
            await broker.start(lambda room, _seq, _frame: got.append(room), lambda *_: None)
            before = await broker.subscribe("r")
            servers.nodes[0].stop()
            with pytest.raises(Unavailable, match="in time"):
                await broker.publish("r", Frame.event("n", 1))
            assert not backplane.available
            servers.nodes[0].resume()
            await broker.publish("r", Frame.event("n", 2))
            await until(lambda: bool(got))
            assert (await broker.position("r")).epoch == before.epoch
            await broker.stop()


async def test_a_redis_that_lost_everything_is_said(redis_prefix: str) -> None:
    with redis_standalone() as servers:
        async with open_backplane(servers, redis_prefix) as backplane:
            broker = RedisBroker(backplane, 60)
            resets: list[str] = []
            got: list[int | None] = []
            await broker.start(
                lambda _room, seq, _frame: got.append(seq), lambda room, _: resets.append(room)
            )
            await broker.subscribe("r")
            before = await broker.publish("r", Frame.event("n", 1))
            await until(lambda: len(got) == 1)
            servers.nodes[0].kill()
            servers.nodes[0].restart()
            await until(lambda: resets == ["r"], timeout=20)
            with pytest.raises(PositionLost):
                await broker.replay("r", before)
            await broker.publish("r", Frame.event("n", 2))
            await until(lambda: len(got) == 2)
            await broker.stop()
