"""Channels on SQLite and on PostgreSQL: the same answers, a bounded number of queries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import delete, event

from heliograph.channels import Channels, message_repository
from heliograph.delivery import Hub, MemoryBroker, Position, user_room
from heliograph.errors import BadPayload, Conflict, Forbidden, NotFound, TooLarge
from heliograph.principal import Principal
from heliograph.store import Database, now_s
from heliograph.store.models import ChannelMember, User

ANN = Principal("ann", "Ann", "user")
BEN = Principal("ben", "Ben", "user")
EVE = Principal("eve", "Eve", "user")
ROOT = Principal("root", "Root", "admin")


@pytest.fixture
async def hub() -> Hub:
    return Hub(MemoryBroker(120))


@pytest.fixture
async def channels(database: Database, hub: Hub) -> Channels:
    """Channels of ann, ben, eve, root, and pat, who is pending."""
    pat = Principal("pat", "Pat", "pending")
    async with database.write() as s:
        for who in (ANN, BEN, EVE, ROOT, pat):
            s.add(
                User(
                    id=who.id,
                    name=who.name,
                    email=f"{who.id}@example.org",
                    role=who.role,
                    created_at=now_s() - 10,
                    updated_at=0,
                    last_active_at=0,
                )
            )
    return Channels(database, hub)


async def events(hub: Hub, room: str) -> list[str]:
    """The bodies of the durable events of a room."""
    start = (await hub.broker.position(room))._replace(seq=0)
    return [logged.frame.body for logged in await hub.broker.replay(room, start)]


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """The SQL that is executed meanwhile."""
    seen: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def test_rooms_of_a_user_are_public_channels_and_memberships(channels: Channels) -> None:
    public = (await channels.create(ANN, "public"))["id"]
    secret = (await channels.create(ANN, "secret", private=True))["id"]
    assert await channels.channel_ids_of("ann") == [public, secret]
    assert await channels.channel_ids_of("ben") == [public]
    assert await channels.channel_ids_of("root") == [public]
    assert await channels.channel_ids_of("pat") == []
    assert await channels.channel_ids_of("nobody") == []
    await channels.members.add(ANN, secret, ["ben"])
    assert await channels.channel_ids_of("ben") == [public, secret]
    assert await channels.members.remove(ANN, secret, ["ben", "eve"]) == 1
    assert await channels.channel_ids_of("ben") == [public]


async def test_who_may_read(channels: Channels) -> None:
    public = (await channels.create(ANN, "public"))["id"]
    secret = (await channels.create(ANN, "secret", private=True))["id"]
    assert [await channels.may_read(BEN, c) for c in (public, secret, "none")] == [
        True,
        False,
        False,
    ]
    assert await channels.may_read(ANN, secret)
    assert await channels.may_read(ROOT, secret)


async def test_who_has_read_an_administered_channel_is_no_member(
    channels: Channels, database: Database
) -> None:
    secret = (await channels.create(ANN, "secret", private=True))["id"]
    async with database.write() as s:
        s.add(
            ChannelMember(
                channel_id=secret, user_id="eve", role="reader", joined_at=0, last_read_at=0
            )
        )
    assert not await channels.may_read(EVE, secret)
    assert await channels.channel_ids_of("eve") == []
    assert (await channels.members.page(ANN, secret))[1] == 1
    (added,) = await channels.members.add(ANN, secret, ["eve"])
    assert added["user_id"] == "eve"
    assert await channels.may_read(EVE, secret)


async def test_history_is_not_news_to_a_new_member(channels: Channels) -> None:
    secret = (await channels.create(ANN, "secret", private=True))["id"]
    await channels.messages.post(ANN, secret, "before")
    await channels.members.add(ANN, secret, ["ben"])
    await channels.messages.post(ANN, secret, "after")
    (view,) = await channels.page(BEN)
    assert view["unread_count"] == 1


async def test_messages_from_before_the_account_are_not_news(
    channels: Channels, database: Database
) -> None:
    public = (await channels.create(ANN, "public"))["id"]
    await channels.messages.post(ANN, public, "hello")
    assert (await channels.get(BEN, public))["unread_count"] == 1
    async with database.write() as s:
        s.add(
            User(
                id="new",
                name="New",
                email="new@example.org",
                role="user",
                created_at=now_s() + 10,
                updated_at=0,
                last_active_at=0,
            )
        )
    assert (await channels.get(Principal("new", "New", "user"), public))["unread_count"] == 0


async def test_times_grow_though_the_clock_stands_still(
    channels: Channels, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = (await channels.create(ANN, "c"))["id"]
    monkeypatch.setattr(message_repository, "now_ns", lambda: 1_000)
    posts = [await channels.messages.post(ANN, channel, str(number)) for number in range(5)]
    assert [post["created_at"] for post in posts] == [1_000, 1_001, 1_002, 1_003, 1_004]
    page = await channels.messages.page(ANN, channel)
    assert [message["content"] for message in page] == ["4", "3", "2", "1", "0"]


async def test_posts_at_once_are_announced_in_the_order_of_the_list(
    channels: Channels, hub: Hub
) -> None:
    channel = (await channels.create(ANN, "c"))["id"]
    await asyncio.gather(
        *(
            channels.messages.post(who, channel, f"{who.id}-{n}")
            for n in range(20)
            for who in (ANN, BEN)
        )
    )
    page = await channels.messages.page(ANN, channel, limit=200)
    told = await events(hub, f"channel:{channel}")
    assert len(told) == len(page) == 40
    for message, body in zip(reversed(page), told, strict=True):
        assert f'"content":"{message["content"]}"' in body


async def test_a_slow_event_is_not_overtaken(
    channels: Channels, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = (await channels.create(ANN, "c"))["id"]
    publish = hub.publish
    delays = iter([0.1])

    async def slow_at_first(*args: Any, **options: Any) -> Position:
        await asyncio.sleep(next(delays, 0))
        return await publish(*args, **options)

    monkeypatch.setattr(hub, "publish", slow_at_first)
    await asyncio.gather(*(channels.messages.post(ANN, channel, str(n)) for n in range(5)))
    page = await channels.messages.page(ANN, channel)
    for message, body in zip(page[::-1], await events(hub, f"channel:{channel}"), strict=True):
        assert f'"content":"{message["content"]}"' in body


async def test_changes_of_two_processes_keep_their_times_apart(
    channels: Channels, database: Database, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ``Channels`` share no lock in memory, as two replicas do not."""
    channel = (await channels.create(ANN, "c"))["id"]
    monkeypatch.setattr(message_repository, "now_ns", lambda: 1_000)
    other = Channels(database, hub)
    await asyncio.gather(
        *(one.messages.post(ANN, channel, str(n)) for n in range(10) for one in (channels, other))
    )
    page = await channels.messages.page(ANN, channel, limit=200)
    assert sorted(message["created_at"] for message in page) == list(range(1_000, 1_020))


