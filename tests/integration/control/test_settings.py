"""Settings that an operator changes while a replica runs."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis as Client

from heliograph.settings import Settings
from tests.integration.control.conftest import Hand
from tests.support.server import RunningServer, serve

POLLING = "/ws/socket.io/?EIO=4&transport=polling"


async def hello(server: RunningServer) -> dict[str, Any]:
    """What a new client is told."""
    async with httpx.AsyncClient(base_url=server.url) as http:
        told: dict[str, Any] = json.loads((await http.get(POLLING)).text[1:])
        return told


async def test_new_clients_are_told_the_new_ping_and_others_keep_theirs(
    server: RunningServer, hand: Hand
) -> None:
    ann = await (await server.signup("ann")).connect()
    await hand.settings("7", WEBSOCKET_SERVER_PING_INTERVAL=1, WEBSOCKET_SERVER_PING_TIMEOUT=2)
    report = await hand.reported(server, revision="7")
    assert report["refused"] is None
    assert report["settings"]["WEBSOCKET_SERVER_PING_INTERVAL"] == 1
    told = await hello(server)
    assert (told["pingInterval"], told["pingTimeout"]) == (1000, 2000)
    [old] = [one for one in server.application.sockets.eio.sockets.values() if one.upgraded]
    assert (old.server.ping_interval, old.server.ping_timeout) == (
        server.settings.websocket_server_ping_interval,
        server.settings.websocket_server_ping_timeout,
    )
    # The library would have cut it after 3 s without a pong, which it sends every 25.
    ben = await (await server.signup("ben")).connect()
    assert ann.sid != ben.sid
    config = await (await server.signup("eve")).http.get("/api/config")
    assert config.json()["socket"]["ping_interval"] == 1


async def test_calls_heartbeat_and_log_level(server: RunningServer, hand: Hand) -> None:
    level = logging.getLogger().level
    try:
        await hand.settings(
            "a", WEBSOCKET_EVENT_CALLER_TIMEOUT=7, WEBSOCKET_HEARTBEAT_INTERVAL=9, LOG_LEVEL="error"
        )
        await hand.reported(server, revision="a")
        assert server.services.chat.caller._timeout() == 7
        async with httpx.AsyncClient(base_url=server.url) as http:
            socket = (await http.get("/api/config")).json()["socket"]
        assert (socket["call_timeout"], socket["heartbeat_interval"]) == (7, 9)
        assert logging.getLogger().level == logging.ERROR
    finally:
        logging.getLogger().setLevel(level)


async def test_a_lock_that_is_held_gets_the_new_expiry(
    server: RunningServer, hand: Hand, redis_prefix: str
) -> None:
    lock = f"{redis_prefix}:lock:{{replicas}}"

    async def left() -> int:
        return int(await hand.client.pttl(lock))

    while await left() <= 5_000:  # the reaper's, of this replica's lease
        pass
    await hand.settings("b", WEBSOCKET_REDIS_LOCK_TIMEOUT=2)
    await hand.reported(server, revision="b")
    while not 0 < await left() <= 2_000:
        pass
    assert server.services.cluster.lock("x")._seconds() == 2


async def test_without_the_key_the_environment_counts_again(
    server: RunningServer, hand: Hand
) -> None:
    await hand.settings("1", WEBSOCKET_SERVER_PING_INTERVAL=11)
    await hand.reported(server, revision="1")
    await hand.client.delete(hand.key("settings"))
    await hand.command(action="settings")
    report = await hand.reported(server, revision="")
    base = server.settings.websocket_server_ping_interval
    assert report["settings"]["WEBSOCKET_SERVER_PING_INTERVAL"] == base
    assert (await hello(server))["pingInterval"] == base * 1000


async def test_a_replica_that_starts_begins_with_what_was_ordered(
    chosen: Settings, hand: Hand
) -> None:
    await hand.settings("9", WEBSOCKET_SERVER_PING_TIMEOUT=33)
    async with serve(chosen) as server:
        assert (await hello(server))["pingTimeout"] == 33_000


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"WEBSOCKET_SERVER_PING_INTERVAL": 0}, "WEBSOCKET_SERVER_PING_INTERVAL: Input should be"),
        ({"WEBSOCKET_SERVER_PING_INTERVAL": "soon"}, "WEBSOCKET_SERVER_PING_INTERVAL"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL"),
        ({"PORT": 1}, "PORT: Extra inputs"),
        ({"WEBSOCKET_REDIS_LOCK_TIMEOUT": 1e9}, "WEBSOCKET_REDIS_LOCK_TIMEOUT"),
    ],
)
async def test_what_is_out_of_bounds_changes_nothing_and_is_reported(
    server: RunningServer, hand: Hand, values: dict[str, Any], why: str
) -> None:
    await hand.settings("good", WEBSOCKET_SERVER_PING_TIMEOUT=30)
    good = await hand.reported(server, revision="good")
    await hand.settings("bad", WEBSOCKET_SERVER_PING_TIMEOUT=31, **values)
    report = await hand.reported(server, revision="good", settings=good["settings"])
    while not report["refused"]:
        report = await hand.report(server)
    assert report["refused"][0] == "bad"
    assert why in report["refused"][1]
    assert (await hello(server))["pingTimeout"] == 30_000
    await hand.settings("good", WEBSOCKET_SERVER_PING_TIMEOUT=30)
    await hand.reported(server, refused=None)


@pytest.mark.parametrize("stored", [b"{", b"[]", b'{"revision": 1}', b'{"values": []}', b"\xff"])
async def test_what_cannot_be_read_is_reported_and_changes_nothing(
    server: RunningServer, hand: Hand, stored: bytes
) -> None:
    before = server.services.live.as_dict()
    await hand.client.set(hand.key("settings"), stored)
    await hand.command(action="settings")
    report = await hand.report(server)
    while not report.get("refused"):
        report = await hand.report(server)
    assert "cannot be read" in report["refused"][1]
    assert server.services.live.as_dict() == before


@pytest.mark.parametrize(
    "said", [b"", b"{", b'"x"', b'{"action": "shed"}', b'{"action": "rm -rf"}', b"x" * 70_000]
)
async def test_nonsense_on_the_channel_is_ignored(
    server: RunningServer, hand: Hand, redis_prefix: str, said: bytes
) -> None:
    await hand.client.publish(f"{redis_prefix}:control:commands", said)
    await hand.settings("after", WEBSOCKET_SERVER_PING_TIMEOUT=12)
    await hand.reported(server, revision="after")


async def test_what_is_reported(server: RunningServer, hand: Hand, redis_prefix: str) -> None:
    ann = await server.signup("ann")
    await ann.connect()
    report = await hand.reported(server, connections=1, sessions=1)
    registry = f"{redis_prefix}:replicas:{{replicas}}"
    assert await hand.client.zscore(registry, report["replica"]) is not None
    assert report["pod"] == "pod-1"
    assert report["state"] == "running"
    assert (report["tasks"], report["missed_pongs"], report["late_renewals"]) == (0, 0, 0)
    assert report["lag_ms"] >= 0
    life = await hand.client.pttl(hand.key(f"report:{report['replica']}"))
    assert 0 < life <= 10_000


async def test_a_single_process_has_no_operator(settings: Settings) -> None:
    async with serve(settings) as server:
        assert server.application._control is None


async def test_it_goes_on_when_redis_forgot_everything(server: RunningServer, hand: Hand) -> None:
    client: Client = hand.client
    await hand.settings("1", WEBSOCKET_SERVER_PING_TIMEOUT=40)
    await hand.reported(server, revision="1")
    await client.delete(hand.key("settings"))
    # Without a word on the channel, by its next look.
    await hand.reported(server, revision="")
