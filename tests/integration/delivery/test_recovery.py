"""Connection state recovery: what was missed comes once and in order, or is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from heliograph.delivery import MemoryBroker, memory, redis_broker
from tests.support.bare import Bare, Run, bare_server, until
from tests.support.raw import Raw


async def _detached(bare: Bare) -> None:
    await until(lambda: all(not s.attached for s in bare.hub.sessions.values()))


async def test_missed_events_of_all_rooms_are_replayed_in_order(run: Run) -> None:
    async with run() as bare:
        ann = Raw(bare)
        await ann.connect()
        await bare.hub.join(bare.hub.sessions[ann.sid], "channel:c")
        await bare.hub.publish("user:ann", "e", 0)
        await bare.hub.publish("channel:c", "e", 1)
        assert sorted(await ann.read(2)) == [0, 1]
        await ann.cut()
        await _detached(bare)
        for number in range(2, 1_000):
            await bare.hub.publish("channel:c" if number % 3 else "user:ann", "e", number)
        assert await ann.back()
        got = await ann.read(998)
        for third in (True, False):  # order is kept in each room, about so between them
            of_room = [number for number in got if bool(number % 3) is third]
            assert of_room == [n for n in range(2, 1_000) if bool(n % 3) is third]
        await bare.hub.publish("channel:c", "e", 1_000)
        assert await ann.read(1) == [1_000]


async def test_a_client_without_any_event_before_recovers(run: Run) -> None:
    async with run() as bare:
        ann = Raw(bare)
        await ann.connect()
        sid = ann.sid
        await ann.cut()
        await _detached(bare)
        await bare.hub.publish("user:ann", "e", 1)
        assert await ann.back()
        assert ann.sid == sid
        assert await ann.read(1) == [1]


async def test_it_recovers_again_and_again(run: Run) -> None:
    async with run() as bare:
        ann = Raw(bare)
        await ann.connect()
        for number in range(10):
            await ann.cut()
            await _detached(bare)
            await bare.hub.publish("user:ann", "e", number)
            assert await ann.back()
            assert await ann.read(1) == [number]


async def test_events_written_to_a_dead_transport_are_replayed(run: Run) -> None:
    async with run() as bare:
        ann = Raw(bare)
        await ann.connect()
        await bare.hub.publish("user:ann", "e", 0)
        await ann.read(1)
        # The client loses these, though the server has written them.
        for number in (1, 2, 3):
            await bare.hub.publish("user:ann", "e", number)
        await ann.cut()
        assert await ann.back()
        assert await ann.read(3) == [1, 2, 3]


async def test_a_client_that_is_back_before_the_server_noticed_takes_over(run: Run) -> None:
    async with run() as bare:
        ann = Raw(bare)
        await ann.connect()
        old = ann.ws
        await bare.hub.publish("user:ann", "e", 0)
        await ann.read(1)
        assert await ann.back()
        await bare.hub.publish("user:ann", "e", 1)
        assert await ann.read(1) == [1]
        with pytest.raises(ConnectionClosed, match="taken_over"):
            await asyncio.wait_for(old.recv(), 10)
        assert len(bare.hub.sessions) == 1


async def test_another_users_token_recovers_nothing(run: Run) -> None:
    async with run() as bare:
        ann = Raw(bare)
        await ann.connect()
        await ann.cut()
        await _detached(bare)
        await bare.hub.publish("user:ann", "e", 1)
        assert not await ann.back(token="eve")
        assert bare.hub.sessions[ann.sid].user_id == "eve"
        assert await ann.back(token="eve")


@pytest.mark.parametrize(
    "offset", ["", "garbage", "21~zz", "22~0.zzzzzzzz", "2zz", "22" + "~0.1" * 30_000]
)
async def test_a_wrong_offset_is_not_recovered(run: Run, offset: str) -> None:
    async with run() as bare:
        ann = Raw(bare)
        await ann.connect()
        await bare.hub.publish("user:ann", "e", 0)
        await ann.read(1)
        await ann.cut()
        await _detached(bare)
        recovered = await ann.back(offset=offset)
        assert recovered is (offset == "")  # no offset: from the start, nothing lost


async def test_a_trimmed_log_is_said_not_hidden(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (memory, redis_broker):
        monkeypatch.setattr(module, "MAX_FRAMES", 10)
    async with run() as bare:
        ann = Raw(bare)
        await ann.connect()
        await bare.hub.publish("user:ann", "e", 0)
        await ann.read(1)
        await ann.cut()
        await _detached(bare)
        for number in range(64):
            await bare.hub.publish("user:ann", "e", number)
        assert not await ann.back()


async def test_a_session_nobody_comes_back_to_ends(run: Run) -> None:
    async with run(recovery_seconds=0.2) as bare:
        ann = Raw(bare)
        await ann.connect()
        await ann.cut()
        await until(lambda: not bare.hub.sessions)
        assert not await ann.back()


async def test_what_a_user_lost_while_away_is_not_replayed(run: Run) -> None:
    async with run() as bare:
        ann = Raw(bare)
        await ann.connect()
        await bare.hub.admit("ann", "channel:c")
        await bare.hub.publish("channel:c", "e", 1)
        await ann.read(1)
        await ann.cut()
        await _detached(bare)
        await bare.hub.expel("ann", "channel:c")
        await bare.hub.publish("channel:c", "e", "secret")
        await bare.hub.publish("user:ann", "e", 2)
        assert await ann.back()
        assert await ann.read(1) == [2]
        await bare.hub.publish("channel:c", "e", "secret")
        await bare.hub.publish("user:ann", "e", 3)
        assert await ann.read(1) == [3]


async def test_a_room_granted_while_away_is_entered(run: Run) -> None:
    async with run() as bare:
        ann = Raw(bare)
        await ann.connect()
        await ann.cut()
        await _detached(bare)
        await bare.hub.admit("ann", "channel:c")
        await bare.hub.publish("channel:c", "e", 1)
        assert await ann.back()
        assert await ann.read(1) == [1]
        await bare.hub.publish("channel:c", "e", 2)
        assert await ann.read(1) == [2]


async def test_volatile_events_are_never_replayed(run: Run) -> None:
    async with run() as bare:
        ann = Raw(bare)
        await ann.connect()
        await ann.cut()
        await _detached(bare)
        await bare.hub.publish("user:ann", "typing", 1, durable=False)
        await bare.hub.publish("user:ann", "e", 2)
        assert await ann.back()
        assert await ann.read(1) == [2]


async def test_events_during_a_replay_come_after_it(run: Run) -> None:
    async with run() as bare:
        ann = Raw(bare)
        await ann.connect()
        await ann.cut()
        await _detached(bare)
        for number in range(5_000):
            await bare.hub.publish("user:ann", "e", number)
        assert await ann.back()

        async def more() -> None:
            for number in range(5_000, 6_000):
                await bare.hub.publish("user:ann", "e", number)
                if number % 20 == 0:
                    await asyncio.sleep(0)

        feeding = asyncio.create_task(more())
        assert await ann.read(6_000) == list(range(6_000))
        await feeding


async def test_a_client_that_opted_out_gets_no_offset(run: Run) -> None:
    async with run() as bare:
        seen: list[tuple[Any, ...]] = []
        ann = await bare.connect("ann", recovery=False)
        ann.client.on("e", lambda *args: seen.append(args))
        await bare.hub.publish("user:ann", "e", {"n": 1})
        await until(lambda: bool(seen))
        assert seen == [({"n": 1},)]
        await ann.disconnect()
        await until(lambda: not bare.hub.sessions)


async def test_clients_that_present_one_pid_at_once_get_it_one_after_the_other(run: Run) -> None:
    async with run() as bare:
        ann = Raw(bare)
        await ann.connect()
        await ann.cut()
        await _detached(bare)
        for number in range(1_000):
            await bare.hub.publish("user:ann", "e", number)
        clients = [Raw(bare) for _ in range(5)]
        for client in clients:
            client.pid = ann.pid
        assert all(await asyncio.gather(*(client.back() for client in clients)))
        [session] = bare.hub.sessions.values()
        await until(lambda: session.live)
        await bare.hub.publish("user:ann", "end", 1_000)
        results = await asyncio.gather(
            *(client.read(1_001) for client in clients), return_exceptions=True
        )
        [whole] = [result for result in results if isinstance(result, list)]
        assert whole == list(range(1_001))
        assert sum(isinstance(result, ConnectionClosed) for result in results) == 4


async def test_a_log_that_begins_anew_leaves_live_sessions_but_nothing_to_return_to() -> None:
    async with bare_server() as bare:
        ann = Raw(bare)
        await ann.connect()
        await bare.hub.publish("user:ann", "e", 0)
        assert await ann.read(1) == [0]
        _lose(bare, "user:ann")
        await bare.hub.publish("user:ann", "e", 1)
        await bare.hub.publish("everyone", "e", 2)
        assert await ann.read(2) == [1, 2]
        await ann.cut()
        await until(lambda: not bare.hub.sessions)
        assert not await ann.back()
        await bare.hub.publish("user:ann", "e", 3)
        assert await ann.read(1) == [3]
        await ann.cut()
        await _detached(bare)
        await bare.hub.publish("user:ann", "e", 4)
        assert await ann.back()
        assert await ann.read(1) == [4]


async def test_a_log_that_begins_anew_ends_the_sessions_that_are_away() -> None:
    async with bare_server() as bare:
        ann = Raw(bare)
        await ann.connect()
        await ann.cut()
        await _detached(bare)
        _lose(bare, "user:ann")
        await until(lambda: not bare.hub.sessions)
        assert not await ann.back()


async def test_a_log_that_begins_anew_during_a_replay_is_said() -> None:
    async with bare_server() as bare:
        ann = Raw(bare)
        await ann.connect()
        await ann.cut()
        await _detached(bare)
        for number in range(5_000):
            await bare.hub.publish("user:ann", "e", {"n": number, "text": "x" * 1_000})
        assert await ann.back()
        _lose(bare, "user:ann")
        with pytest.raises(ConnectionClosed, match="recovery_lost"):
            await ann.read(5_001)
        await until(lambda: not bare.hub.sessions)
        assert not await ann.back()


def _lose(bare: Bare, room: str) -> None:
    assert isinstance(bare.hub.broker, MemoryBroker)
    bare.hub.broker.lose(room)