async def test_the_same_reaction_at_once_is_one(channels: Channels, hub: Hub) -> None:
    channel = (await channels.create(ANN, "c"))["id"]
    message = (await channels.messages.post(ANN, channel, "m"))["id"]
    await asyncio.gather(*(channels.messages.react(BEN, channel, message, "+1") for _ in range(10)))
    (listed,) = await channels.messages.page(ANN, channel)
    assert [(r["name"], r["count"]) for r in listed["reactions"]] == [("+1", 1)]
    assert len(await events(hub, f"channel:{channel}")) == 2


async def test_a_page_of_messages_costs_the_same_however_long_it_is(
    channels: Channels, database: Database
) -> None:
    channel = (await channels.create(ANN, "c"))["id"]
    for number in range(20):
        message = await channels.messages.post(BEN if number % 2 else ANN, channel, "m")
        await channels.messages.react(EVE, channel, message["id"], "+1")
        await channels.messages.post(EVE, channel, "r", parent_id=message["id"])
    with statements(database) as short:
        await channels.messages.page(ANN, channel, limit=2)
    with statements(database) as long:
        page = await channels.messages.page(ANN, channel, limit=50)
    assert len(page) == 20
    assert all(m["reply_count"] == 1 and m["reactions"][0]["count"] == 1 for m in page)
    assert len(long) == len(short) <= 4


async def test_a_page_of_channels_is_one_query(channels: Channels, database: Database) -> None:
    for number in range(5):
        channel = (await channels.create(ANN, str(number)))["id"]
        await channels.messages.post(ANN, channel, "m")
    with statements(database) as seen:
        views = await channels.page(BEN)
    assert [view["unread_count"] for view in views] == [1] * 5
    assert len(seen) == 1


