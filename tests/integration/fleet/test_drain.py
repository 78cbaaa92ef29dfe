"""One replica of three ends, behind a proxy with a sticky cookie: its clients are elsewhere at
once, and lack nothing."""

from __future__ import annotations

import asyncio
import functools
import time
import uuid
from collections.abc import Iterator

import httpx
import pytest

from tests.clients.crowd import Crowd
from tests.clients.history import failings, prepare, sign_up
from tests.fleet import Fleet, run_fleet
from tests.fleet.haproxy import STICKY_COOKIE
from tests.fleet.replica import Replica
from tests.support.bare import until
from tests.support.postgres import create_database
from tests.support.redis import Standalone

EVEN = dict.fromkeys(
    ("websocket", "polling", "upgrade", "browser", "python-websocket", "python-polling"), 1
)
POLLING = "/ws/socket.io/?EIO=4&transport=polling"


@pytest.fixture(params=[True, False], ids=["proxy tries again", "proxy passes the refusal on"])
def fleet(request: pytest.FixtureRequest, redis: Standalone, postgres: str) -> Iterator[Fleet]:
    """Replicas that take some seconds to close their clients, so that some return meanwhile."""
    name = f"fleet_drain_{uuid.uuid4().hex}"
    asyncio.run(create_database(postgres, name, "template"))
    environment = {
        "AUTH_ATTEMPTS_PER_MINUTE": "100000",
        "ECHO_DELAY_MS": "20",
        "DRAIN_CLIENTS_PER_SECOND": "2",
    }
    with run_fleet(
        redis, database_url=f"{postgres}/{name}", environment=environment, again=request.param
    ) as running:
        yield running


async def test_all_kinds_of_clients_come_back_by_themselves_and_lack_nothing(fleet: Fleet) -> None:
    accounts = await sign_up(fleet.url, 18)
    crowd = Crowd(await prepare(fleet.url, accounts, words=20, posters=6), ways=EVEN)
    await crowd.start()
    try:
        await crowd.settled(90)
        ending = fleet.replicas[1]
        told = time.time() * 1000
        ended = asyncio.create_task(asyncio.to_thread(ending.term, 60))
        await until(lambda: "drain.began" in ending.output())
        assert await ended == 0, ending.output()
        await crowd.settled(60)
        moved = [fact for fact in crowd.facts if fact["fact"] == "back" and fact["at"] > told]
        report = await crowd.stop(60)
    finally:
        await crowd.kill()
    assert failings(report) == {}
    assert len(moved) >= 3, "some were at the replica that ended"
    for fact in moved:
        # Python's clients do not recover.
        assert fact["recovered"] or str(fact["person"]).startswith("python-"), fact
    outages = sorted((fact["at"] - fact["since"]) / 1000 for fact in moved)
    assert outages[-1] < 15, outages  # by far, for a loaded machine


@pytest.mark.parametrize("fleet", [False], indirect=True, ids=[""])
async def test_the_cookie_of_a_replica_that_ends_is_refused_once_and_then_gone(
    fleet: Fleet,
) -> None:
    slow = fleet.replicas[0]
    async with httpx.AsyncClient(base_url=fleet.url, timeout=30) as http:
        while (await http.get(POLLING)).cookies.get(STICKY_COOKIE) != slow.name:
            http.cookies.clear()
        hold = await _hold(slow)
        slow.tell_to_end()
        await until(lambda: "drain.began" in slow.output())
        refused = await http.get(POLLING)
        assert (refused.status_code, refused.json()["code"]) == (503, "draining")
        assert http.cookies.get(STICKY_COOKIE) is None, "the client has dropped it"
        async with asyncio.timeout(10):
            # Without a cookie it may be sent there until the proxy's next look at /ready.
            while (again := await http.get(POLLING)).status_code == 503:
                await asyncio.sleep(0.1)
        assert again.status_code == 200
        assert http.cookies[STICKY_COOKIE] != slow.name
        await hold.aclose()
    assert await asyncio.to_thread(functools.partial(slow.process.wait, 60)) == 0


async def _hold(replica: Replica) -> httpx.AsyncClient:
    """Sessions at the replica itself, which it has to close one after the other."""
    http = httpx.AsyncClient(base_url=replica.url, timeout=30)
    for _ in range(12):
        assert (await http.get(POLLING)).status_code == 200
    return http
