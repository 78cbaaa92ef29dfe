"""Rooms: who gets what, in which order, and orders to all of a user's sessions."""

from __future__ import annotations

import asyncio

import pytest

from heliograph.delivery import Position, user_room
from heliograph.delivery.broker import Logged
from tests.support.bare import bare_server, until


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]])
async def test_events_of_a_room_arrive_in_order(transports: list[str]) -> None:
    async with bare_server() as bare:
        ann = await bare.connect("ann", transports=transports, recovery=False)
        for number in range(500):
            await bare.hub.publish("user:ann", "tick", {"n": number})
            if number % 50 == 0:
                await asyncio.sleep(0)
        await until(lambda: len(ann.events("tick")) == 500)
        assert [data["n"] for data in ann.events("tick")] == list(range(500))


async def test_the_sender_is_left_out() -> None:
    async with bare_server() as bare:
        ann = await bare.connect("ann")
        ben = await bare.connect("ben")
        for client in (ann, ben):
            await bare.hub.join(bare.session(client), "doc_x")
        await bare.hub.publish("doc_x", "typed", {"n": 1}, skip_sid=ann.sid)
        await bare.hub.publish("doc_x", "typed", {"n": 2})
        assert await ben.expect("typed") == {"n": 1}
        assert await ann.expect("typed") == {"n": 2}


async def test_a_user_who_is_expelled_gets_nothing_after_it() -> None:
    async with bare_server() as bare:
        ann = await bare.connect("ann")
        await bare.hub.admit("ann", "channel:c")
        await until(lambda: "channel:c" in bare.session(ann).positions)
        await bare.hub.publish("channel:c", "said", {"n": 1})
        await bare.hub.expel("ann", "channel:c")
        await bare.hub.publish("channel:c", "said", {"n": 2})
        await bare.hub.publish("user:ann", "end", {})
        await ann.expect("end")
        assert ann.events("said") == [{"n": 1}]


async def test_what_is_said_right_after_an_admission_arrives() -> None:
    async with bare_server() as bare:
        ann = await bare.connect("ann")
        await bare.hub.admit("ann", "channel:c")
        await bare.hub.publish("channel:c", "said", {"n": 1})
        assert await ann.expect("said") == {"n": 1}


async def test_an_admission_older_than_the_log_lets_in_from_now_on() -> None:
    async with bare_server() as bare:
        ann = await bare.connect("ann")
        await bare.hub.join(bare.session(ann), "channel:c", at=Position("gone", 7))
        await bare.hub.publish("channel:c", "said", {"n": 1})
        assert await ann.expect("said") == {"n": 1}


async def test_a_user_who_is_put_out_is_told_why_and_stays_out() -> None:
    async with bare_server() as bare:
        ann = await bare.connect("ann")
        await bare.hub.put_out("ann", "user_unknown", "the account was deleted")
        told = await ann.expect("error")
        assert told["code"] == "user_unknown"
        await asyncio.wait_for(ann.disconnected.wait(), 10)
        await until(lambda: not bare.hub.sessions)


async def test_a_room_without_local_members_costs_nothing() -> None:
    async with bare_server() as bare:
        ann = await bare.connect("ann", recovery=False)
        assert list(bare.hub.members(user_room("ann")))
        await ann.disconnect()
        await until(lambda: not list(bare.hub.members(user_room("ann"))))
        await until(lambda: "user:ann" not in bare.hub._rooms)


async def test_binary_arguments_arrive_as_bytes() -> None:
    async with bare_server() as bare:
        ann = await bare.connect("ann", recovery=False)
        await bare.hub.publish("user:ann", "blob", {"a": b"\x00\xff", "b": [b"", b"x"]})
        assert await ann.expect("blob") == {"a": b"\x00\xff", "b": [b"", b"x"]}
        assert await ann.call("echo", {"u": b"\x01\x02"}) == {"u": b"\x01\x02"}


async def test_what_comes_while_an_admission_is_read_from_the_log_arrives_in_order() -> None:
    async with bare_server() as bare:
        ann = await bare.connect("ann")
        ben = await bare.connect("ben")
        await bare.hub.join(bare.session(ben), "channel:c")
        at = await bare.hub.broker.position("channel:c")
        replay = bare.hub.broker.replay

        async def slow(room: str, since: Position) -> list[Logged]:
            found = await replay(room, since)
            await bare.hub.publish("channel:c", "said", 2)
            return found

        await bare.hub.publish("channel:c", "said", 1)
        bare.hub.broker.replay = slow  # type: ignore[method-assign]
        await bare.hub.join(bare.session(ann), "channel:c", at=at)
        await bare.hub.publish("channel:c", "said", 3)
        await until(lambda: ann.events("said") == [1, 2, 3])
        await until(lambda: ben.events("said") == [1, 2, 3])


async def test_an_admission_outlasts_an_older_order_to_leave_that_comes_late() -> None:
    async with bare_server() as bare:
        ann = bare.session(await bare.connect("ann"))
        await bare.hub.join(ann, "channel:c")
        await bare.hub.expel("ann", "channel:c")
        expelled = await bare.hub.broker.position("channel:c")
        await bare.hub.join(ann, "channel:c", at=expelled)
        order = {"do": "expel", "room": "channel:c", "user": "ann"}
        bare.hub.obey(ann, "channel:c", expelled.seq, order)
        assert "channel:c" in ann.positions
        bare.hub.obey(ann, "channel:c", expelled.seq + 1, order)
        assert "channel:c" not in ann.positions
