"""Listeners in rooms: what replicas tell each other flows through rooms, too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from heliograph.delivery import Hub, MemoryBroker


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    hub = Hub(MemoryBroker(60))
    await hub.start()
    yield hub
    await hub.stop()


async def test_a_listener_hears_the_instructions_of_its_room_in_order(hub: Hub) -> None:
    heard: list[Any] = []
    await hub.instruct("replica:a", {"do": "early"})
    await hub.listen("replica:a", heard.append)
    for number in range(3):
        await hub.instruct("replica:a", {"do": "x", "n": number})
        await hub.instruct("replica:b", {"do": "other"})
    await hub.publish("replica:a", "an event", {})
    assert [said.get("n") for said in heard] == [0, 1, 2]


async def test_a_listener_that_left_hears_nothing_and_the_room_is_left_with_the_last(
    hub: Hub,
) -> None:
    first: list[Any] = []
    second: list[Any] = []
    await hub.listen("replicas", first.append)
    await hub.listen("replicas", second.append)
    await hub.unlisten("replicas", first.append)
    await hub.instruct("replicas", {"do": "x"})
    assert (len(first), len(second)) == (0, 1)
    await hub.unlisten("replicas", second.append)
    await hub.unlisten("replicas", second.append)
    await hub.instruct("replicas", {"do": "x"})
    assert len(second) == 1


async def test_a_listener_that_fails_keeps_nobody_else_from_hearing(hub: Hub) -> None:
    heard: list[Any] = []

    def broken(instruction: dict[str, Any]) -> None:
        raise RuntimeError("broken")

    await hub.listen("replicas", broken)
    await hub.listen("replicas", heard.append)
    await hub.instruct("replicas", {"do": "x"})
    assert heard == [{"do": "x"}]
