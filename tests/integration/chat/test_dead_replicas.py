"""Replicas that die or freeze in mid-stream: their answers end, once, with all that was seen."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from heliograph.settings import Settings
from tests.browser.process import ServerProcess, running_process
from tests.integration.chat.conftest import KEY
from tests.integration.chat.support import (
    Begun,
    Talk,
    begin_talk,
    deltas_of,
    get_chat,
    messages_of,
    new_chat,
)
from tests.support.pair import new_database, pair_settings
from tests.support.redis import Standalone
from tests.support.server import Person, RunningServer
from tests.support.socket import Socket
from tests.support.upstream import Reply, Upstream, held, tokens

LEASE = 2


class Doomed:
    """A server in a process of its own, which is what a :class:`Person` needs of one."""

    def __init__(self, process: ServerProcess, stack: AsyncExitStack) -> None:
        self.process = process
        self.url = process.url
        self._stack = stack

    def on_close(self, closer: Callable[[], Awaitable[None]]) -> None:
        self._stack.push_async_callback(closer)

    async def connect(self, auth: Any, **options: Any) -> Socket:
        socket = Socket(self.url, auth, ["websocket"], False)
        await socket.connect()
        self.on_close(socket.disconnect)
        return socket


class Fleet:
    """``doomed``, and others that come when they are asked for."""

    def __init__(self, settings: dict[str, Any], redis: Standalone, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._redis = redis
        self._stack = stack
        self.doomed: Doomed

    async def begin(self) -> None:
        variables = {name: str(value) for name, value in self._settings.items()}
        folder, url = Path(variables.pop("data_dir")), variables.pop("database_url")
        variables.pop("port")
        process = await self._stack.enter_async_context(running_process(folder, url, **variables))
        self.doomed = Doomed(process, self._stack)

    async def server(self) -> RunningServer:
        """Another server, in this process."""
        server = RunningServer(Settings.model_validate(self._settings))
        self._stack.push_async_callback(server.stop)
        await server.start()
        return server

    async def answer(self, person: Person, **more: Any) -> tuple[Begun, Socket]:
        """An answer on the doomed one; and a session of its owner on the other."""
        known = {name: getattr(person, name) for name in ("id", "name", "email", "role", "token")}
        there = Person(cast(RunningServer, self.doomed), known)
        talk = Talk(person.server, there, await there.connect(), await new_chat(person))
        begun = await talk.begin(**more)
        page = await person.connect()
        return begun, page

    def forget_everything(self) -> None:
        """Redis loses its memory, of this fleet."""
        master = self._redis.master()
        for key in master.execute("KEYS", f"{self._settings['redis_key_prefix']}:*"):
            master.execute("DEL", key)


@pytest.fixture
async def fleet(
    postgres: str, redis: Standalone, redis_prefix: str, tmp_path: Path, upstream: Upstream
) -> AsyncIterator[Fleet]:
    """A doomed server that runs."""
    model = {"openai_api_base_url": upstream.url, "openai_api_key": KEY}
    url = await new_database(postgres)
    settings = pair_settings(url, redis, redis_prefix, tmp_path, **model)
    settings |= {"replica_lease_seconds": LEASE}
    async with AsyncExitStack() as stack:
        fleet = Fleet(settings, redis, stack)
        await fleet.begin()
        yield fleet


async def interruption(page: Socket, message_id: str) -> dict[str, Any]:
    """What is told of the end, and then that nothing runs."""

    def of(kind: str) -> Callable[[Any], bool]:
        return lambda event: event["message_id"] == message_id and event["data"]["type"] == kind

    told = await page.expect("events", where=of("chat:completion"), timeout=30)
    active = await page.expect("events", where=of("chat:active"), timeout=30)
    assert active["data"]["data"] == {"active": False, "message_id": message_id}
    found: dict[str, Any] = told["data"]["data"]
    return found


async def test_an_answer_of_a_killed_replica_is_settled_and_told(
    fleet: Fleet, upstream: Upstream
) -> None:
    upstream.script(held("so ", "far", gate=asyncio.Event()), tokens("again"))
    server = await fleet.server()
    ann = await server.signup("ann")
    begun, page = await fleet.answer(ann, id="a1")
    await begun.delta(containing="far")
    await fleet.doomed.process.stop(signal.SIGKILL)
    told = await interruption(page, "a1")
    assert told == {"done": True, "state": "interrupted", "content": "so far"}
    seen = messages_of(await get_chat(ann, begun.talk.chat_id))["a1"]
    assert (seen["content"], seen["state"], seen["done"]) == ("so far", "interrupted", True)
    hot = server.services.chat.streams.hot
    assert await hot.of_user(ann.id) == []
    again = Talk(server, ann, page, begun.talk.chat_id)
    await (await again.begin(id="a1")).end()
    assert (await again.message("a1"))["content"] == "again"


async def test_a_temporary_answer_of_a_killed_replica_is_told(
    fleet: Fleet, upstream: Upstream
) -> None:
    upstream.script(held("so ", "far", gate=asyncio.Event()))
    server = await fleet.server()
    begun, page = await fleet.answer(await server.signup("ann"), chat_id="local:x")
    await begun.delta(containing="far")
    await fleet.doomed.process.stop(signal.SIGKILL)
    told = await interruption(page, begun.message_id)
    assert told == {"done": True, "state": "interrupted", "content": "so far"}


async def test_a_tool_that_emits_into_a_dead_replicas_answer_goes_on(
    fleet: Fleet, upstream: Upstream
) -> None:
    upstream.script(held("so far", gate=asyncio.Event()))
    server = await fleet.server()
    ann = await server.signup("ann")
    begun, page = await fleet.answer(ann)
    await begun.delta()
    await fleet.doomed.process.stop(signal.SIGKILL)
    path = f"/api/v1/chats/{begun.talk.chat_id}/messages/{begun.message_id}/event"
    event = {"type": "message", "data": {"content": ", and on"}}
    answer = await ann.http.post(path, json=event)
    assert answer.status_code == 200, answer.text
    await interruption(page, begun.message_id)
    seen = messages_of(await get_chat(ann, begun.talk.chat_id))[begun.message_id]
    assert (seen["content"], seen["state"]) == ("so far, and on", "interrupted")


async def test_a_frozen_replica_that_comes_back_changes_nothing(
    fleet: Fleet, upstream: Upstream
) -> None:
    gate, second = asyncio.Event(), asyncio.Event()

    async def first(reply: Reply) -> None:
        await reply.begin()
        await reply.delta("old ")
        await gate.wait()
        await reply.delta("and too late")
        await reply.gone.wait()

    upstream.script(first, held("new ", gate=second, then=("answer",)))
    server = await fleet.server()
    ann = await server.signup("ann")
    begun, page = await fleet.answer(ann, id="a1")
    await begun.delta()
    fleet.doomed.process.freeze(True)
    told = await interruption(page, "a1")
    assert told["content"] == "old "
    again = await Talk(server, ann, page, begun.talk.chat_id).begin(id="a1")
    await again.delta(containing="new")
    gate.set()  # the rest waits at the frozen replica's door
    fleet.doomed.process.freeze(False)
    await asyncio.wait_for(upstream.requests[0].gone.wait(), 20)
    second.set()
    assert (await again.end())[1]["content"] == "new answer"
    texts = [event["data"]["data"]["content"] for event in deltas_of(page, "a1")]
    assert texts[-2:] == ["new ", "answer"]
    assert "and too late" not in texts
    assert (await again.stored())["content"] == "new answer"
    assert (await again.stored())["state"] == "finished"


async def test_when_all_replicas_died_the_next_one_settles(
    fleet: Fleet, upstream: Upstream
) -> None:
    upstream.script(held("so ", "far", gate=asyncio.Event()))
    server = await fleet.server()
    ann = await server.signup("ann")
    begun, _ = await fleet.answer(ann)
    await begun.delta(containing="far")
    await server.stop()
    await fleet.doomed.process.stop(signal.SIGKILL)
    later = await begin_talk(await fleet.server(), "zoe")
    await _interrupted(later, ann, begun, "so far")


async def test_answers_end_when_redis_lost_its_memory_too(fleet: Fleet, upstream: Upstream) -> None:
    upstream.script(held("so ", "far", gate=asyncio.Event()))
    server = await fleet.server()
    ann = await server.signup("ann")
    begun, _ = await fleet.answer(ann)
    await begun.delta(containing="far")
    await fleet.doomed.process.stop(signal.SIGKILL)
    await server.stop()
    await asyncio.to_thread(fleet.forget_everything)
    later = await begin_talk(await fleet.server(), "zoe")
    await _interrupted(later, ann, begun, None)


async def _interrupted(later: Talk, ann: Person, begun: Begun, content: str | None) -> None:
    known = {name: getattr(ann, name) for name in ("id", "name", "email", "role", "token")}
    back = Person(later.server, known)
    async with asyncio.timeout(20):
        while True:
            seen = messages_of(await get_chat(back, begun.talk.chat_id))[begun.message_id]
            if seen["done"]:
                break
            await asyncio.sleep(0.05)
    assert seen["state"] == "interrupted"
    assert content is None or seen["content"] == content
