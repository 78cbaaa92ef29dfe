"""Stock clients, the proxy, and replicas that come and go."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.fleet import MODES, Fleet
from tests.support.bare import until
from tests.support.processes import wait_until
from tests.support.socket import Socket
from tests.support.visitors import Visitors

WAYS = [["websocket"], ["polling"], ["polling", "websocket"]]


def replica_of(socket: Socket) -> str:
    """The replica that the proxy's cookie names."""
    jar = socket.client.eio.http.cookie_jar
    return str(next(cookie.value for cookie in jar if cookie.key == "SERVERID"))


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


@pytest.mark.parametrize("fleet", MODES, indirect=True)
async def test_stock_clients_over_all_replicas_hear_each_other(fleet: Fleet) -> None:
    async with Visitors(fleet.url) as visitors:
        ann = await visitors.signup(unique("ann"))
        made = await ann.http.post("/api/v1/channels/create", json={"name": unique("general")})
        assert made.status_code == 200, made.text
        sockets = [await ann.connect(transports=way) for way in WAYS * 3]
        for socket in sockets:
            await socket.call("user-join", {"auth": {"token": ann.token}})
        assert len({replica_of(socket) for socket in sockets}) == 3
        posted = await ann.http.post(
            f"/api/v1/channels/{made.json()['id']}/messages/post", json={"content": "hello"}
        )
        assert posted.status_code == 200, posted.text
        for socket in sockets:
            heard = await socket.expect(
                "events:channel", where=lambda event: event["data"]["type"] == "message"
            )
            assert heard["data"]["data"]["content"] == "hello"


async def test_requests_of_a_polling_session_stay_with_its_replica(fleet: Fleet) -> None:
    async with Visitors(fleet.url) as visitors:
        ann = await visitors.signup(unique("ann"))
        socket = await ann.connect(transports=["polling"])
        home = replica_of(socket)
        for _ in range(6):  # polls and posts, with two more replicas to lose them to
            assert "id" in await socket.call("user-join", {"auth": {"token": ann.token}})
        assert replica_of(socket) == home


@pytest.mark.parametrize("way", [["websocket"], ["polling"]])
async def test_clients_of_a_killed_replica_go_on_at_another(fleet: Fleet, way: list[str]) -> None:
    async with Visitors(fleet.url) as visitors:
        ann = await visitors.signup(unique("ann"))
        socket = await ann.connect(transports=way, reconnection=True)
        # As documented: one that returns at once trips over the rest of its old transport.
        socket.client.reconnection_delay, socket.client.reconnection_delay_max = 1, 5
        home, sid = replica_of(socket), socket.sid
        replica = next(each for each in fleet.replicas if each.name == home)
        replica.kill()
        try:
            await until(lambda: socket.client.get_sid() not in (None, sid), timeout=20)
            assert replica_of(socket) != home
            assert "id" in await socket.call("user-join", {"auth": {"token": ann.token}})
        finally:
            await asyncio.to_thread(replica.restart)


def test_run_fleet_is_one_command_that_ends_what_it_started(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as output:
        command = [sys.executable, "-m", "tests.fleet", "--replicas", "1", "--port", "0"]
        run = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_until(
            lambda: "Ctrl-C ends everything" in log.read_text() or run.poll() is not None,
            "the fleet runs",
            timeout=60,
        )
        (folder,) = [
            line.split()[-1] for line in log.read_text().splitlines() if line.startswith("Logs: ")
        ]
        assert Path(folder, "replica-1.log").exists()
        run.send_signal(signal.SIGTERM)
        assert run.wait(30) == 0, log.read_text()
    finally:
        run.kill()
        run.wait()
    assert "replica-1: ended with 0" in log.read_text()
    assert not Path(folder).exists()
