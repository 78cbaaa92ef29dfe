"""Channels on two servers: their events are in the order of the commits, everywhere."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from heliograph.channels.ordering import RedisTurns
from heliograph.errors import Unavailable
from tests.integration.channels.support import (
    API,
    add,
    contents,
    create,
    create_private,
    good,
    joined,
    kinds,
    messages,
    of_type,
    post,
    remove,
)
from tests.support.bare import until
from tests.support.pair import Pair
from tests.support.server import RunningServer


def delay_announcements(server: RunningServer) -> None:
    """Let a server be busy between a commit and its announcement, now and then."""
    announce, chance = server.services.channels._announce, random.Random(1)
    message = announce.message

    async def late(*args: Any) -> None:
        await asyncio.sleep(chance.choice((0, 0, 0, 0.1)))
        await message(*args)

    announce.message = late  # type: ignore[assignment]


async def test_everybody_gets_the_messages_in_the_order_of_the_lists(pair: Pair) -> None:
    delay_announcements(pair.a)
    ann, ann_there = await pair.both("ann")
    ben, ben_there = await pair.both("ben")
    channel = await create(ann)
    sockets = [await joined(ann), await joined(ben_there)]

    async def say(who: Any, name: str) -> None:
        for number in range(25):
            await post(who, channel, f"{name}{number}")

    await asyncio.gather(say(ann, "a"), say(ann_there, "b"), say(ben, "c"), say(ben_there, "d"))
    listed = await messages(ann, channel, limit=100)
    order = [message["content"] for message in reversed(listed)]
    for socket in sockets:
        await until(lambda socket=socket: len(contents(socket)) == 100)  # type: ignore[misc]
        assert contents(socket) == order


async def test_edits_come_as_they_were_committed(pair: Pair) -> None:
    delay_announcements(pair.a)
    ann, ann_there = await pair.both("ann")
    channel = await create(ann)
    message = await post(ann, channel, "0")
    socket = await joined(ann_there)
    path = f"{API}/{channel['id']}/messages/{message['id']}/update"

    async def edit(who: Any, first: int) -> None:
        for number in range(first, first + 20):
            good(await who.http.post(path, json={"content": str(number)}))

    await asyncio.gather(edit(ann, 100), edit(ann_there, 200))
    await until(lambda: len(_updates(socket)) == 40)
    [now] = await messages(ann, channel)
    assert _updates(socket)[-1]["content"] == now["content"]
    times = [update["updated_at"] for update in _updates(socket)]
    assert times == sorted(times)


def _updates(socket: Any) -> list[dict[str, Any]]:
    return [
        event["data"]["data"]
        for event in socket.events("events:channel")
        if event["data"]["type"] == "message:update"
    ]


async def test_what_changes_nothing_holds_nobody_up(pair: Pair) -> None:
    ann, ann_there = await pair.both("ann")
    channel = await create(ann)
    message = await post(ann, channel)
    socket = await joined(ann)
    path = f"{API}/{channel['id']}/messages/{message['id']}/reactions/remove"
    began = time.monotonic()
    for _ in range(3):
        good(await ann.http.post(path, json={"name": "+1"}))
        refused = await ann.http.post(
            f"{API}/{channel['id']}/messages/none/update", json={"content": "x"}
        )
        assert refused.status_code == 404
        await post(ann_there, channel, "next")
    assert time.monotonic() - began < 2
    await until(lambda: contents(socket) == ["next"] * 3)


async def test_a_change_that_is_never_announced_holds_the_next_up_once(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph.channels.ordering.PATIENCE", 0.2)
    ann, ann_there = await pair.both("ann")
    channel = await create(ann)
    await post(ann, channel, "one")
    socket = await joined(ann)
    order = pair.a.services.channels._order

    async def dies(*_: Any) -> None:
        raise Unavailable("killed between commit and announcement")

    with monkeypatch.context() as dying:
        dying.setattr(pair.a.services.channels._announce, "message", dies)
        dying.setattr(order._turns, "announced", _nothing)
        lost = await ann.http.post(f"{API}/{channel['id']}/messages/post", json={"content": "two"})
        assert lost.status_code == 503
    await post(ann_there, channel, "three")
    await post(ann, channel, "four")
    await until(lambda: contents(socket) == ["three", "four"])


async def _nothing(*_: Any) -> None:
    return None


async def test_members_come_and_go_on_every_server(pair: Pair) -> None:
    ann, ann_there = await pair.both("ann")
    ben, ben_there = await pair.both("ben")
    channel = await create_private(ann)
    his = [await joined(ben), await joined(ben_there)]
    await add(ann_there, channel, ben)
    for socket in his:
        await socket.expect("events:channel", where=of_type("channel:created"))
    await post(ann, channel, "welcome")
    for socket in his:
        await socket.expect("events:channel", where=of_type("message"))
    await remove(ann, channel, ben)
    for socket in his:
        await socket.expect("events:channel", where=of_type("channel:deleted"))
    await post(ann_there, channel, "alone")
    hers = await joined(ann)
    await post(ann, channel, "again")
    await hers.expect("events:channel", where=of_type("message"))
    for socket in his:
        assert contents(socket) == ["welcome"]


async def test_memberships_that_change_on_both_servers_end_as_they_are_stored(
    pair: Pair,
) -> None:
    ann, ann_there = await pair.both("ann")
    ben, ben_there = await pair.both("ben")
    channel = await create_private(ann)
    socket = await joined(ben_there)

    async def change(who: Any, how: Callable[..., Any]) -> None:
        for _ in range(10):
            await how(who, channel, ben)

    await asyncio.gather(change(ann, add), change(ann_there, remove))
    members = good(await ann.http.get(f"{API}/{channel['id']}/members"))["users"]
    is_member = ben.id in {member["id"] for member in members}
    await post(ann, channel, "who is here?")
    again = await joined(ben)
    await post(ann_there, channel, "and now?")
    if is_member:
        await again.expect("events:channel", where=of_type("message"))
        await until(lambda: contents(socket)[-2:] == ["who is here?", "and now?"])
    else:
        await until(lambda: kinds(socket) == [] or kinds(socket)[-1] == "channel:deleted")
        assert contents(socket) == []


async def test_nothing_is_kept_of_a_deleted_channel(pair: Pair) -> None:
    ann, ann_there = await pair.both("ann")
    channel = await create(ann)
    await post(ann_there, channel)
    turns = pair.a.services.channels._order._turns
    assert isinstance(turns, RedisTurns)
    assert await turns.last(channel["id"]) == 1
    good(await ann_there.http.delete(f"{API}/{channel['id']}/delete"))
    assert await turns.last(channel["id"]) is None


async def test_a_role_that_changes_ends_the_sessions_of_every_server(pair: Pair) -> None:
    ben, ben_there = await pair.both("ben")
    sockets = [await ben.connect(), await ben_there.connect()]
    root = pair.other(pair.a.root)
    answer = await root.http.post(f"/api/v1/users/{ben.id}/update", json={"role": "pending"})
    assert answer.status_code == 200, answer.text
    for socket in sockets:
        assert (await socket.expect("error"))["code"] == "role_changed"
        await asyncio.wait_for(socket.disconnected.wait(), 10)
    refused = await ben_there.http.get("/api/v1/chats/")
    assert refused.json()["code"] == "user_pending"
