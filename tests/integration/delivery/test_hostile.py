"""Hostile and broken clients: each is refused or closed with a reason; the rest go on."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import resource
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from heliograph.telemetry import metrics
from tests.support.bare import Bare, bare_server, until


@pytest.fixture
async def bare() -> AsyncIterator[Bare]:
    async with bare_server(connect_timeout=0.5, per_second=200, queue_packets=500) as running:
        yield running
        # Whatever happened: an honest client is served as before.
        ann = await running.connect("honest", recovery=False)
        assert await ann.call("echo", {"n": 1}) == {"n": 1}


def _url(bare: Bare) -> str:
    return bare.url.replace("http", "ws") + "/ws/socket.io/?EIO=4&transport=websocket"


async def _open(bare: Bare, *, joined: bool = True) -> ClientConnection:
    ws = await connect(_url(bare), max_queue=None)
    assert str(await ws.recv()).startswith("0")
    if joined:
        await ws.send('40{"token":"eve","recovery":false}')
        assert str(await ws.recv()).startswith("40")
    return ws


async def _closed_with(ws: ClientConnection) -> str:
    """Read until closed; the close reason."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(10):
            while True:
                await ws.recv()
    return ws.close_reason or ""


async def test_a_socket_that_never_joins_is_closed(bare: Bare) -> None:
    ws = await _open(bare, joined=False)
    assert (await _closed_with(ws)).startswith("connect_timeout")


async def test_an_event_before_connect_closes(bare: Bare) -> None:
    ws = await _open(bare, joined=False)
    await ws.send('42["usage",{"model":"x"}]')
    assert (await _closed_with(ws)).startswith("not_connected")
    assert not bare.received


DEEP = "[" * 100_000
BAD_PACKETS = {
    "no json": '42["x",',
    "deep json": '42["x",' + DEEP,
    "deep but closed": '42["x",' + "[" * 2_000 + "]" * 2_000 + "]",
    "name missing": "42[]",
    "name no text": "42[1]",
    "no list": '42{"a":1}',
    "unknown packet type": "49",
    "connect twice": '40{"token":"eve"}',
    "endless attachments": '459999999-["x",{"_placeholder":true,"num":0}]',
    "no attachments": '450-["x"]',
    "text for an attachment": '451-["x",{"_placeholder":true,"num":0}]',
    "placeholder out of range": '451-["x",{"_placeholder":true,"num":7}]',
    "placeholder of text": '451-["x",{"_placeholder":true,"num":"0"}]',
    "ack without list": "431{}",
    "a very long id": "42" + "1" * 200 + '["x"]',
    "connect error from a client": "44{}",
}


@pytest.mark.parametrize("packet", BAD_PACKETS.values(), ids=BAD_PACKETS.keys())
async def test_a_packet_that_cannot_be_read_closes_with_a_reason(bare: Bare, packet: str) -> None:
    ws = await _open(bare)
    await ws.send(packet)
    if packet.startswith("451-"):
        await ws.send("42[1]" if 'true,"num":0}' in packet else b"x")
    assert await _closed_with(ws) == "bad_packet"
    assert not bare.received


async def test_an_attachment_without_a_packet_closes(bare: Bare) -> None:
    ws = await _open(bare)
    await ws.send(b"\x00\x01")
    assert await _closed_with(ws) == "bad_packet"


async def test_half_a_surrogate_pair_becomes_a_replacement_character(bare: Bare) -> None:
    ws = await _open(bare)
    await ws.send('420["echo","a\\ud83db"]')
    assert json.loads(str(await ws.recv())[3:]) == ["a\ufffdb"]
    await ws.close()


async def test_too_large_a_message_is_closed_by_the_transport() -> None:
    async with bare_server(max_http_buffer_size=10_000) as bare:
        ws = await _open(bare)
        await ws.send('42["x","' + "y" * 20_000 + '"]')
        await _closed_with(ws)
        assert not bare.received


async def test_a_flood_is_refused_and_then_closed(bare: Bare) -> None:
    ws = await _open(bare)
    async with asyncio.timeout(20):
        for number in itertools.count():
            try:
                await ws.send(f'42["x",{number}]')
            except ConnectionClosed:
                break
            await asyncio.sleep(0)
    assert (ws.close_reason or "").startswith("rate_limited")
    numbers = [event.args[0] for event in bare.received]
    assert numbers == sorted(numbers)
    assert len(numbers) < 5_000


async def test_over_its_budget_a_client_is_told(bare: Bare) -> None:
    ws = await _open(bare)
    # More than the budget and what it gains while they are sent on a busy machine.
    for number in range(900):
        await ws.send(f'42{number}["x",{number}]')
    refused: dict[str, Any] = {}
    async with asyncio.timeout(10):
        while not refused:
            text = str(await ws.recv())
            if '"rate_limited"' in text:
                refused = json.loads(text[text.index("[") :])[0]["error"]
    assert refused["code"] == "rate_limited"
    await ws.close()


