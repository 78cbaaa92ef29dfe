"""Sessions: who may connect, how long, and what is known of them."""

from __future__ import annotations

import asyncio
from typing import Any

import jwt
import pytest
from socketio.exceptions import ConnectionError as Refused

from tests.support.bare import until
from tests.support.server import Person, RunningServer
from tests.support.socket import Socket


async def _refusal(server: RunningServer, auth: dict[str, Any] | None) -> str:
    socket = Socket(server.url, auth, ["websocket"], False)
    with pytest.raises(Refused):
        await socket.connect()
    code: str = socket.refusal["data"]["code"]
    return code


def _token(server: RunningServer, user_id: str, seconds: float) -> str:
    return server.services.identity.issue_token(user_id, seconds)


async def test_without_a_good_token_a_socket_is_refused_with_its_code(
    server: RunningServer,
) -> None:
    ann = await server.signup("ann")
    assert await _refusal(server, None) == "token_missing"
    assert await _refusal(server, {"token": ""}) == "token_missing"
    assert await _refusal(server, {"token": 7}) == "token_missing"
    assert await _refusal(server, {"token": "garbage"}) == "token_invalid"
    forged = jwt.encode({"id": ann.id, "exp": 2**40}, "x" * 40, algorithm="HS256")
    assert await _refusal(server, {"token": forged}) == "token_invalid"
    assert await _refusal(server, {"token": _token(server, ann.id, -60)}) == "token_expired"
    assert await _refusal(server, {"token": _token(server, "nobody", 60)}) == "user_unknown"
    key = (await ann.http.post("/api/v1/auths/api_key")).json()["api_key"]
    assert await _refusal(server, {"token": key}) == "token_invalid"


async def test_a_token_that_ends_ends_its_sockets(server: RunningServer) -> None:
    ann = await server.signup("ann")
    socket = await server.connect({"token": _token(server, ann.id, 1)})
    told = await socket.expect("error", timeout=20)
    assert told["code"] == "token_expired"
    await asyncio.wait_for(socket.disconnected.wait(), 10)


async def test_a_newer_token_sent_by_user_join_keeps_the_socket(server: RunningServer) -> None:
    ann = await server.signup("ann")
    socket = await server.connect({"token": _token(server, ann.id, 1)})
    assert await socket.call("user-join", {"auth": {"token": ann.token}}) == {
        "id": ann.id, "name": "ann",
    }  # fmt: skip
    session = server.services.hub.sessions[socket.sid]
    first_end = session.connected_at + 1
    await until(lambda: session.user is not None and (session.user.expires_at or 0) > first_end + 9)
    other = await server.connect({"token": _token(server, ann.id, 1)})
    await other.expect("error", timeout=20)  # by now the first token has ended, too
    assert not socket.disconnected.is_set()


