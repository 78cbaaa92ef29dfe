"""CONTRACT sections 3 and 4: channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.clients.python_checks.registry import check
from tests.clients.python_checks.scene import Scene, Someone, Thing, chat_type, eventually, types
from tests.support.socket import Socket

EVENT = "events:channel"


@dataclass(frozen=True, slots=True)
class _Pair:
    ann: Someone
    bob: Someone
    channel: Thing
    ann_socket: Socket
    bob_socket: Socket

    async def post(self, content: str, **extra: Any) -> Any:
        path = f"{self.channel.path}/messages/post"
        return await self.ann.post(path, {"content": content, **extra})


async def _pair(scene: Scene) -> _Pair:
    ann, bob = await scene.person(), await scene.person()
    channel = await scene.channel(ann, bob)
    return _Pair(ann, bob, channel, await scene.joined(ann), await scene.joined(bob))


def _typing(channel: Thing) -> dict[str, Any]:
    return {"channel_id": channel.id, "data": {"type": "typing", "data": {"typing": True}}}


async def _typing_is_relayed(scene: Scene, name: str) -> None:
    pair = await _pair(scene)
    forged = {"user": {"id": "forged", "name": "Forged"}, "user_id": "forged"}
    await pair.ann_socket.emit(name, {**_typing(pair.channel), **forged})
    for socket in (pair.ann_socket, pair.bob_socket):
        event = await socket.expect(EVENT, where=chat_type("typing"))
        assert event["channel_id"] == pair.channel.id
        assert event["data"] == {"type": "typing", "data": {"typing": True}}
        assert (event["user"]["id"], event["user"]["name"]) == (pair.ann.id, pair.ann.name)
        assert event["channel"]["id"] == pair.channel.id


@check("3 events:channel", "3 ids of clients", "4 channel typing", "4 events:channel")
async def typing_reaches_the_room_under_the_servers_name(scene: Scene) -> None:
    await _typing_is_relayed(scene, "events:channel")


@check("3 channel-events")
async def typing_reaches_the_room_by_the_old_name(scene: Scene) -> None:
    await _typing_is_relayed(scene, "channel-events")


@check("3 events:channel")
async def last_read_at_moves_the_read_mark(scene: Scene) -> None:
    pair = await _pair(scene)
    await pair.post("hello")
    assert (await pair.bob.get(pair.channel.path))["unread_count"] == 1
    payload = {"channel_id": pair.channel.id, "data": {"type": "last_read_at"}}
    await pair.bob_socket.emit("events:channel", payload)

    async def all_is_read() -> bool:
        return bool((await pair.bob.get(pair.channel.path))["unread_count"] == 0)

    await eventually(all_is_read, "all is read")


@check("3 events:channel", "4 error")
async def an_unknown_type_is_refused_and_reaches_nobody(scene: Scene) -> None:
    pair = await _pair(scene)
    data = {"type": "message", "data": {"content": "forged"}}
    payload = {"channel_id": pair.channel.id, "data": data}
    ack = await pair.ann_socket.call("events:channel", payload)
    assert ack["error"]["code"] == "unknown_type"
    await pair.ann_socket.emit("events:channel", payload)
    error = await pair.ann_socket.expect("error")
    assert (error["event"], error["code"]) == ("events:channel", "unknown_type")
    await scene.settled(pair.bob_socket, pair.bob)
    assert types(pair.bob_socket, EVENT, "message") == []


@check("3 events:channel", "4 error")
async def who_is_no_member_is_refused(scene: Scene) -> None:
    pair = await _pair(scene)
    socket = await scene.joined(await scene.person())
    read = {"channel_id": pair.channel.id, "data": {"type": "last_read_at"}}
    for payload in (_typing(pair.channel), read):
        ack = await socket.call("events:channel", payload)
        assert ack["error"]["code"] in ("not_found", "forbidden", "not_joined")
    await socket.emit("events:channel", _typing(pair.channel))
    assert (await socket.expect("error"))["event"] == "events:channel"
    await scene.settled(pair.bob_socket, pair.bob)
    assert types(pair.bob_socket, EVENT, "typing") == []


@check(
    "4 channel message",
    "4 channel message:update",
    "4 channel message:delete",
    "4 channel message:reaction:add",
    "4 channel message:reaction:remove",
    "4 events:channel",
)
async def what_happens_to_a_message_is_told_to_the_room(scene: Scene) -> None:
    pair = await _pair(scene)
    posted = await pair.post("hello", temp_id="t1")

    async def told(kind: str) -> Any:
        event = await pair.bob_socket.expect(EVENT, where=chat_type(kind, message_id=posted["id"]))
        assert event["channel_id"] == event["channel"]["id"] == pair.channel.id
        return event

    event = await told("message")
    assert event["data"]["data"]["content"] == "hello"
    assert event["data"]["data"]["temp_id"] == "t1"
    assert event["user"]["id"] == pair.ann.id

    path = f"{pair.channel.path}/messages/{posted['id']}"
    await pair.ann.post(f"{path}/update", {"content": "hello again"})
    assert (await told("message:update"))["data"]["data"]["content"] == "hello again"

    await pair.bob.post(f"{path}/reactions/add", {"name": "+1"})
    event = await told("message:reaction:add")
    assert event["data"]["data"]["name"] == "+1"
    assert event["data"]["data"]["reactions"][0]["user_ids"] == [pair.bob.id]
    assert event["user"]["id"] == pair.bob.id

    await pair.bob.post(f"{path}/reactions/remove", {"name": "+1"})
    assert (await told("message:reaction:remove"))["data"]["data"]["reactions"] == []

    await pair.ann.delete(f"{path}/delete")
    await told("message:delete")


@check("4 channel message:reply")
async def a_reply_is_told_with_its_message(scene: Scene) -> None:
    pair = await _pair(scene)
    root = await pair.post("a question")
    reply = await pair.post("an answer", parent_id=root["id"])
    said = await pair.bob_socket.expect(EVENT, where=chat_type("message", message_id=reply["id"]))
    assert said["data"]["data"]["parent_id"] == root["id"]
    event = await pair.bob_socket.expect(EVENT, where=chat_type("message:reply"))
    assert event["message_id"] == root["id"]
    assert event["data"]["data"]["reply_count"] == 1


@check("4 channel channel:created")
async def a_new_channel_is_told_to_each_member_who_is_in_its_room(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    sockets = [await scene.joined(ann), await scene.joined(bob)]
    channel = await scene.channel(ann, bob)
    for socket in sockets:
        event = await socket.expect(EVENT, where=chat_type("channel:created"))
        assert event["channel_id"] == event["channel"]["id"] == channel.id
    await ann.post(f"{channel.path}/messages/post", {"content": "welcome"})
    for socket in sockets:
        await socket.expect(EVENT, where=chat_type("message"))


@check("4 events:channel")
async def who_is_taken_out_hears_nothing_more(scene: Scene) -> None:
    pair = await _pair(scene)
    body = {"user_ids": [pair.bob.id]}
    await pair.ann.post(f"{pair.channel.path}/update/members/remove", body)
    await pair.post("between us")
    await pair.ann_socket.expect(EVENT, where=chat_type("message"))
    await scene.settled(pair.bob_socket, pair.bob)
    assert types(pair.bob_socket, EVENT, "message") == []


@check("4 channel-events")
async def a_session_that_asks_for_old_names_gets_this_one_instead(scene: Scene) -> None:
    ann = await scene.person()
    channel = await scene.channel(ann)
    socket = await scene.joined(ann, legacy_names=True)
    posted = await ann.post(f"{channel.path}/messages/post", {"content": "hello"})
    event = await socket.expect("channel-events", where=chat_type("message"))
    assert (event["channel_id"], event["message_id"]) == (channel.id, posted["id"])
    await scene.settled(socket, ann)
    assert socket.events(EVENT) == []
