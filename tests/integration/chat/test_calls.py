"""Calls into the browser: who may be asked, what comes back, and what when nothing does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from heliograph.chat import get_event_call
from heliograph.errors import BadPayload, CallFailed
from tests.integration.chat.support import Talk, begin_talk
from tests.support.server import RunningServer

CALLS: dict[str, dict[str, Any]] = {
    "confirmation": {"title": "Sure?", "message": "Go on?"},
    "input": {"title": "Name", "message": "Yours?", "placeholder": "Ann", "value": ""},
    "execute:python": {"id": "1", "code": "6 * 7", "files": []},
    "execute:tool": {"name": "weather", "params": {"city": "Bern"}, "server": {"url": "x"}},
    "request:chat:completion": {"form_data": {"messages": []}, "model": {}, "channel": "c"},
}


def info(talk: Talk, **change: Any) -> dict[str, Any]:
    return {
        "user_id": talk.person.id,
        "chat_id": talk.chat_id,
        "message_id": "m1",
        "session_id": talk.socket.sid,
        **change,
    }


@pytest.mark.parametrize("kind", CALLS)
async def test_a_call_is_answered_by_the_session(talk: Talk, kind: str) -> None:
    asked: list[Any] = []

    def answer(name: str, data: Any) -> Any:
        asked.append((name, data))
        return {"answer": [1, "two"]}

    talk.socket.answer = answer
    result = await get_event_call(info(talk))({"type": kind, "data": CALLS[kind]})
    assert result == {"answer": [1, "two"]}
    [(name, data)] = asked
    assert (name, data["chat_id"], data["message_id"]) == ("events", talk.chat_id, "m1")
    assert data["data"]["type"] == kind
    assert {**data["data"]["data"], **CALLS[kind]} == data["data"]["data"]
    if kind not in ("confirmation", "input"):
        assert data["data"]["data"]["session_id"] == talk.socket.sid


async def test_only_the_named_session_is_asked(talk: Talk) -> None:
    other = await talk.person.connect()
    talk.socket.answer = lambda name, data: True
    assert await get_event_call(info(talk))({"type": "confirmation", "data": {}}) is True
    assert other.events("events") == []


async def test_a_session_of_another_user_or_none_is_an_error(
    server: RunningServer, talk: Talk
) -> None:
    bob = await begin_talk(server, "bob")
    bob.socket.answer = lambda name, data: True
    for change in ({"session_id": bob.socket.sid}, {"session_id": "none"}):
        with pytest.raises(CallFailed) as failed:
            await get_event_call(info(talk, **change))({"type": "confirmation", "data": {}})
        assert failed.value.code == "session_gone"
    assert bob.socket.events("events") == []


@pytest.mark.settings(WEBSOCKET_EVENT_CALLER_TIMEOUT="0.2")
async def test_a_call_without_an_answer_ends(talk: Talk) -> None:
    async def never(name: str, data: Any) -> None:
        await asyncio.Event().wait()

    talk.socket.answer = never
    with pytest.raises(CallFailed) as failed:
        await get_event_call(info(talk))({"type": "input", "data": {}})
    assert failed.value.code == "call_timeout"


@pytest.mark.settings(CONNECTION_RECOVERY_SECONDS="0")
async def test_a_call_fails_when_its_session_leaves(talk: Talk) -> None:
    asked = asyncio.Event()

    async def never(name: str, data: Any) -> None:
        asked.set()
        await asyncio.Event().wait()

    talk.socket.answer = never
    caller = talk.server.services.chat
    call = asyncio.create_task(caller.call(info(talk), {"type": "confirmation", "data": {}}))
    await asked.wait()
    await talk.socket.disconnect()
    with pytest.raises(CallFailed) as failed:
        await call
    assert failed.value.code == "session_gone"


async def test_javascript_is_never_run(talk: Talk) -> None:
    with pytest.raises(CallFailed, match="JavaScript") as failed:
        await get_event_call(info(talk))({"type": "execute", "data": {"code": "1"}})
    assert failed.value.code == "not_supported"


async def test_wrong_calls_are_refused(talk: Talk) -> None:
    call = get_event_call(info(talk))
    for kind, data, path in (
        ("no:such", {}, "type"),
        ("status", {}, "type"),
        ("execute:python", {}, "data.code"),
        ("execute:tool", {"params": {}}, "data.name"),
        ("confirmation", {"title": 5}, "data.title"),
    ):
        with pytest.raises(BadPayload) as refused:
            await call({"type": kind, "data": data})
        assert refused.value.path == path
    with pytest.raises(BadPayload, match="session_id"):
        get_event_call(info(talk, session_id=None))
    assert talk.socket.events("events") == []


async def test_a_tool_outside_the_server_emits_and_calls_over_http(
    server: RunningServer, talk: Talk
) -> None:
    begun = await talk.begin()
    await begun.end()
    key = (await talk.person.http.post("/api/v1/auths/api_key")).json()["api_key"]
    talk.socket.answer = lambda name, data: "blue"
    url = f"/api/v1/chats/{talk.chat_id}/messages/{begun.message_id}"
    bob = await begin_talk(server, "bob")

    async def post(where: str, body: Any, token: str = key) -> Any:
        return await talk.person.http.post(
            f"{url}/{where}", json=body, headers={"Authorization": f"Bearer {token}"}
        )

    emitted = await post("event", {"type": "message", "data": {"content": "!"}})
    assert emitted.json() is True
    assert (await begun.stored())["content"] == "hello world!"
    question = {"type": "input", "data": {"message": "Colour?"}, "session_id": talk.socket.sid}
    assert (await post("call", question)).json() == {"result": "blue"}
    assert (await post("call", question, server.root.token)).json() == {"result": "blue"}

    refused = await post("event", {"type": "message", "data": {}})
    assert (refused.status_code, refused.json()["path"]) == (422, "data.content")
    refused = await post("event", {"type": "nope", "data": {}})
    assert refused.json()["code"] == "unknown_type"
    refused = await post("call", {**question, "session_id": bob.socket.sid})
    assert (refused.status_code, refused.json()["code"]) == (409, "session_gone")
    for where, body in (("event", {"type": "status", "data": {}}), ("call", question)):
        assert (await post(where, body, bob.person.token)).status_code == 404