async def test_a_client_that_stops_reading_is_closed_and_costs_little(bare: Bare) -> None:
    slow = await _open(bare)
    good = await bare.connect("eve", recovery=False)
    slow.transport.pause_reading()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    closed_before = metrics.SLOW_CONSUMERS._value.get()
    blob = "x" * 10_000
    for number in range(3_000):
        await bare.hub.publish("user:eve", "e", {"n": number, "blob": blob})
        await until(lambda seen=number - 100: len(good.events("e")) >= seen)  # type: ignore[misc]
    await until(lambda: len(good.events("e")) == 3_000)
    assert metrics.SLOW_CONSUMERS._value.get() == closed_before + 1
    await until(lambda: len(bare.hub.sessions) == 1)
    # 30 MB were sent to it; what is kept is the queue's bound and the socket's buffers.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 120_000
    slow.transport.abort()
    await slow.wait_closed()


async def test_a_handler_that_fails_is_an_error_for_its_event_alone(bare: Bare) -> None:
    async def fail(_: Any, event: Any) -> None:
        raise RuntimeError("secret detail")

    bare.on_event = fail
    ann = await bare.connect("ann", recovery=False)
    refused = await ann.call("x", {})
    assert refused == {"error": {"code": "internal", "message": "the server failed"}}
    await ann.emit("x", {})
    assert (await ann.expect("error"))["code"] == "internal"
    bare.on_event = None
    assert await ann.call("x", {"n": 1}) == {"n": 1}


async def test_events_of_one_client_are_handled_in_order(bare: Bare) -> None:
    seen: list[int] = []

    async def slow_first(_: Any, event: Any) -> None:
        if event.args[0] == 0:
            await asyncio.sleep(0.05)
        seen.append(event.args[0])

    bare.on_event = slow_first
    ann = await bare.connect("ann", recovery=False)
    for number in range(50):
        await ann.emit("x", number)
    await until(lambda: len(seen) == 50)
    assert seen == list(range(50))
    bare.on_event = None


async def test_a_foreign_origin_is_refused_on_both_transports(bare: Bare) -> None:
    foreign = {"Origin": "https://evil.example"}
    async with httpx.AsyncClient() as http:
        url = bare.url + "/ws/socket.io/?EIO=4&transport=polling"
        assert (await http.get(url, headers=foreign)).status_code == 400
        assert (await http.get(url, headers={"Origin": bare.url})).status_code == 200
    with pytest.raises(Exception, match="403"):
        await connect(_url(bare), additional_headers=foreign)


async def test_a_garbled_post_ends_the_polling_session(bare: Bare) -> None:
    async with httpx.AsyncClient() as http:
        url = bare.url + "/ws/socket.io/?EIO=4&transport=polling"
        sid = json.loads((await http.get(url)).text[1:])["sid"]
        assert (await http.post(f"{url}&sid={sid}", content="\x1e\x1e")).status_code == 400
        assert (await http.get(f"{url}&sid={sid}")).status_code == 400


@pytest.mark.parametrize("goodbye", ["1", "1\x1e9"])
async def test_what_is_posted_after_the_goodbye_is_refused(bare: Bare, goodbye: str) -> None:
    async with httpx.AsyncClient() as http:
        url = bare.url + "/ws/socket.io/?EIO=4&transport=polling"
        sid = json.loads((await http.get(url)).text[1:])["sid"]
        assert (await http.post(f"{url}&sid={sid}", content=goodbye)).status_code == 200
        for late in ("40{}", "1", "9"):
            assert (await http.post(f"{url}&sid={sid}", content=late)).status_code == 400
        assert (await http.get(f"{url}&sid={sid}")).status_code == 400


async def test_two_polls_at_once_end_the_session(bare: Bare) -> None:
    async with httpx.AsyncClient() as http:
        url = bare.url + "/ws/socket.io/?EIO=4&transport=polling"
        sid = json.loads((await http.get(url)).text[1:])["sid"]
        first = asyncio.create_task(http.get(f"{url}&sid={sid}"))
        await until(lambda: bare.sockets.eio.sockets[sid]._polling)
        assert (await http.get(f"{url}&sid={sid}")).status_code == 400
        assert (await first).text in ("1", "")


async def test_a_peer_that_vanishes_is_noticed_by_its_missing_pongs() -> None:
    async with bare_server(ping_interval=0.2, ping_timeout=0.2) as bare:
        ws = await _open(bare)
        ws.transport.pause_reading()
        await until(lambda: not bare.hub.sessions)
        ws.transport.abort()
        await ws.wait_closed()


async def test_a_jump_of_the_clock_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    async with bare_server(ping_interval=0.2, ping_timeout=5) as bare:
        ann = await bare.connect("ann", recovery=False)
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 86_400)
        session = bare.session(ann)
        for _ in range(5):
            await asyncio.sleep(0.1)
            assert await ann.call("echo", {"n": 1}) == {"n": 1}
        assert session.attached
