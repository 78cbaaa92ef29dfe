"""CONTRACT sections 4 and 5: calls into the client, answered by its ack."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from tests.clients.python_checks.registry import check
from tests.clients.python_checks.scene import Chat, Scene, chat_type, is_end
from tests.clients.world import CALL_SECONDS
from tests.support.socket import Socket

# A call of each type, and an answer a client may give to it.
_CALLS: dict[str, tuple[dict[str, Any], Any]] = {
    "confirmation": ({"title": "Sure?", "message": "It cannot be undone."}, True),
    "input": ({"title": "Name", "message": "Yours?", "placeholder": "Ann"}, "Ann"),
    "execute:python": (
        {"id": "c1", "code": "print(1)", "files": []},
        {"stdout": "1\n", "stderr": "", "result": None},
    ),
    "execute:tool": (
        {"id": "t1", "name": "weather", "params": {"city": "Oslo"}},
        {"result": ["rain", 7]},
    ),
    "request:chat:completion": (
        {"form_data": {"model": "mine", "messages": []}},
        {"status": True},
    ),
}


async def _stage(scene: Scene, **auth: Any) -> tuple[Chat, Socket]:
    ann = await scene.person()
    return await scene.chat(ann), await scene.connect(ann, **auth)


def _is_answered(kind: str) -> Any:
    data, answer = _CALLS[kind]

    async def body(scene: Scene) -> None:
        chat, socket = await _stage(scene)
        other = await scene.connect(chat.owner)
        socket.answer = lambda name, event: answer
        status, result = await chat.call(kind, data, socket.sid)
        assert status == 200, result
        assert result == {"result": answer}
        asked = await socket.expect("events", where=chat_type(kind))
        assert (asked["chat_id"], asked["message_id"]) == (chat.id, chat.message)
        assert {name: asked["data"]["data"][name] for name in data} == data
        await scene.settled(other, chat.owner)
        assert other.events("events") == []

    return body


for _kind in _CALLS:
    check(f"4 call {_kind}", name=f"{_kind} is answered by the ack of its session alone")(
        _is_answered(_kind)
    )


@check("4 call confirmation")
async def a_session_with_old_names_is_called_by_them(scene: Scene) -> None:
    chat, socket = await _stage(scene, legacy_names=True)
    socket.answer = lambda name, event: name == "chat-events"
    _, result = await chat.call("confirmation", {}, socket.sid)
    assert result == {"result": True}


@check("4 call execute")
async def javascript_is_not_run_in_a_page(scene: Scene) -> None:
    chat, socket = await _stage(scene)
    status, result = await chat.call("execute", {"code": "alert(1)"}, socket.sid)
    assert (status, result["code"]) == (409, "not_supported")
    await scene.settled(socket, chat.owner)
    assert socket.events("events") == []


_TOOLS: dict[str, tuple[str, Any, str]] = {
    "confirmation": ('/confirm {"title": "Sure?"}', True, "confirmed"),
    "input": ('/ask {"message": "Your name?"}', "Ann-Marie", "Ann-Marie"),
    "execute:python": (
        '/python {"code": "print(6*7)"}',
        {"stdout": "forty-two", "stderr": "", "result": None},
        "forty-two",
    ),
}


def _tool_calls(kind: str) -> Any:
    command, answer, expected = _TOOLS[kind]

    async def body(scene: Scene) -> None:
        chat, socket = await _stage(scene)
        socket.answer = lambda name, event: answer
        message = (await scene.ask(chat, socket, command))["id"]
        await socket.expect("events", where=is_end(message))
        assert expected in (await chat.stored(message))["content"]

    return body


for _kind in _TOOLS:
    check(f"4 call {_kind}", name=f"a tool's {_kind} is answered in the middle of an answer")(
        _tool_calls(_kind)
    )


@check("4 call request:chat:completion")
async def a_users_own_model_streams_over_the_channel_it_was_given(scene: Scene) -> None:
    chat, socket = await _stage(scene)

    def line(content: str, finish: str | None = None) -> str:
        delta = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
        return f"data: {json.dumps({'choices': [delta]})}"

    async def answer(_: str, event: Any) -> Any:
        if event["data"]["type"] != "request:chat:completion":
            return None
        question = event["data"]["data"]
        assert question["form_data"]["messages"][-1]["content"] == "Hello there"
        for piece in (line("My "), line("own "), line("model", "stop"), "data: [DONE]"):
            await socket.emit(question["channel"], piece)
        await socket.emit(question["channel"], {"done": True})
        return {"status": True}

    socket.answer = answer
    item = {"id": "mine", "direct": True}
    asked = await scene.ask(chat, socket, "Hello there", model="mine", model_item=item)
    await socket.expect("events", where=is_end(asked["id"]))
    assert (await chat.stored(asked["id"]))["content"] == "My own model"


@check("5 call of a wrong session")
async def another_users_session_or_none_fails_at_once(scene: Scene) -> None:
    chat, _ = await _stage(scene)
    bob = await scene.person()
    foreign = await scene.connect(bob)
    foreign.answer = lambda name, event: True
    for sid in (foreign.sid, "nobody"):
        began = time.monotonic()
        status, result = await chat.call("confirmation", {}, sid)
        assert (status, result["code"]) == (409, "session_gone")
        assert time.monotonic() - began < CALL_SECONDS
    await scene.settled(foreign, bob)
    assert foreign.events("events") == []


@check("5 call of a wrong session")
async def a_session_that_leaves_fails_its_call(scene: Scene) -> None:
    chat, socket = await _stage(scene)
    never = asyncio.Event()
    socket.answer = lambda name, event: never.wait()
    calling = asyncio.create_task(chat.call("confirmation", {}, socket.sid))
    await socket.expect("events", where=chat_type("confirmation"))
    await socket.disconnect()
    status, result = await calling
    assert (status, result["code"]) == (409, "session_gone")
    never.set()


@check("5 call deadline")
async def a_call_that_nobody_answers_ends_and_a_late_answer_changes_nothing(scene: Scene) -> None:
    chat, socket = await _stage(scene)
    ended = asyncio.Event()
    socket.answer = lambda name, event: ended.wait() if name == "events" else None
    status, result = await chat.call("confirmation", {}, socket.sid)
    assert (status, result["code"]) == (409, "call_timeout")
    ended.set()
    await scene.settled(socket, chat.owner)
    assert (await socket.call("user-join", {}))["id"] == chat.owner.id
