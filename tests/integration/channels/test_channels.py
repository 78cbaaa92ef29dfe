"""Channels over HTTP: what they are, who sees them, who may change them."""

from __future__ import annotations

from typing import Any

from tests.integration.channels.support import (
    API,
    add,
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


async def test_a_new_channel_is_public_and_its_creator_manages_it(server: RunningServer) -> None:
    ann = await server.signup("ann")
    channel = await create(ann, "  general ", description="for all")
    assert channel["name"] == "general"
    assert channel["description"] == "for all"
    assert channel["private"] is False
    assert channel["user_id"] == ann.id
    assert channel["is_manager"] is True
    assert good(await ann.http.get(f"{API}/{channel['id']}")) == channel


async def test_a_public_channel_is_there_for_everybody(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create(ann)
    (seen,) = good(await ben.http.get(f"{API}/"))
    assert seen["id"] == channel["id"]
    assert seen["is_manager"] is False


async def test_a_private_channel_is_there_for_members_and_administrators(
    server: RunningServer,
) -> None:
    ann, ben, eve = [await server.signup(name) for name in ("ann", "ben", "eve")]
    channel = await create_private(ann, ben)
    for person in (ann, ben, server.root):
        assert [c["id"] for c in good(await person.http.get(f"{API}/"))] == [channel["id"]]
    assert good(await eve.http.get(f"{API}/")) == []


async def test_the_list_is_paged(server: RunningServer) -> None:
    ann = await server.signup("ann")
    ids = [(await create(ann, f"c{number}"))["id"] for number in range(5)]
    page = good(await ann.http.get(f"{API}/", params={"skip": 1, "limit": 3}))
    assert [channel["id"] for channel in page] == ids[1:4]


EVERY_ROUTE: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("POST", "/update", {"name": "mine"}),
    ("DELETE", "/delete", None),
    ("GET", "/members", None),
    ("POST", "/update/members/add", {"user_ids": ["x"]}),
    ("POST", "/update/members/remove", {"user_ids": ["x"]}),
    ("GET", "/messages", None),
    ("POST", "/messages/post", {"content": "let me in"}),
    ("GET", "/messages/MESSAGE", None),
    ("GET", "/messages/MESSAGE/thread", None),
    ("POST", "/messages/MESSAGE/update", {"content": "x"}),
    ("DELETE", "/messages/MESSAGE/delete", None),
    ("POST", "/messages/MESSAGE/reactions/add", {"name": "+1"}),
    ("POST", "/messages/MESSAGE/reactions/remove", {"name": "+1"}),
]


async def test_an_outsider_cannot_tell_a_private_channel_from_none(server: RunningServer) -> None:
    ann, eve = await server.signup("ann"), await server.signup("eve")
    channel = await create_private(ann)
    message = await post(ann, channel)
    for method, path, body in EVERY_ROUTE:
        path = path.replace("MESSAGE", message["id"])
        real = await eve.http.request(method, f"{API}/{channel['id']}{path}", json=body)
        none = await eve.http.request(method, f"{API}/nothing{path}", json=body)
        refused(real, 404, "not_found")
        assert real.text.replace(channel["id"], "nothing") == none.text
    assert await messages(ann, channel) == [message]


MANAGERS_ROUTES: list[tuple[str, str, Any]] = [
    ("POST", "/update", {"name": "mine"}),
    ("DELETE", "/delete", None),
    ("POST", "/update/members/add", {"user_ids": ["x"]}),
    ("POST", "/update/members/remove", {"user_ids": ["x"]}),
]


async def test_a_member_may_not_manage(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create_private(ann, ben)
    for method, path, body in MANAGERS_ROUTES:
        answer = await ben.http.request(method, f"{API}/{channel['id']}{path}", json=body)
        refused(answer, 403, "forbidden")
    assert good(await ann.http.get(f"{API}/{channel['id']}"))["name"] == "secret"


async def test_a_manager_changes_what_is_given(server: RunningServer) -> None:
    ann = await server.signup("ann")
    channel = await create(ann, "old", description="kept")
    changed = good(await ann.http.post(f"{API}/{channel['id']}/update", json={"name": "new"}))
    assert (changed["name"], changed["description"]) == ("new", "kept")
    assert changed["updated_at"] > channel["updated_at"]


async def test_an_administrator_manages_channels_of_others(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create_private(ann)
    path = f"{API}/{channel['id']}"
    good(await server.root.http.post(f"{path}/update", json={"name": "watched"}))
    await add(server.root, channel, ben)
    assert good(await ben.http.get(path))["name"] == "watched"
    assert good(await server.root.http.delete(f"{path}/delete")) is True
    refused(await ann.http.get(path), 404, "not_found")


async def test_a_channel_goes_with_all_that_is_in_it(server: RunningServer) -> None:
    ann = await server.signup("ann")
    channel = await create(ann)
    message = await post(ann, channel)
    await post(ann, channel, "reply", parent_id=message["id"])
    assert good(await ann.http.delete(f"{API}/{channel['id']}/delete")) is True
    refused(await ann.http.get(f"{API}/{channel['id']}/messages"), 404, "not_found")
    assert good(await ann.http.get(f"{API}/")) == []


async def test_without_a_token_there_is_nothing(server: RunningServer) -> None:
    ann = await server.signup("ann")
    answer = await ann.http.get(f"{API}/", headers={"Authorization": ""})
    refused(answer, 401, "token_missing")


BAD_CHANNELS: list[tuple[object, int, str]] = [
    ({}, 422, "bad_payload"),
    ({"name": ""}, 422, "bad_payload"),
    ({"name": "   "}, 422, "bad_payload"),
    ({"name": 7}, 422, "bad_payload"),
    ({"name": None}, 422, "bad_payload"),
    ({"name": "a\x00b"}, 422, "bad_payload"),
    ({"name": "a\nb"}, 422, "bad_payload"),
    ({"name": "x" * 201}, 413, "too_large"),
    ({"name": "a", "private": "yes"}, 422, "bad_payload"),
    ({"name": "a", "description": "x" * 2_001}, 413, "too_large"),
    ({"name": "a", "description": ["x"]}, 422, "bad_payload"),
    ([], 422, "bad_payload"),
]


async def test_a_bad_channel_is_refused(server: RunningServer) -> None:
    ann = await server.signup("ann")
    for body, status, code in BAD_CHANNELS:
        refused(await ann.http.post(f"{API}/create", json=body), status, code)
    assert good(await ann.http.get(f"{API}/")) == []


NO_IDS = ["%00", "a%20b", "..%2Fx", "x" * 65, "%ff"]


async def test_an_id_that_is_none_is_refused(server: RunningServer) -> None:
    ann = await server.signup("ann")
    for channel_id in NO_IDS:
        answer = await ann.http.get(f"{API}/{channel_id}")
        assert answer.status_code in (404, 422), answer.text


BAD_PAGES: list[dict[str, Any]] = [
    {"skip": -1},
    {"limit": 0},
    {"limit": 201},
    {"skip": "many"},
    {"skip": 10**30},
]


async def test_a_bad_page_is_refused(server: RunningServer) -> None:
    ann = await server.signup("ann")
    channel = await create(ann)
    for query in BAD_PAGES:
        for path in ("/", f"/{channel['id']}/messages", f"/{channel['id']}/members"):
            answer = await ann.http.get(f"{API}{path}", params=query)
            refused(answer, 422, "bad_payload")


# -- events ----------------------------------------------------------------------------


async def test_a_new_public_channel_is_told_to_everybody_and_entered_at_once(
    server: RunningServer,
) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    sockets = [await joined(person) for person in (ann, ben, ben)]
    channel = await create(ann)
    await post(ann, channel, "first")
    for socket in sockets:
        told = await socket.expect("events:channel", where=of_type("channel:created"))
        assert told["channel_id"] == channel["id"]
        assert told["message_id"] is None
        assert told["channel"]["name"] == "general"
        assert told["user"] == {"id": ann.id, "name": "ann", "role": "user"}
        said = await socket.expect("events:channel", where=of_type("message"))
        assert said["data"]["data"]["content"] == "first"


async def test_a_new_private_channel_is_told_to_its_creator_only(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    hers, his, admins = await joined(ann), await joined(ben), await joined(server.root)
    channel = await create_private(ann)
    await post(ann, channel, "first")
    await hers.expect("events:channel", where=of_type("channel:created"))
    await hers.expect("events:channel", where=of_type("message"))
    for socket, person in ((his, ben), (admins, server.root)):
        await settled(server, socket, person)
        assert kinds(socket) == []


async def test_a_change_is_told_to_the_room(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create(ann)
    his = await joined(ben)
    good(await ann.http.post(f"{API}/{channel['id']}/update", json={"name": "new"}))
    told = await his.expect("events:channel", where=of_type("channel:updated"))
    assert told["channel"]["name"] == "new"
    good(await ann.http.post(f"{API}/{channel['id']}/update", json={"name": "new"}))
    await settled(server, his, ben)
    assert kinds(his) == ["channel:updated"]


async def test_a_deletion_is_told_and_empties_the_room(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create(ann)
    his = await joined(ben)
    good(await ann.http.delete(f"{API}/{channel['id']}/delete"))
    told = await his.expect("events:channel", where=of_type("channel:deleted"))
    assert told["channel_id"] == channel["id"]
    typing = {"channel_id": channel["id"], "data": {"type": "typing", "data": {"typing": True}}}
    answer = await his.call("events:channel", typing)
    assert answer["error"]["code"] == "not_joined"
