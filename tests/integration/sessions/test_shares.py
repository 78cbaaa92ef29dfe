"""The figures of the fleet: users and models of all replicas, without those of dead ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from heliograph.sessions import RedisShares
from tests.support.pair import Pair, running_pair
from tests.support.redis import Cluster, Standalone
from tests.support.replicas import Fleet, Member


class Share:
    """A replica's share, and the models it uses."""

    def __init__(self, member: Member, lease: float) -> None:
        self.member = member
        self.uses: dict[str, float] = {}
        self.figures = RedisShares(member.backplane, member.cluster, lease_seconds=lease)

    def use(self, model: str) -> None:
        self.uses[model] = 2.0
        self.figures.used()

    async def die(self) -> None:
        """As by SIGKILL."""
        assert self.figures._writer is not None
        self.figures._writer.cancel()
        await self.member.die()


class Shares:
    """Shares of a fleet on one Redis."""

    def __init__(self, fleet: Fleet, stack: contextlib.AsyncExitStack) -> None:
        self._fleet = fleet
        self._stack = stack

    async def share(self, *, lease: float = 15, reaps: bool = False) -> Share:
        share = Share(await self._fleet.member(reaps=reaps), lease)
        await share.figures.start(lambda: share.uses)
        self._stack.push_async_callback(share.figures.stop)
        return share


@pytest.fixture
async def shares(redis: Standalone, redis_prefix: str) -> AsyncIterator[Shares]:
    async with contextlib.AsyncExitStack() as stack:
        yield Shares(Fleet(redis, redis_prefix, stack), stack)


@pytest.fixture
async def in_cluster(redis_cluster: Cluster, redis_prefix: str) -> AsyncIterator[Shares]:
    async with contextlib.AsyncExitStack() as stack:
        yield Shares(Fleet(redis_cluster, redis_prefix, stack), stack)


async def _becomes(ask: Callable[[], Awaitable[Any]], value: Any, timeout: float = 10) -> None:
    found: Any = None
    try:
        async with asyncio.timeout(timeout):
            while (found := await ask()) != value:
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{value!r} expected, is {found!r}") from None


async def test_a_user_counts_once_on_however_many_replicas(shares: Shares) -> None:
    a, b = await shares.share(), await shares.share()
    for user in ("ann", "ben"):
        a.figures.came(user)
    assert await a.figures.users() == 2
    for user in ("ben", "cat|}", "dan"):
        b.figures.came(user)
    assert await b.figures.users() == 4
    assert await a.figures.users() == 4
    a.figures.went("ben")
    assert await a.figures.users() == 4
    b.figures.went("ben")
    b.figures.went("dan")
    b.figures.came("dan")
    assert await b.figures.users() == 3
    await a.figures.stop()
    assert await b.figures.users() == 2


async def test_changes_reach_the_others_by_themselves(shares: Shares) -> None:
    a, b = await shares.share(), await shares.share()
    a.figures.came("ann")
    await _becomes(b.figures.users, 1)
    a.figures.went("ann")
    await _becomes(b.figures.users, 0)


async def test_users_and_models_of_all_replicas_in_a_cluster(in_cluster: Shares) -> None:
    a, b = await in_cluster.share(lease=1), await in_cluster.share(lease=1)
    a.figures.came("ann")
    b.figures.came("ben")
    a.use("m")
    await _becomes(b.figures.users, 2)
    await _becomes(b.figures.models, {"m"})
    await a.die()
    await _becomes(b.figures.users, 1)
    await _becomes(b.figures.models, set())


async def test_models_in_use_anywhere_are_listed_until_their_lease_ends(shares: Shares) -> None:
    a, b = await shares.share(), await shares.share()
    a.use("m|1")
    b.use("m2")
    assert await a.figures.models() >= {"m|1"}
    await _becomes(a.figures.models, {"m|1", "m2"}, 2)
    await _becomes(b.figures.models, {"m|1", "m2"}, 2)
    await asyncio.sleep(2.3)  # longer than a lease: it is renewed
    assert await b.figures.models() == {"m|1", "m2"}
    a.uses.clear()
    await _becomes(b.figures.models, {"m2"}, 4)


