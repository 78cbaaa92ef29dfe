"""A person's tasks on two servers: the answer runs on one, the page talks to the other."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from heliograph.settings import Settings
from tests.support.redis import Standalone
from tests.support.server import Person, RunningServer


@pytest.fixture
async def servers(
    settings: Settings, redis: Standalone, redis_prefix: str
) -> AsyncIterator[tuple[RunningServer, RunningServer]]:
    """Two replicas with one database and one Redis."""
    variables = {name.lower(): value for name, value in redis.environment().items()}
    shared = Settings.model_validate(
        {
            **settings.model_dump(),
            **variables,
            "redis_key_prefix": redis_prefix,
            "webui_secret_key": "a secret that both servers know 0123456789",
            "echo_delay_ms": 100,
        }
    )
    async with contextlib.AsyncExitStack() as stack:
        pair = RunningServer(shared), RunningServer(shared)
        for server in pair:
            await server.start()
            stack.push_async_callback(server.stop)
        yield pair


@pytest.fixture
async def people(servers: tuple[RunningServer, RunningServer]) -> tuple[Person, Person]:
    """Ann, on each of the two servers."""
    here, there = servers
    await here.signup("root")
    ann = await here.signup("ann")
    known: dict[str, Any] = {
        name: getattr(ann, name) for name in ("id", "name", "email", "role", "token")
    }
    return ann, Person(there, known)


async def test_an_answer_is_listed_and_stopped_on_the_server_that_does_not_write_it(
    people: tuple[Person, Person],
) -> None:
    here, there = people
    chat = (await here.http.post("/api/v1/chats/new", json={"chat": {}})).json()
    socket = await here.connect()
    question = {"role": "user", "content": "word " * 300}
    asked = {
        "model": "echo", "messages": [question], "session_id": socket.sid,
        "chat_id": chat["id"], "id": "m1", "stream": True,
    }  # fmt: skip
    begun = (await here.http.post("/api/chat/completions", json=asked)).json()
    [task_id] = begun["task_ids"]
    listed = (await there.http.get(f"/api/tasks/chat/{chat['id']}")).json()
    assert listed["task_ids"] == [task_id]
    [task] = listed["tasks"]
    assert task["owner"] == here.server.services.tasks.owner
    assert task["lease_until"] > task["started_at"]
    stopped = await there.http.post(f"/api/tasks/stop/{task_id}")
    assert stopped.json()["status"] == "stopped"
    stored = (await there.http.get(f"/api/v1/chats/{chat['id']}")).json()
    message = stored["chat"]["history"]["messages"]["m1"]
    assert (message["done"], message["state"]) == (True, "stopped")
    assert (await there.http.get(f"/api/tasks/chat/{chat['id']}")).json()["task_ids"] == []
    assert (await there.http.post(f"/api/tasks/stop/{task_id}")).json()["status"] == "gone"
