"""Replicas come, die and are cleaned up; none depends on a clean shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time

import pytest

from heliograph.cluster import Cluster as OurCluster
from heliograph.cluster import RedisLeases
from heliograph.delivery import Hub, MemoryBroker
from tests.support.bare import until
from tests.support.redis import (
    Cluster,
    RedisServers,
    Sentinel,
    redis_cluster,
    redis_sentinel,
    redis_standalone,
)
from tests.support.replicas import LEASE, Fleet, Member


async def test_a_dead_replica_is_cleaned_up_within_its_lease_once_and_then_forgotten(
    fleet: Fleet,
) -> None:
    first, second, third = [await fleet.member() for _ in range(3)]
    assert set(await first.cluster.replica.ends()) == {first.id, second.id, third.id}
    await asyncio.sleep(LEASE)  # so long a reaper waits, lest it bury all after an outage
    died = time.monotonic()
    await third.die()
    await until(lambda: bool(first.cleaned or second.cleaned))
    assert time.monotonic() - died < LEASE + 2.0
    leases = RedisLeases(first.backplane)
    async with asyncio.timeout(5):
        while third.id in await _to_clean_up(first):
            await asyncio.sleep(0.01)
    assert not await leases.alive(third.id)
    assert first.cleaned + second.cleaned == [third.id]
    assert set(await first.cluster.replica.ends()) == {first.id, second.id}


async def _to_clean_up(member: Member) -> list[str]:
    key = member.backplane.key("replicas", "replicas", "dead")
    return [name.decode() for name in await member.backplane.execute("ZRANGE", key, 0, -1)]


async def test_what_a_replica_leaves_when_it_ends_by_itself_is_cleaned_up_at_once(
    simple_fleet: Fleet,
) -> None:
    first = await simple_fleet.member()
    second = await simple_fleet.member()
    left = second.id
    await second.stack.aclose()
    await until(lambda: bool(first.cleaned + second.cleaned))
    assert first.cleaned == [left]


async def test_a_callback_that_fails_is_called_again_until_it_succeeds(
    simple_fleet: Fleet,
) -> None:
    calls: list[str] = []

    async def broken_twice(dead: str) -> None:
        calls.append(dead)
        if len(calls) < 3:
            raise RuntimeError("the database is away")

    first = await simple_fleet.member()
    first.cluster.reaper.on_dead.append(broken_twice)
    second = await simple_fleet.member(reaps=False)
    await second.stack.aclose()
    await until(lambda: len(calls) == 3)
    assert calls == [second.id] * 3
    assert first.cleaned == [second.id], "one that succeeded is not called again"


async def test_the_death_of_the_reaper_is_noticed_by_the_next(simple_fleet: Fleet) -> None:
    first = await simple_fleet.member()
    await asyncio.sleep(LEASE / 4)  # so that it has the lock
    second = await simple_fleet.member()
    await asyncio.sleep(LEASE)
    await first.die()
    await until(lambda: second.cleaned == [first.id])


async def test_a_reaper_that_loses_its_lock_in_mid_work_stops_and_the_next_does_it_all(
    simple_fleet: Fleet,
) -> None:
    first = await simple_fleet.member()
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(dead: str) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    first.cluster.reaper.on_dead.append(hang)
    await asyncio.sleep(LEASE / 4)  # so that it has the lock
    second = await simple_fleet.member()
    dying = await simple_fleet.member(reaps=False)
    await dying.stack.aclose()
    await began.wait()
    # As if the first had been frozen until its lock ran out.
    await first.backplane.execute("DEL", first.backplane.key("lock", "replicas"))
    await until(cancelled.is_set)
    await until(lambda: second.cleaned == [dying.id] or first.cleaned.count(dying.id) == 2)


async def test_an_old_token_buries_and_forgets_nobody(simple_fleet: Fleet) -> None:
    here = await simple_fleet.member(reaps=False)
    leases = here.cluster._leases
    old = await leases.acquire("replicas", "ann", 30)
    await leases.release("replicas", "ann")
    new = await leases.acquire("replicas", "ben", 30)
    await leases.enlist("x", 30)
    await leases.leave("x")
    assert await leases.bury(here.id, old, LEASE) == []
    await leases.forget("x", old)
    assert await leases.bury(here.id, new, LEASE) == ["x"]
    await leases.forget("x", new)
    assert await leases.bury(here.id, new, LEASE) == []


@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
async def test_a_failover_of_redis_costs_no_replica_its_lease(kind: str, redis_prefix: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        servers: Sentinel | Cluster
        if kind == "sentinel":
            servers = stack.enter_context(redis_sentinel(down_after_ms=500))
        else:
            servers = stack.enter_context(redis_cluster(node_timeout_ms=1000))
        fleet = Fleet(servers, redis_prefix, stack)
        members = [await fleet.member(lease=8) for _ in range(2)]
        ids = [member.id for member in members]
        key = members[0].backplane.key("replicas", "replicas")
        old = servers.master(key)
        with old.client() as direct:
            direct.execute_command("WAIT", 1, 2000)
        old.kill()
        if isinstance(servers, Cluster):
            await asyncio.to_thread(servers.wait_for_failover, old, key)
        else:
            await asyncio.to_thread(servers.wait_for_failover, old)
        ends = await members[0].cluster.replica.ends()
        async with asyncio.timeout(10):
            while not all(
                (now or 0) > (ends[name] or 0)
                for name, now in (await members[0].cluster.replica.ends()).items()
            ):
                await asyncio.sleep(0.05)
        assert [member.id for member in members] == ids
        assert all(member.cluster.replica.leased for member in members)
        assert not any(member.lost or member.cleaned for member in members)


async def test_an_outage_in_which_every_lease_runs_out_buries_nobody(redis_prefix: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        servers = stack.enter_context(redis_standalone())
        fleet = Fleet(servers, redis_prefix, stack)
        members = [await fleet.member() for _ in range(3)]
        ids = [member.id for member in members]
        await asyncio.sleep(LEASE)
        servers.master().stop()
        await until(lambda: not any(member.cluster.replica.leased for member in members))
        await asyncio.sleep(LEASE)
        servers.master().resume()
        await until(lambda: all(member.cluster.replica.leased for member in members))
        await asyncio.sleep(LEASE)
        assert [member.id for member in members] == ids
        assert not any(member.lost or member.cleaned for member in members)


async def test_a_reaper_whose_own_lease_lapsed_gives_the_others_time_to_renew(
    simple_fleet: Fleet,
) -> None:
    leases = RedisLeases((await simple_fleet.member(reaps=False)).backplane)
    token = await leases.acquire("replicas", "the reaper's", 60)
    for name in ("reaper", "slow", "gone"):
        await leases.enlist(name, 0.5)
    await asyncio.sleep(0.6)  # an outage
    assert await leases.renew("reaper", 0.5)
    assert await leases.bury("reaper", token, 0.5) == []
    assert await leases.renew("slow", 60), "it was not buried"
    steady = time.monotonic()
    while not (dead := await leases.bury("reaper", token, 0.5)):
        assert await leases.renew("reaper", 0.5)
        await asyncio.sleep(0.05)
    assert dead == ["gone"]
    assert time.monotonic() - steady > 0.3
    assert not await leases.renew("gone", 60), "the dead stay dead"


async def test_a_replica_whose_redis_lost_its_memory_takes_a_new_id(redis_prefix: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        servers: RedisServers = stack.enter_context(redis_standalone())
        fleet = Fleet(servers, redis_prefix, stack)
        member = await fleet.member()
        old = member.id
        await asyncio.to_thread(servers.master().restart)
        await until(lambda: member.lost == [old])
        assert member.id != old
        assert member.fenced == 1
        assert member.cluster.replica.leased
        assert list(await member.cluster.replica.ends()) == [member.id]
        await until(lambda: member.cleaned == [old])  # what it held elsewhere is cleaned up


async def test_a_callback_of_the_lost_is_called_again_until_it_succeeds(
    redis_prefix: str,
) -> None:
    calls: list[str] = []

    async def broken_once(lost: str) -> None:
        calls.append(lost)
        if len(calls) == 1:
            raise RuntimeError("not yet")

    async with contextlib.AsyncExitStack() as stack:
        servers: RedisServers = stack.enter_context(redis_standalone())
        member = await Fleet(servers, redis_prefix, stack).member()
        member.cluster.replica.on_lost.insert(1, broken_once)
        old = member.id
        servers.master().execute("FLUSHALL")
        await until(lambda: member.lost == [old])
        assert calls == [old, old]


async def test_a_process_frozen_for_longer_than_its_lease_notices_and_says_so(
    simple_fleet: Fleet,
) -> None:
    here = await simple_fleet.member()
    frozen = await simple_fleet.process()
    old = frozen.said[0]["id"]
    await asyncio.sleep(LEASE)
    frozen.signal(signal.SIGSTOP)
    await until(lambda: here.cleaned == [old])
    frozen.signal(signal.SIGCONT)
    lost = await frozen.hear("lost")
    assert (await frozen.hear("fenced"))["leased"] is False
    assert lost["old"] == old
    assert lost["id"] != old
    answer = await here.cluster.peers.request(lost["id"], "echo", {"n": 1}, timeout=5)
    assert answer == {"n": 1}
    await asyncio.sleep(LEASE / 2)
    assert here.cleaned == [old], "it was cleaned up before"


async def test_a_process_frozen_for_a_moment_goes_on(simple_fleet: Fleet) -> None:
    here = await simple_fleet.member()
    frozen = await simple_fleet.process(lease=6)
    name = frozen.said[0]["id"]
    frozen.signal(signal.SIGSTOP)
    await asyncio.sleep(LEASE)
    frozen.signal(signal.SIGCONT)
    assert await here.cluster.peers.request(name, "echo", {"n": 1}, timeout=5) == {"n": 1}
    await asyncio.sleep(LEASE)
    assert here.cleaned == []
    assert await here.cluster.replica.alive(name)


async def test_a_single_process_has_the_same_parts() -> None:
    hub = Hub(MemoryBroker(60))
    await hub.start()
    cluster = OurCluster.over(hub, None)
    async with cluster, cluster.reaper:
        assert cluster.replica.leased
        assert await cluster.replica.alive(cluster.replica.id)
        assert not await cluster.replica.alive("another")
        assert await cluster.replica.ends() == {cluster.replica.id: None}
    await until(lambda: not cluster.replica.leased)
    await hub.stop()
