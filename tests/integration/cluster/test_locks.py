"""One holder in the whole fleet, and an order of holders that a freeze cannot reverse."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time

import pytest

from heliograph.cluster import Lock, LockBusy, LockLost, MemoryLeases
from tests.support.redis import redis_standalone
from tests.support.replicas import Fleet


async def test_a_lock_has_one_holder_and_its_token_grows(fleet: Fleet) -> None:
    here, there = await fleet.member(), await fleet.member()
    await _one_holder(here.cluster.lock("w", seconds=5), there.cluster.lock("w", seconds=5))


async def test_a_lock_in_memory_has_one_holder_and_its_token_grows() -> None:
    leases = MemoryLeases()
    await _one_holder(Lock(leases, "w", seconds=lambda: 5), Lock(leases, "w", seconds=lambda: 5))


async def _one_holder(mine: Lock, theirs: Lock) -> None:
    async with mine.hold() as first:
        with pytest.raises(LockBusy):
            async with theirs.hold():
                pass
        waiting = asyncio.create_task(_token(theirs))
        await asyncio.sleep(0.1)
        assert not waiting.done()
    second = await waiting
    async with mine.hold() as third:
        pass
    assert 0 < first < second < third


async def _token(lock: Lock) -> int:
    async with lock.hold(wait=None) as token:
        return token


async def test_an_error_in_the_work_frees_the_lock(simple_fleet: Fleet) -> None:
    lock = (await simple_fleet.member()).cluster.lock("w", seconds=30)
    with pytest.raises(KeyError):
        async with lock.hold():
            raise KeyError
    async with lock.hold():
        pass


async def test_a_lock_that_is_lost_cancels_the_work(simple_fleet: Fleet) -> None:
    here = await simple_fleet.member()
    lock = here.cluster.lock("w", seconds=0.5)
    holding = asyncio.Event()

    async def work() -> str:
        task = asyncio.current_task()
        assert task is not None
        try:
            async with lock.hold():
                holding.set()
                await asyncio.sleep(20)
        except LockLost:
            return f"lost, and cancelled by {task.cancelling()} others"
        return "kept"

    working = asyncio.create_task(work())
    await holding.wait()
    await here.backplane.execute("DEL", here.backplane.key("lock", "w"))
    assert await working == "lost, and cancelled by 0 others"


async def test_the_holders_own_cancellation_stays_one(simple_fleet: Fleet) -> None:
    lock = (await simple_fleet.member()).cluster.lock("w", seconds=30)
    holding = asyncio.Event()

    async def work() -> None:
        async with lock.hold():
            holding.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await holding.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with lock.hold(wait=5):
        pass


async def test_a_lock_is_kept_for_as_long_as_the_work_takes(simple_fleet: Fleet) -> None:
    here = await simple_fleet.member()
    mine, theirs = (here.cluster.lock("w", seconds=0.4) for _ in range(2))
    async with mine.hold():
        until_then = time.monotonic() + 1.2
        while time.monotonic() < until_then:
            with pytest.raises(LockBusy):
                async with theirs.hold():
                    pass
            await asyncio.sleep(0.05)


async def test_one_who_does_not_own_the_lock_cannot_free_it(simple_fleet: Fleet) -> None:
    here = await simple_fleet.member()
    leases = here.cluster._leases
    assert await leases.acquire("w", "ann", 5)
    await leases.release("w", "ben")
    assert not await leases.keep("w", "ben", 5)
    assert await leases.acquire("w", "ben", 5) == 0
    assert await leases.keep("w", "ann", 5)


async def test_asking_again_is_answered_with_the_same_token(simple_fleet: Fleet) -> None:
    leases = (await simple_fleet.member()).cluster._leases
    token = await leases.acquire("w", "ann", 5)
    assert await leases.acquire("w", "ann", 5) == token


async def test_the_token_grows_even_when_redis_forgets(redis_prefix: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        servers = stack.enter_context(redis_standalone())
        here = await Fleet(servers, redis_prefix, stack).member()
        lock = here.cluster.lock("w", seconds=5)
        first = await _token(lock)
        servers.master().execute("FLUSHALL")
        assert await _token(lock) > first


async def test_a_redis_that_hangs_costs_the_lock_and_the_work_is_cancelled(
    redis_prefix: str,
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        servers = stack.enter_context(redis_standalone())
        here = await Fleet(servers, redis_prefix, stack).member()
        held_at = time.monotonic()

        async def work() -> None:
            async with here.cluster.lock("w", seconds=1).hold():
                servers.master().stop()
                try:
                    await asyncio.sleep(20)
                finally:
                    worked = time.monotonic() - held_at
                    servers.master().resume()
                    assert worked < 1.5, "by then somebody else may have it"

        with pytest.raises(LockLost):
            await work()


async def test_a_frozen_holder_is_succeeded_by_one_with_a_greater_token(
    simple_fleet: Fleet,
) -> None:
    here = await simple_fleet.member()
    frozen = await simple_fleet.process()
    frozen.ask("lock")
    theirs = (await frozen.hear("held"))["token"]
    frozen.signal(signal.SIGSTOP)
    async with here.cluster.lock("work", seconds=5).hold(wait=10) as mine:
        assert mine > theirs
        frozen.signal(signal.SIGCONT)
        assert (await frozen.hear("lock lost"))["token"] == theirs
