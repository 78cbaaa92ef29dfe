"""CONTRACT sections 3 and 4: answers as they stream, and chats opened in mid-stream."""

from __future__ import annotations

import time
import uuid
from typing import Any

from tests.clients.python_checks.registry import check
from tests.clients.python_checks.scene import Scene, access, chat_type, is_end, types
from tests.support.socket import Socket


def _words(count: int) -> str:
    return " ".join(f"word{number}" for number in range(count))


def _deltas(socket: Socket, message: str) -> list[Any]:
    return [event for event in types(socket, "events", "message") if event["message_id"] == message]


def _together(events: list[Any], seq: int = 0, content: str = "") -> tuple[int, str]:
    """Put deltas together and see that none is missing or double."""
    for event in events:
        if event["seq"] <= seq:
            continue
        assert event["seq"] == seq + 1, "a delta is missing"
        seq = event["seq"]
        content += event["data"]["data"]["content"]
    return seq, content


@check(
    "4 events",
    "4 events message",
    "4 events chat:completion",
    "4 events chat:active",
    "4 events chat:title",
)
async def an_answer_arrives_in_every_tab_with_seq_title_and_end(scene: Scene) -> None:
    ann = await scene.person()
    chat = await scene.chat(ann)
    new = (await ann.post("/api/v1/chats/new", {"chat": {}}))["id"]
    tabs = [await scene.connect(ann), await scene.connect(ann)]
    stranger = await scene.connect(await scene.person())
    question = _words(40)
    answer = await scene.ask(chat, tabs[0], question, chat_id=new)
    assert answer["status"] is True
    assert len(answer["task_ids"]) == 1
    for tab in tabs:
        active = await tab.expect("events", where=chat_type("chat:active", chat_id=new))
        assert active["data"]["data"]["active"] is True
        title = await tab.expect("events", where=chat_type("chat:title"))
        assert question.startswith(title["data"]["data"].rstrip("…"))
        end = await tab.expect("events", where=is_end(answer["id"]))
        assert end["data"]["data"]["content"] == question
        active = await tab.expect("events", where=chat_type("chat:active", chat_id=new))
        assert active["data"]["data"]["active"] is False
        assert _together(_deltas(tab, answer["id"]))[1] == question
    assert stranger.events("events") == []
    messages = (await ann.get(f"/api/v1/chats/{new}"))["chat"]["history"]["messages"]
    assert messages[answer["id"]]["content"] == question
    assert messages[answer["id"]]["done"] is True


@check("4 events chat:tasks:cancel")
async def an_answer_that_is_stopped_says_so_and_keeps_what_it_has(scene: Scene) -> None:
    ann = await scene.person()
    chat = await scene.chat(ann)
    socket = await scene.connect(ann)
    answer = await scene.ask(chat, socket, _words(5_000))
    await socket.expect("events", where=chat_type("message"))
    stopped = await ann.post(f"/api/tasks/stop/{answer['task_ids'][0]}")
    assert stopped["status"] == "stopped"
    kind = chat_type("chat:tasks:cancel", message_id=answer["id"])
    await socket.expect("events", where=kind)
    stored = await chat.stored(answer["id"])
    assert stored["content"] == _together(_deltas(socket, answer["id"]))[1]
    assert stored["state"] == "stopped"


@check("3 join-chat")
async def a_client_that_starts_anew_resumes_in_mid_stream_without_a_gap(scene: Scene) -> None:
    ann = await scene.person()
    chat = await scene.chat(ann)
    before = await scene.connect(ann)
    question = _words(250)
    message = (await scene.ask(chat, before, question))["id"]
    await before.expect("events", where=chat_type("message", seq=5))
    seq, content = _together(_deltas(before, message))
    await before.disconnect()

    after = await scene.connect(ann)
    payload = {"chat_id": chat.id, "message_id": message, "last_seq": seq}
    ack = await after.call("join-chat", payload)
    assert ack["chat_id"] == chat.id
    (stream,) = ack["streams"]
    assert stream["message_id"] == message
    assert stream["seq"] >= seq
    await after.expect("events", where=is_end(message))
    resumed = (stream["seq"], content + stream["content"])
    assert _together(_deltas(after, message), *resumed)[1] == question

    ended = await after.call("join-chat", {"chat_id": chat.id})
    assert ended == {"chat_id": chat.id, "streams": []}


@check("3 join-chat")
async def a_shared_chat_is_heard_by_who_may_read_it_only(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    chat = await scene.chat(ann)
    socket = await scene.connect(bob)
    refused = await socket.call("join-chat", {"chat_id": chat.id})
    assert refused["error"]["code"] == "not_found"
    grants = {"access_grants": access((bob, "read"))}
    await ann.post(f"{chat.path}/access/update", grants)
    ack = await socket.call("join-chat", {"chat_id": chat.id})
    assert ack == {"chat_id": chat.id, "streams": []}
    await chat.emit("status", {"description": "heard by both", "done": True})
    await socket.expect("events", where=chat_type("status", chat_id=chat.id))
    await ann.post(f"{chat.path}/access/update", {"access_grants": []})
    await chat.emit("notification", {"type": "info", "content": "no longer"})
    await scene.settled(socket, bob)
    assert types(socket, "events", "notification") == []


@check("3 join-chat", "4 error")
async def an_unknown_chat_is_an_error_with_and_without_an_ack(scene: Scene) -> None:
    socket = await scene.connect(await scene.person())
    payload = {"chat_id": str(uuid.uuid4())}
    assert (await socket.call("join-chat", payload))["error"]["code"] == "not_found"
    await socket.emit("join-chat", payload)
    error = await socket.expect("error")
    assert (error["event"], error["code"]) == ("join-chat", "not_found")


@check("3 events:chat", "4 events chat:list")
async def last_read_at_moves_the_mark_and_is_told_to_other_tabs(scene: Scene) -> None:
    ann = await scene.person()
    socket, other = await scene.connect(ann), await scene.connect(ann)
    chat = await scene.chat(ann)
    await socket.emit("events:chat", {"chat_id": chat.id, "data": {"type": "last_read_at"}})
    marked = (await other.expect("events", where=chat_type("chat:list")))["data"]["data"]
    assert marked["chat_id"] == chat.id
    assert abs(marked["last_read_at"] - time.time()) < 60
    assert (await ann.get(chat.path))["last_read_at"] == marked["last_read_at"]


@check("3 events:chat", "4 error")
async def unknown_types_and_chats_of_others_are_refused(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    chat = await scene.chat(ann)
    mine, other = await scene.connect(ann), await scene.connect(bob)
    unknown = {"chat_id": chat.id, "data": {"type": "typing"}}
    assert (await mine.call("events:chat", unknown))["error"]["code"] == "unknown_type"
    foreign = {"chat_id": chat.id, "data": {"type": "last_read_at"}}
    assert (await other.call("events:chat", foreign))["error"]["code"] == "not_found"
    await other.emit("events:chat", foreign)
    error = await other.expect("error")
    assert (error["event"], error["code"]) == ("events:chat", "not_found")
    await scene.settled(mine, ann)
    assert types(mine, "events", "chat:list") == []


@check("4 chat-events")
async def a_session_that_asks_for_old_names_gets_that_one_instead(scene: Scene) -> None:
    ann = await scene.person()
    socket = await scene.connect(ann, legacy_names=True)
    chat = await scene.chat(ann)
    await chat.emit("status", {"description": "old", "done": True})
    event = await socket.expect("chat-events", where=chat_type("status"))
    assert event["chat_id"] == chat.id
    await scene.settled(socket, ann)
    assert socket.events("events") == []
