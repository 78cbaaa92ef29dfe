"""CONTRACT section 3: user-join, heartbeat, usage, join-channels, bad payloads."""

from __future__ import annotations

import time
from typing import Any

from heliograph.delivery import user_room
from tests.clients.python_checks.registry import check
from tests.clients.python_checks.scene import Scene, chat_type, eventually


@check("3 user-join")
async def it_answers_id_and_name_and_enters_the_rooms_of_all_channels(scene: Scene) -> None:
    ann = await scene.person()
    channel = await scene.channel(ann)
    socket = await scene.connect(ann)
    ack = await socket.call("user-join", {"auth": {"token": ann.token}})
    assert ack == {"id": ann.id, "name": ann.name}
    await ann.post(f"{channel.path}/messages/post", {"content": "hello"})
    await socket.expect("events:channel", where=chat_type("message", channel_id=channel.id))


@check("3 user-join")
async def it_answers_an_error_to_a_bad_token_and_stays_who_it_is(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    socket = await scene.connect(ann)
    for token in [*(await scene.world.bad_tokens()).values(), bob.token]:
        ack = await socket.call("user-join", {"auth": {"token": token}})
        assert isinstance(ack["error"]["code"], str)
        assert isinstance(ack["error"]["message"], str)
    await scene.publish(user_room(bob.id), "for-bob", {})
    await scene.settled(socket, ann)
    assert socket.events("for-bob") == []


@check("3 heartbeat")
async def it_moves_last_active_at_and_is_not_answered(scene: Scene) -> None:
    ann = await scene.person()
    socket = await scene.connect(ann)

    async def last_active() -> int:
        found = await scene.root.get(f"/api/v1/users/?query={ann.id}")
        return next(int(user["last_active_at"]) for user in found["users"] if user["id"] == ann.id)

    before = await last_active()

    async def a_second_has_passed() -> bool:  # activity is kept in whole seconds
        return time.time() >= before + 1

    async def moved() -> bool:
        return await last_active() > before

    await eventually(a_second_has_passed, "a second has passed")
    await socket.emit("heartbeat", {})
    await eventually(moved, "last_active_at moved")
    assert socket.events("error") == []


@check("3 usage")
async def it_shows_a_model_as_in_use_and_forgets_it(scene: Scene) -> None:
    ann = await scene.person()
    socket = await scene.connect(ann)
    model = f"model-of-{ann.id}"

    async def in_use() -> bool:
        usage = await ann.get("/api/usage")
        assert usage["user_count"] >= 1
        return model in usage["model_ids"]

    async def forgotten() -> bool:
        return not await in_use()

    await socket.emit("usage", {"model": model})
    await eventually(in_use, "the model is in use")
    await eventually(forgotten, "the model is no longer in use")


@check("3 join-channels")
async def it_answers_the_channels_and_enters_their_rooms(scene: Scene) -> None:
    ann = await scene.person()
    channel = await scene.channel(ann)
    socket = await scene.connect(ann)
    ack = await socket.call("join-channels", {"auth": {"token": ann.token}})
    assert channel.id in ack["channels"]
    await ann.post(f"{channel.path}/messages/post", {"content": "hello"})
    await socket.expect("events:channel", where=chat_type("message", channel_id=channel.id))


@check("3 join-channels")
async def it_answers_an_error_to_a_foreign_token(scene: Scene) -> None:
    socket = await scene.connect(await scene.person())
    token = (await scene.world.bad_tokens())["foreign"]
    ack = await socket.call("join-channels", {"auth": {"token": token}})
    assert ack["error"]["code"] == "token_invalid"


# One payload that is wrong in one place, for each event.
_BAD: list[tuple[str, Any, str]] = [
    ("user-join", {"auth": {"token": 5}}, "auth.token"),
    ("join-channels", {"auth": "token"}, "auth"),
    ("usage", {"model": ["gpt"]}, "model"),
    ("join-note", {"note_id": 7}, "note_id"),
    ("join-chat", {"chat_id": None}, "chat_id"),
    ("join-chat", {"chat_id": "x", "last_seq": -1}, "last_seq"),
    ("events:channel", {"channel_id": "x"}, "data"),
    (
        "channel-events",
        {"channel_id": "x", "data": {"type": "typing", "data": {"typing": "yes"}}},
        "data.data.typing",
    ),
    ("events:chat", {"chat_id": "x", "data": {"type": 5}}, "data.type"),
    ("ydoc:document:join", {}, "document_id"),
    ("ydoc:document:join", {"document_id": "x" * 1000}, "document_id"),
    ("ydoc:document:state", {"document_id": ["x"]}, "document_id"),
    ("ydoc:document:update", {"document_id": "free"}, "update"),
    ("ydoc:document:leave", {"document_id": False}, "document_id"),
    ("ydoc:awareness:update", {"document_id": 3}, "document_id"),
]


@check("3 bad payload")
async def every_event_answers_an_error_that_says_where(scene: Scene) -> None:
    socket = await scene.connect(await scene.person())
    for event, payload, path in _BAD:
        error = (await socket.call(event, payload))["error"]
        assert error["code"] == "bad_payload", (event, error)
        assert error["path"] == path, (event, error)
        assert isinstance(error["message"], str)
    error = (await socket.call("user-join", "not an object"))["error"]
    assert error["code"] == "bad_payload"


@check("3 bad payload", "4 error")
async def every_event_sends_an_error_event_without_an_ack(scene: Scene) -> None:
    socket = await scene.connect(await scene.person())
    for event, payload, _ in _BAD:
        await socket.emit(event, payload)
        error = await socket.expect("error")
        assert error["event"] == event
        assert error["code"] == "bad_payload"
        assert isinstance(error["message"], str)


@check("3 bad payload", "4 error")
async def an_event_that_nobody_knows_is_refused(scene: Scene) -> None:
    socket = await scene.connect(await scene.person())
    ack = await socket.call("make-coffee", {})
    assert ack["error"]["code"] == "unknown_event"
    await socket.emit("make-coffee")
    error = await socket.expect("error")
    assert (error["event"], error["code"]) == ("make-coffee", "unknown_event")
