"""Watching a channel, and posting to it."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.terminal import ClientError
from heliograph.terminal.script import run_script
from tests.integration.terminal.conftest import Sit, eventually
from tests.integration.terminal.test_chat import cut
from tests.support.server import Person, RunningServer


@pytest.fixture
async def ann(server: RunningServer) -> Person:
    return await server.signup("ann")


@pytest.fixture
async def bob(server: RunningServer) -> Person:
    return await server.signup("bob")


@pytest.fixture
async def channel(ann: Person) -> dict[str, Any]:
    answer = await ann.http.post("/api/v1/channels/create", json={"name": "garden"})
    assert answer.status_code == 200, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def post(person: Person, channel: dict[str, Any], content: str) -> None:
    path = f"/api/v1/channels/{channel['id']}/messages/post"
    answer = await person.http.post(path, json={"content": content})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("by", ["id", "name"])
async def test_a_channel_shows_what_was_and_what_comes(
    sit: Sit, ann: Person, bob: Person, channel: dict[str, Any], by: str
) -> None:
    await post(ann, channel, "before")
    seat = await sit(bob)
    await seat.client.watch(channel[by])
    await post(ann, channel, "after")
    await eventually(lambda: "ann: after" in seat.said)
    assert seat.said.splitlines() == ["#garden", "ann: before", "ann: after"]


async def test_an_own_message_is_not_shown_twice(
    sit: Sit, ann: Person, bob: Person, channel: dict[str, Any]
) -> None:
    seat = await sit(bob)
    view = await seat.client.watch("#garden")
    await view.arrival(await view.post("hello"))
    await post(ann, channel, "hello bob")
    await eventually(lambda: "ann: hello bob" in seat.said)
    assert "bob: hello" not in seat.said


async def test_what_was_posted_while_the_connection_was_away_is_shown_once(
    sit: Sit, server: RunningServer, ann: Person, bob: Person, channel: dict[str, Any]
) -> None:
    seat = await sit(bob)
    await seat.client.watch("garden")
    await post(ann, channel, "one")
    await eventually(lambda: "ann: one" in seat.said)
    cut(server, bob)
    await post(ann, channel, "two")
    await eventually(lambda: "ann: two" in seat.said)
    await post(ann, channel, "three")
    await eventually(lambda: "ann: three" in seat.said)
    assert [line for line in seat.said.splitlines() if line.startswith("ann")] == [
        "ann: one",
        "ann: two",
        "ann: three",
    ]


async def test_a_script_posts_and_waits_for_its_message_to_come_back(
    sit: Sit, bob: Person, channel: dict[str, Any]
) -> None:
    seat = await sit(bob, channel="garden", messages=("first", "second"))
    assert await run_script(seat.client) == 0
    stored = (await bob.http.get(f"/api/v1/channels/{channel['id']}/messages")).json()
    assert [message["content"] for message in stored] == ["second", "first"]


async def test_a_channel_that_is_not_there_is_refused_with_those_that_are(
    sit: Sit, bob: Person, channel: dict[str, Any]
) -> None:
    seat = await sit(bob)
    with pytest.raises(ClientError, match="no channel kitchen; yours: #garden"):
        await seat.client.watch("kitchen")
