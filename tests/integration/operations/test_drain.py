"""Draining one replica: who is refused, who goes on, and how they are sent away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from heliograph.delivery import Drain
from heliograph.settings import Settings
from tests.support.bare import until
from tests.support.raw import Raw
from tests.support.server import RunningServer, serve

EXPIRED = "stick=; Max-Age=0; Path=/; Secure; SameSite=None"
ELSEWHERE = "https://page.example"
POLLING = "/ws/socket.io/?EIO=4&transport=polling"
WEBSOCKET = "/ws/socket.io/?EIO=4&transport=websocket"
WITH_COOKIE = {"Cookie": "other=1; stick=replica-1"}


@pytest.fixture
async def server(settings: Settings) -> AsyncIterator[RunningServer]:
    """A server that closes nobody in the time of a test, unless it is hastened."""
    chosen = {
        "sticky_cookie": "stick",
        "sticky_cookie_attributes": "Path=/;Secure; SameSite=None",
        "cors_allow_origin": ELSEWHERE,
        "drain_seconds": 3600,
        "drain_clients_per_second": 0.001,
    }
    async with serve(Settings.model_validate({**settings.model_dump(), **chosen})) as running:
        try:
            yield running
        finally:
            running.services.drain.hasten()


@pytest.fixture
async def http(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        yield client


def drain_of(server: RunningServer) -> Drain:
    return server.services.drain


class Poller:
    """A client that polls, by hand."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.path = ""

    async def open(self, token: str) -> None:
        hello = json.loads((await self.http.get(POLLING)).text[1:])
        self.path = f"{POLLING}&sid={hello['sid']}"
        await self.post("40" + json.dumps({"token": token}))
        assert (await self.poll()).text.startswith("40")

    async def poll(self, **headers: str) -> httpx.Response:
        return await self.http.get(self.path, headers=headers)

    async def post(self, packets: str) -> None:
        assert (await self.http.post(self.path, content=packets)).status_code == 200


async def polling(server: RunningServer, http: httpx.AsyncClient, name: str = "ann") -> Poller:
    poller = Poller(http)
    await poller.open((await server.signup(name)).token)
    return poller


async def test_a_polling_handshake_is_refused_with_reason_and_expired_cookie(
    server: RunningServer, http: httpx.AsyncClient
) -> None:
    drain_of(server).begin("a test")
    for headers in ({}, WITH_COOKIE):
        refused = await http.get(POLLING, headers={**headers, "Origin": ELSEWHERE})
        assert refused.status_code == 503
        assert refused.json()["code"] == "draining"
        assert "connect again" in refused.json()["detail"]
        assert refused.headers["content-type"] == "application/json"
        assert refused.headers["retry-after"] == "1"
        assert refused.headers.get_list("set-cookie") == [EXPIRED]
        assert refused.headers["access-control-allow-origin"] == ELSEWHERE


