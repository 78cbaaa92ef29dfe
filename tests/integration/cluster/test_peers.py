"""Requests from one replica to another: answered, or failed, and never both too late."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Any

import pytest

from heliograph.cluster import Cluster, PeerGone
from heliograph.delivery import Hub, MemoryBroker
from heliograph.errors import Forbidden, HeliographError, Unavailable
from tests.support.bare import until
from tests.support.cutproxy import CutProxy
from tests.support.redis import Standalone, redis_standalone
from tests.support.replicas import LEASE, Behind, Fleet, Member


async def _double(data: dict[str, Any]) -> Any:
    return {"n": data["n"] * 2, "raw": data["raw"] + b"!"}


async def test_a_request_brings_the_answer_of_the_other_replica(fleet: Fleet) -> None:
    here, there = await fleet.member(), await fleet.member()
    for member in (here, there):
        member.cluster.peers.serve("double", _double)
    for asked in (there.id, here.id):
        data = {"n": 21, "raw": b"\x00\xff"}
        answer = await here.cluster.peers.request(asked, "double", data, timeout=5)
        assert answer == {"n": 42, "raw": b"\x00\xff!"}
    many = await asyncio.gather(
        *(
            here.cluster.peers.request(there.id, "double", {"n": n, "raw": b""}, timeout=5)
            for n in range(200)
        )
    )
    assert [answer["n"] for answer in many] == [2 * n for n in range(200)]


async def test_a_refusal_is_raised_where_the_request_came_from(simple_fleet: Fleet) -> None:
    async def refuse(data: dict[str, Any]) -> Any:
        raise Forbidden("not yours", path="data.id")

    async def break_down(data: dict[str, Any]) -> Any:
        raise RuntimeError("a secret of the server")

    here, there = await simple_fleet.member(), await simple_fleet.member()
    there.cluster.peers.serve("refuse", refuse)
    there.cluster.peers.serve("break", break_down)

    async def error_of(op: str) -> dict[str, Any]:
        with pytest.raises(HeliographError) as caught:
            await here.cluster.peers.request(there.id, op, {}, timeout=5)
        return {**caught.value.as_dict(), "status": caught.value.status}

    assert await error_of("refuse") == {
        "code": "forbidden", "message": "not yours", "path": "data.id", "status": 403,
    }  # fmt: skip
    broken = await error_of("break")
    assert broken["code"] == "internal"
    assert "secret" not in broken["message"]
    assert (await error_of("of another version"))["code"] == "unknown_op"


async def test_a_request_that_takes_too_long_fails(simple_fleet: Fleet) -> None:
    async def dawdle(data: dict[str, Any]) -> Any:
        await asyncio.Event().wait()

    here, there = await simple_fleet.member(), await simple_fleet.member()
    for member in (here, there):
        member.cluster.peers.serve("dawdle", dawdle)
        with pytest.raises(Unavailable) as caught:
            await here.cluster.peers.request(member.id, "dawdle", {}, timeout=0.2)
        assert caught.value.code == "peer_timeout"


async def test_a_request_to_the_dead_fails_at_once(simple_fleet: Fleet) -> None:
    here = await simple_fleet.member()
    for nobody in ("never-was", await _one_that_left(simple_fleet)):
        with pytest.raises(PeerGone):
            await here.cluster.peers.request(nobody, "double", {}, timeout=30)


async def _one_that_left(fleet: Fleet) -> str:
    member = await fleet.member()
    await member.stack.aclose()
    return member.id


@pytest.mark.parametrize("reaped", [True, False])
async def test_a_request_fails_when_the_other_dies_before_it_answers(
    simple_fleet: Fleet, reaped: bool
) -> None:
    here = await simple_fleet.member(reaps=reaped)
    there = await simple_fleet.member(reaps=False)
    called = asyncio.Event()

    async def never(data: dict[str, Any]) -> Any:
        called.set()
        await asyncio.Event().wait()

    there.cluster.peers.serve("never", never)
    asking = asyncio.create_task(here.cluster.peers.request(there.id, "never", {}, timeout=60))
    await called.wait()
    await there.die()
    async with asyncio.timeout(LEASE + 4):
        with pytest.raises(PeerGone):
            await asking


async def test_something_told_is_carried_out_and_failures_are_not_the_tellers(
    simple_fleet: Fleet,
) -> None:
    here, there = await simple_fleet.member(), await simple_fleet.member()
    told: list[int] = []

    async def hear(data: dict[str, Any]) -> Any:
        told.append(data["n"])
        raise Forbidden("no")

    for member in (here, there):
        member.cluster.peers.serve("hear", hear)
    here.cluster.peers.tell(there.id, "hear", {"n": 1})
    here.cluster.peers.tell(here.id, "hear", {"n": 2})
    here.cluster.peers.tell("never-was", "hear", {"n": 3})
    await until(lambda: sorted(told) == [1, 2])


async def test_a_line_that_is_cut_for_a_moment_loses_no_request(redis_prefix: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        servers: Standalone = stack.enter_context(redis_standalone())
        proxy = await stack.enter_async_context(CutProxy(servers.nodes[0].port))
        fleet = Fleet(servers, redis_prefix, stack)
        here = await fleet.member(lease=10)
        there = await fleet.member(lease=10, servers=Behind(servers, proxy))
        there.cluster.peers.serve("double", _double)
        proxy.cut()
        asking = [_ask(here, there, n) for n in range(20)]
        waiting = asyncio.gather(*asking)
        await asyncio.sleep(0.3)
        proxy.resume()
        assert await waiting == [2 * n for n in range(20)]


async def _ask(here: Member, there: Member, n: int) -> int:
    data = {"n": n, "raw": b""}
    answer = await here.cluster.peers.request(there.id, "double", data, timeout=10)
    return int(answer["n"])


async def test_a_frozen_replica_does_not_carry_out_what_was_given_up(simple_fleet: Fleet) -> None:
    here = await simple_fleet.member()
    frozen = await simple_fleet.process()
    old = frozen.said[0]["id"]
    await asyncio.sleep(LEASE)
    frozen.signal(signal.SIGSTOP)
    with pytest.raises(PeerGone):
        await here.cluster.peers.request(old, "echo", {"n": "stale"}, timeout=20)
    await until(lambda: here.cleaned == [old])
    frozen.signal(signal.SIGCONT)
    new = (await frozen.hear("lost"))["id"]
    await here.cluster.peers.request(new, "echo", {"n": "fresh"}, timeout=5)
    assert (await frozen.hear("echo"))["data"]["n"] == "fresh", "the first that it carried out"
    with pytest.raises(PeerGone):
        await here.cluster.peers.request(old, "echo", {"n": "stale"}, timeout=20)


async def test_what_a_lost_replica_was_waiting_for_fails_and_it_is_reached_by_its_new_name(
    redis_prefix: str,
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        servers: Standalone = stack.enter_context(redis_standalone())
        fleet = Fleet(servers, redis_prefix, stack)
        here, there = await fleet.member(), await fleet.member()
        called = asyncio.Event()

        async def never(data: dict[str, Any]) -> Any:
            called.set()
            await asyncio.Event().wait()

        there.cluster.peers.serve("never", never)
        here.cluster.peers.serve("double", _double)
        asking = asyncio.create_task(here.cluster.peers.request(there.id, "never", {}, timeout=60))
        await called.wait()
        old = here.id
        servers.master().execute("ZREM", here.backplane.key("replicas", "replicas"), old)
        with pytest.raises(Unavailable, match="try again"):
            await asking
        await until(lambda: here.lost == [old])
        assert await _ask(there, here, 4) == 8


async def test_a_single_process_asks_itself_and_knows_nobody_else() -> None:
    hub = Hub(MemoryBroker(60))
    await hub.start()
    async with Cluster.over(hub, None) as cluster:
        cluster.peers.serve("double", _double)
        data = {"n": 1, "raw": b""}
        me = cluster.replica.id
        assert (await cluster.peers.request(me, "double", data, timeout=5))["n"] == 2
        with pytest.raises(PeerGone):
            await cluster.peers.request("another", "double", data, timeout=5)
    await hub.stop()
