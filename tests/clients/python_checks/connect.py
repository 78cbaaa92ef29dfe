"""CONTRACT section 3, connect: who gets in, and why not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import socketio

from heliograph.delivery import user_room
from tests.clients.python_checks.registry import check
from tests.clients.python_checks.scene import Scene, eventually
from tests.clients.world import TRANSPORTS

ROW = "3 connect"


@check(ROW)
async def a_good_token_connects_and_enters_the_room_of_its_user(scene: Scene) -> None:
    ann = await scene.person()
    socket = await scene.connect(ann)
    assert socket.sid
    await scene.settled(socket, ann)


async def _refusal(scene: Scene, auth: dict[str, Any] | None) -> Any:
    socket = scene.client(auth)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await socket.connect()
    assert isinstance(socket.refusal["message"], str)
    return socket.refusal["data"]["code"]


@check(ROW)
async def no_token_is_refused_as_token_missing(scene: Scene) -> None:
    for auth in (None, {"token": ""}, {"token": 42}):
        assert await _refusal(scene, auth) == "token_missing"


_CODES = {
    "malformed": "token_invalid",
    "expired": "token_expired",
    "foreign": "token_invalid",
    "unsigned": "token_invalid",
    "nobody": "user_unknown",
}


@check(ROW)
async def every_kind_of_bad_token_is_refused_with_its_code(scene: Scene) -> None:
    for kind, token in (await scene.world.bad_tokens()).items():
        assert await _refusal(scene, {"token": token}) == _CODES[kind], kind


@check(ROW)
async def a_token_in_the_authorization_header_connects(scene: Scene) -> None:
    ann = await scene.person()
    client = socketio.AsyncClient(reconnection=False)
    await client.connect(
        scene.world.servers["main"].url,
        headers={"Authorization": f"Bearer {ann.token}"},
        transports=TRANSPORTS[scene.transport],
        socketio_path="/ws/socket.io",
    )
    try:
        assert (await client.call("user-join", {}))["id"] == ann.id
    finally:
        await client.disconnect()


@check(ROW)
async def a_token_in_the_address_is_not_looked_at(scene: Scene) -> None:
    ann = await scene.person()
    refusals = []

    async def refused(data: Any) -> None:
        refusals.append(data["data"]["code"])

    client = socketio.AsyncClient(reconnection=False)
    client.on("connect_error", refused)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(
            f"{scene.world.servers['main'].url}?token={ann.token}",
            transports=TRANSPORTS[scene.transport],
            socketio_path="/ws/socket.io",
        )
    await client.disconnect()
    assert refusals == ["token_missing"]


@check(ROW)
async def with_always_connect_a_socket_is_in_no_room_until_user_join(scene: Scene) -> None:
    server = "always_connect"
    ann = await scene.person(server)
    socket = scene.client(None, server)
    await socket.connect()

    early = await socket.call("join-channels", {})
    assert early["error"]["code"] == "token_missing"
    await scene.publish(user_room(ann.id), "early", {}, server)

    refused = await socket.call("user-join", {"auth": {"token": "nonsense"}})
    assert refused["error"]["code"] == "token_invalid"
    missing = await socket.call("user-join", {})
    assert missing["error"]["code"] == "token_missing"

    ack = await socket.call("user-join", {"auth": {"token": ann.token}})
    assert ack == {"id": ann.id, "name": ann.name}
    await scene.settled(socket, ann, server)
    assert socket.events("early") == []


@check("7 no recovery")
async def a_client_that_opts_out_gets_no_offsets_and_a_new_session(scene: Scene) -> None:
    ann = await scene.person()
    socket = await scene.connect(ann, reconnection=True)
    arguments: list[tuple[Any, ...]] = []
    socket.client.on("plain", lambda *args: arguments.append(args))
    await scene.publish(user_room(ann.id), "plain", {"n": 1})
    await scene.settled(socket, ann)
    assert arguments == [({"n": 1},)]

    before = socket.sid
    link = scene.world.servers["main"].session(before).link
    assert link is not None
    link.end(1012, "restart: for a test")
    await socket.disconnected.wait()

    async def returned() -> bool:
        return bool(socket.client.connected) and socket.sid not in (None, before)

    await eventually(returned, "it came back")
    await scene.settled(socket, ann)


@check("7 no recovery")
async def without_recovery_on_the_server_no_offsets_are_sent(scene: Scene) -> None:
    server = "no_recovery"
    ann = await scene.person(server)
    socket = await scene.connect(ann, server, recovery=True)
    arguments: list[tuple[Any, ...]] = []
    socket.client.on("plain", lambda *args: arguments.append(args))
    await scene.publish(user_room(ann.id), "plain", {"n": 1}, server)
    await scene.settled(socket, ann, server)
    assert arguments == [({"n": 1},)]


@check("7 order")
async def events_keep_their_order_and_number_from_the_first_on(scene: Scene) -> None:
    ann = await scene.person()
    count = 500
    flood = asyncio.create_task(scene.world.flood(ann.id, count))
    socket = await scene.connect(ann)
    await flood
    await socket.expect("flood", where=lambda data: data["number"] == count - 1, timeout=20)
    assert [data["number"] for data in socket.events("flood")] == list(range(count))