async def test_a_dead_replicas_share_ends_with_its_lease(shares: Shares) -> None:
    a, b = await shares.share(lease=1), await shares.share(lease=1)
    a.figures.came("ann")
    b.figures.came("ben")
    a.use("m")
    assert await a.figures.users() == 2
    await _becomes(b.figures.models, {"m"})
    await a.die()
    await _becomes(b.figures.users, 1, 3)
    await _becomes(b.figures.models, set(), 4)
    await asyncio.sleep(1.2)
    assert await b.figures.users() == 1  # its own is renewed


async def test_a_dead_replicas_share_ends_when_the_reaper_finds_it(shares: Shares) -> None:
    a, b = await shares.share(lease=600), await shares.share(lease=600, reaps=True)
    a.figures.came("ann")
    b.figures.came("ben")
    a.uses["m"] = 600.0
    a.figures.used()
    assert await a.figures.users() == 2
    await _becomes(b.figures.models, {"m"})
    await a.die()
    await _becomes(b.figures.users, 1)
    await _becomes(b.figures.models, set())


async def test_a_share_that_redis_lost_is_written_anew(shares: Shares) -> None:
    a, b = await shares.share(lease=2), await shares.share(lease=2)
    for number in range(50):
        a.figures.came(f"user{number}")
    assert await a.figures.users() == 50
    for key in a.figures._keys:
        await a.member.backplane.execute("DEL", key)
    await _becomes(b.figures.users, 50)
    # A step that is lost is noticed by the next one.
    await a.member.backplane.execute("HSET", a.figures._keys[0], a.member.id, "99999999999999 7")
    await a.member.backplane.execute("DEL", a.figures._keys[1], a.figures._keys[2])
    a.figures.went("user0")
    assert await a.figures.users() == 49


async def test_a_replica_that_was_taken_for_dead_counts_again(shares: Shares) -> None:
    a, b = await shares.share(lease=1), await shares.share(lease=1)
    a.figures.came("ann")
    assert await b.figures.users() <= 1
    await b.figures._died(a.member.id)
    await a.member.cluster.replica._begin_anew()
    await _becomes(b.figures.users, 1)
    share = await b.member.backplane.execute("HKEYS", a.figures._keys[0])
    assert a.member.id.encode() in share


async def test_ten_thousand_users_cost_nothing_while_they_stay(shares: Shares) -> None:
    a = await shares.share(lease=1)
    for number in range(10_000):
        a.figures.came(f"user{number}")
    assert await a.figures.users() == 10_000
    sent: list[int] = []
    call = a.member.backplane.call

    def counted(function: str, keys: Any, args: Any = (), **more: Any) -> Any:
        sent.append(len(args))
        return call(function, keys, args, **more)

    a.member.backplane.call = counted  # type: ignore[method-assign]
    await asyncio.sleep(2.2)
    assert await a.figures.users() == 10_000
    assert sum(sent) < 100


@pytest.fixture
async def pair(
    postgres: str, redis: Standalone, redis_prefix: str, tmp_path: Path
) -> AsyncIterator[Pair]:
    """Two servers that are one."""
    async with running_pair(postgres, redis, redis_prefix, tmp_path) as running:
        yield running


async def test_servers_tell_the_usage_of_all_and_drain_for_themselves(pair: Pair) -> None:
    ann, ann_at_b = await pair.both("ann")
    _, ben_at_b = await pair.both("ben")
    at_a, at_b, bens = await ann.connect(), await ann_at_b.connect(), await ben_at_b.connect()

    async def usage(person: Any) -> Any:
        return (await person.http.get("/api/usage")).json()

    async def users() -> Any:
        return (await usage(ben_at_b))["user_count"]

    for model, socket, person in (("one", at_a, ben_at_b), ("two", bens, ann)):
        await socket.call("usage", {"model": model})
        async with asyncio.timeout(2):
            while model not in (await usage(person))["model_ids"]:
                await asyncio.sleep(0.02)
    await _becomes(users, 2)
    await pair.a.application.drain()
    assert 200 <= (await at_a.expect("server:draining"))["reconnect_in_ms"] <= 1000
    await asyncio.wait_for(at_a.disconnected.wait(), 10)
    assert await users() == 2  # ann is connected at the other one, too
    await at_b.disconnect()
    await _becomes(users, 1)
    assert at_b.events("server:draining") == []
