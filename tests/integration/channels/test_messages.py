"""Messages, threads and reactions: what is stored, what is told, who may change what."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.channels import limits
from tests.integration.channels.support import (
    API,
    contents,
    create,
    create_private,
    good,
    joined,
    kinds,
    messages,
    of_type,
    post,
    refused,
    settled,
)
from tests.support.server import RunningServer


async def test_a_message_is_stored_and_told_in_the_same_shape(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create(ann)
    his = await joined(ben)
    said = await post(
        ann, channel, "hello", temp_id="t-1", data={"files": [{"id": "f"}]}, meta={"k": 1}
    )
    assert said["user"] == {"id": ann.id, "name": "ann", "role": "user"}
    assert said["data"] == {"files": [{"id": "f"}]}
    assert said["meta"] == {"k": 1}
    assert (said["parent_id"], said["reactions"], said["reply_count"]) == (None, [], 0)
    assert said["latest_reply_at"] is None
    assert await messages(ben, channel) == [said]
    assert good(await ben.http.get(f"{API}/{channel['id']}/messages/{said['id']}")) == said
    event = await his.expect("events:channel", where=of_type("message"))
    assert event == {
        "channel_id": channel["id"],
        "message_id": said["id"],
        "data": {"type": "message", "data": {"temp_id": "t-1", **said}},
        "user": {"id": ann.id, "name": "ann", "role": "user"},
        "channel": {key: event["channel"][key] for key in event["channel"]},
    }
    assert event["channel"]["id"] == channel["id"]
    assert event["channel"]["name"] == "general"


async def test_the_sender_gets_the_event_too(server: RunningServer) -> None:
    ann = await server.signup("ann")
    channel = await create(ann)
    hers = await joined(ann)
    await post(ann, channel, "hello", temp_id="t-1")
    event = await hers.expect("events:channel", where=of_type("message"))
    assert event["data"]["data"]["temp_id"] == "t-1"


async def test_messages_are_paged_newest_first(server: RunningServer) -> None:
    ann = await server.signup("ann")
    channel = await create(ann)
    for number in range(7):
        await post(ann, channel, f"m{number}")
    page = await messages(ann, channel, skip=2, limit=3)
    assert [message["content"] for message in page] == ["m4", "m3", "m2"]
    assert len(await messages(ann, channel)) == 7


async def test_a_reply_is_told_with_its_parent(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create(ann)
    root = await post(ann, channel, "root")
    hers = await joined(ann)
    reply = await post(ben, channel, "reply", parent_id=root["id"])
    first = await hers.expect("events:channel")
    second = await hers.expect("events:channel")
    assert first["data"]["type"] == "message"
    assert first["data"]["data"]["parent_id"] == root["id"]
    assert second["data"]["type"] == "message:reply"
    assert second["message_id"] == root["id"]
    assert second["user"]["id"] == ben.id
    parent = second["data"]["data"]
    assert (parent["id"], parent["content"]) == (root["id"], "root")
    assert (parent["reply_count"], parent["latest_reply_at"]) == (1, reply["created_at"])
    assert await messages(ann, channel) == [parent]


async def test_a_reply_to_a_reply_joins_the_thread(server: RunningServer) -> None:
    ann = await server.signup("ann")
    channel = await create(ann)
    root = await post(ann, channel, "root")
    first = await post(ann, channel, "first", parent_id=root["id"])
    second = await post(ann, channel, "second", parent_id=first["id"])
    assert second["parent_id"] == root["id"]
    for message in (root, first, second):
        path = f"{API}/{channel['id']}/messages/{message['id']}/thread"
        thread = good(await ann.http.get(path))
        assert [entry["content"] for entry in thread] == ["second", "first", "root"]
    page = good(await ann.http.get(path, params={"skip": 1, "limit": 1}))
    assert [entry["content"] for entry in page] == ["first"]


async def test_an_edit_changes_the_message_and_is_told(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create(ann)
    said = await post(ann, channel, "helo", data={"a": 1})
    his = await joined(ben)
    path = f"{API}/{channel['id']}/messages/{said['id']}/update"
    edited = good(await ann.http.post(path, json={"content": "hello", "data": {"b": 2}}))
    assert edited["content"] == "hello"
    assert edited["data"] == {"a": 1, "b": 2}
    assert edited["created_at"] == said["created_at"]
    assert edited["updated_at"] > said["updated_at"]
    event = await his.expect("events:channel", where=of_type("message:update"))
    assert (event["message_id"], event["data"]["data"]) == (said["id"], edited)
    assert await messages(ben, channel) == [edited]


async def test_a_deleted_message_takes_its_thread_along(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create(ann)
    kept = await post(ann, channel, "kept")
    root = await post(ann, channel, "root")
    reply = await post(ben, channel, "reply", parent_id=root["id"])
    his = await joined(ben)
    path = f"{API}/{channel['id']}/messages"
    assert good(await ann.http.delete(f"{path}/{root['id']}/delete")) is True
    event = await his.expect("events:channel")
    assert (event["data"]["type"], event["message_id"]) == ("message:delete", root["id"])
    assert await messages(ann, channel) == [kept]
    refused(await ann.http.get(f"{path}/{reply['id']}"), 404, "not_found")
    await settled(server, his, ben)
    assert kinds(his) == ["message:delete"]


async def test_a_deleted_reply_changes_the_count_of_its_thread(server: RunningServer) -> None:
    ann = await server.signup("ann")
    channel = await create(ann)
    root = await post(ann, channel, "root")
    reply = await post(ann, channel, "reply", parent_id=root["id"])
    hers = await joined(ann)
    good(await ann.http.delete(f"{API}/{channel['id']}/messages/{reply['id']}/delete"))
    assert (await hers.expect("events:channel"))["data"]["type"] == "message:delete"
    event = await hers.expect("events:channel", where=of_type("message:reply"))
    assert event["message_id"] == root["id"]
    assert event["data"]["data"]["reply_count"] == 0


async def test_reactions_are_grouped_and_told(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create(ann)
    said = await post(ann, channel)
    hers = await joined(ann)
    path = f"{API}/{channel['id']}/messages/{said['id']}/reactions"
    for person, name in ((ann, "+1"), (ben, "+1"), (ben, "👨‍👩‍👧")):
        assert good(await person.http.post(f"{path}/add", json={"name": name})) is True
    (listed,) = await messages(ann, channel)
    assert listed["reactions"] == [
        {
            "name": "+1",
            "users": [{"id": ann.id, "name": "ann"}, {"id": ben.id, "name": "ben"}],
            "user_ids": [ann.id, ben.id],
            "count": 2,
        },
        {
            "name": "👨‍👩‍👧",
            "users": [{"id": ben.id, "name": "ben"}],
            "user_ids": [ben.id],
            "count": 1,
        },
    ]
    told = [await hers.expect("events:channel") for _ in range(3)]
    assert [event["data"]["type"] for event in told] == ["message:reaction:add"] * 3
    assert [event["data"]["data"]["name"] for event in told] == ["+1", "+1", "👨‍👩‍👧"]
    assert told[2]["data"]["data"] == {**listed, "name": "👨‍👩‍👧"}
    assert told[2]["user"]["id"] == ben.id

    assert good(await ben.http.post(f"{path}/remove", json={"name": "+1"})) is True
    event = await hers.expect("events:channel", where=of_type("message:reaction:remove"))
    assert event["data"]["data"]["name"] == "+1"
    assert event["data"]["data"]["reactions"][0]["user_ids"] == [ann.id]


async def test_a_reaction_twice_is_one(server: RunningServer) -> None:
    ann = await server.signup("ann")
    channel = await create(ann)
    said = await post(ann, channel)
    hers = await joined(ann)
    path = f"{API}/{channel['id']}/messages/{said['id']}/reactions"
    for action in ("add", "add", "remove", "remove"):
        assert good(await ann.http.post(f"{path}/{action}", json={"name": "+1"})) is True
    await settled(server, hers, ann)
    assert kinds(hers) == ["message:reaction:add", "message:reaction:remove"]


async def test_different_reactions_to_one_message_are_bounded(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_REACTIONS", 3)
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create(ann)
    said = await post(ann, channel)
    path = f"{API}/{channel['id']}/messages/{said['id']}/reactions/add"
    for number in range(3):
        good(await ann.http.post(path, json={"name": f"r{number}"}))
    refused(await ann.http.post(path, json={"name": "one more"}), 409, "conflict")
    good(await ben.http.post(path, json={"name": "r0"}))


# -- who may ---------------------------------------------------------------------------


async def test_a_message_is_changed_by_its_author_and_by_managers(server: RunningServer) -> None:
    manager, author, member = [await server.signup(n) for n in ("manager", "author", "member")]
    channel = await create_private(manager, author, member)
    for person in (author, manager, server.root):
        said = await post(author, channel, "mine")
        path = f"{API}/{channel['id']}/messages/{said['id']}"
        for answer in (
            await member.http.post(f"{path}/update", json={"content": "changed"}),
            await member.http.delete(f"{path}/delete"),
        ):
            refused(answer, 403, "forbidden")
        assert await messages(author, channel) == [said]
        good(await person.http.post(f"{path}/update", json={"content": "changed"}))
        (listed,) = await messages(author, channel)
        assert (listed["content"], listed["user"]["id"]) == ("changed", author.id)
        good(await person.http.delete(f"{path}/delete"))
        assert await messages(author, channel) == []


async def test_a_message_is_found_in_its_own_channel_only(server: RunningServer) -> None:
    ann, eve = await server.signup("ann"), await server.signup("eve")
    secret = await create_private(ann)
    said = await post(ann, secret, "secret")
    other = await create(eve, "mine")
    path = f"{API}/{other['id']}/messages/{said['id']}"
    for answer in (
        await eve.http.get(path),
        await eve.http.get(f"{path}/thread"),
        await eve.http.post(f"{path}/update", json={"content": "x"}),
        await eve.http.delete(f"{path}/delete"),
        await eve.http.post(f"{path}/reactions/add", json={"name": "x"}),
        await eve.http.post(f"{path}/reactions/remove", json={"name": "x"}),
        await eve.http.post(
            f"{API}/{other['id']}/messages/post", json={"content": "x", "parent_id": said["id"]}
        ),
    ):
        refused(answer, 404, "not_found")
    assert await messages(ann, secret) == [said]
    assert await messages(eve, other) == []


async def test_an_author_who_was_removed_changes_nothing(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create_private(ann, ben)
    said = await post(ben, channel, "mine")
    body = {"user_ids": [ben.id]}
    path = f"{API}/{channel['id']}"
    assert good(await ann.http.post(f"{path}/update/members/remove", json=body)) == 1
    edit = await ben.http.post(f"{path}/messages/{said['id']}/update", json={"content": "x"})
    refused(edit, 404, "not_found")
    assert await messages(ann, channel) == [said]


# -- bad input -------------------------------------------------------------------------

DEEP: dict[str, Any] = {}
for _ in range(100):
    DEEP = {"a": DEEP}


BAD_MESSAGES: list[tuple[Any, int, str]] = [
    ({}, 422, "bad_payload"),
    ({"content": ""}, 422, "bad_payload"),
    ({"content": None}, 422, "bad_payload"),
    ({"content": 1}, 422, "bad_payload"),
    ({"content": ["a"]}, 422, "bad_payload"),
    ({"content": "a\x00b"}, 422, "bad_payload"),
    ({"content": "x" * 100_001}, 413, "too_large"),
    ({"content": "x" * 1_000_000}, 413, "too_large"),
    ({"content": "a", "parent_id": 3}, 422, "bad_payload"),
    ({"content": "a", "parent_id": "a b"}, 422, "bad_payload"),
    ({"content": "a", "parent_id": "nothing"}, 404, "not_found"),
    ({"content": "a", "data": "text"}, 422, "bad_payload"),
    ({"content": "a", "data": {"n": 2**70}}, 422, "bad_payload"),
    ({"content": "a", "data": DEEP}, 422, "bad_payload"),
    ({"content": "a", "meta": {"x": "y" * 70_000}}, 413, "too_large"),
    ({"content": "a", "temp_id": "t" * 201}, 413, "too_large"),
    ("text", 422, "bad_payload"),
]


async def test_a_bad_message_is_refused_and_nobody_hears_of_it(server: RunningServer) -> None:
    ann = await server.signup("ann")
    channel = await create(ann)
    kept = await post(ann, channel, "kept")
    hers = await joined(ann)
    path = f"{API}/{channel['id']}/messages"
    for body, status, code in BAD_MESSAGES:
        refused(await ann.http.post(f"{path}/post", json=body), status, code)
        if not {"parent_id", "temp_id"} & set(body):
            refused(await ann.http.post(f"{path}/{kept['id']}/update", json=body), status, code)
    assert await messages(ann, channel) == [kept]
    await settled(server, hers, ann)
    assert kinds(hers) == []


NO_TEXT = [
    b'{"content": "half \\ud83d"}',
    b'{"content": "a", "data": {"x": "\\ud83d"}}',
    b'{"content": "a", "data": {"\\ud83d": 1}}',
    b'{"content": "\xff"}',
    b"{",
    b"",
]


async def test_text_that_is_none_is_refused(server: RunningServer) -> None:
    ann = await server.signup("ann")
    channel = await create(ann)
    path = f"{API}/{channel['id']}/messages/post"
    headers = {"Content-Type": "application/json"}
    for raw in NO_TEXT:
        answer = await ann.http.post(path, content=raw, headers=headers)
        assert answer.status_code in (400, 422), answer.text
    assert await messages(ann, channel) == []


async def test_a_number_that_json_has_not_is_stored_as_null(server: RunningServer) -> None:
    ann = await server.signup("ann")
    channel = await create(ann)
    raw = b'{"content": "a", "data": {"x": NaN}}'
    path = f"{API}/{channel['id']}/messages/post"
    answer = await ann.http.post(path, content=raw, headers={"Content-Type": "application/json"})
    assert good(answer)["data"] == {"x": None}
    assert [message["data"] for message in await messages(ann, channel)] == [{"x": None}]


async def test_a_message_of_the_greatest_length_arrives(server: RunningServer) -> None:
    ann = await server.signup("ann")
    channel = await create(ann)
    hers = await joined(ann)
    await post(ann, channel, "ü" * 100_000)
    await hers.expect("events:channel", where=of_type("message"))
    assert contents(hers) == ["ü" * 100_000]


BAD_REACTIONS: list[tuple[object, int, str]] = [
    ("", 422, "bad_payload"),
    ("  ", 422, "bad_payload"),
    ("a\x00", 422, "bad_payload"),
    ("a\nb", 422, "bad_payload"),
    ("x" * 101, 413, "too_large"),
    (5, 422, "bad_payload"),
    (None, 422, "bad_payload"),
]


async def test_a_bad_reaction_is_refused(server: RunningServer) -> None:
    ann = await server.signup("ann")
    channel = await create(ann)
    said = await post(ann, channel)
    path = f"{API}/{channel['id']}/messages/{said['id']}/reactions"
    for name, status, code in BAD_REACTIONS:
        for action in ("add", "remove"):
            refused(await ann.http.post(f"{path}/{action}", json={"name": name}), status, code)
    assert await messages(ann, channel) == [said]