async def test_user_join_refuses_another_users_token(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    socket = await ann.connect()
    refused = await socket.call("user-join", {"auth": {"token": ben.token}})
    assert refused["error"]["code"] == "user_mismatch"
    assert server.services.hub.sessions[socket.sid].user_id == ann.id


async def test_a_deleted_users_sockets_end(server: RunningServer) -> None:
    ann = await server.signup("ann")
    socket = await ann.connect()
    await server.root.http.delete(f"/api/v1/users/{ann.id}")
    assert (await socket.expect("error"))["code"] == "user_unknown"
    await asyncio.wait_for(socket.disconnected.wait(), 10)
    assert await _refusal(server, {"token": ann.token}) == "user_unknown"


async def test_a_changed_role_reaches_live_sockets(server: RunningServer) -> None:
    ann = await server.signup("ann")
    socket = await ann.connect()
    url = f"/api/v1/users/{ann.id}/update"
    assert (await server.root.http.post(url, json={"role": "pending"})).status_code == 200
    assert (await socket.expect("error"))["code"] == "role_changed"
    assert await _refusal(server, {"token": ann.token}) == "user_pending"


@pytest.mark.settings(ALWAYS_CONNECT=True)
async def test_always_connect_admits_a_socket_that_can_do_nothing_before_user_join(
    server: RunningServer,
) -> None:
    ann = await server.signup("ann")
    socket = await server.connect({"token": "garbage"})
    assert (await socket.call("usage", {"model": "m"}))["error"]["code"] == "token_missing"
    assert (await socket.call("user-join", {}))["error"]["code"] == "token_missing"
    joined = await socket.call("user-join", {"auth": {"token": ann.token}})
    assert joined == {"id": ann.id, "name": "ann"}
    await server.services.hub.publish(f"user:{ann.id}", "events", {"n": 1})
    assert await socket.expect("events") == {"n": 1}


@pytest.mark.settings(ALWAYS_CONNECT=True)
async def test_a_pending_user_cannot_join_by_user_join(server: RunningServer) -> None:
    ann = await server.signup("ann")
    url = f"/api/v1/users/{ann.id}/update"
    await server.root.http.post(url, json={"role": "pending"})
    socket = await server.connect(None)
    refused = await socket.call("user-join", {"auth": {"token": ann.token}})
    assert refused["error"]["code"] == "user_pending"


async def test_usage_is_a_lease(server: RunningServer) -> None:
    ann = await server.signup("ann")
    socket = await ann.connect()
    assert await socket.call("usage", {"model": "echo"}) is None
    assert (await ann.http.get("/api/usage")).json() == {"model_ids": ["echo"], "user_count": 1}
    async with asyncio.timeout(20):
        while (await ann.http.get("/api/usage")).json()["model_ids"]:
            await asyncio.sleep(0.1)


async def test_a_heartbeat_moves_the_last_activity(server: RunningServer) -> None:
    ann = await server.signup("ann")
    await server.services.identity.users.touch({ann.id: 5})
    socket = await ann.connect()
    await socket.emit("heartbeat", {})

    async def seen() -> int:
        users = (await server.root.http.get("/api/v1/users/")).json()["users"]
        return int(next(user["last_active_at"] for user in users if user["id"] == ann.id))

    async with asyncio.timeout(20):
        while await seen() == 5:
            await asyncio.sleep(0.1)


BAD_PAYLOADS: list[tuple[str, Any, str]] = [
    ("usage", {}, "model"),
    ("usage", {"model": 7}, "model"),
    ("usage", {"model": ""}, "model"),
    ("usage", {"model": "x" * 201}, "model"),
    ("usage", {"model": b"\x00"}, "model"),
    ("usage", "model", ""),
    ("usage", [1], ""),
    ("user-join", {"auth": "token"}, "auth"),
    ("user-join", {"auth": {"token": "x" * 20_000}}, "auth.token"),
]


async def test_a_bad_payload_says_where(server: RunningServer) -> None:
    ann = await server.signup("ann")
    socket = await ann.connect()
    for event, payload, path in BAD_PAYLOADS:
        refused = await socket.call(event, payload)
        assert refused["error"]["code"] == "bad_payload", (event, payload)
        assert refused["error"]["path"] == path, (event, payload)
        await socket.emit(event, payload)
        told = await socket.expect("error")
        assert (told["event"], told["code"]) == (event, "bad_payload")


async def test_an_unknown_event_is_said(server: RunningServer) -> None:
    ann = await server.signup("ann")
    socket = await ann.connect()
    assert (await socket.call("nothing", {}))["error"]["code"] == "unknown_event"


async def _stopped(person: Person) -> list[tuple[str, Any]]:
    socket = await person.connect()
    await person.server.application.drain()
    await asyncio.wait_for(socket.disconnected.wait(), 10)
    return socket.log


async def test_stopping_closes_sockets_within_seconds(server: RunningServer) -> None:
    ann = await server.signup("ann")
    async with asyncio.timeout(10):
        await _stopped(ann)