async def test_a_refused_change_changes_and_tells_nothing(channels: Channels, hub: Hub) -> None:
    secret = (await channels.create(ANN, "secret", private=True))["id"]
    await channels.members.add(ANN, secret, ["ben"])
    message = await channels.messages.post(ANN, secret, "m")
    before = await events(hub, f"channel:{secret}")
    for refusal, attempt in [
        (Forbidden, channels.update(BEN, secret, name="x")),
        (Forbidden, channels.delete(BEN, secret)),
        (Forbidden, channels.members.add(BEN, secret, ["eve"])),
        (Forbidden, channels.members.remove(BEN, secret, ["ann"])),
        (Conflict, channels.members.remove(ROOT, secret, ["ann"])),
        (NotFound, channels.members.add(ANN, secret, ["eve", "pat"])),
        (BadPayload, channels.members.add(ANN, secret, [])),
        (Forbidden, channels.messages.edit(BEN, secret, message["id"], "x")),
        (Forbidden, channels.messages.delete(BEN, secret, message["id"])),
        (NotFound, channels.messages.post(EVE, secret, "x")),
        (NotFound, channels.messages.react(EVE, secret, message["id"], "+1")),
        (BadPayload, channels.messages.post(BEN, secret, "a\x00b")),
        (TooLarge, channels.messages.post(BEN, secret, "x" * 100_001)),
        (NotFound, channels.messages.post(BEN, secret, "x", parent_id="none")),
    ]:
        with pytest.raises(refusal):
            await attempt
    assert await events(hub, f"channel:{secret}") == before
    assert await channels.messages.page(ANN, secret) == [message]
    assert (await channels.members.page(ANN, secret))[1] == 2


async def test_merged_data_stays_within_its_size(channels: Channels) -> None:
    channel = (await channels.create(ANN, "c"))["id"]
    message = await channels.messages.post(ANN, channel, "m", data={"a": "x" * 40_000})
    with pytest.raises(TooLarge):
        await channels.messages.edit(ANN, channel, message["id"], "m", data={"b": "x" * 40_000})
    assert await channels.messages.page(ANN, channel) == [message]


async def test_strange_text_is_kept(channels: Channels) -> None:
    channel = (await channels.create(ANN, "名前 👨‍👩‍👧", description="\x1b"))["id"]
    content = "\U0001d518 \u202e \ufeff \x01 'quoted'; DROP TABLE users; -- \\u0000 %s"
    said = await channels.messages.post(ANN, channel, content, data={"a": ["\x00", "\x7f"]})
    (listed,) = await channels.messages.page(BEN, channel)
    assert (listed["content"], listed["data"]) == (content, {"a": ["\x00", "\x7f"]})
    assert listed == said


async def test_a_user_who_is_deleted_leaves_no_messages(
    channels: Channels, database: Database
) -> None:
    channel = (await channels.create(ANN, "c"))["id"]
    root = await channels.messages.post(BEN, channel, "root")
    await channels.messages.post(ANN, channel, "reply", parent_id=root["id"])
    kept = await channels.messages.post(ANN, channel, "kept")
    await channels.messages.react(BEN, channel, kept["id"], "+1")
    async with database.write() as s:
        await s.execute(delete(User).where(User.id == "ben"))
    assert await channels.messages.page(ANN, channel) == [kept]


async def test_members_of_a_channel_that_was_public_meanwhile_are_members_again(
    channels: Channels,
) -> None:
    secret = (await channels.create(ANN, "secret", private=True))["id"]
    await channels.members.add(ANN, secret, ["ben"])
    await channels.update(ANN, secret, private=False)
    with pytest.raises(Conflict):
        await channels.members.add(ANN, secret, ["eve"])
    assert await channels.may_read(EVE, secret)
    await channels.update(ANN, secret, private=True)
    assert await channels.may_read(BEN, secret)
    assert not await channels.may_read(EVE, secret)


async def test_a_removed_member_is_told_in_the_own_room_only(channels: Channels, hub: Hub) -> None:
    secret = (await channels.create(ANN, "secret", private=True))["id"]
    await channels.members.add(ANN, secret, ["ben"])
    await channels.members.remove(ANN, secret, ["ben"])
    told = [body for body in await events(hub, user_room("ben")) if body]
    assert ['"channel:created"' in told[0], '"channel:deleted"' in told[1]] == [True, True]
    assert "secret" not in told[1]
