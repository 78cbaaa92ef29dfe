"""Clients that an operator moves: all of them by a drain, some by shedding."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from heliograph.settings import Settings
from tests.integration.control.conftest import Hand
from tests.support.bare import until
from tests.support.server import RunningServer, serve

POLLING = "/ws/socket.io/?EIO=4&transport=polling"


async def handshake(server: RunningServer, cookie: str = "") -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url) as http:
        return await http.get(POLLING, headers={"Cookie": cookie} if cookie else {})


async def ready(server: RunningServer) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url) as http:
        return await http.get("/ready")


async def test_a_drain_sends_everybody_away_and_takes_nobody(
    server: RunningServer, hand: Hand
) -> None:
    ann = await (await server.signup("ann")).connect()
    await hand.drain("pod-1", "its node is cordoned")
    await until(lambda: not ann.client.connected)
    report = await hand.reported(server, state="drained")
    assert (report["connections"], report["tasks"]) == (0, 0)
    refused = await handshake(server)
    assert refused.status_code == 503
    assert refused.json()["code"] == "draining"
    answer = await ready(server)
    assert answer.status_code == 503
    assert "drained" in answer.json()["detail"]


async def test_a_drain_that_is_taken_back(server: RunningServer, hand: Hand) -> None:
    ann = await server.signup("ann")
    await hand.drain("pod-1")
    await hand.reported(server, state="drained")
    await hand.undrain("pod-1")
    await hand.reported(server, state="running")
    await ann.connect()
    assert (await ready(server)).status_code == 200
    answer = await ann.http.get("/api/v1/chats/")
    assert answer.status_code == 200


async def test_the_drain_of_another_pod_is_nobody_elses(server: RunningServer, hand: Hand) -> None:
    await hand.drain("pod-2")
    await hand.settings("after")
    await hand.reported(server, revision="after", state="running")
    assert (await handshake(server)).status_code == 200


async def test_an_order_that_cannot_be_read_is_an_order(server: RunningServer, hand: Hand) -> None:
    await hand.client.hset(hand.key("drains"), "pod-1", b"\xff{")
    await hand.command(action="drains")
    await hand.reported(server, state="drained")


async def test_a_replica_that_starts_in_a_drained_pod_takes_nobody(
    chosen: Settings, hand: Hand
) -> None:
    await hand.drain("pod-1")
    async with serve(chosen) as server:
        assert (await handshake(server)).status_code == 503


async def test_a_replica_that_ends_does_not_come_back_when_the_order_is_taken_back(
    chosen: Settings, hand: Hand
) -> None:
    async with serve(chosen) as server:
        await hand.drain("pod-1")
        await hand.reported(server, state="drained")
        ending = asyncio.create_task(server.application.drain())
        await hand.undrain("pod-1")
        await ending
        await hand.settings("after")
        await hand.reported(server, revision="after")
        assert server.services.drain.state == "drained"
        assert (await handshake(server)).status_code == 503


async def test_the_oldest_are_shed_and_come_back(server: RunningServer, hand: Hand) -> None:
    people = [await server.signup(f"person{number}") for number in range(4)]
    clients = [await person.connect(reconnection=True) for person in people]
    ids = [client.sid for client in clients]
    replica = server.services.cluster.replica.id
    await hand.command(action="shed", replica=replica, count=2)
    report = await hand.reported(server, shed=2)
    assert report["state"] == "running"
    # They have no cookie, and so may come back here: recovered, or with a new session.
    await hand.reported(server, connections=4)
    assert [client.sid for client in clients[2:]] == ids[2:]


async def test_who_is_brought_back_by_the_cookie_is_sent_elsewhere(
    chosen: Settings, hand: Hand
) -> None:
    async with serve(chosen.model_copy(update={"sticky_cookie": "stick"})) as server:
        await _sent_elsewhere(server, hand)


async def _sent_elsewhere(server: RunningServer, hand: Hand) -> None:
    ann = await server.signup("ann")
    await ann.connect()
    replica = server.services.cluster.replica.id
    before = (await hand.reported(server, connections=1))["shed"]
    await hand.command(action="shed", replica=replica, count=1)
    await hand.reported(server, shed=before + 1)
    refused = await handshake(server, "a=1; stick=replica-1")
    assert refused.status_code == 503
    assert refused.json()["code"] == "shed"
    assert "stick=; Max-Age=0" in refused.headers["set-cookie"]
    assert (await handshake(server)).status_code == 200
    assert (await handshake(server, "stickier=1")).status_code == 200
    async with asyncio.timeout(20):
        while (await handshake(server, "stick=replica-1")).status_code != 200:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("count", [-1, 0, 1.5, True, "2", None])
async def test_a_count_that_is_none_sheds_nobody(
    server: RunningServer, hand: Hand, count: object
) -> None:
    await (await server.signup("ann")).connect()
    replica = server.services.cluster.replica.id
    await hand.command(action="shed", replica=replica, count=count)
    await hand.command(action="shed", replica="another", count=1)
    await hand.settings("after")
    await hand.reported(server, revision="after", connections=1)
    assert server.application.sockets.eio.shedding is None
