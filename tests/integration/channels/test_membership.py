"""Membership that is granted or revoked while the user is connected."""

from __future__ import annotations

from typing import Any

from tests.integration.channels.support import (
    API,
    add,
    contents,
    create,
    create_private,
    good,
    joined,
    kinds,
    of_type,
    post,
    refused,
    remove,
    settled,
)
from tests.support.server import Person, RunningServer
from tests.support.socket import Socket


def typing_in(channel: dict[str, Any]) -> dict[str, Any]:
    """The payload of a typing event."""
    return {"channel_id": channel["id"], "data": {"type": "typing", "data": {"typing": True}}}


async def is_out(server: RunningServer, socket: Socket, person: Person, channel: Any) -> None:
    """The socket gets nothing of the channel and may say nothing in it."""
    await settled(server, socket, person)
    before = kinds(socket)
    await post(server.root, channel, "not for all")
    await settled(server, socket, person)
    assert kinds(socket) == before
    answer = await socket.call("events:channel", typing_in(channel))
    assert answer["error"]["code"] == "not_joined"
    read = {"channel_id": channel["id"], "data": {"type": "last_read_at"}}
    assert (await socket.call("events:channel", read))["error"]["code"] == "not_joined"


async def test_a_new_member_gets_events_on_all_connections_at_once(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create_private(ann)
    await post(ann, channel, "before")
    sockets = [await joined(ben), await ben.connect()]
    await add(ann, channel, ben)
    await post(ann, channel, "after")
    for socket in sockets:
        told = await socket.expect("events:channel", where=of_type("channel:created"))
        assert told["channel"]["name"] == "secret"
        await socket.expect("events:channel", where=of_type("message"))
        assert contents(socket) == ["after"]
        assert await socket.call("events:channel", typing_in(channel)) is None


async def test_a_member_who_is_removed_gets_nothing_more(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create_private(ann, ben)
    sockets = [await joined(ben), await joined(ben)]
    hers = await joined(ann)
    await remove(ann, channel, ben)
    for socket in sockets:
        await socket.expect("events:channel", where=of_type("channel:deleted"))
        await is_out(server, socket, ben, channel)
    assert contents(hers) == ["not for all"] * 2
    assert "channel:deleted" not in kinds(hers)
    refused(await ben.http.get(f"{API}/{channel['id']}"), 404, "not_found")


async def test_a_member_who_comes_back_is_in_again(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create_private(ann)
    his = await joined(ben)
    for round_ in range(5):
        await add(ann, channel, ben)
        await post(ann, channel, f"in {round_}")
        await remove(ann, channel, ben)
        await post(ann, channel, f"out {round_}")
    await settled(server, his, ben)
    assert contents(his) == [f"in {round_}" for round_ in range(5)]


async def test_a_removed_member_cannot_join_again(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create_private(ann, ben)
    his = await joined(ben)
    auth = {"auth": {"token": ben.token}}
    assert await his.call("join-channels", auth) == {"channels": [channel["id"]]}
    await remove(ann, channel, ben)
    assert await his.call("join-channels", auth) == {"channels": []}
    await is_out(server, his, ben, channel)


async def test_a_channel_that_turns_private_keeps_its_members_only(server: RunningServer) -> None:
    ann, ben, eve = [await server.signup(name) for name in ("ann", "ben", "eve")]
    channel = await create_private(ann, ben)
    path = f"{API}/{channel['id']}/update"
    good(await ann.http.post(path, json={"private": False}))
    hers, his, others = await joined(ann), await joined(ben), await joined(eve)
    good(await ann.http.post(path, json={"private": True, "name": "now secret"}))
    await is_out(server, others, eve, channel)
    (told,) = others.events("events:channel")
    assert (told["channel"]["private"], told["channel"]["name"]) == (True, "secret")
    for socket, person in ((hers, ann), (his, ben)):
        await settled(server, socket, person)
        assert contents(socket) == ["not for all"]
        last = [e for e in socket.events("events:channel") if of_type("channel:updated")(e)][-1]
        assert last["channel"]["name"] == "now secret"
    assert good(await eve.http.get(f"{API}/")) == []
    assert len(good(await ben.http.get(f"{API}/"))) == 1


async def test_a_channel_that_turns_public_lets_everybody_in(server: RunningServer) -> None:
    ann, eve = await server.signup("ann"), await server.signup("eve")
    channel = await create_private(ann)
    others = await joined(eve)
    good(await ann.http.post(f"{API}/{channel['id']}/update", json={"private": False}))
    await post(ann, channel, "welcome")
    await others.expect("events:channel", where=of_type("channel:created"))
    await others.expect("events:channel", where=of_type("message"))
    assert len(good(await eve.http.get(f"{API}/"))) == 1


async def test_an_administrator_sees_a_private_channel_but_does_not_hear_it(
    server: RunningServer,
) -> None:
    ann = await server.signup("ann")
    channel = await create_private(ann)
    admins = await joined(server.root)
    await is_out(server, admins, server.root, channel)
    await add(ann, channel, server.root)
    await post(ann, channel, "hello, root")
    await admins.expect("events:channel", where=of_type("message"))


async def test_joining_enters_public_channels_and_own_private_ones(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    public = await create(ann)
    mine = await create_private(ben)
    await create_private(ann)
    his = await ben.connect()
    answer = await his.call("join-channels", {"auth": {"token": ben.token}})
    assert answer == {"channels": [public["id"], mine["id"]]}


# -- the lists of members --------------------------------------------------------------


async def test_members_of_a_private_channel_are_paged_by_name(server: RunningServer) -> None:
    ann, cid, ben = [await server.signup(name) for name in ("ann", "cid", "ben")]
    await server.signup("eve")
    channel = await create_private(ann, cid, ben)
    path = f"{API}/{channel['id']}/members"
    whole = good(await ben.http.get(path))
    assert whole["total"] == 3
    assert [(u["name"], u["member_role"]) for u in whole["users"]] == [
        ("ann", "manager"),
        ("ben", "member"),
        ("cid", "member"),
    ]
    page = good(await ben.http.get(path, params={"skip": 1, "limit": 1}))
    assert ([u["id"] for u in page["users"]], page["total"]) == ([ben.id], 3)


async def test_everybody_is_a_member_of_a_public_channel(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create(ann)
    whole = good(await ben.http.get(f"{API}/{channel['id']}/members"))
    assert [u["name"] for u in whole["users"]] == ["ann", "ben", "root"]
    for action in ("add", "remove"):
        path = f"{API}/{channel['id']}/update/members/{action}"
        refused(await ann.http.post(path, json={"user_ids": [ben.id]}), 409, "conflict")


async def test_adding_a_member_twice_adds_once(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create_private(ann)
    his = await joined(ben)
    path = f"{API}/{channel['id']}/update/members/add"
    (added,) = good(await ann.http.post(path, json={"user_ids": [ben.id, ben.id]}))
    assert (added["user_id"], added["role"]) == (ben.id, "member")
    assert good(await ann.http.post(path, json={"user_ids": [ben.id, ann.id]})) == []
    await settled(server, his, ben)
    assert kinds(his) == ["channel:created"]
    good(await ann.http.post(path.replace("add", "remove"), json={"user_ids": [ben.id]}))
    assert (
        good(await ann.http.post(path.replace("add", "remove"), json={"user_ids": [ben.id]})) == 0
    )


async def test_an_unknown_user_makes_the_whole_request_fail(server: RunningServer) -> None:
    ann, ben, cid = [await server.signup(name) for name in ("ann", "ben", "cid")]
    good(await server.root.http.post(f"/api/v1/users/{cid.id}/update", json={"role": "pending"}))
    channel = await create_private(ann)
    path = f"{API}/{channel['id']}/update/members/add"
    for unknown in ("nobody", cid.id):
        answer = await ann.http.post(path, json={"user_ids": [ben.id, unknown]})
        refused(answer, 404, "not_found")
    assert good(await ann.http.get(f"{API}/{channel['id']}/members"))["total"] == 1


async def test_the_manager_cannot_be_removed(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    channel = await create_private(ann, ben)
    path = f"{API}/{channel['id']}/update/members/remove"
    refused(await ann.http.post(path, json={"user_ids": [ben.id, ann.id]}), 409, "conflict")
    assert good(await ann.http.get(f"{API}/{channel['id']}/members"))["total"] == 2


BAD_USER_IDS: list[dict[str, Any]] = [
    {},
    {"user_ids": []},
    {"user_ids": "ann"},
    {"user_ids": [1]},
    {"user_ids": ["a b"]},
    {"user_ids": ["\x00"]},
    {"user_ids": [f"u{number}" for number in range(1_001)]},
]


async def test_bad_user_ids_are_refused(server: RunningServer) -> None:
    ann = await server.signup("ann")
    channel = await create_private(ann)
    for body in BAD_USER_IDS:
        for action in ("add", "remove"):
            path = f"{API}/{channel['id']}/update/members/{action}"
            refused(await ann.http.post(path, json=body), 422, "bad_payload")