async def test_a_websocket_handshake_is_refused_just_so(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    drain_of(server).begin("a test")
    with pytest.raises(InvalidStatus) as refusal:
        await connect(server.url.replace("http", "ws") + WEBSOCKET)
    answer = refusal.value.response
    assert answer.status_code == 503
    assert json.loads(answer.body or b"")["code"] == "draining"
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers.get_all("Set-Cookie") == [EXPIRED]
    assert [line for line in caplog.records if line.levelname == "ERROR"] == []


async def test_the_websocket_of_a_browser_is_opened_to_take_the_cookie_and_closed(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    drain_of(server).begin("a test")
    address = server.url.replace("http", "ws") + WEBSOCKET
    async with connect(address, origin=Origin(ELSEWHERE)) as ws:
        assert ws.response is not None
        assert ws.response.headers.get_all("Set-Cookie") == [EXPIRED]
        # Without this packet a stock client would wait for it instead of coming back.
        assert json.loads(str(await ws.recv())[1:])["upgrades"] == []
        await ws.wait_closed()
        assert ws.close_code == 1012
    assert server.application.sockets.eio.sockets == {}
    assert [line for line in caplog.records if line.levelname == "ERROR"] == []


async def test_answers_have_a_length(server: RunningServer, http: httpx.AsyncClient) -> None:
    """In chunks a body may come after its headers, which python-engineio does not survive."""
    poller = await polling(server, http)
    await poller.post('42["heartbeat",{}]')
    server.session(next(iter(server.services.hub.sessions))).emit("error", {"event": "x"})
    answers = [
        await http.get(POLLING),
        await poller.poll(),
        await http.post(poller.path, content="nonsense"),
        await http.get(POLLING + "&sid=nobody"),
    ]
    drain_of(server).begin("a test")
    answers.append(await http.get(POLLING))
    assert [answer.status_code for answer in answers] == [200, 200, 400, 400, 503]
    for answer in answers:
        assert answer.headers["content-length"] == str(len(answer.content))
        assert "transfer-encoding" not in answer.headers


async def test_what_could_never_be_a_session_is_refused_for_that(
    server: RunningServer, http: httpx.AsyncClient
) -> None:
    drain_of(server).begin("a test")
    assert (await http.get(POLLING.replace("EIO=4", "EIO=3"))).status_code == 400
    foreign = {"Origin": "https://evil.example"}
    refused = await http.get(POLLING, headers=foreign)
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers


async def test_sessions_that_are_here_go_on(server: RunningServer, http: httpx.AsyncClient) -> None:
    poller = await polling(server, http)
    raw = Raw(server.url, (await server.signup("ben")).token)
    await raw.connect()
    drain_of(server).begin("a test")
    told = await poller.poll(**WITH_COOKIE)
    assert '42["server:draining",{"reconnect_in_ms":' in told.text
    assert "set-cookie" not in told.headers, "the session's next request must come here"
    await poller.post('420["user-join",{}]')
    assert '430[{"id":' in (await poller.poll()).text
    await raw.ws.send('420["user-join",{}]')
    async with asyncio.timeout(10):
        while '430[{"id":' not in str(await raw.ws.recv()):
            pass


async def test_an_upgrade_of_a_session_that_is_here_goes_on(
    server: RunningServer, http: httpx.AsyncClient
) -> None:
    poller = await polling(server, http)
    drain_of(server).begin("a test")
    await poller.poll()  # server:draining
    address = server.url.replace("http", "ws") + poller.path.replace("polling", "websocket")
    async with connect(address) as ws:
        await ws.send("2probe")
        assert await ws.recv() == "3probe"
        await ws.send("5")
        await ws.send('420["user-join",{}]')
        async with asyncio.timeout(10):
            while '430[{"id":' not in str(await ws.recv()):
                pass
        drain_of(server).hasten()
        await ws.wait_closed()
        assert (ws.close_code, ws.close_reason) == (1012, "restart: the server is stopping")


async def test_a_poll_that_waits_is_answered_with_the_end_and_without_the_cookie(
    server: RunningServer, http: httpx.AsyncClient
) -> None:
    poller = await polling(server, http)
    drain_of(server).begin("a test")
    await poller.poll()  # server:draining
    waiting = asyncio.create_task(poller.poll(**WITH_COOKIE))
    await until(lambda: any(s._polling for s in server.application.sockets.eio.sockets.values()))
    drain_of(server).hasten()
    end = await waiting
    assert (end.status_code, end.text.split("\x1e")[0]) == (200, "1")
    assert end.headers.get_list("set-cookie") == [EXPIRED]
    late = await poller.poll(**WITH_COOKIE)
    assert late.status_code == 400
    assert late.headers.get_list("set-cookie") == [EXPIRED]
    await drain_of(server).finish()


async def test_what_is_queued_for_a_client_that_polls_comes_before_the_end(
    server: RunningServer, http: httpx.AsyncClient
) -> None:
    poller = await polling(server, http)
    person = next(iter(server.services.hub.sessions.values())).user_id
    for number in range(20):  # more than one poll takes
        await server.services.hub.publish(f"user:{person}", "n", {"n": number})
    drain_of(server).begin("a test")
    drain_of(server).hasten()
    packets: list[str] = []
    while "1" not in packets:
        answer = await poller.poll()
        assert answer.status_code == 200
        packets += answer.text.split("\x1e")
    events = [json.loads(packet[2:]) for packet in packets if packet.startswith("42")]
    assert [args[0]["n"] for name, *args in events if name == "n"] == list(range(20))
    assert events[-1][0] == "server:draining"
    await drain_of(server).finish()


async def test_probes_stay_as_they_were(server: RunningServer, http: httpx.AsyncClient) -> None:
    assert (await http.get("/ready?new=true")).status_code == 200
    drain_of(server).begin("a test")
    ready = await http.get("/ready")
    assert (ready.status_code, ready.json()) == (200, {"status": True, "draining": True})
    assert (await http.get("/ready?new=true")).status_code == 404
    assert (await http.get("/health")).status_code == 200


async def test_the_api_works_and_takes_the_cookie(
    server: RunningServer, http: httpx.AsyncClient
) -> None:
    before = await http.get("/api/version", headers=WITH_COOKIE)
    assert "set-cookie" not in before.headers
    drain_of(server).begin("a test")
    for path, status in (("/api/version", 200), ("/api/v1/auths/", 401), ("/api/nowhere", 404)):
        answer = await http.get(path, headers=WITH_COOKIE)
        assert answer.status_code == status
        assert answer.headers.get_list("set-cookie") == [EXPIRED], path
    # Some proxies do not pass the cookie on.
    without = await http.get("/api/version")
    assert without.headers.get_list("set-cookie") == [EXPIRED]
    ann = await server.signup("ann")
    made = await ann.http.post("/api/v1/channels/create", json={"name": "general"})
    assert made.status_code == 200


async def test_taken_back_it_is_as_before(server: RunningServer, http: httpx.AsyncClient) -> None:
    ann = await server.signup("ann")
    socket = await ann.connect()
    drain_of(server).begin("a test")
    await socket.expect("server:draining")
    await drain_of(server).cancel()
    assert not socket.disconnected.is_set()
    assert (await http.get("/ready")).json()["draining"] is False
    assert "set-cookie" not in (await http.get("/api/version", headers=WITH_COOKIE)).headers
    again = await ann.connect()
    assert "id" in await again.call("user-join", {})
    chat = (await ann.http.post("/api/v1/chats/new", json={"chat": {}})).json()
    asked = await ann.http.post(
        "/api/chat/completions",
        json={
            "model": "echo",
            "messages": [{"role": "user", "content": "Hi"}],
            "chat_id": chat["id"],
            "session_id": again.sid,
            "id": "answer-1",
        },
    )
    assert asked.status_code == 200, asked.text


@pytest.mark.parametrize("way", [["websocket"], ["polling"], ["polling", "websocket"]])
async def test_a_stock_python_client_comes_back_by_itself(
    server: RunningServer, way: list[str]
) -> None:
    ann = await server.signup("ann")
    socket = await ann.connect(transports=way, reconnection=True)
    sid = socket.sid
    drain_of(server).begin("a test")
    drain_of(server).hasten()
    await drain_of(server).finish()
    await drain_of(server).cancel()  # somebody has to be there
    await until(lambda: socket.client.get_sid() not in (None, sid), timeout=20)
    assert "id" in await socket.call("user-join", {})


async def test_a_storm_of_clients_meets_a_drain_and_nobody_is_left(server: RunningServer) -> None:
    ann = await server.signup("ann")
    address = server.url.replace("http", "ws") + WEBSOCKET
    closed: list[int | None] = []
    refused: list[int] = []

    async def come() -> None:
        try:
            async with connect(address, open_timeout=30) as ws:
                await ws.send("40" + json.dumps({"token": ann.token}))
                await ws.wait_closed()
                closed.append(ws.close_code)
        except InvalidStatus as refusal:
            refused.append(refusal.response.status_code)

    first = [asyncio.create_task(come()) for _ in range(100)]
    sockets: Any = server.application.sockets
    await until(lambda: len(sockets._clients) >= 20, timeout=30)
    drain_of(server).begin("a test")
    drain_of(server).hasten()
    await asyncio.gather(*first, *(come() for _ in range(50)))
    await drain_of(server).finish()
    assert set(closed) == {1012}
    assert set(refused) == {503}
    assert len(closed) >= 20
    assert len(refused) >= 50
    assert len(closed) + len(refused) == 150
    assert sockets._clients == {}
    assert all(not session.attached for session in server.services.hub.sessions.values())
