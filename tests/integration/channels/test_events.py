"""What clients say of channels over their sockets: typing, read marks, and nonsense."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.integration.channels.support import (
    API,
    create,
    create_private,
    good,
    joined,
    kinds,
    messages,
    of_type,
    post,
    settled,
)
from tests.support.server import Person, RunningServer


async def test_typing_reaches_the_room_and_its_sender(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create(ann)
    root = await post(ann, channel)
    hers, his = await joined(ann), await joined(ben)
    payload = {
        "channel_id": channel["id"],
        "message_id": root["id"],
        "data": {"type": "typing", "data": {"typing": True, "user_id": ben.id}},
        "user": {"id": ben.id, "name": "somebody else"},
    }
    for name in ("events:channel", "channel-events"):
        await hers.emit(name, payload)
        for socket in (hers, his):
            assert await socket.expect("events:channel") == {
                "channel_id": channel["id"],
                "message_id": root["id"],
                "data": {"type": "typing", "data": {"typing": True}},
                "user": {"id": ann.id, "name": "ann", "role": "user"},
                "channel": {"id": channel["id"]},
            }


async def test_typing_changes_nothing_that_is_stored(server: RunningServer) -> None:
    ann = await server.signup("ann")
    channel = await create(ann)
    hers = await joined(ann)
    payload = {"channel_id": channel["id"], "data": {"type": "typing", "data": {"typing": False}}}
    assert await hers.call("events:channel", payload) is None
    assert await messages(ann, channel) == []
    assert good(await ann.http.get(f"{API}/{channel['id']}"))["last_message_at"] is None


async def test_an_outsider_reaches_nobody(server: RunningServer) -> None:
    ann, eve = await server.signup("ann"), await server.signup("eve")
    channel = await create_private(ann)
    hers, others = await joined(ann), await joined(eve)
    for kind, data in (("typing", {"typing": True}), ("last_read_at", None)):
        for channel_id in (channel["id"], "nothing"):
            payload = {"channel_id": channel_id, "data": {"type": kind, "data": data}}
            answer = await others.call("events:channel", payload)
            assert answer["error"]["code"] == "not_joined"
    await settled(server, hers, ann)
    assert kinds(hers) == []


async def test_a_session_that_has_not_joined_may_not_type(server: RunningServer) -> None:
    ann = await server.signup("ann")
    channel = await create(ann)
    socket = await ann.connect()
    payload = {"channel_id": channel["id"], "data": {"type": "typing", "data": {"typing": True}}}
    await socket.emit("events:channel", payload)
    error = await socket.expect("error")
    assert (error["event"], error["code"]) == ("events:channel", "not_joined")


NONSENSE: list[tuple[Any, str, str]] = [
    (None, "bad_payload", "channel_id"),
    ([], "bad_payload", ""),
    ("text", "bad_payload", ""),
    ({"data": {"type": "typing"}}, "bad_payload", "channel_id"),
    ({"channel_id": 7, "data": {"type": "typing"}}, "bad_payload", "channel_id"),
    ({"channel_id": "a b", "data": {"type": "typing"}}, "bad_payload", "channel_id"),
    ({"channel_id": "x" * 65, "data": {"type": "typing"}}, "bad_payload", "channel_id"),
    ({"channel_id": b"bytes", "data": {"type": "typing"}}, "bad_payload", "channel_id"),
    ({"channel_id": "CHANNEL"}, "bad_payload", "data"),
    ({"channel_id": "CHANNEL", "data": "typing"}, "bad_payload", "data"),
    ({"channel_id": "CHANNEL", "data": {}}, "bad_payload", "data.type"),
    ({"channel_id": "CHANNEL", "data": {"type": 1}}, "bad_payload", "data.type"),
    ({"channel_id": "CHANNEL", "data": {"type": "typing"}}, "bad_payload", "data.data.typing"),
    (
        {"channel_id": "CHANNEL", "data": {"type": "typing", "data": [1]}},
        "bad_payload",
        "data.data",
    ),
    (
        {"channel_id": "CHANNEL", "data": {"type": "typing", "data": {"typing": "yes"}}},
        "bad_payload",
        "data.data.typing",
    ),
    (
        {"channel_id": "CHANNEL", "message_id": {}, "data": {"type": "typing"}},
        "bad_payload",
        "message_id",
    ),
    ({"channel_id": "CHANNEL", "data": {"type": "message"}}, "unknown_type", "data.type"),
    ({"channel_id": "CHANNEL", "data": {"type": "channel:created"}}, "unknown_type", "data.type"),
    ({"channel_id": "CHANNEL", "data": {"type": ""}}, "unknown_type", "data.type"),
]


async def test_nonsense_is_answered_and_relayed_to_nobody(server: RunningServer) -> None:
    ann = await server.signup("ann")
    channel = await create(ann)
    hers = await joined(ann)
    for payload, code, path in NONSENSE:
        if isinstance(payload, dict) and payload.get("channel_id") == "CHANNEL":
            payload = {**payload, "channel_id": channel["id"]}
        answer = await hers.call("events:channel", payload)
        assert (answer["error"]["code"], answer["error"]["path"]) == (code, path)
        assert answer["error"]["message"]
    await settled(server, hers, ann)
    assert kinds(hers) == []
    working = {"channel_id": channel["id"], "data": {"type": "typing", "data": {"typing": True}}}
    assert await hers.call("events:channel", working) is None


# -- read marks ------------------------------------------------------------------------


async def seen_by(person: Person, channel: dict[str, Any]) -> dict[str, Any]:
    """The channel as the person sees it in the list."""
    (view,) = good(await person.http.get(f"{API}/"))
    assert view["id"] == channel["id"]
    assert view == good(await person.http.get(f"{API}/{channel['id']}"))
    return dict(view)


async def test_unread_messages_are_counted_until_they_are_read(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create(ann)
    root = await post(ann, channel, "one")
    await post(ann, channel, "two")
    await post(ben, channel, "own messages are read")
    reply = await post(ann, channel, "replies do not count", parent_id=root["id"])
    before = await seen_by(ben, channel)
    assert (before["unread_count"], before["last_read_at"]) == (2, None)
    assert before["last_message_at"] == reply["created_at"]
    his, also_his = await joined(ben), await ben.connect()
    read = {"channel_id": channel["id"], "data": {"type": "last_read_at"}}
    assert await his.call("events:channel", read) is None
    after = await seen_by(ben, channel)
    assert (after["unread_count"], after["last_read_at"]) == (0, reply["created_at"])
    for socket in (his, also_his):
        told = await socket.expect("events:channel", where=of_type("last_read_at"))
        assert told["channel_id"] == channel["id"]
        assert told["data"]["data"] == {"last_read_at": reply["created_at"]}
    await post(ann, channel, "three")
    assert (await seen_by(ben, channel))["unread_count"] == 1


async def test_a_read_mark_that_does_not_move_is_not_told(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create(ann)
    his = await joined(ben)
    read = {"channel_id": channel["id"], "data": {"type": "last_read_at", "data": {"at": 2**60}}}
    await his.call("events:channel", read)
    await post(ann, channel)
    for _ in range(3):
        await his.call("events:channel", read)
    await settled(server, his, ben)
    assert kinds(his) == ["message", "last_read_at"]


async def test_a_read_mark_is_the_users_own_affair(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create_private(ann, ben)
    hers, his = await joined(ann), await joined(ben)
    await post(ann, channel)
    await his.call(
        "events:channel", {"channel_id": channel["id"], "data": {"type": "last_read_at"}}
    )
    await settled(server, hers, ann)
    assert kinds(hers) == ["message"]
    assert (await seen_by(ben, channel))["unread_count"] == 0


# -- order -----------------------------------------------------------------------------


async def test_posts_at_once_arrive_in_one_order_everywhere(server: RunningServer) -> None:
    people = [await server.signup(name) for name in ("ann", "ben", "cid")]
    channel = await create(people[0])
    sockets = [await joined(person) for person in people]
    await asyncio.gather(
        *(post(person, channel, f"{person.name} {n}") for n in range(15) for person in people)
    )
    listed = [message["content"] for message in await messages(people[0], channel, limit=200)]
    for socket, person in zip(sockets, people, strict=True):
        await settled(server, socket, person)
        told = [event["data"]["data"] for event in socket.events("events:channel")]
        assert [message["content"] for message in told] == listed[::-1]
        times = [message["created_at"] for message in told]
        assert times == sorted(set(times))
    assert len(listed) == 45


async def test_replies_at_once_count_up(server: RunningServer) -> None:
    ann = await server.signup("ann")
    channel = await create(ann)
    root = await post(ann, channel, "root")
    hers = await joined(ann)
    await asyncio.gather(*(post(ann, channel, f"r{n}", parent_id=root["id"]) for n in range(10)))
    await settled(server, hers, ann)
    counts = [
        event["data"]["data"]["reply_count"]
        for event in hers.events("events:channel")
        if event["data"]["type"] == "message:reply"
    ]
    assert counts == list(range(1, 11))
