"""Stopping an answer, interrupting it, and what a dead process left."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from heliograph.settings import Settings
from heliograph.store import Database
from heliograph.store.models import Message
from tests.integration.chat.support import Talk, begin_talk, messages_of
from tests.support.server import RunningServer, serve
from tests.support.upstream import Upstream, held


async def test_a_stop_is_confirmed_when_the_message_is_settled(
    talk: Talk, upstream: Upstream
) -> None:
    upstream.script(held("so ", "far", gate=asyncio.Event()))
    begun = await talk.begin()
    await begun.delta(containing="far")
    stopped = await begun.stop()
    assert stopped.json()["status"] == "stopped"
    stored = await begun.stored()
    assert (stored["content"], stored["state"], stored["done"]) == ("so far", "stopped", True)
    assert (await begun.end())[0] == "chat:tasks:cancel"
    assert (await begun.event("chat:active"))["active"] is True
    assert (await begun.event("chat:active"))["active"] is False
    await upstream.requests[-1].gone.wait()
    assert (await begun.stop()).json()["status"] == "gone"


async def test_two_stops_at_once_get_the_same_answer(
    talk: Talk, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_have_come = asyncio.Event()
    coming = 0
    tasks, store = talk.server.services.tasks, talk.server.services.chat.streams._store
    stop, settle = tasks.stop, store.settle

    async def counted(task_id: str) -> Any:
        nonlocal coming
        coming += 1
        if coming == 2:
            both_have_come.set()
        return await stop(task_id)

    async def slow(*args: Any, **options: Any) -> bool:
        await both_have_come.wait()
        return await settle(*args, **options)

    monkeypatch.setattr(tasks, "stop", counted)
    monkeypatch.setattr(store, "settle", slow)
    upstream.script(held("x", gate=asyncio.Event()))
    begun = await talk.begin()
    await begun.delta()
    answers = await asyncio.gather(begun.stop(), begun.stop())
    assert [answer.json()["status"] for answer in answers] == ["stopped", "stopped"]
    assert (await begun.stored())["state"] == "stopped"


async def test_a_stop_before_the_first_token_leaves_nothing_in_flight(
    talk: Talk, upstream: Upstream
) -> None:
    upstream.script(held(gate=asyncio.Event()))
    begun = await talk.begin()
    assert (await begun.stop()).json()["status"] == "stopped"
    assert (await begun.stored())["state"] == "stopped"
    again = await talk.ask(id=begun.message_id)
    assert again.status_code == 200


@pytest.mark.settings(OPENAI_API_BASE_URL="", ECHO_DELAY_MS="0", CHAT_DELTA_INTERVAL_MS="0")
async def test_a_stop_at_the_instant_of_finishing_is_never_both(talk: Talk) -> None:
    for round_number in range(15):
        begun = await talk.begin("a b c", model="echo")
        for _ in range(round_number % 5):
            await asyncio.sleep(0)
        status = (await begun.stop()).json()["status"]
        kind, _ = await begun.end()
        stored = await begun.stored()
        expected = {
            "stopped": ("chat:tasks:cancel", "stopped"),
            "gone": ("chat:completion", "finished"),
        }[status]
        assert (kind, stored["state"]) == expected
        if status == "gone":
            assert stored["content"] == "a b c"


async def test_a_stop_while_the_end_is_being_stored_is_gone(
    talk: Talk, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, store = talk.server.services.tasks, talk.server.services.chat.streams._store
    stop, settle = tasks.stop, store.settle
    storing, stopping = asyncio.Event(), asyncio.Event()

    async def recorded(task_id: str) -> Any:
        stopping.set()
        return await stop(task_id)

    async def slow(*args: Any, **options: Any) -> bool:
        storing.set()
        await stopping.wait()
        await asyncio.sleep(0.01)  # the stop goes as far as it can
        return await settle(*args, **options)

    monkeypatch.setattr(tasks, "stop", recorded)
    monkeypatch.setattr(store, "settle", slow)
    begun = await talk.begin()
    await storing.wait()
    assert (await begun.stop()).json()["status"] == "gone"
    assert (await begun.end())[0] == "chat:completion"
    stored = await begun.stored()
    assert (stored["content"], stored["state"]) == ("hello world", "finished")


async def test_a_chat_is_stopped_as_a_whole(talk: Talk, upstream: Upstream) -> None:
    upstream.script(held("x", gate=asyncio.Event()))
    both = [await talk.begin(id="a1"), await talk.begin(id="a2")]
    for begun in both:
        await begun.delta()
    listed = (await talk.person.http.get(f"/api/tasks/chat/{talk.chat_id}")).json()
    assert listed["task_ids"] == [begun.task_id for begun in both]
    url = f"/api/tasks/chat/{talk.chat_id}/stop"
    answer = (await talk.person.http.post(url)).json()
    assert (answer["status"], set(answer["task_ids"])) == ("stopped", set(listed["task_ids"]))
    messages = messages_of(await talk.chat())
    assert {messages["a1"]["state"], messages["a2"]["state"]} == {"stopped"}
    assert (await talk.person.http.post(url)).json()["status"] == "gone"


async def test_deleting_a_chat_stops_its_answers(talk: Talk, upstream: Upstream) -> None:
    upstream.script(held("x", gate=asyncio.Event()))
    begun = await talk.begin()
    await begun.delta()
    deleted = await talk.person.http.delete(f"/api/v1/chats/{talk.chat_id}")
    assert deleted.json() is True
    await upstream.requests[-1].gone.wait()
    assert (await talk.person.http.get("/api/tasks")).json()["tasks"] == []
    assert (await talk.person.http.get(f"/api/v1/chats/{talk.chat_id}")).status_code == 404


async def test_a_server_that_stops_interrupts_and_says_so(
    settings: Settings, upstream: Upstream
) -> None:
    upstream.script(held("so far", gate=asyncio.Event()))
    async with serve(settings) as server:
        talk = await begin_talk(server, "ann")
        begun = await talk.begin()
        await begun.delta()
        sid = talk.socket.sid
        await server.application.drain()
        kind, said = await begun.end()
        assert (kind, said["done"], said["state"]) == ("chat:completion", True, "interrupted")
        assert said["content"] == "so far"
        before = messages_of(await talk.chat())
        refused = await talk.ask(session_id=sid)
        assert (refused.status_code, refused.json()["code"]) == (503, "draining")
        stored = await begun.stored()
        assert (stored["content"], stored["state"]) == ("so far", "interrupted")
        messages = messages_of(await talk.chat())
        assert all(message["done"] for message in messages.values())
        assert messages == before, "what was refused left something"


async def test_what_a_dead_process_left_in_flight_is_interrupted(
    settings: Settings, upstream: Upstream
) -> None:
    async with serve(settings) as server:
        talk = await begin_talk(server, "ann")
        begun = await talk.begin()
        await begun.end()
        await begun.event("chat:active")
    async with Database(settings.sqlalchemy_url) as database, database.write() as session:
        await session.execute(
            update(Message)
            .where(Message.id == begun.message_id)
            .values(state="streaming", content="hel")
        )
    again = RunningServer(settings)
    await again.start()
    try:
        async with httpx.AsyncClient(
            base_url=again.url, headers={"Authorization": f"Bearer {talk.person.token}"}
        ) as http:
            entry = (await http.get("/api/v1/chats/")).json()[0]
            chat = (await http.get(f"/api/v1/chats/{talk.chat_id}")).json()
    finally:
        await again.stop()
    assert (entry["state"], entry["active"]) == ("interrupted", False)
    message = messages_of(chat)[begun.message_id]
    assert (message["state"], message["done"], message["content"]) == ("interrupted", True, "hel")
