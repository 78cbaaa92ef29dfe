"""Sessions move between replicas: nothing is lost, nothing comes twice, and only one has them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from heliograph.backplane import Backplane
from heliograph.delivery import RedisSessionRecords, Session
from tests.support.backplane import open_backplane
from tests.support.bare import Bare, Processes, Run, bare_server, until
from tests.support.raw import Raw
from tests.support.redis import Cluster


def _endings(bare: Bare) -> list[tuple[str, str]]:
    said: list[tuple[str, str]] = []
    bare.lifecycle.on_ended.append(lambda session: said.append(("ended", session.sid)))
    bare.lifecycle.on_moved.append(lambda session: said.append(("moved", session.sid)))
    return said


def _backplane(bare: Bare) -> Backplane:
    assert isinstance(bare.records, RedisSessionRecords)
    return bare.records._backplane


async def _record(bare: Bare, sid: str) -> dict[str, bytes]:
    key = _backplane(bare).key("session_pool", sid)
    found: dict[bytes, bytes] = await _backplane(bare).execute("HGETALL", key)
    return {name.decode(): value for name, value in found.items()}


async def _call(ann: Raw, event: str, payload: Any) -> None:
    """Send an event and wait for its ack."""
    await ann.ws.send("421" + json.dumps([event, payload]))
    while not str(await asyncio.wait_for(ann.ws.recv(), 10)).startswith("431"):
        pass


async def test_a_session_moves_to_the_replica_its_client_comes_to(a: Bare, b: Bare) -> None:
    said = _endings(a)
    ann = Raw(a)
    await ann.connect()
    session = a.hub.sessions[ann.sid]
    await a.hub.join(session, "channel:c", "doc_d")
    await a.hub.publish("channel:c", "e", 0)
    await ann.read(1)
    await ann.cut()
    await until(lambda: not session.attached)
    for number in range(1, 100):
        await a.hub.publish("channel:c", "e", number)
    ann.go_to(b)
    assert await ann.back()
    assert await ann.read(99) == list(range(1, 100))
    assert said == [("moved", ann.sid)]
    assert not a.hub.sessions
    moved = b.hub.sessions[ann.sid]
    assert set(moved.positions) == {"user:ann", "everyone", "channel:c", "doc_d"}
    await a.hub.publish("doc_d", "e", 100)
    assert await ann.read(1) == [100]
    await until(lambda: not any(map(list, (a.hub.members(room) for room in moved.positions))))
    # And back again, with rooms that only the second one knew of.
    await b.hub.join(moved, "channel:x")
    b.hub.leave(moved, "doc_d")
    await b.hub.publish("channel:x", "e", 101)
    assert await ann.read(1) == [101]
    await ann.cut()
    await a.hub.publish("channel:x", "e", 102)
    ann.go_to(a)
    assert await ann.back()
    assert await ann.read(1) == [102]
    assert set(a.hub.sessions[ann.sid].positions) == {
        "user:ann", "everyone", "channel:c", "channel:x",
    }  # fmt: skip


async def test_sessions_move_in_a_cluster_whose_masters_share_them(
    redis_cluster: Cluster, redis_prefix: str
) -> None:
    async with (
        open_backplane(redis_cluster, redis_prefix) as first,
        open_backplane(redis_cluster, redis_prefix) as second,
        bare_server(backplane=first) as one,
        bare_server(backplane=second) as two,
    ):
        clients = [Raw(one, f"user{number}") for number in range(10)]
        for client in clients:
            await client.connect()
            await one.hub.join(one.hub.sessions[client.sid], "channel:c", "channel:d")
            await client.cut()
            client.go_to(two)
        await one.hub.publish("channel:c", "e", 1)
        await two.hub.publish("channel:d", "e", 2)
        assert all(await asyncio.gather(*(client.back() for client in clients)))
        for client in clients:
            assert sorted(await client.read(2)) == [1, 2]
        await until(lambda: not one.hub.sessions)


async def test_a_transport_that_still_lives_at_the_old_replica_is_closed(a: Bare, b: Bare) -> None:
    ann = Raw(a)
    await ann.connect()
    old = ann.ws
    ann.go_to(b)
    assert await ann.back()
    with pytest.raises(ConnectionClosed, match="taken_over"):
        await asyncio.wait_for(old.recv(), 10)
    await b.hub.publish("user:ann", "e", 1)
    assert await ann.read(1) == [1]


async def test_what_a_user_lost_while_away_is_not_replayed_elsewhere(a: Bare, b: Bare) -> None:
    ann = Raw(a)
    await ann.connect()
    await a.hub.join(a.hub.sessions[ann.sid], "channel:c")
    await ann.cut()
    await b.hub.publish("channel:c", "e", 1)
    await b.hub.expel("ann", "channel:c")
    await b.hub.publish("channel:c", "e", "secret")
    await b.hub.admit("ann", "channel:d")
    await b.hub.publish("channel:d", "e", 2)
    ann.go_to(b)
    assert await ann.back()
    assert sorted(await ann.read(2)) == [1, 2]
    assert set(b.hub.sessions[ann.sid].positions) == {"user:ann", "everyone", "channel:d"}
    await until(lambda: b.hub.sessions[ann.sid].live)
    await b.hub.publish("channel:c", "e", "secret")
    await b.hub.publish("user:ann", "e", 3)
    assert await ann.read(1) == [3]


async def test_a_session_of_a_killed_replica_recovers_elsewhere(
    a: Bare, process: Processes
) -> None:
    async with process() as killed:
        ann = Raw(killed.url)
        await ann.connect()
        await _call(ann, "join", ["channel:c", "channel:d"])
        await a.hub.publish("channel:c", "e", 0)
        await ann.read(1)
        await _call(ann, "leave", "channel:d")
        await _call(ann, "join", ["channel:x"])
        killed.signal(signal.SIGKILL)  # right after the acknowledgement
        for number in (1, 2, 3):
            await a.hub.publish("channel:x", "e", number)
        ann.go_to(a)
        started = asyncio.get_running_loop().time()
        assert await ann.back()
        assert asyncio.get_running_loop().time() - started < 3
        assert await ann.read(3) == [1, 2, 3]
        rooms = {"user:ann", "everyone", "channel:c", "channel:x"}
        assert set(a.hub.sessions[ann.sid].positions) == rooms


async def test_a_frozen_replica_finds_out_that_it_lost_its_sessions(
    a: Bare, process: Processes
) -> None:
    async with process() as frozen:
        ann, ben = Raw(frozen.url), Raw(frozen.url, "ben")
        await ann.connect()
        await ben.connect()
        frozen.signal(signal.SIGSTOP)
        old = ann.ws
        ann.go_to(a)
        assert await ann.back()
        await a.hub.publish("user:ann", "e", 1)
        assert await ann.read(1) == [1]
        frozen.signal(signal.SIGCONT)
        with contextlib.suppress(ConnectionClosed):
            while True:  # it may write what it has before it knows
                await asyncio.wait_for(old.recv(), 10)
        assert "taken_over" in str(old.close_reason)
        await until(lambda: frozen.sids("moved") == [ann.sid])
        await a.hub.publish("user:ben", "e", 2)
        assert await ben.read(1) == [2]
        assert frozen.sids("ended") == []
        await a.hub.publish("user:ann", "e", 3)
        assert await ann.read(1) == [3]


async def test_a_frozen_replica_does_not_end_what_is_another_ones(
    a: Bare, process: Processes
) -> None:
    async with process(connection_recovery_seconds=2) as frozen:
        ann = Raw(frozen.url)
        await ann.connect()
        await ann.cut()
        await asyncio.sleep(0.1)  # so that it notices, and its clock runs
        frozen.signal(signal.SIGSTOP)
        ann.go_to(a)
        assert await ann.back()
        await asyncio.sleep(2.5)  # its time for the client to return runs out
        frozen.signal(signal.SIGCONT)
        await until(lambda: frozen.sids("moved") == [ann.sid])
        assert frozen.sids("ended") == []
        assert (await _record(a, ann.sid))["owner"].decode() == a.cluster.replica.id


async def test_a_former_owner_does_not_bring_back_what_ended(a: Bare, process: Processes) -> None:
    async with process() as frozen:
        ann = Raw(frozen.url)
        await ann.connect()
        frozen.signal(signal.SIGSTOP)
        ann.go_to(a)
        assert await ann.back()
        await ann.ws.send("41")
        await until(lambda: not a.hub.sessions)
        frozen.signal(signal.SIGCONT)
        await until(lambda: frozen.sids("moved") == [ann.sid])
        assert await a.records.find(ann.sid, "ann") is None
        assert not await ann.back()


async def test_of_two_clients_with_one_pid_at_two_replicas_one_has_the_session(
    a: Bare, b: Bare, replica: Run
) -> None:
    async with replica() as third:
        ann = Raw(third)
        await ann.connect()
        await ann.cut()
        for turn in range(5):
            clients = [Raw(a), Raw(b), Raw(a), Raw(b)]
            for client in clients:
                client.pid = ann.pid
            tried = await asyncio.gather(
                *(client.back() for client in clients), return_exceptions=True
            )
            # Somebody got it last; who got it before was closed, maybe before it was told.
            assert all(result is True or isinstance(result, Exception) for result in tried)
            await until(lambda: len(a.hub.sessions) + len(b.hub.sessions) == 1)
            owner = a if a.hub.sessions else b
            [session] = owner.hub.sessions.values()
            await until(lambda: session.live)  # noqa: B023
            await a.hub.publish("user:ann", "e", turn)
            results = await asyncio.gather(
                *(client.read(turn + 1) for client in clients), return_exceptions=True
            )
            assert results.count(list(range(turn + 1))) == 1
            record = await _record(a, session.sid)
            assert record["owner"].decode() == owner.cluster.replica.id


async def test_another_users_token_recovers_nothing_elsewhere(a: Bare, b: Bare) -> None:
    ann = Raw(a)
    await ann.connect()
    sid = ann.sid
    await ann.cut()
    eve = Raw(b, "eve")
    eve.pid = ann.pid
    assert not await eve.back()
    eve.pid = f"{sid}~guessed"
    assert not await eve.back()
    ann.go_to(b)
    assert await ann.back()
    assert ann.sid == sid


@pytest.mark.parametrize("offset", ["2zz", "22~0.zzzzzzzz", "garbage"])
async def test_a_wrong_offset_ends_the_session_elsewhere_too(a: Bare, b: Bare, offset: str) -> None:
    said = _endings(b)
    ann = Raw(a)
    await ann.connect()
    sid = ann.sid
    await ann.cut()
    ann.go_to(b)
    assert not await ann.back(offset=offset)
    assert await a.records.find(sid, "ann") is None
    assert said == [("ended", sid)]
    assert list(b.hub.sessions) == [ann.sid]


async def test_a_record_that_lacks_a_change_of_rooms_proves_nothing(a: Bare, b: Bare) -> None:
    ann = Raw(a)
    await ann.connect()
    before = await _record(a, ann.sid)
    await a.hub.join(a.hub.sessions[ann.sid], "channel:c")
    await a.hub.publish("user:ann", "e", 1)
    await ann.read(1)
    await ann.cut()
    await until(lambda: not a.hub.sessions[ann.sid].attached)
    a.records.drop(a.hub.sessions[ann.sid])  # else it would be written once more
    key = _backplane(a).key("session_pool", ann.sid)
    fields = [part for field in before.items() for part in field]
    await _backplane(a).execute("HSET", key, *fields)
    ann.go_to(b)
    assert not await ann.back()


async def test_a_record_lives_for_the_recovery_time_and_not_for_ever(replica: Run) -> None:
    async with replica(recovery_seconds=60, renew_every=0.5) as bare:
        ann = Raw(bare)
        await ann.connect()
        key = _backplane(bare).key("session_pool", ann.sid)
        execute = _backplane(bare).execute
        first = await execute("PTTL", key)
        assert 60_000 < first <= 61_500
        await execute("PEXPIRE", key, 10_000)
        async with asyncio.timeout(10):
            while await execute("PTTL", key) < 60_000:
                await asyncio.sleep(0.05)
        await ann.ws.send("41")
        await until(lambda: not bare.hub.sessions)
        assert await execute("EXISTS", key) == 0


async def test_a_record_that_redis_lost_is_written_again(replica: Run) -> None:
    async with replica(renew_every=0.2) as bare, replica() as other:
        ann = Raw(bare)
        await ann.connect()
        await _backplane(bare).execute("DEL", _backplane(bare).key("session_pool", ann.sid))
        async with asyncio.timeout(10):
            while not await _record(other, ann.sid):
                await asyncio.sleep(0.05)
        ann.go_to(other)
        assert await ann.back()


async def test_a_session_outlives_the_name_of_its_replica(replica: Run) -> None:
    async with replica(renew_every=0.2) as bare, replica() as other:
        ann = Raw(bare)
        await ann.connect()
        session: Session = bare.hub.sessions[ann.sid]

        async def owned() -> bool:
            return (await _record(other, ann.sid))["owner"].decode() == bare.cluster.replica.id

        await bare.cluster.replica._begin_anew()  # as when it was taken for dead
        assert not await owned()
        async with asyncio.timeout(10):
            while not await owned():
                await asyncio.sleep(0.05)
        await bare.cluster.replica._begin_anew()
        await ann.cut()
        await until(lambda: not session.attached)
        assert await ann.back()
        assert bare.hub.sessions[ann.sid] is session
        assert await owned()


async def test_hundreds_of_sessions_of_a_killed_replica_recover_at_once(
    a: Bare, b: Bare, process: Processes
) -> None:
    async with process() as killed:
        clients = [Raw(killed.url, f"user{number}") for number in range(200)]
        await asyncio.gather(*(client.connect() for client in clients))
        await asyncio.gather(*(_call(client, "join", ["channel:c"]) for client in clients))
        await a.hub.publish("channel:c", "e", 0)
        assert await asyncio.gather(*(client.read(1) for client in clients)) == [[0]] * 200
        killed.signal(signal.SIGKILL)
        for number in range(1, 20):
            await a.hub.publish("channel:c", "e", number)
        for number, client in enumerate(clients):
            client.go_to(a if number % 2 else b)
        started = asyncio.get_running_loop().time()
        assert all(await asyncio.gather(*(client.back() for client in clients)))
        took = asyncio.get_running_loop().time() - started
        await b.hub.publish("channel:c", "e", 20)
        got = await asyncio.gather(*(client.read(20) for client in clients))
        assert got == [list(range(1, 21))] * 200
        assert took < 15, took
