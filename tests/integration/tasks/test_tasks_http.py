"""Tasks over HTTP: who may list and stop which."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from heliograph.tasks import Task
from tests.support.server import Person, RunningServer


@pytest.fixture
async def task(server: RunningServer) -> Task:
    """A task of ann's that never ends."""
    ann = await server.signup("ann")

    async def endless(task: Task) -> None:
        await asyncio.Event().wait()

    return await server.services.tasks.start(
        endless, item="chat-1", user_id=ann.id, label="chat m1"
    )


async def listed(person: Person) -> Any:
    return (await person.http.get("/api/tasks")).json()


async def test_a_foreign_task_can_neither_be_seen_nor_stopped(
    server: RunningServer, task: Task
) -> None:
    bob = await server.signup("bob")
    assert await listed(bob) == {"tasks": [], "total": 0}
    answer = await bob.http.post(f"/api/tasks/stop/{task.id}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert task.state == "running"


async def test_an_administrator_lists_and_stops_all(server: RunningServer, task: Task) -> None:
    found = await listed(server.root)
    assert found["total"] == 1
    [entry] = found["tasks"]
    assert entry["id"] == task.id
    assert (entry["item"], entry["state"], entry["label"]) == ("chat-1", "running", "chat m1")
    assert entry["owner"] == server.services.tasks.owner
    assert entry["age"] >= 0
    answer = await server.root.http.post(f"/api/tasks/stop/{task.id}")
    assert answer.json()["status"] == "stopped"
    assert await task.wait() == "stopped"
    assert await listed(server.root) == {"tasks": [], "total": 0}
    answer = await server.root.http.post(f"/api/tasks/stop/{task.id}")
    assert answer.json()["status"] == "gone"


async def test_an_unknown_task_is_gone_and_a_bad_id_refused(server: RunningServer) -> None:
    answer = await server.root.http.post("/api/tasks/stop/unheard-of")
    assert (answer.status_code, answer.json()["status"]) == (200, "gone")
    answer = await server.root.http.post(f"/api/tasks/stop/{'x' * 65}")
    assert answer.status_code == 422


async def test_the_list_is_paged(server: RunningServer, task: Task) -> None:
    page = (await server.root.http.get("/api/tasks", params={"skip": 1})).json()
    assert page == {"tasks": [], "total": 1}
    assert (await server.root.http.get("/api/tasks", params={"limit": 0})).status_code == 422
