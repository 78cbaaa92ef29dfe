"""Sessions whose membership changes while their client is away, or in the same moment.

What counts is what was ordered last, not what a session hears last.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from heliograph.channels import Channels
from heliograph.delivery import (
    Frame,
    Hub,
    Lifecycle,
    MemoryBroker,
    MemorySessionRecords,
    Position,
    Session,
)
from heliograph.delivery.broker import Logged
from heliograph.principal import Principal
from heliograph.store import Database
from heliograph.store.models import User
from tests.support.bare import until

ANN = Principal("ann", "Ann", "user")
BEN = Principal("ben", "Ben", "user")


class Wire:
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.events: list[list[Any]] = []

    def push(self, packets: Any) -> None:
        for packet in packets:
            self.events.append(json.loads(packet.data[1:]))

    def deliver(
        self, frame: Frame, *, offset: str | None = None, ack_id: int | None = None
    ) -> None:
        self.push(frame.packets(offset=offset, ack_id=ack_id))

    def end(self, code: int, reason: str) -> None:
        """Nothing to close."""

    async def drained(self) -> None:
        """Never full."""

    def contents(self) -> list[str]:
        """What was said in channels."""
        return [
            event["data"]["data"]["content"]
            for name, event, *_ in self.events
            if name == "events:channel" and event["data"]["type"] == "message"
        ]


class DistantBroker(MemoryBroker):
    """Answers later, as a broker on the network does: orders can overtake each other."""

    async def subscribe(self, room: str) -> Position:
        await asyncio.sleep(0)
        return await super().subscribe(room)

    async def position(self, room: str) -> Position:
        await asyncio.sleep(0)
        return await super().position(room)

    async def replay(self, room: str, since: Position) -> list[Logged]:
        for _ in range(3):
            await asyncio.sleep(0)
        return await super().replay(room, since)


class World:
    """Channels over a hub, without a network."""

    def __init__(self, database: Database) -> None:
        self.hub = Hub(DistantBroker(120))
        self.lifecycle = Lifecycle(self.hub, MemorySessionRecords(), 120)
        self.channels = Channels(database, self.hub)

    async def begin(self, user: Principal) -> tuple[Session, Wire]:
        """A live session in all its rooms."""
        wire = Wire()
        session = await self.lifecycle.begin(user, wire, recoverable=True)
        await self.channels.enter_rooms(session)
        self.lifecycle.go_live(session)
        await until(lambda: session.live)
        return session, wire

    def away(self, session: Session) -> None:
        """The transport breaks."""
        assert session.link is not None
        self.lifecycle.detach(session, session.link)

    async def back(self, session: Session, offset: str | None = None) -> Wire:
        """The client returns and has got all it missed."""
        wire = Wire()
        assert session.pid is not None
        assert session.user is not None
        found = await self.lifecycle.recover(session.pid, offset, session.user, wire)
        assert found is session
        self.lifecycle.go_live(session)
        await until(lambda: session.live)
        await self.hub.publish("user:" + session.user.id, "marker", {})
        await until(lambda: any(event[0] == "marker" for event in wire.events))
        return wire


@pytest.fixture
async def world(sqlite_url: str) -> AsyncIterator[World]:
    async with Database(sqlite_url) as database:
        async with database.write() as s:
            for who in (ANN, BEN):
                s.add(
                    User(
                        id=who.id,
                        name=who.name,
                        email=f"{who.id}@example.org",
                        role=who.role,
                        created_at=0,
                        updated_at=0,
                        last_active_at=0,
                    )
                )
        world = World(database)
        await world.hub.start()
        yield world
        await world.lifecycle.stop()
        await world.hub.stop()


Step = Callable[[Channels, str], Awaitable[Any]]
STEPS: dict[str, Step] = {
    "add": lambda channels, id_: channels.members.add(ANN, id_, ["ben"]),
    "remove": lambda channels, id_: channels.members.remove(ANN, id_, ["ben"]),
    "public": lambda channels, id_: channels.update(ANN, id_, private=False),
    "private": lambda channels, id_: channels.update(ANN, id_, private=True),
    "post": lambda channels, id_: channels.messages.post(ANN, id_, "said meanwhile"),
}


@pytest.mark.parametrize(
    ("before", "meanwhile", "is_in"),
    [
        ([], ["add"], True),
        ([], ["add", "remove"], False),
        ([], ["add", "remove", "add"], True),
        ([], ["add", "post", "remove", "post"], False),
        ([], ["public"], True),
        ([], ["public", "private"], False),
        ([], ["public", "private", "public"], True),
        ([], ["public", "private", "add"], True),
        ([], ["add", "public", "private"], True),
        ([], ["add", "public", "private", "remove"], False),
        (["add"], ["remove"], False),
        (["add"], ["remove", "add"], True),
        (["add"], ["remove", "public"], True),
        (["add"], ["public", "private"], True),
        (["add"], ["public", "private", "remove"], False),
        (["add", "remove"], ["post"], False),
        (["add", "remove", "add"], ["post"], True),
        (["public"], ["private"], False),
        (["public"], ["private", "public"], True),
        (["public"], ["private", "add"], True),
        (["public"], ["private", "add", "remove"], False),
        (["public", "private"], ["post"], False),
        (["public", "private", "add"], ["post"], True),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
@pytest.mark.parametrize("how", ["away", "at once"])
async def test_the_last_order_counts(
    world: World, before: list[str], meanwhile: list[str], is_in: bool, how: str
) -> None:
    channel = (await world.channels.create(ANN, "c", private=True))["id"]
    session, wire = await world.begin(BEN)
    for step in before:
        await STEPS[step](world.channels, channel)
    if how == "away":
        world.away(session)
    for step in meanwhile:
        await STEPS[step](world.channels, channel)
    if how == "away":
        wire = await world.back(session)
    await until(lambda: (f"channel:{channel}" in session.positions) is is_in)
    await world.channels.messages.post(ANN, channel, "said after")
    for _ in range(50):  # a late admission would take effect within these turns
        await asyncio.sleep(0)
    assert ("said after" in wire.contents()) is is_in
    assert (f"channel:{channel}" in session.positions) is is_in


async def test_what_was_said_after_a_removal_is_not_replayed(world: World) -> None:
    channel = (await world.channels.create(ANN, "c", private=True))["id"]
    await world.channels.members.add(ANN, channel, ["ben"])
    session, _ = await world.begin(BEN)
    world.away(session)
    await world.channels.messages.post(ANN, channel, "for ben")
    await world.channels.members.remove(ANN, channel, ["ben"])
    await world.channels.messages.post(ANN, channel, "not for ben")
    wire = await world.back(session)
    assert "not for ben" not in wire.contents()
    assert f"channel:{channel}" not in session.positions


async def test_what_was_said_after_an_admission_is_replayed(world: World) -> None:
    channel = (await world.channels.create(ANN, "c", private=True))["id"]
    session, _ = await world.begin(BEN)
    world.away(session)
    await world.channels.messages.post(ANN, channel, "before")
    await world.channels.members.add(ANN, channel, ["ben"])
    for number in range(3):
        await world.channels.messages.post(ANN, channel, str(number))
    wire = await world.back(session)
    await until(lambda: wire.contents() == ["0", "1", "2"])


async def test_typing_is_not_replayed(world: World) -> None:
    channel = (await world.channels.create(ANN, "c"))["id"]
    mine, _ = await world.begin(ANN)
    session, _ = await world.begin(BEN)
    world.away(session)
    await world.channels.typing(mine, channel, True)
    await world.channels.messages.post(ANN, channel, "said")
    wire = await world.back(session)
    names = [event["data"]["type"] for name, event, *_ in wire.events if name == "events:channel"]
    assert names == ["message"]


async def test_who_is_removed_while_joining_is_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = (await world.channels.create(ANN, "c", private=True))["id"]
    await world.channels.members.add(ANN, channel, ["ben"])
    looked_up, removed = asyncio.Event(), asyncio.Event()
    join = world.hub.join

    async def slow_join(session: Session, *rooms: str, **options: Any) -> None:
        if f"channel:{channel}" in rooms:
            looked_up.set()
            await removed.wait()
        await join(session, *rooms, **options)

    monkeypatch.setattr(world.hub, "join", slow_join)
    beginning = asyncio.create_task(world.begin(BEN))
    await looked_up.wait()
    await world.channels.members.remove(ANN, channel, ["ben"])
    removed.set()
    session, wire = await beginning
    await world.channels.messages.post(ANN, channel, "not for ben")
    assert f"channel:{channel}" not in session.positions
    assert wire.contents() == []
